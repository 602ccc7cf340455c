//! Dialogs: what open executions still wait for, one at most in a conversation.

use super::Store;
use super::query::{Failure, Row, query};
use super::transaction::{Transaction, failed};
use crate::model::Result;
use crate::model::conversation::Millis;

/// An open dialog.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// The execution that waits.
    pub execution: String,
    pub conversation: String,
    /// Principal id of who is asked.
    pub principal: String,
    /// Changes with each step: who knows it knows how the dialog stands.
    pub token: String,
    /// What was asked and answered, as JSON; `chat` reads it.
    pub state: String,
    pub expires_at: Millis,
    /// When who is asked is reminded; none: they were, or are not.
    pub reminds_at: Option<Millis>,
}

impl Dialog {
    /// When something is to be done about it next.
    pub fn due_at(&self) -> Millis {
        self.reminds_at.map_or(self.expires_at, |reminds_at| reminds_at.min(self.expires_at))
    }
}

/// What becomes of the open dialog of a conversation.
#[derive(Clone, Debug)]
pub enum Becomes {
    /// This one, whichever was there.
    Open(Dialog),
    Closed,
}

impl Becomes {
    pub(super) fn token(&self) -> Option<&str> {
        match self {
            Self::Open(dialog) => Some(&dialog.token),
            Self::Closed => None,
        }
    }
}

const COLUMNS: &str = "execution, conversation, principal, token, state, expires_at, reminds_at";

fn dialog(row: &Row) -> Result<Dialog> {
    let read = || -> Result<Dialog, Failure> {
        Ok(Dialog {
            execution: row.get(0)?,
            conversation: row.get(1)?,
            principal: row.get(2)?,
            token: row.get(3)?,
            state: row.get(4)?,
            expires_at: row.get(5)?,
            reminds_at: row.get(6)?,
        })
    };
    read().map_err(failed)
}

impl Transaction<'_> {
    pub(super) async fn change_dialog(&mut self, conversation: &str, becomes: &Becomes) -> Result<()> {
        self.write(query("DELETE FROM dialogs WHERE conversation = $1").bind(conversation)).await?;
        if let Becomes::Open(dialog) = becomes {
            let insert = query(
                "INSERT INTO dialogs (execution, conversation, principal, token, state, expires_at, reminds_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            );
            let insert = insert.bind(&dialog.execution).bind(conversation).bind(&dialog.principal);
            let insert = insert.bind(&dialog.token).bind(&dialog.state).bind(dialog.expires_at);
            self.write(insert.bind(dialog.reminds_at)).await?;
        }
        Ok(())
    }
}

impl Store {
    /// The open dialog of a conversation.
    pub async fn open_dialog(&self, conversation: &str) -> Result<Option<Dialog>> {
        let mut reader = self.reader().await?;
        let find = super::query::composed(format!("SELECT {COLUMNS} FROM dialogs WHERE conversation = $1"));
        let row = find.bind(conversation).optional(&mut reader.connection()).await.map_err(failed)?;
        row.as_ref().map(dialog).transpose()
    }

    /// Up to `limit` dialogs whose time was over at `at`, the oldest first.
    pub async fn dialogs_due(&self, at: Millis, limit: i64) -> Result<Vec<Dialog>> {
        let mut reader = self.reader().await?;
        let find = super::query::composed(format!(
            "SELECT {COLUMNS} FROM dialogs WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2"
        ));
        let rows = find.bind(at).bind(limit).all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(dialog).collect()
    }

    /// Up to `limit` dialogs whose reminder was due at `at` and that are not over, the oldest first.
    pub async fn reminders_due(&self, at: Millis, limit: i64) -> Result<Vec<Dialog>> {
        let mut reader = self.reader().await?;
        let find = super::query::composed(format!(
            "SELECT {COLUMNS} FROM dialogs WHERE reminds_at <= $1 AND expires_at > $1 ORDER BY reminds_at LIMIT $2"
        ));
        let rows = find.bind(at).bind(limit).all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(dialog).collect()
    }

    /// When something is to be done about a dialog next: its time is over, or a reminder is due.
    pub async fn next_dialog_due(&self) -> Result<Option<Millis>> {
        let mut reader = self.reader().await?;
        let find = query("SELECT min(expires_at), min(reminds_at) FROM dialogs");
        let row = find.one(&mut reader.connection()).await.map_err(failed)?;
        let times: [Option<Millis>; 2] = [row.get(0).map_err(failed)?, row.get(1).map_err(failed)?];
        Ok(times.into_iter().flatten().min())
    }
}
