//! A document from its first step to its end, and how it ends.

use serde_json::{Map, Value};

use super::Ended;
use super::journal::{Fault, UNDOING};
use super::walk::{End, State, Walk};
use crate::model::execution::ExecutionStatus;

impl Walk<'_> {
    pub(super) fn run(&mut self) {
        let flow = self.flow;
        if let Some(fault) = self.journal.halted.clone().filter(|fault| fault.code == UNDOING) {
            return self.take_back(fault);
        }
        let main = match self.journal.halted.clone() {
            Some(fault) => State::Done(End::Failed(fault)),
            None => self.list(&flow.steps, ""),
        };
        let State::Done(mut end) = main else { return };
        if let End::Failed(fault) = &end {
            self.scope.set_status("failed");
            let value = self.scope.put("error", fault.value());
            let handled = self.list(&flow.on_error, "on_error");
            self.scope.take_back(value);
            match handled {
                State::Open => return,
                // The run has failed all the same; what went wrong first is what is told.
                State::Done(_) => {}
            }
        }
        let (status, error) = match &end {
            End::Failed(fault) => ("failed", fault.value()),
            End::Cancelled(reason) => ("cancelled", Fault::new("cancelled", reason).value()),
            End::Succeeded(_) | End::Skipped => ("completed", Value::Null),
        };
        self.scope.set_status(status);
        let value = self.scope.put("error", error);
        let finally = self.list(&flow.finally, "finally");
        self.scope.take_back(value);
        match finally {
            State::Open => return,
            State::Done(End::Failed(fault)) if !matches!(end, End::Failed(_)) => end = End::Failed(fault),
            State::Done(_) => {}
        }
        self.effects.ended = Some(match end {
            End::Failed(fault) => Ended { status: ExecutionStatus::Failed, output: Value::Null, error: Some(fault) },
            End::Cancelled(reason) => Ended {
                status: ExecutionStatus::Cancelled,
                output: Value::Null,
                error: Some(Fault::new("cancelled", reason)),
            },
            End::Succeeded(outputs) => self.outputs(outputs),
            End::Skipped => self.outputs(Value::Null),
        });
    }

    fn outputs(&self, steps: Value) -> Ended {
        let completed = |output| Ended { status: ExecutionStatus::Completed, output, error: None };
        if self.flow.outputs.is_empty() {
            return completed(steps);
        }
        let mut outputs = Map::new();
        for (name, template) in &self.flow.outputs {
            match self.evaluator.fill(template, &self.scope.values) {
                Ok(value) => outputs.insert(name.clone(), value),
                Err(why) => {
                    let fault = Fault::new("expression_failed", format!("output {name}: {why}"));
                    return Ended { status: ExecutionStatus::Failed, output: Value::Null, error: Some(fault) };
                }
            };
        }
        completed(Value::Object(outputs))
    }

    /// A run that was cancelled and is to be taken back: it ends when everything is undone, or cannot be.
    fn take_back(&mut self, why: Fault) {
        let message = match self.compensate("", "~cancel") {
            State::Open => return,
            State::Done(End::Failed(fault)) => format!("{}; {}", why.message, fault.message),
            State::Done(_) => why.message,
        };
        let error = Some(Fault::new("cancelled", message));
        self.effects.ended = Some(Ended { status: ExecutionStatus::Cancelled, output: Value::Null, error });
    }
}
