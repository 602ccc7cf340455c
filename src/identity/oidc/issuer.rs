//! Issuers whose tokens programs may bring (OAuth 2.0 client credentials): which client a token proves.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::exchange::Exchange;
use super::jwt::{Audience, Parts, millis};
use super::login::SKEW;
use super::provider::{Provider, SAFE, algorithm};
use crate::clock::Clock;
use crate::config;
use crate::model::conversation::Millis;
use crate::model::{Error, Result};

/// The issuers of the settings.
pub struct Issuers {
    issuers: Vec<Issuer>,
    clock: Clock,
}

struct Issuer {
    settings: config::Issuer,
    provider: Provider,
}

/// A client that a token proves to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub issuer: String,
    pub client_id: String,
    /// When the token ends.
    pub expires_at: Millis,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    /// Unix seconds.
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Claims {
    /// Why it does not count here, now.
    fn fault(&self, settings: &config::Issuer, now: Millis) -> Option<&'static str> {
        let is_future = |at: Option<f64>| at.is_some_and(|at| millis(at).saturating_sub(now) > SKEW);
        let faults = [
            (!self.aud.names(&settings.audience), "it is for another audience"),
            (millis(self.exp).saturating_add(SKEW) <= now, "it has expired"),
            (is_future(self.nbf) || is_future(self.iat), "it is of the future"),
            (self.others.contains_key("nonce"), "it is a token for signing in"),
        ];
        faults.into_iter().find_map(|(is_fault, what)| is_fault.then_some(what))
    }

    fn client_id(&self, settings: &config::Issuer) -> Option<&str> {
        let claim = |name: &String| self.others.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        settings.client_id_claim.iter().find_map(claim)
    }
}

/// The refusal says nothing to whoever sent the token; the reason is logged, the token never.
fn refused(reason: &'static str) -> Error {
    tracing::info!(reason, "a token of a service was refused");
    super::super::refused()
}

impl Issuers {
    /// None of them need be up.
    pub fn new(settings: &[config::Issuer], clock: Clock) -> Result<Self> {
        let issuer = |settings: &config::Issuer| {
            let exchange = Exchange::new(&settings.issuer)
                .map_err(|error| Error::internal("set up requests to an issuer", error))?;
            let provider = Provider::new(settings.issuer.clone(), exchange, clock.clone());
            Ok(Issuer { settings: settings.clone(), provider })
        };
        let issuers = settings.iter().map(issuer).collect::<Result<_>>()?;
        Ok(Self { issuers, clock })
    }

    /// Whether a service of this issuer could ever come in.
    pub fn knows(&self, issuer: &str) -> bool {
        self.issuers.iter().any(|known| known.settings.issuer == issuer)
    }

    /// The issuer, when there is only one.
    pub fn only(&self) -> Option<&str> {
        match self.issuers.as_slice() {
            [one] => Some(&one.settings.issuer),
            _ => None,
        }
    }

    /// The client that a token proves. Whoever made it up, and whoever it is not for us, learns nothing.
    pub async fn verify(&self, token: &str) -> Result<Client> {
        if self.issuers.is_empty() {
            return Err(super::super::refused());
        }
        let parts = Parts::of(token).ok_or_else(|| refused("it cannot be read"))?;
        let kind = parts.kind().unwrap_or("JWT").to_ascii_lowercase();
        if !matches!(kind.trim_start_matches("application/"), "at+jwt" | "jwt") {
            return Err(refused("it is of another type"));
        }
        let claims: Claims = parts.claims().ok_or_else(|| refused("its claims cannot be read"))?;
        let issuer = self.issuers.iter().find(|issuer| issuer.settings.issuer == claims.iss);
        let Issuer { settings, provider } = issuer.ok_or_else(|| refused("it is of another issuer"))?;
        // Before the signature: what is not meant for us does not make us ask for keys.
        if let Some(fault) = claims.fault(settings, self.clock.now()) {
            return Err(refused(fault));
        }
        let client_id = claims.client_id(settings).ok_or_else(|| refused("it names no client"))?;
        let named = settings.algorithms.iter().filter_map(|name| algorithm(name));
        let algorithms: Vec<_> = named.filter(|algorithm| SAFE.contains(algorithm)).collect();
        if !parts.is_signed(&*provider.keys(parts.kid()).await?, &algorithms) {
            return Err(refused("its signature does not hold"));
        }
        Ok(Client { issuer: settings.issuer.clone(), client_id: client_id.to_owned(), expires_at: millis(claims.exp) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Millis = 1_790_000_000_000;

    fn settings() -> config::Issuer {
        serde_json::from_value(json!({ "issuer": "https://id", "audience": "us" })).unwrap()
    }

    #[test]
    fn a_token_is_for_us_and_for_now() {
        let fault = |change: fn(&mut Value)| {
            let mut claims = json!({ "iss": "https://id", "aud": ["other", "us"], "exp": NOW / 1000 + 60, "azp": "c" });
            change(&mut claims);
            serde_json::from_value::<Claims>(claims).map(|claims| claims.fault(&settings(), NOW)).ok()
        };
        assert_eq!(fault(|_| {}), Some(None));
        assert_eq!(fault(|claims| claims["exp"] = json!(NOW / 1000 - 59)), Some(None));
        assert_eq!(fault(|claims| claims["exp"] = json!(null)), None, "a token that never ends is none");
        let changes: [fn(&mut Value); 6] = [
            |claims| claims["aud"] = json!("other"),
            |claims| claims["aud"] = json!([]),
            |claims| claims["exp"] = json!(NOW / 1000 - 60),
            |claims| claims["nbf"] = json!(NOW / 1000 + 61),
            |claims| claims["iat"] = json!(NOW / 1000 + 61),
            |claims| claims["nonce"] = json!("n"),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert!(fault(change).flatten().is_some(), "change {index}");
        }
    }

    #[test]
    fn the_client_is_named_by_the_first_claim_that_is_there() {
        for (claims, expected) in [
            (json!({ "azp": "a", "appid": "b", "client_id": "c" }), Some("a")),
            (json!({ "appid": "b" }), Some("b")),
            (json!({ "azp": "", "client_id": "c" }), Some("c")),
            (json!({ "azp": 7, "sub": "s" }), None),
        ] {
            let mut whole = json!({ "iss": "https://id", "aud": "us", "exp": 1 });
            whole.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
            let read: Claims = serde_json::from_value(whole).unwrap();
            assert_eq!(read.client_id(&settings()), expected, "{claims}");
        }
    }
}
