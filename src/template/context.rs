//! What a template sees.

use serde_json::{Map, Value};

use super::check::Names;

/// The values of one render. Built once per message, however many texts the message has.
#[derive(Debug)]
pub struct Context(pub(super) handlebars::Context);

impl Context {
    /// `values` is an object with the [roots](super::ROOTS). A declared parameter or mapped value that was not given is
    /// there and empty, so that `{{#if parameters.x}}` and `{{parameters.x}}` mean what they seem to; and the entries of
    /// `data` can also be reached by their names alone.
    pub fn new(values: Value, names: &Names) -> Self {
        let mut root = match values {
            Value::Object(map) => map,
            other => Map::from_iter([("this".to_owned(), other)]),
        };
        fill(&mut root, "parameters", &names.parameters);
        fill(&mut root, "mapped", &names.mapped);
        for name in &names.data {
            let value = root.get("data").and_then(|data| data.get(name)).cloned();
            if let Some(value) = value {
                root.entry(name.as_str()).or_insert(value);
            }
        }
        Self(handlebars::Context::from(Value::Object(root)))
    }
}

/// Puts null where a declared name has no value, and unfolds dotted names: a parameter `target.owner` is read as
/// `parameters.target.owner`.
fn fill<'a>(root: &mut Map<String, Value>, key: &str, declared: impl IntoIterator<Item = &'a String>) {
    let values = root.entry(key).or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(values) = values else { return };
    for name in declared {
        let value = values.get(name).cloned().unwrap_or(Value::Null);
        if name.contains('.') {
            nest(values, name, value);
        } else {
            values.entry(name.as_str()).or_insert(value);
        }
    }
}

fn nest(map: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            map.entry(name).or_insert(value);
        }
        Some((first, rest)) => {
            if let Value::Object(inner) = map.entry(first).or_insert_with(|| Value::Object(Map::new())) {
                nest(inner, rest, value);
            }
        }
    }
}
