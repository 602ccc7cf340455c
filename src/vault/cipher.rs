//! AES-256-GCM with the place of what is sealed as associated data.

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::model::id::random_bytes;

/// 32 bytes that are wiped when nobody needs them any more.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// Where in a sealed text the nonce ends.
const NONCE: usize = 12;

/// Why something was not sealed or opened; it never says more, since nothing more is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("the system gave no random bytes")]
    Random,
    #[error("it was sealed with another key, belongs elsewhere, or was changed")]
    NotOurs,
}

pub(super) fn new_key() -> Result<Key, Failure> {
    random_bytes().map(Zeroizing::new).map_err(|_| Failure::Random)
}

/// Seals; the result is base64 of a random nonce and what AES-GCM gives.
pub(super) fn seal(key: &Key, place: &str, plain: &[u8]) -> Result<String, Failure> {
    let nonce = random_bytes::<NONCE>().map_err(|_| Failure::Random)?;
    let cipher = Aes256Gcm::new((&**key).into());
    let payload = Payload { msg: plain, aad: place.as_bytes() };
    let sealed = cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_| Failure::NotOurs)?;
    let mut whole = nonce.to_vec();
    whole.extend_from_slice(&sealed);
    Ok(STANDARD.encode(whole))
}

pub(super) fn open(key: &Key, place: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let whole = STANDARD.decode(text).map_err(|_| Failure::NotOurs)?;
    let (nonce, sealed) = whole.split_at_checked(NONCE).ok_or(Failure::NotOurs)?;
    let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| Failure::NotOurs)?;
    let cipher = Aes256Gcm::new((&**key).into());
    let payload = Payload { msg: sealed, aad: place.as_bytes() };
    cipher.decrypt(&Nonce::from(nonce), payload).map(Zeroizing::new).map_err(|_| Failure::NotOurs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_in_its_place_and_unchanged() {
        let key = new_key().unwrap();
        let sealed = seal(&key, "credential:1/data", b"hunter2").unwrap();
        assert_eq!(open(&key, "credential:1/data", &sealed).unwrap().as_slice(), b"hunter2");
        assert_ne!(seal(&key, "credential:1/data", b"hunter2").unwrap(), sealed, "each time another nonce");
        assert_eq!(open(&key, "credential:2/data", &sealed), Err(Failure::NotOurs));
        assert_eq!(open(&new_key().unwrap(), "credential:1/data", &sealed), Err(Failure::NotOurs));
        for at in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last digit of base64 may hold bits that mean nothing; what it decodes to is then the same.
            if STANDARD.decode(&changed).ok() != STANDARD.decode(&sealed).ok() {
                assert!(open(&key, "credential:1/data", &changed).is_err(), "{at}");
            }
        }
        for short in ["", "AAAA", "!"] {
            assert!(open(&key, "x", short).is_err());
        }
    }
}
