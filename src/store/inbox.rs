//! The inbox: what came in from chats outside, kept until it was acted on.

use super::Store;
use super::query::{Row, query};
use super::transaction::{Transaction, Work, failed};
use crate::model::Result;
use crate::model::conversation::Millis;

/// Something that came in.
#[derive(Clone, Debug)]
pub struct NewArrival {
    pub id: String,
    /// Which chat.
    pub adapter: &'static str,
    /// The chat's own id for it; the same again is nothing new.
    pub event_id: String,
    /// Another name of the same thing, for chats that tell of one message twice.
    pub message: Option<String>,
    /// What is acted on one after the other.
    pub lane: String,
    /// What the chat sent, JSON.
    pub payload: String,
    pub at: Millis,
}

/// Something that is being acted on.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub id: String,
    pub adapter: String,
    pub payload: String,
    /// Counts the tries, this one included.
    pub attempt: i64,
    pub received_at: Millis,
}

/// What became of a try.
#[derive(Clone, Debug)]
pub enum Handled {
    Done,
    /// To be tried again, not before that time.
    Again {
        ready_at: Millis,
        error: String,
    },
    /// It is given up.
    Failed {
        error: String,
    },
}

impl Work for NewArrival {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let insert = query(
            "INSERT INTO inbox (id, adapter, event_id, message, lane, payload, state, attempt, ready_at, received_at) \
             VALUES ($1, $2, $3, $4, $5, $6, 'waiting', 0, $7, $7) ON CONFLICT DO NOTHING",
        )
        .bind(&self.id)
        .bind(self.adapter)
        .bind(&self.event_id)
        .bind(&self.message)
        .bind(&self.lane)
        .bind(&self.payload)
        .bind(self.at);
        Ok(transaction.write(insert).await? == 1)
    }
}

struct Claim {
    now: Millis,
    lease_until: Millis,
    most: i64,
}

fn arrival(row: &Row) -> Result<Arrival> {
    Ok(Arrival {
        id: row.get(0).map_err(failed)?,
        adapter: row.get(1).map_err(failed)?,
        payload: row.get(2).map_err(failed)?,
        attempt: row.get(3).map_err(failed)?,
        received_at: row.get(4).map_err(failed)?,
    })
}

impl Work for Claim {
    type Output = Vec<Arrival>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Vec<Arrival>> {
        let claim = query(
            "UPDATE inbox SET attempt = attempt + 1, ready_at = $2 WHERE state = 'waiting' AND ready_at <= $1 AND id IN \
             (SELECT i.id FROM inbox i WHERE i.state = 'waiting' AND i.ready_at <= $1 AND NOT EXISTS \
             (SELECT 1 FROM inbox p WHERE p.state = 'waiting' AND p.lane = i.lane AND p.id < i.id) \
             ORDER BY i.id LIMIT $3) RETURNING id, adapter, payload, attempt, received_at",
        );
        let claim = claim.bind(self.now).bind(self.lease_until).bind(self.most);
        let rows = transaction.write_returning(claim).await?;
        let mut claimed: Vec<Arrival> = rows.iter().map(arrival).collect::<Result<_>>()?;
        claimed.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(claimed)
    }
}

struct Settle {
    id: String,
    attempt: i64,
    handled: Handled,
}

impl Work for Settle {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let settle = match &self.handled {
            Handled::Done => query(
                "UPDATE inbox SET state = 'done', payload = '', error = NULL \
                 WHERE id = $1 AND attempt = $2 AND state = 'waiting'",
            )
            .bind(&self.id)
            .bind(self.attempt),
            Handled::Again { ready_at, error } => {
                query("UPDATE inbox SET ready_at = $3, error = $4 WHERE id = $1 AND attempt = $2 AND state = 'waiting'")
                    .bind(&self.id)
                    .bind(self.attempt)
                    .bind(*ready_at)
                    .bind(error)
            }
            Handled::Failed { error } => query(
                "UPDATE inbox SET state = 'failed', payload = '', error = $3 \
                 WHERE id = $1 AND attempt = $2 AND state = 'waiting'",
            )
            .bind(&self.id)
            .bind(self.attempt)
            .bind(error),
        };
        Ok(transaction.write(settle).await? == 1)
    }
}

/// Keeps something for whoever has it until then.
pub(super) struct Hold {
    /// Of an inbox or an outbox: `$1` its id, `$2` the attempt, `$3` until when.
    pub(super) statement: &'static str,
    pub(super) id: String,
    pub(super) attempt: i64,
    pub(super) until: Millis,
}

impl Work for Hold {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let hold = query(self.statement).bind(&self.id).bind(self.attempt).bind(self.until);
        Ok(transaction.write(hold).await? == 1)
    }
}

struct Forget {
    before: Millis,
}

impl Work for Forget {
    type Output = u64;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<u64> {
        transaction
            .write(query("DELETE FROM inbox WHERE received_at < $1 AND state <> 'waiting'").bind(self.before))
            .await
    }
}

struct TakeUp {
    now: Millis,
}

impl Work for TakeUp {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        for text in [
            "UPDATE inbox SET ready_at = $1 WHERE state = 'waiting' AND attempt > 0 AND error IS NULL AND ready_at > $1",
            // Nobody knows how far these came.
            "UPDATE outbox SET ready_at = $1, uncertain = 1 \
             WHERE state = 'waiting' AND attempt > 0 AND error IS NULL AND ready_at > $1",
        ] {
            transaction.write(query(text).bind(self.now)).await?;
        }
        Ok(())
    }
}

impl Store {
    /// Keeps what came in; `false` when it had come before.
    pub async fn receive(&self, arrival: NewArrival) -> Result<bool> {
        self.write(arrival).await
    }

    /// Takes what waits, the oldest of each lane, up to `most`, for as long as until `lease_until`.
    pub async fn claim_arrivals(&self, now: Millis, lease_until: Millis, most: i64) -> Result<Vec<Arrival>> {
        self.write(Claim { now, lease_until, most }).await
    }

    /// Notes what became of a try; `false` when another try has begun meanwhile.
    pub async fn settle_arrival(&self, arrival: &Arrival, handled: Handled) -> Result<bool> {
        self.write(Settle { id: arrival.id.clone(), attempt: arrival.attempt, handled }).await
    }

    /// Keeps a try until that time, for what takes longer than others; `false` when another try has begun meanwhile.
    pub async fn hold_arrival(&self, arrival: &Arrival, until: Millis) -> Result<bool> {
        let statement = "UPDATE inbox SET ready_at = $3 WHERE id = $1 AND attempt = $2 AND state = 'waiting'";
        self.write(Hold { statement, id: arrival.id.clone(), attempt: arrival.attempt, until }).await
    }

    /// When the next one may be taken; none when nothing waits.
    pub async fn next_arrival(&self) -> Result<Option<Millis>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT min(i.ready_at) FROM inbox i WHERE i.state = 'waiting' AND NOT EXISTS \
             (SELECT 1 FROM inbox p WHERE p.state = 'waiting' AND p.lane = i.lane AND p.id < i.id)",
        );
        find.one(&mut reader.connection()).await.map_err(failed)?.get(0).map_err(failed)
    }

    /// Takes up at once what an earlier run of this server was at when it died. Only where no other server shares the
    /// database; there the leases have to lapse.
    pub async fn take_up_outside(&self, now: Millis) -> Result<()> {
        if self.is_shared() {
            return Ok(());
        }
        self.write(TakeUp { now }).await
    }

    /// Forgets what was received before that time and is done.
    pub async fn forget_arrivals(&self, before: Millis) -> Result<u64> {
        self.write(Forget { before }).await
    }

    /// How much waits in the inbox, and how much was given up.
    pub async fn inbox_counts(&self) -> Result<(i64, i64)> {
        let mut reader = self.reader().await?;
        let count = query(
            "SELECT (SELECT count(*) FROM inbox WHERE state = 'waiting'), (SELECT count(*) FROM inbox WHERE state = 'failed')",
        );
        let row = count.one(&mut reader.connection()).await.map_err(failed)?;
        Ok((row.get(0).map_err(failed)?, row.get(1).map_err(failed)?))
    }
}
