//! Tokens that somebody signed in for: kept, and renewed before they end.
//!
//! A token is a row ([`TokenState`]) and what the vault has sealed for it; nothing is kept in memory, so that every task and
//! every server uses the same one. Whoever finds it near its end takes the row's lease and gets the next one; the others
//! wait for that. The new token, and the refresh token that came with it, are committed before anybody uses them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::oneshot;
use zeroize::{Zeroize as _, Zeroizing};

use super::request::{self, Granted};
use crate::clock::Clock;
use crate::connector::binding::Opened;
use crate::connector::credential::unsent;
use crate::connector::{Connectors, Failure};
use crate::fetch::{Fetch, Request};
use crate::manifest::connector::{Connector, OAuth2};
use crate::model::conversation::Millis;
use crate::model::id::new_id;
use crate::model::{Error, Result as Outcome};
use crate::store::Store;
use crate::store::audit::{Action, Deed, Doer};
use crate::store::credential::sealed_owner;
use crate::store::credential_token::{NOBODY_YET, TOKEN, Token, TokenState};
use crate::store::vault::KEY_RETIRED;
use crate::tasks::Tasks;
use crate::vault::Vault;

/// The next token is asked for so long before the end of one, or a quarter of its life: clocks differ and requests take time.
const SPARE: Millis = 60_000;

/// The longest that any token is believed to be good.
const LONGEST_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How long whoever gets a token may take before another one tries; longer than any request for one, with all it takes to keep it.
const LEASE: Millis = 90_000;

/// How often those who wait for somebody else's token look.
const LOOK: Duration = Duration::from_millis(50);

/// How often a token that was got is tried to be kept, and how long apart at first.
const KEEP_TRIES: u32 = 8;
const KEEP_PAUSE: Duration = Duration::from_millis(100);

/// Where tokens are got and kept.
pub(in crate::connector) struct Tokens {
    pub(in crate::connector) store: Arc<Store>,
    pub(in crate::connector) vault: Arc<Vault>,
    pub(in crate::connector) fetch: Fetch,
    pub(in crate::connector) clock: Clock,
    /// Getting a token goes on when the call that wanted it does not: a refresh token may be good only once.
    pub(in crate::connector) tasks: Tasks,
    /// Of this server, without a trailing slash.
    pub(in crate::connector) public_url: OnceLock<String>,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
pub(super) struct Sealable {
    access_token: String,
    refresh_token: Option<String>,
}

impl Drop for Sealable {
    fn drop(&mut self) {
        self.access_token.zeroize();
        self.refresh_token.zeroize();
    }
}

impl Connectors {
    /// The token that somebody signed in for, renewed when it is near its end or was `refused`; `None` when that one was
    /// and there is no other.
    pub(super) async fn kept_token(
        &self,
        connector: &Connector,
        oauth2: &OAuth2,
        credential: &Opened,
        refused: Option<&str>,
    ) -> Result<Option<Zeroizing<String>>, Failure> {
        let tokens = &self.tokens;
        let fault = |error: Error| unsent(&error);
        // What was got this moment is used, however short its life is.
        let mut has_renewed = false;
        loop {
            let state = tokens.store.token_state(&credential.id).await.map_err(fault)?;
            let state = state.ok_or_else(|| tokens.needs_sign_in(credential, NOBODY_YET))?;
            if let Some(reason) = &state.reason {
                return Err(tokens.needs_sign_in(credential, reason));
            }
            let kept = tokens.open(&credential.id).await.map_err(fault)?;
            let kept = kept.ok_or_else(|| tokens.needs_sign_in(credential, "its token is gone"))?;
            let now = tokens.clock.now();
            let is_refused = refused == Some(kept.access_token.as_str());
            let is_fresh = has_renewed || state.renew_at.is_none_or(|at| at > now);
            let is_over = state.expires_at.is_some_and(|at| at <= now);
            match &kept.refresh_token {
                _ if is_fresh && !is_refused => return Ok(Some(Zeroizing::new(kept.access_token.clone()))),
                // Nothing to get another one with: it is used to its very end.
                None if !is_over => return Ok((!is_refused).then(|| Zeroizing::new(kept.access_token.clone()))),
                _ => {}
            }
            if state.leased_until.is_some_and(|until| until > now) {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            let renewal = Renewal::new(connector, oauth2, credential, &state, &kept)?;
            if tokens.store.lease_token(state, &renewal.lease, now, now + LEASE).await.map_err(fault)? {
                tokens.renew(renewal).await?;
                has_renewed = true;
            }
        }
    }
}

/// One getting of a token, under its lease.
struct Renewal {
    credential: String,
    name: String,
    service: String,
    /// None when there is nothing to ask with any more.
    request: Option<Request>,
    refresh_token: Option<Zeroizing<String>>,
    lease: String,
    /// Whether a process died while it got the one before.
    was_interrupted: bool,
}

impl Renewal {
    fn new(
        connector: &Connector,
        oauth2: &OAuth2,
        credential: &Opened,
        state: &TokenState,
        kept: &Sealable,
    ) -> Result<Self, Failure> {
        let refresh_token = kept.refresh_token.clone().map(Zeroizing::new);
        let request = refresh_token.as_deref().map(|token| {
            let grant = request::Grant::Refresh(token);
            request::make(oauth2, credential, &grant)
        });
        Ok(Self {
            credential: credential.id.clone(),
            name: credential.name.clone(),
            service: connector.name.clone(),
            request: request.transpose()?,
            refresh_token,
            lease: new_id(),
            was_interrupted: state.leased_until.is_some(),
        })
    }
}

impl Tokens {
    async fn open(&self, credential: &str) -> Outcome<Option<Sealable>> {
        let opened = self.vault.open_value(&sealed_owner(credential), TOKEN).await?;
        let read = |bytes: Zeroizing<Vec<u8>>| serde_json::from_slice(&bytes);
        opened.map(read).transpose().map_err(|error| Error::internal("read a token", error))
    }

    /// What was granted, as it is kept. A service that sends no other refresh token goes on with the one it gave.
    pub(super) async fn sealed(&self, credential: &str, granted: &Granted, before: Option<&str>) -> Outcome<Token> {
        let refresh_token = granted.refresh_token.as_ref().map(|token| token.as_str()).or(before);
        let sealable = Sealable {
            access_token: granted.access_token.to_string(),
            refresh_token: refresh_token.map(str::to_owned),
        };
        let bytes = serde_json::to_vec(&sealable).map_err(|error| Error::internal("write a token", error))?;
        let sealed = self.vault.seal(&sealed_owner(credential), TOKEN, &Zeroizing::new(bytes)).await?;
        let (expires_at, renew_at) = ends(self.clock.now(), granted.life);
        Ok(Token { credential: credential.to_owned(), sealed, expires_at, renew_at })
    }

    /// Gets the next token, whatever becomes of the call that wants it.
    async fn renew(self: &Arc<Self>, renewal: Renewal) -> Result<(), Failure> {
        let (told, done) = oneshot::channel();
        let tokens = self.clone();
        self.tasks.spawn("token", async move {
            let outcome = tokens.renew_now(renewal).await;
            // The call may have ended meanwhile.
            let _ = told.send(outcome);
        });
        done.await.unwrap_or_else(|_| Err(Failure::refused("token_refused", "the server is stopping")))
    }

    async fn renew_now(&self, mut renewal: Renewal) -> Result<(), Failure> {
        let Some(request) = renewal.request.take() else {
            return self.lose(&renewal, "the token has expired, and the service gave nothing to renew it with").await;
        };
        crate::crash_point::reached("token.asking");
        let granted = match request::send(&self.fetch, request, &renewal.service).await {
            Ok(granted) => granted,
            Err(refusal) if refusal.is_final => {
                let reason = match renewal.was_interrupted {
                    true => {
                        "the server stopped while it renewed the token, and the service does not take the one before"
                    }
                    false => refusal.failure.message.trim_start_matches("no access token: "),
                };
                return self.lose(&renewal, reason).await;
            }
            Err(refusal) => {
                self.store.release_token(&renewal.credential, &renewal.lease).await.map_err(|error| unsent(&error))?;
                return Err(refusal.failure);
            }
        };
        crate::crash_point::reached("token.answered");
        let kept = self.keep(&renewal, &granted).await.map_err(|error| unsent(&error))?;
        crate::crash_point::reached("token.kept");
        if !kept {
            tracing::info!(credential = renewal.credential, "a token came too late and is not used");
        }
        Ok(())
    }

    async fn keep(&self, renewal: &Renewal, granted: &Granted) -> Outcome<bool> {
        let before = renewal.refresh_token.as_ref().map(|token| token.as_str());
        let mut tries = 0;
        loop {
            tries += 1;
            let kept = match self.sealed(&renewal.credential, granted, before).await {
                Ok(token) => self.store.keep_next_token(token, &renewal.lease).await,
                Err(error) => Err(error),
            };
            // The service may have forgotten the refresh token before: what came instead must not be lost to a database
            // that is away for a moment.
            match kept {
                Err(error) if tries < KEEP_TRIES => {
                    if error.code != KEY_RETIRED {
                        tracing::warn!(%error, "failed to keep a token; trying again");
                        tokio::time::sleep(KEEP_PAUSE * 2u32.pow(tries)).await;
                    }
                }
                outcome => return outcome,
            }
        }
    }

    /// Notes that somebody has to sign in again.
    async fn lose(&self, renewal: &Renewal, reason: &str) -> Result<(), Failure> {
        let Renewal { credential, name, lease, .. } = renewal;
        let deed = Deed {
            at: self.clock.now(),
            action: Action::CredentialSignInLost,
            doer: Doer { name: Some("parlour".to_owned()), ..Doer::default() },
            target: Some(credential.clone()),
            details: json!({ "name": name, "reason": reason }),
        };
        tracing::warn!(credential, reason, "a credential needs somebody to sign in");
        self.store.lose_token(credential, lease, reason, deed).await.map_err(|error| unsent(&error))?;
        Ok(())
    }

    fn needs_sign_in(&self, credential: &Opened, reason: &str) -> Failure {
        let message = format!(
            "somebody has to sign in for credential '{}' at {}: {reason}",
            credential.name,
            self.sign_in_page(&credential.id)
        );
        Failure::refused("credential_needs_sign_in", message)
    }

    /// Where somebody signs in for a credential.
    pub(super) fn sign_in_page(&self, credential: &str) -> String {
        self.address(&format!("/credentials/{credential}/sign-in"))
    }

    /// The address of something on this server.
    pub(super) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.get().map_or("", String::as_str))
    }
}

/// When a token ends that is good for so long, and when the next one is asked for.
fn ends(at: Millis, life: Option<Duration>) -> (Option<Millis>, Option<Millis>) {
    let Some(life) = life else { return (None, None) };
    let life = i64::try_from(life.min(LONGEST_LIFE).as_millis()).unwrap_or(i64::MAX / 4);
    (Some(at + life), Some(at + life - SPARE.min(life / 4)))
}
