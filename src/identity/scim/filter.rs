//! Filters: comparisons that must all hold. `eq` finds resources; the others choose among the values of one attribute.

use serde_json::Value;

use super::wrong;
use crate::model::Result;
use crate::store::scim::Attribute;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    User,
    Group,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Contains,
    StartsWith,
    EndsWith,
    Present,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Comparison {
    /// As it was written.
    pub(super) attribute: String,
    pub(super) operator: Operator,
    pub(super) value: Value,
}

impl Comparison {
    /// Whether an item of a multi-valued attribute fits; texts do not mind case, except for ids.
    pub(super) fn holds(&self, item: &Value) -> bool {
        let field = item.as_object().and_then(|item| {
            let known = item.iter().find(|(name, _)| name.eq_ignore_ascii_case(&self.attribute));
            known.map(|(_, value)| value)
        });
        let is_value = self.attribute.eq_ignore_ascii_case("value");
        let text = |value: &Value| {
            let text = value.as_str()?;
            Some(if is_value { text.to_owned() } else { text.to_lowercase() })
        };
        let both = field.and_then(text).zip(text(&self.value));
        match self.operator {
            Operator::Present => field.is_some_and(|value| !value.is_null()),
            Operator::Equal => both.map_or(field == Some(&self.value), |(one, other)| one == other),
            Operator::NotEqual => both.map_or(field != Some(&self.value), |(one, other)| one != other),
            Operator::Contains => both.is_some_and(|(one, other)| one.contains(&other)),
            Operator::StartsWith => both.is_some_and(|(one, other)| one.starts_with(&other)),
            Operator::EndsWith => both.is_some_and(|(one, other)| one.ends_with(&other)),
        }
    }
}

/// One word, up to a space.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_at(text.find(' ').unwrap_or(text.len()))
}

/// A JSON value at the beginning of a text, and what follows it.
fn literal(text: &str) -> Option<(Value, &str)> {
    let text = text.trim_start();
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let value = values.next()?.ok().filter(|value| !value.is_object() && !value.is_array())?;
    Some((value, &text[values.byte_offset()..]))
}

/// Comparisons joined by `and`.
pub(super) fn comparisons(text: &str) -> Result<Vec<Comparison>> {
    let invalid = || {
        wrong("invalidFilter", format!("the filter {text:?} is none that is known here; write attribute eq \"value\""))
    };
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let (attribute, after) = word(rest);
        let (operator, after) = word(after);
        let operator = match operator.to_ascii_lowercase().as_str() {
            "eq" => Operator::Equal,
            "ne" => Operator::NotEqual,
            "co" => Operator::Contains,
            "sw" => Operator::StartsWith,
            "ew" => Operator::EndsWith,
            "pr" => Operator::Present,
            _ => return Err(invalid()),
        };
        let (value, after) = match operator {
            Operator::Present => (Value::Null, after),
            _ => literal(after).ok_or_else(invalid)?,
        };
        found.push(Comparison { attribute: attribute.to_owned(), operator, value });
        let (joint, after) = word(after);
        match joint.to_ascii_lowercase().as_str() {
            "" if after.trim().is_empty() => return Ok(found),
            "and" => rest = after,
            _ => return Err(invalid()),
        }
    }
}

/// What a filter looks for among all resources of a kind.
pub fn parse(text: &str, kind: Kind) -> Result<Vec<(Attribute, String)>> {
    let schema = match kind {
        Kind::User => super::USER,
        Kind::Group => super::GROUP,
    };
    let mut wanted = Vec::new();
    for Comparison { attribute, operator, value } in comparisons(text)? {
        let plain = attribute.to_ascii_lowercase();
        let plain = plain.strip_prefix(&format!("{}:", schema.to_ascii_lowercase())).unwrap_or(&plain);
        let found = match (kind, plain) {
            (_, "id") => Attribute::Id,
            (_, "externalid") => Attribute::ExternalId,
            (Kind::User, "username") | (Kind::Group, "displayname") => Attribute::Name,
            (Kind::Group, "members" | "members.value") => Attribute::Member,
            _ => return Err(wrong("invalidFilter", format!("{attribute} is nothing that can be looked for here"))),
        };
        let (Operator::Equal, Value::String(value)) = (operator, value) else {
            return Err(wrong("invalidFilter", format!("{attribute} is looked for with eq and a text")));
        };
        wanted.push((found, value));
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_filter_is_understood_or_refused() {
        for (text, kind, expected) in [
            ("userName eq \"Ann\"", Kind::User, vec![(Attribute::Name, "Ann")]),
            ("USERNAME EQ \"a \\\"b\\\" and c\"", Kind::User, vec![(Attribute::Name, "a \"b\" and c")]),
            ("externalId eq \"1\"", Kind::User, vec![(Attribute::ExternalId, "1")]),
            ("urn:ietf:params:scim:schemas:core:2.0:User:userName eq \"x\"", Kind::User, vec![(Attribute::Name, "x")]),
            ("displayName eq \"sre\"", Kind::Group, vec![(Attribute::Name, "sre")]),
            ("id eq \"g\" and members eq \"u\"", Kind::Group, vec![(Attribute::Id, "g"), (Attribute::Member, "u")]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(one, value)| (one, value.to_owned())).collect();
            assert_eq!(parse(text, kind).unwrap(), expected, "{text}");
        }
        for wrong in [
            "",
            "userName",
            "userName eq",
            "userName eq Ann",
            "userName eq \"a\" or userName eq \"b\"",
            "userName co \"a\"",
            "userName eq 7",
            "userName eq {\"a\":1}",
            "displayName eq \"a\"",
            "userName eq \"a\" and",
            "userName eq \"a\" \"b\"",
            "not (userName eq \"a\")",
            "userName pr",
        ] {
            let error = parse(wrong, Kind::User).unwrap_err();
            assert_eq!(error.details["scimType"], "invalidFilter", "{wrong}");
        }
    }

    #[test]
    fn values_of_an_attribute_are_chosen() {
        let item = json!({ "type": "Work", "value": "A@x", "primary": true });
        for (text, holds) in [
            ("type eq \"work\"", true),
            ("Type eq \"home\"", false),
            ("value eq \"a@x\"", false),
            ("value sw \"A\" and primary eq true", true),
            ("primary eq \"true\"", false),
            ("display pr", false),
            ("type ne \"home\"", true),
            ("value ew \"x\" and type co \"or\"", true),
        ] {
            let all = comparisons(text).unwrap().iter().all(|one| one.holds(&item));
            assert_eq!(all, holds, "{text}");
        }
    }
}
