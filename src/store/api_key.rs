//! API keys: only hashes of them.

use super::Store;
use super::audit::Deed;
use super::query::{Failure, Row, query};
use super::session::{names, roles};
use super::transaction::{Transaction, Work, failed};
use crate::model::Result;
use crate::model::conversation::Millis;
use crate::model::grant::{Grants, Reach};
use crate::model::principal::{Owner, Principal, PrincipalKind, Rights, Role};

/// An API key without its secret.
#[derive(Clone, Debug)]
pub struct ApiKey {
    pub id: String,
    pub name: String,
    pub roles: Vec<Role>,
    pub groups: Vec<String>,
    /// The bots whose commands a process with this key may do.
    pub serves: Vec<String>,
    pub created_at: Millis,
    pub expires_at: Option<Millis>,
    pub last_used_at: Option<Millis>,
    pub revoked_at: Option<Millis>,
    /// The user whose key it is: it can do no more than they can. `None`: the installation's own.
    pub owner: Option<String>,
    /// Limits of its own, such as `60/min,1000/h`.
    pub rates: Option<String>,
    /// What it is narrowed to; empty: whatever its role may.
    pub scopes: Vec<Reach>,
}

/// A key together with its owner, as far as it has one that is still there.
#[derive(Clone, Debug)]
pub struct OwnedKey {
    pub key: ApiKey,
    pub owner: Option<Owner>,
}

impl ApiKey {
    /// Who a caller with this key is, whatever has become of its owner.
    pub fn principal(&self, grants: &Grants) -> Principal {
        Principal {
            id: self.id.clone(),
            kind: PrincipalKind::Key,
            name: self.name.clone(),
            roles: self.roles.clone(),
            groups: self.groups.clone(),
            serves: self.serves.clone(),
            rights: Rights { grants: grants.clone(), scopes: self.scopes.as_slice().into(), owner: None },
        }
    }
}

fn api_key(row: &Row) -> Result<OwnedKey, Failure> {
    let key = ApiKey {
        id: row.get(0)?,
        name: row.get(1)?,
        roles: roles(&row.get::<String>(2)?),
        groups: names(&row.get::<String>(3)?),
        created_at: row.get(4)?,
        expires_at: row.get(5)?,
        last_used_at: row.get(6)?,
        revoked_at: row.get(7)?,
        owner: row.get(8)?,
        rates: row.get(9)?,
        serves: names(&row.get::<String>(10)?),
        scopes: super::service::scopes(row.get(13)?)?,
    };
    let owner = match (&key.owner, row.get::<Option<String>>(11)?, row.get::<Option<String>>(12)?) {
        (Some(id), Some(of_owner), Some(groups)) => {
            Some(Owner { id: id.clone(), roles: roles(&of_owner), groups: names(&groups) })
        }
        _ => None,
    };
    Ok(OwnedKey { key, owner })
}

const KEY: &str = "SELECT k.id, k.name, k.roles, k.groups, k.created_at, k.expires_at, k.last_used_at, k.revoked_at, k.owner, \
                   k.rates, k.serves, u.roles, u.groups, k.scopes FROM api_keys k LEFT JOIN users u ON u.id = k.owner \
                   AND u.disabled_at IS NULL";

struct Insert {
    key: ApiKey,
    token_hash: String,
    deed: Deed,
}

impl Work for Insert {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let insert = query(
            "INSERT INTO api_keys (id, token_hash, name, roles, groups, serves, created_at, expires_at, owner, \
             rates, scopes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(&self.key.id)
        .bind(&self.token_hash)
        .bind(&self.key.name)
        .bind(super::session::join_roles(&self.key.roles))
        .bind(super::session::join_names(&self.key.groups))
        .bind(self.key.serves.join(","))
        .bind(self.key.created_at)
        .bind(self.key.expires_at)
        .bind(self.key.owner.clone())
        .bind(self.key.rates.clone())
        .bind(super::service::join_scopes(&self.key.scopes));
        transaction.write(insert).await?;
        transaction.record(&self.deed).await
    }
}

struct Offer {
    token_hash: String,
    owner: String,
    wish: String,
    expires_at: Millis,
}

impl Work for Offer {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let insert = query("INSERT INTO key_offers (token_hash, owner, wish, expires_at) VALUES ($1, $2, $3, $4)");
        let insert = insert.bind(&self.token_hash).bind(&self.owner).bind(&self.wish).bind(self.expires_at);
        transaction.write(insert).await?;
        Ok(())
    }
}

struct TakeOffer {
    token_hash: String,
    owner: String,
    at: Millis,
}

impl Work for TakeOffer {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let take = query(
            "UPDATE key_offers SET used_at = $3 WHERE token_hash = $1 AND owner = $2 AND used_at IS NULL \
             AND expires_at > $3",
        );
        Ok(transaction.write(take.bind(&self.token_hash).bind(&self.owner).bind(self.at)).await? == 1)
    }
}

struct Touch {
    id: String,
    at: Millis,
}

impl Work for Touch {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let touch = query("UPDATE api_keys SET last_used_at = $1 WHERE id = $2");
        transaction.write(touch.bind(self.at).bind(&self.id)).await?;
        Ok(())
    }
}

struct Revoke {
    id: String,
    deed: Deed,
}

impl Work for Revoke {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let revoke = query("UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL");
        let is_new = transaction.write(revoke.bind(&self.id).bind(self.deed.at)).await? == 1;
        if is_new {
            transaction.record(&self.deed).await?;
        }
        Ok(is_new)
    }
}

impl Store {
    /// Keeps a new key, and that it was made.
    pub async fn insert_api_key(&self, key: ApiKey, token_hash: String, deed: Deed) -> Result<()> {
        self.write(Insert { key, token_hash, deed }).await
    }

    /// The key with this hash, revoked and expired ones too.
    pub async fn api_key(&self, token_hash: &str) -> Result<Option<OwnedKey>> {
        self.find_api_key("k.token_hash = $1", token_hash).await
    }

    pub async fn api_key_by_id(&self, id: &str) -> Result<Option<OwnedKey>> {
        self.find_api_key("k.id = $1", id).await
    }

    async fn find_api_key(&self, condition: &'static str, value: &str) -> Result<Option<OwnedKey>> {
        let mut reader = self.reader().await?;
        let find = super::query::composed(format!("{KEY} WHERE {condition}"));
        let row = find.bind(value).optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| api_key(&row).map_err(failed)).transpose()
    }

    /// Keys that were not revoked, newest first: all, or those of one owner. `before` is the id of the last one known.
    pub async fn api_keys(&self, owner: Option<&str>, before: Option<&str>, limit: i64) -> Result<Vec<ApiKey>> {
        let mut reader = self.reader().await?;
        // Ids rise with time.
        let find = super::query::composed(format!(
            "{KEY} WHERE k.revoked_at IS NULL AND (cast($1 AS TEXT) IS NULL OR k.owner = $1) \
             AND (cast($2 AS TEXT) IS NULL OR k.id < $2) ORDER BY k.id DESC LIMIT $3"
        ));
        let rows = find.bind(owner).bind(before).bind(limit).all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(|row| api_key(row).map(|owned| owned.key).map_err(failed)).collect()
    }

    pub async fn touch_api_key(&self, id: &str, at: Millis) -> Result<()> {
        self.write(Touch { id: id.to_owned(), at }).await
    }

    /// Keeps what somebody wished for until they take it.
    pub async fn offer_key(&self, token_hash: String, owner: &str, wish: String, expires_at: Millis) -> Result<()> {
        self.write(Offer { token_hash, owner: owner.to_owned(), wish, expires_at }).await
    }

    /// What its owner wished for, unless it was taken or has expired; `take` uses it up.
    pub async fn key_offer(&self, token_hash: String, owner: &str, at: Millis, take: bool) -> Result<Option<String>> {
        let find = query(
            "SELECT wish FROM key_offers WHERE token_hash = $1 AND owner = $2 AND used_at IS NULL AND expires_at > $3",
        );
        let find = find.bind(token_hash.clone()).bind(owner).bind(at);
        let row = {
            let mut reader = self.reader().await?;
            find.optional(&mut reader.connection()).await.map_err(failed)?
        };
        let Some(row) = row else { return Ok(None) };
        if take && !self.write(TakeOffer { token_hash, owner: owner.to_owned(), at }).await? {
            return Ok(None);
        }
        row.get(0).map(Some).map_err(failed)
    }

    /// Ends a key for good; `false` when there is none that counts.
    pub async fn revoke_api_key(&self, id: &str, deed: Deed) -> Result<bool> {
        self.write(Revoke { id: id.to_owned(), deed }).await
    }
}
