//! One stream that a connection reads: the right to it, the place in it, and what comes next.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::super::Api;
use crate::bus::presence::{Attendance, Connected};
use crate::bus::{Bus, Heard, Inbox, Live, Passing, PassingKind, Subscription};
use crate::identity::Caller;
use crate::identity::permission::{Object, Verb, authorize};
use crate::model::event::{Stream, Subject};
use crate::model::{Error, Result};
use crate::store::Store;
use crate::store::replay::Frames;

/// `after` of a reader that wants nothing but what comes from now on.
pub(super) const FROM_NOW_ON: i64 = i64::MAX;

/// What a client wants to read.
pub(super) struct Wish {
    pub(super) stream: String,
    pub(super) after: i64,
    pub(super) epoch: Option<String>,
    pub(super) limit: i64,
    /// Kinds of frames that are sent only to who asks for them.
    pub(super) want: Vec<String>,
}

/// A stream this connection reads.
pub(super) struct Reading {
    pub(super) subscription: Subscription,
    /// The last `seq` that was sent.
    pub(super) position: i64,
    /// The head at the time of the subscription, until it is reached and said.
    pub(super) catching_up: Option<i64>,
    /// The last frame that passed by and was sent, by its number on the bus.
    passed: u64,
    wants: Wants,
    /// Why the others know that somebody is there; only in conversations.
    _attendance: Option<Attendance>,
    /// What the client said has arrived.
    received: i64,
    /// How far the replies that are being written were sent, by message id.
    heard: HashMap<String, Heard>,
}

/// Frames that pass by and are sent only on wish.
struct Wants {
    typing: bool,
    presence: bool,
    delivered: bool,
}

impl Wants {
    fn read(want: &[String]) -> Self {
        let wants = |name: &str| want.iter().any(|kind| kind == name);
        Self { typing: wants("typing"), presence: wants("presence"), delivered: wants("delivered") }
    }
}

/// Where a connection reads from the bus, and how it is seen there.
pub(super) struct Place<'a> {
    pub(super) inbox: &'a Arc<Inbox>,
    pub(super) slot: u64,
    pub(super) connected: &'a Arc<Connected>,
}

/// A subscription that was allowed, not yet announced.
pub(super) struct Opened {
    pub(super) reading: Reading,
    pub(super) head: i64,
    pub(super) recovered: bool,
    pub(super) limited: bool,
}

/// What a stream has for its reader.
pub(super) struct Batch {
    /// Frames of the log, in their order.
    pub(super) frames: Taken,
    /// The place at which the reader has caught up just now.
    pub(super) caught_up: Option<i64>,
    /// Frames without a place.
    pub(super) passing: Vec<Bytes>,
}

/// Frames for one reader, or a page that many may share.
pub(super) enum Taken {
    Live(Vec<(i64, Bytes)>),
    Replayed(Frames),
}

impl Deref for Taken {
    type Target = [(i64, Bytes)];

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Live(frames) => frames,
            Self::Replayed(frames) => frames,
        }
    }
}

/// Checks the right to a stream and finds the place to read from. Attached to the live end first, so that nothing can
/// come between the log and what follows.
pub(super) async fn open(api: &Api, caller: &Caller, place: Place<'_>, wish: Wish) -> Result<Opened> {
    let stream = Stream::parse(&wish.stream).ok_or_else(|| {
        Error::invalid("a stream is conv:, exec: or user: and an id").details(json!({ "field": "stream" }))
    })?;
    may_read(api, caller, &stream).await?;
    // Before it is read, so that nobody hears of their own coming.
    let is_conversation = matches!(stream.subject(), Subject::Conversation(_));
    let attendance = is_conversation.then(|| place.connected.attend(&stream));
    let subscription = api.engine.bus().subscribe(&stream, place.inbox, place.slot);
    let passed = subscription.newest_passing();
    let store = api.engine.store();
    let head = store.head(&stream).await?;
    let same_epoch = wish.epoch.as_deref().is_none_or(|epoch| epoch == store.epoch());
    let from_now_on = wish.after == FROM_NOW_ON;
    let recovered = from_now_on || (same_epoch && wish.after >= 0 && wish.after <= head);
    let after = if recovered { wish.after.min(head) } else { 0 };
    let limit = wish.limit.clamp(1, 1000);
    let limited = head - after > limit;
    let position = if limited { head - limit } else { after };
    let reading = Reading {
        subscription,
        position,
        catching_up: Some(head),
        passed,
        wants: Wants::read(&wish.want),
        _attendance: attendance,
        received: 0,
        heard: HashMap::new(),
    };
    Ok(Opened { reading, head, recovered, limited })
}

async fn may_read(api: &Api, caller: &Caller, stream: &Stream) -> Result<()> {
    let principal = &caller.principal;
    match stream.subject() {
        Subject::Conversation(id) => api.hub.conversation(principal, id, Verb::View).await.map(|_| ()),
        Subject::Execution(id) => {
            let unknown = || Error::not_found("there is no such execution");
            let execution = api.engine.store().execution(id).await?.ok_or_else(unknown)?;
            authorize(principal, Verb::View, Object::execution(&execution))
        }
        Subject::User(id) if id == principal.id => Ok(()),
        Subject::User(_) => Err(Error::not_found("there is no such user")),
    }
}

impl Reading {
    /// The same without a word when it has caught up.
    pub(super) fn silent(mut self) -> Self {
        self.catching_up = None;
        self
    }

    /// Takes what comes next, at most a page; a stream that holds more is marked again.
    pub(super) async fn next(&mut self, store: &Store) -> Result<Batch> {
        let replaying = self.catching_up.is_some_and(|head| self.position < head);
        let live = if replaying { Live::Behind } else { self.subscription.read(self.position) };
        let frames = match live {
            Live::Nothing => Taken::Live(Vec::new()),
            Live::Frames(frames) => Taken::Live(frames),
            Live::Behind => {
                // Put aside: a connection would keep the room for it all its life.
                Taken::Replayed(Box::pin(store.replay(self.subscription.stream(), self.position)).await?)
            }
        };
        if let Some((seq, _)) = frames.last() {
            self.position = *seq;
            self.subscription.poke();
        }
        let caught_up = self.catching_up.take_if(|head| self.position >= *head);
        let mut passing = self.passing();
        // What is being written belongs behind what was.
        if self.catching_up.is_none() {
            passing.extend(self.subscription.replies(&mut self.heard));
        }
        Ok(Batch { frames, caught_up, passing })
    }

    /// Who is there, as frames, for a reader that wants to know.
    pub(super) fn who_is_there(&self, bus: &Bus) -> Vec<Bytes> {
        if !self.wants.presence {
            return Vec::new();
        }
        bus.presence(self.subscription.stream()).into_iter().map(|passing| passing.bytes).collect()
    }

    /// Notes that everything up to `seq` has arrived; what to tell of it, when that is news.
    pub(super) fn received(&mut self, principal: &str, seq: i64) -> Option<Passing> {
        let seq = seq.min(self.position);
        if seq <= self.received {
            return None;
        }
        self.received = seq;
        Some(Passing::delivered(self.subscription.stream(), principal, seq))
    }

    fn passing(&mut self) -> Vec<Bytes> {
        let (newest, frames) = self.subscription.passing(self.passed);
        self.passed = newest;
        let wanted = frames.into_iter().filter(|(kind, _)| match kind {
            PassingKind::Typing => self.wants.typing,
            PassingKind::Presence => self.wants.presence,
            PassingKind::Delivered => self.wants.delivered,
            PassingKind::Read | PassingKind::Activity | PassingKind::Dropped => true,
        });
        wanted.map(|(_, bytes)| bytes).collect()
    }
}
