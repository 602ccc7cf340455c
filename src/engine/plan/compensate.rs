//! Taking back what was done, newest first.

use serde_json::{Value, json};

use super::journal::{Fault, Row, StepStatus, is_below};
use super::leaf::WORKER_LOST;
use super::walk::{End, State, Walk};
use crate::flow::{Call, Effect, Retry};

/// How often an undo is tried.
const TRIES: i64 = 3;

/// Whether there is something to undo: it succeeded, or it was cancelled when it had begun.
fn may_have_happened(row: &Row) -> bool {
    let had_begun = row.intent.is_some() || row.data["phase"] == "probe";
    row.status == StepStatus::Succeeded || (row.status == StepStatus::Cancelled && had_begun)
}

impl Walk<'_> {
    /// Keeps how a call is undone: for now without its result, which nobody may ever hear of, and once it has one with it.
    pub(super) fn keep_undo(&mut self, undo: &Call, path: &str, result: Option<&Value>) {
        let value = result.map(|result| self.scope.put("result", result.clone()));
        let filled = self.filled(undo);
        if let Some(value) = value {
            self.scope.take_back(value);
        }
        let undo = match filled {
            Ok(undo) => undo,
            Err(why) if result.is_some() => json!({ "error": why }),
            // It cannot be undone without its result.
            Err(_) => return,
        };
        self.change(path, |row| row.data["undo"] = undo);
    }

    /// What a step that is named by its id means at a place: within a loop, the pass that the place is in.
    pub(super) fn target(&self, id: &str, at: &str) -> String {
        let last = |path: &str| {
            path.rsplit(['.', '~']).next().map(|part| part.split('[').next().unwrap_or_default().to_owned())
        };
        let mut found: Vec<&String> =
            self.journal.rows.keys().filter(|path| last(path).as_deref() == Some(id)).collect();
        // The nearest one: it shares the longest beginning.
        let shared = |path: &str| path.chars().zip(at.chars()).take_while(|(a, b)| a == b).count();
        found.sort_by_key(|path| std::cmp::Reverse(shared(path)));
        let around = found.iter().filter(|path| is_below(at, path)).max_by_key(|path| path.len());
        around.or(found.first()).map_or_else(|| format!("{id}~none"), |path| (*path).clone())
    }

    /// Undoes what was done below a path, one after the other.
    pub(super) fn compensate(&mut self, target: &str, by: &str) -> State {
        let mut done: Vec<(i64, String, Value)> = self
            .journal
            .rows
            .values()
            .filter(|row| is_below(&row.path, target) && row.data["undo"].is_object() && may_have_happened(row))
            .map(|row| (row.position, row.path.clone(), row.data["undo"].clone()))
            .collect();
        done.sort_by_key(|(position, _, _)| std::cmp::Reverse(*position));
        let mut undone = Vec::new();
        for (_, path, undo) in done {
            let own = format!("{path}~undo");
            match self.undo(&own, undo, by) {
                State::Done(End::Succeeded(_) | End::Skipped) => undone.push(path),
                State::Done(End::Failed(fault)) => {
                    let message = format!("{path} could not be undone: {}", fault.message);
                    return State::Done(End::Failed(Fault {
                        details: json!({ "step": path }),
                        ..Fault::new("undo_failed", message)
                    }));
                }
                other => return other,
            }
        }
        State::Done(End::Succeeded(json!({ "undone": undone })))
    }

    fn undo(&mut self, path: &str, undo: Value, by: &str) -> State {
        let row = self.journal.rows.get(path).cloned();
        let Some(row) = row.filter(|row| row.status != StepStatus::Pending) else {
            if !self.may_start {
                self.effects.next.get_or_insert_with(|| path.to_owned());
                return State::Open;
            }
            if let Some(why) = undo["error"].as_str() {
                return self.fail(path, Fault::new("expression_failed", format!("undo: {why}")));
            }
            self.put_down(path, undo, Effect::Idempotent, 5 * 60 * 1000);
            self.change(path, |row| row.data = json!({ "phase": "call", "by": by }));
            return State::Open;
        };
        match row.status {
            StepStatus::Succeeded => return State::Done(End::Succeeded(Value::Null)),
            StepStatus::Skipped => return State::Done(End::Skipped),
            StepStatus::Failed | StepStatus::Cancelled => {
                return State::Done(End::Failed(
                    row.error.unwrap_or_else(|| Fault::new("cancelled", "it was cancelled")),
                ));
            }
            _ => {}
        }
        match self.outcomes.remove(path) {
            None => State::Open,
            Some(Ok(output)) => self.succeed(path, output),
            Some(Err(fault)) if fault.code == WORKER_LOST || row.tries + 1 < TRIES => {
                let tries = row.tries + i64::from(fault.code != WORKER_LOST);
                let ready_at = self.now + Retry { initial: 1000, ..Retry::default() }.pause(tries, 0.5);
                self.change(path, |row| {
                    row.status = StepStatus::Ready;
                    row.tries = tries;
                    row.intent = None;
                    row.deadline = None;
                    row.ready_at = Some(ready_at);
                });
                State::Open
            }
            Some(Err(fault)) => self.fail(path, fault),
        }
    }
}
