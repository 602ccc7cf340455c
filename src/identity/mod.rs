//! Floor 3: who is asking, and what may they do.
//!
//! [`Identity::authenticate`] turns a token into a [`Caller`]; nothing else makes a principal. [`permission`] decides
//! what that principal may do. Later floors hold neither tokens nor rules.

use std::sync::{Arc, Mutex, PoisonError};

use hashlink::LruCache;
use serde_json::json;

use crate::clock::Clock;
use crate::config::{self, Rate};
use crate::model::conversation::Millis;
use crate::model::id::new_id;
use crate::model::person::{Known, PeopleFilter};
use crate::model::principal::{Principal, PrincipalKind, Rights, Role};
use crate::model::{Error, Result};
use crate::store::Store;
use crate::store::audit::{Action, Deed, Doer};
use crate::store::session::{LoginSession, NewLoginSession};

pub mod acting;
pub mod directory;
pub mod grants;
mod invited;
pub mod keys;
pub mod oidc;
mod outside;
pub mod people;
pub mod permission;
pub mod scim;
pub mod services;
pub mod token;

use oidc::Issuers;
use token::TokenKind;

/// A sign-in link is good for this long.
const LINK_LIFE: Millis = 60 * 60 * 1000;

/// How exactly "last seen" is kept; a finer one would write at every request.
const SEEN_STEP: Millis = 5 * 60 * 1000;

/// A key that was looked up is believed for this long before it is looked up again: so long a revoked key may still open
/// a door.
const KEY_MEMORY: Millis = 1000;

/// Keys that are remembered.
const KEYS: usize = 1024;

/// How the caller proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    Login,
    ApiKey,
    /// A token of another issuer.
    Service,
}

/// A verified credential.
#[derive(Clone, Debug)]
pub struct Caller {
    pub principal: Arc<Principal>,
    /// The login session's or the key's id.
    pub credential_id: String,
    pub kind: CredentialKind,
    pub created_at: Millis,
    pub expires_at: Option<Millis>,
    /// Limits of the credential's own; empty: those of the settings.
    pub rates: Vec<Rate>,
}

/// Verifies credentials and makes them.
pub struct Identity {
    store: Arc<Store>,
    clock: Clock,
    idle: Millis,
    absolute: Millis,
    /// Keys, and services, by the hash of their token, and when they were looked up.
    keys: Mutex<LruCache<String, (Millis, Caller)>>,
    issuers: Issuers,
}

/// How another server did when it was last asked.
#[derive(Clone, Debug, Default)]
pub struct Health {
    pub answered_at: Option<Millis>,
    /// Why it has not answered since.
    pub failed: Option<String>,
}

/// A new login session: the token goes to the browser and nowhere else.
pub struct SignedIn {
    pub token: String,
    pub expires_at: Millis,
}

fn no_user(id: &str) -> Error {
    Error::not_found(format!("there is no user {id}"))
}

fn refused() -> Error {
    Error::unauthenticated("sign in, or send an API key as Authorization: Bearer or X-API-Key")
}

impl Identity {
    pub fn new(store: Arc<Store>, clock: Clock, config: &config::Config) -> Result<Self> {
        let session = &config.session;
        let millis = |duration: jiff::SignedDuration| i64::try_from(duration.as_millis()).unwrap_or(Millis::MAX / 4);
        let keys = Mutex::new(LruCache::new(KEYS));
        let issuers = Issuers::new(&config.services.issuers, clock.clone())?;
        Ok(Self { store, clock, idle: millis(session.idle), absolute: millis(session.absolute), keys, issuers })
    }

    /// Who holds this token. A token that is unknown, expired or revoked gets the same answer as none.
    pub async fn authenticate(&self, token: &str) -> Result<Caller> {
        match token::kind(token) {
            Some(TokenKind::Session) => self.login(token).await,
            Some(TokenKind::ApiKey) => self.api_key(token).await,
            Some(TokenKind::SignInLink | TokenKind::SocketTicket | TokenKind::AccountLink | TokenKind::KeyOffer) => {
                Err(refused())
            }
            // Last, so that no token of ours can pass for somebody else's.
            None if token.bytes().filter(|byte| *byte == b'.').count() == 2 => Box::pin(self.service(token)).await,
            None => Err(refused()),
        }
    }

    async fn login(&self, token: &str) -> Result<Caller> {
        let session = self.store.login_session_by_token(&token::hash(token)).await?.ok_or_else(refused)?;
        self.accept_login(session, self.clock.now(), true).await
    }

    async fn accept_login(&self, session: LoginSession, now: Millis, used: bool) -> Result<Caller> {
        let has_ended = session.expires_at <= now || session.idle_expires_at <= now;
        if session.revoked_at.is_some() || session.is_disabled || has_ended {
            return Err(refused());
        }
        if used && now - session.last_seen_at >= SEEN_STEP {
            self.store.extend_session(&session.id, now, now.saturating_add(self.idle)).await?;
        }
        Ok(Caller {
            principal: Arc::new(session.user),
            credential_id: session.id,
            kind: CredentialKind::Login,
            created_at: session.created_at,
            expires_at: Some(session.expires_at.min(session.idle_expires_at)),
            rates: Vec::new(),
        })
    }

    /// Looks again at the credential behind a long connection. `used` counts as use of a login session.
    pub async fn renew(&self, caller: &Caller, used: bool) -> Result<Caller> {
        let now = self.clock.now();
        match caller.kind {
            CredentialKind::Login => {
                let found = self.store.login_session_by_id(&caller.credential_id).await?;
                let session = found.ok_or_else(refused)?;
                self.accept_login(session, now, used).await
            }
            CredentialKind::ApiKey => {
                let key = self.store.api_key_by_id(&caller.credential_id).await?.ok_or_else(refused)?;
                keys::accept(&key, self.store.grants(), now)
            }
            CredentialKind::Service => self.renew_service(caller, now).await,
        }
    }

    async fn api_key(&self, token: &str) -> Result<Caller> {
        let (now, hash) = (self.clock.now(), token::hash(token));
        if let Some(caller) = self.remembered_key(&hash, now) {
            return Ok(caller);
        }
        let key = self.store.api_key(&hash).await?.ok_or_else(refused)?;
        let caller = keys::accept(&key, self.store.grants(), now)?;
        if key.key.last_used_at.is_none_or(|at| now - at >= SEEN_STEP) {
            self.store.touch_api_key(&key.key.id, now).await?;
        }
        self.remember_key(hash, now, &caller);
        Ok(caller)
    }

    fn remember_key(&self, hash: String, now: Millis, caller: &Caller) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, (now, caller.clone()));
    }

    /// Forgets a key whose rights have changed or ended.
    pub fn forget_key(&self, id: &str) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|_, (_, caller)| caller.credential_id != id);
    }

    /// Forgets all keys: somebody's rights have changed, and which keys that concerns only the database knows.
    pub fn forget_keys(&self) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A key that was looked up a moment ago and has not expired since.
    fn remembered_key(&self, hash: &str, now: Millis) -> Option<Caller> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, caller) = keys.get(hash)?;
        let good = now - at < KEY_MEMORY && caller.expires_at.is_none_or(|end| now < end);
        good.then(|| caller.clone())
    }

    /// Whoever may run this program on its database: the local administrator.
    pub fn operator(&self) -> Principal {
        Principal {
            id: "local-admin".to_owned(),
            kind: PrincipalKind::User,
            name: "Admin".to_owned(),
            roles: vec![Role::Admin, Role::User],
            groups: Vec::new(),
            serves: Vec::new(),
            rights: Rights::default(),
        }
    }

    /// Makes a one-time token that signs in as the local administrator: the way in while there is no directory.
    pub async fn make_sign_in_link(&self) -> Result<String> {
        let now = self.clock.now();
        let token = token::make(TokenKind::SignInLink)?;
        self.store.invite_user(self.operator(), token::hash(&token), now, now + LINK_LIFE).await?;
        Ok(token)
    }

    /// Uses up a sign-in link and opens a login session.
    pub async fn redeem(&self, link: &str, user_agent: &str) -> Result<SignedIn> {
        let used = || Error::unauthenticated("this sign-in link was used already or has expired");
        if token::kind(link) != Some(TokenKind::SignInLink) {
            return Err(used());
        }
        let (signed_in, session) = self.new_session(user_agent)?;
        if !self.store.redeem_link(token::hash(link), session).await? {
            return Err(used());
        }
        Ok(signed_in)
    }

    /// A session that begins now, for the store, and what the browser gets of it.
    fn new_session(&self, user_agent: &str) -> Result<(SignedIn, NewLoginSession)> {
        let now = self.clock.now();
        let token = token::make(TokenKind::Session)?;
        let expires_at = now.saturating_add(self.absolute);
        let session = NewLoginSession {
            id: new_id(),
            token_hash: token::hash(&token),
            user_agent: user_agent.chars().take(200).collect(),
            created_at: now,
            idle_expires_at: now.saturating_add(self.idle),
            expires_at,
        };
        Ok((SignedIn { token, expires_at }, session))
    }

    /// Ends a login session; `false` when it had ended already.
    pub async fn sign_out(&self, session_id: &str) -> Result<bool> {
        self.store.revoke_session(session_id, self.clock.now()).await
    }

    /// Ends every login session of a user; answers which.
    pub async fn sign_out_everywhere(&self, user: &str, doer: Doer) -> Result<Vec<String>> {
        let details = json!({ "because": "signed out everywhere", "user": user });
        let deed = Deed { at: self.clock.now(), action: Action::SignOut, doer, target: None, details };
        self.store.sign_out(user, deed).await?.ok_or_else(|| no_user(user))
    }

    /// Everybody who ever came in or was pushed.
    pub async fn known_people(&self, filter: &PeopleFilter) -> Result<Vec<Known>> {
        self.store.known_people(filter, self.clock.now()).await
    }
}
