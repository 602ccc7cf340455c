//! The walk over a document: lists, branches and loops.

use serde_json::{Map, Value, json};

use super::journal::{Fault, Journal, Row, StepStatus};
use super::scope::Scope;
use super::{Effects, Outcomes, cancel_below};
use crate::expression::Evaluator;
use crate::flow::{Flow, ForEach, LoopError, OnError, Step, Verb, While};
use crate::model::conversation::Millis;

/// The most items of one loop.
const MOST_ITEMS: usize = 10_000;

/// How something ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    Succeeded(Value),
    Skipped,
    Failed(Fault),
    /// The document says that the run ends here.
    Cancelled(String),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    Open,
    Done(End),
}

pub(super) struct Walk<'a> {
    pub(super) flow: &'a Flow,
    pub(super) journal: &'a mut Journal,
    pub(super) outcomes: Outcomes,
    pub(super) now: Millis,
    pub(super) evaluator: Evaluator,
    pub(super) scope: Scope,
    pub(super) may_start: bool,
    pub(super) effects: Effects,
}

fn join(prefix: &str, id: &str) -> String {
    if prefix.is_empty() { id.to_owned() } else { format!("{prefix}.{id}") }
}

impl Walk<'_> {
    /// Steps one after the other. Their result is an object of what they gave, by id.
    pub(super) fn list(&mut self, steps: &[Step], prefix: &str) -> State {
        let mut outputs = Map::new();
        for step in steps {
            match self.step(step, &join(prefix, &step.id)) {
                State::Open => return State::Open,
                State::Done(End::Succeeded(output)) => {
                    if !output.is_null() {
                        outputs.insert(step.id.clone(), output);
                    }
                }
                State::Done(End::Skipped) => {}
                State::Done(end) => return State::Done(end),
            }
        }
        State::Done(End::Succeeded(Value::Object(outputs)))
    }

    /// One step with everything that is said about it.
    fn step(&mut self, step: &Step, path: &str) -> State {
        let State::Done(end) = self.whole(step, path) else { return State::Open };
        // A loop deals with the failures of each item itself.
        let settled = if step.for_each.is_some() { State::Done(end) } else { self.settle(step, path, end) };
        let settled = match settled {
            State::Done(end) => self.last(step, path, end),
            State::Open => State::Open,
        };
        if let State::Done(_) = &settled {
            let row = self.journal.rows.get(path);
            self.scope.saw(&step.id, row);
        }
        settled
    }

    /// What is done about a failure.
    fn settle(&mut self, step: &Step, path: &str, end: End) -> State {
        let End::Failed(fault) = end else { return State::Done(end) };
        match &step.on_error {
            OnError::Abort => State::Done(End::Failed(fault)),
            OnError::Continue => State::Done(End::Succeeded(Value::Null)),
            OnError::Rollback => match self.compensate("", &format!("{path}~rollback")) {
                State::Open => State::Open,
                State::Done(_) => State::Done(End::Failed(fault)),
            },
            OnError::Steps(steps) => {
                let value = self.scope.put("error", fault.value());
                let handled = self.list(steps, &format!("{path}.on_error"));
                self.scope.take_back(value);
                match handled {
                    State::Done(End::Succeeded(_) | End::Skipped) => State::Done(End::Succeeded(Value::Null)),
                    other => other,
                }
            }
        }
    }

    fn last(&mut self, step: &Step, path: &str, end: End) -> State {
        if step.finally.is_empty() || end == End::Skipped {
            return State::Done(end);
        }
        let error = match &end {
            End::Failed(fault) => fault.value(),
            _ => Value::Null,
        };
        let value = self.scope.put("error", error);
        let finally = self.list(&step.finally, &format!("{path}.finally"));
        self.scope.take_back(value);
        match finally {
            State::Open => State::Open,
            State::Done(failed @ (End::Failed(_) | End::Cancelled(_))) => State::Done(failed),
            State::Done(_) => State::Done(end),
        }
    }

    /// What a row that has ended means to the steps around it.
    pub(super) fn ended(row: &Row, verb: &Verb) -> Option<End> {
        Some(match row.status {
            StepStatus::Succeeded => match (verb, row.data.get("cancel")) {
                (Verb::Cancel { .. }, Some(reason)) => End::Cancelled(reason.as_str().unwrap_or_default().to_owned()),
                _ => End::Succeeded(row.output.clone()),
            },
            StepStatus::Skipped => End::Skipped,
            StepStatus::Failed => End::Failed(row.error.clone().unwrap_or_default()),
            StepStatus::Cancelled => End::Failed(Fault::new("cancelled", "it was cancelled")),
            _ => return None,
        })
    }

    /// A step with its condition and its loop.
    fn whole(&mut self, step: &Step, path: &str) -> State {
        if let Some(row) = self.journal.rows.get(path)
            && let Some(end) = Self::ended(row, &step.verb)
        {
            return State::Done(end);
        }
        let begun = self.journal.rows.get(path).is_some_and(|row| row.status != StepStatus::Pending);
        if !begun {
            if !self.may_start {
                self.effects.next.get_or_insert_with(|| path.to_owned());
                return State::Open;
            }
            if let Some(condition) = &step.condition {
                match self.evaluator.holds(condition, &self.scope.values) {
                    Ok(true) => {}
                    Ok(false) => {
                        self.begin(path, StepStatus::Skipped);
                        return State::Done(End::Skipped);
                    }
                    Err(why) => return self.fail(path, Fault::new("expression_failed", format!("if: {why}"))),
                }
            }
        }
        if let Some(over) = self.is_late(step, path) {
            return over;
        }
        match (&step.for_each, &step.repeat) {
            (Some(each), _) => self.each(step, each, path),
            (None, Some(repeat)) => self.repeat(step, repeat, path),
            (None, None) => self.verb(step, path),
        }
    }

    /// A container whose time is over fails with everything in it.
    fn is_late(&mut self, step: &Step, path: &str) -> Option<State> {
        let row = self.journal.rows.get(path)?;
        if row.status != StepStatus::Active || row.deadline.is_none_or(|deadline| deadline > self.now) {
            return None;
        }
        cancel_below(self.journal, path, self.now, &mut self.effects);
        let limit = step.timeout.map(crate::flow::write_duration).unwrap_or_default();
        Some(self.fail(path, Fault::new("timeout", format!("it was not done within {limit}"))))
    }

    /// A row for a step that begins now.
    pub(super) fn begin(&mut self, path: &str, status: StepStatus) -> &mut Row {
        let position = self.journal.next_position();
        let mut row = Row::new(path, status, position, self.now);
        if let Some(before) = self.journal.rows.get(path) {
            (row.round, row.fence) = (before.round, before.fence);
        }
        self.effects.touched.push(path.to_owned());
        self.journal.rows.entry(path.to_owned()).insert_entry(row).into_mut()
    }

    /// Changes a row that is there.
    pub(super) fn change(&mut self, path: &str, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.journal.rows.get_mut(path) {
            change(row);
            self.effects.touched.push(path.to_owned());
        }
    }

    pub(super) fn succeed(&mut self, path: &str, output: Value) -> State {
        let now = self.now;
        self.change(path, |row| {
            row.status = StepStatus::Succeeded;
            row.output = output.clone();
            row.ready_at = None;
            row.deadline = None;
            row.finished_at = Some(now);
        });
        State::Done(End::Succeeded(output))
    }

    pub(super) fn fail(&mut self, path: &str, mut fault: Fault) -> State {
        if fault.step.is_empty() {
            path.clone_into(&mut fault.step);
        }
        if !self.journal.rows.contains_key(path) || self.journal.rows[path].status == StepStatus::Pending {
            self.begin(path, StepStatus::Active);
        }
        let now = self.now;
        self.change(path, |row| {
            row.status = StepStatus::Failed;
            row.error = Some(fault.clone());
            row.ready_at = None;
            row.deadline = None;
            row.finished_at = Some(now);
        });
        State::Done(End::Failed(fault))
    }

    /// A row for something with steps below it; true when it has just begun.
    pub(super) fn open(&mut self, step: &Step, path: &str) -> bool {
        if self.journal.rows.get(path).is_some_and(|row| row.status != StepStatus::Pending) {
            return false;
        }
        let deadline = step.timeout.map(|timeout| self.now.saturating_add(timeout));
        self.begin(path, StepStatus::Active).deadline = deadline;
        true
    }

    /// What a container hands on: what is written as its output, or else what came of its steps.
    pub(super) fn close(&mut self, step: &Step, path: &str, result: Value) -> State {
        let output = match &step.output {
            None => Ok(result),
            Some(template) => {
                let value = self.scope.put("result", result);
                let filled = self.evaluator.fill(template, &self.scope.values);
                self.scope.take_back(value);
                filled
            }
        };
        match output {
            Ok(output) => self.succeed(path, output),
            Err(why) => self.fail(path, Fault::new("expression_failed", format!("output: {why}"))),
        }
    }

    /// Hands the end of the steps in a container on as its own.
    pub(super) fn contain(&mut self, step: &Step, path: &str, state: State) -> State {
        match state {
            State::Open => State::Open,
            State::Done(End::Succeeded(outputs)) => self.close(step, path, outputs),
            State::Done(End::Skipped) => self.close(step, path, Value::Null),
            State::Done(End::Failed(fault)) => self.fail(path, fault),
            State::Done(End::Cancelled(reason)) => {
                self.change(path, |row| row.status = StepStatus::Cancelled);
                State::Done(End::Cancelled(reason))
            }
        }
    }

    fn each(&mut self, step: &Step, each: &ForEach, path: &str) -> State {
        if self.open(step, path) {
            let items = match self.evaluator.value(&each.items, &self.scope.values) {
                Ok(Value::Array(items)) if items.len() <= MOST_ITEMS => items,
                Ok(Value::Array(items)) => {
                    let message = format!("a loop takes at most {MOST_ITEMS} items, not {}", items.len());
                    return self.fail(path, Fault::new("loop_limit", message));
                }
                Ok(Value::Null) => Vec::new(),
                Ok(_) => return self.fail(path, Fault::new("expression_failed", "for_each: this is no list")),
                Err(why) => return self.fail(path, Fault::new("expression_failed", format!("for_each: {why}"))),
            };
            self.change(path, |row| row.data = json!({ "items": items }));
        }
        let items =
            self.journal.rows.get(path).and_then(|row| row.data["items"].as_array().cloned()).unwrap_or_default();
        let length = items.len();
        let (mut open, mut outputs, mut errors, mut first) = (0_i64, Vec::new(), Vec::new(), None);
        for (index, item) in items.into_iter().enumerate() {
            let inner = format!("{path}[{index}]");
            let begun = self.journal.rows.get(&inner).is_some_and(|row| row.status != StepStatus::Pending);
            // Items begin in their order, so what follows has not begun either.
            if !begun && (open >= each.concurrency || (first.is_some() && each.on_error == LoopError::FailFast)) {
                break;
            }
            let values = [
                self.scope.put(&each.name, item),
                self.scope.put("loop", json!({ "index": index, "index0": index, "first": index == 0, "last": index + 1 == length, "length": length })),
            ];
            let mark = self.scope.mark();
            let state = match self.item(step, &inner) {
                State::Done(end @ End::Failed(_)) => {
                    let failed = end.clone();
                    let settled = self.settle(step, &inner, end);
                    // What was dealt with is told, and no failure any more.
                    if let (State::Done(End::Succeeded(_)), End::Failed(fault)) = (&settled, &failed) {
                        errors.push(json!({ "index": index, "code": fault.code, "message": fault.message }));
                    }
                    settled
                }
                state => state,
            };
            self.scope.forget(mark);
            for value in values.into_iter().rev() {
                self.scope.take_back(value);
            }
            match state {
                State::Open => open += 1,
                State::Done(End::Succeeded(output)) => outputs.push(output),
                State::Done(End::Skipped) => outputs.push(Value::Null),
                State::Done(End::Failed(fault)) => {
                    errors.push(json!({ "index": index, "code": fault.code, "message": fault.message }));
                    outputs.push(Value::Null);
                    first.get_or_insert(fault);
                }
                State::Done(End::Cancelled(reason)) => {
                    cancel_below(self.journal, path, self.now, &mut self.effects);
                    return State::Done(End::Cancelled(reason));
                }
            }
        }
        if let (Some(fault), LoopError::FailFast) = (&first, each.on_error) {
            cancel_below(self.journal, path, self.now, &mut self.effects);
            let fault = fault.clone();
            self.change(path, |row| row.status = StepStatus::Active);
            return self.fail(path, fault);
        }
        if open > 0 {
            return State::Open;
        }
        self.change(path, |row| row.data["errors"] = Value::Array(errors));
        match first {
            Some(fault) => self.fail(path, fault),
            None => self.succeed(path, Value::Array(outputs)),
        }
    }

    /// One pass of a loop.
    fn item(&mut self, step: &Step, path: &str) -> State {
        if let Some(row) = self.journal.rows.get(path)
            && let Some(end) = Self::ended(row, &step.verb)
        {
            return State::Done(end);
        }
        let begun = self.journal.rows.get(path).is_some_and(|row| row.status != StepStatus::Pending);
        if !begun && !self.may_start {
            self.effects.next.get_or_insert_with(|| path.to_owned());
            return State::Open;
        }
        self.verb(step, path)
    }

    fn repeat(&mut self, step: &Step, repeat: &While, path: &str) -> State {
        if self.open(step, path) {
            self.change(path, |row| row.data = json!({ "n": 0, "last": null }));
        }
        loop {
            let Some(row) = self.journal.rows.get(path) else { return State::Open };
            let n = row.data["n"].as_i64().unwrap_or_default();
            let last = row.data["last"].clone();
            let inner = format!("{path}[{n}]");
            let value =
                self.scope.put("loop", json!({ "index": n, "index0": n, "first": n == 0, "last_result": last }));
            let begun = self.journal.rows.get(&inner).is_some_and(|row| row.status != StepStatus::Pending);
            let goes_on = if begun { Ok(true) } else { self.evaluator.holds(&repeat.condition, &self.scope.values) };
            let mark = self.scope.mark();
            let state = match goes_on {
                Ok(true) if n >= repeat.max => {
                    let message = format!("it was repeated {n} times and would go on");
                    Err(self.fail(path, Fault::new("loop_limit", message)))
                }
                Ok(true) => Ok(self.item(step, &inner)),
                Ok(false) => Err(self.close(step, path, json!({ "count": n, "last": last }))),
                Err(why) => Err(self.fail(path, Fault::new("expression_failed", format!("while: {why}")))),
            };
            self.scope.forget(mark);
            self.scope.take_back(value);
            match state {
                Err(over) => return over,
                Ok(State::Done(End::Succeeded(output))) => {
                    self.change(path, |row| row.data = json!({ "n": n + 1, "last": output }))
                }
                Ok(State::Done(End::Skipped)) => self.change(path, |row| row.data["n"] = json!(n + 1)),
                Ok(State::Done(End::Failed(fault))) => return self.fail(path, fault),
                Ok(other) => return other,
            }
        }
    }

    pub(super) fn parallel(
        &mut self,
        step: &Step,
        path: &str,
        branches: &[(String, Vec<Step>)],
        fail_fast: bool,
    ) -> State {
        self.open(step, path);
        let (mut open, mut outputs, mut first, mut seen) = (false, Map::new(), None, Vec::new());
        for (name, steps) in branches {
            if first.is_some() && fail_fast {
                break;
            }
            let mark = self.scope.mark();
            let state = self.list(steps, &format!("{path}.{name}"));
            seen.extend(self.scope.forget(mark));
            match state {
                State::Open => open = true,
                State::Done(End::Succeeded(output)) => {
                    outputs.insert(name.clone(), output);
                }
                State::Done(End::Skipped) => {}
                State::Done(End::Failed(fault)) => {
                    first.get_or_insert(fault);
                }
                State::Done(End::Cancelled(reason)) => {
                    cancel_below(self.journal, path, self.now, &mut self.effects);
                    return State::Done(End::Cancelled(reason));
                }
            }
        }
        match first {
            Some(fault) if fail_fast => {
                cancel_below(self.journal, path, self.now, &mut self.effects);
                self.change(path, |row| row.status = StepStatus::Active);
                self.fail(path, fault)
            }
            _ if open => State::Open,
            first => {
                self.scope.remember(seen);
                match first {
                    Some(fault) => self.fail(path, fault),
                    None => self.close(step, path, Value::Object(outputs)),
                }
            }
        }
    }

    /// Marks every step that will never begin as passed over, for expressions that ask.
    pub(super) fn pass_over(&mut self, steps: &[Step]) {
        for step in steps {
            self.scope.saw(&step.id, None);
        }
    }
}
