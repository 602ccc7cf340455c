//! Typed expressions: `${{ steps.health.output.state != 'RUNNING' }}`.
//!
//! A text that is one expression becomes its value with its type; an expression inside a text becomes part of the text.

use std::collections::BTreeSet;
use std::ops::Range;

use minijinja::value::Serde;
use minijinja::{Environment, Value as Jinja};
use serde_json::{Map, Value};

use crate::model::conversation::Millis;

/// The longest source of one expression, in bytes.
pub const SOURCE_BYTES: usize = 4 * 1024;

/// The longest value of one expression as JSON, in bytes.
const VALUE_BYTES: usize = 1024 * 1024;

/// What every expression may call, beside Jinja's own filters and tests.
pub const FUNCTIONS: [&str; 4] = ["now", "next_time", "range", "dict"];

/// Values by name.
pub type Scope = Map<String, Value>;

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Text(&'a str),
    /// The inside of `${{ }}`, and where it stands in the text, in bytes.
    Expression(&'a str, Range<usize>),
}

/// Takes a text apart; the error is the byte where an expression begins that does not end.
pub fn pieces(text: &str) -> Result<Vec<Piece<'_>>, usize> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${{") {
        let start = at + found;
        if start > at {
            pieces.push(Piece::Text(&text[at..start]));
        }
        let inside = start + 3;
        let length = end(&text[inside..]).ok_or(start)?;
        pieces.push(Piece::Expression(text[inside..inside + length].trim(), start..inside + length + 2));
        at = inside + length + 2;
    }
    if at < text.len() || pieces.is_empty() {
        pieces.push(Piece::Text(&text[at..]));
    }
    Ok(pieces)
}

/// Where `}}` ends an expression, braces and quotes inside it passed over.
fn end(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth > 0 => depth -= 1,
            (None, '}') if text[at + 1..].starts_with('}') => return Some(at),
            (None, _) => {}
        }
    }
    None
}

/// The expression that a text is as a whole.
pub fn whole(text: &str) -> Option<&str> {
    let text = text.trim();
    match pieces(text).ok()?.as_slice() {
        [Piece::Expression(expression, _)] => Some(expression),
        _ => None,
    }
}

/// Whether anything in a value is an expression.
pub fn is_template(text: &str) -> bool {
    text.contains("${{")
}

/// Evaluates expressions at one moment.
pub struct Evaluator {
    environment: Environment<'static>,
}

impl Evaluator {
    /// `now` is what `now()` answers.
    pub fn new(now: Millis) -> Self {
        let mut environment = crate::expression::environment();
        environment.add_function("now", move || now);
        environment.add_function("next_time", move |time: String, zone: Option<String>| {
            next_time(now, &time, zone.as_deref().unwrap_or("UTC"))
                .map_err(|why| minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, why))
        });
        Self { environment }
    }

    /// What is wrong with an expression before any value is known, or else the names at its top.
    pub fn check(&self, expression: &str) -> Result<BTreeSet<String>, String> {
        if expression.len() > SOURCE_BYTES {
            return Err(format!("an expression is at most {} KiB long", SOURCE_BYTES / 1024));
        }
        if expression.is_empty() {
            return Err("the expression is empty".to_owned());
        }
        let compiled = self.environment.compile_expression(expression).map_err(|error| in_words(&error))?;
        Ok(compiled.undeclared_variables(true).into_iter().collect())
    }

    /// The value of an expression.
    pub fn value(&self, expression: &str, scope: &Scope) -> Result<Value, String> {
        if expression.len() > SOURCE_BYTES {
            return Err(format!("an expression is at most {} KiB long", SOURCE_BYTES / 1024));
        }
        let compiled = self.environment.compile_expression(expression).map_err(|error| in_words(&error))?;
        let value = compiled.eval(Jinja::from(Serde(scope))).map_err(|error| in_words(&error))?;
        if value.is_undefined() {
            return Err(format!("\"{expression}\" has no value"));
        }
        let value =
            serde_json::to_value(&value).map_err(|error| format!("\"{expression}\" gives no value: {error}"))?;
        if let Value::String(text) = &value
            && text.len() > VALUE_BYTES
        {
            return Err("the value becomes longer than 1 MiB".to_owned());
        }
        Ok(value)
    }

    /// Whether an expression holds.
    pub fn holds(&self, expression: &str, scope: &Scope) -> Result<bool, String> {
        let expression = whole(expression).unwrap_or(expression);
        Ok(match self.value(expression, scope)? {
            Value::Bool(flag) => flag,
            Value::Null => false,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
        })
    }

    /// A text with its expressions as `spell` writes their values, or the value of the one that it is.
    fn text(&self, text: &str, scope: &Scope, spell: fn(&str) -> String) -> Result<Value, String> {
        if !is_template(text) {
            return Ok(Value::String(text.to_owned()));
        }
        if let Some(expression) = whole(text) {
            return self.value(expression, scope);
        }
        let mut out = String::with_capacity(text.len());
        for piece in pieces(text).map_err(|_| "an expression does not end with }}".to_owned())? {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Expression(expression, _) => out.push_str(&spell(&plain(&self.value(expression, scope)?))),
            }
            if out.len() > VALUE_BYTES {
                return Err("the text becomes longer than 1 MiB".to_owned());
            }
        }
        Ok(Value::String(out))
    }

    /// A value with all its expressions in place.
    pub fn fill(&self, template: &Value, scope: &Scope) -> Result<Value, String> {
        Ok(match template {
            Value::String(text) => self.text(text, scope, str::to_owned)?,
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.fill(item, scope)).collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                let filled = members.iter().map(|(key, value)| Ok((key.clone(), self.fill(value, scope)?)));
                Value::Object(filled.collect::<Result<_, String>>()?)
            }
            other => other.clone(),
        })
    }

    /// A text, whatever its expressions give; their values are written as `spell` says.
    pub fn spelled(&self, text: &str, scope: &Scope, spell: fn(&str) -> String) -> Result<String, String> {
        // One expression alone is spelled as well.
        Ok(match self.text(text, scope, spell)? {
            Value::String(spelled) if whole(text).is_some() => spell(&spelled),
            Value::String(spelled) => spelled,
            other => spell(&plain(&other)),
        })
    }
}

/// A value as text.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The parser's error without the name of a template nobody wrote.
fn in_words(error: &minijinja::Error) -> String {
    use minijinja::ErrorKind;
    match error.kind() {
        ErrorKind::OutOfFuel => "the expression takes too long".to_owned(),
        kind => match error.detail() {
            Some(detail) => detail.to_owned(),
            None => kind.to_string(),
        },
    }
}

/// The next moment at which clocks of a time zone show `time`, in milliseconds.
fn next_time(now: Millis, time: &str, zone: &str) -> Result<Millis, String> {
    let time: jiff::civil::Time =
        time.parse().map_err(|_| format!("next_time takes a time such as '02:00', not '{time}'"))?;
    let zone = jiff::tz::TimeZone::get(zone).map_err(|_| format!("there is no time zone '{zone}'"))?;
    let at = jiff::Timestamp::from_millisecond(now).map_err(|error| error.to_string())?.to_zoned(zone);
    let today = at.date().to_datetime(time).to_zoned(at.time_zone().clone());
    let today = today.map_err(|error| error.to_string())?;
    let next = if today.timestamp() > at.timestamp() {
        today
    } else {
        let tomorrow = at.date().tomorrow().map_err(|error| error.to_string())?;
        tomorrow.to_datetime(time).to_zoned(at.time_zone().clone()).map_err(|error| error.to_string())?
    };
    Ok(next.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Millis = 1_790_000_000_000;

    fn scope() -> Scope {
        let values = json!({
            "inputs": { "name": "web", "urls": ["a", "b"], "n": 3, "none": null },
            "steps": { "health": { "output": { "state": "RUNNING", "modules": [{ "name": "x" }] }, "skipped": false } },
        });
        values.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_value_keeps_its_type_and_becomes_text_inside_of_text() {
        let evaluator = Evaluator::new(NOW);
        for (template, value) in [
            (json!("${{ inputs.n }}"), json!(3)),
            (json!("${{ inputs.urls }}"), json!(["a", "b"])),
            (json!(" ${{ inputs.n > 2 }} "), json!(true)),
            (json!("n is ${{ inputs.n }} and ${{ inputs.urls[1] }}"), json!("n is 3 and b")),
            (json!("${{ {'a': {'b': inputs.n}} }}"), json!({ "a": { "b": 3 } })),
            (json!("${{ 'x}}y' }}"), json!("x}}y")),
            (json!("${{ inputs.nothing is defined }}"), json!(false)),
            (json!("${{ 'x' in steps.health.output.modules | map(attribute='name') }}"), json!(true)),
            (json!("${{ inputs.urls | length }}"), json!(2)),
            (json!("${{ now() }}"), json!(NOW)),
            (json!("{{ not.one }}"), json!("{{ not.one }}")),
            (json!({ "a": ["${{ inputs.name }}", 1, null] }), json!({ "a": ["web", 1, null] })),
        ] {
            assert_eq!(evaluator.fill(&template, &scope()), Ok(value), "{template}");
        }
    }

    #[test]
    fn what_has_no_value_or_costs_too_much_is_refused() {
        let evaluator = Evaluator::new(NOW);
        for (expression, part) in [
            ("inputs.nothing", "nothing"),
            ("steps.none.output", "undefined"),
            ("range(100000) | map('string') | join | length", "too long"),
            ("'x' * 100000000000", "too long"),
            ("inputs.n +", "unexpected"),
            ("open('/etc/passwd')", "open"),
        ] {
            let refused = evaluator.value(expression, &scope()).unwrap_err();
            assert!(refused.to_lowercase().contains(part), "{expression}: {refused}");
        }
        assert!(evaluator.fill(&json!("${{ inputs.n"), &scope()).is_err());
        assert_eq!(pieces("a ${{ b"), Err(2));
    }

    #[test]
    fn clocks_are_asked_where_they_stand() {
        // 2026-09-21 14:13:20 UTC.
        let at = |time, zone| next_time(NOW, time, zone).map(|at| at - NOW);
        assert_eq!(at("14:14", "UTC"), Ok(40_000));
        assert_eq!(at("14:13", "UTC"), Ok(24 * 3_600_000 - 20_000));
        // 23:43:20 there, nine and a half hours ahead.
        assert_eq!(at("02:00", "Australia/Adelaide"), Ok((2 * 3600 + 16 * 60 + 40) * 1000));
        assert!(at("25:00", "UTC").is_err() && at("02:00", "Mars/Base").is_err());
    }
}
