//! What people do to a run that is under way: each is a row before it is answered.

use serde_json::{Value, json};

use super::bring::{Brought, Nudge};
use crate::engine::Engine;
use crate::engine::plan::{
    self, Ended, Fault, Journal, Row, StepStatus, UNDOING, Wish, cancel_below, is_below, outline, reset_below,
};
use crate::flow::{Flow, Step};
use crate::identity::permission::{Object, Verb, authorize};
use crate::model::execution::ExecutionStatus;
use crate::model::offer::RunVerb;
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::store::run::Run;
use crate::store::turn::Turn;
use crate::store::workflow::NewDefinition;

/// What somebody wants of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Control {
    Pause,
    Resume,
    /// Ends it for good; with `undo` once what it did is undone.
    Cancel {
        undo: bool,
    },
    /// Passes over what is under way now, or what would come next.
    Skip,
    /// Takes back what is under way and the step before it.
    SkipBack,
    /// Begins again from a step at the top of its document.
    RetryFrom(String),
    /// Says what became of a step of which nobody knows.
    Resolve {
        path: Option<String>,
        resolution: Resolution,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    Happened(Value),
    Retry,
    Skip,
    Fail,
}

impl From<RunVerb> for Control {
    fn from(verb: RunVerb) -> Self {
        let resolve = |resolution| Self::Resolve { path: None, resolution };
        match verb {
            RunVerb::Pause => Self::Pause,
            RunVerb::Resume => Self::Resume,
            RunVerb::Cancel => Self::Cancel { undo: false },
            RunVerb::Happened => resolve(Resolution::Happened(Value::Null)),
            RunVerb::Retry => resolve(Resolution::Retry),
            RunVerb::Skip => resolve(Resolution::Skip),
            RunVerb::Fail => resolve(Resolution::Fail),
        }
    }
}

/// What anybody hears about a run that is not there or not for them.
pub(super) fn unknown(id: &str) -> Error {
    Error::new(Kind::NotFound, "EXECUTION_NOT_FOUND", format!("Execution '{id}' not found"))
        .details(json!({ "execution_id": id }))
}

fn over(run: &Run) -> Error {
    let message = format!("Execution '{}' has ended: it is {}", run.execution, run.status.as_str());
    Error::conflict("EXECUTION_ENDED", message)
        .details(json!({ "execution_id": run.execution, "status": run.status.as_str() }))
}

impl Engine {
    /// A run, when the caller may do that to it.
    pub(super) async fn run_for(&self, principal: &Principal, verb: Verb, id: &str) -> Result<Run> {
        let run = self.store().run(id).await?.ok_or_else(|| unknown(id))?;
        let object = Object::Execution { starter: &run.principal, bot: &run.bot, command: &run.command };
        authorize(principal, verb, object).map_err(|_| unknown(id))?;
        Ok(run)
    }

    /// Does something to a run. `turn` is what was done in its conversation.
    pub async fn control_run(
        &self,
        principal: &Principal,
        id: &str,
        control: Control,
        turn: Option<Turn>,
    ) -> Result<Controlled> {
        let run = self.run_for(principal, Verb::Manage, id).await?;
        let by = principal.name.clone();
        let brought = match &control {
            Control::Cancel { undo } => self.cancel_with(id, &format!("cancelled by {by}"), turn, *undo).await?,
            Control::RetryFrom(step) => {
                let step = step.clone();
                self.bring(id, move |flow, _, journal| retry_from(flow, journal, &step)).await?
            }
            control => {
                let control = control.clone();
                self.bring(id, move |flow, run, journal| {
                    if !run.is_open {
                        return Err(over(run));
                    }
                    let nudge = apply(flow, journal, &control, &by)?;
                    Ok(Nudge { turn: turn.clone(), always: true, ..nudge })
                })
                .await?
            }
        };
        // Nothing came of it: it had ended.
        let Some(brought) = brought else {
            let now = self.store().run(id).await?.unwrap_or(run);
            return match control {
                Control::Cancel { .. } if now.status == ExecutionStatus::Cancelled => {
                    Ok(Controlled { in_flight: self.in_flight(id).await?, receipt: None })
                }
                _ => Err(over(&now)),
            };
        };
        let in_flight = match control {
            Control::Cancel { .. } => self.in_flight(id).await?,
            _ => Vec::new(),
        };
        Ok(Controlled { in_flight, receipt: brought.receipt })
    }

    /// Ends a run without asking who may.
    pub(in crate::engine) async fn cancel_run(&self, id: &str, why: &str) -> Result<()> {
        self.cancel_with(id, why, None, false).await.map(|_| ())
    }

    /// Steps whose effect had begun when they were cancelled. What began while the cancellation was on its way is known to
    /// the database alone.
    async fn in_flight(&self, id: &str) -> Result<Vec<String>> {
        let rows = self.store().steps(id).await?;
        let begun = rows.into_iter().filter(|row| row.status == "cancelled" && row.intent.is_some());
        Ok(begun.map(|row| row.path).collect())
    }

    async fn cancel_with(&self, id: &str, why: &str, turn: Option<Turn>, undo: bool) -> Result<Option<Brought>> {
        let why = why.to_owned();
        let now = self.clock().now();
        let brought = self
            .bring(id, move |_, run, journal| {
                let undoes = journal.halted.as_ref().is_some_and(|fault| fault.code == UNDOING);
                if !run.is_open || (undo && undoes) {
                    return Ok(Nudge::default());
                }
                let mut effects = plan::Effects::default();
                cancel_below(journal, "", now, &mut effects);
                if undo {
                    // Planned once this is committed: only then it is certain what had begun.
                    journal.halted = Some(Fault::new(UNDOING, why.clone()));
                    journal.wish = Wish::Run;
                    return Ok(Nudge { effects, later: true, always: true, turn: turn.clone(), ..Nudge::default() });
                }
                journal.wish = Wish::Cancel;
                let ended = Ended {
                    status: ExecutionStatus::Cancelled,
                    output: Value::Null,
                    error: Some(Fault::new("cancelled", why.clone())),
                };
                Ok(Nudge { effects, ended: Some(ended), turn: turn.clone(), ..Nudge::default() })
            })
            .await?;
        // What it started ends with it.
        if let Some(brought) = &brought {
            for row in brought.journal.rows.values() {
                if let (StepStatus::Cancelled, Some(child)) = (row.status, row.data["child"].as_str()) {
                    let why = "the run that started it was cancelled";
                    Box::pin(self.cancel_with(child, why, None, undo)).await?;
                }
            }
        }
        Ok(brought)
    }

    /// Goes on with another document. Refused when a step that has begun means something else in it.
    pub async fn edit_run(
        &self,
        principal: &Principal,
        id: &str,
        document: crate::manifest::flow::Document,
    ) -> Result<()> {
        self.run_for(principal, Verb::Manage, id).await?;
        let found = super::start::found(document, "command", String::new());
        let brought = self
            .bring(id, move |flow, run, journal| {
                if journal.wish != Wish::Pause || !run.is_open {
                    let message = "a run is edited while it is paused";
                    return Err(Error::conflict("EXECUTION_NOT_PAUSED", message));
                }
                let changed = changed_steps(flow, &found.flow, journal);
                if !changed.is_empty() {
                    let message = format!("steps that have begun would mean something else: {}", changed.join(", "));
                    return Err(Error::conflict("STEP_CHANGED", message).details(json!({ "steps": changed })));
                }
                let definition = NewDefinition { ..found.definition.clone() };
                Ok(Nudge { definition: Some((definition, found.flow.clone())), always: true, ..Nudge::default() })
            })
            .await?;
        brought.map(|_| ()).ok_or_else(|| unknown(id))
    }
}

/// What came of a control.
#[derive(Debug)]
pub struct Controlled {
    /// Steps whose effect had begun before a cancellation; their results are thrown away.
    pub in_flight: Vec<String>,
    pub receipt: Option<crate::store::log::Receipt>,
}

fn apply(flow: &Flow, journal: &mut Journal, control: &Control, by: &str) -> Result<Nudge> {
    let mut nudge = Nudge::default();
    match control {
        Control::Pause => {
            if journal.wish == Wish::Run {
                journal.wish = Wish::Pause;
            }
        }
        Control::Resume => {
            if let Some(row) = journal.rows.values().find(|row| row.status == StepStatus::Uncertain) {
                let message = format!("say first what became of step {}", row.path);
                return Err(Error::conflict("STEP_UNCERTAIN", message).details(json!({ "step": row.path })));
            }
            if journal.wish == Wish::Pause {
                journal.wish = Wish::Run;
            }
        }
        Control::Skip => skip(flow, journal, &mut nudge),
        Control::SkipBack => skip_back(flow, journal, &mut nudge),
        Control::Resolve { path, resolution } => resolve(journal, path.as_deref(), resolution, by, &mut nudge)?,
        Control::Cancel { .. } | Control::RetryFrom(_) => {}
    }
    Ok(nudge)
}

fn skip(flow: &Flow, journal: &mut Journal, nudge: &mut Nudge) {
    let is_open = |row: &&Row| {
        matches!(row.status, StepStatus::Ready | StepStatus::Running | StepStatus::Waiting | StepStatus::Uncertain)
    };
    let open: Vec<String> = journal.rows.values().filter(is_open).map(|row| row.path.clone()).collect();
    let paths = if open.is_empty() {
        // Nothing is under way: what would come next is passed over.
        let mut looked = Journal { wish: Wish::Pause, ..journal.clone() };
        let at = journal.started_at;
        plan::advance(flow, &mut looked, plan::Outcomes::new(), at).next.into_iter().collect()
    } else {
        open
    };
    for path in paths {
        let position = journal.next_position();
        let row = journal
            .rows
            .entry(path.clone())
            .or_insert_with(|| Row::new(path.clone(), StepStatus::Pending, position, 0));
        row.status = StepStatus::Skipped;
        row.error = None;
        row.ready_at = None;
        row.deadline = None;
        row.finished_at = row.started_at;
        nudge.effects.touched.push(path.clone());
        nudge.effects.fenced.insert(path);
    }
}

/// The place at the top of the document that a run has come to.
fn current(flow: &Flow, journal: &Journal) -> usize {
    let settled = |step: &Step| journal.rows.get(&step.id).is_some_and(|row| row.status.is_final());
    flow.steps.iter().take_while(|step| settled(step)).count()
}

fn skip_back(flow: &Flow, journal: &mut Journal, nudge: &mut Nudge) {
    let current = current(flow, journal);
    let first = current.saturating_sub(1);
    for step in flow.steps.iter().skip(first).take(current - first + 1) {
        reset_below(journal, &step.id, &mut nudge.effects);
    }
}

fn resolve(
    journal: &mut Journal,
    path: Option<&str>,
    resolution: &Resolution,
    by: &str,
    nudge: &mut Nudge,
) -> Result<()> {
    let uncertain = journal.rows.values().filter(|row| row.status == StepStatus::Uncertain);
    let row = uncertain.into_iter().find(|row| path.is_none_or(|path| row.path == path));
    let path = row.map(|row| row.path.clone()).ok_or_else(|| {
        Error::conflict("STEP_NOT_UNCERTAIN", "there is no step of which nobody knows what became of it")
    })?;
    nudge.effects.touched.push(path.clone());
    nudge.effects.fenced.insert(path.clone());
    match resolution {
        Resolution::Happened(output) => {
            let output = if output.is_null() { json!({ "confirmed_by": by }) } else { output.clone() };
            nudge.outcomes.insert(path, Ok(output));
        }
        Resolution::Fail => {
            let fault = Fault::new("uncertain", format!("{by} says that it has failed"));
            nudge.outcomes.insert(path, Err(fault));
        }
        Resolution::Retry => {
            if let Some(row) = journal.rows.get_mut(&path) {
                row.status = StepStatus::Ready;
                row.ready_at = Some(0);
                row.intent = None;
                row.deadline = None;
                if !row.data["call"].is_null() {
                    row.input = row.data["call"].take();
                }
                row.data["phase"] = json!("call");
            }
        }
        Resolution::Skip => {
            if let Some(row) = journal.rows.get_mut(&path) {
                row.status = StepStatus::Skipped;
                row.error = None;
                row.finished_at = row.started_at;
            }
        }
    }
    let others =
        journal.rows.values().any(|row| row.status == StepStatus::Uncertain && !nudge.outcomes.contains_key(&row.path));
    if !others && journal.wish == Wish::Pause {
        journal.wish = Wish::Run;
    }
    Ok(())
}

fn retry_from(flow: &Flow, journal: &mut Journal, step: &str) -> Result<Nudge> {
    let first = step.split(['.', '[']).next().unwrap_or(step);
    let index = flow.steps.iter().position(|step| step.id == first).ok_or_else(|| {
        Error::new(Kind::Invalid, "STEP_NOT_FOUND", format!("there is no step '{first}' at the top of this run"))
            .details(json!({ "step": first }))
    })?;
    if index > current(flow, journal) {
        return Err(Error::conflict("STEP_NOT_REACHED", format!("the run has not come to step '{first}' yet")));
    }
    let mut nudge = Nudge { reopens: true, always: true, ..Nudge::default() };
    for step in flow.steps.iter().skip(index) {
        reset_below(journal, &step.id, &mut nudge.effects);
    }
    for rest in ["on_error", "finally"] {
        let begun: Vec<String> = journal.rows.keys().filter(|path| is_below(path, rest)).cloned().collect();
        begun.iter().for_each(|path| reset_below(journal, path, &mut nudge.effects));
    }
    journal.halted = None;
    journal.wish = Wish::Run;
    Ok(nudge)
}

/// Steps that have begun and are others in another document.
fn changed_steps(before: &Flow, after: &Flow, journal: &Journal) -> Vec<String> {
    let shape = |step: &Step| {
        // What stands below a step may change as long as it has not begun.
        let mut own = Step { finally: Vec::new(), ..step.clone() };
        own.name.clear();
        if let crate::flow::OnError::Steps(steps) = &mut own.on_error {
            steps.clear();
        }
        match &mut own.verb {
            crate::flow::Verb::Steps(steps) => steps.clear(),
            crate::flow::Verb::Switch(cases) => cases.iter_mut().for_each(|case| case.steps.clear()),
            crate::flow::Verb::Parallel { branches, .. } => branches.iter_mut().for_each(|(_, steps)| steps.clear()),
            _ => {}
        }
        format!("{own:?}")
    };
    let shapes = |flow: &Flow| -> std::collections::BTreeMap<String, String> {
        outline(flow, journal).iter().map(|line| (line.path.clone(), shape(line.step))).collect()
    };
    let (before, after) = (shapes(before), shapes(after));
    let begun = journal.rows.values().filter(|row| row.status != StepStatus::Pending && !row.path.contains('~'));
    begun.filter(|row| before.get(&row.path) != after.get(&row.path)).map(|row| row.path.clone()).collect()
}
