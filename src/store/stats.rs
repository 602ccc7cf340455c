//! Counts over what was stored, for people who look after an installation.

use super::Store;
use super::query::query;
use super::transaction::failed;
use crate::model::Result;
use crate::model::conversation::Millis;

/// Runs since a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    pub total: i64,
    pub failed: i64,
    /// Bot name and its runs, most first.
    pub by_bot: Vec<(String, i64)>,
}

impl Store {
    pub async fn runs_since(&self, since: Millis) -> Result<Runs> {
        let mut reader = self.reader().await?;
        let mut connection = reader.connection();
        let count = query(
            "SELECT bot, count(*), cast(sum(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) AS bigint) FROM executions \
             WHERE created_at >= $1 GROUP BY bot ORDER BY count(*) DESC, bot",
        );
        let mut runs = Runs::default();
        for row in count.bind(since).all(&mut connection).await.map_err(failed)? {
            let (bot, total): (String, i64) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
            runs.total += total;
            runs.failed += row.get::<i64>(2).map_err(failed)?;
            runs.by_bot.push((bot, total));
        }
        Ok(runs)
    }

    /// How many conversations are open.
    pub async fn open_conversations(&self) -> Result<i64> {
        let mut reader = self.reader().await?;
        let count = query("SELECT count(*) FROM conversations WHERE status = 'active'");
        count.one(&mut reader.connection()).await.map_err(failed)?.get(0).map_err(failed)
    }
}
