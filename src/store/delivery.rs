//! Deliveries: work for the processes of a bot, and what they report.
//!
//! Every change names the attempt it belongs to. Claiming counts attempts up, so whoever lost the lease of one changes
//! nothing any more, whichever server it asks. `lease` is who has one, `report` what is said of it.

use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::Store;
use super::query::{Failure, Query, Row, composed, placeholders, query};
use super::transaction::{Transaction, failed};
use crate::bus::{Frame, Matter};
use crate::clock::rfc3339;
use crate::model::conversation::Millis;
use crate::model::event::{NewEvent, Stream};
use crate::model::execution::ExecutionStatus;
use crate::model::id::new_id;
use crate::model::{Error, Kind, Result};

mod lease;
mod report;

pub use report::{Ending, Posting, Said};

/// A delivery about to be stored together with its run.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    pub id: String,
    pub bot: String,
    pub command: String,
    /// What the process is told, a JSON object.
    pub event: String,
    /// Where it answers; `None` for a caller that polls.
    pub place: Option<AnswerPlace>,
    pub created_at: Millis,
    /// When the run has failed if it is not done.
    pub expires_at: Millis,
}

/// Where a run answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerPlace {
    pub conversation: String,
    /// Whose conversation it is.
    pub owner: String,
    /// Event id of what is answered.
    pub reply_to: String,
}

/// A delivery as it is read back.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub id: String,
    pub execution: String,
    pub bot: String,
    pub command: String,
    pub event: String,
    pub place: Option<AnswerPlace>,
    /// Counts the claims; 0 before the first.
    pub attempt: i64,
    /// How often a process lost it.
    pub losses: i64,
    /// Set while a process has it.
    pub lease_until: Option<Millis>,
    pub expires_at: Millis,
}

const COLUMNS: &str = "id, execution, bot, command, event, conversation, owner, reply_to, attempt, losses, lease_until, \
                       expires_at, created_at";

fn delivery(row: &Row) -> Result<Delivery, Failure> {
    let place: (Option<String>, Option<String>, Option<String>) = (row.get(5)?, row.get(6)?, row.get(7)?);
    let place = match place {
        (Some(conversation), Some(owner), Some(reply_to)) => Some(AnswerPlace { conversation, owner, reply_to }),
        _ => None,
    };
    Ok(Delivery {
        id: row.get(0)?,
        execution: row.get(1)?,
        bot: row.get(2)?,
        command: row.get(3)?,
        event: row.get(4)?,
        place,
        attempt: row.get(8)?,
        losses: row.get(9)?,
        lease_until: row.get(10)?,
        expires_at: row.get(11)?,
    })
}

/// Which attempt of which delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    pub delivery: String,
    pub attempt: i64,
}

impl Fence {
    fn bind<'q>(&'q self, query: Query<'q>) -> Query<'q> {
        query.bind(&self.delivery).bind(self.attempt)
    }
}

/// The payload of an update in a run's own stream.
pub fn execution_update(id: &str, status: ExecutionStatus, step: Option<&str>, at: Millis) -> Result<NewEvent> {
    let mut data = json!({ "execution_id": id, "status": status.as_str(), "current_step_index": 0 });
    if let Some(step) = step {
        let done = if step == "reply" { status } else { ExecutionStatus::Completed };
        data["step_result"] = json!({ "step_id": step, "status": done.as_str(), "completed_at": rfc3339(at) });
    }
    Ok(NewEvent {
        stream: Stream::execution(id),
        id: new_id(),
        kind: "execution_update",
        principal: None,
        client_id: None,
        payload: raw(&json!({ "data": data }))?,
        created_at: at,
    })
}

fn raw<T: serde::Serialize>(value: &T) -> Result<Box<RawValue>> {
    to_raw_value(value).map_err(|error| Error::internal("write an event", error))
}

/// What a process hears about a delivery that is not there, or not for it.
pub fn unknown(id: &str) -> Error {
    Error::new(Kind::NotFound, "DELIVERY_UNKNOWN", "this process has no such delivery")
        .details(json!({ "delivery_id": id }))
}

/// What a process hears that lost the lease.
pub fn lost(id: &str) -> Error {
    Error::conflict("LEASE_LOST", "the lease of this attempt has lapsed; it is done by another attempt")
        .details(json!({ "delivery_id": id }))
}

/// The state of a delivery, of one bot or of any, and of its run.
const STATE: &str = "SELECT d.state, e.status FROM deliveries d JOIN executions e ON e.id = d.execution \
                     WHERE d.id = $1 AND (cast($2 AS text) IS NULL OR d.bot = $2)";

fn refusal(id: &str, row: &Row) -> Result<Error> {
    let (state, status): (String, String) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
    let details = json!({ "delivery_id": id, "status": status });
    Ok(match state.as_str() {
        "done" if status == ExecutionStatus::Cancelled.as_str() => {
            Error::conflict("RUN_CANCELLED", "this run was cancelled").details(details)
        }
        "done" => Error::conflict("RUN_ENDED", "this run has ended").details(details),
        _ => lost(id),
    })
}

impl Transaction<'_> {
    pub(super) async fn insert_delivery(&mut self, execution: &str, new: &NewDelivery) -> Result<()> {
        let place = new.place.as_ref();
        let insert = query(
            "INSERT INTO deliveries (id, execution, bot, command, event, conversation, owner, reply_to, state, attempt, \
             losses, ready_at, expires_at, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'waiting', 0, 0, $9, $10, $9)",
        )
        .bind(&new.id)
        .bind(execution)
        .bind(&new.bot)
        .bind(&new.command)
        .bind(&new.event)
        .bind(place.map(|place| place.conversation.clone()))
        .bind(place.map(|place| place.owner.clone()))
        .bind(place.map(|place| place.reply_to.clone()))
        .bind(new.created_at)
        .bind(new.expires_at);
        self.write(insert).await?;
        self.announce(Frame::Look(Matter::Deliveries));
        Ok(())
    }

    /// Why an attempt could not change its delivery.
    async fn refusal(&mut self, fence: &Fence) -> Result<Error> {
        let any: Option<&str> = None;
        let row = self.optional(query(STATE).bind(&fence.delivery).bind(any)).await?;
        row.map_or_else(|| Ok(unknown(&fence.delivery)), |row| refusal(&fence.delivery, &row))
    }
}

impl Store {
    /// Why a process of this bot does not have a delivery, in the words of [`Store::extend_lease`].
    pub async fn why_not_held(&self, id: &str, bot: &str) -> Result<Error> {
        let mut reader = self.reader().await?;
        let row = query(STATE).bind(id).bind(bot).optional(&mut reader.connection()).await.map_err(failed)?;
        row.map_or_else(|| Ok(unknown(id)), |row| refusal(id, &row))
    }

    /// The delivery of a run.
    pub async fn delivery_of(&self, execution: &str) -> Result<Option<Delivery>> {
        let find = composed(format!("SELECT {COLUMNS} FROM deliveries WHERE execution = $1"));
        Ok(self.read_deliveries(find.bind(execution)).await?.pop())
    }

    /// Up to a hundred open deliveries whose time is over, or whose lease is.
    pub async fn due_deliveries(&self, now: Millis) -> Result<Vec<Delivery>> {
        let find = composed(format!(
            "SELECT {COLUMNS} FROM deliveries WHERE state IN ('waiting', 'leased') \
             AND (expires_at <= $1 OR (state = 'leased' AND lease_until <= $1)) ORDER BY created_at LIMIT 100"
        ));
        self.read_deliveries(find.bind(now)).await
    }

    /// Those of these deliveries that are done.
    pub async fn ended_deliveries(&self, ids: &[String]) -> Result<Vec<Delivery>> {
        let find = composed(format!(
            "SELECT {COLUMNS} FROM deliveries WHERE state = 'done' AND id IN {}",
            placeholders(1, ids.len())
        ));
        self.read_deliveries(ids.iter().fold(find, Query::bind)).await
    }

    async fn read_deliveries(&self, find: Query<'_>) -> Result<Vec<Delivery>> {
        let mut reader = self.reader().await?;
        let rows = find.all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(delivery).collect::<Result<_, Failure>>().map_err(failed)
    }

    /// When something is to be done about an open delivery next: a lease lapses, its time is over, or it may be claimed
    /// again.
    pub async fn next_delivery_deadline(&self, now: Millis) -> Result<Option<Millis>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT min(CASE WHEN state = 'leased' AND lease_until < expires_at THEN lease_until \
             WHEN state = 'waiting' AND ready_at > $1 AND ready_at < expires_at THEN ready_at ELSE expires_at END) \
             FROM deliveries WHERE state IN ('waiting', 'leased')",
        );
        let row = find.bind(now).one(&mut reader.connection()).await.map_err(failed)?;
        row.get(0).map_err(failed)
    }
}
