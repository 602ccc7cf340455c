//! Schedules: what is run by itself, and when it is due next.

use serde_json::json;

use super::Store;
use super::audit::Deed;
use super::query::{Failure, Row, composed, query};
use super::transaction::{Transaction, Work, failed};
use crate::model::conversation::Millis;
use crate::model::{Error, Kind, Result};

/// A playbook or workflow that is run at its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub id: String,
    pub name: String,
    /// `playbook` or `workflow`.
    pub kind: String,
    /// The path of the one, the id of the other.
    pub source: String,
    pub title: String,
    /// JSON: what each run is given.
    pub inputs: String,
    /// JSON.
    pub rule: String,
    pub missed: String,
    pub overlap: String,
    /// Id and name of whom its runs act for.
    pub owner: String,
    pub owner_name: String,
    /// JSON: how they are found again.
    pub cause: String,
    pub is_active: bool,
    /// Why the server switched it off.
    pub reason: Option<String>,
    /// None: never again.
    pub next_at: Option<Millis>,
    pub last: Last,
    pub created_at: Millis,
    pub updated_at: Millis,
}

/// What came of the last time it was due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Last {
    pub at: Option<Millis>,
    /// The newest run, whenever that was.
    pub execution: Option<String>,
    /// Why there was no run.
    pub error: Option<String>,
}

const COLUMNS: &str = "id, name, kind, source, title, inputs, rule, missed, overlap, owner, owner_name, cause, is_active, \
                       reason, next_at, last_at, last_execution, last_error, created_at, updated_at";

fn schedule(row: &Row) -> Result<Schedule, Failure> {
    Ok(Schedule {
        id: row.get(0)?,
        name: row.get(1)?,
        kind: row.get(2)?,
        source: row.get(3)?,
        title: row.get(4)?,
        inputs: row.get(5)?,
        rule: row.get(6)?,
        missed: row.get(7)?,
        overlap: row.get(8)?,
        owner: row.get(9)?,
        owner_name: row.get(10)?,
        cause: row.get(11)?,
        is_active: row.get::<i64>(12)? == 1,
        reason: row.get(13)?,
        next_at: row.get(14)?,
        last: Last { at: row.get(15)?, execution: row.get(16)?, error: row.get(17)? },
        created_at: row.get(18)?,
        updated_at: row.get(19)?,
    })
}

/// What anybody hears about a schedule that is not there or not for them.
pub fn unknown(id: &str) -> Error {
    Error::new(Kind::NotFound, "SCHEDULE_NOT_FOUND", format!("there is no schedule '{id}'"))
        .details(json!({ "schedule": id }))
}

struct Put {
    schedule: Schedule,
    is_new: bool,
    deed: Deed,
}

impl Work for Put {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let it = &self.schedule;
        let text = if self.is_new {
            "INSERT INTO schedules (name, kind, source, title, inputs, rule, missed, overlap, owner, owner_name, cause, \
             is_active, reason, next_at, updated_at, id, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)"
        } else {
            "UPDATE schedules SET name = $1, kind = $2, source = $3, title = $4, inputs = $5, rule = $6, missed = $7, \
             overlap = $8, owner = $9, owner_name = $10, cause = $11, is_active = $12, reason = $13, next_at = $14, \
             updated_at = $15 WHERE id = $16 AND created_at = $17"
        };
        let put = query(text)
            .bind(&it.name)
            .bind(&it.kind)
            .bind(&it.source)
            .bind(&it.title)
            .bind(&it.inputs)
            .bind(&it.rule)
            .bind(&it.missed)
            .bind(&it.overlap)
            .bind(&it.owner)
            .bind(&it.owner_name)
            .bind(&it.cause)
            .bind(i64::from(it.is_active))
            .bind(&it.reason)
            .bind(it.next_at)
            .bind(it.updated_at)
            .bind(&it.id)
            .bind(it.created_at);
        if transaction.write(put).await? == 0 {
            return Err(unknown(&it.id));
        }
        transaction.record(&self.deed).await
    }
}

struct Delete {
    id: String,
    deed: Deed,
}

impl Work for Delete {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let is_there = transaction.write(query("DELETE FROM schedules WHERE id = $1").bind(&self.id)).await? == 1;
        if is_there {
            transaction.record(&self.deed).await?;
        }
        Ok(is_there)
    }
}

/// What came of a time at which a schedule was due.
#[derive(Clone, Debug)]
pub struct Ticked {
    pub id: String,
    /// The time it was about: whoever is late finds another one, and changes nothing.
    pub due: Millis,
    pub next: Option<Millis>,
    pub at: Millis,
    pub outcome: Result<String, String>,
    /// Why it is switched off from now on.
    pub off: Option<String>,
}

impl Work for Ticked {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let tick = query(
            "UPDATE schedules SET next_at = $1, last_at = $2, last_execution = coalesce($3, last_execution), \
             last_error = $4, reason = coalesce($5, reason), \
             is_active = CASE WHEN cast($5 AS TEXT) IS NULL THEN is_active ELSE 0 END WHERE id = $6 AND next_at = $7",
        )
        .bind(self.next)
        .bind(self.at)
        .bind(self.outcome.clone().ok())
        .bind(self.outcome.clone().err())
        .bind(&self.off)
        .bind(&self.id)
        .bind(self.due);
        Ok(transaction.write(tick).await? == 1)
    }
}

impl Store {
    pub async fn insert_schedule(&self, schedule: Schedule, deed: Deed) -> Result<()> {
        Box::pin(self.write(Put { schedule, is_new: true, deed })).await
    }

    /// Writes a schedule anew; what came of its last time stays.
    pub async fn update_schedule(&self, schedule: Schedule, deed: Deed) -> Result<()> {
        Box::pin(self.write(Put { schedule, is_new: false, deed })).await
    }

    /// Removes a schedule; `false` when it is not there. Its runs stay.
    pub async fn delete_schedule(&self, id: &str, deed: Deed) -> Result<bool> {
        self.write(Delete { id: id.to_owned(), deed }).await
    }

    /// Notes what came of a time; `false` when somebody else was faster, or the schedule was changed.
    pub async fn tick_schedule(&self, ticked: Ticked) -> Result<bool> {
        self.write(ticked).await
    }

    /// All schedules, by name.
    pub async fn schedules(&self) -> Result<Vec<Schedule>> {
        let mut reader = self.reader().await?;
        let find = composed(format!("SELECT {COLUMNS} FROM schedules ORDER BY name, id LIMIT 1000"));
        let rows = find.all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(|row| schedule(row).map_err(failed)).collect()
    }

    pub async fn schedule(&self, id: &str) -> Result<Option<Schedule>> {
        let mut reader = self.reader().await?;
        let find = composed(format!("SELECT {COLUMNS} FROM schedules WHERE id = $1")).bind(id);
        let row = find.optional(&mut reader.connection()).await.map_err(failed)?;
        row.map(|row| schedule(&row).map_err(failed)).transpose()
    }

    /// Schedules that are due, at most `most`.
    pub async fn due_schedules(&self, now: Millis, most: i64) -> Result<Vec<Schedule>> {
        let mut reader = self.reader().await?;
        let find = composed(format!(
            "SELECT {COLUMNS} FROM schedules WHERE is_active = 1 AND next_at IS NOT NULL AND next_at <= $1 \
             ORDER BY next_at, id LIMIT $2"
        ));
        let rows = find.bind(now).bind(most).all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(|row| schedule(row).map_err(failed)).collect()
    }

    /// When the next schedule is due.
    pub async fn next_schedule(&self) -> Result<Option<Millis>> {
        let mut reader = self.reader().await?;
        let find = query("SELECT min(next_at) FROM schedules WHERE is_active = 1 AND next_at IS NOT NULL");
        let row = find.one(&mut reader.connection()).await.map_err(failed)?;
        row.get(0).map_err(failed)
    }
}
