//! When a step that failed is tried again.

use crate::model::conversation::Millis;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backoff {
    None,
    Constant,
    Linear,
    #[default]
    Exponential,
}

/// How much of the pause is left to chance, so that many that failed together do not come back together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Jitter {
    None,
    /// Anything up to the whole pause.
    #[default]
    Full,
    /// Half of it, and anything up to the other half.
    Equal,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Tries in all, the first one too.
    pub max_attempts: i64,
    pub backoff: Backoff,
    pub initial: Millis,
    pub max: Millis,
    pub jitter: Jitter,
    /// Only failures with one of these codes; empty: every one that may go away.
    pub retry_on: Vec<String>,
    /// An expression that sees `error`; only when it is true.
    pub condition: Option<String>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            backoff: Backoff::Exponential,
            initial: 1000,
            max: 60_000,
            jitter: Jitter::Full,
            retry_on: Vec::new(),
            condition: None,
        }
    }
}

impl Retry {
    /// The pause after so many tries, in milliseconds; `chance` is from 0 to 1.
    pub fn pause(&self, tries: i64, chance: f64) -> Millis {
        let tries = tries.max(1);
        let pause = match self.backoff {
            Backoff::None => 0,
            Backoff::Constant => self.initial,
            Backoff::Linear => self.initial.saturating_mul(tries),
            Backoff::Exponential => {
                let doublings = u32::try_from(tries - 1).unwrap_or(u32::MAX).min(40);
                self.initial.saturating_mul(1_i64.checked_shl(doublings).unwrap_or(i64::MAX))
            }
        }
        .min(self.max);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "a pause needs no more digits"
        )]
        let part = |millis: Millis| (millis as f64 * chance.clamp(0.0, 1.0)) as Millis;
        match self.jitter {
            Jitter::None => pause,
            Jitter::Full => part(pause),
            Jitter::Equal => pause / 2 + part(pause - pause / 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_leave_room_to_chance() {
        let retry = |backoff, jitter| Retry { backoff, jitter, initial: 1000, max: 10_000, ..Retry::default() };
        let pauses = |retry: Retry, chance| [1, 2, 3, 9, 100].map(|tries| retry.pause(tries, chance));
        assert_eq!(pauses(retry(Backoff::Exponential, Jitter::None), 0.5), [1000, 2000, 4000, 10_000, 10_000]);
        assert_eq!(pauses(retry(Backoff::Linear, Jitter::None), 0.5), [1000, 2000, 3000, 9000, 10_000]);
        assert_eq!(pauses(retry(Backoff::Constant, Jitter::None), 0.5), [1000; 5]);
        assert_eq!(pauses(retry(Backoff::None, Jitter::None), 0.5), [0; 5]);
        assert_eq!(pauses(retry(Backoff::Constant, Jitter::Full), 0.25), [250; 5]);
        assert_eq!(pauses(retry(Backoff::Constant, Jitter::Equal), 0.5), [750; 5]);
    }
}
