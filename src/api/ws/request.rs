//! What a client's frames ask for, one function each; what they answer is the frame that is sent back.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::Api;
use super::super::actions::values;
use super::frame;
use crate::chat::{Choice, Order, Target};
use crate::identity::Caller;
use crate::identity::permission::Verb;
use crate::model::event::Stream;
use crate::model::{Error, Result};

/// Events of one `history` frame.
const MOST_EVENTS: i64 = 500;
/// Bytes of one `history` frame, as far as more than one event goes.
const MOST_BYTES: usize = 256 * 1024;

/// Who asks, and where.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) api: Api,
    pub(super) caller: Arc<Caller>,
}

/// An id that a client may use.
pub(super) fn check_id(id: Option<&str>) -> Result<()> {
    match id.filter(|id| !frame::is_client_id(id)) {
        None => Ok(()),
        Some(id) => {
            let message = "an id has 1 to 64 of the characters A-Z a-z 0-9 _ -";
            Err(Error::invalid(message).details(json!({ "id": id })))
        }
    }
}

impl Asker {
    /// Runs a command of a bot, named or not.
    pub(super) async fn command(
        self,
        id: Option<String>,
        session: String,
        (command, bot): (String, Option<String>),
        parameters: Map<String, Value>,
    ) -> Result<Option<String>> {
        let (conversation, client_id) = (session.clone(), id.clone());
        let order = Order { conversation, command, bot, parameters: values(parameters)?, client_id };
        let receipt = self.api.hub.command(&self.caller.principal, order).await?;
        Ok(Some(frame::ack(id.as_deref(), &session, &receipt.place.event_id, &receipt)))
    }

    /// Takes an action of a message.
    pub(super) async fn take(
        self,
        id: Option<String>,
        session: String,
        (message_id, action_id): (String, String),
        value: Value,
    ) -> Result<Option<String>> {
        let (conversation, client_id) = (session.clone(), id.clone());
        let choice = Choice { conversation, message_id, action_id, value, client_id };
        let receipt = self.api.hub.take(&self.caller.principal, choice).await?;
        Ok(Some(frame::ack(id.as_deref(), &session, &receipt.place.event_id, &receipt)))
    }

    pub(super) async fn edit(
        self,
        id: Option<String>,
        session: String,
        message_id: String,
        content: String,
    ) -> Result<Option<String>> {
        let target = Target { conversation: session.clone(), message_id: message_id.clone(), client_id: id.clone() };
        let receipt = self.api.hub.edit(&self.caller.principal, target, content).await?;
        Ok(Some(frame::ack(id.as_deref(), &session, &message_id, &receipt)))
    }

    pub(super) async fn delete(
        self,
        id: Option<String>,
        session: String,
        message_id: String,
    ) -> Result<Option<String>> {
        let target = Target { conversation: session.clone(), message_id: message_id.clone(), client_id: id.clone() };
        let receipt = self.api.hub.delete(&self.caller.principal, target).await?;
        Ok(Some(frame::ack(id.as_deref(), &session, &message_id, &receipt)))
    }

    /// Raises the read mark. Acknowledged when the frame has an id.
    pub(super) async fn read(self, id: Option<String>, session: &str, read_seq: i64) -> Result<Option<String>> {
        let read_seq = self.api.hub.mark_read(&self.caller.principal, session, read_seq).await?;
        Ok(id.map(|id| frame::text(&json!({ "type": "ack", "id": id, "session_id": session, "read_seq": read_seq }))))
    }

    /// Stops a run.
    pub(super) async fn cancel(self, id: Option<String>, session: &str, invocation: &str) -> Result<Option<String>> {
        self.api.hub.cancel(&self.caller.principal, session, invocation).await?;
        Ok(Some(frame::text(&json!({
            "type": "ack", "id": id, "session_id": session, "invocation_id": invocation, "status": "cancelled",
        }))))
    }

    /// Tells the other readers. Never acknowledged.
    pub(super) async fn typing(self, session: &str) -> Result<Option<String>> {
        self.api.hub.typing(&self.caller.principal, session).await.map(|()| None)
    }

    /// The newest events before a place, oldest first: as many as fit, at least one.
    pub(super) async fn history(
        self,
        id: Option<String>,
        session: &str,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Option<String>> {
        let conversation = self.api.hub.conversation(&self.caller.principal, session, Verb::View).await?;
        let stream = Stream::conversation(&conversation.id);
        let before = before.unwrap_or(i64::MAX);
        let page = self.api.engine.store().events_before(&stream, before, limit.clamp(1, MOST_EVENTS)).await?;
        let mut frames: Vec<String> = Vec::with_capacity(page.events.len());
        let (mut bytes, mut first) = (0, 1);
        for event in page.events.iter().rev() {
            let frame = event.frame(&stream);
            bytes += frame.len();
            if bytes > MOST_BYTES && !frames.is_empty() {
                break;
            }
            first = event.seq;
            frames.push(frame);
        }
        frames.reverse();
        // The events are JSON already; they are put in as they are.
        let head = frame::text(&json!({
            "type": "history", "id": id, "session_id": session, "has_more": first > 1,
        }));
        Ok(Some(format!(r#"{},"events":[{}]}}"#, head.trim_end_matches('}'), frames.join(","))))
    }
}
