//! Rows that nothing reads any more: actions that cannot be taken, deliveries that have ended.

use super::Store;
use super::query::query;
use super::transaction::{Transaction, Work};
use crate::model::Result;
use crate::model::conversation::Millis;

/// Rows of a kind that one transaction takes away, so that nobody waits long for it.
const BATCH: i64 = 500;

/// How many rows were taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Used up or expired.
    pub actions: u64,
    pub deliveries: u64,
}

impl Pruned {
    /// Whether there may be more of either.
    fn is_full(self) -> bool {
        let full = u64::try_from(BATCH).unwrap_or_default();
        // Actions go in two steps.
        self.actions >= full || self.deliveries >= full
    }
}

struct Prune {
    before: Millis,
}

impl Work for Prune {
    type Output = Pruned;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        let actions = [
            "DELETE FROM actions WHERE id IN (SELECT id FROM actions WHERE used_at IS NOT NULL AND used_at < $1 LIMIT $2)",
            "DELETE FROM actions WHERE id IN \
             (SELECT id FROM actions WHERE expires_at IS NOT NULL AND expires_at < $1 LIMIT $2)",
        ];
        for text in actions {
            pruned.actions += transaction.write(query(text).bind(self.before).bind(BATCH)).await?;
        }
        // A run ends before its time at the latest.
        let deliveries = query(
            "DELETE FROM deliveries WHERE id IN \
             (SELECT id FROM deliveries WHERE state = 'done' AND expires_at < $1 LIMIT $2)",
        );
        pruned.deliveries = transaction.write(deliveries.bind(self.before).bind(BATCH)).await?;
        Ok(pruned)
    }
}

impl Store {
    /// Takes away the actions that could not be taken any more and the deliveries that had ended before a moment, for as
    /// long as `go_on` says so.
    pub async fn prune(&self, before: Millis, go_on: impl Fn() -> bool) -> Result<Pruned> {
        let mut all = Pruned::default();
        while go_on() {
            let pruned = self.write(Prune { before }).await?;
            all.actions += pruned.actions;
            all.deliveries += pruned.deliveries;
            if !pruned.is_full() {
                break;
            }
        }
        Ok(all)
    }
}
