//! How fast requests may follow each other. Counted in this process; what a service says itself counts first.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// From so many on, scopes that nothing waits for any more are forgotten.
const MANY: usize = 1024;

#[derive(Default)]
pub(super) struct Limits {
    scopes: Mutex<HashMap<String, Scope>>,
}

struct Scope {
    /// When the next request may leave.
    next: Instant,
}

impl Limits {
    /// Takes a place for a request, and says how long to wait for it; `Err` when that is longer than `patience`.
    pub(super) fn take(
        &self,
        scope: &str,
        limit: u32,
        per: Duration,
        patience: Duration,
    ) -> Result<Duration, Duration> {
        self.take_at(Instant::now(), scope, (limit, per), patience)
    }

    fn take_at(
        &self,
        now: Instant,
        scope: &str,
        (limit, per): (u32, Duration),
        patience: Duration,
    ) -> Result<Duration, Duration> {
        let step = per / limit.max(1);
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if scopes.len() > MANY {
            scopes.retain(|_, scope| scope.next > now);
        }
        // Kept ahead by all of a window but one step: so much may come at once after a pause.
        let ahead = per - step;
        let known = scopes.entry(scope.to_owned()).or_insert(Scope { next: now });
        let earliest = known.next.max(now);
        let wait = earliest.saturating_duration_since(now + ahead);
        if wait > patience {
            return Err(wait);
        }
        known.next = earliest + step;
        Ok(wait)
    }

    /// How long a scope is closed, as the service said.
    pub(super) fn closed_for(&self, scope: &str) -> Duration {
        let scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        scopes.get(scope).map_or(Duration::ZERO, |scope| scope.next.saturating_duration_since(Instant::now()))
    }

    /// The service says that a scope has nothing left for so long.
    pub(super) fn close(&self, scope: &str, rest: Duration) {
        let until = Instant::now() + rest;
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = scopes.entry(scope.to_owned()).or_insert(Scope { next: until });
        known.next = known.next.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_go_at_once_and_then_evenly() {
        let limits = Limits::default();
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let take =
            |at: u32, patience: u32| limits.take_at(start + second * at, "a", (3, second * 3), second * patience);
        let waits: Vec<_> = (0..5).map(|_| take(0, 10).unwrap().as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 1000, 2000]);
        assert_eq!(take(0, 1), Err(second * 3));
        let waits: Vec<_> = (0..4).map(|_| take(60, 10).unwrap().as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 1000]);
        limits.close("b", second * 60);
        assert!(limits.closed_for("b") > second * 50);
        assert_eq!(limits.closed_for("c"), Duration::ZERO);
    }
}
