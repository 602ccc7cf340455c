//! Conversations: who talks with which bot, where.

use super::Store;
use super::query::{Failure, Row, query};
use super::transaction::{Transaction, Work, failed};
use super::turn::{Beside, DIALOG_CHANGED};
use crate::model::conversation::{Conversation, ConversationStatus, Millis};
use crate::model::event::NewEvent;
use crate::model::{Error, Result};

/// A conversation as a list shows it.
#[derive(Debug)]
pub struct Listed {
    pub conversation: Conversation,
    pub updated_at: Millis,
    pub head: i64,
    /// How far its owner has read it.
    pub read_seq: i64,
    /// The payload of the newest message event, when there is one.
    pub last_message: Option<(i64, String)>,
}

pub(super) const COLUMNS: &str = "c.id, c.bot, c.owner, c.channel, c.status, c.created_at, c.closed_at, c.updated_at";

pub(super) fn conversation(row: &Row) -> Result<Conversation, Failure> {
    let status: String = row.get(4)?;
    Ok(Conversation {
        id: row.get(0)?,
        bot: row.get(1)?,
        owner: row.get(2)?,
        channel: row.get(3)?,
        status: if status == "active" { ConversationStatus::Active } else { ConversationStatus::Closed },
        created_at: row.get(5)?,
        closed_at: row.get(6)?,
    })
}

impl Transaction<'_> {
    /// Notes that something was said; answers whether the conversation is open.
    pub(super) async fn touch_conversation(&mut self, id: &str, at: Millis) -> Result<bool> {
        let touch = query("UPDATE conversations SET updated_at = $1 WHERE id = $2 AND status = 'active'");
        Ok(self.write(touch.bind(at).bind(id)).await? == 1)
    }

    /// Begins a turn in an open conversation whose dialog is the one with the token `before`, and that is `after` from
    /// now on. Fails when the conversation is closed or the dialog another one.
    pub(super) async fn begin_turn(
        &mut self,
        id: &str,
        at: Millis,
        before: Option<&str>,
        after: Option<&str>,
    ) -> Result<()> {
        let touch = query(
            "UPDATE conversations SET updated_at = $1, dialog = $2 \
             WHERE id = $3 AND status = 'active' AND dialog IS NOT DISTINCT FROM $4",
        );
        match self.write(touch.bind(at).bind(after).bind(id).bind(before)).await? {
            0 if self.is_open(id).await? => Err(dialog_changed()),
            0 => Err(Error::conflict("SESSION_CLOSED", "this conversation is closed; start another one")),
            _ => Ok(()),
        }
    }

    pub(super) async fn insert_conversation(&mut self, new: &Conversation) -> Result<()> {
        let insert = query(
            "INSERT INTO conversations (id, bot, owner, channel, status, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $6)",
        )
        .bind(&new.id)
        .bind(&new.bot)
        .bind(&new.owner)
        .bind(&new.channel)
        .bind(new.status.as_str())
        .bind(new.created_at);
        self.write(insert).await?;
        Ok(())
    }

    async fn is_open(&mut self, id: &str) -> Result<bool> {
        let find = query("SELECT id FROM conversations WHERE id = $1 AND status = 'active'");
        Ok(self.optional(find.bind(id)).await?.is_some())
    }
}

/// The conflict that asks to plan again with the dialog as it is now.
fn dialog_changed() -> Error {
    Error::conflict(DIALOG_CHANGED, "something else happened in this conversation at the same moment; try again")
}

struct Open {
    conversation: Conversation,
    announcement: NewEvent,
}

impl Work for Open {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        transaction.insert_conversation(&self.conversation).await?;
        transaction.append(std::slice::from_ref(&self.announcement), None).await?;
        Ok(())
    }
}

/// The end of a conversation, and of the dialog in it.
#[derive(Debug)]
pub struct Closing {
    pub id: String,
    pub at: Millis,
    /// The token of the open dialog as it was known; another one refuses it with [`DIALOG_CHANGED`].
    pub dialog: Option<String>,
    pub beside: Beside,
    pub announcements: Vec<NewEvent>,
}

impl Work for Closing {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let close = query(
            "UPDATE conversations SET status = 'closed', closed_at = $2, updated_at = $2, dialog = NULL \
             WHERE id = $1 AND status = 'active' AND dialog IS NOT DISTINCT FROM $3",
        );
        let closed = transaction.write(close.bind(&self.id).bind(self.at).bind(self.dialog.as_deref())).await? == 1;
        if !closed {
            return if transaction.is_open(&self.id).await? { Err(dialog_changed()) } else { Ok(false) };
        }
        let mut events = transaction.settle(&self.id, &self.beside, self.at).await?;
        events.extend_from_slice(&self.announcements);
        let places = transaction.append(&events, None).await?;
        let told: Vec<_> = events.iter().zip(&places).collect();
        transaction.send_outside(&self.id, &told, None).await?;
        Ok(true)
    }
}

impl Store {
    /// Opens a conversation and announces it in the same commit.
    pub async fn open_conversation(&self, conversation: Conversation, announcement: NewEvent) -> Result<()> {
        self.write(Open { conversation, announcement }).await
    }

    /// Closes a conversation and announces it in the same commit; `false` when it was closed already.
    pub async fn close_conversation(&self, closing: Closing) -> Result<bool> {
        self.write(closing).await
    }

    /// The owner's open conversation with a bot in the web chat that was used last.
    pub async fn conversation_with(&self, owner: &str, bot: &str) -> Result<Option<Conversation>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT c.id, c.bot, c.owner, c.channel, c.status, c.created_at, c.closed_at FROM conversations c \
             WHERE c.owner = $1 AND c.bot = $2 AND c.status = 'active' AND c.channel = 'web' \
             ORDER BY c.updated_at DESC, c.id DESC LIMIT 1",
        );
        let row = find.bind(owner).bind(bot).optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| conversation(&row).map_err(failed)).transpose()
    }

    pub async fn conversation(&self, id: &str) -> Result<Option<Conversation>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT c.id, c.bot, c.owner, c.channel, c.status, c.created_at, c.closed_at FROM conversations c WHERE c.id = $1",
        );
        let row = find.bind(id).optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| conversation(&row).map_err(failed)).transpose()
    }

    /// The owner's open conversations, latest activity first, after the place `(updated_at, id)`.
    pub async fn conversations(&self, owner: &str, after: Option<(Millis, &str)>, limit: i64) -> Result<Vec<Listed>> {
        let mut reader = self.reader().await?;
        let text = format!(
            "SELECT {COLUMNS}, coalesce(s.head, 0), e.seq, e.payload, coalesce(r.read_seq, 0) FROM conversations c \
             LEFT JOIN streams s ON s.stream = 'conv:' || c.id \
             LEFT JOIN events e ON e.stream = s.stream AND e.seq = (SELECT m.seq FROM events m \
             WHERE m.stream = s.stream AND m.kind = 'message' ORDER BY m.seq DESC LIMIT 1) \
             LEFT JOIN read_marks r ON r.conversation = c.id AND r.principal = c.owner \
             WHERE c.owner = $1 AND c.status = 'active' \
             AND (c.updated_at < $2 OR (c.updated_at = $2 AND c.id < $3)) \
             ORDER BY c.updated_at DESC, c.id DESC LIMIT $4"
        );
        let (before, before_id) = after.unwrap_or((i64::MAX, ""));
        let list = super::query::composed(text).bind(owner).bind(before).bind(before_id).bind(limit);
        let rows = list.all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter()
            .map(|row| {
                let seq: Option<i64> = row.get(9)?;
                let payload: Option<String> = row.get(10)?;
                Ok(Listed {
                    conversation: conversation(row)?,
                    updated_at: row.get(7)?,
                    head: row.get(8)?,
                    read_seq: row.get(11)?,
                    last_message: seq.zip(payload),
                })
            })
            .collect::<Result<_, Failure>>()
            .map_err(failed)
    }

    /// The stream's conversation, or the error that every door gives for one that is not there.
    pub async fn conversation_or_404(&self, id: &str) -> Result<Conversation> {
        self.conversation(id).await?.ok_or_else(|| unknown(id))
    }
}

/// What anybody hears about a conversation that does not exist or is not theirs.
pub fn unknown(id: &str) -> Error {
    Error::not_found("there is no such session").details(serde_json::json!({ "session_id": id }))
}
