//! What comes next in a run, given its document and what has happened: pure.
//!
//! [`advance`] walks the document from its top, past everything that has ended, and starts what may start. Steps that
//! need nothing but values (`set`, `say`, a `switch`) are done on the way; work is put down for a worker. Nothing is
//! replayed: what a step decided stands in its row, so a document needs no rules about what its expressions may do.

mod compensate;
mod ending;
mod journal;
mod leaf;
mod outline;
mod scope;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

pub use journal::{Fault, Journal, Row, StepStatus, UNDOING, Wish, is_below};
pub use outline::{Outlined, outline};

use crate::expression::Evaluator;
use crate::flow::{Ask, Flow};
use crate::model::conversation::Millis;
use crate::model::execution::ExecutionStatus;

/// What a run says.
#[derive(Clone, Debug, PartialEq)]
pub struct Saying {
    pub path: String,
    pub message: crate::model::message::Message,
}

/// A question that was put just now.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub path: String,
    /// With its texts in place.
    pub ask: Ask,
}

/// A run that is started by another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    pub path: String,
    pub workflow: String,
    pub version: Option<String>,
    pub inputs: Map<String, Value>,
    /// Whether the step waits for its end.
    pub waits: bool,
}

/// A fact for whoever waits for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Emitted {
    pub topic: String,
    pub data: Value,
}

/// How a run ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    pub status: ExecutionStatus,
    pub output: Value,
    pub error: Option<Fault>,
}

/// What is to be committed together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// Rows that are new or different, in the order in which they changed.
    pub touched: Vec<String>,
    /// Rows that were taken from whoever had them.
    pub fenced: BTreeSet<String>,
    pub sayings: Vec<Saying>,
    pub questions: Vec<Question>,
    pub children: Vec<Child>,
    pub emitted: Vec<Emitted>,
    pub logged: Vec<(String, String, String)>,
    /// Steps of which nobody knows whether they happened, and nobody can find out without a person.
    pub unresolved: Vec<String>,
    /// What would start if something might.
    pub next: Option<String>,
    pub ended: Option<Ended>,
}

/// What came of a worker's work, by path.
pub type Outcomes = BTreeMap<String, Result<Value, Fault>>;

/// Brings a run further. `outcomes` are of rows that are running or whose time is over.
pub fn advance(flow: &Flow, journal: &mut Journal, outcomes: Outcomes, now: Millis) -> Effects {
    // What is taken back goes on to its end.
    let undoes = journal.halted.as_ref().is_some_and(|fault| fault.code == UNDOING);
    let debug_stop = journal.debug && !outcomes.is_empty() && !undoes;
    let may_start = journal.wish == Wish::Run && !debug_stop;
    let mut walk = walk::Walk {
        flow,
        scope: scope::Scope::new(journal),
        journal,
        outcomes,
        now,
        evaluator: Evaluator::new(now),
        may_start,
        effects: Effects::default(),
    };
    walk.run();
    let mut effects = walk.effects;
    if debug_stop && effects.ended.is_none() {
        journal.wish = Wish::Pause;
    }
    if !effects.unresolved.is_empty() && effects.ended.is_none() {
        journal.wish = Wish::Pause;
    }
    let mut seen = BTreeSet::new();
    effects.touched.retain(|path| seen.insert(path.clone()));
    effects
}

/// Ends every row below a path that has not ended.
pub fn cancel_below(journal: &mut Journal, path: &str, now: Millis, effects: &mut Effects) {
    for row in journal.rows.values_mut() {
        if is_below(&row.path, path) && !row.status.is_final() && row.status != StepStatus::Pending {
            row.status = StepStatus::Cancelled;
            row.finished_at = Some(now);
            effects.touched.push(row.path.clone());
            effects.fenced.insert(row.path.clone());
        }
    }
}

/// Takes back everything below a path, so that it begins again.
pub fn reset_below(journal: &mut Journal, path: &str, effects: &mut Effects) {
    for row in journal.rows.values_mut().filter(|row| is_below(&row.path, path)) {
        let fresh = Row::new(row.path.clone(), StepStatus::Pending, row.position, 0);
        *row = Row { round: row.round + 1, fence: row.fence, started_at: None, ..fresh };
        effects.touched.push(row.path.clone());
        effects.fenced.insert(row.path.clone());
    }
}

#[cfg(test)]
mod tests;
