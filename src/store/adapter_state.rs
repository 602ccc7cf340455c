//! What the adapters of chats outside remember across a restart.

use super::Store;
use super::query::query;
use super::transaction::{Transaction, Work, failed};
use crate::model::Result;
use crate::model::conversation::Millis;

struct Remember {
    adapter: &'static str,
    name: &'static str,
    value: String,
    at: Millis,
}

impl Work for Remember {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let keep = query(
            "INSERT INTO adapter_states (adapter, name, value, updated_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (adapter, name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
        );
        transaction.write(keep.bind(self.adapter).bind(self.name).bind(&self.value).bind(self.at)).await?;
        Ok(())
    }
}

impl Store {
    /// Keeps a value under a name of the adapter's own, in the place of the one before.
    pub async fn remember(&self, adapter: &'static str, name: &'static str, value: String, at: Millis) -> Result<()> {
        self.write(Remember { adapter, name, value, at }).await
    }

    /// What was kept under that name.
    pub async fn remembered(&self, adapter: &str, name: &str) -> Result<Option<String>> {
        let mut reader = self.reader().await?;
        let find = query("SELECT value FROM adapter_states WHERE adapter = $1 AND name = $2").bind(adapter).bind(name);
        let row = find.optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| row.get(0).map_err(failed)).transpose()
    }
}
