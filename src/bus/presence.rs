//! Who is connected, and who is there in which stream. A connection is there in what it reads; a principal is as
//! present as the most present of their connections.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use super::{Bus, Passing, lock};
use crate::model::conversation::Millis;
use crate::model::event::Stream;

/// How present somebody is; what is present in another connection counts more than what is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Offline,
    /// Connected, but not looking: so their client says.
    Away,
    Online,
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Away => "away",
            Self::Online => "online",
        }
    }
}

/// Somebody who is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    pub principal: String,
    pub name: String,
    pub since: Millis,
}

/// All connections, and where they are.
#[derive(Debug, Default)]
pub(super) struct Register {
    next: u64,
    connections: BTreeMap<u64, Connection>,
    /// Which connections read a stream; one that reads it twice for a moment stands here twice.
    rooms: HashMap<Stream, Vec<u64>>,
}

#[derive(Debug)]
struct Connection {
    present: Present,
    away: bool,
    reads: Vec<Stream>,
}

impl Register {
    /// Everybody, each once with the oldest connection, by name.
    fn everybody(&self) -> Vec<Present> {
        let mut by_principal: BTreeMap<&str, Present> = BTreeMap::new();
        for Connection { present, .. } in self.connections.values() {
            by_principal
                .entry(&present.principal)
                .and_modify(|known| known.since = known.since.min(present.since))
                .or_insert_with(|| present.clone());
        }
        let mut all: Vec<_> = by_principal.into_values().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// How present each principal is in a stream.
    fn room(&self, stream: &Stream) -> BTreeMap<&str, State> {
        let mut states = BTreeMap::new();
        let numbers = self.rooms.get(stream).into_iter().flatten();
        for connection in numbers.filter_map(|number| self.connections.get(number)) {
            let state = if connection.away { State::Away } else { State::Online };
            let known = states.entry(connection.present.principal.as_str()).or_insert(state);
            *known = state.max(*known);
        }
        states
    }

    fn state(&self, stream: &Stream, principal: &str) -> State {
        self.room(stream).get(principal).copied().unwrap_or(State::Offline)
    }
}

impl Bus {
    /// Notes that somebody is connected, for as long as the value lives.
    pub fn join(self: &Arc<Self>, principal: &str, name: &str, since: Millis) -> Arc<Connected> {
        let present = Present { principal: principal.to_owned(), name: name.to_owned(), since };
        let mut register = lock(&self.presence);
        register.next += 1;
        let number = register.next;
        register.connections.insert(number, Connection { present, away: false, reads: Vec::new() });
        Arc::new(Connected { bus: Arc::downgrade(self), number, principal: principal.to_owned() })
    }

    /// Everybody with at least one connection, each once with the oldest, by name.
    pub fn present(&self) -> Vec<Present> {
        lock(&self.presence).everybody()
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        lock(&self.presence).connections.len()
    }

    /// Who is there in a stream right now, as the frames that say so.
    pub fn presence(&self, stream: &Stream) -> Vec<Passing> {
        let register = lock(&self.presence);
        let room = register.room(stream);
        room.into_iter().filter_map(|(principal, state)| Passing::presence(stream, principal, state)).collect()
    }

    /// Changes the register, and tells the readers of these streams what became of this principal's presence.
    fn change(&self, principal: &str, streams: &[Stream], change: impl FnOnce(&mut Register)) {
        let mut register = lock(&self.presence);
        let before: Vec<State> = streams.iter().map(|stream| register.state(stream, principal)).collect();
        change(&mut register);
        // Told while the register is locked: the last word is how it is.
        for (stream, before) in streams.iter().zip(before) {
            let now = register.state(stream, principal);
            if now != before
                && self.tail(stream).is_some()
                && let Some(passing) = Passing::presence(stream, principal, now)
            {
                self.pass(passing);
            }
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Connected {
    bus: Weak<Bus>,
    number: u64,
    principal: String,
}

impl Connected {
    /// Is there in a stream, as long as the value lives. Streams in which nobody meets count for nothing.
    pub fn attend(self: &Arc<Self>, stream: &Stream) -> Attendance {
        if let Some(bus) = self.bus.upgrade() {
            bus.change(&self.principal, std::slice::from_ref(stream), |register| {
                register.rooms.entry(stream.clone()).or_default().push(self.number);
                if let Some(connection) = register.connections.get_mut(&self.number) {
                    connection.reads.push(stream.clone());
                }
            });
        }
        Attendance { connected: self.clone(), stream: stream.clone() }
    }

    /// Says whether whoever sits there is looking.
    pub fn is_away(&self, away: bool) {
        let Some(bus) = self.bus.upgrade() else { return };
        let streams = lock(&bus.presence).connections.get(&self.number).map(|known| known.reads.clone());
        bus.change(&self.principal, &streams.unwrap_or_default(), |register| {
            if let Some(connection) = register.connections.get_mut(&self.number) {
                connection.away = away;
            }
        });
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        if let Some(bus) = self.bus.upgrade() {
            lock(&bus.presence).connections.remove(&self.number);
        }
    }
}

/// Being there in one stream. It keeps its connection, so that leaving is told before the connection is forgotten.
#[derive(Debug)]
pub struct Attendance {
    connected: Arc<Connected>,
    stream: Stream,
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let Some(bus) = self.connected.bus.upgrade() else { return };
        let number = self.connected.number;
        bus.change(&self.connected.principal, std::slice::from_ref(&self.stream), |register| {
            if let Some(numbers) = register.rooms.get_mut(&self.stream) {
                numbers.iter().position(|known| *known == number).map(|place| numbers.swap_remove(place));
                if numbers.is_empty() {
                    register.rooms.remove(&self.stream);
                }
            }
            if let Some(connection) = register.connections.get_mut(&number) {
                let reads = &mut connection.reads;
                reads.iter().position(|known| *known == self.stream).map(|place| reads.swap_remove(place));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Inbox, PassingKind};
    use super::*;

    #[test]
    fn one_is_as_present_as_ones_most_present_connection() {
        let (bus, stream, inbox) = (Bus::new(), Stream::conversation("a"), Inbox::new());
        let reader = bus.subscribe(&stream, &inbox, 1);
        let mut heard = 0;
        let mut news = || {
            let (newest, frames) = reader.passing(heard);
            heard = newest;
            let text = |(kind, bytes): (PassingKind, bytes::Bytes)| {
                assert_eq!(kind, PassingKind::Presence);
                let frame: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                format!("{} {}", frame["user_id"].as_str().unwrap(), frame["state"].as_str().unwrap())
            };
            frames.into_iter().map(text).collect::<Vec<_>>().join(", ")
        };
        let (laptop, phone) = (bus.join("u", "Ann", 5), bus.join("u", "Ann", 7));
        assert_eq!(news(), "", "connected, but not here");
        let here = laptop.attend(&stream);
        assert_eq!(news(), "u online");
        laptop.is_away(true);
        assert_eq!(news(), "u away");
        let there = phone.attend(&stream);
        assert_eq!(news(), "u online");
        laptop.is_away(false);
        phone.is_away(true);
        assert_eq!(news(), "", "still online by the laptop");
        // The same stream again, before the first reading ends.
        let again = laptop.attend(&stream);
        drop(here);
        assert_eq!(news(), "");
        drop(laptop);
        assert_eq!(news(), "", "a connection ends behind what it reads");
        drop(again);
        assert_eq!(news(), "u away");
        assert_eq!(bus.presence(&stream).len(), 1);
        drop((there, phone));
        assert_eq!(news(), "u offline");
        assert_eq!((bus.presence(&stream).len(), bus.connections(), bus.present()), (0, 0, Vec::new()));
        assert!(lock(&bus.presence).rooms.is_empty());
    }

    #[test]
    fn everybody_is_listed_once() {
        let bus = Bus::new();
        let _all = [bus.join("u", "Bob", 5), bus.join("u", "Bob", 3), bus.join("k", "Ann", 9)];
        let all: Vec<_> = bus.present().into_iter().map(|present| (present.name, present.since)).collect();
        assert_eq!(all, [("Ann".to_owned(), 9), ("Bob".to_owned(), 3)]);
    }
}
