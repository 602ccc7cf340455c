//! Finding messages by what was said.

use super::Store;
use super::conversation::{COLUMNS, conversation};
use super::query::composed;
use super::transaction::failed;
use crate::model::conversation::{Conversation, Millis};
use crate::model::message::Post;
use crate::model::{Error, Result};

/// Conversations that are looked through, those with the latest activity.
const CONVERSATIONS: i64 = 500;

/// A message that may be what is looked for.
#[derive(Debug)]
pub struct Candidate {
    pub conversation: Conversation,
    pub seq: i64,
    pub created_at: Millis,
    pub post: Post,
}

impl Store {
    /// Messages in a principal's own conversations, or in one of them, whose event holds `word`, newest first, after the
    /// place `(created_at, message_id)`. `word` is lower-case ASCII letters and digits; empty admits every message. The event
    /// holds more than what was said, so the caller looks again.
    pub async fn messages_holding(
        &self,
        owner: &str,
        conversation_id: Option<&str>,
        word: &str,
        after: Option<(Millis, &str)>,
        limit: i64,
    ) -> Result<Vec<Candidate>> {
        let mut reader = self.reader().await?;
        let text = format!(
            "SELECT {COLUMNS}, e.seq, e.created_at, e.payload FROM (SELECT * FROM conversations WHERE owner = $1 \
             AND ($6 = '' OR id = $6) ORDER BY updated_at DESC, id DESC LIMIT {CONVERSATIONS}) c JOIN events e ON e.stream = 'conv:' || c.id \
             WHERE e.kind = 'message' AND lower(e.payload) LIKE $2 \
             AND (e.created_at < $3 OR (e.created_at = $3 AND e.id < $4)) \
             ORDER BY e.created_at DESC, e.id DESC LIMIT $5"
        );
        let (before, before_id) = after.unwrap_or((i64::MAX, ""));
        let find = composed(text).bind(owner).bind(format!("%{word}%")).bind(before).bind(before_id).bind(limit);
        let find = find.bind(conversation_id.unwrap_or_default());
        let rows = find.all(&mut reader.connection()).await.map_err(failed)?;
        let candidate = |row: &super::query::Row| {
            let payload: String = row.get(10).map_err(failed)?;
            Ok(Candidate {
                conversation: conversation(row).map_err(failed)?,
                seq: row.get(8).map_err(failed)?,
                created_at: row.get(9).map_err(failed)?,
                post: serde_json::from_str(&payload).map_err(|error| Error::internal("read a message", error))?,
            })
        };
        rows.iter().map(candidate).collect()
    }
}
