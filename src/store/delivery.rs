//! Deliveries: work for the processes of a bot, and what they report.
//!
//! Every change names the attempt it belongs to. Claiming counts attempts up, so whoever lost the lease of one changes
//! nothing any more, whichever server it asks.

use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::Store;
use super::log::Identity;
use super::query::{Failure, Query, Row, composed, placeholders, query};
use super::transaction::{Transaction, Work, failed};
use crate::bus::{Frame, Passing};
use crate::clock::rfc3339;
use crate::model::conversation::Millis;
use crate::model::event::{NewEvent, Stream};
use crate::model::execution::ExecutionStatus;
use crate::model::id::new_id;
use crate::model::message::Message;
use crate::model::{Error, Kind, Result};

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

/// Something a run says in a conversation.
#[derive(Clone, Debug)]
pub struct Posting {
    pub place: AnswerPlace,
    pub event: NewEvent,
}

/// How a run ends.
#[derive(Clone, Debug)]
pub struct Ending {
    pub execution: String,
    pub status: ExecutionStatus,
    pub error: Option<String>,
    /// What it says last.
    pub message: Message,
    pub posting: Option<Posting>,
    /// What the readers of the run hear.
    pub update: NewEvent,
    pub at: Millis,
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
        Ok(())
    }

    /// Adds a message to what a run has said.
    pub(super) async fn add_response(&mut self, execution: &str, message: &Message) -> Result<()> {
        let find = query("SELECT responses FROM executions WHERE id = $1").bind(execution);
        let unreadable = |error: serde_json::Error| Error::internal("read an execution", error);
        let Some(row) = self.optional(find).await? else { return Ok(()) };
        let mut messages: Vec<Message> =
            serde_json::from_str(&row.get::<String>(0).map_err(failed)?).map_err(unreadable)?;
        messages.push(message.clone());
        let messages = serde_json::to_string(&messages).map_err(unreadable)?;
        let update = query("UPDATE executions SET responses = $2 WHERE id = $1").bind(execution).bind(messages);
        self.write(update).await?;
        Ok(())
    }

    /// Says something in a conversation, as long as that is open; what is said later is kept with the run alone.
    async fn post(&mut self, posting: &Posting) -> Result<()> {
        let Posting { place, event } = posting;
        if self.touch_conversation(&place.conversation, event.created_at).await? {
            let places = self.append(std::slice::from_ref(event), None).await?;
            let head = places.first().map_or(0, |place| place.seq);
            let at = rfc3339(event.created_at);
            self.announce(Frame::Passing(Passing::activity(&place.owner, &place.conversation, head, &at)));
        }
        Ok(())
    }

    /// Ends a run that has not ended; answers whether it had not.
    async fn end_execution(&mut self, ending: &Ending) -> Result<bool> {
        let end = query(
            "UPDATE executions SET status = $2, error = $3, finished_at = $4 \
             WHERE id = $1 AND status IN ('pending', 'running', 'paused', 'awaiting_input')",
        )
        .bind(&ending.execution)
        .bind(ending.status.as_str())
        .bind(ending.error.clone())
        .bind(ending.at);
        if self.write(end).await? == 0 {
            return Ok(false);
        }
        self.add_response(&ending.execution, &ending.message).await?;
        if let Some(posting) = &ending.posting {
            // First, so that no reader sees the message and then what was written of it.
            let (stream, message_id) = (posting.event.stream.clone(), posting.event.id.clone());
            self.announce(Frame::Written { stream, message_id });
            self.post(posting).await?;
        }
        self.append(std::slice::from_ref(&ending.update), None).await?;
        Ok(true)
    }

    /// Why an attempt could not change its delivery.
    async fn refusal(&mut self, fence: &Fence) -> Result<Error> {
        let any: Option<&str> = None;
        let row = self.optional(query(STATE).bind(&fence.delivery).bind(any)).await?;
        row.map_or_else(|| Ok(unknown(&fence.delivery)), |row| refusal(&fence.delivery, &row))
    }
}

struct Claim {
    bot: String,
    commands: Option<Vec<String>>,
    most: i64,
    now: Millis,
    lease_until: Millis,
}

impl Work for Claim {
    type Output = Vec<Delivery>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Vec<Delivery>> {
        let commands = self.commands.as_deref().unwrap_or_default();
        let wanted = match &self.commands {
            None => String::new(),
            Some(commands) => {
                let numbers: Vec<String> = (0..commands.len()).map(|at| format!("${}", at + 5)).collect();
                format!(" AND command IN ({})", numbers.join(", "))
            }
        };
        let text = format!(
            "UPDATE deliveries SET state = 'leased', attempt = attempt + 1, lease_until = $4 \
             WHERE state = 'waiting' AND id IN (SELECT id FROM deliveries WHERE state = 'waiting' AND bot = $1 \
             AND ready_at <= $2 AND expires_at > $2{wanted} ORDER BY created_at, id LIMIT $3) RETURNING {COLUMNS}"
        );
        let claim = composed(text).bind(&self.bot).bind(self.now).bind(self.most).bind(self.lease_until);
        let claim = commands.iter().fold(claim, Query::bind);
        let mut claimed = Vec::new();
        for row in transaction.write_returning(claim).await? {
            let created: Millis = row.get(12).map_err(failed)?;
            claimed.push((created, delivery(&row).map_err(failed)?));
        }
        // Oldest first: RETURNING knows no order.
        claimed.sort_by(|(at, a), (other, b)| (at, &a.id).cmp(&(other, &b.id)));
        let claimed: Vec<Delivery> = claimed.into_iter().map(|(_, delivery)| delivery).collect();
        for delivery in &claimed {
            let begin =
                query("UPDATE executions SET status = 'running', started_at = $2 WHERE id = $1 AND status = 'pending'");
            if transaction.write(begin.bind(&delivery.execution).bind(self.now)).await? == 1 {
                let update = execution_update(&delivery.execution, ExecutionStatus::Running, None, self.now)?;
                transaction.append(&[update], None).await?;
            }
        }
        Ok(claimed)
    }
}

struct Extend {
    fence: Fence,
    lease_until: Millis,
}

impl Work for Extend {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let extend =
            query("UPDATE deliveries SET lease_until = $3 WHERE id = $1 AND attempt = $2 AND state = 'leased'");
        if transaction.write(self.fence.bind(extend).bind(self.lease_until)).await? == 1 {
            return Ok(());
        }
        Err(transaction.refusal(&self.fence).await?)
    }
}

struct Release {
    fence: Fence,
    ready_at: Millis,
    is_loss: bool,
    /// Only when the lease has lapsed by then.
    lapsed_at: Option<Millis>,
}

impl Work for Release {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let release = query(
            "UPDATE deliveries SET state = 'waiting', lease_until = NULL, ready_at = $3, losses = losses + $4 \
             WHERE id = $1 AND attempt = $2 AND state = 'leased' AND lease_until <= $5",
        );
        let release = self.fence.bind(release).bind(self.ready_at).bind(i64::from(self.is_loss));
        Ok(transaction.write(release.bind(self.lapsed_at.unwrap_or(i64::MAX))).await? == 1)
    }
}

struct Say {
    fence: Fence,
    /// The process's own id for it.
    key: String,
    execution: String,
    message: Message,
    posting: Option<Posting>,
    lease_until: Millis,
    at: Millis,
}

impl Work for Say {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let extend = Extend { fence: self.fence.clone(), lease_until: self.lease_until };
        extend.run(transaction).await?;
        let step = format!("say.{}", self.key);
        let mut update = execution_update(&self.execution, ExecutionStatus::Running, Some(&step), self.at)?;
        // What was said stands in the stream of the run under the delivery's id and the process's own, so that the next
        // attempt, which may put it in other words, does not say it again.
        let identity = Identity {
            stream: &update.stream,
            principal: &self.fence.delivery,
            client_id: &self.key,
            body_hash: &self.fence.delivery,
        };
        if transaction.said_before(&identity).await?.is_some() {
            return Ok(true);
        }
        update.principal = Some(self.fence.delivery.clone());
        update.client_id = Some(self.key.clone());
        transaction.add_response(&self.execution, &self.message).await?;
        if let Some(posting) = &self.posting {
            transaction.post(posting).await?;
        }
        transaction.append(std::slice::from_ref(&update), Some(&self.fence.delivery)).await?;
        Ok(false)
    }
}

struct Finish {
    fence: Fence,
    ending: Ending,
}

impl Work for Finish {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let finish = query(
            "UPDATE deliveries SET state = 'done', lease_until = NULL, event = '{}' \
             WHERE id = $1 AND attempt = $2 AND state <> 'done'",
        );
        if transaction.write(self.fence.bind(finish)).await? == 0 {
            return Err(transaction.refusal(&self.fence).await?);
        }
        transaction.end_execution(&self.ending).await?;
        Ok(())
    }
}

struct Cancel {
    ending: Ending,
}

impl Work for Cancel {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let withdraw = query(
            "UPDATE deliveries SET state = 'done', lease_until = NULL, event = '{}' WHERE execution = $1 AND state <> 'done'",
        );
        transaction.write(withdraw.bind(&self.ending.execution)).await?;
        transaction.end_execution(&self.ending).await
    }
}

impl Store {
    /// Gives up to `most` waiting deliveries of a bot, oldest first, to one of its processes until `lease_until`, only of
    /// those commands when some are named.
    pub async fn claim_deliveries(
        &self,
        bot: &str,
        commands: Option<Vec<String>>,
        most: usize,
        now: Millis,
        lease_until: Millis,
    ) -> Result<Vec<Delivery>> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.write(Claim { bot: bot.to_owned(), commands, most, now, lease_until }).await
    }

    /// Keeps a lease. Refused as `LEASE_LOST`, `RUN_CANCELLED` or `RUN_ENDED` when the attempt has it no more.
    pub async fn extend_lease(&self, fence: Fence, lease_until: Millis) -> Result<()> {
        self.write(Extend { fence, lease_until }).await
    }

    /// Gives a delivery back, to be claimed again from `ready_at` on; `is_loss` counts against it. `false` when that
    /// attempt did not have it any more.
    pub async fn release_delivery(&self, fence: Fence, ready_at: Millis, is_loss: bool) -> Result<bool> {
        self.write(Release { fence, ready_at, is_loss, lapsed_at: None }).await
    }

    /// Takes a delivery back whose lease has lapsed; `false` when it was extended or done meanwhile.
    pub async fn take_back_lapsed(&self, fence: Fence, now: Millis) -> Result<bool> {
        self.write(Release { fence, ready_at: now, is_loss: true, lapsed_at: Some(now) }).await
    }

    /// Says something before the end of a run and keeps the lease. Answers whether a process had said it under that key
    /// before; then nothing is said. Refused like [`Store::extend_lease`].
    pub async fn say_of_delivery(
        &self,
        delivery: &Delivery,
        key: &str,
        said: (Message, Option<Posting>),
        at: Millis,
        lease_until: Millis,
    ) -> Result<bool> {
        let fence = Fence { delivery: delivery.id.clone(), attempt: delivery.attempt };
        let (message, posting) = said;
        let execution = delivery.execution.clone();
        self.write(Say { fence, key: key.to_owned(), execution, message, posting, lease_until, at }).await
    }

    /// Ends the run of a delivery, by the attempt that has it or had it last. Refused like [`Store::extend_lease`].
    pub async fn finish_delivery(&self, fence: Fence, ending: Ending) -> Result<()> {
        self.write(Finish { fence, ending }).await
    }

    /// Ends a run that waits, runs or asks, and withdraws its delivery if it has one; `false` when it had ended.
    pub async fn cancel_execution(&self, ending: Ending) -> Result<bool> {
        self.write(Cancel { ending }).await
    }

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
