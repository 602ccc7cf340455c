//! Frames that pass by: they have no place in the log, only who reads right now hears of them, and a newer one about
//! the same thing replaces an older one that was not sent yet.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::presence::State;
use crate::model::event::{Stream, Subject};
use crate::model::message::Sender;

/// How many things are remembered at once for one stream.
const KEPT: usize = 64;

/// Typing counts for this long; who goes on typing says so again before.
const TYPING_MILLIS: i64 = 6000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PassingKind {
    /// Somebody is writing in a conversation.
    Typing,
    /// A principal has read a conversation up to a place, on some device.
    Read,
    /// A conversation of a principal has grown.
    Activity,
    /// Somebody came, went, or looks elsewhere.
    Presence,
    /// Somebody's client has what was sent up to a place.
    Delivered,
    /// A reply that was being written is no message of its own.
    Dropped,
}

/// One frame, already serialised.
#[derive(Clone, Debug)]
pub struct Passing {
    pub stream: Stream,
    pub kind: PassingKind,
    /// What it is about: of the same kind and thing only the latest counts.
    pub about: String,
    pub bytes: Bytes,
}

impl Passing {
    /// `sender` is writing in a conversation.
    pub fn typing(conversation: &str, sender: &Sender) -> Self {
        let stream = Stream::conversation(conversation);
        let frame = json!({
            "type": "typing", "stream": stream.as_str(), "session_id": conversation, "sender": sender,
            "active": true, "ttl_ms": TYPING_MILLIS,
        });
        Self { stream, kind: PassingKind::Typing, about: sender.id.clone(), bytes: Bytes::from(frame.to_string()) }
    }

    /// A principal has read a conversation up to `read_seq`.
    pub fn read(principal: &str, conversation: &str, read_seq: i64) -> Self {
        let stream = Stream::user(principal);
        let frame = json!({
            "type": "read", "stream": stream.as_str(), "session_id": conversation, "user_id": principal,
            "read_seq": read_seq,
        });
        Self { stream, kind: PassingKind::Read, about: conversation.to_owned(), bytes: Bytes::from(frame.to_string()) }
    }

    /// How present a principal is in a conversation; `None` for any other stream.
    pub fn presence(stream: &Stream, principal: &str, state: State) -> Option<Self> {
        let Subject::Conversation(conversation) = stream.subject() else { return None };
        let frame = json!({
            "type": "presence", "stream": stream.as_str(), "session_id": conversation, "user_id": principal,
            "state": state.word(),
        });
        let (about, bytes) = (principal.to_owned(), Bytes::from(frame.to_string()));
        Some(Self { stream: stream.clone(), kind: PassingKind::Presence, about, bytes })
    }

    /// A client of a principal has what was sent of a stream up to `seq`.
    pub fn delivered(stream: &Stream, principal: &str, seq: i64) -> Self {
        let frame = json!({ "type": "delivered", "stream": stream.as_str(), "user_id": principal, "seq": seq });
        let (about, bytes) = (principal.to_owned(), Bytes::from(frame.to_string()));
        Self { stream: stream.clone(), kind: PassingKind::Delivered, about, bytes }
    }

    /// The reply that was being written as that message ended in another one, or said nothing new.
    pub fn dropped(conversation: &str, message: &str) -> Self {
        let stream = Stream::conversation(conversation);
        let frame = json!({
            "type": "message_dropped", "stream": stream.as_str(), "session_id": conversation, "message_id": message,
        });
        let (about, bytes) = (message.to_owned(), Bytes::from(frame.to_string()));
        Self { stream, kind: PassingKind::Dropped, about, bytes }
    }

    /// A conversation of a principal has grown to `head` by something said at `ts`.
    pub fn activity(owner: &str, conversation: &str, head: i64, ts: &str) -> Self {
        #[derive(Serialize)]
        struct Activity<'a> {
            r#type: &'static str,
            stream: &'a str,
            session_id: &'a str,
            head_seq: i64,
            ts: &'a str,
        }
        let stream = Stream::user(owner);
        let (session_id, head_seq) = (conversation, head);
        // Every message makes one: written without the detour over a JSON value.
        let frame = Activity { r#type: "activity", stream: stream.as_str(), session_id, head_seq, ts };
        let bytes = serde_json::to_vec(&frame).map(Bytes::from).unwrap_or_default();
        let about = conversation.to_owned();
        Self { stream, kind: PassingKind::Activity, about, bytes }
    }
}

/// The latest frames of one stream, numbered in the order they came.
#[derive(Debug, Default)]
pub(super) struct Latest {
    newest: u64,
    frames: VecDeque<(u64, Passing)>,
}

impl Latest {
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    pub(super) fn put(&mut self, passing: Passing) {
        self.frames.retain(|(_, known)| known.kind != passing.kind || known.about != passing.about);
        if self.frames.len() == KEPT {
            self.frames.pop_front();
        }
        self.newest += 1;
        self.frames.push_back((self.newest, passing));
    }

    /// What came after the frame of that number, and is still the latest of its kind and thing.
    pub(super) fn after(&self, number: u64) -> Vec<(PassingKind, Bytes)> {
        let later = self.frames.iter().filter(|(own, _)| *own > number);
        later.map(|(_, passing)| (passing.kind, passing.bytes.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_about_a_thing_replaces_the_earlier_ones() {
        let mut latest = Latest::default();
        let text = |frames: Vec<(PassingKind, Bytes)>| -> Vec<String> {
            frames.into_iter().map(|(_, bytes)| String::from_utf8(bytes.to_vec()).unwrap()).collect()
        };
        latest.put(Passing::read("u", "a", 3));
        latest.put(Passing::activity("u", "a", 7, "t"));
        latest.put(Passing::read("u", "b", 1));
        latest.put(Passing::read("u", "a", 5));
        let all = text(latest.after(0));
        assert_eq!(all.len(), 3);
        assert!(all[0].contains(r#""head_seq":7"#) && all[2].contains(r#""read_seq":5"#), "{all:?}");
        assert_eq!(latest.after(3).len(), 1);
        assert!(latest.after(latest.newest()).is_empty());
        for n in 0..1000 {
            latest.put(Passing::read("u", &n.to_string(), 1));
        }
        assert_eq!(latest.after(0).len(), KEPT);
    }
}
