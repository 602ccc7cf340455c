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
        let now = Instant::now();
        let step = per / limit.max(1);
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if scopes.len() > MANY {
            scopes.retain(|_, scope| scope.next > now);
        }
        let known = scopes.entry(scope.to_owned()).or_insert(Scope { next: now });
        // A whole window's worth may come at once after a pause.
        let earliest = known.next.max(now.checked_sub(per - step).unwrap_or(now));
        let allowed_from = earliest;
        let wait = allowed_from.saturating_duration_since(now);
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

    #[tokio::test(start_paused = true)]
    async fn a_window_may_go_at_once_and_then_evenly() {
        let limits = Limits::default();
        let take = |patience| limits.take("a", 3, Duration::from_secs(3), Duration::from_secs(patience));
        let waits: Vec<_> = (0..5).map(|_| take(10).unwrap().as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 1000, 2000]);
        assert_eq!(take(1), Err(Duration::from_secs(3)));
        tokio::time::advance(Duration::from_secs(60)).await;
        let waits: Vec<_> = (0..4).map(|_| take(10).unwrap().as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 1000]);
        limits.close("b", Duration::from_secs(2));
        assert_eq!(limits.closed_for("b"), Duration::from_secs(2));
        assert_eq!(limits.closed_for("c"), Duration::ZERO);
    }
}
