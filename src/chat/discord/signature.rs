//! Whether a request is Discord's: an Ed25519 signature over its time and its raw body, not older than five minutes.

use ed25519_dalek::{Signature, VerifyingKey};

use crate::model::conversation::Millis;
use crate::model::{Error, Result};

/// A request older than that, or so far ahead, is not taken.
const WINDOW: Millis = 5 * 60 * 1000;

/// What a request says about its origin.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `X-Signature-Timestamp`: Unix time in seconds.
    pub timestamp: &'a str,
    /// `X-Signature-Ed25519`: 64 bytes in hex.
    pub signature: &'a str,
    /// Byte for byte as it came.
    pub body: &'a [u8],
}

/// Verifies signatures with the key of one app.
pub struct Verifier {
    key: Option<VerifyingKey>,
}

fn refused(why: &'static str) -> Error {
    Error::unauthenticated(why)
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    if hex.len() != N * 2 || !hex.is_ascii() {
        return None;
    }
    let mut out = [0; N];
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).ok()?;
    }
    Some(out)
}

impl Verifier {
    /// `key` in hex; empty: no request counts.
    pub fn new(key: &str) -> anyhow::Result<Self> {
        if key.is_empty() {
            return Ok(Self { key: None });
        }
        let key = bytes::<32>(key).and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
        let key = key.ok_or_else(|| anyhow::anyhow!("discord.public_key is no Ed25519 key"))?;
        Ok(Self { key: Some(key) })
    }

    /// Whether a request counts.
    pub fn verify(&self, request: &Signed<'_>, now: Millis) -> Result<()> {
        let missing = "no public key is configured (discord.public_key), so no request is believed";
        let key = self.key.as_ref().ok_or_else(|| refused(missing))?;
        let seconds: i64 = request.timestamp.parse().map_err(|_| refused("the request carries no time"))?;
        let at = seconds.checked_mul(1000).ok_or_else(|| refused("the request carries no time"))?;
        if now.abs_diff(at) > WINDOW.unsigned_abs() {
            return Err(refused("the request is too old"));
        }
        let signature = bytes::<64>(request.signature).ok_or_else(|| refused("the request carries no signature"))?;
        let signed = [request.timestamp.as_bytes(), request.body].concat();
        key.verify_strict(&signed, &Signature::from_bytes(&signature))
            .map_err(|_| refused("the signature does not fit"))
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;
    use crate::model::id::hex;

    #[test]
    fn only_what_the_app_s_key_signed_in_time_counts() {
        let (ours, other) = (SigningKey::from_bytes(&[7; 32]), SigningKey::from_bytes(&[8; 32]));
        let verifier = Verifier::new(&hex(ours.verifying_key().as_bytes())).unwrap();
        let body = br#"{"type":1}"#;
        let now = 1_700_000_000_000;
        let sign = |key: &SigningKey, timestamp: &str, body: &[u8]| {
            hex(&key.sign(&[timestamp.as_bytes(), body].concat()).to_bytes())
        };
        let time = "1700000000";
        let good = sign(&ours, time, body);
        let cases: [(&str, &str, &str, &[u8], bool); 10] = [
            ("valid", time, &good, body, true),
            ("no signature", time, "", body, false),
            ("a short one", time, &good[..126], body, false),
            ("no hex", time, &"zz".repeat(64), body, false),
            ("another body", time, &good, br#"{"type":2}"#, false),
            ("another time", "1700000001", &good, body, false),
            ("no time", "", &sign(&ours, "", body), body, false),
            ("another key", time, &sign(&other, time, body), body, false),
            ("too old", "1699999699", &sign(&ours, "1699999699", body), body, false),
            ("just in time", "1699999700", &sign(&ours, "1699999700", body), body, true),
        ];
        for (what, timestamp, signature, body, counts) in cases {
            let outcome = verifier.verify(&Signed { timestamp, signature, body }, now);
            assert_eq!(outcome.is_ok(), counts, "{what}: {outcome:?}");
        }
        let nobody = Verifier::new("").unwrap();
        let error = nobody.verify(&Signed { timestamp: time, signature: &good, body }, now).unwrap_err();
        assert!(error.message.contains("discord.public_key"), "{error}");
        assert!(Verifier::new("zz").is_err(), "no key at all");
    }
}
