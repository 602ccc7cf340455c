//! How many requests somebody may send: fixed windows of the clock, the same on every server.
//!
//! Counting is in memory. Servers that share a database take shares of a window there, a few requests at a time, so that
//! they stay within the limit together without a write for each request; what one of them has taken and not used is at
//! most a fiftieth of the limit. A request that is refused counts nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::Rate;
use crate::model::conversation::Millis;
use crate::model::{Error, Kind};
use crate::store::Store;
use crate::store::rate::Claim;

/// Those who are remembered before those whose windows are over are forgotten.
const MANY: usize = 1024;

/// Addresses that are told apart; what comes from further ones is counted together.
const MOST_ADDRESSES: usize = 200_000;

/// A server takes this part of a limit at once.
const SHARE: u32 = 50;

/// Whose requests are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Principal(Arc<str>),
    /// An IPv4 address or the /64 of an IPv6 address.
    Network(IpAddr),
    /// The addresses beyond those that are told apart.
    Elsewhere,
}

/// One count: who, and of which kind of request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Bucket {
    pub(super) tier: &'static str,
    pub(super) who: Who,
}

impl Bucket {
    /// As the database knows it, for a window of this length.
    fn name(&self, per: Millis) -> String {
        match &self.who {
            Who::Principal(id) => format!("{}:{per}:{id}", self.tier),
            Who::Network(address) => format!("{}:{per}:{address}", self.tier),
            Who::Elsewhere => format!("{}:{per}:*", self.tier),
        }
    }
}

/// Where somebody stands in the window that is nearest to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    limit: u32,
    remaining: u32,
    /// Unix milliseconds.
    reset_at: Millis,
}

impl Standing {
    /// Tells a client where it stands.
    pub(super) fn write(self, headers: &mut HeaderMap) {
        let values = [
            ("x-ratelimit-limit", HeaderValue::from(self.limit)),
            ("x-ratelimit-remaining", HeaderValue::from(self.remaining)),
            ("x-ratelimit-reset", HeaderValue::from(self.reset_at / 1000)),
        ];
        for (name, value) in values {
            headers.insert(HeaderName::from_static(name), value);
        }
    }

    /// The refusal of a request that came when nothing remained.
    pub(super) fn refusal(self, now: Millis) -> Error {
        let message = format!("more than {} requests came in this time", self.limit);
        Error::new(Kind::RateLimited, "RATE_LIMITED", message).retry_after(self.reset_at - now)
    }
}

/// What one server knows of a window.
#[derive(Clone, Copy, Debug)]
struct Window {
    rate: Rate,
    starts_at: Millis,
    /// Requests of this server.
    used: u32,
    /// Requests that this server may let through.
    granted: u32,
    /// Requests granted to all servers, as far as this one knows.
    taken: u32,
}

impl Window {
    fn new(rate: Rate, starts_at: Millis, shared: bool) -> Self {
        let granted = if shared { 0 } else { rate.most };
        Self { rate, starts_at, used: 0, granted, taken: granted }
    }

    fn ends_at(&self) -> Millis {
        self.starts_at + self.rate.per
    }

    fn free(&self) -> u32 {
        self.granted - self.used
    }

    fn standing(&self) -> Standing {
        let Rate { most, .. } = self.rate;
        Standing { limit: most, remaining: most - self.taken + self.free(), reset_at: self.ends_at() }
    }

    /// How much to take next: less and less towards the end, so that little lies unused elsewhere.
    fn share(&self) -> u32 {
        let left = self.rate.most - self.taken;
        (self.rate.most / SHARE).min(left / 2).max(1)
    }

    /// Adds what was granted after all servers together have asked for `asked`, this one for the last `amount` of it.
    fn grant(&mut self, amount: u32, asked: i64) {
        let most = i64::from(self.rate.most);
        let granted = (most - (asked - i64::from(amount))).clamp(0, i64::from(amount));
        self.granted += u32::try_from(granted).unwrap_or(0);
        // Another answer, to a later claim, may have come before this one.
        self.taken = self.taken.max(u32::try_from(asked.min(most)).unwrap_or(self.rate.most)).max(self.granted);
    }
}

/// What comes of a request.
enum Counted {
    Within(Standing),
    Beyond(Standing),
    /// Shares have to be taken first.
    Short(Vec<(Rate, Millis, u32)>),
}

/// The requests of everybody.
pub(super) struct Rates {
    /// The database, when several servers may share it.
    shared: Option<Arc<Store>>,
    state: Mutex<State>,
}

struct State {
    buckets: HashMap<Bucket, Vec<Window>>,
    /// At how many the next look for those that are over is due.
    crowded: usize,
}

impl Rates {
    pub(super) fn new(store: &Arc<Store>) -> Self {
        Self::counting(store.is_shared().then(|| store.clone()))
    }

    fn counting(shared: Option<Arc<Store>>) -> Self {
        Self { shared, state: Mutex::new(State { buckets: HashMap::new(), crowded: MANY }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request against all of `rates`. The error is that nothing remains.
    pub(super) async fn count(&self, bucket: &Bucket, rates: &[Rate], now: Millis) -> Result<Standing, Standing> {
        loop {
            let short = match self.state().count(bucket, rates, now, self.shared.is_some()) {
                Counted::Within(standing) => return Ok(standing),
                Counted::Beyond(standing) => return Err(standing),
                Counted::Short(short) => short,
            };
            for (rate, starts_at, amount) in short {
                let asked = self.claim(bucket, rate, starts_at, amount).await;
                self.state().grant(bucket, rate, starts_at, amount, asked);
            }
        }
    }

    /// `None` when the database cannot be asked: then this server counts alone.
    async fn claim(&self, bucket: &Bucket, rate: Rate, starts_at: Millis, amount: u32) -> Option<i64> {
        let store = self.shared.as_ref()?;
        let claim = Claim {
            bucket: bucket.name(rate.per),
            starts_at,
            ends_at: starts_at + rate.per,
            amount: i64::from(amount),
        };
        match store.claim(claim).await {
            Ok(asked) => Some(asked),
            Err(error) => {
                tracing::debug!(%error, "a share of a rate limit was not taken");
                None
            }
        }
    }
}

impl State {
    fn count(&mut self, bucket: &Bucket, rates: &[Rate], now: Millis, shared: bool) -> Counted {
        let windows = self.windows(bucket, now);
        if windows.len() != rates.len() {
            windows.clear();
            windows.extend(rates.iter().map(|rate| Window::new(*rate, start(*rate, now), shared)));
        }
        for (window, rate) in windows.iter_mut().zip(rates) {
            // A clock that was set back goes on in the window it was in.
            if window.rate != *rate || start(*rate, now) > window.starts_at {
                *window = Window::new(*rate, start(*rate, now), shared);
            }
        }
        let beyond = windows.iter().filter(|window| window.free() == 0 && window.taken >= window.rate.most);
        if let Some(last) = beyond.max_by_key(|window| window.ends_at()) {
            return Counted::Beyond(last.standing());
        }
        let short: Vec<_> = windows
            .iter()
            .filter(|window| window.free() == 0)
            .map(|window| (window.rate, window.starts_at, window.share()))
            .collect();
        if !short.is_empty() {
            return Counted::Short(short);
        }
        windows.iter_mut().for_each(|window| window.used += 1);
        let nearest = windows.iter().map(Window::standing).min_by_key(|s| (s.remaining, std::cmp::Reverse(s.reset_at)));
        // Without a window nobody asks.
        Counted::Within(nearest.unwrap_or(Standing { limit: 0, remaining: 0, reset_at: now }))
    }

    fn windows(&mut self, bucket: &Bucket, now: Millis) -> &mut Vec<Window> {
        if self.buckets.len() >= self.crowded {
            self.buckets.retain(|_, windows| windows.iter().any(|window| window.ends_at() > now));
            self.crowded = (self.buckets.len() * 2).max(MANY);
        }
        let is_too_many = self.buckets.len() >= MOST_ADDRESSES
            && matches!(bucket.who, Who::Network(_))
            && !self.buckets.contains_key(bucket);
        let bucket = if is_too_many { Bucket { who: Who::Elsewhere, ..bucket.clone() } } else { bucket.clone() };
        self.buckets.entry(bucket).or_default()
    }

    fn grant(&mut self, bucket: &Bucket, rate: Rate, starts_at: Millis, amount: u32, asked: Option<i64>) {
        let windows = self.windows(bucket, starts_at);
        let window = windows.iter_mut().find(|window| window.rate == rate && window.starts_at == starts_at);
        // In the meantime the next window may have begun.
        if let Some(window) = window {
            let asked = asked.unwrap_or(i64::from(window.taken) + i64::from(amount));
            window.grant(amount, asked);
        }
    }
}

fn start(rate: Rate, now: Millis) -> Millis {
    now - now.rem_euclid(rate.per)
}

/// Who has an IPv6 address mostly has all of its /64.
pub(super) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A full hour and minute.
    const HOUR: Millis = 1_790_000_000_000 / 3_600_000 * 3_600_000;

    fn rates(texts: &[&str]) -> Vec<Rate> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn bucket(who: &str) -> Bucket {
        Bucket { tier: "user", who: Who::Principal(who.into()) }
    }

    #[tokio::test]
    async fn every_window_counts_and_begins_with_the_clock() {
        let (all, both) = (Rates::counting(None), rates(&["3/min", "5/h"]));
        let at = HOUR + 59_000;
        for remaining in [2, 1, 0] {
            let standing = all.count(&bucket("a"), &both, at).await.unwrap();
            assert_eq!(standing, Standing { limit: 3, remaining, reset_at: HOUR + 60_000 });
        }
        let refused = all.count(&bucket("a"), &both, at).await.unwrap_err();
        assert_eq!(refused.refusal(at).retry_after, Some(1000));
        assert!(all.count(&bucket("b"), &both, at).await.is_ok(), "everybody has their own");
        for remaining in [1, 0] {
            let standing = all.count(&bucket("a"), &both, at + 1000).await.unwrap();
            assert_eq!(standing, Standing { limit: 5, remaining, reset_at: HOUR + 3_600_000 });
        }
        let refused = all.count(&bucket("a"), &both, at + 1000).await.unwrap_err();
        assert_eq!(refused.reset_at, HOUR + 3_600_000, "what was refused in the minute did not count in the hour");
        assert!(all.count(&bucket("a"), &both, HOUR + 3_600_000).await.is_ok());
        assert!(all.count(&bucket("a"), &both, at).await.is_ok(), "a clock set back goes on where it was");
    }

    #[test]
    fn shares_never_add_up_to_more_than_the_limit() {
        for most in [1, 7, 60, 100, 1000, 5000] {
            let rate = Rate { most, per: 60_000 };
            let mut servers = [Window::new(rate, 0, true), Window::new(rate, 0, true), Window::new(rate, 0, true)];
            let (mut asked, mut through, mut claims, mut turn) = (0, 0, 0, 0);
            // One of them is asked for most, the others now and then, until nobody has anything left.
            loop {
                turn += 1;
                let server = &mut servers[if turn % 10 == 0 { 1 + turn / 10 % 2 } else { 0 }];
                while server.free() == 0 && server.taken < most {
                    let amount = server.share();
                    asked += i64::from(amount);
                    claims += 1;
                    server.grant(amount, asked);
                }
                if server.free() > 0 {
                    server.used += 1;
                    through += 1;
                } else if turn % 10 == 9 {
                    break;
                }
            }
            assert!(through <= most, "{through} of {most}");
            assert!(through + 2 * (most / SHARE) + 2 >= most, "{through} of {most}");
            assert!(claims <= 60 + 12 * 3, "{claims} claims for {most}");
        }
    }

    #[tokio::test]
    async fn those_whose_time_is_over_are_forgotten() {
        let (all, rates) = (Rates::counting(None), rates(&["2/min"]));
        for n in 0..5000_u32 {
            let who = Who::Network(IpAddr::V4(n.into()));
            all.count(&Bucket { tier: "anonymous", who }, &rates, HOUR + 60_000 * i64::from(n)).await.unwrap();
        }
        assert!(all.state().buckets.len() <= MANY);
        for (one, other, same) in [
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(network(one.parse().unwrap()) == network(other.parse().unwrap()), same);
        }
    }
}
