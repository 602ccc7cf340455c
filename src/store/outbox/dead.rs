//! What was given up on its way to a chat outside.

use super::super::Store;
use super::super::query::{Failure, query};
use super::super::transaction::{Transaction, Work, failed};
use crate::bus::Frame;
use crate::model::conversation::Millis;
use crate::model::{Error, Kind, Result};

/// A row of the outbox that was given up, as an administrator reads it.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub id: String,
    pub place: String,
    pub conversation: Option<String>,
    pub message: Option<String>,
    pub attempts: i64,
    pub error: String,
    pub created_at: Millis,
    pub ended_at: Millis,
}

struct Retry {
    id: String,
    at: Millis,
}

impl Work for Retry {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let retry = query(
            "UPDATE outbox SET state = 'waiting', ready_at = $2, created_at = $2, ended_at = NULL \
             WHERE id = $1 AND state = 'dead'",
        );
        if transaction.write(retry.bind(&self.id).bind(self.at)).await? == 0 {
            return Err(Error::new(Kind::NotFound, "NOT_FOUND", "there is no such dead letter"));
        }
        transaction.announce(Frame::Leaving);
        Ok(())
    }
}

impl Store {
    /// What was given up, the latest first.
    pub async fn dead_letters(&self, limit: i64) -> Result<Vec<DeadLetter>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT id, place, conversation, message, attempt, coalesce(error, ''), created_at, coalesce(ended_at, 0) \
             FROM outbox WHERE state = 'dead' ORDER BY id DESC LIMIT $1",
        );
        let rows = find.bind(limit).all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter()
            .map(|row| {
                Ok(DeadLetter {
                    id: row.get(0)?,
                    place: row.get(1)?,
                    conversation: row.get(2)?,
                    message: row.get(3)?,
                    attempts: row.get(4)?,
                    error: row.get(5)?,
                    created_at: row.get(6)?,
                    ended_at: row.get(7)?,
                })
            })
            .collect::<std::result::Result<_, Failure>>()
            .map_err(failed)
    }

    /// Takes a dead letter up again.
    pub async fn retry_dead_letter(&self, id: &str, at: Millis) -> Result<()> {
        self.write(Retry { id: id.to_owned(), at }).await
    }
}
