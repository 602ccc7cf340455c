//! Users of the company's directory: their sign-ins under way, their sessions, and the end of these.

use super::Store;
use super::query::{Row, query};
use super::session::{NewLoginSession, insert_session, join_names, join_roles, roles};
use super::transaction::{Transaction, Work, failed};
use crate::model::Result;
use crate::model::conversation::Millis;
use crate::model::principal::Role;

/// A sign-in that has gone to the directory and is not back yet.
#[derive(Clone)]
pub struct LoginAttempt {
    pub state_hash: String,
    /// Of the cookie of the browser that began it.
    pub cookie_hash: String,
    pub nonce: String,
    /// What proves to the directory that the code is ours (PKCE).
    pub verifier: String,
    /// The path to go to in the end.
    pub return_to: String,
    pub expires_at: Millis,
}

/// What the directory says about somebody.
#[derive(Clone, Debug)]
pub struct DirectoryUser {
    pub issuer: String,
    /// Who it is at that issuer, for good.
    pub subject: String,
    pub name: String,
    pub email: Option<String>,
    pub roles: Vec<Role>,
    pub groups: Vec<String>,
}

/// An end of sessions that the directory asks for. With a subject and a sid, both must fit.
#[derive(Clone, Debug)]
pub struct DirectoryLogout {
    pub issuer: String,
    pub subject: Option<String>,
    pub sid: Option<String>,
    /// What the same token is known by when it comes again.
    pub id_hash: String,
    /// Until when it could come again.
    pub expires_at: Millis,
    pub at: Millis,
}

struct Begin {
    attempt: LoginAttempt,
    at: Millis,
}

impl Work for Begin {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        transaction.write(query("DELETE FROM login_attempts WHERE expires_at <= $1").bind(self.at)).await?;
        let new = &self.attempt;
        let insert = query(
            "INSERT INTO login_attempts (state_hash, cookie_hash, nonce, verifier, return_to, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&new.state_hash)
        .bind(&new.cookie_hash)
        .bind(&new.nonce)
        .bind(&new.verifier)
        .bind(&new.return_to)
        .bind(new.expires_at);
        transaction.write(insert).await?;
        Ok(())
    }
}

struct Take {
    state_hash: String,
    cookie_hash: String,
    at: Millis,
}

impl Work for Take {
    type Output = Option<LoginAttempt>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Option<LoginAttempt>> {
        let take = query(
            "DELETE FROM login_attempts WHERE state_hash = $1 AND cookie_hash = $2 AND expires_at > $3 \
             RETURNING nonce, verifier, return_to, expires_at",
        );
        let take = take.bind(&self.state_hash).bind(&self.cookie_hash).bind(self.at);
        let Some(row) = transaction.write_returning(take).await?.into_iter().next() else { return Ok(None) };
        Ok(Some(LoginAttempt {
            state_hash: self.state_hash.clone(),
            cookie_hash: self.cookie_hash.clone(),
            nonce: row.get(0).map_err(failed)?,
            verifier: row.get(1).map_err(failed)?,
            return_to: row.get(2).map_err(failed)?,
            expires_at: row.get(3).map_err(failed)?,
        }))
    }
}

/// The first column of every row.
fn ids(rows: Vec<Row>) -> Result<Vec<String>> {
    rows.into_iter().map(|row| row.get(0).map_err(failed)).collect()
}

/// Ends all open sessions of a user.
async fn end_sessions(transaction: &mut Transaction<'_>, user: &str, at: Millis) -> Result<Vec<String>> {
    let end = query("UPDATE login_sessions SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL RETURNING id");
    ids(transaction.write_returning(end.bind(user).bind(at)).await?)
}

struct SignIn {
    user: DirectoryUser,
    /// The id of the user when they come for the first time.
    user_id: String,
    sid: Option<String>,
    session: NewLoginSession,
}

impl Work for SignIn {
    type Output = Vec<String>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Vec<String>> {
        let user = &self.user;
        let known = query("SELECT id, roles FROM users WHERE issuer = $1 AND subject = $2");
        let known = transaction.optional(known.bind(&user.issuer).bind(&user.subject)).await?;
        let mut ended = Vec::new();
        if let Some(known) = known {
            let id: String = known.get(0).map_err(failed)?;
            let before = roles(&known.get::<String>(1).map_err(failed)?);
            // Who has lost a role keeps nothing that was opened with it.
            if before.iter().any(|role| !user.roles.contains(role)) {
                ended = end_sessions(transaction, &id, self.session.created_at).await?;
            }
        }
        let upsert = query(
            "INSERT INTO users (id, name, roles, groups, created_at, issuer, subject, email) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (issuer, subject) DO UPDATE \
             SET name = excluded.name, roles = excluded.roles, groups = excluded.groups, email = excluded.email \
             RETURNING id",
        )
        .bind(&self.user_id)
        .bind(&user.name)
        .bind(join_roles(&user.roles))
        .bind(join_names(&user.groups))
        .bind(self.session.created_at)
        .bind(&user.issuer)
        .bind(&user.subject)
        .bind(user.email.as_deref());
        for id in ids(transaction.write_returning(upsert).await?)? {
            insert_session(transaction, &self.session, &id, Some(&user.issuer), self.sid.as_deref()).await?;
        }
        Ok(ended)
    }
}

struct Withdraw {
    issuer: String,
    subject: String,
    at: Millis,
}

impl Work for Withdraw {
    type Output = Vec<String>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Vec<String>> {
        let strip = query("UPDATE users SET roles = '' WHERE issuer = $1 AND subject = $2 RETURNING id");
        let users = ids(transaction.write_returning(strip.bind(&self.issuer).bind(&self.subject)).await?)?;
        let mut ended = Vec::new();
        for user in users {
            ended.extend(end_sessions(transaction, &user, self.at).await?);
        }
        Ok(ended)
    }
}

impl Work for DirectoryLogout {
    type Output = Option<Vec<String>>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Option<Vec<String>>> {
        transaction.write(query("DELETE FROM logout_tokens WHERE expires_at <= $1").bind(self.at)).await?;
        let keep = query("INSERT INTO logout_tokens (id_hash, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING");
        if transaction.write(keep.bind(&self.id_hash).bind(self.expires_at)).await? == 0 {
            return Ok(None);
        }
        let end = query(
            "UPDATE login_sessions SET revoked_at = $1 WHERE revoked_at IS NULL AND issuer = $2 \
             AND (CAST($3 AS TEXT) IS NULL OR sid = $3) AND (CAST($4 AS TEXT) IS NULL OR user_id IN \
             (SELECT id FROM users WHERE issuer = $2 AND subject = $4)) RETURNING id",
        )
        .bind(self.at)
        .bind(&self.issuer)
        .bind(self.sid.as_deref())
        .bind(self.subject.as_deref());
        Ok(Some(ids(transaction.write_returning(end).await?)?))
    }
}

impl Store {
    /// Keeps a sign-in that begins `at`, and forgets those that never came back.
    pub async fn begin_login(&self, attempt: LoginAttempt, at: Millis) -> Result<()> {
        self.write(Begin { attempt, at }).await
    }

    /// Takes the sign-in with this state that this browser began; `None` when there is none, or none any more.
    pub async fn take_login(
        &self,
        state_hash: String,
        cookie_hash: String,
        at: Millis,
    ) -> Result<Option<LoginAttempt>> {
        self.write(Take { state_hash, cookie_hash, at }).await
    }

    /// Opens a session for a user of the directory, who becomes known here if need be, under `user_id`. Answers the
    /// sessions that ended since the user has fewer roles than before.
    pub async fn sign_in_from_directory(
        &self,
        user: DirectoryUser,
        user_id: String,
        sid: Option<String>,
        session: NewLoginSession,
    ) -> Result<Vec<String>> {
        self.write(SignIn { user, user_id, sid, session }).await
    }

    /// Takes all roles from a user of the directory; answers the sessions that ended.
    pub async fn withdraw_directory_user(&self, issuer: &str, subject: &str, at: Millis) -> Result<Vec<String>> {
        self.write(Withdraw { issuer: issuer.to_owned(), subject: subject.to_owned(), at }).await
    }

    /// Ends the sessions the directory names and answers them; `None` when it said so before.
    pub async fn end_directory_sessions(&self, logout: DirectoryLogout) -> Result<Option<Vec<String>>> {
        self.write(logout).await
    }
}
