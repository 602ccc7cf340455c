//! Floor 1: time as a value that is passed in, so that tests are exact.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::model::conversation::Millis;

/// The wall clock, or a fixed one that a test moves by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    fixed: Option<Arc<AtomicI64>>,
}

impl Clock {
    pub fn system() -> Self {
        Self::default()
    }

    pub fn fixed(at: Millis) -> Self {
        Self { fixed: Some(Arc::new(AtomicI64::new(at))) }
    }

    /// Moves a fixed clock on; the system clock goes on by itself.
    pub fn advance(&self, millis: Millis) {
        if let Some(fixed) = &self.fixed {
            fixed.fetch_add(millis, Ordering::SeqCst);
        }
    }

    /// Unix time in milliseconds.
    pub fn now(&self) -> Millis {
        match &self.fixed {
            Some(fixed) => fixed.load(Ordering::SeqCst),
            #[expect(clippy::disallowed_methods, reason = "the one place that asks the system for the time")]
            None => jiff::Timestamp::now().as_millisecond(),
        }
    }
}

/// RFC 3339 in UTC with milliseconds, as every door writes times.
pub fn rfc3339(at: Millis) -> String {
    match jiff::Timestamp::from_millisecond(at) {
        Ok(timestamp) => format!("{timestamp:.3}"),
        Err(_) => at.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_moves_only_by_hand() {
        let clock = Clock::fixed(1_700_000_000_000);
        clock.advance(1_500);
        assert_eq!(clock.now(), 1_700_000_001_500);
        assert_eq!(rfc3339(clock.now()), "2023-11-14T22:13:21.500Z");
    }
}
