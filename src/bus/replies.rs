//! Replies that are being written: what a bot has said so far of a message that is not in the log yet.
//!
//! A reply is kept whole, once for all its readers. A reader owns a position in it: one that is up to date gets what is
//! new, a slow one gets all it has not had in one piece, and one that comes later, or whose reply began anew, gets the
//! whole. Nothing is ever left out, and a reader that takes its time costs nobody anything.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{Bus, Subscription, lock};
use crate::model::event::{Stream, Subject};
use crate::model::message::Sender;

/// The longest reply that is kept while it is written, in bytes.
pub const MOST_REPLY_BYTES: usize = 256 * 1024;

/// A reply that begins: who writes it, and which message it will be.
#[derive(Clone, Debug)]
pub struct NewReply {
    /// The conversation it is said in, or the run when whoever started it polls.
    pub stream: Stream,
    /// The id of the message that ends it.
    pub message_id: String,
    pub sender: Sender,
    pub reply_to: Option<String>,
    /// The run that writes it.
    pub invocation_id: String,
}

impl NewReply {
    /// A frame about it, with what every such frame says.
    fn frame(&self, kind: &str) -> Map<String, Value> {
        let mut frame = Map::new();
        frame.insert("type".into(), json!(kind));
        frame.insert("stream".into(), json!(self.stream.as_str()));
        if let Subject::Conversation(id) = self.stream.subject() {
            frame.insert("session_id".into(), json!(id));
        }
        frame.insert("message_id".into(), json!(self.message_id));
        frame.insert("sender".into(), json!(self.sender));
        frame
    }
}

/// Why a piece of a reply was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotGrown {
    /// No reply of that id is being written.
    Unknown,
    /// The piece does not follow what is there: that many characters are.
    Offset(usize),
    TooLarge,
}

/// How far a reader has come in one reply.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    round: u64,
    bytes: usize,
    /// Unicode scalar values.
    characters: usize,
}

#[derive(Debug, Default)]
pub(super) struct Replies {
    by_stream: Mutex<HashMap<Stream, Vec<Growing>>>,
    /// How many there are, so that readers of other streams need not look.
    count: AtomicUsize,
    rounds: AtomicU64,
}

#[derive(Debug)]
struct Growing {
    about: NewReply,
    /// Another one each time the reply begins anew.
    round: u64,
    content: String,
    characters: usize,
    /// How many are writing its message to the log right now: readers get that or, should it fail, go on here.
    held: usize,
    /// The newest piece as a frame, with the byte it begins at: most readers want exactly this.
    newest: Option<(usize, Bytes)>,
}

impl Growing {
    fn chunk(&self, from: Heard) -> Bytes {
        match &self.newest {
            Some((at, bytes)) if *at == from.bytes => bytes.clone(),
            _ => self.chunk_of(from.characters, self.content.get(from.bytes..).unwrap_or_default()),
        }
    }

    fn chunk_of(&self, offset: usize, delta: &str) -> Bytes {
        let mut frame = self.about.frame("chunk");
        frame.insert("offset".into(), json!(offset));
        frame.insert("delta".into(), json!(delta));
        Bytes::from(Value::Object(frame).to_string())
    }

    fn partial(&self) -> Bytes {
        let about = &self.about;
        let mut frame = about.frame("message_partial");
        frame.insert("invocation_id".into(), json!(about.invocation_id));
        frame.insert("content".into(), json!(self.content));
        frame.insert("offset".into(), json!(self.characters));
        if let Some(reply_to) = &about.reply_to {
            frame.insert("reply_to".into(), json!(reply_to));
        }
        Bytes::from(Value::Object(frame).to_string())
    }
}

impl Bus {
    /// A reply begins, or begins anew: what was there of it is forgotten, and its readers hear so.
    pub fn begin_reply(&self, about: NewReply) {
        let stream = about.stream.clone();
        let round = self.replies.rounds.fetch_add(1, Ordering::Relaxed) + 1;
        let fresh = Growing { about, round, content: String::new(), characters: 0, held: 0, newest: None };
        let mut by_stream = lock(&self.replies.by_stream);
        let replies = by_stream.entry(stream.clone()).or_default();
        match replies.iter_mut().find(|known| known.about.message_id == fresh.about.message_id) {
            Some(known) => *known = fresh,
            None => {
                replies.push(fresh);
                self.replies.count.fetch_add(1, Ordering::Release);
            }
        }
        drop(by_stream);
        self.wake(&stream);
    }

    /// Adds a piece at `offset`, counted in Unicode scalar values; it must follow what is there.
    pub fn grow_reply(&self, stream: &Stream, message_id: &str, offset: usize, delta: &str) -> Result<(), NotGrown> {
        let mut by_stream = lock(&self.replies.by_stream);
        let reply = by_stream.get_mut(stream).into_iter().flatten().find(|known| known.about.message_id == message_id);
        let reply = reply.ok_or(NotGrown::Unknown)?;
        if offset != reply.characters {
            return Err(NotGrown::Offset(reply.characters));
        }
        if reply.content.len() + delta.len() > MOST_REPLY_BYTES {
            return Err(NotGrown::TooLarge);
        }
        if delta.is_empty() {
            return Ok(());
        }
        reply.newest = Some((reply.content.len(), reply.chunk_of(offset, delta)));
        reply.content.push_str(delta);
        reply.characters += delta.chars().count();
        drop(by_stream);
        self.wake(stream);
        Ok(())
    }

    /// Takes a reply out of its readers' sight while its message is written to the log. `None` when there is none.
    pub fn hold_reply(self: &Arc<Self>, stream: &Stream, message_id: &str) -> Option<HeldReply> {
        let mut by_stream = lock(&self.replies.by_stream);
        let reply = by_stream.get_mut(stream)?.iter_mut().find(|known| known.about.message_id == message_id)?;
        reply.held += 1;
        let (content, round) = (reply.content.clone(), reply.round);
        Some(HeldReply { bus: self.clone(), stream: stream.clone(), round, content })
    }

    /// A reply is over: its message is in the log, or there will be none.
    pub fn end_reply(&self, stream: &Stream, message_id: &str) {
        if self.replies.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut by_stream = lock(&self.replies.by_stream);
        let Some(known) = by_stream.get_mut(stream) else { return };
        let before = known.len();
        known.retain(|reply| reply.about.message_id != message_id);
        self.replies.count.fetch_sub(before - known.len(), Ordering::Release);
        if known.is_empty() {
            by_stream.remove(stream);
        }
    }

    fn wake(&self, stream: &Stream) {
        if let Some(tail) = self.tail(stream) {
            lock(&tail.state).wake();
        }
    }
}

/// A reply whose message is being written to the log. Once that is committed the reply is gone; when the guard is dropped
/// before, its readers go on with it.
#[derive(Debug)]
pub struct HeldReply {
    bus: Arc<Bus>,
    stream: Stream,
    round: u64,
    /// All that was said so far.
    pub content: String,
}

impl Drop for HeldReply {
    fn drop(&mut self) {
        let mut by_stream = lock(&self.bus.replies.by_stream);
        let mut all = by_stream.get_mut(&self.stream).into_iter().flatten();
        let Some(reply) = all.find(|reply| reply.round == self.round) else { return };
        reply.held -= 1;
        drop(by_stream);
        self.bus.wake(&self.stream);
    }
}

impl Subscription {
    /// What the replies being written in this stream have for a reader, whose places are in `heard` by message id.
    pub fn replies(&self, heard: &mut HashMap<String, Heard>) -> Vec<Bytes> {
        let Some(bus) = self.bus.upgrade() else { return Vec::new() };
        if bus.replies.count.load(Ordering::Acquire) == 0 {
            heard.clear();
            return Vec::new();
        }
        let by_stream = lock(&bus.replies.by_stream);
        let replies = by_stream.get(&self.stream).map(Vec::as_slice).unwrap_or_default();
        heard.retain(|id, _| replies.iter().any(|reply| reply.about.message_id == *id));
        let mut frames = Vec::new();
        for reply in replies.iter().filter(|reply| reply.held == 0) {
            let now = Heard { round: reply.round, bytes: reply.content.len(), characters: reply.characters };
            match heard.insert(reply.about.message_id.clone(), now) {
                Some(before) if before.round == now.round => {
                    if before.bytes < now.bytes {
                        frames.push(reply.chunk(before));
                    }
                }
                _ => frames.push(reply.partial()),
            }
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{Frame, Inbox};
    use crate::model::message::SenderKind;

    fn new_reply() -> NewReply {
        NewReply {
            stream: Stream::conversation("a"),
            message_id: "m".to_owned(),
            sender: Sender { kind: SenderKind::Bot, id: "b".to_owned(), name: "B".to_owned() },
            reply_to: None,
            invocation_id: "e".to_owned(),
        }
    }

    /// What a reader gets, as `type offset text`.
    fn told(subscription: &Subscription, heard: &mut HashMap<String, Heard>) -> Vec<String> {
        let frames = subscription.replies(heard).into_iter().map(|bytes| {
            let frame: Value = serde_json::from_slice(&bytes).unwrap();
            let text = frame["delta"].as_str().or(frame["content"].as_str()).unwrap();
            format!("{} {} {text}", frame["type"].as_str().unwrap(), frame["offset"])
        });
        frames.collect()
    }

    #[tokio::test]
    async fn each_reader_gets_what_it_has_not_had() {
        let (bus, stream, inbox) = (Bus::new(), Stream::conversation("a"), Inbox::new());
        let (mut quick, mut slow, mut late) = (HashMap::new(), HashMap::new(), HashMap::new());
        let reader = bus.subscribe(&stream, &inbox, 1);
        assert!(told(&reader, &mut quick).is_empty());
        bus.begin_reply(new_reply());
        assert_eq!(inbox.grown().await, [1]);
        assert_eq!(told(&reader, &mut quick), ["message_partial 0 "]);
        assert_eq!(told(&reader, &mut slow), ["message_partial 0 "]);
        for (offset, delta) in [(0, "größer "), (7, "🛠 "), (9, "x")] {
            bus.grow_reply(&stream, "m", offset, delta).unwrap();
            assert_eq!(told(&reader, &mut quick), [format!("chunk {offset} {delta}")]);
        }
        assert_eq!(told(&reader, &mut slow), ["chunk 0 größer 🛠 x"]);
        assert_eq!(told(&reader, &mut late), ["message_partial 10 größer 🛠 x"]);
        assert!(told(&reader, &mut late).is_empty());
        assert_eq!(bus.grow_reply(&stream, "m", 3, "x"), Err(NotGrown::Offset(10)));
        assert_eq!(bus.grow_reply(&stream, "m", 10, &"x".repeat(MOST_REPLY_BYTES)), Err(NotGrown::TooLarge));
        assert_eq!(bus.grow_reply(&stream, "other", 0, "x"), Err(NotGrown::Unknown));
        // Begun anew, everybody forgets.
        bus.begin_reply(new_reply());
        bus.grow_reply(&stream, "m", 0, "again").unwrap();
        assert_eq!(told(&reader, &mut quick), ["message_partial 5 again"]);
    }

    #[tokio::test]
    async fn a_held_reply_is_out_of_sight_until_its_message_failed() {
        let (bus, stream, inbox) = (Bus::new(), Stream::conversation("a"), Inbox::new());
        let (mut early, mut late) = (HashMap::new(), HashMap::new());
        let reader = bus.subscribe(&stream, &inbox, 1);
        bus.begin_reply(new_reply());
        bus.grow_reply(&stream, "m", 0, "one").unwrap();
        assert_eq!(told(&reader, &mut early), ["message_partial 3 one"]);
        let held = bus.hold_reply(&stream, "m").unwrap();
        assert_eq!(held.content, "one");
        assert!(told(&reader, &mut late).is_empty());
        drop(held);
        bus.grow_reply(&stream, "m", 3, " two").unwrap();
        assert_eq!(told(&reader, &mut early), ["chunk 3  two"]);
        let held = bus.hold_reply(&stream, "m").unwrap();
        bus.publish(vec![Frame::Written { stream: stream.clone(), message_id: "m".to_owned() }]);
        drop(held);
        assert!(told(&reader, &mut late).is_empty() && bus.hold_reply(&stream, "m").is_none());
        assert!(lock(&bus.replies.by_stream).is_empty());
    }
}
