//! Signing in with the company's directory, by OpenID Connect.
//!
//! [`Oidc::begin`] sends a browser to the directory, [`Oidc::finish`] takes it back (both in `login`), [`Oidc::end`] hears
//! that the directory has ended sessions (`logout`). `provider` keeps what the directory says about itself.

use std::sync::{Arc, Mutex, PoisonError};

use hashlink::LruCache;
use openidconnect::url::Url;

use super::{Health, Identity};
use crate::clock::Clock;
use crate::config;
use crate::model::{Error, Result};
use crate::store::Store;
use crate::store::directory::Provisioning;

mod claims;
mod exchange;
mod issuer;
mod jwt;
mod login;
mod logout;
mod provider;

pub use issuer::Issuers;
pub use login::{Answered, Begun, Returned};
use provider::Provider;

/// Said to whoever would sign in while the directory is down.
const UNAVAILABLE: &str = "the directory that signs people in does not answer; try again in a moment";

/// How many tokens are kept for logging out at the directory.
const HINTS: usize = 10_000;

/// Signs people in with one directory.
pub struct Oidc {
    settings: config::Oidc,
    provisioning: Provisioning,
    /// Of this server, without a trailing slash.
    public_url: String,
    store: Arc<Store>,
    identity: Arc<Identity>,
    clock: Clock,
    exchange: exchange::Exchange,
    provider: Provider,
    /// The directory's token of each session, which it wants to see at a logout. Never written anywhere: after a restart
    /// a logout there goes without.
    hints: Mutex<LruCache<String, String>>,
}

impl Oidc {
    /// Signs in with the directory of the settings; `None` when they name none. The directory need not be up.
    pub fn new(
        settings: &config::Oidc,
        scim: &config::Scim,
        public_url: &str,
        store: Arc<Store>,
        identity: Arc<Identity>,
        clock: Clock,
    ) -> Result<Option<Arc<Self>>> {
        if settings.issuer.is_empty() {
            return Ok(None);
        }
        let exchange = exchange::Exchange::new(&settings.issuer)
            .map_err(|error| Error::internal("set up requests to the directory", error))?;
        let provider = Provider::new(settings.issuer.clone(), exchange.clone(), clock.clone());
        Ok(Some(Arc::new(Self {
            settings: settings.clone(),
            provisioning: Provisioning { link: scim.link, required: scim.required },
            public_url: public_url.to_owned(),
            store,
            identity,
            clock,
            exchange,
            provider,
            hints: Mutex::new(LruCache::new(HINTS)),
        })))
    }

    /// How the directory did when it was last asked.
    pub fn health(&self) -> Health {
        self.provider.health()
    }

    /// Asks the directory about itself, unless that was done a moment ago.
    pub async fn look(&self) {
        // How it went is in its health.
        let _ = self.provider.discovery().await;
    }

    fn remember_hint(&self, session: &str, id_token: String) {
        self.hints.lock().unwrap_or_else(PoisonError::into_inner).insert(session.to_owned(), id_token);
    }

    /// Where a browser logs out at the directory too, after a session of ours has ended; `None` when the session did not
    /// come from there, or the directory has no such place or cannot be asked.
    pub async fn end_session_url(&self, session: &str) -> Result<Option<String>> {
        let hint = self.hints.lock().unwrap_or_else(PoisonError::into_inner).remove(session);
        let found = self.store.login_session_by_id(session).await?;
        if found.and_then(|session| session.issuer).as_ref() != Some(&self.settings.issuer) {
            return Ok(None);
        }
        // The session here has ended in any case.
        let Ok(discovery) = self.provider.discovery().await else { return Ok(None) };
        let place = discovery.end_session_endpoint.as_deref().filter(|place| config::is_confidential(place));
        let Some(mut place) = place.and_then(|place| Url::parse(place).ok()) else { return Ok(None) };
        {
            let mut query = place.query_pairs_mut();
            if let Some(hint) = &hint {
                query.append_pair("id_token_hint", hint);
            }
            query.append_pair("client_id", &self.settings.client_id);
            query.append_pair("post_logout_redirect_uri", &format!("{}/", self.public_url));
        }
        Ok(Some(place.into()))
    }
}
