//! Values to try a reply with, in the shape that the engine gives.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::model::command::Command;
use crate::model::name::fold;
use crate::model::parameter::{Parameter, ParameterType};

/// Values for every example of `command`, and once with nothing that may be left out.
pub(super) fn values(command: &Command) -> Vec<Value> {
    let required = |parameter: &&Parameter| parameter.required || parameter.default.is_some();
    let mut seen = BTreeSet::new();
    let mut arguments = vec![arguments(command.parameters.iter().filter(required), None)];
    arguments
        .extend(command.examples.iter().map(|example| self::arguments(&command.parameters, Some(&example.expect))));
    arguments.retain(|values| seen.insert(Value::Object(values.clone()).to_string()));
    arguments.iter().map(|parameters| context(command, parameters)).collect()
}

fn arguments<'a>(
    parameters: impl IntoIterator<Item = &'a Parameter>,
    given: Option<&std::collections::BTreeMap<String, String>>,
) -> Map<String, Value> {
    let value = |parameter: &Parameter| {
        let expected = given.and_then(|given| {
            given.iter().find(|(name, _)| fold(name) == fold(&parameter.name)).map(|(_, value)| value.clone())
        });
        expected.or_else(|| parameter.default.clone()).unwrap_or_else(|| typical(&parameter.kind))
    };
    parameters.into_iter().map(|parameter| (parameter.name.clone(), Value::from(value(parameter)))).collect()
}

fn typical(kind: &ParameterType) -> String {
    match kind {
        ParameterType::Choice { choices } => return choices.first().cloned().unwrap_or_default(),
        ParameterType::Integer | ParameterType::Number => "1",
        ParameterType::Boolean => "true",
        ParameterType::Date => "2026-11-23",
        ParameterType::Datetime => "2026-11-23T12:00:00Z",
        ParameterType::Duration => "15m",
        ParameterType::Email => "ann@example.com",
        ParameterType::Url => "https://example.com/",
        ParameterType::Json => "{}",
        _ => "sample",
    }
    .to_owned()
}

fn context(command: &Command, parameters: &Map<String, Value>) -> Value {
    let mapped: Map<String, Value> =
        command.mapped_parameters.keys().map(|name| (name.clone(), Value::from("sample"))).collect();
    let data: Map<String, Value> = command.data.iter().map(|(name, source)| (name.clone(), datum(source))).collect();
    let said = command.examples.first().map(|example| example.say.as_str()).unwrap_or_default();
    let mut matches = vec![Value::from(said)];
    matches.resize(10, Value::from("sample"));
    json!({
        "parameters": parameters,
        "mapped": mapped,
        "user": {"id": "user_1", "name": "Ann"},
        "channel": {"id": "channel_1", "name": "general"},
        "conversation": {"id": "conversation_1"},
        "command": {"name": command.name, "bot": command.bot, "description": command.description},
        "matches": matches,
        "data": data,
    })
}

/// A value of the closed list, as the engine gives it.
fn datum(source: &str) -> Value {
    match source {
        "now.date" => json!("2026-11-23"),
        "now.time" => json!("12:03"),
        "now.iso_week" => json!("2026-W48"),
        "now.iso" | "installation.started_at" => json!("2026-11-23T12:03:00Z"),
        "installation.version" => json!("0.1.0"),
        "installation.uptime" => json!("3 h 12 min"),
        "installation.status" => json!({
            "state": "ok",
            "database": "SQLite 3.51.3",
            "conversations": 4,
            "executions_today": 12,
            "failed_today": 1,
            "bots": 2,
            "bots_degraded": 0,
        }),
        "installation.bots" => json!([{"name": "hello", "status": "ok", "commands": 3}]),
        "installation.online" => json!([{"name": "Ann", "since": "12:01"}]),
        "installation.stats" => json!({"runs": 12, "failed": 1, "by_bot": [["hello", 8], ["ops", 4]]}),
        "installation.recent" => {
            json!([{"command": "greet", "bot": "hello", "by": "Ann", "status": "success", "when": "12:03"}])
        }
        _ => Value::Null,
    }
}
