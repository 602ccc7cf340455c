//! Rows of the database as the plan sees them, and back.

use serde_json::Value;

use crate::engine::plan::{Fault, Journal, Row, StepStatus, Wish};
use crate::flow::Effect;
use crate::model::{Error, Result};
use crate::store::run::Run;
use crate::store::step::StepRow;

fn read(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| Error::internal("read a run", error))
}

/// A run with the steps it has begun.
pub(super) fn journal(run: &Run, rows: Vec<StepRow>) -> Result<Journal> {
    let cause = read(&run.cause)?;
    let mut journal = Journal {
        execution: run.execution.clone(),
        inputs: read(&run.inputs)?,
        vars: read(&run.vars)?.as_object().cloned().unwrap_or_default(),
        user: cause["user"].clone(),
        trigger: cause["trigger"].clone(),
        metadata: read(&run.metadata)?,
        started_at: run.started_at.unwrap_or(run.created_at),
        wish: Wish::parse(&run.wish),
        debug: run.debug,
        halted: run.halted.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        ..Journal::default()
    };
    for row in rows {
        let row = from(row)?;
        journal.rows.insert(row.path.clone(), row);
    }
    Ok(journal)
}

fn from(row: StepRow) -> Result<Row> {
    let error: Option<Fault> =
        serde_json::from_str(&row.error).map_err(|error| Error::internal("read a run", error))?;
    let status = StepStatus::parse(&row.status)
        .ok_or_else(|| Error::internal("read a run", format!("unknown status {}", row.status)))?;
    Ok(Row {
        status,
        effect: Effect::parse(&row.effect).unwrap_or(Effect::Once),
        tries: row.tries,
        round: row.round,
        fence: row.fence,
        intent: row.intent,
        ready_at: row.ready_at,
        deadline: row.deadline,
        timeout: row.timeout,
        input: read(&row.input)?,
        data: read(&row.data)?,
        output: read(&row.output)?,
        error,
        signal: read(&row.signal)?,
        position: row.position,
        started_at: row.started_at,
        finished_at: row.finished_at,
        path: row.path,
    })
}

pub(super) fn row(row: &Row) -> Result<StepRow> {
    let error = serde_json::to_string(&row.error).map_err(|error| Error::internal("write a run", error))?;
    Ok(StepRow {
        path: row.path.clone(),
        status: row.status.as_str().to_owned(),
        effect: row.effect.as_str().to_owned(),
        tries: row.tries,
        round: row.round,
        fence: row.fence,
        intent: row.intent,
        ready_at: row.ready_at,
        deadline: row.deadline,
        timeout: row.timeout,
        topic: row.data["topic"].as_str().map(str::to_owned),
        input: row.input.to_string(),
        data: row.data.to_string(),
        output: row.output.to_string(),
        error,
        signal: row.signal.to_string(),
        position: row.position,
        started_at: row.started_at,
        finished_at: row.finished_at,
    })
}
