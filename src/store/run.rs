//! Runs of documents: kept with the steps they have begun, brought further in one transaction for each result.

use super::Store;
use super::execution::NewExecution;
use super::log::Receipt;
use super::query::{Failure, Row, composed, query};
use super::step::{self, Claim, Hold, StepRow};
use super::transaction::{Transaction, Work, failed};
use super::turn::Turn;
use super::workflow::NewDefinition;
use crate::model::conversation::Millis;
use crate::model::event::NewEvent;
use crate::model::execution::ExecutionStatus;
use crate::model::message::Message;
use crate::model::{Error, Kind, Result};

/// The code of the conflict that asks to read the run and plan again.
pub const RUN_CHANGED: &str = "RUN_CHANGED";

/// The code of a run that has to wait on for others of its kind.
pub const NO_ROOM: &str = "NO_ROOM";

/// The code of a result that came when somebody else had the step, or nobody.
pub const LATE_RESULT: &str = "LATE_RESULT";

/// A run about to be stored together with its execution.
#[derive(Clone, Debug)]
pub struct NewRun {
    pub definition: NewDefinition,
    /// `playbook`, `workflow` or `command`.
    pub kind: &'static str,
    pub source: String,
    pub title: String,
    pub inputs: String,
    pub metadata: String,
    pub cause: String,
    pub debug: bool,
    pub place: Option<super::delivery::AnswerPlace>,
    /// The run that started it, and the step of it.
    pub parent: Option<(String, String)>,
    pub depth: i64,
    pub concurrency: Option<Slot>,
    /// Where it stands after its first steps.
    pub state: RunState,
    pub rows: Vec<StepRow>,
    /// The runs it starts at once.
    pub children: Vec<NewExecution>,
    pub events: Vec<NewEvent>,
    pub signals: Vec<Signal>,
}

/// Of how many runs it is one.
#[derive(Clone, Debug)]
pub struct Slot {
    pub key: String,
    pub limit: i64,
    /// Refuses the run when there is no room.
    pub reject: bool,
}

/// What changes about a run.
#[derive(Clone, Debug)]
pub struct RunState {
    pub vars: String,
    pub output: Option<String>,
    pub error: Option<String>,
    pub halted: Option<String>,
    pub wish: &'static str,
    pub is_open: bool,
    pub deadline: Option<Millis>,
}

/// What one run brings to a step of another one.
#[derive(Clone, Debug)]
pub struct Signal {
    pub execution: String,
    pub path: String,
    /// JSON.
    pub value: String,
}

/// A run as it is read back.
#[derive(Clone, Debug)]
pub struct Run {
    pub execution: String,
    pub definition: String,
    pub kind: String,
    pub source: String,
    pub title: String,
    pub inputs: String,
    pub vars: String,
    pub metadata: String,
    pub cause: String,
    pub output: Option<String>,
    pub error: Option<String>,
    pub halted: Option<String>,
    pub wish: String,
    pub debug: bool,
    pub revision: i64,
    pub is_open: bool,
    pub deadline: Option<Millis>,
    pub place: Option<super::delivery::AnswerPlace>,
    pub parent: Option<(String, String)>,
    pub depth: i64,
    pub concurrency_key: Option<String>,
    pub created_at: Millis,
    pub status: ExecutionStatus,
    /// Id and name of who started it.
    pub principal: String,
    pub principal_name: String,
    pub bot: String,
    pub command: String,
    pub started_at: Option<Millis>,
    pub finished_at: Option<Millis>,
}

const COLUMNS: &str = "r.execution, r.definition, r.kind, r.source, r.title, r.inputs, r.vars, r.metadata, r.cause, \
                       r.output, r.error, r.halted, r.wish, r.debug, r.revision, r.is_open, r.deadline, \
                       r.conversation, r.owner, r.reply_to, r.parent, r.parent_path, r.depth, r.concurrency_key, \
                       r.created_at, e.status, e.principal, e.principal_name, e.bot, e.command, e.started_at, \
                       e.finished_at";

fn run(row: &Row) -> Result<Run> {
    let status: String = row.get(25).map_err(failed)?;
    let status = ExecutionStatus::parse(&status)
        .ok_or_else(|| Error::internal("read a run", format!("unknown status {status}")))?;
    let read = || -> Result<Run, Failure> {
        let place: (Option<String>, Option<String>, Option<String>) = (row.get(17)?, row.get(18)?, row.get(19)?);
        let parent: (Option<String>, Option<String>) = (row.get(20)?, row.get(21)?);
        Ok(Run {
            execution: row.get(0)?,
            definition: row.get(1)?,
            kind: row.get(2)?,
            source: row.get(3)?,
            title: row.get(4)?,
            inputs: row.get(5)?,
            vars: row.get(6)?,
            metadata: row.get(7)?,
            cause: row.get(8)?,
            output: row.get(9)?,
            error: row.get(10)?,
            halted: row.get(11)?,
            wish: row.get(12)?,
            debug: row.get::<i64>(13)? == 1,
            revision: row.get(14)?,
            is_open: row.get::<i64>(15)? == 1,
            deadline: row.get(16)?,
            place: match place {
                (Some(conversation), Some(owner), Some(reply_to)) => {
                    Some(super::delivery::AnswerPlace { conversation, owner, reply_to })
                }
                _ => None,
            },
            parent: parent.0.zip(parent.1),
            depth: row.get(22)?,
            concurrency_key: row.get(23)?,
            created_at: row.get(24)?,
            status,
            principal: row.get(26)?,
            principal_name: row.get(27)?,
            bot: row.get(28)?,
            command: row.get(29)?,
            started_at: row.get(30)?,
            finished_at: row.get(31)?,
        })
    };
    read().map_err(failed)
}

impl Transaction<'_> {
    /// Stores what a run is beside its execution. One that finds no room waits, or is refused.
    pub(super) async fn insert_run(&mut self, execution: &str, new: &NewRun, at: Millis) -> Result<()> {
        self.keep_definition(&new.definition, at).await?;
        if let Some(slot) = new.concurrency.as_ref().filter(|slot| slot.reject) {
            let taken = self.taken(&slot.key, at).await?;
            if taken >= slot.limit {
                let message = format!("{taken} such runs are under way, and no more may be");
                let error = Error::conflict("TOO_MANY_RUNS", message);
                return Err(error.details(serde_json::json!({ "key": slot.key, "limit": slot.limit })));
            }
        }
        let place = new.place.as_ref();
        let insert = query(
            "INSERT INTO runs (execution, definition, kind, source, title, inputs, vars, metadata, cause, output, error, \
             halted, wish, debug, revision, is_open, deadline, conversation, owner, reply_to, parent, parent_path, depth, \
             concurrency_key, concurrency_limit, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
             $13, $14, 0, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)",
        )
        .bind(execution)
        .bind(&new.definition.hash)
        .bind(new.kind)
        .bind(&new.source)
        .bind(&new.title)
        .bind(&new.inputs)
        .bind(&new.state.vars)
        .bind(&new.metadata)
        .bind(&new.cause)
        .bind(&new.state.output)
        .bind(&new.state.error)
        .bind(&new.state.halted)
        .bind(new.state.wish)
        .bind(i64::from(new.debug))
        .bind(i64::from(new.state.is_open))
        .bind(new.state.deadline)
        .bind(place.map(|place| place.conversation.clone()))
        .bind(place.map(|place| place.owner.clone()))
        .bind(place.map(|place| place.reply_to.clone()))
        .bind(new.parent.as_ref().map(|(parent, _)| parent.clone()))
        .bind(new.parent.as_ref().map(|(_, path)| path.clone()))
        .bind(new.depth)
        .bind(new.concurrency.as_ref().map(|slot| slot.key.clone()))
        .bind(new.concurrency.as_ref().map(|slot| slot.limit))
        .bind(at);
        self.write(insert).await?;
        for row in &new.rows {
            self.put_step(execution, row, &Hold::Keep, at).await?;
        }
        self.begin_children(&new.children).await?;
        self.append(&new.events, None).await?;
        for signal in &new.signals {
            self.signal(&signal.execution, &signal.path, &signal.value).await?;
        }
        Ok(())
    }

    async fn begin_children(&mut self, children: &[NewExecution]) -> Result<()> {
        for child in children {
            // The future of a child is one like this one.
            Box::pin(self.insert_execution(child)).await?;
        }
        Ok(())
    }

    /// How many runs of a key are under way, once nobody else can begin one.
    async fn taken(&mut self, key: &str, at: Millis) -> Result<i64> {
        let hold = query(
            "INSERT INTO concurrency_keys (name, at) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET at = excluded.at",
        );
        self.write(hold.bind(key).bind(at)).await?;
        let count = query("SELECT count(*) FROM runs WHERE concurrency_key = $1 AND is_open = 1 AND wish <> 'queue'");
        let row = self.optional(count.bind(key)).await?;
        row.map_or(Ok(0), |row| row.get(0).map_err(failed))
    }

    pub(super) async fn say_of_run(&mut self, execution: &str, messages: &[Message], at: Millis) -> Result<()> {
        for message in messages {
            self.add_response(execution, message, at).await?;
        }
        Ok(())
    }
}

/// Brings a run further.
#[derive(Clone, Debug)]
pub struct RunCommit {
    pub execution: String,
    /// The revision it was planned with; another one refuses it with [`RUN_CHANGED`].
    pub revision: i64,
    /// The claims whose results are in it, and what came of each; one that is lost refuses it with [`LATE_RESULT`].
    pub attempts: Vec<(Claim, &'static str)>,
    /// Rows as they are from now on.
    pub rows: Vec<(StepRow, Hold)>,
    pub state: RunState,
    /// Another document to go on with.
    pub definition: Option<NewDefinition>,
    /// Whether the three that follow are other than before, or it has not begun before.
    pub changes_execution: bool,
    pub status: ExecutionStatus,
    /// One sentence for who polls, when it has failed.
    pub error: Option<String>,
    pub finished_at: Option<Millis>,
    pub events: Vec<NewEvent>,
    /// What it says, for who polls.
    pub messages: Vec<Message>,
    /// What it says in its conversation, or what was done there that brings it further.
    pub turn: Option<Box<Turn>>,
    pub children: Vec<NewExecution>,
    pub signals: Vec<Signal>,
    /// Begins a run that has waited for room, if there is room.
    pub admits: Option<(String, i64)>,
    pub at: Millis,
}

impl Work for RunCommit {
    type Output = Option<Receipt>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Option<Receipt>> {
        let state = &self.state;
        if let Some(definition) = &self.definition {
            transaction.keep_definition(definition, self.at).await?;
        }
        // Held first: whoever else brings this run further comes before or after.
        let update = query(
            "UPDATE runs SET revision = revision + 1, vars = $3, output = $4, error = $5, halted = $6, wish = $7, \
             is_open = $8, deadline = $9, definition = coalesce($10, definition) WHERE execution = $1 AND revision = $2",
        )
        .bind(&self.execution)
        .bind(self.revision)
        .bind(&state.vars)
        .bind(&state.output)
        .bind(&state.error)
        .bind(&state.halted)
        .bind(state.wish)
        .bind(i64::from(state.is_open))
        .bind(state.deadline)
        .bind(self.definition.as_ref().map(|definition| definition.hash.clone()));
        if transaction.write(update).await? == 0 {
            return Err(Error::conflict(RUN_CHANGED, "this run has come further meanwhile"));
        }
        if let Some((key, limit)) = &self.admits
            && transaction.taken(key, self.at).await? > *limit
        {
            return Err(Error::conflict(NO_ROOM, "another run was faster"));
        }
        for (claim, outcome) in &self.attempts {
            if !transaction.end_held_attempt(claim, outcome, self.at).await? {
                return Err(Error::conflict(LATE_RESULT, "this step is somebody else's by now"));
            }
        }
        for (row, hold) in &self.rows {
            transaction.put_step(&self.execution, row, hold, self.at).await?;
        }
        if self.changes_execution {
            self.update_execution(transaction).await?;
        }
        transaction.begin_children(&self.children).await?;
        for signal in &self.signals {
            transaction.signal(&signal.execution, &signal.path, &signal.value).await?;
        }
        transaction.say_of_run(&self.execution, &self.messages, self.at).await?;
        if let Some(at) = self.finished_at {
            transaction.tell_hooks(&self.execution, self.status, at).await?;
        }
        let receipt = match &self.turn {
            // What somebody does there counts once, and only as long as the conversation is open.
            Some(turn) if turn.said.is_some() => Some(turn.run(transaction).await?),
            Some(turn) => {
                turn.speak(transaction).await?;
                None
            }
            None => None,
        };
        transaction.append(&self.events, None).await?;
        Ok(receipt)
    }
}

impl RunCommit {
    async fn update_execution(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let execution = query(
            "UPDATE executions SET status = $2, error = $3, finished_at = $4, started_at = coalesce(started_at, $5) WHERE id = $1",
        );
        let execution = execution.bind(&self.execution).bind(self.status.as_str()).bind(&self.error);
        transaction.write(execution.bind(self.finished_at).bind(self.at)).await?;
        Ok(())
    }
}

struct Delete {
    execution: String,
}

impl Work for Delete {
    type Output = Vec<String>;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Vec<String>> {
        let stream = crate::model::event::Stream::execution(&self.execution);
        let run = query("DELETE FROM runs WHERE execution = $1 AND is_open = 0");
        if transaction.write(run.bind(&self.execution)).await? == 0 {
            return Err(Error::new(
                Kind::Conflict,
                "RUN_OPEN",
                "a run that has not ended cannot be deleted: cancel it first",
            ));
        }
        for text in [
            "DELETE FROM step_attempts WHERE execution = $1",
            "DELETE FROM steps WHERE execution = $1",
            "DELETE FROM deliveries WHERE execution = $1",
            "DELETE FROM approval_votes WHERE execution = $1",
            "DELETE FROM approval_cards WHERE execution = $1",
            "DELETE FROM approvals WHERE execution = $1",
        ] {
            transaction.write(query(text).bind(&self.execution)).await?;
        }
        transaction.write(query("DELETE FROM events WHERE stream = $1").bind(stream.as_str())).await?;
        transaction.write(query("DELETE FROM streams WHERE stream = $1").bind(stream.as_str())).await?;
        transaction.write(query("DELETE FROM executions WHERE id = $1").bind(&self.execution)).await?;
        transaction.forget_artifacts(&self.execution).await
    }
}

/// Which runs a list shows.
#[derive(Clone, Debug, Default)]
pub struct RunFilter<'a> {
    pub principal: Option<&'a str>,
    pub status: Option<ExecutionStatus>,
    pub kind: Option<&'a str>,
    pub source: Option<&'a str>,
    /// The time and id of the last one of the page before.
    pub before: Option<(Millis, String)>,
    pub limit: i64,
}

impl Store {
    pub async fn commit_run(&self, commit: RunCommit) -> Result<Option<Receipt>> {
        self.write(commit).await
    }

    /// Deletes a run that has ended, with everything that is known of it. Answers the ids of its artifacts, whose bytes are
    /// to go.
    pub async fn delete_run(&self, execution: &str) -> Result<Vec<String>> {
        self.write(Delete { execution: execution.to_owned() }).await
    }

    pub async fn run(&self, execution: &str) -> Result<Option<Run>> {
        let mut reader = self.reader().await?;
        let find = composed(format!(
            "SELECT {COLUMNS} FROM runs r JOIN executions e ON e.id = r.execution WHERE r.execution = $1"
        ));
        let row = find.bind(execution).optional(&mut reader.connection()).await.map_err(failed)?;
        row.as_ref().map(run).transpose()
    }

    /// The steps that have begun. Read after the run: what is newer than the run's revision is found out at the commit.
    pub async fn steps(&self, execution: &str) -> Result<Vec<StepRow>> {
        let mut reader = self.reader().await?;
        let find = composed(format!("SELECT {} FROM steps WHERE execution = $1 ORDER BY position", step::COLUMNS));
        let rows = find.bind(execution).all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(step::step).collect::<Result<_, Failure>>().map_err(failed)
    }

    /// Runs, newest first.
    pub async fn runs(&self, filter: RunFilter<'_>) -> Result<Vec<Run>> {
        let mut reader = self.reader().await?;
        let (at, id) = filter.before.unwrap_or((Millis::MAX, String::new()));
        let list = composed(format!(
            "SELECT {COLUMNS} FROM runs r JOIN executions e ON e.id = r.execution \
             WHERE (cast($1 AS text) IS NULL OR e.principal = $1) AND (cast($2 AS text) IS NULL OR e.status = $2) \
             AND (cast($3 AS text) IS NULL OR r.kind = $3) AND (cast($4 AS text) IS NULL OR r.source = $4) \
             AND (r.created_at < $5 OR (r.created_at = $5 AND r.execution < $6)) \
             ORDER BY r.created_at DESC, r.execution DESC LIMIT $7"
        ));
        let list = list.bind(filter.principal).bind(filter.status.map(ExecutionStatus::as_str)).bind(filter.kind);
        let list = list.bind(filter.source).bind(at).bind(id).bind(filter.limit);
        let rows = list.all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(run).collect()
    }

    /// The oldest run of a concurrency key that is under way.
    pub async fn oldest_of_key(&self, key: &str) -> Result<Vec<String>> {
        let mut reader = self.reader().await?;
        let find = query(
            "SELECT execution FROM runs WHERE concurrency_key = $1 AND is_open = 1 AND wish <> 'queue' ORDER BY created_at, execution",
        );
        let rows = find.bind(key).all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(|row| row.get(0)).collect::<Result<_, Failure>>().map_err(failed)
    }
}
