//! How far somebody has read a conversation.

use super::Store;
use super::query::query;
use super::transaction::{Transaction, Work, failed};
use crate::bus::{Frame, Passing};
use crate::model::Result;
use crate::model::conversation::Millis;
use crate::model::event::Stream;

struct MarkRead {
    conversation: String,
    principal: String,
    read_seq: i64,
    at: Millis,
}

impl Work for MarkRead {
    type Output = i64;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<i64> {
        let stream = Stream::conversation(&self.conversation);
        let head = query("SELECT head FROM streams WHERE stream = $1").bind(stream.as_str());
        let head = match transaction.optional(head).await? {
            Some(row) => row.get(0).map_err(failed)?,
            None => 0,
        };
        // What is not there yet cannot have been read.
        let read_seq = self.read_seq.min(head);
        let raise = query(
            "INSERT INTO read_marks (conversation, principal, read_seq, read_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (conversation, principal) DO UPDATE SET read_seq = excluded.read_seq, \
             read_at = excluded.read_at WHERE read_marks.read_seq < excluded.read_seq",
        );
        let raise = raise.bind(&self.conversation).bind(&self.principal).bind(read_seq).bind(self.at);
        if transaction.write(raise).await? == 1 {
            let read = Passing::read(&self.principal, &self.conversation, read_seq);
            transaction.announce(Frame::Passing(read));
            return Ok(read_seq);
        }
        let mark = query("SELECT read_seq FROM read_marks WHERE conversation = $1 AND principal = $2");
        let mark = transaction.optional(mark.bind(&self.conversation).bind(&self.principal)).await?;
        mark.map_or(Ok(0), |row| row.get(0).map_err(failed))
    }
}

impl Store {
    /// Raises the mark of a principal, at most to the end of the conversation, and tells their other devices. Answers
    /// where it stands now: a mark never falls.
    pub async fn mark_read(&self, conversation: &str, principal: &str, read_seq: i64, at: Millis) -> Result<i64> {
        let (conversation, principal) = (conversation.to_owned(), principal.to_owned());
        self.write(MarkRead { conversation, principal, read_seq, at }).await
    }
}
