//! The values that expressions see at a place in a run.

use serde_json::{Map, Value, json};

use super::journal::{Fault, Journal, Row, StepStatus};
use crate::clock::rfc3339;

/// Grows while the document is walked: what has ended so far is in it.
pub(super) struct Scope {
    pub(super) values: Map<String, Value>,
    /// Ids of steps in the order in which they came in.
    seen: Vec<String>,
}

impl Scope {
    pub(super) fn new(journal: &Journal) -> Self {
        let mut values = Map::new();
        let execution = json!({
            "id": journal.execution, "status": "running", "metadata": journal.metadata,
            "started_at": rfc3339(journal.started_at),
        });
        values.insert("inputs".into(), journal.inputs.clone());
        values.insert("vars".into(), Value::Object(journal.vars.clone()));
        values.insert("steps".into(), json!({}));
        values.insert("execution".into(), execution);
        values.insert("user".into(), journal.user.clone());
        values.insert("trigger".into(), journal.trigger.clone());
        Self { values, seen: Vec::new() }
    }

    pub(super) fn set_status(&mut self, status: &str) {
        self.values["execution"]["status"] = json!(status);
    }

    pub(super) fn set_vars(&mut self, vars: &Map<String, Value>) {
        self.values.insert("vars".into(), Value::Object(vars.clone()));
    }

    fn steps(&mut self) -> Option<&mut Map<String, Value>> {
        self.values.get_mut("steps").and_then(Value::as_object_mut)
    }

    /// What became of a step.
    pub(super) fn saw(&mut self, id: &str, row: Option<&Row>) {
        let entry = match row {
            Some(row) => {
                let mut entry = json!({
                    "status": row.status.shown(),
                    "skipped": row.status == StepStatus::Skipped,
                    "failed": row.status == StepStatus::Failed,
                    "output": row.output,
                    "error": row.error.as_ref().map(Fault::value),
                });
                if let Some(errors) = row.data.get("errors") {
                    entry["errors"] = errors.clone();
                }
                entry
            }
            None => json!({ "status": "skipped", "skipped": true, "failed": false, "output": null, "error": null }),
        };
        if let Some(steps) = self.steps() {
            steps.insert(id.to_owned(), entry);
        }
        self.seen.push(id.to_owned());
    }

    pub(super) fn mark(&self) -> usize {
        self.seen.len()
    }

    /// Forgets the steps that were seen since; answers them.
    pub(super) fn forget(&mut self, mark: usize) -> Vec<(String, Value)> {
        let ids: Vec<String> = self.seen.drain(mark..).collect();
        let Some(steps) = self.steps() else { return Vec::new() };
        ids.into_iter().filter_map(|id| steps.remove(&id).map(|entry| (id, entry))).collect()
    }

    pub(super) fn remember(&mut self, entries: Vec<(String, Value)>) {
        for (id, entry) in entries {
            if let Some(steps) = self.steps() {
                steps.insert(id.clone(), entry);
            }
            self.seen.push(id);
        }
    }

    /// Does something where further names have values.
    pub(super) fn put(&mut self, name: &str, value: Value) -> (String, Option<Value>) {
        let before = self.values.insert(name.to_owned(), value);
        (name.to_owned(), before)
    }

    pub(super) fn take_back(&mut self, (name, before): (String, Option<Value>)) {
        match before {
            Some(value) => self.values.insert(name, value),
            None => self.values.remove(&name),
        };
    }
}
