//! API keys: only hashes of them.

use super::Store;
use super::query::{Failure, Row, query};
use super::session::{names, roles};
use super::transaction::{Transaction, Work, failed};
use crate::model::Result;
use crate::model::conversation::Millis;
use crate::model::principal::{Principal, PrincipalKind, Role};

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
}

impl ApiKey {
    /// Who a caller with this key is.
    pub fn principal(&self) -> Principal {
        Principal {
            id: self.id.clone(),
            kind: PrincipalKind::Key,
            name: self.name.clone(),
            roles: self.roles.clone(),
            groups: self.groups.clone(),
            serves: self.serves.clone(),
        }
    }
}

fn api_key(row: &Row) -> Result<ApiKey, Failure> {
    Ok(ApiKey {
        id: row.get(0)?,
        name: row.get(1)?,
        roles: roles(&row.get::<String>(2)?),
        groups: names(&row.get::<String>(3)?),
        created_at: row.get(4)?,
        expires_at: row.get(5)?,
        last_used_at: row.get(6)?,
        revoked_at: row.get(7)?,
        serves: names(&row.get::<String>(8)?),
    })
}

struct Insert {
    key: ApiKey,
    token_hash: String,
}

impl Work for Insert {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let insert = query(
            "INSERT INTO api_keys (id, token_hash, name, roles, groups, serves, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&self.key.id)
        .bind(&self.token_hash)
        .bind(&self.key.name)
        .bind(super::session::join_roles(&self.key.roles))
        .bind(self.key.groups.join(","))
        .bind(self.key.serves.join(","))
        .bind(self.key.created_at)
        .bind(self.key.expires_at);
        transaction.write(insert).await?;
        Ok(())
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

impl Store {
    pub async fn insert_api_key(&self, key: ApiKey, token_hash: String) -> Result<()> {
        self.write(Insert { key, token_hash }).await
    }

    /// The key with this hash, revoked and expired ones too.
    pub async fn api_key(&self, token_hash: &str) -> Result<Option<ApiKey>> {
        self.find_api_key("token_hash = $1", token_hash).await
    }

    pub async fn api_key_by_id(&self, id: &str) -> Result<Option<ApiKey>> {
        self.find_api_key("id = $1", id).await
    }

    async fn find_api_key(&self, condition: &'static str, value: &str) -> Result<Option<ApiKey>> {
        let mut reader = self.reader().await?;
        let find = super::query::composed(format!(
            "SELECT id, name, roles, groups, created_at, expires_at, last_used_at, revoked_at, serves \
             FROM api_keys WHERE {condition}"
        ));
        let row = find.bind(value).optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| api_key(&row).map_err(failed)).transpose()
    }

    pub async fn touch_api_key(&self, id: &str, at: Millis) -> Result<()> {
        self.write(Touch { id: id.to_owned(), at }).await
    }
}
