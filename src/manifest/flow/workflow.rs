//! A workflow of the integration layer as a tree of the form `flow/v1`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::sheet::Sheet;
use super::super::yaml::{Entry, Kind, Node};
use super::references::{Dialect as _, Workflow, tree};
use super::{About, Maker, identifier, slug};
use crate::flow::{API_VERSION, write_duration};

const STEP_KEYS: [&str; 8] = ["name", "type", "config", "position", "errorHandler", "id", "description", "timeout"];

/// One step as written.
struct Written<'a> {
    node: &'a Node,
    id: String,
    kind: String,
    position: i64,
}

struct Converter<'a> {
    steps: BTreeMap<String, Written<'a>>,
    ids: BTreeMap<String, String>,
    /// Steps that another one holds.
    held: BTreeSet<String>,
}

pub(super) fn convert(sheet: &mut Sheet, root: &Node, about: About<'_>) -> Node {
    // The whole workflow as it is created, or its definition alone.
    let definition = root.get("definition").unwrap_or(root);
    let maker = Maker { at: root.at };
    let title = root.get("name").cloned().unwrap_or_else(|| maker.text(about.title));
    let mut metadata = vec![
        maker.entry("name", maker.text(slug(about.name))),
        maker.entry("title", title),
        maker.entry("version", root.get("version").cloned().unwrap_or_else(|| maker.text("1"))),
    ];
    let description = root.get("description").filter(|node| !matches!(node.kind, Kind::Empty));
    metadata.extend(description.map(|node| maker.entry("description", node.clone())));
    let mut entries = vec![
        maker.entry("apiVersion", maker.text(API_VERSION)),
        maker.entry("kind", maker.text("Workflow")),
        maker.entry("metadata", maker.map(metadata)),
    ];
    if let Some(node) = definition.get("steps") {
        let converter = Converter::new(sheet, node);
        let mut order: Vec<(&String, &Written<'_>)> =
            converter.steps.iter().filter(|(name, _)| !converter.held.contains(*name)).collect();
        order.sort_by_key(|(_, written)| written.position);
        let steps = order.into_iter().map(|(name, _)| converter.step(sheet, name, &[])).collect();
        entries.push(maker.entry("steps", Node::made(Kind::List(steps), node.at)));
    }
    maker.map(entries)
}

/// The names of other steps that a step's config names.
fn named(config: Option<&Node>, key: &str) -> Vec<String> {
    let Some(node) = config.and_then(|config| config.get(key)) else { return Vec::new() };
    match &node.kind {
        Kind::List(items) => items.iter().filter_map(|item| item.value().as_str().map(str::to_owned)).collect(),
        _ => node.value().as_str().map(str::to_owned).into_iter().collect(),
    }
}

impl<'a> Converter<'a> {
    fn new(sheet: &mut Sheet, node: &'a Node) -> Self {
        let (mut steps, mut ids, mut held) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        for (index, node) in sheet.list(node, "\"steps\"").iter().enumerate() {
            if sheet.entries(node, "a step", &STEP_KEYS, &[]).is_none() {
                continue;
            }
            let name = node.get("name").or_else(|| node.get("id")).and_then(|node| sheet.line(node, "\"name\"", 200));
            let Some(name) = name.map(str::to_owned) else {
                sheet.error(node.at, "the step has no \"name\"");
                continue;
            };
            let kind = node.get("type").and_then(|node| sheet.text(node, "\"type\"")).unwrap_or_default().to_owned();
            if kind.is_empty() {
                sheet.error(node.at, "the step has no \"type\"");
            }
            let order = i64::try_from(index).unwrap_or(i64::MAX);
            let position = node.get("position").and_then(|node| sheet.number(node, "\"position\"")).unwrap_or(order);
            let id = identifier(&name);
            let config = node.get("config");
            held.extend(["trueSteps", "falseSteps", "stepId"].into_iter().flat_map(|key| named(config, key)));
            held.extend(node.get("errorHandler").and_then(|node| node.value().as_str().map(str::to_owned)));
            if steps.contains_key(&name) {
                sheet.error(node.at, format!("there is a step \"{name}\" already"));
            }
            ids.insert(name.clone(), id.clone());
            // By its id, too, where other steps name it so.
            if let Some(own) = node.get("id").and_then(|node| node.value().as_str().map(str::to_owned)) {
                ids.insert(own, id.clone());
            }
            steps.insert(name, Written { node, id, kind, position });
        }
        Self { steps, ids, held }
    }

    /// Steps that are named by a step, in their order.
    fn steps(&self, sheet: &mut Sheet, names: &[String], of: &Node, around: &[&str]) -> Node {
        let steps = names.iter().filter_map(|name| {
            if around.contains(&name.as_str()) {
                sheet.error(of.at, format!("the step \"{name}\" leads back to itself"));
                return None;
            }
            let by_id = self.steps.iter().find(|(known, written)| *known == name || written.id == *name);
            let Some((name, _)) = by_id else {
                sheet.error(of.at, format!("there is no step \"{name}\""));
                return None;
            };
            Some(self.step(sheet, name, around))
        });
        Node::made(Kind::List(steps.collect()), of.at)
    }

    fn step(&self, sheet: &mut Sheet, name: &str, around: &[&str]) -> Node {
        let Some(written) = self.steps.get(name) else { return Node::made(Kind::Empty, (1, 1)) };
        let node = written.node;
        let maker = Maker { at: node.at };
        let around: Vec<&str> = around.iter().copied().chain([name]).collect();
        let mut entries = vec![maker.entry("id", maker.text(&written.id)), maker.entry("name", maker.text(name))];
        entries.extend(self.verb(sheet, written, &maker, &around));
        if let Some(handler) = node.get("errorHandler")
            && let Some(name) = handler.value().as_str()
        {
            entries.push(maker.entry("on_error", self.steps(sheet, &[name.to_owned()], handler, &around)));
        }
        maker.map(entries)
    }

    fn verb(&self, sheet: &mut Sheet, written: &Written<'_>, maker: &Maker, around: &[&str]) -> Vec<Entry> {
        let dialect = Workflow { ids: &self.ids };
        let none = maker.map(Vec::new());
        let raw = written.node.get("config").filter(|node| !matches!(node.kind, Kind::Empty)).unwrap_or(&none);
        let config = tree(raw, &dialect);
        let get = |key: &str| config.get(key).cloned();
        let plain = |key: &str| raw.get(key).map(Node::value).unwrap_or_default();
        let text = |key: &str| plain(key).as_str().map(str::to_owned);
        match written.kind.as_str() {
            "http_request" => {
                let output = json!({ "status": "${{ result.status }}", "headers": "${{ result.headers }}",
                    "data": "${{ result.body }}", "body": "${{ result.body }}" });
                vec![
                    maker.entry("use", maker.text("http.request")),
                    maker.entry("with", config),
                    maker.entry("output", maker.value(&output)),
                ]
            }
            "connector" => {
                let connector = text("connectorType").unwrap_or_default();
                let action = text("action").unwrap_or_default();
                if connector.is_empty() || action.is_empty() {
                    sheet.error(written.node.at, "a connector step has a \"connectorType\" and an \"action\"");
                }
                let mut with = match &config.kind {
                    Kind::Map(entries) => entries.clone(),
                    _ => Vec::new(),
                };
                with.retain(|entry| !["connectorType", "action", "credentialId"].contains(&entry.key.as_str()));
                let mut entries = vec![
                    maker.entry("use", maker.text(format!("{}.{}", identifier(&connector), identifier(&action)))),
                    maker.entry("with", maker.map(with)),
                ];
                entries.extend(get("credentialId").map(|node| maker.entry("connection", node)));
                entries
            }
            "transform" | "custom_code" => {
                let language = text("language").unwrap_or_else(|| "js".to_owned());
                if !["js", "javascript"].contains(&language.as_str()) {
                    let message = format!(
                        "{language} does not run here: write it in JavaScript, or leave it to a remote command"
                    );
                    sheet.error(written.node.at, message);
                }
                let source =
                    ["code", "expression", "script", "transform"].into_iter().find_map(text).unwrap_or_default();
                if source.is_empty() {
                    sheet.error(written.node.at, "the step has no \"code\"");
                }
                let source = if source.contains("return") { source } else { format!("return ({source})") };
                let script = vec![maker.entry("language", maker.text("js")), maker.entry("source", maker.text(source))];
                vec![maker.entry("script", maker.map(script))]
            }
            "conditional" => {
                let condition = text("condition").unwrap_or_else(|| plain("condition").to_string());
                let condition = format!("${{{{ {} }}}}", dialect.condition(&condition));
                let yes = self.steps(sheet, &named(Some(raw), "trueSteps"), written.node, around);
                let no = self.steps(sheet, &named(Some(raw), "falseSteps"), written.node, around);
                let cases = vec![
                    maker.map(vec![maker.entry("when", maker.text(condition)), maker.entry("steps", yes)]),
                    maker.map(vec![maker.entry("else", maker.value(&json!(true))), maker.entry("steps", no)]),
                ];
                vec![maker.entry("switch", maker.list(cases))]
            }
            "loop" => {
                let items = match text("items") {
                    Some(text) => {
                        let inside = text.trim().trim_start_matches("{{").trim_end_matches("}}");
                        dialect.expression(inside).unwrap_or_else(|| inside.trim().to_owned())
                    }
                    None => plain("items").to_string(),
                };
                let items = match plain("maxIterations").as_i64() {
                    Some(most) => format!("${{{{ ({items})[:{most}] }}}}"),
                    None => format!("${{{{ {items} }}}}"),
                };
                let mut each = vec![maker.entry("in", maker.text(items)), maker.entry("as", maker.text("item"))];
                if plain("parallel") == json!(true) {
                    each.push(maker.entry("concurrency", maker.value(&json!(8))));
                }
                let steps = self.steps(sheet, &named(Some(raw), "stepId"), written.node, around);
                vec![maker.entry("for_each", maker.map(each)), maker.entry("steps", steps)]
            }
            "delay" => {
                let length = match plain("milliseconds") {
                    Value::Number(number) => maker.text(write_duration(number.as_i64().unwrap_or_default())),
                    _ => get("milliseconds").unwrap_or_else(|| maker.text("0s")),
                };
                vec![maker.entry("wait", maker.one("for", length))]
            }
            "error_handler" => {
                let message = get("message").unwrap_or_else(|| maker.text("an error was handled"));
                vec![maker.entry(
                    "log",
                    maker.map(vec![maker.entry("level", maker.text("warn")), maker.entry("message", message)]),
                )]
            }
            "fallback" => {
                let value = get("value").or_else(|| get("fallbackValue")).unwrap_or_else(|| maker.value(&Value::Null));
                vec![
                    maker.entry("set", maker.one(&written.id, value.clone())),
                    maker.entry("output", maker.one("value", value)),
                ]
            }
            other => {
                const KNOWN: [&str; 9] = [
                    "http_request",
                    "connector",
                    "transform",
                    "custom_code",
                    "conditional",
                    "loop",
                    "delay",
                    "error_handler",
                    "fallback",
                ];
                let at = written.node.get("type").map_or(written.node.at, |node| node.at);
                sheet.error_near(at, format!("unknown type \"{other}\""), crate::template::nearest(other, KNOWN));
                Vec::new()
            }
        }
    }
}
