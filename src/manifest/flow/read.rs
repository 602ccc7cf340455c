//! A tree of the form `flow/v1` as a [`Flow`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::super::fault::Level;
use super::super::sheet::{NOTHING_LATER, Sheet};
use super::super::yaml::{Entry, Kind, Node};
use super::check::Names;
use super::step;
use crate::expression::is_template;
use crate::flow::{
    API_VERSION, Backoff, Concurrency, Conflict, Defaults, Effect, Flow, Input, InputType, Jitter, Retry,
    parse_duration,
};
use crate::model::conversation::Millis;
use crate::template::nearest;

const KEYS: [&str; 12] = [
    "apiVersion",
    "kind",
    "metadata",
    "inputs",
    "triggers",
    "concurrency",
    "timeout",
    "defaults",
    "steps",
    "on_error",
    "finally",
    "outputs",
];

const INPUT_KEYS: [&str; 9] =
    ["type", "kind", "items", "format", "enum", "required", "default", "description", "schema"];

/// Reads the tree; `inputs` are the names it may use when it declares none.
pub(super) fn flow(sheet: &mut Sheet, root: &Node, inputs: Option<&[String]>) -> Option<Flow> {
    sheet.entries(root, "a document", &KEYS, NOTHING_LATER)?;
    match root.get("apiVersion").and_then(|node| sheet.text(node, "\"apiVersion\"").map(str::to_owned)) {
        Some(version) if version != API_VERSION => {
            let at = root.get("apiVersion").map_or(root.at, |node| node.at);
            sheet.error(at, format!("this version reads apiVersion {API_VERSION}, not \"{version}\""));
        }
        _ => {}
    }
    match root.get("kind") {
        Some(node) => {
            sheet.one_of(node, "kind", &["Playbook", "Workflow"]);
        }
        None => sheet.error(root.at, "\"kind\" is missing: write kind: Playbook"),
    }
    let mut flow = Flow::default();
    metadata(sheet, root, &mut flow);
    let mut names = Names::new();
    if let Some(node) = root.get("inputs") {
        flow.inputs = read_inputs(sheet, node);
        names.inputs = Some(flow.inputs.iter().map(|input| input.name.clone()).collect());
    } else if let Some(inputs) = inputs {
        names.inputs = Some(inputs.iter().cloned().collect());
    }
    for key in ["steps", "on_error", "finally"] {
        if let Some(node) = root.get(key) {
            collect(sheet, node, &mut names.ids, &mut names.vars);
        }
    }
    if let Some(node) = root.get("triggers") {
        let items = sheet.list(node, "\"triggers\"");
        flow.triggers = items.iter().map(Node::value).collect();
        for item in items {
            trigger(sheet, item, &mut names);
        }
    }
    flow.concurrency = root.get("concurrency").and_then(|node| concurrency(sheet, node, &names));
    flow.timeout = root.get("timeout").and_then(|node| duration(sheet, node, "\"timeout\""));
    if let Some(node) = root.get("defaults") {
        sheet.entries(node, "\"defaults\"", &["timeout", "retry", "effect"], NOTHING_LATER);
        flow.defaults = Defaults {
            timeout: node.get("timeout").and_then(|node| duration(sheet, node, "\"timeout\"")),
            retry: node.get("retry").and_then(|node| retry(sheet, node, &mut names)),
            effect: node.get("effect").and_then(|node| effect(sheet, node)),
        };
    }
    match root.get("steps") {
        Some(node) => {
            flow.steps = step::list(sheet, node, "\"steps\"", &mut names);
            if matches!(&node.kind, Kind::List(items) if items.is_empty()) {
                sheet.error(node.at, "\"steps\" is empty: write at least one step");
            }
        }
        None => sheet.error(root.at, "there are no \"steps\""),
    }
    names.within(&["error"], |names| {
        flow.on_error =
            root.get("on_error").map(|node| step::list(sheet, node, "\"on_error\"", names)).unwrap_or_default();
        flow.finally =
            root.get("finally").map(|node| step::list(sheet, node, "\"finally\"", names)).unwrap_or_default();
    });
    if let Some(node) = root.get("outputs") {
        sheet.map(node, "\"outputs\"");
        names.template(sheet, node);
        flow.outputs = node.value().as_object().cloned().unwrap_or_default();
    }
    Some(flow)
}

fn metadata(sheet: &mut Sheet, root: &Node, flow: &mut Flow) {
    let Some(node) = root.get("metadata") else {
        sheet.error(root.at, "\"metadata\" is missing: it holds a name and a version");
        return;
    };
    sheet.entries(node, "\"metadata\"", &["name", "title", "version", "description", "labels"], NOTHING_LATER);
    match node.get("name") {
        Some(name) => {
            if let Some(text) = sheet.line(name, "\"name\"", 200) {
                if !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-/".contains(c)) {
                    let message = format!("\"{text}\" cannot name a document: small letters, digits, _ - and /");
                    sheet.error(name.at, message);
                }
                flow.name = text.to_owned();
            }
        }
        None => sheet.error(node.at, "the document has no \"name\""),
    }
    match node.get("version") {
        Some(version) => flow.version = sheet.line(version, "\"version\"", 100).unwrap_or_default().to_owned(),
        None => sheet.error(node.at, "the document has no \"version\""),
    }
    flow.title = node.get("title").and_then(|node| sheet.line(node, "\"title\"", 200)).unwrap_or_default().to_owned();
    if flow.title.is_empty() {
        flow.title.clone_from(&flow.name);
    }
    let description = node.get("description").filter(|node| !matches!(node.kind, Kind::Empty));
    flow.description =
        description.and_then(|node| sheet.text(node, "\"description\"")).unwrap_or_default().trim().to_owned();
    let mut labels = BTreeMap::new();
    if let Some(node) = node.get("labels") {
        for entry in sheet.map(node, "\"labels\"").unwrap_or_default() {
            if let Some(text) = sheet.text(&entry.value, "a label") {
                labels.insert(entry.key.clone(), text.to_owned());
            }
        }
    }
    flow.labels = labels;
}

fn read_inputs(sheet: &mut Sheet, node: &Node) -> Vec<Input> {
    let mut inputs = Vec::new();
    for Entry { key, key_at, value } in sheet.map(node, "\"inputs\"").unwrap_or_default() {
        if !step::is_id(key) {
            sheet.error(*key_at, format!("\"{key}\" cannot name an input: a letter, then letters, digits and _"));
        }
        if sheet.entries(value, "an input", &INPUT_KEYS, NOTHING_LATER).is_none() {
            continue;
        }
        let Some(kind) = value.get("type") else {
            sheet.error(value.at, format!("input \"{key}\" has no \"type\""));
            continue;
        };
        let word = sheet.text(kind, "\"type\"").unwrap_or("string").to_owned();
        let Some(kind) = InputType::named(&word) else {
            sheet.error_near(kind.at, format!("unknown type \"{word}\""), nearest(&word, InputType::NAMES));
            continue;
        };
        let default = value.get("default").filter(|node| !matches!(node.kind, Kind::Empty)).map(Node::value);
        let mut schema = value.get("schema").map_or_else(|| json!({}), Node::value);
        for key in ["items", "format", "enum"] {
            if let Some(node) = value.get(key) {
                schema[key] = node.value();
            }
        }
        if let Err(error) = jsonschema::validator_for(&schema) {
            sheet.error(value.at, format!("what is said about input \"{key}\" is no JSON Schema: {error}"));
        }
        let required = value.get("required").and_then(|node| sheet.flag(node, "\"required\""));
        inputs.push(Input {
            name: key.clone(),
            kind,
            required: required.unwrap_or(true) && default.is_none(),
            default,
            description: value
                .get("description")
                .and_then(|node| sheet.text(node, "\"description\""))
                .unwrap_or_default()
                .trim()
                .to_owned(),
            schema: if schema == json!({}) { Value::Null } else { schema },
        });
    }
    inputs
}

/// Every id below, each once, and the names of variables that are set.
fn collect(sheet: &mut Sheet, node: &Node, ids: &mut BTreeSet<String>, vars: &mut BTreeSet<String>) {
    let Kind::List(items) = &node.kind else { return };
    for item in items {
        if let Some(id) = item.get("id")
            && let Kind::Scalar { text, .. } = &id.kind
            && !ids.insert(text.clone())
        {
            sheet.error(id.at, format!("there is a step \"{text}\" already"));
        }
        if let Some(Node { kind: Kind::Map(entries), .. }) = item.get("set") {
            vars.extend(entries.iter().map(|entry| entry.key.clone()));
        }
        for key in ["steps", "on_error", "finally"] {
            if let Some(node) = item.get(key) {
                collect(sheet, node, ids, vars);
            }
        }
        if let Some(Node { kind: Kind::List(cases), .. }) = item.get("switch") {
            for case in cases {
                if let Some(node) = case.get("steps") {
                    collect(sheet, node, ids, vars);
                }
            }
        }
        if let Some(Node { kind: Kind::Map(branches), .. }) = item.get("parallel").and_then(|node| node.get("branches"))
        {
            for branch in branches {
                collect(sheet, &branch.value, ids, vars);
            }
        }
    }
}

fn trigger(sheet: &mut Sheet, node: &Node, names: &mut Names) {
    const KEYS: [&str; 15] = [
        "id", "type", "intent", "roles", "cron", "timezone", "missed", "overlap", "verify", "dedupe", "when", "topic",
        "every", "at", "with",
    ];
    const TYPES: [&str; 6] = ["command", "cron", "webhook", "event", "interval", "at"];
    sheet.entries(node, "a trigger", &KEYS, NOTHING_LATER);
    match node.get("id").and_then(|id| sheet.text(id, "\"id\"").map(|text| (text.to_owned(), id.at))) {
        Some((text, at)) if !step::is_id(&text) => sheet.error(at, format!("\"{text}\" cannot be the id of a trigger")),
        Some(_) => {}
        None => sheet.error(node.at, "the trigger has no \"id\""),
    }
    match node.get("type") {
        Some(kind) => {
            sheet.one_of(kind, "type", &TYPES);
        }
        None => sheet.error(node.at, "the trigger has no \"type\""),
    }
    names.within(&["event"], |names| {
        for key in ["dedupe", "when"] {
            if let Some(node) = node.get(key) {
                names.expression(sheet, node, &format!("\"{key}\""));
            }
        }
        if let Some(node) = node.get("with") {
            names.template(sheet, node);
        }
    });
    let message =
        "no trigger of a document starts runs: start it from a command or over the API, or make a schedule of it"
            .to_owned();
    sheet.report(node.at, Level::Warning, message, None);
}

fn concurrency(sheet: &mut Sheet, node: &Node, names: &Names) -> Option<Concurrency> {
    let concurrency = at_once(sheet, node)?;
    if node.get("limit").is_none() {
        sheet.error(node.at, "\"concurrency\" has no \"limit\"");
    }
    let key = node.get("key").and_then(|node| names.expression(sheet, node, "\"key\""));
    Some(Concurrency { key, ..concurrency })
}

/// The `concurrency` of a command: one run at a time unless it says otherwise. Its key is an expression, or written as the
/// other texts of a command are, as in `{{parameters.service}}`.
pub(super) fn concurrency_of_command(sheet: &mut Sheet, node: &Node, inputs: &[String]) -> Option<Concurrency> {
    let concurrency = at_once(sheet, node)?;
    let mut names = Names::new();
    names.inputs = Some(inputs.iter().cloned().collect());
    let key = node.get("key").and_then(|node| match &node.kind {
        Kind::Scalar { text, .. } if !is_template(text) && text.contains("{{") => {
            let text = text.clone();
            key_of_parameters(sheet, node, &text, inputs)
        }
        _ => names.expression(sheet, node, "\"key\""),
    });
    Some(Concurrency { key, ..concurrency })
}

/// `{{parameters.a}}/{{parameters.b}}` as an expression.
fn key_of_parameters(sheet: &mut Sheet, node: &Node, text: &str, inputs: &[String]) -> Option<String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find("{{") {
        if begin > 0 {
            parts.push(Value::from(&rest[..begin]).to_string());
        }
        let Some(length) = rest[begin + 2..].find("}}") else {
            sheet.error(node.at, "\"key\" has {{ without }}");
            return None;
        };
        let path = rest[begin + 2..begin + 2 + length].trim();
        let name = path.strip_prefix("parameters.").or_else(|| path.strip_prefix("mapped."));
        match name.filter(|name| inputs.iter().any(|input| input == name)) {
            Some(name) => parts.push(format!("inputs[{}]", Value::from(name))),
            None => {
                let near = nearest(name.unwrap_or(path), inputs.iter().map(String::as_str));
                sheet.error_near(node.at, format!("there is no parameter \"{path}\" for \"key\""), near);
                return None;
            }
        }
        rest = &rest[begin + 2 + length + 2..];
    }
    if !rest.is_empty() {
        parts.push(Value::from(rest).to_string());
    }
    Some(parts.join(" ~ "))
}

fn at_once(sheet: &mut Sheet, node: &Node) -> Option<Concurrency> {
    sheet.entries(node, "\"concurrency\"", &["key", "limit", "on_conflict"], NOTHING_LATER)?;
    let limit = node.get("limit").and_then(|limit| sheet.number::<i64>(limit, "\"limit\"")).unwrap_or(1);
    if limit < 1 {
        sheet.error(node.at, "\"limit\" is at least 1");
    }
    let word = node
        .get("on_conflict")
        .and_then(|node| sheet.one_of(node, "on_conflict", &["queue", "cancel_running", "reject"]));
    let on_conflict = match word {
        Some("cancel_running") => Conflict::CancelRunning,
        Some("reject") => Conflict::Reject,
        _ => Conflict::Queue,
    };
    Some(Concurrency { key: None, limit, on_conflict })
}

/// A time such as `5m`.
pub(super) fn duration(sheet: &mut Sheet, node: &Node, what: &str) -> Option<Millis> {
    let text = sheet.text(node, what)?;
    let millis = parse_duration(text);
    if millis.is_none() {
        let message = format!("{what} is a time such as 500ms, 30s or 1h30m, not \"{text}\"");
        sheet.error(node.at, message);
    }
    millis
}

pub(super) fn effect(sheet: &mut Sheet, node: &Node) -> Option<Effect> {
    sheet.one_of(node, "effect", &["pure", "idempotent", "keyed", "once"]).and_then(Effect::parse)
}

pub(super) fn retry(sheet: &mut Sheet, node: &Node, names: &mut Names) -> Option<Retry> {
    sheet.entries(
        node,
        "\"retry\"",
        &["max_attempts", "backoff", "initial", "max", "jitter", "retry_on", "if"],
        NOTHING_LATER,
    )?;
    let mut retry = Retry { max_attempts: 3, ..Retry::default() };
    if let Some(node) = node.get("max_attempts") {
        retry.max_attempts = sheet.number(node, "\"max_attempts\"").unwrap_or(1);
        if !(1..=100).contains(&retry.max_attempts) {
            sheet.error(node.at, "\"max_attempts\" is from 1 to 100");
        }
    }
    let word = node
        .get("backoff")
        .and_then(|node| sheet.one_of(node, "backoff", &["none", "constant", "linear", "exponential"]));
    retry.backoff = match word {
        Some("none") => Backoff::None,
        Some("constant") => Backoff::Constant,
        Some("linear") => Backoff::Linear,
        _ => Backoff::Exponential,
    };
    let word = node.get("jitter").and_then(|node| sheet.one_of(node, "jitter", &["none", "full", "equal"]));
    retry.jitter = match word {
        Some("none") => Jitter::None,
        Some("equal") => Jitter::Equal,
        _ => Jitter::Full,
    };
    if let Some(millis) = node.get("initial").and_then(|node| duration(sheet, node, "\"initial\"")) {
        retry.initial = millis;
    }
    if let Some(millis) = node.get("max").and_then(|node| duration(sheet, node, "\"max\"")) {
        retry.max = millis;
    }
    if let Some(node) = node.get("retry_on") {
        let items = sheet.list(node, "\"retry_on\"");
        retry.retry_on = items.iter().filter_map(|item| sheet.text(item, "a code").map(str::to_owned)).collect();
    }
    retry.condition =
        node.get("if").and_then(|node| names.within(&["error"], |names| names.expression(sheet, node, "\"if\"")));
    Some(retry)
}

/// The members of a map as they are filled in later.
pub(super) fn members(sheet: &mut Sheet, node: &Node, what: &str, names: &Names) -> Map<String, Value> {
    if sheet.map(node, what).is_none() {
        return Map::new();
    }
    names.template(sheet, node);
    node.value().as_object().cloned().unwrap_or_default()
}
