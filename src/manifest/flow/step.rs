//! One step of a document.

use serde_json::{Map, Value};

use super::super::fault::Level;
use super::super::sheet::{NOTHING_LATER, Sheet};
use super::super::yaml::{Entry, Kind, Node};
use super::check::Names;
use super::read::{duration, effect, members, retry};
use crate::expression::is_template;
use crate::flow::{Ask, Call, Case, ForEach, LoopError, OnError, Poll, Probe, RunBody, Step, Verb, Wait, While};
use crate::model::principal::Role;
use crate::template::Form;

/// Every step does exactly one of these.
pub(super) const VERBS: [&str; 15] = [
    "use",
    "switch",
    "parallel",
    "run",
    "ask",
    "wait",
    "script",
    "set",
    "say",
    "log",
    "fail",
    "cancel",
    "emit",
    "compensate",
    "steps",
];

const KEYS: [&str; 31] = [
    "id",
    "name",
    "if",
    "timeout",
    "retry",
    "effect",
    "connection",
    "output",
    "on_error",
    "finally",
    "undo",
    "probe",
    "with",
    "for_each",
    "while",
    "resource",
    "use",
    "switch",
    "parallel",
    "run",
    "ask",
    "wait",
    "script",
    "set",
    "say",
    "log",
    "fail",
    "cancel",
    "emit",
    "compensate",
    "steps",
];

/// Steps below steps below steps: how deep.
const DEEPEST: usize = 16;

/// A letter or `_`, then letters, digits and `_`, at most 64.
pub(super) fn is_id(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

pub(super) fn list(sheet: &mut Sheet, node: &Node, what: &str, names: &mut Names) -> Vec<Step> {
    sheet.list(node, what).iter().filter_map(|item| step(sheet, item, names)).collect()
}

fn step(sheet: &mut Sheet, node: &Node, names: &mut Names) -> Option<Step> {
    sheet.entries(node, "a step", &KEYS, NOTHING_LATER)?;
    let id = read_id(sheet, node);
    if names.depth >= DEEPEST {
        sheet.error(node.at, format!("steps are at most {DEEPEST} deep in each other"));
        return None;
    }
    names.deeper(|names| {
        let for_each = node.get("for_each").and_then(|node| read_for_each(sheet, node, names));
        let repeat = node.get("while").and_then(|node| read_while(sheet, node, names));
        if let (Some(_), Some(entry)) = (&for_each, node.entry("while")) {
            sheet.error(entry.key_at, "a step is repeated by \"for_each\" or by \"while\", not by both");
        }
        // What is asked before there is an item.
        let condition = node.get("if").and_then(|node| names.expression(sheet, node, "\"if\""));
        let mut local: Vec<String> = Vec::new();
        if let Some(for_each) = &for_each {
            local.extend([for_each.name.clone(), "loop".to_owned()]);
        }
        if repeat.is_some() {
            local.push("loop".to_owned());
        }
        let local: Vec<&str> = local.iter().map(String::as_str).collect();
        names.within(&local, |names| {
            let verb = read_verb(sheet, node, names)?;
            let step = Step {
                id: id.unwrap_or_default(),
                name: node
                    .get("name")
                    .and_then(|node| sheet.line(node, "\"name\"", 200))
                    .unwrap_or_default()
                    .to_owned(),
                condition,
                timeout: node.get("timeout").and_then(|node| duration(sheet, node, "\"timeout\"")),
                retry: node.get("retry").and_then(|node| retry(sheet, node, names)),
                effect: node.get("effect").and_then(|node| effect(sheet, node)),
                output: node.get("output").map(|node| {
                    names.within(&["result"], |names| names.template(sheet, node));
                    node.value()
                }),
                on_error: read_on_error(sheet, node, names),
                finally: node
                    .get("finally")
                    .map(|node| names.within(&["error"], |names| list(sheet, node, "\"finally\"", names)))
                    .unwrap_or_default(),
                undo: node
                    .get("undo")
                    .and_then(|node| names.within(&["result"], |names| read_call(sheet, node, &[], names))),
                probe: node.get("probe").and_then(|node| read_probe(sheet, node, names)),
                for_each,
                repeat,
                verb,
            };
            check_modifiers(sheet, node, &step);
            Some(step)
        })
    })
}

fn read_id(sheet: &mut Sheet, node: &Node) -> Option<String> {
    let Some(id) = node.get("id") else {
        sheet.error(node.at, "the step has no \"id\"");
        return None;
    };
    let text = sheet.text(id, "\"id\"")?;
    if !is_id(text) {
        let message = format!("\"{text}\" cannot be an id: a letter, then letters, digits and _, at most 64");
        sheet.error(id.at, message);
    }
    Some(text.to_owned())
}

/// What is said about a step that does not fit what it does.
fn check_modifiers(sheet: &mut Sheet, node: &Node, step: &Step) {
    let calls = matches!(step.verb, Verb::Use(_));
    let works = calls || matches!(step.verb, Verb::Script { .. } | Verb::Run(_) | Verb::Wait(Wait::Poll(_)));
    for (key, fits, for_what) in [
        ("with", calls, "use"),
        ("connection", calls, "use"),
        ("effect", calls, "use"),
        ("undo", calls, "use"),
        ("probe", calls, "use"),
        ("retry", works, "use, script, run and wait.poll"),
    ] {
        if let (Some(entry), false) = (node.entry(key), fits) {
            sheet.error(entry.key_at, format!("\"{key}\" belongs to {for_what}, not to {}", step.verb.word()));
        }
    }
    if let Some(entry) = node.entry("resource") {
        let message = "\"resource\" holds nothing in this version".to_owned();
        sheet.report(entry.key_at, Level::Warning, message, None);
    }
}

fn read_on_error(sheet: &mut Sheet, node: &Node, names: &mut Names) -> OnError {
    let Some(node) = node.get("on_error") else { return OnError::Abort };
    if let Kind::List(_) = node.kind {
        return OnError::Steps(names.within(&["error"], |names| list(sheet, node, "\"on_error\"", names)));
    }
    match sheet.one_of(node, "on_error", &["abort", "continue", "rollback"]) {
        Some("continue") => OnError::Continue,
        Some("rollback") => OnError::Rollback,
        _ => OnError::Abort,
    }
}

fn read_for_each(sheet: &mut Sheet, node: &Node, names: &mut Names) -> Option<ForEach> {
    sheet.entries(node, "\"for_each\"", &["in", "as", "concurrency", "on_error"], NOTHING_LATER)?;
    let items = required(sheet, node, "in").and_then(|node| names.expression(sheet, node, "\"in\""));
    let name = required(sheet, node, "as").and_then(|node| {
        let name = sheet.text(node, "\"as\"")?;
        if is_id(name) && !super::check::ROOTS.contains(&name) {
            return Some(name.to_owned());
        }
        sheet.error(node.at, format!("\"{name}\" cannot name the item: choose another name"));
        None
    });
    let concurrency =
        node.get("concurrency").and_then(|node| sheet.number::<i64>(node, "\"concurrency\"")).unwrap_or(1);
    if !(1..=1000).contains(&concurrency) {
        sheet.error(node.at, "\"concurrency\" is from 1 to 1000");
    }
    let on_error = match node.get("on_error").and_then(|node| sheet.one_of(node, "on_error", &["collect", "fail_fast"]))
    {
        Some("collect") => LoopError::Collect,
        _ => LoopError::FailFast,
    };
    Some(ForEach { items: items?, name: name?, concurrency, on_error })
}

fn read_while(sheet: &mut Sheet, node: &Node, names: &mut Names) -> Option<While> {
    sheet.entries(node, "\"while\"", &["cond", "max"], NOTHING_LATER)?;
    let condition = required(sheet, node, "cond")
        .and_then(|node| names.within(&["loop"], |names| names.expression(sheet, node, "\"cond\"")));
    let max = required(sheet, node, "max").and_then(|node| sheet.number::<i64>(node, "\"max\"")).unwrap_or(1);
    if !(1..=10_000).contains(&max) {
        sheet.error(node.at, "\"max\" is from 1 to 10000");
    }
    Some(While { condition: condition?, max })
}

fn required<'n>(sheet: &mut Sheet, node: &'n Node, key: &str) -> Option<&'n Node> {
    let found = node.get(key);
    if found.is_none() {
        sheet.error(node.at, format!("\"{key}\" is missing"));
    }
    found
}

fn read_verb(sheet: &mut Sheet, node: &Node, names: &mut Names) -> Option<Verb> {
    let verbs: Vec<&Entry> = VERBS.iter().filter_map(|verb| node.entry(verb)).collect();
    let entry = match verbs.as_slice() {
        [one] => *one,
        [] => {
            sheet.error(node.at, format!("the step does nothing: write one of {}", VERBS.join(", ")));
            return None;
        }
        [_, second, ..] => {
            let words: Vec<&str> = verbs.iter().map(|entry| entry.key.as_str()).collect();
            sheet.error(second.key_at, format!("a step does one thing, not several ({})", words.join(", ")));
            return None;
        }
    };
    let value = &entry.value;
    let text = |sheet: &mut Sheet, names: &Names, key: &str, form| {
        value.get(key).and_then(|node| names.text(sheet, node, &format!("\"{key}\""), form)).unwrap_or_default()
    };
    Some(match entry.key.as_str() {
        "use" => Verb::Use(read_call(sheet, node, &KEYS, names)?),
        "switch" => Verb::Switch(read_switch(sheet, value, names)),
        "parallel" => read_parallel(sheet, value, names)?,
        "run" => Verb::Run(read_run(sheet, value, names)?),
        "ask" => Verb::Ask(Box::new(read_ask(sheet, value, names)?)),
        "wait" => Verb::Wait(read_wait(sheet, value, names)?),
        "script" => {
            sheet.entries(value, "\"script\"", &["language", "source"], NOTHING_LATER)?;
            if let Some(node) = required(sheet, value, "language") {
                sheet.one_of(node, "language", &["js"]);
            }
            let source = required(sheet, value, "source").and_then(|node| sheet.text(node, "\"source\""));
            Verb::Script { source: source?.to_owned() }
        }
        "set" => Verb::Set(members(sheet, value, "\"set\"", names)),
        "say" => Verb::Say(read_say(sheet, value, names)?),
        "log" => {
            sheet.entries(value, "\"log\"", &["level", "message"], NOTHING_LATER)?;
            required(sheet, value, "message");
            let level =
                value.get("level").and_then(|node| sheet.one_of(node, "level", &["debug", "info", "warn", "error"]));
            let level = level.unwrap_or("info").to_owned();
            Verb::Log { level, message: text(sheet, names, "message", Form::Plain) }
        }
        "fail" => {
            sheet.entries(value, "\"fail\"", &["code", "message"], NOTHING_LATER)?;
            required(sheet, value, "message");
            let code = value
                .get("code")
                .and_then(|node| sheet.line(node, "\"code\"", 64).map(|code| (node.at, code.to_owned())));
            if let Some((at, code)) = &code
                && !is_id(code)
            {
                sheet.error(*at, format!("\"{code}\" cannot be a code: a letter, then letters, digits and _"));
            }
            let code = code.map_or_else(|| "failed".to_owned(), |(_, code)| code);
            Verb::Fail { code, message: text(sheet, names, "message", Form::Plain) }
        }
        "cancel" => {
            sheet.entries(value, "\"cancel\"", &["reason"], NOTHING_LATER)?;
            Verb::Cancel { reason: text(sheet, names, "reason", Form::Plain) }
        }
        "emit" => {
            sheet.entries(value, "\"emit\"", &["topic", "data"], NOTHING_LATER)?;
            let topic = required(sheet, value, "topic")?;
            names.template(sheet, topic);
            if let Some(data) = value.get("data") {
                names.template(sheet, data);
            }
            let topic = sheet.line(topic, "\"topic\"", 200)?.to_owned();
            Verb::Emit { topic, data: value.get("data").map_or(Value::Null, Node::value) }
        }
        "compensate" => {
            let id = sheet.text(value, "\"compensate\"")?.to_owned();
            if !names.ids.contains(&id) {
                let near = crate::template::nearest(&id, names.ids.iter().map(String::as_str)).map(str::to_owned);
                sheet.report(value.at, Level::Error, format!("there is no step \"{id}\""), near);
            }
            Verb::Compensate(id)
        }
        _ => Verb::Steps(list(sheet, value, "\"steps\"", names)),
    })
}

/// `{use, with, connection}`; `also` are keys that belong to what it stands in.
fn read_call(sheet: &mut Sheet, node: &Node, also: &[&str], names: &Names) -> Option<Call> {
    let known = ["use", "with", "connection"].into_iter().chain(also.iter().copied()).collect::<Vec<_>>();
    sheet.entries(node, "a call", &known, NOTHING_LATER)?;
    let written = required(sheet, node, "use")?;
    let text = sheet.text(written, "\"use\"")?;
    let part =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let Some((connector, action)) = text.split_once('.').filter(|(connector, action)| part(connector) && part(action))
    else {
        let message = format!("\"use\" is a connector and an action, such as http.request, not \"{text}\"");
        sheet.error(written.at, message);
        return None;
    };
    let (connector, action) = (connector.to_owned(), action.to_owned());
    let with = match node.get("with") {
        Some(with) => Value::Object(members(sheet, with, "\"with\"", names)),
        None => Value::Object(Map::new()),
    };
    let connection = node.get("connection").and_then(|node| {
        names.template(sheet, node);
        sheet.line(node, "\"connection\"", 200).map(str::to_owned)
    });
    Some(Call { connector, action, connection, with })
}

fn read_probe(sheet: &mut Sheet, node: &Node, names: &mut Names) -> Option<Probe> {
    let call = read_call(sheet, node, &["ok"], names)?;
    let ok = required(sheet, node, "ok")?;
    let ok = names.within(&["result"], |names| names.expression(sheet, ok, "\"ok\""))?;
    Some(Probe { call, ok })
}

fn read_switch(sheet: &mut Sheet, node: &Node, names: &mut Names) -> Vec<Case> {
    let items = sheet.list(node, "\"switch\"");
    if items.is_empty() {
        sheet.error(node.at, "\"switch\" has no cases");
    }
    let mut cases = Vec::new();
    for (index, item) in items.iter().enumerate() {
        sheet.entries(item, "a case", &["when", "else", "steps"], NOTHING_LATER);
        let when = item.get("when").and_then(|node| names.expression(sheet, node, "\"when\""));
        match (item.get("when"), item.get("else")) {
            (Some(_), None) => {}
            (None, Some(other)) => {
                if sheet.flag(other, "\"else\"") == Some(false) {
                    sheet.error(other.at, "\"else\" is true, or not there");
                }
                if index + 1 < items.len() {
                    sheet.error(item.at, "\"else\" is the last case: nothing comes after it");
                }
            }
            _ => sheet.error(item.at, "a case has a \"when\" or an \"else\""),
        }
        let steps = match item.get("steps") {
            Some(steps) => list(sheet, steps, "\"steps\"", names),
            None => {
                sheet.error(item.at, "the case has no \"steps\"");
                Vec::new()
            }
        };
        cases.push(Case { when, steps });
    }
    cases
}

fn read_parallel(sheet: &mut Sheet, node: &Node, names: &mut Names) -> Option<Verb> {
    sheet.entries(node, "\"parallel\"", &["fail_fast", "branches"], NOTHING_LATER)?;
    let fail_fast = node.get("fail_fast").and_then(|node| sheet.flag(node, "\"fail_fast\"")).unwrap_or(true);
    let written = required(sheet, node, "branches")?;
    let mut branches = Vec::new();
    for Entry { key, key_at, value } in sheet.map(written, "\"branches\"")? {
        if !is_id(key) {
            sheet.error(*key_at, format!("\"{key}\" cannot name a branch: a letter, then letters, digits and _"));
        }
        branches.push((key.clone(), list(sheet, value, "a branch", names)));
    }
    if branches.is_empty() {
        sheet.error(written.at, "\"branches\" is empty");
    }
    Some(Verb::Parallel { fail_fast, branches })
}

fn read_run(sheet: &mut Sheet, node: &Node, names: &Names) -> Option<RunBody> {
    sheet.entries(node, "\"run\"", &["workflow", "version", "with", "wait"], NOTHING_LATER)?;
    let workflow = required(sheet, node, "workflow")?;
    names.template(sheet, workflow);
    Some(RunBody {
        workflow: sheet.line(workflow, "\"workflow\"", 300)?.to_owned(),
        version: node.get("version").and_then(|node| sheet.text(node, "\"version\"").map(str::to_owned)),
        with: node.get("with").map(|node| members(sheet, node, "\"with\"", names)).unwrap_or_default(),
        wait: node.get("wait").and_then(|node| sheet.flag(node, "\"wait\"")).unwrap_or(true),
    })
}

fn read_ask(sheet: &mut Sheet, node: &Node, names: &Names) -> Option<Ask> {
    sheet.entries(node, "\"ask\"", &["to", "message", "form", "approvers", "timeout", "on_timeout"], NOTHING_LATER)?;
    let message =
        required(sheet, node, "message").and_then(|node| names.text(sheet, node, "\"message\"", Form::Markdown));
    let texts = |sheet: &mut Sheet, node: Option<&Node>, what: &str| -> Vec<String> {
        let Some(node) = node else { return Vec::new() };
        sheet.list(node, what).iter().filter_map(|item| sheet.text(item, "a name").map(str::to_owned)).collect()
    };
    let to = node.get("to");
    if let Some(to) = to {
        sheet.entries(to, "\"to\"", &["channels", "users"], NOTHING_LATER);
    }
    let form = node.get("form").map_or(Value::Null, Node::value);
    if let Some(node) = node.get("form")
        && (jsonschema::validator_for(&form).is_err() || form.get("properties").is_none_or(|all| !all.is_object()))
    {
        sheet.error(node.at, "\"form\" is the JSON Schema of an object with \"properties\"");
    }
    let approvers = node.get("approvers");
    if let Some(node) = approvers {
        sheet.entries(node, "\"approvers\"", &["roles", "groups", "quorum", "not_requester"], NOTHING_LATER);
    }
    let of = |key: &str| approvers.and_then(|node| node.get(key));
    let roles = texts(sheet, of("roles"), "\"roles\"");
    for role in &roles {
        if let (None, Some(node)) = (Role::parse(role), of("roles")) {
            let near = crate::template::nearest(role, Role::ALL.map(Role::as_str));
            sheet.error_near(node.at, format!("there is no role \"{role}\""), near);
        }
    }
    let quorum = of("quorum").and_then(|node| sheet.number::<i64>(node, "\"quorum\"")).unwrap_or(1);
    if quorum < 1 {
        sheet.error(node.at, "\"quorum\" is at least 1");
    }
    Some(Ask {
        message: message?,
        users: texts(sheet, to.and_then(|to| to.get("users")), "\"users\""),
        form,
        roles,
        groups: texts(sheet, of("groups"), "\"groups\""),
        quorum,
        not_requester: of("not_requester").and_then(|node| sheet.flag(node, "\"not_requester\"")).unwrap_or(false),
        timeout: node.get("timeout").and_then(|node| duration(sheet, node, "\"timeout\"")),
        on_timeout: node.get("on_timeout").map(|node| {
            names.template(sheet, node);
            node.value()
        }),
    })
}

fn read_wait(sheet: &mut Sheet, node: &Node, names: &mut Names) -> Option<Wait> {
    sheet.entries(node, "\"wait\"", &["for", "until", "event", "poll", "timeout"], NOTHING_LATER)?;
    let kinds: Vec<&str> =
        ["for", "until", "event", "poll"].into_iter().filter(|key| node.get(key).is_some()).collect();
    let [kind] = kinds.as_slice() else {
        sheet.error(node.at, "\"wait\" has one of for, until, event and poll");
        return None;
    };
    let value = node.get(kind)?;
    let timeout = node.get("timeout").and_then(|node| duration(sheet, node, "\"timeout\""));
    Some(match *kind {
        "for" => match &value.kind {
            Kind::Scalar { text, .. } if is_template(text) => Wait::Length(names.expression(sheet, value, "\"for\"")?),
            _ => Wait::For(duration(sheet, value, "\"for\"")?),
        },
        "until" => Wait::Until(names.expression(sheet, value, "\"until\"")?),
        "event" => {
            sheet.entries(value, "\"event\"", &["topic", "key"], NOTHING_LATER)?;
            let topic = required(sheet, value, "topic")?;
            names.template(sheet, topic);
            let key = value.get("key").and_then(|node| {
                names.template(sheet, node);
                sheet.text(node, "\"key\"").map(str::to_owned)
            });
            Wait::Event { topic: sheet.line(topic, "\"topic\"", 200)?.to_owned(), key, timeout }
        }
        _ => {
            let call = read_call(sheet, value, &["every", "until"], names)?;
            let every = required(sheet, value, "every").and_then(|node| duration(sheet, node, "\"every\""))?;
            let until = required(sheet, value, "until")?;
            let until = names.within(&["result"], |names| names.expression(sheet, until, "\"until\""))?;
            Wait::Poll(Box::new(Poll { call, every: every.max(100), until, timeout }))
        }
    })
}

fn read_say(sheet: &mut Sheet, node: &Node, names: &Names) -> Option<Map<String, Value>> {
    const KEYS: [&str; 8] = ["message", "text", "title", "tone", "fields", "list", "table", "image"];
    sheet.entries(node, "\"say\"", &KEYS, NOTHING_LATER)?;
    match (node.entry("message"), node.entry("text")) {
        (Some(_), Some(second)) => sheet.error(second.key_at, "\"say\" has a \"message\" or a \"text\", not both"),
        (None, None) => sheet.error(node.at, "\"say\" has no \"message\""),
        _ => {}
    }
    for (key, form) in [("message", Form::Markdown), ("text", Form::Markdown), ("title", Form::Plain)] {
        if let Some(node) = node.get(key) {
            names.text(sheet, node, &format!("\"{key}\""), form);
        }
    }
    if let Some(node) = node.get("tone") {
        sheet.one_of(node, "tone", &["info", "success", "warning", "error", "question"]);
    }
    for key in ["fields", "list", "table"] {
        if let Some(node) = node.get(key) {
            names.template(sheet, node);
        }
    }
    if let Some(node) = node.get("fields") {
        for item in sheet.list(node, "\"fields\"") {
            sheet.entries(item, "a field", &["name", "value", "short"], NOTHING_LATER);
        }
    }
    if let Some(node) = node.get("table") {
        sheet.entries(node, "\"table\"", &["columns", "rows"], NOTHING_LATER);
        required(sheet, node, "columns");
        required(sheet, node, "rows");
    }
    if let Some(node) = node.get("image") {
        sheet.entries(node, "\"image\"", &["url", "alt"], NOTHING_LATER);
        for key in ["url", "alt"] {
            if let Some(node) = required(sheet, node, key) {
                names.text(sheet, node, &format!("\"{key}\""), Form::Plain);
            }
        }
    }
    node.value().as_object().cloned()
}
