//! Actions: what can be done at a message, known to readers by an opaque id only.

use super::Store;
use super::query::{composed, placeholders, query};
use super::transaction::{Transaction, failed};
use crate::model::action::Action;
use crate::model::conversation::Millis;
use crate::model::offer::Deed;
use crate::model::{Error, Kind, Result};

/// An action of a message.
#[derive(Clone, Debug)]
pub struct Registered {
    pub id: String,
    pub conversation: String,
    pub message: String,
    /// Principal id of who may take it.
    pub principal: String,
    pub look: Action,
    pub deed: Deed,
    pub single_use: bool,
    pub expires_at: Option<Millis>,
    /// When it was used up.
    pub used_at: Option<Millis>,
}

/// An action that is taken in a turn, and by it used up when it is for a single use.
#[derive(Clone, Debug)]
pub struct Taken {
    pub id: String,
    pub message: String,
    pub single_use: bool,
    /// Name of who takes it.
    pub by: String,
    /// Id of the event that tells that it is used up.
    pub event_id: String,
}

/// What anybody hears who takes an action once more.
pub fn used() -> Error {
    Error::conflict("ACTION_USED", "this was chosen already, or something else instead of it")
}

/// What anybody hears about an action that is not there or not for them.
pub fn unknown() -> Error {
    Error::new(Kind::NotFound, "ACTION_UNKNOWN", "there is no such action")
}

impl Transaction<'_> {
    pub(super) async fn register_actions(&mut self, actions: &[Registered]) -> Result<()> {
        if actions.is_empty() {
            return Ok(());
        }
        let json = |error: serde_json::Error| Error::internal("write an action", error);
        let mut insert = composed(format!(
            "INSERT INTO actions (id, conversation, message, principal, look, deed, single_use, expires_at) VALUES {}",
            placeholders(actions.len(), 8)
        ));
        for action in actions {
            insert = insert
                .bind(&action.id)
                .bind(&action.conversation)
                .bind(&action.message)
                .bind(&action.principal)
                .bind(serde_json::to_string(&action.look).map_err(json)?)
                .bind(serde_json::to_string(&action.deed).map_err(json)?)
                .bind(i64::from(action.single_use))
                .bind(action.expires_at);
        }
        self.write(insert).await?;
        Ok(())
    }

    /// Uses up what is taken and the other single-use actions of its message; answers their ids. It is a conflict when
    /// somebody was faster.
    pub(super) async fn take(&mut self, conversation: &str, taken: &Taken, at: Millis) -> Result<Vec<String>> {
        let take = query(
            "UPDATE actions SET used_at = $3 WHERE conversation = $1 AND message = $2 AND single_use = 1 \
             AND used_at IS NULL RETURNING id",
        );
        let rows = self.write_returning(take.bind(conversation).bind(&taken.message).bind(at)).await?;
        let ids = rows.iter().map(|row| row.get(0)).collect::<Result<Vec<String>, _>>().map_err(failed)?;
        if ids.contains(&taken.id) { Ok(ids) } else { Err(used()) }
    }

    /// Forgets the actions of a message that says something else from now on.
    pub(super) async fn forget_actions(&mut self, conversation: &str, message: &str) -> Result<()> {
        let forget = query("DELETE FROM actions WHERE conversation = $1 AND message = $2");
        self.write(forget.bind(conversation).bind(message)).await?;
        Ok(())
    }

    /// Uses up every action of a message: what it asked for is settled.
    pub(super) async fn use_up(&mut self, conversation: &str, message: &str, at: Millis) -> Result<()> {
        let done =
            query("UPDATE actions SET used_at = $3 WHERE conversation = $1 AND message = $2 AND used_at IS NULL");
        self.write(done.bind(conversation).bind(message).bind(at)).await?;
        Ok(())
    }
}

impl Store {
    /// The conversation and the message that an action belongs to.
    pub async fn place_of_action(&self, id: &str) -> Result<Option<(String, String)>> {
        let mut reader = self.reader().await?;
        let find = query("SELECT conversation, message FROM actions WHERE id = $1").bind(id);
        let row = find.optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| Ok((row.get(0).map_err(failed)?, row.get(1).map_err(failed)?))).transpose()
    }

    /// An action of a conversation's message.
    pub async fn action(&self, conversation: &str, message: &str, id: &str) -> Result<Option<Registered>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT id, conversation, message, principal, look, deed, single_use, expires_at, used_at FROM actions \
             WHERE id = $1 AND conversation = $2 AND message = $3",
        );
        let find = find.bind(id).bind(conversation).bind(message);
        let Some(row) = find.optional(&mut reader.connection()).await.map_err(failed)? else { return Ok(None) };
        let json = |error: serde_json::Error| Error::internal("read an action", error);
        let text = |index: usize| row.get::<String>(index).map_err(failed);
        let number = |index: usize| row.get::<Option<i64>>(index).map_err(failed);
        Ok(Some(Registered {
            id: text(0)?,
            conversation: text(1)?,
            message: text(2)?,
            principal: text(3)?,
            look: serde_json::from_str(&text(4)?).map_err(json)?,
            deed: serde_json::from_str(&text(5)?).map_err(json)?,
            single_use: row.get::<i64>(6).map_err(failed)? == 1,
            expires_at: number(7)?,
            used_at: number(8)?,
        }))
    }
}
