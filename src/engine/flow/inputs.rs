//! The inputs of a run, checked against what its document declares.

use serde_json::{Map, Value, json};

use crate::flow::{Flow, Input, InputType};
use crate::model::{Error, Kind, Result};
use crate::template::nearest;

/// The inputs with defaults in place. All faults are told at once.
pub(super) fn check(flow: &Flow, given: &Map<String, Value>) -> Result<Map<String, Value>> {
    // A document that declares nothing takes anything.
    if flow.inputs.is_empty() {
        return Ok(given.clone());
    }
    let (mut inputs, mut errors) = (Map::new(), Vec::new());
    let mut fault = |name: &str, code: &str, message: String| {
        errors.push(json!({ "field": format!("parameters.{name}"), "code": code, "message": message }));
    };
    for name in given.keys().filter(|name| !flow.inputs.iter().any(|input| input.name == **name)) {
        let near = nearest(name, flow.inputs.iter().map(|input| input.name.as_str()));
        let hint = near.map(|near| format!(", did you mean '{near}'?")).unwrap_or_default();
        fault(name, "unknown", format!("there is no input '{name}'{hint}"));
    }
    for input in &flow.inputs {
        let name = &input.name;
        let value = match (given.get(name).filter(|value| !value.is_null()), &input.default) {
            (Some(value), _) => value.clone(),
            (None, Some(default)) => default.clone(),
            (None, None) if input.required => {
                fault(name, "required", format!("input '{name}' is missing"));
                continue;
            }
            (None, None) => {
                inputs.insert(name.clone(), Value::Null);
                continue;
            }
        };
        match typed(input, value) {
            Ok(value) => match breaks(input, &value) {
                Some(why) => fault(name, "schema", format!("input '{name}': {why}")),
                None => {
                    inputs.insert(name.clone(), value);
                }
            },
            Err(expected) => fault(name, "type", format!("input '{name}' is {expected}")),
        }
    }
    if errors.is_empty() {
        return Ok(inputs);
    }
    let message = errors.first().and_then(|error| error["message"].as_str()).unwrap_or_default().to_owned();
    Err(Error::new(Kind::Invalid, "VALIDATION_ERROR", message).details(json!({ "errors": errors })))
}

/// A value of the input's type; texts are read where people can only give texts. The error says what was expected.
fn typed(input: &Input, value: Value) -> Result<Value, &'static str> {
    let text = |value: &Value| value.as_str().map(|text| text.trim().to_owned());
    match (input.kind, &value) {
        (InputType::String | InputType::File | InputType::Credential | InputType::Secret, Value::String(_)) => {
            Ok(value)
        }
        (InputType::String, Value::Number(_) | Value::Bool(_)) => Ok(json!(value.to_string())),
        (InputType::String | InputType::File | InputType::Credential | InputType::Secret, _) => Err("a text"),
        (InputType::Integer, Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(value),
        (InputType::Integer, _) => {
            let number = text(&value).and_then(|text| text.parse::<i64>().ok());
            number.map(|number| json!(number)).ok_or("a whole number")
        }
        (InputType::Float, Value::Number(_)) => Ok(value),
        (InputType::Float, _) => {
            let number = text(&value).and_then(|text| text.parse::<f64>().ok()).filter(|number| number.is_finite());
            number.map(|number| json!(number)).ok_or("a number")
        }
        (InputType::Boolean, Value::Bool(_)) => Ok(value),
        (InputType::Boolean, _) => match text(&value).map(|text| text.to_lowercase()).as_deref() {
            Some("true" | "yes" | "on" | "1") => Ok(json!(true)),
            Some("false" | "no" | "off" | "0") => Ok(json!(false)),
            _ => Err("true or false"),
        },
        (InputType::List, Value::Array(_)) => Ok(value),
        (InputType::List, _) => match text(&value) {
            Some(text) if text.starts_with('[') => {
                serde_json::from_str::<Vec<Value>>(&text).map(Value::Array).map_err(|_| "a list")
            }
            Some(text) => Ok(text.split([',', '\n']).map(str::trim).filter(|item| !item.is_empty()).collect()),
            None => Err("a list"),
        },
        (InputType::Dict, Value::Object(_)) => Ok(value),
        (InputType::Dict, _) => {
            let object = text(&value).and_then(|text| serde_json::from_str::<Map<String, Value>>(&text).ok());
            object.map(Value::Object).ok_or("an object")
        }
    }
}

fn breaks(input: &Input, value: &Value) -> Option<String> {
    if input.schema.is_null() {
        return None;
    }
    let options = jsonschema::options().should_validate_formats(true);
    match options.build(&input.schema) {
        Ok(validator) => validator.validate(value).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Flow {
        let input = |name: &str, kind, required, default, schema| Input {
            name: name.into(),
            kind,
            required,
            default,
            description: String::new(),
            schema,
        };
        Flow {
            inputs: vec![
                input("url", InputType::String, true, None, json!({ "format": "uri" })),
                input("n", InputType::Integer, false, Some(json!(3)), Value::Null),
                input("deep", InputType::Boolean, false, None, Value::Null),
                input("list", InputType::List, false, None, json!({ "items": { "type": "string" } })),
            ],
            ..Flow::default()
        }
    }

    #[test]
    fn inputs_get_their_types_and_every_fault_is_told() {
        let given = json!({ "url": "http://a.example", "deep": "yes", "list": "a, b" });
        let checked = check(&flow(), given.as_object().unwrap()).unwrap();
        assert_eq!(json!(checked), json!({ "url": "http://a.example", "n": 3, "deep": true, "list": ["a", "b"] }));
        let given = json!({ "ulr": "x", "url": "no address", "n": "many", "list": [1] });
        let error = check(&flow(), given.as_object().unwrap()).unwrap_err();
        let codes: Vec<&str> =
            error.details["errors"].as_array().unwrap().iter().map(|e| e["code"].as_str().unwrap()).collect();
        assert_eq!(codes, ["unknown", "schema", "type", "schema"], "{error:?}");
        assert!(error.message.contains("did you mean 'url'"), "{error}");
    }
}
