//! Whether a request is Slack's: a signature over its raw body and its time, not older than five minutes, seen once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::model::conversation::Millis;
use crate::model::id::hex;
use crate::model::secret::Secret;
use crate::model::{Error, Result};

/// A request older than that, or so far ahead, is not taken.
const WINDOW: Millis = 5 * 60 * 1000;

/// What a request says about its origin.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `X-Slack-Request-Timestamp`: Unix time in seconds.
    pub timestamp: &'a str,
    /// `X-Slack-Signature`: `v0=` and hex.
    pub signature: &'a str,
    /// Byte for byte as it came.
    pub body: &'a [u8],
}

/// Verifies signatures with one secret.
pub struct Verifier {
    secret: Secret,
    /// Signatures that were taken, and until when they could be sent again.
    seen: Mutex<HashMap<String, Millis>>,
}

fn refused(why: &'static str) -> Error {
    Error::unauthenticated(why)
}

impl Verifier {
    pub fn new(secret: Secret) -> Self {
        Self { secret, seen: Mutex::default() }
    }

    /// Whether a request counts. Without a secret none does.
    pub fn verify(&self, request: &Signed<'_>, now: Millis) -> Result<()> {
        if self.secret.is_empty() {
            return Err(refused("no signing secret is configured (slack.signing_secret), so no request is believed"));
        }
        let seconds: i64 = request.timestamp.parse().map_err(|_| refused("the request carries no time"))?;
        let at = seconds.checked_mul(1000).ok_or_else(|| refused("the request carries no time"))?;
        if now.abs_diff(at) > WINDOW.unsigned_abs() {
            return Err(refused("the request is too old"));
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.expose().as_bytes())
            .map_err(|error| Error::internal("verify a signature", error))?;
        for part in [b"v0:", request.timestamp.as_bytes(), b":", request.body] {
            mac.update(part);
        }
        let expected = format!("v0={}", hex(&mac.finalize().into_bytes()));
        if !bool::from(expected.as_bytes().ct_eq(request.signature.as_bytes())) {
            return Err(refused("the signature does not fit"));
        }
        if self.seen().get(request.signature).is_some_and(|until| *until >= now) {
            return Err(refused("the request was sent before"));
        }
        Ok(())
    }

    /// Notes that a verified request was taken: the same one again is not.
    pub fn taken(&self, signature: &str, now: Millis) {
        let mut seen = self.seen();
        seen.retain(|_, until| *until >= now);
        // Its time may lie ahead by the window.
        seen.insert(signature.to_owned(), now + 2 * WINDOW);
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashMap<String, Millis>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Slack's own documentation.
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    const AT: Millis = 1_531_420_618_000;

    #[test]
    fn only_what_slack_signed_counts() {
        let altered = format!("{BODY} ");
        let other = SIGNATURE.replace('a', "b");
        for (name, secret, timestamp, signature, body, now, good) in [
            ("as signed", SECRET, "1531420618", SIGNATURE, BODY, AT, true),
            ("at the edge", SECRET, "1531420618", SIGNATURE, BODY, AT + WINDOW, true),
            ("stale", SECRET, "1531420618", SIGNATURE, BODY, AT + WINDOW + 1, false),
            ("ahead", SECRET, "1531420618", SIGNATURE, BODY, AT - WINDOW - 1, false),
            ("missing", SECRET, "1531420618", "", BODY, AT, false),
            ("no time", SECRET, "", SIGNATURE, BODY, AT, false),
            ("a time that overflows", SECRET, "9223372036854775807", SIGNATURE, BODY, AT, false),
            ("another time", SECRET, "1531420619", SIGNATURE, BODY, AT, false),
            ("one space more", SECRET, "1531420618", SIGNATURE, altered.as_str(), AT, false),
            ("other digits", SECRET, "1531420618", other.as_str(), BODY, AT, false),
            ("another secret", "8f742231b10e8888abcd99yyyzzz85a6", "1531420618", SIGNATURE, BODY, AT, false),
            ("no secret", "", "1531420618", SIGNATURE, BODY, AT, false),
        ] {
            let verifier = Verifier::new(Secret::new(secret));
            let request = Signed { timestamp, signature, body: body.as_bytes() };
            assert_eq!(verifier.verify(&request, now).is_ok(), good, "{name}");
        }
    }

    #[test]
    fn the_same_request_counts_once() {
        let verifier = Verifier::new(Secret::new(SECRET));
        let request = Signed { timestamp: "1531420618", signature: SIGNATURE, body: BODY.as_bytes() };
        verifier.verify(&request, AT).unwrap();
        verifier.verify(&request, AT).expect("it was not taken yet");
        verifier.taken(SIGNATURE, AT);
        assert!(verifier.verify(&request, AT + WINDOW).is_err());
    }
}
