//! Floor 1: JSON Schema: compiled once, and faults in plain words with their place.
//!
//! Nothing is fetched for a schema, its patterns run in linear time, and no message repeats the value it is about, since
//! that may be a secret.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use crate::template::nearest;

/// So many faults of one value are told.
const MOST_FAULTS: usize = 50;

/// A schema that is ready to check values.
#[derive(Clone, Debug)]
pub struct Schema {
    source: Value,
    validator: Validator,
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, as a JSON pointer; of a key that is unknown, the key itself.
    pub pointer: String,
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl Fault {
    /// The place as people write it, such as `steps[0].with.text`; empty for the whole value.
    pub fn field(&self) -> String {
        field(&self.pointer)
    }

    /// The message with its suggestion.
    pub fn text(&self) -> String {
        match &self.suggestion {
            Some(suggestion) => format!("{}, did you mean \"{suggestion}\"?", self.message),
            None => self.message.clone(),
        }
    }
}

/// A JSON pointer as people write it.
pub fn field(pointer: &str) -> String {
    let mut field = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            field.push_str(&format!("[{part}]"));
        } else {
            if !field.is_empty() {
                field.push('.');
            }
            field.push_str(&part);
        }
    }
    field
}

impl Schema {
    /// Compiles a schema; the error is one sentence.
    pub fn compile(source: &Value) -> Result<Self, String> {
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex().size_limit(1 << 20))
            .should_validate_formats(true)
            .offline()
            .build(source)
            .map_err(|error| {
                let place = field(&error.instance_path().to_string());
                let at = if place.is_empty() { String::new() } else { format!(" at {place}") };
                format!("this is no JSON Schema{at}: {}", error.masked())
            })?;
        Ok(Self { source: source.clone(), validator })
    }

    pub fn source(&self) -> &Value {
        &self.source
    }

    /// Everything that is wrong with a value, in the order of the schema; none when it fits.
    pub fn faults(&self, value: &Value) -> Vec<Fault> {
        let mut faults = Vec::new();
        for error in self.validator.iter_errors(value).take(MOST_FAULTS) {
            self.tell(error.kind(), &error.instance_path().to_string(), &error.schema_path().to_string(), &mut faults);
        }
        faults.dedup();
        faults
    }

    fn tell(&self, kind: &ValidationErrorKind, pointer: &str, rule: &str, faults: &mut Vec<Fault>) {
        let mut fault = |message: String| {
            faults.push(Fault { pointer: pointer.to_owned(), message, suggestion: None });
        };
        match kind {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let known = self.known_keys(rule);
                for key in unexpected {
                    let escaped = key.replace('~', "~0").replace('/', "~1");
                    let suggestion = nearest(key, known.iter().map(String::as_str)).map(str::to_owned);
                    let message = format!("unknown key \"{key}\"");
                    faults.push(Fault { pointer: format!("{pointer}/{escaped}"), message, suggestion });
                }
            }
            ValidationErrorKind::Required { property } => {
                fault(format!("\"{}\" is missing", property.as_str().unwrap_or_default()));
            }
            ValidationErrorKind::Type { kind } => fault(format!("this is {}", wanted(kind))),
            ValidationErrorKind::Enum { options } => {
                let options: Vec<String> = options.as_array().into_iter().flatten().map(word).collect();
                fault(format!("this is one of {}", options.join(", ")));
            }
            ValidationErrorKind::Constant { expected_value } => fault(format!("this is {}", word(expected_value))),
            ValidationErrorKind::Pattern { pattern } => fault(format!("this does not match {pattern}")),
            ValidationErrorKind::Format { format } => fault(format!("this is no {format}")),
            ValidationErrorKind::Minimum { limit } => fault(format!("this is at least {limit}")),
            ValidationErrorKind::Maximum { limit } => fault(format!("this is at most {limit}")),
            ValidationErrorKind::MinLength { limit } => fault(format!("this has at least {limit} characters")),
            ValidationErrorKind::MaxLength { limit } => fault(format!("this has at most {limit} characters")),
            ValidationErrorKind::MinItems { limit } => fault(format!("this has at least {limit} items")),
            ValidationErrorKind::MaxItems { limit } => fault(format!("this has at most {limit} items")),
            ValidationErrorKind::MinProperties { limit } => fault(format!("this has at least {limit} keys")),
            ValidationErrorKind::PropertyNames { error } => {
                let mut inner = Vec::new();
                self.tell(error.kind(), pointer, &error.schema_path().to_string(), &mut inner);
                let reason = inner.first().map_or_else(String::new, |inner| format!(": {}", inner.message));
                fault(format!("a key here has a name it cannot have{reason}"));
            }
            // What fits best is what the writer meant: the alternative with the fewest faults tells.
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                let misfit = |errors: &Vec<jsonschema::ValidationError<'static>>| {
                    let paths = errors.iter().map(|error| error.instance_path().to_string());
                    let deepest = paths.map(|path| path.matches('/').count()).max();
                    let is_other_type = errors.iter().any(|error| {
                        let is_here = error.instance_path().to_string() == pointer;
                        is_here && matches!(error.kind(), ValidationErrorKind::Type { .. })
                    });
                    (is_other_type, std::cmp::Reverse(deepest), errors.len())
                };
                let best = context.iter().min_by_key(|errors| misfit(errors));
                match best {
                    Some(errors) if !errors.is_empty() => {
                        for error in errors {
                            let path = error.instance_path().to_string();
                            self.tell(error.kind(), &path, &error.schema_path().to_string(), faults);
                        }
                    }
                    _ => fault("this fits none of the forms that are possible here".to_owned()),
                }
            }
            ValidationErrorKind::OneOfMultipleValid { .. } => {
                fault("this fits more than one of the forms that exclude each other here".to_owned());
            }
            ValidationErrorKind::FalseSchema => fault("this has no place here".to_owned()),
            other => fault(format!("this breaks the rule \"{}\"", other.keyword())),
        }
    }

    /// The keys that the object at `rule` knows.
    fn known_keys(&self, rule: &str) -> Vec<String> {
        let object = rule.rsplit_once('/').map_or("", |(object, _)| object);
        let properties = self.source.pointer(object).and_then(|object| object.get("properties"));
        properties.and_then(Value::as_object).map(|known| known.keys().cloned().collect()).unwrap_or_default()
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn wanted(kind: &TypeKind) -> String {
    let name = |name: &str| match name {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a map of keys and values",
        _ => "null",
    };
    match kind {
        TypeKind::Single(one) => name(&one.to_string()).to_owned(),
        TypeKind::Multiple(many) => {
            many.iter().map(|one| name(&one.to_string()).to_owned()).collect::<Vec<_>>().join(" or ")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn faults_name_their_place_and_never_the_value() {
        let schema = Schema::compile(&json!({
            "type": "object", "additionalProperties": false, "required": ["to"],
            "properties": {
                "to": {"type": "string", "pattern": "^a"}, "count": {"type": ["integer", "null"]},
                "list": {"type": "array", "items": {"enum": ["x", "y"]}},
                "body": {"oneOf": [{"type": "object", "required": ["text"]}, {"type": "array"}]},
            }
        }))
        .unwrap();
        let faults = schema.faults(&json!({
            "to": "hunter2", "cuont": 1, "count": "many", "list": ["x", "z"], "body": {}
        }));
        let mut told: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.field(), fault.text())).collect();
        told.sort();
        assert_eq!(
            told,
            [
                "body: \"text\" is missing",
                "count: this is null or a whole number",
                "cuont: unknown key \"cuont\", did you mean \"count\"?",
                "list[1]: this is one of x, y",
                "to: this does not match ^a",
            ]
        );
        assert_eq!(schema.faults(&json!({}))[0].text(), "\"to\" is missing");
        assert!(schema.faults(&json!({"to": "a"})).is_empty());
    }

    #[test]
    fn a_schema_is_read_without_asking_anybody_and_costs_no_more_than_its_length() {
        for wrong in [
            json!({"type": "strng"}),
            json!({"$ref": "http://127.0.0.1:1/schema"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"pattern": "(?=a)"}),
            json!({"pattern": "(a{1000}){1000}"}),
        ] {
            assert!(Schema::compile(&wrong).is_err(), "{wrong}");
        }
        let schema = Schema::compile(&json!({"pattern": "^(a+)+$"})).unwrap();
        let started = std::time::Instant::now();
        assert!(!schema.faults(&json!(format!("{}!", "a".repeat(50_000)))).is_empty());
        assert!(started.elapsed().as_secs() < 5);
    }
}
