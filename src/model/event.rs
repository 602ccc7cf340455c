//! A fact with a place in a stream.

use std::fmt;

use serde_json::value::RawValue;

use super::conversation::Millis;

/// The name of a stream: `conv:<id>`, `exec:<id>` or `user:<id>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stream(String);

/// What a stream is about, with the id of that thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    Conversation(&'a str),
    Execution(&'a str),
    User(&'a str),
}

impl Stream {
    pub fn conversation(id: &str) -> Self {
        Self(format!("conv:{id}"))
    }

    pub fn execution(id: &str) -> Self {
        Self(format!("exec:{id}"))
    }

    pub fn user(id: &str) -> Self {
        Self(format!("user:{id}"))
    }

    /// Where every step of every run is told, for who watches them all. No client names it.
    pub fn runs() -> Self {
        Self("runs:all".to_owned())
    }

    /// Reads a name that a client sent; `None` when it is not one of the three forms.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, id) = text.split_once(':')?;
        let known = matches!(kind, "conv" | "exec" | "user") && !id.is_empty() && id.len() <= 128;
        known.then(|| Self(text.to_owned()))
    }

    pub fn subject(&self) -> Subject<'_> {
        match self.0.split_once(':') {
            Some(("exec", id)) => Subject::Execution(id),
            Some(("user", id)) => Subject::User(id),
            Some((_, id)) => Subject::Conversation(id),
            None => Subject::Conversation(""),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An event that is not yet in the log: its place is given in the commit.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub stream: Stream,
    pub id: String,
    /// The frame type: `message`, `session_update`, `execution_update`.
    pub kind: &'static str,
    /// Principal id of who caused it; `None` for the house itself.
    pub principal: Option<String>,
    /// The client's own id for it, unique per principal and stream.
    pub client_id: Option<String>,
    /// The frame's body without `type`, `stream` and `seq`: one JSON object.
    pub payload: Box<RawValue>,
    pub created_at: Millis,
}

/// An event as read back from the log.
#[derive(Clone, Debug)]
pub struct Event {
    pub seq: i64,
    pub kind: String,
    pub payload: Box<RawValue>,
}

impl Event {
    /// The frame every reader gets, the same bytes on every door:
    /// `{"type":…,"stream":…,"seq":…,` followed by the payload's members.
    pub fn frame(&self, stream: &Stream) -> String {
        frame(&self.kind, stream, self.seq, self.payload.get())
    }
}

/// Writes a frame around an already serialised payload object.
pub fn frame(kind: &str, stream: &Stream, seq: i64, payload: &str) -> String {
    let members = payload.trim_start_matches('{');
    let comma = if members.trim_start() == "}" { "" } else { "," };
    let seq = seq.to_string();
    let pieces = [r#"{"type":""#, kind, r#"","stream":""#, stream.as_str(), r#"","seq":"#, &seq, comma, members];
    pieces.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_one_of_three_forms() {
        for good in ["conv:1", "exec:a-b", "user:u"] {
            assert_eq!(Stream::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "conv", "conv:", "room:1", "CONV:1"] {
            assert!(Stream::parse(bad).is_none(), "{bad}");
        }
        assert_eq!(Stream::execution("e").subject(), Subject::Execution("e"));
    }

    #[test]
    fn a_frame_is_json_with_its_place_first() {
        let stream = Stream::conversation("s");
        assert_eq!(frame("message", &stream, 3, r#"{"a":1}"#), r#"{"type":"message","stream":"conv:s","seq":3,"a":1}"#);
        assert_eq!(frame("message", &stream, 3, "{}"), r#"{"type":"message","stream":"conv:s","seq":3}"#);
    }
}
