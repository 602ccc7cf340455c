//! A reply that somebody pasted, to see what it becomes. It belongs to no bot, so nothing it names is looked for.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::yaml::{Kind, Node, Plain, parse};
use crate::model::command::Reply;
use crate::model::message::Message;
use crate::template::Names;
use crate::template::reply::Compiled;

/// Renders a reply as it is written in a manifest, with these values for the parameters that it names. The error holds
/// everything that is wrong with it, a line each.
pub fn pasted(source: &str, parameters: &BTreeMap<String, String>) -> Result<Message, Vec<String>> {
    let node = parse(source).map_err(|fault| {
        let (line, column) = fault.at;
        vec![format!("line {line}, column {column}: {}", fault.message)]
    })?;
    let message = match value(&node) {
        text @ Value::String(_) => json!({ "text": text }),
        other => other,
    };
    let reply = Reply { message, partials: BTreeMap::new() };
    let names = Names { parameters: parameters.keys().cloned().collect(), ..Names::default() };
    let compiled =
        Compiled::new(&reply, names).map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    compiled.render(&json!({ "parameters": parameters })).map_err(|fault| vec![fault.to_string()])
}

fn value(node: &Node) -> Value {
    match &node.kind {
        Kind::Empty => Value::Null,
        Kind::Scalar { plain: Plain::Flag(flag), .. } => Value::Bool(*flag),
        Kind::Scalar { text, .. } => Value::String(text.clone()),
        Kind::List(items) => items.iter().map(value).collect(),
        Kind::Map(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.key.clone(), value(&entry.value))).collect::<Map<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_rendered_and_every_fault_is_told() {
        let values = BTreeMap::from([("who".to_owned(), "*Ann*".to_owned())]);
        let message = pasted("title: Hi\ntext: Hello {{parameters.who}}\ndivider: true", &values).unwrap();
        assert_eq!((message.title.as_deref(), message.text.as_str()), (Some("Hi"), r"Hello \*Ann\*"));
        assert_eq!(pasted("just words", &values).unwrap().text, "just words");
        assert!(pasted("text: [", &values).unwrap_err()[0].starts_with("line 1"));
        let faults = pasted("text: '{{parameters.whom}}'\ntone: loud", &values).unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:?}");
    }
}
