//! A playbook of the toolbox as a tree of the form `flow/v1`.

use super::super::sheet::Sheet;
use super::super::yaml::{Entry, Kind, Node, Plain};
use super::references::{Playbook, credential, plain, text, tree};
use super::{About, Maker, identifier, slug};
use crate::flow::{API_VERSION, write_duration};

const KEYS: [&str; 8] = ["name", "version", "description", "parameters", "steps", "metadata", "domain", "verified"];
const PARAMETER_KEYS: [&str; 6] = ["name", "type", "required", "default", "description", "options"];
const STEP_KEYS: [&str; 9] =
    ["id", "name", "type", "parameters", "timeout", "retry_count", "retry_delay", "on_failure", "description"];

pub(super) fn convert(sheet: &mut Sheet, root: &Node, about: About<'_>) -> Node {
    sheet.entries(root, "a playbook", &KEYS, &[]);
    let maker = Maker { at: root.at };
    let title = root.get("name").cloned().unwrap_or_else(|| maker.text(about.title));
    let mut metadata = vec![
        maker.entry("name", maker.text(slug(about.name))),
        maker.entry("title", title),
        maker.entry("version", root.get("version").cloned().unwrap_or_else(|| maker.text("1.0"))),
    ];
    metadata.extend(root.get("description").map(|node| maker.entry("description", node.clone())));
    if let Some(labels) = labels(root) {
        metadata.push(maker.entry("labels", labels));
    }
    let mut entries = vec![
        maker.entry("apiVersion", maker.text(API_VERSION)),
        maker.entry("kind", maker.text("Playbook")),
        maker.entry("metadata", maker.map(metadata)),
        maker.entry("inputs", inputs(sheet, root)),
    ];
    if let Some(node) = root.get("steps") {
        let steps = sheet.list(node, "\"steps\"").iter().filter_map(|item| step(sheet, item)).collect();
        entries.push(Entry { key: "steps".to_owned(), key_at: node.at, value: Node::made(Kind::List(steps), node.at) });
    }
    maker.map(entries)
}

/// The domain, and whatever else the playbook says about itself in words.
fn labels(root: &Node) -> Option<Node> {
    let mut labels = Vec::new();
    labels.extend(root.entry("domain").cloned());
    if let Some(Node { kind: Kind::Map(entries), .. }) = root.get("metadata") {
        let words = entries.iter().filter(|entry| matches!(entry.value.kind, Kind::Scalar { .. }));
        labels.extend(words.filter(|entry| entry.key != "domain").cloned());
    }
    (!labels.is_empty()).then(|| Node::made(Kind::Map(labels), root.at))
}

fn inputs(sheet: &mut Sheet, root: &Node) -> Node {
    let mut inputs = Vec::new();
    if let Some(node) = root.get("parameters") {
        for item in sheet.list(node, "\"parameters\"") {
            sheet.entries(item, "a parameter", &PARAMETER_KEYS, &[]);
            let Some(name) = item.get("name") else {
                sheet.error(item.at, "the parameter has no \"name\"");
                continue;
            };
            let Some(text) = sheet.text(name, "\"name\"").map(str::to_owned) else { continue };
            let maker = Maker { at: item.at };
            let mut input =
                vec![maker.entry("type", item.get("type").cloned().unwrap_or_else(|| maker.text("string")))];
            for (key, meant) in
                [("required", "required"), ("default", "default"), ("description", "description"), ("options", "enum")]
            {
                input.extend(item.get(key).map(|node| maker.entry(meant, node.clone())));
            }
            inputs.push(Entry { key: text, key_at: name.at, value: maker.map(input) });
        }
    }
    Node::made(Kind::Map(inputs), root.at)
}

fn step(sheet: &mut Sheet, node: &Node) -> Option<Node> {
    sheet.entries(node, "a step", &STEP_KEYS, &[])?;
    let maker = Maker { at: node.at };
    let mut entries = Vec::new();
    if let Some(id) = node.get("id") {
        let written = sheet.text(id, "\"id\"")?;
        entries.push(maker.entry("id", Node::text(identifier(written), id.at)));
    }
    entries.extend(node.get("name").map(|node| maker.entry("name", node.clone())));
    let parameters = node.get("parameters").filter(|node| !matches!(node.kind, Kind::Empty));
    let parameters = parameters.map(|node| tree(node, &Playbook));
    match node.get("type").and_then(|node| sheet.text(node, "\"type\"").map(|kind| (node, kind.to_owned()))) {
        Some((written, kind)) => entries.extend(verb(written, &kind, parameters)),
        None => sheet.error(node.at, "the step has no \"type\""),
    }
    if let Some(seconds) = node.get("timeout").and_then(|node| seconds(sheet, node, "\"timeout\"")) {
        entries.push(maker.entry("timeout", maker.text(seconds)));
    }
    if let Some(count) = node.get("retry_count").and_then(|node| sheet.number::<i64>(node, "\"retry_count\""))
        && count > 0
    {
        let delay = node.get("retry_delay").and_then(|node| seconds(sheet, node, "\"retry_delay\""));
        let delay = delay.unwrap_or_else(|| "5s".to_owned());
        let number = Node::made(Kind::Scalar { text: (count + 1).to_string(), plain: Plain::Number }, node.at);
        entries.push(maker.entry(
            "retry",
            maker.map(vec![
                maker.entry("max_attempts", number),
                maker.entry("backoff", maker.text("constant")),
                maker.entry("initial", maker.text(delay)),
                maker.entry("jitter", maker.text("none")),
            ]),
        ));
        // Only what does work is tried again; the rest cannot fail in a way that goes away.
        let works = entries.iter().any(|entry| ["use", "run"].contains(&entry.key.as_str()));
        if !works {
            entries.retain(|entry| entry.key != "retry");
        }
    }
    entries.extend(node.get("on_failure").map(|node| maker.entry("on_error", node.clone())));
    Some(maker.map(entries))
}

/// What a step of that type does here.
fn verb(written: &Node, kind: &str, parameters: Option<Node>) -> Vec<Entry> {
    let maker = Maker { at: written.at };
    let parameters = parameters.unwrap_or_else(|| maker.map(Vec::new()));
    let get = |key: &str| parameters.get(key).cloned();
    match kind {
        "utility.sleep" => {
            let length = get("seconds").or_else(|| get("duration"));
            let length = match length.as_ref().map(plain) {
                Some(serde_json::Value::Number(number)) => {
                    maker.text(write_duration(millis(number.as_f64().unwrap_or_default())))
                }
                Some(serde_json::Value::String(text)) if text.contains("${{") => {
                    let inside = crate::expression::whole(&text).unwrap_or("0").to_owned();
                    maker.text(format!("${{{{ ({inside}) | float * 1000 }}}}"))
                }
                Some(serde_json::Value::String(text)) => {
                    maker.text(write_duration(millis(text.trim().parse().unwrap_or_default())))
                }
                _ => maker.text("1s"),
            };
            vec![maker.entry("wait", maker.one("for", length))]
        }
        "utility.log" => {
            let level = match get("level")
                .as_ref()
                .map(plain)
                .and_then(|value| value.as_str().map(str::to_lowercase))
                .as_deref()
            {
                Some("debug") => "debug",
                Some("warning" | "warn") => "warn",
                Some("error" | "critical") => "error",
                _ => "info",
            };
            let message = get("message").unwrap_or_else(|| maker.text(""));
            let log = vec![maker.entry("level", maker.text(level)), maker.entry("message", message)];
            vec![maker.entry("log", maker.map(log))]
        }
        "utility.set_variable" => {
            let name = get("name").or_else(|| get("variable"));
            let name = name.as_ref().map(plain).and_then(|name| name.as_str().map(identifier)).unwrap_or_default();
            let value = get("value").unwrap_or_else(|| maker.text(""));
            vec![maker.entry("set", maker.one(&name, value))]
        }
        "playbook.run" => {
            let Kind::Map(all) = &parameters.kind else { return Vec::new() };
            let path = get("playbook").or_else(|| get("playbook_path")).or_else(|| get("path"));
            let path = path.unwrap_or_else(|| maker.text(""));
            let nested = get("parameters");
            let with = match nested {
                Some(nested) => nested,
                None => {
                    let rest =
                        all.iter().filter(|entry| !["playbook", "playbook_path", "path"].contains(&entry.key.as_str()));
                    maker.map(rest.cloned().collect())
                }
            };
            let run = vec![maker.entry("workflow", path), maker.entry("with", with)];
            vec![maker.entry("run", maker.map(run))]
        }
        _ => {
            let action = Node::text(text(kind, &Playbook), written.at);
            let Kind::Map(all) = parameters.kind else { return Vec::new() };
            // What is filled in from a credential is what the call is made with, and no input of it.
            let of = |entry: &Entry| match &entry.value.kind {
                Kind::Scalar { text, .. } => credential(text).map(str::to_owned),
                _ => None,
            };
            let connection = all.iter().find_map(of);
            let with = all.into_iter().filter(|entry| of(entry).is_none()).collect();
            let mut entries = vec![maker.entry("use", action), maker.entry("with", maker.map(with))];
            entries.extend(connection.map(|name| maker.entry("connection", maker.text(name))));
            entries
        }
    }
}

fn millis(seconds: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "bounded before")]
    let millis = (seconds.clamp(0.0, 1e9) * 1000.0) as i64;
    millis
}

/// Seconds as a time of ours.
fn seconds(sheet: &mut Sheet, node: &Node, what: &str) -> Option<String> {
    match &node.kind {
        Kind::Scalar { text, .. } => match text.trim().parse::<f64>() {
            Ok(seconds) if seconds >= 0.0 => Some(write_duration(millis(seconds))),
            _ => {
                sheet.error(node.at, format!("{what} is a number of seconds"));
                None
            }
        },
        _ => {
            sheet.error(node.at, format!("{what} is a number of seconds"));
            None
        }
    }
}
