//! Tokens: 256 random bits and a checksum behind a prefix that says what they open.
//!
//! Only SHA-256 of a token is ever stored. The checksum lets a scanner or a typing error be told from a real token
//! without asking the database.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::model::id::{random_bytes, sha256_hex};
use crate::model::{Error, Result};

/// What a token opens; no kind may stand in for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A login session: `plr_s_…`, in a cookie.
    Session,
    /// An API key: `plr_k_…`.
    ApiKey,
    /// A one-time sign-in link: `plr_l_…`.
    SignInLink,
    /// Opens one web socket, once: `plr_t_…`.
    SocketTicket,
    /// Makes an account of a chat outside somebody's, once: `plr_a_…`.
    AccountLink,
    /// Opens the page that makes an API key, once: `plr_o_…`.
    KeyOffer,
}

impl TokenKind {
    const ALL: [Self; 6] =
        [Self::Session, Self::ApiKey, Self::SignInLink, Self::SocketTicket, Self::AccountLink, Self::KeyOffer];

    fn prefix(self) -> &'static str {
        match self {
            Self::Session => "plr_s_",
            Self::ApiKey => "plr_k_",
            Self::SignInLink => "plr_l_",
            Self::SocketTicket => "plr_t_",
            Self::AccountLink => "plr_a_",
            Self::KeyOffer => "plr_o_",
        }
    }
}

const RANDOM: usize = 32;

/// Makes a token of this kind.
pub fn make(kind: TokenKind) -> Result<String> {
    let random = random_bytes::<RANDOM>().map_err(|error| Error::internal("make a token", error))?;
    let mut bytes = random.to_vec();
    bytes.extend(crc32fast::hash(&random).to_be_bytes());
    Ok(format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(bytes)))
}

/// The kind of a well-formed token; `None` for anything else.
pub fn kind(token: &str) -> Option<TokenKind> {
    let kind = TokenKind::ALL.into_iter().find(|kind| token.starts_with(kind.prefix()))?;
    let bytes = URL_SAFE_NO_PAD.decode(&token[kind.prefix().len()..]).ok()?;
    let (random, checksum) = bytes.split_at_checked(RANDOM)?;
    (checksum == crc32fast::hash(random).to_be_bytes()).then_some(kind)
}

/// What is stored of a token.
pub fn hash(token: &str) -> String {
    sha256_hex(token.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_told_apart_and_typing_errors_are_seen() {
        for made in TokenKind::ALL {
            let token = make(made).unwrap();
            assert_eq!(kind(&token), Some(made));
            let mut wrong = token.clone().into_bytes();
            let at = wrong.len() - 10;
            wrong[at] = if wrong[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(kind(std::str::from_utf8(&wrong).unwrap()), None);
            assert_eq!(kind(&token[..token.len() - 1]), None);
        }
        assert_eq!(kind("plr_k_"), None);
        assert_eq!(kind(""), None);
    }
}
