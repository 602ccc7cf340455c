//! How often something may be done: buckets of tokens that fill with time.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use super::super::rates::network;
use crate::model::conversation::Millis;

/// Refusals in a row of a minute after which a client is sent away.
const PATIENCE: usize = 5;
const MINUTE: Millis = 60_000;

/// Addresses that are remembered before those that need not be are forgotten.
const MANY_ADDRESSES: usize = 1024;

/// How fast a bucket fills, and how much it holds. 0 per second: no limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) per_second: u32,
    pub(super) burst: u32,
}

/// A full bucket at first. All it knows is when it will be full again, in microseconds.
#[derive(Debug, Default)]
struct Bucket {
    full_at: i64,
}

impl Bucket {
    /// Takes one token; the error is how long it takes until there is one.
    fn take(&mut self, rate: Rate, now: Millis) -> Result<(), Millis> {
        if rate.per_second == 0 {
            return Ok(());
        }
        let step = 1_000_000 / i64::from(rate.per_second);
        let room = step * i64::from(rate.burst);
        let now = now * 1000;
        // A clock that was set back leaves the bucket empty at worst.
        let full_at = self.full_at.clamp(now, now + room) + step;
        let missing = full_at - now - room;
        if missing > 0 {
            return Err(missing.unsigned_abs().div_ceil(1000).cast_signed());
        }
        self.full_at = full_at;
        Ok(())
    }
}

/// What comes of a frame that came too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooFast {
    /// It is refused; the next one counts after this many milliseconds.
    Wait(Millis),
    /// It was not the first one; the client goes, and may come back after this many milliseconds.
    Enough(Millis),
}

/// The frames of one connection.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Rate,
    bucket: Bucket,
    refused: VecDeque<Millis>,
}

impl Pace {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, bucket: Bucket::default(), refused: VecDeque::new() }
    }

    /// Counts a frame.
    pub(super) fn count(&mut self, now: Millis) -> Result<(), TooFast> {
        self.bucket.take(self.rate, now).map_err(|wait| {
            self.refused.retain(|at| now - at < MINUTE);
            self.refused.push_back(now);
            if self.refused.len() < PATIENCE {
                return TooFast::Wait(wait);
            }
            // As long as the bucket takes to fill, so that coming back is no way around it.
            TooFast::Enough(1000 * Millis::from(self.rate.burst) / Millis::from(self.rate.per_second).max(1))
        })
    }
}

/// The handshakes that were refused, by the address they came from.
#[derive(Debug)]
pub(super) struct Refusals {
    rate: Rate,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

impl Refusals {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Counts one; the error is after how long the next one is answered.
    pub(super) fn count(&self, peer: IpAddr, now: Millis) -> Result<(), Millis> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MANY_ADDRESSES {
            // A full bucket says no more than none.
            buckets.retain(|_, bucket| bucket.full_at > now * 1000);
        }
        buckets.entry(network(peer)).or_default().take(self.rate, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 20, burst: 40 };
    const NOW: Millis = 1_790_000_000_000;

    fn taken(bucket: &mut Bucket, rate: Rate, now: Millis) -> usize {
        (0..1000).take_while(|_| bucket.take(rate, now).is_ok()).count()
    }

    #[test]
    fn a_bucket_holds_its_burst_and_fills_at_its_rate() {
        let mut bucket = Bucket::default();
        assert_eq!(taken(&mut bucket, RATE, NOW), 40);
        assert_eq!(bucket.take(RATE, NOW), Err(50));
        assert_eq!(bucket.take(RATE, NOW + 49), Err(1));
        assert_eq!(taken(&mut bucket, RATE, NOW + 50), 1);
        assert_eq!(taken(&mut bucket, RATE, NOW + 1050), 20);
        assert_eq!(taken(&mut bucket, RATE, NOW + 3_600_000), 40, "never more than it holds");
        // The clock was set back by an hour.
        assert_eq!(bucket.take(RATE, NOW), Err(50));
        let thirds = Rate { per_second: 3, burst: 1 };
        let mut bucket = Bucket::default();
        assert_eq!((taken(&mut bucket, thirds, NOW), bucket.take(thirds, NOW)), (1, Err(334)));
        assert_eq!(bucket.take(thirds, NOW + 334), Ok(()), "the wait that was told is enough");
        assert_eq!(taken(&mut bucket, Rate { per_second: 0, burst: 0 }, NOW), 1000, "0 is no limit");
    }

    #[test]
    fn the_fifth_refusal_in_a_minute_is_the_last() {
        let mut pace = Pace::new(Rate { per_second: 1, burst: 2 });
        let mut now = NOW;
        for _ in 0..2 {
            assert_eq!(pace.count(now), Ok(()));
        }
        for _ in 0..4 {
            assert_eq!(pace.count(now), Err(TooFast::Wait(1000)));
        }
        now += MINUTE - 1;
        assert_eq!((pace.count(now), pace.count(now)), (Ok(()), Ok(())));
        assert_eq!(pace.count(now), Err(TooFast::Enough(2000)));
        let mut patient = Pace::new(Rate { per_second: 1, burst: 1 });
        for _ in 0..20 {
            assert_eq!(patient.count(now), Ok(()));
            assert_eq!(patient.count(now), Err(TooFast::Wait(1000)), "one a minute is forgiven");
            now += MINUTE;
        }
    }

    #[test]
    fn each_address_has_its_own_bucket_and_few_are_kept() {
        let refusals = Refusals::new(Rate { per_second: 3, burst: 1 });
        let count = |peer: &str, now| refusals.count(peer.parse().unwrap(), now).is_ok();
        assert!(count("192.0.2.1", NOW) && !count("192.0.2.1", NOW) && count("192.0.2.2", NOW));
        assert!(!count("::ffff:192.0.2.2", NOW), "the same address in another form");
        assert!(count("2001:db8::1", NOW) && !count("2001:db8::2", NOW) && count("2001:db8:0:1::1", NOW));
        for n in 0..5000_u32 {
            refusals.count(IpAddr::V4(n.into()), NOW + 1000 * i64::from(n)).unwrap();
        }
        assert!(refusals.buckets.lock().unwrap().len() <= MANY_ADDRESSES);
    }
}
