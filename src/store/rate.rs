//! What several servers have taken together of the same limit.

use super::query::query;
use super::transaction::{Transaction, Work, failed};
use super::{Pool, Store};
use crate::model::Result;
use crate::model::conversation::Millis;

/// A share of a window that a server wants for itself.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Whose requests are counted, and for how long.
    pub bucket: String,
    pub starts_at: Millis,
    pub ends_at: Millis,
    /// How many requests.
    pub amount: i64,
}

struct Take(Claim);

impl Work for Take {
    type Output = i64;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<i64> {
        let Claim { bucket, starts_at, ends_at, amount } = &self.0;
        let take = query(
            "INSERT INTO rate_counts (bucket, starts_at, ends_at, used) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (bucket, starts_at) DO UPDATE SET used = rate_counts.used + $4 RETURNING used",
        );
        let taken =
            transaction.write_returning(take.bind(bucket).bind(*starts_at).bind(*ends_at).bind(*amount)).await?;
        let used: i64 = taken.first().map_or(Ok(0), |row| row.get(0)).map_err(failed)?;
        if used == *amount {
            // The first in a new window takes away what is over.
            let forget = query("DELETE FROM rate_counts WHERE ends_at <= $1");
            transaction.write(forget.bind(*starts_at)).await?;
        }
        Ok(used)
    }
}

impl Store {
    /// Whether other servers may work on the same database.
    pub fn is_shared(&self) -> bool {
        matches!(self.pool, Pool::Postgres(_))
    }

    /// Takes a share; answers how much has been taken by all servers together, this share included.
    pub async fn claim(&self, claim: Claim) -> Result<i64> {
        self.write(Take(claim)).await
    }
}
