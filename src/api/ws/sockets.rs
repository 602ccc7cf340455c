//! The sockets that are open: how many each user has, and which end with a credential.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::limits::{Pace, Rate, Refusals};
use super::ticket::Tickets;
use crate::config;
use crate::model::conversation::Millis;
use crate::model::{Error, Kind, Result};

/// When somebody with too many sockets may try again: one of theirs may have ended.
const FULL_WAIT: Millis = 5000;

/// All sockets of this server, their limits, and the tickets for new ones.
pub struct Sockets {
    pub(super) limits: config::Ws,
    pub(super) tickets: Tickets,
    refusals: Refusals,
    state: Mutex<State>,
    /// Rises when rights may have changed.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// Who is to be told when a credential ends, by the credential.
    watches: HashMap<String, HashMap<u64, CancellationToken>>,
    /// Open sockets by principal.
    seats: HashMap<String, usize>,
}

impl Sockets {
    pub(in crate::api) fn new(limits: config::Ws) -> Self {
        let refused = Rate { per_second: limits.refused_per_second, burst: limits.refused_burst };
        Self {
            limits,
            tickets: Tickets::default(),
            refusals: Refusals::new(refused),
            state: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pace(&self) -> Pace {
        Pace::new(Rate { per_second: self.limits.frames_per_second, burst: self.limits.frames_burst })
    }

    pub(super) fn stalled_after(&self) -> Duration {
        self.limits.stalled_after.unsigned_abs()
    }

    /// Counts a handshake that was refused; fails when its address has had too many.
    pub(super) fn count_refusal(&self, peer: IpAddr, now: Millis) -> Result<()> {
        if self.limits.spare_loopback && peer.to_canonical().is_loopback() {
            return Ok(());
        }
        self.refusals.count(peer, now).map_err(|wait| {
            let message = "this address asked for too many sockets without a credential that counts";
            Error::new(Kind::RateLimited, "RATE_LIMITED", message).retry_after(wait)
        })
    }

    /// A place for one more socket of a principal, as long as the value lives.
    pub(super) fn seat(self: &Arc<Self>, principal: &str) -> Result<Seat> {
        let most = self.limits.sockets_per_user;
        let mut state = self.state();
        let taken = state.seats.entry(principal.to_owned()).or_default();
        if most > 0 && *taken >= most {
            let message = format!("{most} sockets are open already");
            return Err(Error::new(Kind::RateLimited, "TOO_MANY_SOCKETS", message).retry_after(FULL_WAIT));
        }
        *taken += 1;
        Ok(Seat { sockets: self.clone(), principal: principal.to_owned() })
    }

    /// How many sockets are open, and of how many users and keys.
    pub(in crate::api) fn open(&self) -> (usize, usize) {
        let state = self.state();
        (state.seats.values().sum(), state.seats.len())
    }

    /// Hears of the end of a credential from now on.
    pub(in crate::api) fn watch(self: &Arc<Self>, credential: &str) -> Watch {
        let mut state = self.state();
        state.next += 1;
        let (number, ended) = (state.next, CancellationToken::new());
        state.watches.entry(credential.to_owned()).or_default().insert(number, ended.clone());
        Watch { sockets: self.clone(), credential: credential.to_owned(), number, ended }
    }

    /// Hears when rights may have changed.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Lets every socket look at its credential again.
    pub(in crate::api) fn look_again(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Sends away everybody who is connected by a credential.
    pub(in crate::api) fn revoke(&self, credential: &str) {
        let watches = self.state().watches.remove(credential).unwrap_or_default();
        watches.into_values().for_each(|ended| ended.cancel());
    }
}

impl State {
    fn forget(&mut self, credential: &str, number: u64) {
        if let Some(watches) = self.watches.get_mut(credential) {
            watches.remove(&number);
            if watches.is_empty() {
                self.watches.remove(credential);
            }
        }
    }
}

/// A place that one socket takes.
pub(super) struct Seat {
    sockets: Arc<Sockets>,
    principal: String,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.sockets.state();
        if let Some(taken) = state.seats.get_mut(&self.principal) {
            *taken -= 1;
            if *taken == 0 {
                state.seats.remove(&self.principal);
            }
        }
    }
}

/// Whether the credential behind a long connection still counts.
pub(in crate::api) struct Watch {
    sockets: Arc<Sockets>,
    credential: String,
    number: u64,
    ended: CancellationToken,
}

impl Watch {
    /// Cancelled when the credential was revoked.
    pub(in crate::api) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Goes on with another credential.
    pub(super) fn follow(&mut self, credential: &str) {
        let mut state = self.sockets.state();
        state.forget(&self.credential, self.number);
        credential.clone_into(&mut self.credential);
        state.watches.entry(self.credential.clone()).or_default().insert(self.number, self.ended.clone());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.sockets.state().forget(&self.credential, self.number);
    }
}
