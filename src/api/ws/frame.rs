//! What travels over a web socket.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::bot_message::BotMessage;
use crate::model::Error;
use crate::store::log::Receipt;

/// What a client sends.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ClientFrame {
    /// Something said. `id` is the client's own for it and makes it safe to send again.
    Message {
        #[serde(default)]
        id: Option<String>,
        session_id: String,
        /// With attachments it may be empty.
        #[serde(default)]
        content: String,
        #[serde(default)]
        reply_to: Option<String>,
        /// Ids of files that go along.
        #[serde(default)]
        attachments: Vec<String>,
    },
    /// A command with its parameters. It stands in the session as if it had been typed.
    Command {
        #[serde(default)]
        id: Option<String>,
        session_id: String,
        command: String,
        /// Without it the session's bot, or else the one bot that has such a command.
        #[serde(default)]
        bot: Option<String>,
        #[serde(default)]
        #[schema(value_type = Object)]
        parameters: serde_json::Map<String, Value>,
    },
    /// An action of a message is taken: null for a button, a text for a select or a date, an object for a form.
    Action {
        #[serde(default)]
        id: Option<String>,
        session_id: String,
        message_id: String,
        action_id: String,
        #[serde(default)]
        value: Value,
    },
    /// Read a stream from a place on, then live.
    Subscribe {
        #[serde(default)]
        id: Option<String>,
        stream: String,
        #[serde(default)]
        after: i64,
        #[serde(default)]
        epoch: Option<String>,
        #[serde(default = "five_hundred")]
        limit: i64,
        /// Frames that pass by and are sent only on wish: `typing`, `presence`, `delivered`.
        #[serde(default)]
        want: Vec<String>,
    },
    /// Read a stream no longer.
    Unsubscribe { stream: String },
    /// The newest events before a place, for reading back.
    History {
        #[serde(default)]
        id: Option<String>,
        session_id: String,
        #[serde(default)]
        before: Option<i64>,
        #[serde(default = "fifty")]
        limit: i64,
    },
    /// Another text for what one said before.
    Edit {
        #[serde(default)]
        id: Option<String>,
        session_id: String,
        message_id: String,
        content: String,
    },
    /// Takes back what one said before.
    Delete {
        #[serde(default)]
        id: Option<String>,
        session_id: String,
        message_id: String,
    },
    /// How far the client has read.
    Read {
        #[serde(default)]
        id: Option<String>,
        session_id: String,
        read_seq: i64,
    },
    /// Somebody is writing; said again while it goes on.
    Typing { session_id: String },
    /// Whether the user is looking, in everything this socket reads. Online at first.
    Presence {
        #[schema(inline)]
        state: Looking,
    },
    /// Everything of a stream up to a place has arrived. Sent at will; who wants `delivered` hears of it.
    Received { stream: String, seq: i64 },
    /// Goes on with another token of the same user, before the one of now expires.
    Auth {
        #[serde(default)]
        id: Option<String>,
        token: String,
    },
    /// Stops a run of the session.
    Cancel {
        #[serde(default)]
        id: Option<String>,
        session_id: String,
        invocation_id: String,
    },
    /// This socket is a process that does the commands of a bot.
    Register {
        #[serde(default)]
        id: Option<String>,
        bot_id: String,
        /// Only these commands; all that are left to processes when absent.
        #[serde(default)]
        commands: Option<Vec<String>>,
        /// How many deliveries it takes at a time.
        #[serde(default = "sixteen")]
        max_in_flight: usize,
    },
    /// A delivery is done; without content or message the reply is what was streamed.
    Done {
        #[serde(default)]
        id: Option<String>,
        delivery_id: String,
        /// The attempt it is about; the one this process has when absent. The same in the frames below.
        #[serde(default)]
        attempt: Option<i64>,
        #[serde(default)]
        status: RunStatus,
        /// Markdown; the same as a message with nothing but a text.
        #[serde(default)]
        content: Option<String>,
        #[serde(default)]
        message: Option<BotMessage>,
        /// Why it failed.
        #[serde(default)]
        error: Option<String>,
    },
    /// A delivery is given back undone, to be delivered again.
    Nack {
        #[serde(default)]
        id: Option<String>,
        delivery_id: String,
        #[serde(default)]
        attempt: Option<i64>,
        #[serde(default)]
        retry_after_ms: Option<i64>,
    },
    /// Keeps the lease of a delivery.
    Extend {
        #[serde(default)]
        id: Option<String>,
        delivery_id: String,
        #[serde(default)]
        attempt: Option<i64>,
    },
    /// The next piece of the reply; `offset` is how many Unicode scalar values were sent before it.
    Chunk {
        #[serde(default)]
        id: Option<String>,
        delivery_id: String,
        #[serde(default)]
        attempt: Option<i64>,
        offset: usize,
        delta: String,
    },
    /// A message before the end. `id` is the process's own for it: the same in each attempt, so that it is said once.
    Say {
        id: String,
        delivery_id: String,
        #[serde(default)]
        attempt: Option<i64>,
        #[serde(default)]
        content: Option<String>,
        #[serde(default)]
        message: Option<BotMessage>,
    },
    /// Answered with the same timestamp.
    Ping {
        #[serde(default)]
        timestamp: Value,
    },
}

/// What a client says of its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Looking {
    Online,
    Away,
}

/// How a run ended, as its process says.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RunStatus {
    #[default]
    Completed,
    Failed,
}

fn sixteen() -> usize {
    16
}

fn five_hundred() -> i64 {
    500
}

fn fifty() -> i64 {
    50
}

pub(super) const TYPES: [&str; 21] = [
    "message",
    "command",
    "action",
    "edit",
    "delete",
    "subscribe",
    "unsubscribe",
    "history",
    "read",
    "typing",
    "presence",
    "received",
    "auth",
    "cancel",
    "register",
    "done",
    "nack",
    "extend",
    "chunk",
    "say",
    "ping",
];

/// Why a frame could not be read, and the id to answer under.
pub(super) struct Unreadable {
    pub(super) id: Option<String>,
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// What every frame has.
#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    id: Value,
    #[serde(default, rename = "type")]
    kind: Value,
}

/// Reads a frame. The error tells broken JSON, an unknown type and a wrong field apart.
pub(super) fn parse(text: &str) -> Result<ClientFrame, Unreadable> {
    serde_json::from_str::<ClientFrame>(text).map_err(|error| {
        let Ok(outline) = serde_json::from_str::<Outline>(text) else {
            return Unreadable {
                id: None,
                code: "INVALID_JSON",
                message: format!("the frame is not a JSON object: {error}"),
            };
        };
        let id = outline.id.as_str().map(str::to_owned);
        match outline.kind.as_str() {
            None => Unreadable { id, code: "INVALID_FRAME", message: "the frame needs a type".to_owned() },
            Some(kind) if !TYPES.contains(&kind) => {
                let shown: String = kind.chars().take(40).collect();
                let message = format!("there is no frame type '{shown}'; there are {}", TYPES.join(", "));
                Unreadable { id, code: "UNKNOWN_TYPE", message }
            }
            Some(kind) => {
                Unreadable { id, code: "INVALID_FRAME", message: format!("the {kind} frame cannot be used: {error}") }
            }
        }
    })
}

/// The id of a frame that is not read any further.
pub(super) fn id_of(text: &str) -> Option<String> {
    serde_json::from_str::<Outline>(text).ok()?.id.as_str().map(str::to_owned)
}

/// A client's id: 1 to 64 of `A-Z a-z 0-9 _ -`.
pub(super) fn is_client_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Serialises a frame of ours.
pub(super) fn text<T: Serialize>(frame: &T) -> String {
    serde_json::to_string(frame).unwrap_or_else(|error| {
        tracing::error!(%error, "failed to write a frame");
        r#"{"type":"error","id":null,"error":{"code":"SERVER_ERROR","message":"failed to write a frame","details":null}}"#.to_owned()
    })
}

/// What a client asked for is committed: the message it is about, and the place of the event.
pub(super) fn ack(id: Option<&str>, session: &str, message_id: &str, receipt: &Receipt) -> String {
    #[derive(Serialize)]
    struct Ack<'a> {
        r#type: &'static str,
        id: Option<&'a str>,
        session_id: &'a str,
        message_id: &'a str,
        seq: i64,
        duplicate: bool,
    }
    let Receipt { place, duplicate } = receipt;
    text(&Ack { r#type: "ack", id, session_id: session, message_id, seq: place.seq, duplicate: *duplicate })
}

/// An error frame, answering the frame with that id.
pub(super) fn error(id: Option<&str>, error: &Error) -> String {
    text(&json!({
        "type": "error",
        "id": id,
        "error": { "code": error.code, "message": error.message, "details": error.details },
        "retry_after_ms": error.retry_after,
    }))
}

/// The plain form of a durable frame, for clients that speak no subprotocol: what a bot says, as text alone, its sender
/// as one word. A message that says something else from now on is said again. `None` for what such a client does not
/// expect.
pub(super) fn plain(frame: &[u8]) -> Option<String> {
    const SHOWN: [&str; 5] = ["seq", "session_id", "message_id", "content", "ts"];
    let frame: serde_json::Map<String, Value> = serde_json::from_slice(frame).ok()?;
    let kind = frame.get("type")?;
    // An update may also tell that an action was taken; only a new text has its own time in the message as well.
    let is_new_text = || frame.get("post").is_some_and(|post| post.get("edited_at") == frame.get("edited_at"));
    let is_said = kind == "message" || (kind == "message_update" && is_new_text());
    if !is_said || frame.get("sender")?.get("kind")? != "bot" {
        return None;
    }
    let mut shown = serde_json::Map::from_iter([("type".into(), json!("message")), ("sender".into(), json!("bot"))]);
    for key in SHOWN {
        let value = frame.get(key).or_else(|| frame.get("post")?.get(key));
        shown.extend(value.map(|value| (key.to_owned(), value.clone())));
    }
    Some(text(&shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_code() {
        for (text, code) in [
            ("{", "INVALID_JSON"),
            ("[]", "INVALID_FRAME"),
            ("{}", "INVALID_FRAME"),
            (r#"{"type":"dance","id":"c1"}"#, "UNKNOWN_TYPE"),
            (r#"{"type":"message","id":"c1"}"#, "INVALID_FRAME"),
            (r#"{"type":"message","session_id":"s","content":3}"#, "INVALID_FRAME"),
        ] {
            assert_eq!(parse(text).err().map(|error| error.code), Some(code), "{text}");
        }
        assert!(matches!(
            parse(r#"{"type":"message","content":"x","session_id":"s"}"#),
            Ok(ClientFrame::Message { id: None, .. })
        ));
        assert!(is_client_id("01J-a_b") && !is_client_id("") && !is_client_id("a b") && !is_client_id(&"a".repeat(65)));
    }

    #[test]
    fn plain_clients_see_only_what_bots_say() {
        let shown =
            |frame: Value| serde_json::from_str::<Value>(&plain(frame.to_string().as_bytes()).unwrap()).unwrap();
        let sender = json!({ "kind": "bot", "id": "b", "name": "B" });
        let bot =
            json!({ "type": "message", "seq": 2, "sender": sender, "content": "x", "session_id": "s", "title": "y" });
        assert_eq!(
            shown(bot.clone()),
            json!({ "type": "message", "sender": "bot", "seq": 2, "session_id": "s", "content": "x" })
        );
        let at = "2026-11-23T12:00:00.000Z";
        let mut rewritten = json!({
            "type": "message_update", "seq": 3, "sender": sender, "content": "z", "session_id": "s", "edited_at": at, "post": bot,
        });
        assert!(plain(rewritten.to_string().as_bytes()).is_none(), "its text is the same");
        rewritten["post"]["edited_at"] = json!(at);
        assert_eq!(
            shown(rewritten),
            json!({ "type": "message", "sender": "bot", "seq": 3, "session_id": "s", "content": "z" })
        );
        assert!(plain(br#"{"type":"message_update","sender":{"kind":"user"},"content":"x"}"#).is_none());
        assert!(plain(br#"{"type":"message","sender":{"kind":"user"}}"#).is_none());
        assert!(plain(br#"{"type":"session_update"}"#).is_none());
    }
}
