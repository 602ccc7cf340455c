//! Executions: the one record of every run.

use super::Store;
use super::approval::NewApproval;
use super::delivery::NewDelivery;
use super::outbox::Run;
use super::query::{Failure, Row, query};
use super::run::NewRun;
use super::transaction::{Transaction, Work, failed};
use crate::model::conversation::Millis;
use crate::model::event::NewEvent;
use crate::model::execution::ExecutionStatus;
use crate::model::message::Message;
use crate::model::{Error, Result};

/// A run as it is stored for the first time; a pure reply is finished then.
#[derive(Clone, Debug)]
pub struct NewExecution {
    pub id: String,
    /// Id of the request that started it; with `id` it makes the address to poll.
    pub request_id: String,
    pub bot: String,
    pub bot_version: String,
    pub command: String,
    pub status: ExecutionStatus,
    pub principal: String,
    pub principal_name: String,
    /// Which door: `command`, `chat`.
    pub origin: &'static str,
    pub conversation: Option<String>,
    /// The command request as JSON, secrets taken out.
    pub request: String,
    /// The messages it said, a JSON array.
    pub responses: String,
    pub error: Option<String>,
    pub idempotency_key: Option<String>,
    /// SHA-256 of the request, hex: tells a repetition from another request under the same key.
    pub body_hash: Option<String>,
    pub created_at: Millis,
    pub started_at: Option<Millis>,
    pub finished_at: Option<Millis>,
    /// Work for a process elsewhere, when that is what does it.
    pub delivery: Option<NewDelivery>,
    /// What it waits for before it runs.
    pub approval: Option<Box<NewApproval>>,
    /// The steps of a document, when those are what it does.
    pub run: Option<Box<NewRun>>,
    /// What it says to other places than its own.
    pub elsewhere: Option<Box<Elsewhere>>,
}

/// A message that goes to other places than its run's own.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    pub bot: String,
    pub command: String,
    pub message: Message,
}

/// A run that comes further.
#[derive(Clone, Debug)]
pub struct RunChange {
    pub id: String,
    pub status: ExecutionStatus,
    /// The version of the bot that ran it; none leaves the one it was asked of.
    pub bot_version: Option<String>,
    /// The request with the values that are known now, as JSON; none leaves it.
    pub request: Option<String>,
    /// The messages it said, a JSON array; none leaves them.
    pub responses: Option<String>,
    pub error: Option<String>,
    pub started_at: Option<Millis>,
    pub finished_at: Option<Millis>,
    /// Work for a process elsewhere, when that is what does it from now on.
    pub delivery: Option<NewDelivery>,
    /// What it waits for from now on.
    pub approval: Option<Box<NewApproval>>,
    /// What it says to other places than its own.
    pub elsewhere: Option<Box<Elsewhere>>,
    /// The steps of a document, when those are what it does from now on.
    pub run: Option<Box<NewRun>>,
}

impl From<NewExecution> for RunChange {
    /// The run of that id, as if it began now.
    fn from(run: NewExecution) -> Self {
        Self {
            id: run.id,
            status: run.status,
            bot_version: Some(run.bot_version),
            request: Some(run.request),
            responses: Some(run.responses),
            error: run.error,
            started_at: run.started_at,
            finished_at: run.finished_at,
            delivery: run.delivery,
            approval: run.approval,
            elsewhere: run.elsewhere,
            run: run.run,
        }
    }
}

/// A run as it is read back.
#[derive(Clone, Debug)]
pub struct Execution {
    pub id: String,
    pub request_id: String,
    pub bot: String,
    pub command: String,
    pub status: ExecutionStatus,
    pub principal: String,
    pub principal_name: String,
    pub conversation: Option<String>,
    pub request: String,
    pub responses: String,
    pub error: Option<String>,
    pub created_at: Millis,
    pub finished_at: Option<Millis>,
}

const COLUMNS: &str = "id, request_id, bot, command, status, principal, principal_name, request, responses, error, \
                       created_at, finished_at, conversation";

fn execution(row: &Row) -> Result<Execution> {
    let status: String = row.get(4).map_err(failed)?;
    let status = ExecutionStatus::parse(&status)
        .ok_or_else(|| Error::internal("read an execution", format!("unknown status {status}")))?;
    let read = || -> Result<Execution, Failure> {
        Ok(Execution {
            id: row.get(0)?,
            request_id: row.get(1)?,
            bot: row.get(2)?,
            command: row.get(3)?,
            status,
            principal: row.get(5)?,
            principal_name: row.get(6)?,
            request: row.get(7)?,
            responses: row.get(8)?,
            error: row.get(9)?,
            created_at: row.get(10)?,
            finished_at: row.get(11)?,
            conversation: row.get(12)?,
        })
    };
    read().map_err(failed)
}

impl Transaction<'_> {
    pub(super) async fn insert_execution(&mut self, e: &NewExecution) -> Result<()> {
        let insert = query(
            "INSERT INTO executions (id, request_id, bot, bot_version, command, status, principal, principal_name, \
             origin, conversation, request, responses, error, idempotency_key, body_hash, created_at, started_at, \
             finished_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
        )
        .room_for(18)
        .bind(&e.id)
        .bind(&e.request_id)
        .bind(&e.bot)
        .bind(&e.bot_version)
        .bind(&e.command)
        .bind(e.status.as_str())
        .bind(&e.principal)
        .bind(&e.principal_name)
        .bind(e.origin)
        .bind(&e.conversation)
        .bind(&e.request)
        .bind(&e.responses)
        .bind(&e.error)
        .bind(&e.idempotency_key)
        .bind(&e.body_hash)
        .bind(e.created_at)
        .bind(e.started_at)
        .bind(e.finished_at);
        self.write(insert).await?;
        if let Some(delivery) = &e.delivery {
            self.insert_delivery(&e.id, delivery).await?;
        }
        if let Some(approval) = &e.approval {
            self.insert_approval(approval).await?;
        }
        if let Some(run) = &e.run {
            Box::pin(self.insert_run(&e.id, run, e.created_at)).await?;
        }
        self.tell_hooks(&e.id, ExecutionStatus::Pending, e.created_at).await?;
        if e.status != ExecutionStatus::Pending {
            self.tell_hooks(&e.id, e.status, e.finished_at.unwrap_or(e.created_at)).await?;
        }
        match &e.elsewhere {
            Some(elsewhere) => self.say_elsewhere(&e.id, elsewhere, e.created_at).await,
            None => Ok(()),
        }
    }

    async fn say_elsewhere(&mut self, id: &str, elsewhere: &Elsewhere, at: Millis) -> Result<()> {
        let Elsewhere { bot, command, message } = elsewhere;
        self.send_elsewhere(message, &Run { id, bot, command }, at).await
    }

    /// Brings a run further. One that has ended stays as it is: that is a conflict.
    pub(super) async fn change_run(&mut self, change: &RunChange) -> Result<()> {
        let update = query(
            "UPDATE executions SET status = $2, bot_version = coalesce($3, bot_version), \
             request = coalesce($4, request), responses = coalesce($5, responses), error = coalesce($6, error), \
             started_at = coalesce($7, started_at), finished_at = coalesce($8, finished_at) \
             WHERE id = $1 AND status IN ('pending', 'awaiting_input', 'awaiting_confirmation', 'awaiting_approval', \
             'running', 'paused')",
        )
        .bind(&change.id)
        .bind(change.status.as_str())
        .bind(change.bot_version.clone())
        .bind(change.request.clone())
        .bind(change.responses.clone())
        .bind(change.error.clone())
        .bind(change.started_at)
        .bind(change.finished_at);
        if self.write(update).await? == 0 {
            return Err(Error::conflict("RUN_ENDED", "this run has ended already"));
        }
        if let Some(delivery) = &change.delivery {
            self.insert_delivery(&change.id, delivery).await?;
        }
        if let Some(approval) = &change.approval {
            self.insert_approval(approval).await?;
        }
        if let Some(run) = &change.run {
            let at = change.started_at.unwrap_or_default();
            Box::pin(self.insert_run(&change.id, run, at)).await?;
        }
        if let Some(at) = change.finished_at {
            self.tell_hooks(&change.id, change.status, at).await?;
        }
        match &change.elsewhere {
            Some(elsewhere) => {
                let at = change.finished_at.or(change.started_at).unwrap_or_default();
                self.say_elsewhere(&change.id, elsewhere, at).await
            }
            None => Ok(()),
        }
    }
}

/// The ids by which a run is polled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    pub id: String,
    pub request_id: String,
}

struct Start {
    execution: NewExecution,
    events: Vec<NewEvent>,
}

impl Work for Start {
    type Output = Invocation;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Invocation> {
        let new = &self.execution;
        if let Some(key) = &new.idempotency_key {
            let earlier =
                query("SELECT id, request_id, body_hash FROM executions WHERE principal = $1 AND idempotency_key = $2");
            if let Some(row) = transaction.optional(earlier.bind(&new.principal).bind(key)).await? {
                let hash: Option<String> = row.get(2).map_err(failed)?;
                if hash != new.body_hash {
                    return Err(Error::conflict(
                        "IDEMPOTENCY_CONFLICT",
                        "this Idempotency-Key was used before with another request",
                    ));
                }
                return Ok(Invocation { id: row.get(0).map_err(failed)?, request_id: row.get(1).map_err(failed)? });
            }
        }
        transaction.insert_execution(new).await?;
        transaction.append(&self.events, None).await?;
        Ok(Invocation { id: new.id.clone(), request_id: new.request_id.clone() })
    }
}

impl Store {
    /// Stores a run outside a conversation with its events. The same idempotency key and request give the first one.
    pub async fn start_execution(&self, execution: NewExecution, events: Vec<NewEvent>) -> Result<Invocation> {
        self.write(Start { execution, events }).await
    }

    pub async fn execution(&self, id: &str) -> Result<Option<Execution>> {
        let mut reader = self.reader().await?;
        let find = super::query::composed(format!("SELECT {COLUMNS} FROM executions WHERE id = $1")).bind(id);
        let row = find.optional(&mut reader.connection()).await.map_err(failed)?;
        row.as_ref().map(execution).transpose()
    }

    /// The newest runs first; of one principal, or of everybody.
    pub async fn recent_executions(&self, principal: Option<&str>, limit: i64) -> Result<Vec<Execution>> {
        let mut reader = self.reader().await?;
        let list = super::query::composed(format!(
            "SELECT {COLUMNS} FROM executions WHERE cast($1 AS text) IS NULL OR principal = $1 \
             ORDER BY created_at DESC, id DESC LIMIT $2"
        ))
        .bind(principal)
        .bind(limit);
        let rows = list.all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(execution).collect()
    }
}
