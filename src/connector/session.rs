//! Cookies of services that know who signs in by them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::fetch::headers::{HeaderMap, SET_COOKIE};

/// Sessions by whose they are: a credential at an address. They live in memory only.
#[derive(Default)]
pub(super) struct Sessions {
    known: Mutex<HashMap<String, Session>>,
}

struct Session {
    cookies: BTreeMap<String, String>,
    until: Instant,
}

impl Sessions {
    /// The `Cookie` header of a session that is still good.
    pub(super) fn cookies(&self, whose: &str) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let session = known.get(whose).filter(|session| session.until > Instant::now())?;
        let pairs: Vec<String> = session.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Some(pairs.join("; "))
    }

    /// Takes what an answer sets.
    pub(super) fn keep(&self, whose: &str, headers: &HeaderMap, keep: Duration) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        known.retain(|_, session| session.until > now);
        let session =
            known.entry(whose.to_owned()).or_insert_with(|| Session { cookies: BTreeMap::new(), until: now + keep });
        session.until = now + keep;
        for set in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let pair = set.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                let is_gone = value.is_empty() || set.to_ascii_lowercase().contains("max-age=0");
                if is_gone {
                    session.cookies.remove(name.trim());
                } else {
                    session.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
                }
            }
        }
    }

    pub(super) fn forget(&self, whose: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(whose);
    }
}
