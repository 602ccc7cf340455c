//! Playbooks and workflows: YAML or JSON to [`Flow`].
//!
//! There is one form, `flow/v1`, and `read` understands it. Documents of the toolbox (`playbook`) and of the integration
//! layer (`workflow`) are first made into trees of that form whose nodes keep their places, so that a fault names the
//! line somebody wrote. `export` writes the form back as YAML.

use std::path::Path;

use serde_json::Value;

use super::fault::{Fault, Level};
use super::sheet::Sheet;
use super::yaml::{self, Entry, Kind, Node};
use crate::flow::{API_VERSION, Dialect, Flow};
use crate::model::id::sha256_hex;

mod check;
mod export;
mod playbook;
mod read;
mod references;
mod step;
mod workflow;

pub use export::yaml as to_yaml;

/// A document that was understood.
#[derive(Clone, Debug)]
pub struct Document {
    pub flow: Flow,
    /// The same in the one form, whatever form it was written in.
    pub value: Value,
    /// SHA-256 of that, hex: what a run is pinned to.
    pub hash: String,
    /// What somebody should look at.
    pub warnings: Vec<Fault>,
}

/// What is known about a document beside what stands in it.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// How faults name the file.
    pub file: &'a Path,
    /// The name of a document that has none of its own, such as `gateway/module_upgrade`.
    pub name: &'a str,
    /// What people read, for a document that does not say.
    pub title: &'a str,
}

/// Reads a document in any of the three forms. Errors are all its faults.
pub fn read(source: &str, about: About<'_>) -> Result<Document, Vec<Fault>> {
    let mut sheet = Sheet { file: about.file.to_owned(), source: source.to_owned(), faults: Vec::new() };
    match yaml::parse(source) {
        Ok(root) => understand(&mut sheet, root, about),
        Err(fault) => {
            sheet.error(fault.at, fault.message);
            Err(sheet.faults)
        }
    }
}

/// Reads a document that is kept as JSON, or was sent so.
pub fn read_value(value: &Value, about: About<'_>) -> Result<Document, Vec<Fault>> {
    let mut sheet = Sheet { file: about.file.to_owned(), source: String::new(), faults: Vec::new() };
    understand(&mut sheet, Node::from_value(value), about)
}

/// The steps of a command, in the words of its bot's file; `inputs` are the names of its parameters.
pub(super) fn read_steps(sheet: &mut Sheet, steps: &Node, about: About<'_>, inputs: &[String]) -> Option<Document> {
    let at = steps.at;
    let entry = |key: &str, value: Node| Entry { key: key.to_owned(), key_at: at, value };
    let map = |entries: Vec<Entry>| Node::made(Kind::Map(entries), at);
    let metadata = map(vec![
        entry("name", Node::text(about.name, at)),
        entry("title", Node::text(about.title, at)),
        entry("version", Node::text("1", at)),
    ]);
    let root = map(vec![
        entry("apiVersion", Node::text(API_VERSION, at)),
        entry("kind", Node::text("Playbook", at)),
        entry("metadata", metadata),
        entry("steps", steps.clone()),
    ]);
    let before = sheet.faults.len();
    let flow = read::flow(sheet, &root, Some(inputs))?;
    let fine = sheet.faults[before..].iter().all(|fault| fault.level != Level::Error);
    fine.then(|| document(flow, &root, Vec::new()))
}

/// The document of a command, with as many runs at the same time as the command says.
pub(super) fn limited(sheet: &mut Sheet, document: Document, written: &Node, inputs: &[String]) -> Document {
    let Some(concurrency) = read::concurrency_of_command(sheet, written, inputs) else { return document };
    let Document { mut flow, mut value, warnings, .. } = document;
    let mut member = serde_json::json!({
        "limit": concurrency.limit, "on_conflict": concurrency.on_conflict.as_str(),
    });
    if let Some(key) = &concurrency.key {
        member["key"] = Value::String(format!("${{{{ {key} }}}}"));
    }
    value["concurrency"] = member;
    flow.concurrency = Some(concurrency);
    Document { hash: sha256_hex(value.to_string().as_bytes()), flow, value, warnings }
}

fn understand(sheet: &mut Sheet, root: Node, about: About<'_>) -> Result<Document, Vec<Fault>> {
    let (root, dialect) = if root.get("apiVersion").is_some() || !matches!(root.kind, Kind::Map(_)) {
        (root, Dialect::Flow)
    } else if is_workflow(&root) {
        (workflow::convert(sheet, &root, about), Dialect::Workflow)
    } else {
        (playbook::convert(sheet, &root, about), Dialect::Playbook)
    };
    let flow = read::flow(sheet, &root, None).map(|flow| Flow { dialect, ..flow });
    sheet.faults.sort_by_key(|fault| (fault.line, fault.column));
    match flow {
        Some(flow) if !sheet.has_errors() => Ok(document(flow, &root, std::mem::take(&mut sheet.faults))),
        _ => Err(std::mem::take(&mut sheet.faults)),
    }
}

fn document(flow: Flow, root: &Node, warnings: Vec<Fault>) -> Document {
    let value = root.value();
    Document { hash: sha256_hex(value.to_string().as_bytes()), flow, value, warnings }
}

/// A workflow of the integration layer has steps with a `config`; a playbook's steps have an `id`.
fn is_workflow(root: &Node) -> bool {
    let Some(Node { kind: Kind::List(steps), .. }) = root.get("steps") else { return root.get("definition").is_some() };
    steps.first().is_some_and(|step| step.get("id").is_none() || step.get("config").is_some())
}

/// Building blocks for trees that are made from others.
struct Maker {
    at: super::yaml::Place,
}

impl Maker {
    fn text(&self, text: impl Into<String>) -> Node {
        Node::text(text, self.at)
    }

    fn value(&self, value: &Value) -> Node {
        place(Node::from_value(value), self.at)
    }

    fn entry(&self, key: &str, value: Node) -> Entry {
        Entry { key: key.to_owned(), key_at: value.at, value }
    }

    fn map(&self, entries: Vec<Entry>) -> Node {
        Node::made(Kind::Map(entries), self.at)
    }

    fn one(&self, key: &str, value: Node) -> Node {
        self.map(vec![self.entry(key, value)])
    }

    fn list(&self, items: Vec<Node>) -> Node {
        Node::made(Kind::List(items), self.at)
    }
}

/// Gives a tree that nobody wrote a place.
fn place(mut node: Node, at: super::yaml::Place) -> Node {
    node.at = at;
    match &mut node.kind {
        Kind::List(items) => items.iter_mut().for_each(|item| *item = place(item.clone(), at)),
        Kind::Map(entries) => entries.iter_mut().for_each(|entry| {
            entry.key_at = at;
            entry.value = place(entry.value.clone(), at);
        }),
        Kind::Empty | Kind::Scalar { .. } => {}
    }
    node
}

/// A name as ids are written: letters, digits and `_`.
fn identifier(name: &str) -> String {
    let mut out: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if out.starts_with(|c: char| c.is_ascii_digit()) || out.is_empty() {
        out.insert(0, '_');
    }
    out.truncate(64);
    out
}

/// A name as documents are named: small letters, digits, `_`, `-` and `/`.
fn slug(name: &str) -> String {
    let lower = name.to_lowercase();
    let out: String =
        lower.chars().map(|c| if c.is_ascii_alphanumeric() || "_-/".contains(c) { c } else { '-' }).collect();
    let mut parts = out.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    if parts.is_empty() {
        parts.push_str("flow");
    }
    parts.truncate(200);
    parts
}

#[cfg(test)]
mod tests;
