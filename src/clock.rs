//! Floor 1: time as a value that is passed in, so that tests are exact.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::model::conversation::Millis;

/// After so long a sleeper looks at the wall clock again.
const LONGEST_STEP: Duration = Duration::from_secs(30);

/// The wall clock, or a fixed one that a test moves by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    fixed: Option<Arc<watch::Sender<Millis>>>,
}

impl Clock {
    pub fn system() -> Self {
        Self::default()
    }

    pub fn fixed(at: Millis) -> Self {
        Self { fixed: Some(Arc::new(watch::Sender::new(at))) }
    }

    /// Whether it only moves by hand.
    pub fn is_fixed(&self) -> bool {
        self.fixed.is_some()
    }

    /// Moves a fixed clock on; the system clock goes on by itself.
    pub fn advance(&self, millis: Millis) {
        if let Some(fixed) = &self.fixed {
            fixed.send_modify(|now| *now += millis);
        }
    }

    /// Unix time in milliseconds.
    pub fn now(&self) -> Millis {
        match &self.fixed {
            Some(fixed) => *fixed.borrow(),
            #[expect(clippy::disallowed_methods, reason = "the one place that asks the system for the time")]
            None => jiff::Timestamp::now().as_millisecond(),
        }
    }

    /// Waits until it is that time, by this clock. Safe to drop at any point.
    pub async fn sleep_until(&self, at: Millis) {
        if let Some(fixed) = &self.fixed {
            // The sender lives as long as this clock, so the wait ends with the time and not before.
            let _ = fixed.subscribe().wait_for(|now| *now >= at).await;
            return;
        }
        loop {
            let rest = at.saturating_sub(self.now());
            if rest <= 0 {
                return;
            }
            // Step by step, since the wall clock may be set meanwhile.
            let step = Duration::from_millis(rest.unsigned_abs()).min(LONGEST_STEP);
            tokio::time::sleep(step).await;
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

/// Unix time in milliseconds of a moment in RFC 3339, with any offset; `None` for any other text.
pub fn moment(text: &str) -> Option<Millis> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
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
        assert_eq!(moment("2023-11-14T23:13:21.5+01:00"), Some(clock.now()));
        assert_eq!(moment("2023-11-14"), None);
    }

    #[tokio::test]
    async fn sleepers_wake_when_the_clock_is_moved_to_their_time() {
        use futures_util::FutureExt as _;
        let clock = Clock::fixed(1_000);
        let mut sleeping = Box::pin(clock.sleep_until(2_000));
        clock.advance(999);
        assert!((&mut sleeping).now_or_never().is_none());
        clock.advance(1);
        sleeping.await;
        clock.sleep_until(0).await;
        Clock::system().sleep_until(0).await;
    }
}
