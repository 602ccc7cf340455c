//! Users, their login sessions and the one-time links that open them.

use super::Store;
use super::query::{Failure, Row, query};
use super::transaction::{Transaction, Work, failed};
use crate::model::Result;
use crate::model::conversation::Millis;
use crate::model::grant::Grants;
use crate::model::principal::{Principal, PrincipalKind, Rights, Role};

/// A login session with its user.
#[derive(Clone, Debug)]
pub struct LoginSession {
    pub id: String,
    pub user: Principal,
    pub created_at: Millis,
    pub last_seen_at: Millis,
    pub idle_expires_at: Millis,
    pub expires_at: Millis,
    pub revoked_at: Option<Millis>,
    /// The directory that vouched for the user; none after a sign-in link.
    pub issuer: Option<String>,
    /// Whether the directory has taken the user away.
    pub is_disabled: bool,
}

/// A login session about to begin.
#[derive(Clone, Debug)]
pub struct NewLoginSession {
    pub id: String,
    pub token_hash: String,
    pub user_agent: String,
    pub created_at: Millis,
    pub idle_expires_at: Millis,
    pub expires_at: Millis,
}

pub(super) fn join_roles(roles: &[Role]) -> String {
    roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(",")
}

pub(super) fn roles(text: &str) -> Vec<Role> {
    text.split(',').filter_map(Role::parse).collect()
}

/// Names as they are kept: a JSON array, since a directory's names may hold any character.
pub(super) fn join_names(names: &[String]) -> String {
    serde_json::Value::from(names.to_vec()).to_string()
}

/// What [`join_names`] wrote, or the list with commas of older rows.
pub(super) fn names(text: &str) -> Vec<String> {
    serde_json::from_str(text)
        .unwrap_or_else(|_| text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn session(row: &Row, grants: &Grants) -> Result<LoginSession, Failure> {
    Ok(LoginSession {
        id: row.get(0)?,
        user: Principal {
            id: row.get(1)?,
            kind: PrincipalKind::User,
            name: row.get(2)?,
            roles: roles(&row.get::<String>(3)?),
            groups: names(&row.get::<String>(4)?),
            serves: Vec::new(),
            rights: Rights { grants: grants.clone(), ..Rights::default() },
        },
        created_at: row.get(5)?,
        last_seen_at: row.get(6)?,
        idle_expires_at: row.get(7)?,
        expires_at: row.get(8)?,
        revoked_at: row.get(9)?,
        issuer: row.get(10)?,
        is_disabled: row.get::<Option<i64>>(11)?.is_some(),
    })
}

const SESSION: &str = "SELECT s.id, u.id, u.name, u.roles, u.groups, s.created_at, s.last_seen_at, s.idle_expires_at, \
                       s.expires_at, s.revoked_at, s.issuer, u.disabled_at FROM login_sessions s JOIN users u ON u.id = s.user_id";

struct InviteUser {
    user: Principal,
    token_hash: String,
    at: Millis,
    expires_at: Millis,
}

impl Work for InviteUser {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let user = query(
            "INSERT INTO users (id, name, roles, groups, created_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(&self.user.id)
        .bind(&self.user.name)
        .bind(join_roles(&self.user.roles))
        .bind(join_names(&self.user.groups))
        .bind(self.at);
        transaction.write(user).await?;
        let link =
            query("INSERT INTO sign_in_links (token_hash, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)")
                .bind(&self.token_hash)
                .bind(&self.user.id)
                .bind(self.at)
                .bind(self.expires_at);
        transaction.write(link).await?;
        Ok(())
    }
}

struct Redeem {
    link_hash: String,
    session: NewLoginSession,
}

impl Work for Redeem {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let new = &self.session;
        let take = query(
            "UPDATE sign_in_links SET used_at = $1 WHERE token_hash = $2 AND used_at IS NULL AND expires_at > $1 \
             RETURNING user_id",
        );
        let rows = transaction.write_returning(take.bind(new.created_at).bind(&self.link_hash)).await?;
        let Some(row) = rows.into_iter().next() else { return Ok(false) };
        let user: String = row.get(0).map_err(failed)?;
        insert_session(transaction, new, &user, None, None).await?;
        Ok(true)
    }
}

/// Opens a session of a user; with the directory that vouches for them, and its own session, if there are any.
pub(super) async fn insert_session(
    transaction: &mut Transaction<'_>,
    new: &NewLoginSession,
    user: &str,
    issuer: Option<&str>,
    sid: Option<&str>,
) -> Result<()> {
    let insert = query(
        "INSERT INTO login_sessions (id, token_hash, user_id, user_agent, created_at, last_seen_at, idle_expires_at, \
         expires_at, issuer, sid) VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9)",
    )
    .bind(&new.id)
    .bind(&new.token_hash)
    .bind(user)
    .bind(&new.user_agent)
    .bind(new.created_at)
    .bind(new.idle_expires_at)
    .bind(new.expires_at)
    .bind(issuer)
    .bind(sid);
    transaction.write(insert).await?;
    Ok(())
}

struct Extend {
    id: String,
    at: Millis,
    idle_expires_at: Millis,
}

impl Work for Extend {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let extend = query("UPDATE login_sessions SET last_seen_at = $1, idle_expires_at = $2 WHERE id = $3");
        transaction.write(extend.bind(self.at).bind(self.idle_expires_at).bind(&self.id)).await?;
        Ok(())
    }
}

struct Revoke {
    id: String,
    at: Millis,
}

impl Work for Revoke {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let revoke = query("UPDATE login_sessions SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL");
        Ok(transaction.write(revoke.bind(self.at).bind(&self.id)).await? == 1)
    }
}

impl Store {
    /// Makes the user when there is none of that id, and a one-time link for them.
    pub async fn invite_user(&self, user: Principal, token_hash: String, at: Millis, expires_at: Millis) -> Result<()> {
        self.write(InviteUser { user, token_hash, at, expires_at }).await
    }

    /// Turns an unused, unexpired link into a login session; `false` when there is no such link.
    pub async fn redeem_link(&self, link_hash: String, session: NewLoginSession) -> Result<bool> {
        self.write(Redeem { link_hash, session }).await
    }

    /// The session with this token, revoked and expired ones too.
    pub async fn login_session_by_token(&self, token_hash: &str) -> Result<Option<LoginSession>> {
        self.login_session("s.token_hash = $1", token_hash).await
    }

    pub async fn login_session_by_id(&self, id: &str) -> Result<Option<LoginSession>> {
        self.login_session("s.id = $1", id).await
    }

    async fn login_session(&self, condition: &'static str, value: &str) -> Result<Option<LoginSession>> {
        let mut reader = self.reader().await?;
        let find = super::query::composed(format!("{SESSION} WHERE {condition}")).bind(value);
        let row = find.optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| session(&row, self.grants()).map_err(failed)).transpose()
    }

    pub async fn extend_session(&self, id: &str, at: Millis, idle_expires_at: Millis) -> Result<()> {
        self.write(Extend { id: id.to_owned(), at, idle_expires_at }).await
    }

    /// Ends a login session for good; `false` when it had ended already.
    pub async fn revoke_session(&self, id: &str, at: Millis) -> Result<bool> {
        self.write(Revoke { id: id.to_owned(), at }).await
    }
}
