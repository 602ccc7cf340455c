//! Signed tokens (JSON Web Tokens) as they come: in parts, and whether their signature holds.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreJsonWebKey, CoreJsonWebKeySet, CoreJsonWebKeyUse, CoreJwsSigningAlgorithm as Algorithm};
use openidconnect::{JsonWebKey as _, JsonWebKeyAlgorithm};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::provider::algorithm;
use crate::model::conversation::Millis;

/// The longest token, in bytes.
const LONGEST: usize = 16 * 1024;

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
}

/// A signed token in its parts; nothing of it is verified.
pub(super) struct Parts<'t> {
    header: Header,
    /// What the signature is of.
    signed: &'t str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'t> Parts<'t> {
    pub(super) fn of(token: &'t str) -> Option<Self> {
        if token.len() > LONGEST {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        Some(Self {
            header: serde_json::from_slice(&decode(header)?).ok()?,
            signed,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// What kind of token it says it is.
    pub(super) fn kind(&self) -> Option<&str> {
        self.header.typ.as_deref()
    }

    pub(super) fn claims<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.payload).ok()
    }

    /// Whether one of these keys made the signature, by an algorithm that is allowed.
    pub(super) fn is_signed(&self, keys: &CoreJsonWebKeySet, allowed: &[Algorithm]) -> bool {
        let Some(algorithm) = algorithm(&self.header.alg).filter(|algorithm| allowed.contains(algorithm)) else {
            return false;
        };
        let fits = |key: &&CoreJsonWebKey| {
            let is_named = self.kid().is_none_or(|id| key.key_id().is_some_and(|known| known.as_str() == id));
            let may_sign = key.key_use().is_none_or(|used| *used == CoreJsonWebKeyUse::Signature);
            let by_this = match key.signing_alg() {
                JsonWebKeyAlgorithm::Algorithm(own) => *own == algorithm,
                JsonWebKeyAlgorithm::Unspecified => true,
                JsonWebKeyAlgorithm::Unsupported => false,
            };
            is_named && may_sign && by_this
        };
        let mut keys = keys.keys().iter().filter(fits);
        keys.any(|key| key.verify_signature(&algorithm, self.signed.as_bytes(), &self.signature).is_ok())
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    pub(super) fn names(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::Many(all) => all.iter().any(|one| one == wanted),
        }
    }
}

/// Unix seconds, with fractions as some write them, in milliseconds.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a time beyond the range becomes its end, which no check lets through"
)]
pub(super) fn millis(seconds: f64) -> Millis {
    (seconds * 1000.0) as Millis
}
