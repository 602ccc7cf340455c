//! Expressions of documents: kept as they were written, evaluated at one moment with what has happened so far.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::value::Serde;
use serde_json::{Map, Value};

use super::time::next_time;
use super::{Expression, Piece, Without, in_words, is_template, pieces, whole};
use crate::model::conversation::Millis;

/// The longest text that comes of one template, in bytes.
const VALUE_BYTES: usize = 1024 * 1024;

/// What every expression may call, beside Jinja's own filters and tests.
pub const FUNCTIONS: [&str; 4] = ["now", "next_time", "range", "dict"];

/// Values by name.
pub type Scope = Map<String, Value>;

/// Evaluates expressions at one moment.
pub struct Evaluator {
    now: Millis,
}

impl Evaluator {
    /// `now` is what `now()` answers.
    pub fn new(now: Millis) -> Self {
        Self { now }
    }

    /// What is wrong with an expression before any value is known, or else the names at its top.
    pub fn check(&self, expression: &str) -> Result<BTreeSet<String>, String> {
        Ok(Expression::parse(expression)?.names().into_iter().collect())
    }

    /// The value of an expression.
    pub fn value(&self, expression: &str, scope: &Scope) -> Result<Value, String> {
        let compiled = Expression::parse(expression)?;
        let value = compiled.value(self.context(&compiled, scope)).map_err(|without| match without {
            Without::Undefined(None) => format!("\"{expression}\" has no value"),
            Without::Undefined(Some(what)) => what,
            Without::Failed(why) => why,
        })?;
        if value.as_str().is_some_and(|text| text.len() > VALUE_BYTES) {
            return Err("the value becomes longer than 1 MiB".to_owned());
        }
        Ok(value)
    }

    /// What an expression names of a scope. A run remembers all that its steps gave; handing over the whole of it would cost
    /// every expression a copy of that.
    fn context(&self, expression: &Expression, scope: &Scope) -> minijinja::Value {
        let mut wanted: BTreeMap<String, BTreeSet<Option<String>>> = BTreeMap::new();
        for path in expression.names() {
            let mut parts = path.split('.');
            let top = parts.next().unwrap_or_default().to_owned();
            wanted.entry(top).or_default().insert(parts.next().map(str::to_owned));
        }
        let now = self.now;
        let mut names: BTreeMap<&str, minijinja::Value> = BTreeMap::new();
        for (top, members) in &wanted {
            match scope.get(top) {
                Some(value) => {
                    let part = part(value, members);
                    names.insert(top, minijinja::Value::from(Serde(part.as_ref().unwrap_or(value))));
                }
                None if top == "now" => {
                    names.insert(top, minijinja::Value::from_function(move || now));
                }
                None if top == "next_time" => {
                    let next = move |time: String, zone: Option<String>| {
                        next_time(now, &time, zone.as_deref().unwrap_or("UTC"))
                            .map_err(|why| minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, why))
                    };
                    names.insert(top, minijinja::Value::from_function(next));
                }
                None => {}
            }
        }
        minijinja::Value::from_pairs(names)
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
                Piece::Expression(expression, _) => out.push_str(&spell(&in_words(&self.value(expression, scope)?))),
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
            other => spell(&in_words(&other)),
        })
    }
}

/// The members of an object that are wanted; none when it is wanted as a whole.
fn part(value: &Value, wanted: &BTreeSet<Option<String>>) -> Option<Value> {
    let members = value.as_object()?;
    let named = wanted.iter().map(|name| name.as_ref().and_then(|name| members.get_key_value(name)));
    let pairs = named.collect::<Option<Vec<_>>>()?;
    Some(Value::Object(pairs.into_iter().map(|(name, member)| (name.clone(), member.clone())).collect()))
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
}
