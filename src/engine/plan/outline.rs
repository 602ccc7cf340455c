//! A run as people look at it: every step that will or may come, in order.

use super::journal::{Journal, Row, StepStatus, is_below};
use crate::flow::{Flow, OnError, Step, Verb};

/// One line of it.
#[derive(Clone, Debug)]
pub struct Outlined<'a> {
    pub path: String,
    pub step: &'a Step,
    /// None before it has begun.
    pub row: Option<&'a Row>,
    /// How many steps stand around it.
    pub depth: usize,
}

impl Outlined<'_> {
    pub fn status(&self) -> StepStatus {
        self.row.map_or(StepStatus::Pending, |row| row.status)
    }
}

/// Every step of a run in the order of its document. Loops show the passes that have begun, handlers of errors only what
/// has begun of them.
pub fn outline<'a>(flow: &'a Flow, journal: &'a Journal) -> Vec<Outlined<'a>> {
    let mut lines = Vec::new();
    list(&flow.steps, "", 0, journal, &mut lines);
    if journal.rows.keys().any(|path| is_below(path, "on_error")) {
        list(&flow.on_error, "on_error", 0, journal, &mut lines);
    }
    list(&flow.finally, "finally", 0, journal, &mut lines);
    lines
}

fn list<'a>(steps: &'a [Step], prefix: &str, depth: usize, journal: &'a Journal, lines: &mut Vec<Outlined<'a>>) {
    for step in steps {
        let path = if prefix.is_empty() { step.id.clone() } else { format!("{prefix}.{}", step.id) };
        line(step, &path, depth, journal, lines);
    }
}

fn line<'a>(step: &'a Step, path: &str, depth: usize, journal: &'a Journal, lines: &mut Vec<Outlined<'a>>) {
    let row = journal.rows.get(path).filter(|row| row.status != StepStatus::Pending);
    lines.push(Outlined { path: path.to_owned(), step, row, depth });
    if step.for_each.is_some() || step.repeat.is_some() {
        let mut index = 0;
        loop {
            let inner = format!("{path}[{index}]");
            let Some(row) = journal.rows.get(&inner).filter(|row| row.status != StepStatus::Pending) else { break };
            lines.push(Outlined { path: inner.clone(), step, row: Some(row), depth: depth + 1 });
            below(step, &inner, depth + 2, journal, lines);
            handlers(step, &inner, depth + 2, journal, lines);
            index += 1;
        }
    } else {
        below(step, path, depth + 1, journal, lines);
    }
    handlers(step, path, depth + 1, journal, lines);
    let finally = format!("{path}.finally");
    if journal.rows.keys().any(|known| is_below(known, &finally)) {
        list(&step.finally, &finally, depth + 1, journal, lines);
    }
}

fn below<'a>(step: &'a Step, path: &str, depth: usize, journal: &'a Journal, lines: &mut Vec<Outlined<'a>>) {
    match &step.verb {
        Verb::Steps(steps) => list(steps, path, depth, journal, lines),
        Verb::Switch(cases) => {
            let chosen = journal.rows.get(path).map(|row| row.data["case"].as_u64());
            for (index, case) in cases.iter().enumerate() {
                // Before it is decided, everything may come.
                if chosen.is_none_or(|chosen| chosen == u64::try_from(index).ok()) {
                    list(&case.steps, path, depth, journal, lines);
                }
            }
        }
        Verb::Parallel { branches, .. } => {
            for (name, steps) in branches {
                list(steps, &format!("{path}.{name}"), depth, journal, lines);
            }
        }
        _ => {}
    }
}

fn handlers<'a>(step: &'a Step, path: &str, depth: usize, journal: &'a Journal, lines: &mut Vec<Outlined<'a>>) {
    let OnError::Steps(steps) = &step.on_error else { return };
    let prefix = format!("{path}.on_error");
    if journal.rows.keys().any(|known| is_below(known, &prefix)) {
        list(steps, &prefix, depth, journal, lines);
    }
}
