//! A turn: what was said and all that follows from it at once, in one transaction.

use super::Store;
use super::execution::NewExecution;
use super::file::Sent;
use super::log::{Identity, Receipt};
use super::transaction::{Transaction, Work};
use crate::bus::{Frame, Passing};
use crate::clock::rfc3339;
use crate::model::event::NewEvent;
use crate::model::file::File;
use crate::model::{Error, Result};

/// A message into a conversation, with the run it started and the answers to it.
#[derive(Debug)]
pub struct Turn {
    /// The conversation it is said in; the turn is refused when that is closed.
    pub conversation: String,
    /// Whose conversation it is: their devices hear that it has grown.
    pub owner: String,
    /// What was said; its client id, if any, makes it recognisable.
    pub said: NewEvent,
    /// SHA-256 of what was said, hex.
    pub body_hash: String,
    /// What is sent along; the turn is refused when one of them is not free any more.
    pub files: Vec<File>,
    /// The run, already finished when its whole body was a pure reply.
    pub execution: Option<NewExecution>,
    /// Answers and notices, appended after what was said.
    pub follows: Vec<NewEvent>,
}

impl Work for Turn {
    type Output = Receipt;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Receipt> {
        if let (Some(principal), Some(client_id)) = (&self.said.principal, &self.said.client_id) {
            let stream = &self.said.stream;
            let identity = Identity { stream, principal, client_id, body_hash: &self.body_hash };
            if let Some(place) = transaction.said_before(&identity).await? {
                return Ok(Receipt { place, duplicate: true });
            }
        }
        if !transaction.touch_conversation(&self.conversation, self.said.created_at).await? {
            return Err(Error::conflict("SESSION_CLOSED", "this conversation is closed; start another one"));
        }
        if let Some(owner) = &self.said.principal {
            let sent = Sent { conversation: &self.conversation, message_id: &self.said.id, at: self.said.created_at };
            transaction.send_files(&self.files, owner, &sent).await?;
        }
        if let Some(execution) = &self.execution {
            transaction.insert_execution(execution).await?;
        }
        let events: Vec<NewEvent> = std::iter::once(&self.said).chain(&self.follows).cloned().collect();
        let mut places = transaction.append(&events, Some(&self.body_hash)).await?;
        let own = events.iter().zip(&places).filter(|(event, _)| event.stream == self.said.stream);
        let head = own.map(|(_, place)| place.seq).max().unwrap_or_default();
        let at = rfc3339(self.said.created_at);
        transaction.announce(Frame::Passing(Passing::activity(&self.owner, &self.conversation, head, &at)));
        Ok(Receipt { place: places.swap_remove(0), duplicate: false })
    }
}

impl Store {
    /// Commits a turn. Said again with the same client id and body, it changes nothing and answers the first place.
    pub async fn commit_turn(&self, turn: Turn) -> Result<Receipt> {
        self.write(turn).await
    }
}
