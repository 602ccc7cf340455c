//! Tokens that a client gets for itself: OAuth 2.0 client credentials. They are got again whenever they are wanted, so they
//! are in memory only.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::request;
use crate::connector::binding::Opened;
use crate::connector::{Connectors, Failure};
use crate::manifest::connector::{Connector, OAuth2};

/// A token is given up so long before its end, since clocks differ and requests take time.
const SPARE: Duration = Duration::from_secs(60);

/// How long a token counts that does not say so itself, and the longest that any does.
const USUAL: Duration = Duration::from_secs(300);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Tokens by the credential and its version.
#[derive(Default)]
pub(in crate::connector) struct Clients {
    known: Mutex<HashMap<(String, i64), Known>>,
}

struct Known {
    token: Zeroizing<String>,
    until: Instant,
}

impl Clients {
    /// One that is known and was not refused.
    fn known(&self, credential: &Opened, refused: Option<&str>) -> Option<Zeroizing<String>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        known.retain(|_, one| one.until > now && refused != Some(one.token.as_str()));
        known.get(&(credential.id.clone(), credential.version)).map(|one| one.token.clone())
    }

    fn keep(&self, credential: &Opened, token: Zeroizing<String>, until: Instant) {
        let key = (credential.id.clone(), credential.version);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Known { token, until });
    }
}

impl Connectors {
    /// A token of the client that a credential is, another one than `refused`.
    pub(super) async fn clients_token(
        &self,
        connector: &Connector,
        oauth2: &OAuth2,
        credential: &Opened,
        refused: Option<&str>,
    ) -> Result<Zeroizing<String>, Failure> {
        if let Some(token) = self.clients.known(credential, refused) {
            return Ok(token);
        }
        let request = request::make(oauth2, credential, &request::Grant::ClientCredentials)?;
        let granted = request::send(&self.fetch, request, &connector.name).await.map_err(|refusal| refusal.failure)?;
        let life = granted.life.unwrap_or(USUAL).min(LONGEST);
        self.clients.keep(credential, granted.access_token.clone(), Instant::now() + life.saturating_sub(SPARE));
        Ok(granted.access_token)
    }
}
