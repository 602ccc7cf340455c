//! Tokens that somebody signed in for by OAuth 2.0, and the sign-ins under way. The tokens themselves are in `vault`.

use std::collections::HashMap;

use super::Store;
use super::audit::Deed;
use super::credential::sealed_owner;
use super::query::{Failure, Row, composed, query};
use super::transaction::{Transaction, Work, failed};
use super::vault::Sealed;
use crate::model::Result;
use crate::model::conversation::Millis;

/// The field of a credential that its token is sealed in.
pub const TOKEN: &str = "token";

/// Why somebody has to sign in for a new credential.
pub const NOBODY_YET: &str = "nobody has signed in yet";

/// How a credential stands that somebody signs in for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenState {
    pub credential: String,
    /// Why somebody has to sign in; `None`: there is a token.
    pub reason: Option<String>,
    /// Another one with each token.
    pub generation: i64,
    /// None: until the service says otherwise.
    pub expires_at: Option<Millis>,
    /// From when on another one is wanted.
    pub renew_at: Option<Millis>,
    pub signed_in_by: Option<String>,
    pub signed_in_at: Option<Millis>,
    /// Until when somebody gets the next token; a time that is over belongs to a process that died.
    pub leased_until: Option<Millis>,
}

const STATE: &str = "SELECT credential, reason, generation, expires_at, renew_at, signed_in_by, signed_in_at, lease_until \
                     FROM credential_tokens";

fn state(row: &Row) -> Result<TokenState, Failure> {
    Ok(TokenState {
        credential: row.get(0)?,
        reason: row.get(1)?,
        generation: row.get(2)?,
        expires_at: row.get(3)?,
        renew_at: row.get(4)?,
        signed_in_by: row.get(5)?,
        signed_in_at: row.get(6)?,
        leased_until: row.get(7)?,
    })
}

/// What happens to a credential's token when the credential is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenChange {
    /// The data stayed.
    Keep,
    /// It needs none; what it had is void.
    Drop,
    /// Somebody has to sign in; what it had is void.
    Need,
}

impl Transaction<'_> {
    pub(super) async fn change_token(&mut self, credential: &str, change: TokenChange) -> Result<()> {
        if change != TokenChange::Keep {
            self.remove_token(credential).await?;
        }
        if change == TokenChange::Need {
            let put = query("INSERT INTO credential_tokens (credential, reason, generation) VALUES ($1, $2, 0)");
            self.write(put.bind(credential).bind(NOBODY_YET)).await?;
        }
        Ok(())
    }

    /// Forgets a credential's token and the sign-ins under way.
    pub(super) async fn remove_token(&mut self, credential: &str) -> Result<()> {
        self.write(query("DELETE FROM credential_tokens WHERE credential = $1").bind(credential)).await?;
        self.write(query("DELETE FROM credential_sign_ins WHERE credential = $1").bind(credential)).await?;
        self.remove_sealed_token(credential).await
    }

    async fn remove_sealed_token(&mut self, credential: &str) -> Result<()> {
        let remove = query("DELETE FROM sealed WHERE owner = $1 AND field = $2");
        self.write(remove.bind(sealed_owner(credential)).bind(TOKEN)).await?;
        Ok(())
    }
}

/// A token that was got.
#[derive(Clone, Debug)]
pub struct Token {
    pub credential: String,
    pub sealed: Sealed,
    pub expires_at: Option<Millis>,
    pub renew_at: Option<Millis>,
}

struct KeepFirst {
    token: Token,
    /// Of the credential, when it was opened to sign in.
    version: i64,
    by: String,
    deed: Deed,
}

impl Work for KeepFirst {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let new = &self.token;
        // Takes the credential's row: a change of it comes before this, which then counts no more, or after it, and finds it.
        let take = query("UPDATE credentials SET version = version WHERE id = $1 AND version = $2");
        if transaction.write(take.bind(&new.credential).bind(self.version)).await? == 0 {
            return Ok(false);
        }
        // Whoever gets the next token right now gets one of the sign-in before: without its lease, it is not kept.
        let put = query(
            "INSERT INTO credential_tokens (credential, generation, expires_at, renew_at, signed_in_by, signed_in_at) \
             VALUES ($1, 1, $2, $3, $4, $5) ON CONFLICT (credential) DO UPDATE SET reason = NULL, \
             generation = credential_tokens.generation + 1, expires_at = excluded.expires_at, renew_at = excluded.renew_at, \
             signed_in_by = excluded.signed_in_by, signed_in_at = excluded.signed_in_at, lease = NULL, lease_until = NULL",
        )
        .bind(&new.credential)
        .bind(new.expires_at)
        .bind(new.renew_at)
        .bind(&self.by)
        .bind(self.deed.at);
        transaction.write(put).await?;
        transaction.put_sealed(&new.sealed).await?;
        transaction.record(&self.deed).await?;
        Ok(true)
    }
}

struct TakeLease {
    before: TokenState,
    lease: String,
    until: Millis,
    now: Millis,
}

impl Work for TakeLease {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let take = query(
            "UPDATE credential_tokens SET lease = $1, lease_until = $2 WHERE credential = $3 AND generation = $4 \
             AND (lease IS NULL OR lease_until <= $5)",
        )
        .bind(&self.lease)
        .bind(self.until)
        .bind(&self.before.credential)
        .bind(self.before.generation)
        .bind(self.now);
        Ok(transaction.write(take).await? == 1)
    }
}

struct KeepNext {
    token: Token,
    lease: String,
}

impl Work for KeepNext {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let put = query(
            "UPDATE credential_tokens SET generation = generation + 1, expires_at = $1, renew_at = $2, lease = NULL, \
             lease_until = NULL WHERE credential = $3 AND lease = $4",
        )
        .bind(self.token.expires_at)
        .bind(self.token.renew_at)
        .bind(&self.token.credential)
        .bind(&self.lease);
        if transaction.write(put).await? == 0 {
            return Ok(false);
        }
        transaction.put_sealed(&self.token.sealed).await?;
        Ok(true)
    }
}

struct Release {
    credential: String,
    lease: String,
}

impl Work for Release {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let release =
            query("UPDATE credential_tokens SET lease = NULL, lease_until = NULL WHERE credential = $1 AND lease = $2");
        transaction.write(release.bind(&self.credential).bind(&self.lease)).await?;
        Ok(())
    }
}

/// The end of a token: another one takes somebody who signs in.
struct Lose {
    credential: String,
    lease: String,
    reason: String,
    deed: Deed,
}

impl Work for Lose {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let lose = query(
            "UPDATE credential_tokens SET reason = $1, generation = generation + 1, expires_at = NULL, renew_at = NULL, \
             lease = NULL, lease_until = NULL WHERE credential = $2 AND lease = $3",
        );
        if transaction.write(lose.bind(&self.reason).bind(&self.credential).bind(&self.lease)).await? == 0 {
            return Ok(false);
        }
        transaction.remove_sealed_token(&self.credential).await?;
        transaction.record(&self.deed).await?;
        Ok(true)
    }
}

struct Lapse {
    now: Millis,
}

impl Work for Lapse {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let lapse = query("UPDATE credential_tokens SET lease_until = $1 WHERE lease IS NOT NULL");
        transaction.write(lapse.bind(self.now)).await?;
        Ok(())
    }
}

/// A sign-in that has gone to a service and is not back yet.
#[derive(Clone)]
pub struct SignInAttempt {
    pub state_hash: String,
    pub credential: String,
    /// The login session of the browser that began it.
    pub session: String,
    /// What proves to the service that the code is ours (PKCE).
    pub verifier: String,
    pub expires_at: Millis,
}

struct Begin {
    attempt: SignInAttempt,
    at: Millis,
}

impl Work for Begin {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        transaction.write(query("DELETE FROM credential_sign_ins WHERE expires_at <= $1").bind(self.at)).await?;
        let new = &self.attempt;
        let insert = query(
            "INSERT INTO credential_sign_ins (state_hash, credential, session, verifier, expires_at) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&new.state_hash)
        .bind(&new.credential)
        .bind(&new.session)
        .bind(&new.verifier)
        .bind(new.expires_at);
        transaction.write(insert).await?;
        Ok(())
    }
}

struct Finish {
    state_hash: String,
    session: String,
    at: Millis,
}

impl Work for Finish {
    type Output = Option<SignInAttempt>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Option<SignInAttempt>> {
        let take = query(
            "DELETE FROM credential_sign_ins WHERE state_hash = $1 AND session = $2 AND expires_at > $3 \
             RETURNING state_hash, credential, session, verifier, expires_at",
        );
        let rows = transaction.write_returning(take.bind(&self.state_hash).bind(&self.session).bind(self.at)).await?;
        let read = |row: &Row| -> Result<SignInAttempt, Failure> {
            Ok(SignInAttempt {
                state_hash: row.get(0)?,
                credential: row.get(1)?,
                session: row.get(2)?,
                verifier: row.get(3)?,
                expires_at: row.get(4)?,
            })
        };
        rows.first().map(|row| read(row).map_err(failed)).transpose()
    }
}

impl Store {
    /// How a credential stands that somebody signs in for; `None` for all others.
    pub async fn token_state(&self, credential: &str) -> Result<Option<TokenState>> {
        let mut reader = self.reader().await?;
        let find = composed(format!("{STATE} WHERE credential = $1"));
        let row = find.bind(credential).optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| state(&row).map_err(failed)).transpose()
    }

    /// The same of all of them, by the credential's id.
    pub async fn token_states(&self) -> Result<HashMap<String, TokenState>> {
        let mut reader = self.reader().await?;
        let rows = query(STATE).all(&mut reader.connection()).await.map_err(failed)?;
        let read = |row: &Row| state(row).map(|state| (state.credential.clone(), state)).map_err(failed);
        rows.iter().map(read).collect()
    }

    /// Keeps the token that somebody signed in for; `false` when the credential is not of that version any more.
    pub async fn keep_first_token(&self, token: Token, version: i64, by: &str, deed: Deed) -> Result<bool> {
        Box::pin(self.write(KeepFirst { token, version, by: by.to_owned(), deed })).await
    }

    /// Takes the right to get the next token until then; `false` when somebody else has it or the token is another one by now.
    pub async fn lease_token(&self, before: TokenState, lease: &str, now: Millis, until: Millis) -> Result<bool> {
        self.write(TakeLease { before, lease: lease.to_owned(), until, now }).await
    }

    /// Gives that right back.
    pub async fn release_token(&self, credential: &str, lease: &str) -> Result<()> {
        self.write(Release { credential: credential.to_owned(), lease: lease.to_owned() }).await
    }

    /// Takes it from everybody: who had it died with the process before.
    pub async fn lapse_tokens(&self, now: Millis) -> Result<()> {
        self.write(Lapse { now }).await
    }

    /// Keeps the next token; `false` when its lease was lost, or the credential was changed meanwhile.
    pub async fn keep_next_token(&self, token: Token, lease: &str) -> Result<bool> {
        self.write(KeepNext { token, lease: lease.to_owned() }).await
    }

    /// Notes that somebody has to sign in again; `false` when the lease was lost.
    pub async fn lose_token(&self, credential: &str, lease: &str, reason: &str, deed: Deed) -> Result<bool> {
        let (credential, lease, reason) = (credential.to_owned(), lease.to_owned(), reason.to_owned());
        self.write(Lose { credential, lease, reason, deed }).await
    }

    /// Keeps a sign-in that goes to a service.
    pub async fn begin_credential_sign_in(&self, attempt: SignInAttempt, at: Millis) -> Result<()> {
        self.write(Begin { attempt, at }).await
    }

    /// Takes a sign-in that comes back to the session that began it; each comes once.
    pub async fn finish_credential_sign_in(
        &self,
        state_hash: &str,
        session: &str,
        at: Millis,
    ) -> Result<Option<SignInAttempt>> {
        self.write(Finish { state_hash: state_hash.to_owned(), session: session.to_owned(), at }).await
    }
}
