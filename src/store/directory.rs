//! Users of the company's directory: their sign-ins under way, their sessions, and the end of these.

use super::Store;
use super::group::recount;
use super::query::{Failure, Row, composed, query};
use super::session::{NewLoginSession, insert_session, join_names, join_roles, roles};
use super::transaction::{Transaction, Work, failed};
use crate::config::ScimLink;
use crate::model::conversation::Millis;
use crate::model::principal::Role;
use crate::model::{Error, Result};

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
    pub username: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub email: Option<String>,
    /// Whether the directory has checked the address.
    pub email_verified: bool,
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
    scim: Provisioning,
}

/// How sign-ins and the users that a directory pushes (SCIM) find each other.
#[derive(Clone, Copy, Debug)]
pub struct Provisioning {
    pub link: ScimLink,
    /// Whether only pushed users may sign in.
    pub required: bool,
}

/// What came of a sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedIn {
    /// Whose session it is, and the older ones that ended since they have fewer roles than before.
    Session { user: String, ended: Vec<String> },
    /// The directory has taken them away, or never pushed them although it must.
    Refused(&'static str),
}

/// Somebody as they are known before a sign-in.
struct Known {
    id: String,
    roles: Vec<Role>,
    is_disabled: bool,
    /// Whether a sign-in leaves the profile as it is.
    keeps_profile: bool,
    is_pushed: bool,
}

const KNOWN: &str = "SELECT u.id, u.roles, u.disabled_at, u.profile_changed_at, s.user_id FROM users u \
                     LEFT JOIN scim_users s ON s.user_id = u.id";

fn known(row: &Row) -> Result<Known, Failure> {
    let is_pushed = row.get::<Option<String>>(4)?.is_some();
    Ok(Known {
        id: row.get(0)?,
        roles: roles(&row.get::<String>(1)?),
        is_disabled: row.get::<Option<i64>>(2)?.is_some(),
        keeps_profile: is_pushed || row.get::<Option<i64>>(3)?.is_some(),
        is_pushed,
    })
}

impl SignIn {
    /// The pushed user who signs in for the first time: one whom nobody has signed in as yet, never one who is only known
    /// here. Fails when several fit.
    async fn pushed(&self, transaction: &mut Transaction<'_>) -> Result<Option<Known>> {
        let user = &self.user;
        let lower = |text: &String| text.to_lowercase();
        let (condition, value) = match self.scim.link {
            ScimLink::ExternalId => ("s.external_id = $1", Some(user.subject.clone())),
            ScimLink::UserName => ("s.name_key = $1", user.username.as_ref().map(lower)),
            // An address that nobody has checked is anybody's.
            ScimLink::Email => ("lower(u.email) = $1", user.email.as_ref().filter(|_| user.email_verified).map(lower)),
            ScimLink::Off => return Ok(None),
        };
        let Some(value) = value else { return Ok(None) };
        let find =
            composed(format!("{KNOWN} WHERE s.user_id IS NOT NULL AND u.issuer IS NULL AND {condition} LIMIT 2"));
        let rows = transaction.all(find.bind(value)).await?;
        match rows.as_slice() {
            [] => Ok(None),
            [row] => Ok(Some(known(row).map_err(failed)?)),
            _ => Err(Error::forbidden("several people of the directory fit; ask whoever runs it to tell them apart")),
        }
    }

    async fn insert(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let user = &self.user;
        let insert = query(
            "INSERT INTO users (id, name, roles, groups, created_at, issuer, subject, claimed_groups) \
             VALUES ($1, $2, $3, '[]', $4, $5, $6, '[]')",
        )
        .bind(&self.user_id)
        .bind(&user.name)
        .bind(join_roles(&user.roles))
        .bind(self.session.created_at)
        .bind(&user.issuer)
        .bind(&user.subject);
        transaction.write(insert).await?;
        Ok(())
    }

    async fn write_profile(&self, transaction: &mut Transaction<'_>, id: &str) -> Result<()> {
        let user = &self.user;
        let write = query(
            "UPDATE users SET name = $1, email = $2, email_verified = $3, username = $4, first_name = $5, last_name = $6 \
             WHERE id = $7",
        )
        .bind(&user.name)
        .bind(user.email.as_deref())
        .bind(i64::from(user.email.is_some() && user.email_verified))
        .bind(user.username.as_deref())
        .bind(user.first_name.as_deref())
        .bind(user.last_name.as_deref())
        .bind(id);
        transaction.write(write).await?;
        Ok(())
    }
}

impl Work for SignIn {
    type Output = SignedIn;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<SignedIn> {
        let (user, at) = (&self.user, self.session.created_at);
        let find = composed(format!("{KNOWN} WHERE u.issuer = $1 AND u.subject = $2"));
        let found = transaction.optional(find.bind(&user.issuer).bind(&user.subject)).await?;
        let mut before = found.map(|row| known(&row).map_err(failed)).transpose()?;
        let is_first = before.is_none();
        if is_first {
            before = self.pushed(transaction).await?;
        }
        if before.as_ref().is_some_and(|known| known.is_disabled) {
            return Ok(SignedIn::Refused("the directory has taken you away here"));
        }
        if self.scim.required && !before.as_ref().is_some_and(|known| known.is_pushed) {
            return Ok(SignedIn::Refused("the directory has not told this server of you"));
        }
        let mut ended = Vec::new();
        let id = match &before {
            None => {
                self.insert(transaction).await?;
                self.user_id.clone()
            }
            Some(known) => {
                // Who has lost a role keeps nothing that was opened with it.
                if known.roles.iter().any(|role| !user.roles.contains(role)) {
                    ended = end_sessions(transaction, &known.id, at).await?;
                }
                let write = query("UPDATE users SET roles = $1, issuer = $2, subject = $3 WHERE id = $4");
                let write = write.bind(join_roles(&user.roles)).bind(&user.issuer).bind(&user.subject);
                transaction.write(write.bind(&known.id)).await?;
                known.id.clone()
            }
        };
        if !before.is_some_and(|known| known.keeps_profile) {
            self.write_profile(transaction, &id).await?;
        }
        let claimed = query("UPDATE users SET claimed_groups = $1 WHERE id = $2");
        transaction.write(claimed.bind(join_names(&user.groups)).bind(&id)).await?;
        recount(transaction, &id).await?;
        insert_session(transaction, &self.session, &id, Some(&user.issuer), self.sid.as_deref()).await?;
        Ok(SignedIn::Session { user: id, ended })
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

    /// Opens a session for a user of the directory, who becomes known here if need be, under `user_id`.
    pub async fn sign_in_from_directory(
        &self,
        user: DirectoryUser,
        user_id: String,
        sid: Option<String>,
        session: NewLoginSession,
        scim: Provisioning,
    ) -> Result<SignedIn> {
        self.write(SignIn { user, user_id, sid, session, scim }).await
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
