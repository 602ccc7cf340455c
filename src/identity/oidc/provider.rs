//! What the directory says about itself, and the keys it signs with: asked for when needed, kept for a while.
//!
//! The directory may be down. What was known before then goes on counting for a day, and a directory that has just
//! failed is not asked again at once.

use std::sync::{Arc, PoisonError};

use openidconnect::JsonWebKey as _;
use openidconnect::core::{CoreJsonWebKeySet, CoreJwsSigningAlgorithm as Algorithm};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::exchange::{Exchange, Failure};
use crate::clock::Clock;
use crate::identity::Health;
use crate::model::conversation::Millis;
use crate::model::{Error, Kind, Result};

const MINUTE: Millis = 60 * 1000;

/// For how long an answer counts without asking again …
const FRESH: Millis = 10 * MINUTE;

/// … and for how long while the directory does not answer.
const STALE: Millis = 24 * 60 * MINUTE;

/// How long a directory that failed is left alone.
const PAUSE: Millis = 5 * 1000;

/// How often an unknown key may be asked for.
const UNKNOWN_KEY_PAUSE: Millis = MINUTE;

/// Algorithms by which a token may be signed at all: never without a key, never with a shared one.
pub(super) const SAFE: [Algorithm; 9] = [
    Algorithm::RsaSsaPkcs1V15Sha256,
    Algorithm::RsaSsaPkcs1V15Sha384,
    Algorithm::RsaSsaPkcs1V15Sha512,
    Algorithm::RsaSsaPssSha256,
    Algorithm::RsaSsaPssSha384,
    Algorithm::RsaSsaPssSha512,
    Algorithm::EcdsaP256Sha256,
    Algorithm::EcdsaP384Sha384,
    Algorithm::EdDsa,
];

/// The parts of the discovery document that are used; a directory may leave out most of it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Discovery {
    issuer: String,
    /// Empty at an issuer that signs in programs only.
    #[serde(default)]
    pub(super) authorization_endpoint: String,
    #[serde(default)]
    pub(super) token_endpoint: String,
    jwks_uri: String,
    pub(super) userinfo_endpoint: Option<String>,
    pub(super) end_session_endpoint: Option<String>,
    #[serde(default)]
    id_token_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    /// Whether it always names itself when it sends somebody back.
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

impl Discovery {
    /// The algorithms its tokens may be signed with: those it names, never without a key or with a shared one.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let named = &self.id_token_signing_alg_values_supported;
        if named.is_empty() {
            return vec![Algorithm::RsaSsaPkcs1V15Sha256];
        }
        SAFE.into_iter().filter(|safe| named.iter().any(|name| algorithm(name).as_ref() == Some(safe))).collect()
    }

    /// Whether the client secret goes into the body; otherwise into a header.
    pub(super) fn wants_secret_in_body(&self) -> bool {
        let takes = |method: &str| self.token_endpoint_auth_methods_supported.iter().any(|known| known == method);
        takes("client_secret_post") && !takes("client_secret_basic")
    }
}

/// The algorithm of this name.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    serde_json::from_value(name.into()).ok()
}

struct Held<T> {
    value: Arc<T>,
    at: Millis,
}

impl<T> Held<T> {
    fn younger_than(&self, age: Millis, now: Millis) -> bool {
        now - self.at < age
    }
}

#[derive(Default)]
struct State {
    discovery: Option<Held<Discovery>>,
    keys: Option<Held<CoreJsonWebKeySet>>,
    failed_at: Option<Millis>,
    unknown_key_at: Option<Millis>,
}

/// One directory.
pub(super) struct Provider {
    issuer: String,
    exchange: Exchange,
    clock: Clock,
    state: Mutex<State>,
    health: std::sync::Mutex<Health>,
}

fn unavailable(failure: Failure) -> Error {
    Error::new(Kind::Unavailable, "DIRECTORY_UNAVAILABLE", super::UNAVAILABLE).retry_after(PAUSE).caused_by(failure)
}

impl Provider {
    pub(super) fn new(issuer: String, exchange: Exchange, clock: Clock) -> Self {
        Self { issuer, exchange, clock, state: Mutex::default(), health: std::sync::Mutex::default() }
    }

    /// How the directory did when it was last asked.
    pub(super) fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the directory says about itself.
    pub(super) async fn discovery(&self) -> Result<Arc<Discovery>> {
        let mut state = self.state.lock().await;
        self.discover(&mut state).await.map_err(unavailable)
    }

    /// The keys it signs with. When none is known under this id, it is asked whether there are new ones.
    pub(super) async fn keys(&self, id: Option<&str>) -> Result<Arc<CoreJsonWebKeySet>> {
        let mut state = self.state.lock().await;
        let now = self.clock.now();
        let has = |keys: &CoreJsonWebKeySet| {
            id.is_none_or(|id| keys.keys().iter().any(|key| key.key_id().is_some_and(|known| known.as_str() == id)))
        };
        if let Some(held) = &state.keys
            && held.younger_than(FRESH, now)
        {
            let asked = state.unknown_key_at.is_some_and(|at| now - at < UNKNOWN_KEY_PAUSE);
            if has(&held.value) || asked {
                return Ok(held.value.clone());
            }
            state.unknown_key_at = Some(now);
        }
        let asked = self.ask_for_keys(&mut state).await;
        let stale = state.keys.as_ref().filter(|held| held.younger_than(STALE, now)).map(|held| held.value.clone());
        match (asked, stale) {
            (Ok(keys), _) => Ok(keys),
            (Err(_), Some(keys)) => Ok(keys),
            (Err(failure), None) => Err(unavailable(failure)),
        }
    }

    async fn discover(&self, state: &mut State) -> Result<Arc<Discovery>, Failure> {
        let now = self.clock.now();
        if let Some(held) = state.discovery.as_ref().filter(|held| held.younger_than(FRESH, now)) {
            return Ok(held.value.clone());
        }
        let address = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let asked = self.ask(state, &address).await.and_then(|found: Discovery| {
            if found.issuer == self.issuer {
                return Ok(found);
            }
            let (named, own) = (&found.issuer, &self.issuer);
            Err(Failure::Unusable(format!("it calls itself {named:?}, the settings say {own:?}")))
        });
        match asked {
            Ok(found) => {
                let value = Arc::new(found);
                state.discovery = Some(Held { value: value.clone(), at: now });
                Ok(value)
            }
            Err(failure) => {
                let stale = state.discovery.as_ref().filter(|held| held.younger_than(STALE, now));
                stale.map(|held| held.value.clone()).ok_or(failure)
            }
        }
    }

    async fn ask_for_keys(&self, state: &mut State) -> Result<Arc<CoreJsonWebKeySet>, Failure> {
        let address = self.discover(state).await?.jwks_uri.clone();
        let value: Arc<CoreJsonWebKeySet> = Arc::new(self.ask(state, &address).await?);
        state.keys = Some(Held { value: value.clone(), at: self.clock.now() });
        Ok(value)
    }

    /// Asks for a document, unless the directory has failed just now.
    async fn ask<T: serde::de::DeserializeOwned>(&self, state: &mut State, address: &str) -> Result<T, Failure> {
        let now = self.clock.now();
        if state.failed_at.is_some_and(|at| now - at < PAUSE) {
            return Err(Failure::Unusable("it failed a moment ago".to_owned()));
        }
        let asked = self.exchange.get(address, None).await;
        state.failed_at = asked.is_err().then_some(now);
        {
            let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
            match &asked {
                Ok(_) => *health = Health { answered_at: Some(now), failed: None },
                Err(failure) => health.failed = Some(failure.to_string()),
            }
        }
        if let Err(failure) = &asked {
            tracing::warn!(issuer = self.issuer, %failure, "the directory could not be asked");
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discovery(algorithms: &[&str], methods: &[&str]) -> Discovery {
        serde_json::from_value(serde_json::json!({
            "issuer": "i", "authorization_endpoint": "a", "token_endpoint": "t", "jwks_uri": "j",
            "id_token_signing_alg_values_supported": algorithms, "token_endpoint_auth_methods_supported": methods,
        }))
        .unwrap()
    }

    #[test]
    fn no_token_without_a_key_or_with_a_shared_one() {
        assert_eq!(discovery(&[], &[]).algorithms(), [Algorithm::RsaSsaPkcs1V15Sha256]);
        let named = discovery(&["none", "HS256", "HS512", "ES256", "XY1"], &[]);
        assert_eq!(named.algorithms(), [Algorithm::EcdsaP256Sha256]);
        assert!(discovery(&["none", "HS256"], &[]).algorithms().is_empty());
    }

    #[test]
    fn the_secret_goes_where_the_directory_takes_it() {
        for (methods, body) in [
            (&[][..], false),
            (&["client_secret_basic", "client_secret_post"], false),
            (&["client_secret_post"], true),
            (&["none"], false),
        ] {
            assert_eq!(discovery(&[], methods).wants_secret_in_body(), body, "{methods:?}");
        }
    }
}
