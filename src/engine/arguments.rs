//! The values of a request, held against the parameters of its command.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::command::Command;
use crate::model::name::fold;
use crate::model::parameter::Parameter;
use crate::model::{Error, Kind};

/// What is wrong with one parameter of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its declared name, or the name as it was given when there is none.
    pub parameter: String,
    /// A word of the API: `required`, `pattern`, `choice`, `unknown`, …
    pub code: &'static str,
    /// In the words of the automation API.
    pub message: String,
    /// The value that was given and is wrong.
    pub value: Option<String>,
}

impl Fault {
    /// Whether another value would mend it.
    pub fn can_be_asked(&self) -> bool {
        !matches!(self.code, "unknown" | "duplicate")
    }
}

/// What a look at all values found.
pub(super) struct Checked {
    /// Every declared parameter that has a good value, defaults filled in.
    pub(super) arguments: BTreeMap<String, String>,
    /// Those of them that were given.
    pub(super) given: BTreeMap<String, String>,
    pub(super) faults: Vec<Fault>,
}

/// Checks every given value against every rule.
pub(super) fn check(command: &Command, given: &[(String, String)]) -> Checked {
    let mut checked = Checked { arguments: BTreeMap::new(), given: BTreeMap::new(), faults: Vec::new() };
    let mut fault = |parameter: &str, code, message| {
        checked.faults.push(Fault { parameter: parameter.to_owned(), code, message, value: None });
    };
    let mut values: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in given {
        match command.parameter(name) {
            Some(parameter) if values.insert(&parameter.name, value).is_some() => {
                fault(name, "duplicate", format!("Parameter '{name}' given twice in invocation to '{}'", command.name));
            }
            Some(_) => {}
            None => {
                let near = nearest(command, name);
                fault(name, "unknown", format!("Parameter '{name}' unknown in invocation to '{}'{near}", command.name));
            }
        }
    }
    for parameter in &command.parameters {
        let name = &parameter.name;
        match values.get(name.as_str()) {
            // An empty value counts as none, unless the parameter says that it may be empty.
            Some(value) if !value.is_empty() || parameter.min_length == Some(0) => {
                match parameter.check(value, &command.name) {
                    Ok(kept) => {
                        checked.given.insert(name.clone(), kept.clone());
                        checked.arguments.insert(name.clone(), kept);
                    }
                    Err(wrong) => checked.faults.push(Fault {
                        parameter: name.clone(),
                        code: wrong.code,
                        message: wrong.message,
                        value: Some((*value).to_owned()),
                    }),
                }
            }
            _ => match default(parameter) {
                Some(value) => {
                    checked.arguments.insert(name.clone(), value);
                }
                None if parameter.required => {
                    let message =
                        format!("Parameter '{name}' required but missing in invocation to '{}'", command.name);
                    checked.faults.push(Fault { parameter: name.clone(), code: "required", message, value: None });
                }
                None => {}
            },
        }
    }
    checked
}

/// The error that names every fault at once.
pub fn refusal(command: &Command, faults: &[Fault]) -> Error {
    let messages: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
    let message = format!("Validation failure invoking command handler '{}': {}", command.name, messages.join("; "));
    let errors: Vec<Value> = faults
        .iter()
        .map(|fault| {
            let field = format!("parameters.{}", fault.parameter);
            json!({ "field": field, "code": fault.code, "message": fault.message })
        })
        .collect();
    Error::new(Kind::Invalid, "VALIDATION_FAILED", message).details(json!({ "errors": errors }))
}

fn default(parameter: &Parameter) -> Option<String> {
    parameter.default.as_ref().map(|value| parameter.kind.accept(value).unwrap_or_else(|_| value.clone()))
}

fn nearest(command: &Command, name: &str) -> String {
    let best = command
        .parameters
        .iter()
        .map(|parameter| (strsim::jaro_winkler(&fold(&parameter.name), &fold(name)), parameter))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, parameter)| format!(", did you mean '{}'?", parameter.name)).unwrap_or_default()
}
