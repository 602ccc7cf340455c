//! Changing what was said: only a person's own messages, and never with a run.

use serde_json::json;

use super::Hub;
use super::outside::Via;
use super::say::check_content;
use crate::clock::rfc3339;
use crate::engine::answer::raw;
use crate::identity::permission::{Object, Verb, authorize};
use crate::model::conversation::ConversationStatus;
use crate::model::event::{NewEvent, Stream};
use crate::model::id::{new_id, sha256_hex};
use crate::model::message::{Sender, SenderKind};
use crate::model::principal::Principal;
use crate::model::{Error, Result};
use crate::store::change::{Change, New, unknown};
use crate::store::log::Receipt;

/// Which message, and how often the same wish may arrive.
#[derive(Debug)]
pub struct Target {
    pub conversation: String,
    pub message_id: String,
    /// The sender's own id for the change: asked for again with the same id it is the same change.
    pub client_id: Option<String>,
}

impl Hub {
    /// Replaces the text of a message. The new text runs nothing, whatever it says.
    pub async fn edit(&self, principal: &Principal, target: Target, content: String) -> Result<Receipt> {
        self.edit_via(principal, target, content, None).await
    }

    /// The same for what may come from outside.
    pub async fn edit_via(
        &self,
        principal: &Principal,
        target: Target,
        content: String,
        via: Option<&Via>,
    ) -> Result<Receipt> {
        check_content(&content)?;
        self.change(principal, target, New::Text(content), via).await
    }

    /// Takes a message back: its text leaves the log. What answered it stays.
    pub async fn delete(&self, principal: &Principal, target: Target) -> Result<Receipt> {
        self.delete_via(principal, target, None).await
    }

    /// The same for what may come from outside.
    pub async fn delete_via(&self, principal: &Principal, target: Target, via: Option<&Via>) -> Result<Receipt> {
        self.change(principal, target, New::Gone, via).await
    }

    async fn change(&self, principal: &Principal, target: Target, new: New, via: Option<&Via>) -> Result<Receipt> {
        let Target { conversation, message_id, client_id } = target;
        let conversation = self.conversation(principal, &conversation, Verb::Chat).await?;
        let message = self.store().message(&conversation.id, &message_id).await?;
        let (seq, post) = message.ok_or_else(|| unknown(&message_id))?;
        let object = Object::Message { conversation: &conversation, author: &post.sender.id };
        authorize(principal, Verb::Manage, object)?;
        if post.sender.kind != SenderKind::User {
            return Err(Error::forbidden("what a bot said stays as it is"));
        }
        // Taking back is possible for as long as it can be read.
        if matches!(new, New::Text(_)) && conversation.status != ConversationStatus::Active {
            return Err(Error::conflict("SESSION_CLOSED", "this conversation is closed; nothing is edited in it"));
        }
        let now = self.engine.clock().now();
        let ts = rfc3339(now);
        let by = Sender { kind: SenderKind::User, id: principal.id.clone(), name: principal.name.clone() };
        let (kind, payload, wish) = match &new {
            New::Text(content) => (
                "message_update",
                json!({
                    "session_id": conversation.id, "message_id": message_id, "sender": by, "content": content,
                    "edited_at": ts,
                }),
                format!("edit {message_id} {content}"),
            ),
            New::Gone => (
                "message_delete",
                json!({ "session_id": conversation.id, "message_id": message_id, "sender": by, "deleted_at": ts }),
                format!("delete {message_id}"),
            ),
        };
        let event = NewEvent {
            stream: Stream::conversation(&conversation.id),
            id: new_id(),
            kind,
            principal: Some(principal.id.clone()),
            client_id,
            payload: raw(&payload)?,
            created_at: now,
        };
        let files = if matches!(new, New::Gone) { post.files } else { Vec::new() };
        let said = via.map(Via::said_at);
        let change = Change { message_id, seq, new, ts, event, body_hash: sha256_hex(wish.as_bytes()), said };
        let receipt = self.store().change_message(change).await?;
        self.remove_bytes(&files).await;
        Ok(receipt)
    }
}
