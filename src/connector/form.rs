//! Forms and queries.

use serde_json::Value;

use crate::expression::in_words;

/// Name and value pairs as browsers send them. Nested values are `a[b][0]`; with `flat` they are JSON.
pub(super) fn pairs(value: &Value, nested: bool) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (name, member) in value.as_object().into_iter().flatten() {
        add(name.clone(), member, nested, &mut pairs);
    }
    pairs
}

fn add(name: String, value: &Value, nested: bool, pairs: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Array(items) if nested => {
            for (at, item) in items.iter().enumerate() {
                add(format!("{name}[{at}]"), item, nested, pairs);
            }
        }
        Value::Object(members) if nested => {
            for (key, member) in members {
                add(format!("{name}[{key}]"), member, nested, pairs);
            }
        }
        // A list in a query is the name again and again.
        Value::Array(items) => items.iter().for_each(|item| pairs.push((name.clone(), in_words(item)))),
        other => pairs.push((name, in_words(other))),
    }
}

pub(super) fn encode(pairs: &[(String, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_form_is_flat_or_nested() {
        let value = json!({"a": 1, "b": {"c": "x y", "d": [true, {"e": "&"}]}, "n": null, "l": ["p", "q"]});
        let nested = encode(&pairs(&value, true));
        assert_eq!(nested, "a=1&b%5Bc%5D=x+y&b%5Bd%5D%5B0%5D=true&b%5Bd%5D%5B1%5D%5Be%5D=%26&l%5B0%5D=p&l%5B1%5D=q");
        assert_eq!(encode(&pairs(&json!({"l": ["p", "q"], "o": {"k": 1}}), false)), "l=p&l=q&o=%7B%22k%22%3A1%7D");
    }
}
