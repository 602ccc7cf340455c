//! A message changed after it was said: its text replaced, or taken back.
//!
//! The change is an event of its own, so that every reader hears of it in its place. The message's own event keeps its
//! place and holds the text that counts now, so that pages, lists and searches need not look ahead; what was taken back
//! is gone from the log.

use super::Store;
use super::log::{Identity, Receipt};
use super::outbox::SaidAt;
use super::query::query;
use super::transaction::{Transaction, Work, failed};
use crate::model::event::{NewEvent, Stream, Subject};
use crate::model::message::Post;
use crate::model::{Error, Result};

/// How often one message may be edited.
const MOST_EDITS: usize = 50;

/// What becomes of a message.
#[derive(Clone, Debug)]
pub enum New {
    Text(String),
    /// Nothing: it is taken back.
    Gone,
}

/// A change of one message.
#[derive(Debug)]
pub struct Change {
    pub message_id: String,
    /// The place of the message.
    pub seq: i64,
    pub new: New,
    /// When, as the doors write times.
    pub ts: String,
    /// What the readers of the conversation hear.
    pub event: NewEvent,
    /// SHA-256 of what was asked for, hex.
    pub body_hash: String,
    /// Where it was changed, when that is outside.
    pub said: Option<SaidAt>,
}

impl Change {
    async fn message(&self, transaction: &mut Transaction<'_>) -> Result<Post> {
        let find = query("SELECT payload FROM events WHERE stream = $1 AND seq = $2 AND id = $3");
        let find = find.bind(self.event.stream.as_str()).bind(self.seq).bind(&self.message_id);
        let row = transaction.optional(find).await?.ok_or_else(|| unknown(&self.message_id))?;
        let post = read(&row.get::<String>(0).map_err(failed)?)?;
        if post.deleted_at.is_some() {
            return Err(unknown(&self.message_id));
        }
        if matches!(self.new, New::Text(_)) && post.edits.len() >= MOST_EDITS {
            let message = format!("a message is edited at most {MOST_EDITS} times; say it anew");
            return Err(Error::conflict("TOO_MANY_EDITS", message));
        }
        Ok(post)
    }

    async fn rewrite(&self, transaction: &mut Transaction<'_>, seq: i64, payload: String) -> Result<()> {
        let rewrite = query("UPDATE events SET payload = $3 WHERE stream = $1 AND seq = $2");
        transaction.write(rewrite.bind(self.event.stream.as_str()).bind(seq).bind(payload)).await?;
        Ok(())
    }
}

impl Work for Change {
    type Output = Receipt;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Receipt> {
        if let (Some(principal), Some(client_id)) = (&self.event.principal, &self.event.client_id) {
            let stream = &self.event.stream;
            let identity = Identity { stream, principal, client_id, body_hash: &self.body_hash };
            if let Some(place) = transaction.said_before(&identity).await? {
                return Ok(Receipt { place, duplicate: true });
            }
        }
        // Once before the first write, which spares the others in a group a refusal; once more after it, since from
        // the append on nobody else can change this conversation.
        self.message(transaction).await?;
        let mut places = transaction.append(std::slice::from_ref(&self.event), Some(&self.body_hash)).await?;
        if let Subject::Conversation(conversation) = self.event.stream.subject() {
            let told: Vec<_> = std::iter::once(&self.event).zip(&places).collect();
            transaction.send_outside(conversation, &told, self.said.as_ref()).await?;
        }
        let place = places.swap_remove(0);
        let mut post = self.message(transaction).await?;
        match &self.new {
            New::Text(content) => {
                post.content.clone_from(content);
                post.edited_at = Some(self.ts.clone());
                post.edits.push(place.seq);
            }
            New::Gone => {
                for seq in std::mem::take(&mut post.edits) {
                    let empty = serde_json::json!({
                        "session_id": post.session_id, "message_id": post.message_id, "content": "",
                        "deleted_at": self.ts,
                    });
                    self.rewrite(transaction, seq, empty.to_string()).await?;
                }
                let files = std::mem::take(&mut post.files);
                transaction.forget_sent_files(&files, &self.message_id).await?;
                post.content.clear();
                post.edited_at = None;
                post.deleted_at = Some(self.ts.clone());
            }
        }
        let payload = serde_json::to_string(&post).map_err(|error| Error::internal("write a message", error))?;
        self.rewrite(transaction, self.seq, payload).await?;
        Ok(Receipt { place, duplicate: false })
    }
}

fn read(payload: &str) -> Result<Post> {
    serde_json::from_str(payload).map_err(|error| Error::internal("read a message", error))
}

/// What anybody hears about a message that is not there, or not any more.
pub fn unknown(message_id: &str) -> Error {
    Error::not_found("there is no such message").details(serde_json::json!({ "message_id": message_id }))
}

impl Store {
    /// A message of a conversation with its place, taken back or not.
    pub async fn message(&self, conversation: &str, message_id: &str) -> Result<Option<(i64, Post)>> {
        let mut reader = self.reader().await?;
        // Read backwards: what is changed was mostly said just now.
        let find = query(
            "SELECT seq, payload FROM events WHERE stream = $1 AND id = $2 AND kind = 'message' ORDER BY seq DESC LIMIT 1",
        );
        let stream = Stream::conversation(conversation);
        let find = find.bind(stream.as_str()).bind(message_id);
        let row = find.optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| Ok((row.get(0).map_err(failed)?, read(&row.get::<String>(1).map_err(failed)?)?))).transpose()
    }

    /// Commits a change. Asked for again with the same client id and body, it changes nothing and answers the first
    /// place.
    pub async fn change_message(&self, change: Change) -> Result<Receipt> {
        self.write(change).await
    }
}
