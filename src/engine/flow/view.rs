//! Runs as doors show them.

use std::sync::Arc;

use serde_json::Value;

use super::rows;
use crate::engine::Engine;
use crate::engine::plan::{Fault, StepStatus, outline};
use crate::identity::permission::Verb;
use crate::model::conversation::Millis;
use crate::model::principal::Principal;
use crate::model::{Error, Result};
use crate::store::run::{Run, RunFilter};

/// A run with the steps of its document.
pub struct RunView {
    pub run: Run,
    /// What it gave, once it is completed.
    pub output: Value,
    pub error: Option<Fault>,
    pub steps: Vec<StepView>,
}

impl RunView {
    /// How many steps have ended, from the first on.
    pub fn current(&self) -> usize {
        self.steps.iter().take_while(|step| step.status.is_final()).count()
    }
}

/// One step of it.
pub struct StepView {
    pub path: String,
    pub name: String,
    /// The verb, or the action of a connector.
    pub kind: String,
    pub depth: usize,
    pub status: StepStatus,
    pub started_at: Option<Millis>,
    pub finished_at: Option<Millis>,
    pub output: Value,
    pub error: Option<Fault>,
    pub tries: i64,
    /// What it asks, while it does.
    pub asks: Option<String>,
}

/// The kind of a step in the words of doors.
pub fn kind_of(step: &crate::flow::Step) -> String {
    match &step.verb {
        crate::flow::Verb::Use(call) => format!("{}.{}", call.connector, call.action),
        _ if step.for_each.is_some() => "for_each".to_owned(),
        _ if step.repeat.is_some() => "while".to_owned(),
        verb => verb.word().to_owned(),
    }
}

impl Engine {
    /// A run that the caller may see.
    pub async fn view_run(&self, principal: &Principal, id: &str) -> Result<RunView> {
        let run = self.run_for(principal, Verb::View, id).await?;
        self.show(run).await
    }

    /// The document of a run that the caller may see, as it is pinned.
    pub async fn document_of_run(&self, principal: &Principal, id: &str) -> Result<Value> {
        let run = self.run_for(principal, Verb::View, id).await?;
        let text = self.store().definition(&run.definition).await?.unwrap_or_else(|| "null".to_owned());
        serde_json::from_str(&text).map_err(|error| Error::internal("read a definition", error))
    }

    async fn show(&self, run: Run) -> Result<RunView> {
        let steps = self.store().steps(&run.execution).await?;
        let journal = rows::journal(&run, steps)?;
        let flow: Arc<_> = self.pinned(&run.definition).await?;
        let over = run.status.is_final();
        let lines = outline(&flow, &journal).into_iter().map(|line| {
            // What a run that is over has not begun is passed over.
            let status = match line.status() {
                StepStatus::Pending if over => StepStatus::Skipped,
                status => status,
            };
            StepView {
                name: line.step.title().to_owned(),
                kind: kind_of(line.step),
                depth: line.depth,
                status,
                started_at: line.row.and_then(|row| row.started_at),
                finished_at: line.row.and_then(|row| row.finished_at),
                output: line.row.map(|row| row.output.clone()).unwrap_or_default(),
                error: line.row.and_then(|row| row.error.clone()),
                tries: line.row.map_or(0, |row| row.tries),
                asks: line
                    .row
                    .filter(|row| row.status == StepStatus::Waiting && row.data["approvers"].is_object())
                    .and_then(|row| row.data["message"].as_str().map(str::to_owned)),
                path: line.path,
            }
        });
        let steps = lines.collect();
        let read = |text: &Option<String>| text.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let (output, error) = (
            read(&run.output).unwrap_or_default(),
            run.error.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        );
        Ok(RunView { run, output, error, steps })
    }

    /// Runs that the caller may see, newest first, each with its steps.
    pub async fn list_runs(&self, principal: &Principal, filter: RunFilter<'_>) -> Result<Vec<RunView>> {
        let own = (!principal.is_admin()).then_some(principal.id.as_str());
        let runs = self.store().runs(RunFilter { principal: own, ..filter }).await?;
        let mut views = Vec::with_capacity(runs.len());
        for run in runs {
            views.push(self.show(run).await?);
        }
        Ok(views)
    }

    /// Deletes a run that has ended. Answers how many artifacts went with it.
    pub async fn delete_run(&self, principal: &Principal, id: &str) -> Result<usize> {
        self.run_for(principal, Verb::Manage, id).await?;
        let artifacts = self.store().delete_run(id).await?;
        self.remove_artifacts(&artifacts).await;
        Ok(artifacts.len())
    }
}
