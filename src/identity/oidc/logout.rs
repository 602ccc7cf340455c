//! Logouts that begin at the directory: it posts a signed token that names a person, a session or both.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Oidc;
use super::jwt::{Audience, Parts, millis};
use super::login::SKEW;
use crate::identity::token;
use crate::model::conversation::Millis;
use crate::model::{Error, Result};
use crate::store::directory::DirectoryLogout;

/// How old a logout token may be.
const LONGEST_AGE: Millis = 10 * 60 * 1000;

/// What a logout token says it is about.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    /// Unix seconds; some directories write fractions.
    iat: f64,
    exp: Option<f64>,
    jti: String,
    events: Map<String, Value>,
    sub: Option<String>,
    sid: Option<String>,
    nonce: Option<Value>,
}

impl Claims {
    /// Why this is no logout token for this client, now.
    fn fault(&self, issuer: &str, client: &str, now: Millis) -> Option<&'static str> {
        let is_for_us = self.aud.names(client);
        let issued = millis(self.iat);
        let faults = [
            (self.iss != issuer, "it is of another issuer"),
            (!is_for_us, "it is for another client"),
            (issued.saturating_sub(now) > SKEW, "it is of the future"),
            (now.saturating_sub(issued) > LONGEST_AGE, "it is too old"),
            (self.exp.is_some_and(|at| millis(at).saturating_add(SKEW) <= now), "it has expired"),
            (!self.events.get(EVENT).is_some_and(Value::is_object), "it is about no logout"),
            (self.nonce.is_some(), "it has a nonce"),
            (self.jti.is_empty(), "it has no id"),
            (self.sub.is_none() && self.sid.is_none(), "it names neither a person nor a session"),
        ];
        faults.into_iter().find_map(|(is_fault, what)| is_fault.then_some(what))
    }
}

/// The refusal says nothing to whoever sent the token; the reason is logged.
fn refused(reason: &'static str) -> Error {
    tracing::warn!(reason, "a logout token was refused");
    Error::invalid("this logout token does not count")
}

impl Oidc {
    /// Ends the sessions that a logout token names, and answers their ids.
    pub async fn end(&self, logout_token: &str) -> Result<Vec<String>> {
        let parts = Parts::of(logout_token).ok_or_else(|| refused("it cannot be read"))?;
        let kind = parts.kind().unwrap_or("JWT").to_ascii_lowercase();
        if !matches!(kind.trim_start_matches("application/"), "logout+jwt" | "jwt") {
            return Err(refused("it is of another type"));
        }
        let claims: Claims = parts.claims().ok_or_else(|| refused("its claims cannot be read"))?;
        let now = self.clock.now();
        // Before the signature: what is not meant for us does not make us ask for keys.
        if let Some(fault) = claims.fault(&self.settings.issuer, &self.settings.client_id, now) {
            return Err(refused(fault));
        }
        let algorithms = self.provider.discovery().await?.algorithms();
        let keys = self.provider.keys(parts.kid()).await?;
        if !parts.is_signed(&keys, &algorithms) {
            return Err(refused("its signature does not hold"));
        }
        let logout = DirectoryLogout {
            id_hash: token::hash(&format!("{}\n{}", claims.iss, claims.jti)),
            issuer: claims.iss,
            subject: claims.sub,
            sid: claims.sid,
            expires_at: now + LONGEST_AGE + 2 * SKEW,
            at: now,
        };
        self.store.end_directory_sessions(logout).await?.ok_or_else(|| refused("it was used already"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Millis = 1_790_000_000_000;

    fn fault(change: fn(&mut Value)) -> Option<&'static str> {
        let mut claims = json!({
            "iss": "https://id", "aud": ["other", "us"], "iat": NOW / 1000, "jti": "1", "events": { EVENT: {} }, "sub": "ann",
        });
        change(&mut claims);
        serde_json::from_value::<Claims>(claims).unwrap().fault("https://id", "us", NOW)
    }

    #[test]
    fn a_logout_token_is_about_a_logout_here_and_now() {
        assert_eq!(fault(|_| {}), None);
        assert_eq!(fault(|claims| claims["aud"] = json!("us")), None);
        assert_eq!(fault(|claims| claims["iat"] = json!(NOW as f64 / 1000.0 - 599.5)), None);
        let changes: [fn(&mut Value); 11] = [
            |claims| claims["iss"] = json!("https://id/"),
            |claims| claims["aud"] = json!("other"),
            |claims| claims["aud"] = json!([]),
            |claims| claims["iat"] = json!(NOW / 1000 + 61),
            |claims| claims["iat"] = json!(NOW / 1000 - 601),
            |claims| claims["iat"] = json!(-1e300),
            |claims| claims["exp"] = json!(NOW / 1000 - 60),
            |claims| claims["events"] = json!({ "other": {} }),
            |claims| claims["nonce"] = json!("n"),
            |claims| claims["jti"] = json!(""),
            |claims| claims["sub"] = json!(null),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert!(fault(change).is_some(), "change {index}");
        }
    }
}
