//! The request as its execution keeps it, and as the automation API echoes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::invoke::Source;
use crate::model::command::Command;
use crate::model::{Error, Result};

/// Whence a command came. What is said in words is kept as its few texts, since every message makes one of them; as JSON
/// it is only written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Value", into = "Value")]
pub enum Record {
    /// Said in a conversation.
    Said { channel: String, conversation: String, raw_message: String },
    /// The body of the door, with secrets taken out: an object.
    Given(Value),
}

impl Default for Record {
    fn default() -> Self {
        Self::Given(Value::Null)
    }
}

impl From<Value> for Record {
    fn from(value: Value) -> Self {
        Self::Given(value)
    }
}

impl From<Record> for Value {
    fn from(record: Record) -> Self {
        match record {
            Record::Said { channel, conversation, raw_message } => json!({
                "api_version": API_VERSION,
                "source": { "user_agent": channel, "conversation": conversation },
                "raw_message": raw_message,
            }),
            Record::Given(value) => value,
        }
    }
}

const API_VERSION: &str = "1";

/// A name and its value, as the automation API writes them.
#[derive(Serialize)]
struct Pair<'a> {
    name: &'a str,
    value: &'a str,
}

/// What was said, as [`Record`] is written when it is JSON.
#[derive(Serialize)]
struct Said<'a> {
    api_version: &'static str,
    source: SaidIn<'a>,
    raw_message: &'a str,
    command: &'a str,
    parameters: Vec<Pair<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mapped_parameters: Vec<Pair<'a>>,
}

#[derive(Serialize)]
struct SaidIn<'a> {
    user_agent: &'a str,
    conversation: &'a str,
}

impl Record {
    /// Adds the place in a chat outside, in that chat's own words.
    pub fn describe(&mut self, platform: &str, detail: Value) {
        let mut value = Value::from(std::mem::take(self));
        if let Some(source) = value.get_mut("source") {
            source[platform] = detail;
        }
        *self = Self::Given(value);
    }
}

/// Resolved names and values, no secrets.
pub(super) fn written(
    command: &Command,
    source: &Source,
    arguments: &BTreeMap<String, String>,
    mapped: &BTreeMap<String, String>,
) -> Result<String> {
    let parameters = pairs(command, arguments);
    let mapped_parameters = pairs(command, mapped);
    let text = match &source.record {
        Record::Said { channel, conversation, raw_message } => serde_json::to_string(&Said {
            api_version: API_VERSION,
            source: SaidIn { user_agent: channel, conversation },
            raw_message,
            command: &command.name,
            parameters,
            mapped_parameters,
        }),
        Record::Given(value) => {
            let mut record = value.as_object().cloned().unwrap_or_default();
            record.insert("command".into(), json!(command.name));
            record.insert("parameters".into(), json!(parameters));
            if !mapped_parameters.is_empty() {
                record.insert("mapped_parameters".into(), json!(mapped_parameters));
            }
            serde_json::to_string(&record)
        }
    };
    text.map_err(|error| Error::internal("write an execution", error))
}

fn pairs<'a>(command: &Command, values: &'a BTreeMap<String, String>) -> Vec<Pair<'a>> {
    values.iter().map(|(name, value)| Pair { name, value: command.shown(name, value) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_written_as_its_json() {
        let said = Record::Said { channel: "web".into(), conversation: "c".into(), raw_message: "say \"x\"".into() };
        let given = Record::Given(said.clone().into());
        let command = crate::engine::keys::create();
        let values = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        for mapped in [&BTreeMap::new(), &values] {
            let write = |record: &Record| {
                let source = Source { record: record.clone(), ..Source::default() };
                written(&command, &source, &values, mapped).unwrap()
            };
            assert_eq!(write(&said), write(&given));
        }
        let mut outside = said;
        outside.describe("slack", json!({ "team": "t" }));
        assert_eq!(
            Value::from(outside)["source"],
            json!({ "user_agent": "web", "conversation": "c", "slack": { "team": "t" } })
        );
    }
}
