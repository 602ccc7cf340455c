//! The parameters of a command.

use super::sheet::{NOTHING_LATER, Sheet};
use super::yaml::{Entry, Kind, Node};
use crate::manifest::fault::Level;
use crate::model::name::{fold, is_name};
use crate::model::parameter::{MAX_VALUE_CHARACTERS, Parameter, ParameterType, ValuePattern};
use crate::template::nearest;

/// The keys of a parameter.
pub const KEYS: [&str; 11] = [
    "type",
    "choices",
    "description",
    "required",
    "default",
    "pattern",
    "valid_input",
    "min_length",
    "max_length",
    "prompt",
    "displayable",
];

/// Reads `parameters: {name: {…}}` in the order written.
pub(super) fn read_all(sheet: &mut Sheet, node: &Node) -> Vec<Parameter> {
    let mut parameters: Vec<Parameter> = Vec::new();
    for entry in sheet.map(node, "\"parameters\"").unwrap_or_default() {
        if !is_name(&entry.key) {
            sheet.error(
                entry.key_at,
                format!("\"{}\" cannot name a parameter: a letter, then letters, digits, - _ or .", entry.key),
            );
        }
        if let Some(twin) = parameters.iter().find(|parameter| fold(&parameter.name) == fold(&entry.key)) {
            let message = format!("parameter \"{}\" is there already as \"{}\"", entry.key, twin.name);
            sheet.error(entry.key_at, message);
        }
        parameters.push(read(sheet, entry));
    }
    parameters
}

fn read(sheet: &mut Sheet, entry: &Entry) -> Parameter {
    let mut parameter = Parameter { name: entry.key.clone(), required: true, ..Parameter::default() };
    let node = &entry.value;
    match &node.kind {
        // `service:` alone is a string, `count: integer` a type alone.
        Kind::Empty => return parameter,
        Kind::Scalar { .. } => {
            parameter.kind = kind(sheet, node, None).unwrap_or_default();
            return parameter;
        }
        _ => {}
    }
    if sheet.entries(node, "a parameter", &KEYS, NOTHING_LATER).is_none() {
        return parameter;
    }
    let kind = match (node.get("type"), node.get("choices")) {
        (Some(written), choices) => kind(sheet, written, choices),
        (None, Some(choices)) => Some(ParameterType::Choice { choices: read_choices(sheet, choices) }),
        (None, None) => Some(ParameterType::String),
    };
    // What depends on the type is not judged by a type that was not understood.
    let understood = kind.is_some();
    parameter.kind = kind.unwrap_or_default();
    let longest = MAX_VALUE_CHARACTERS;
    if let Some(node) = node.get("description") {
        parameter.description = sheet.text(node, "\"description\"").unwrap_or_default().trim().to_owned();
    }
    parameter.valid_input = line(sheet, node, "valid_input");
    parameter.prompt = line(sheet, node, "prompt");
    parameter.min_length = node.get("min_length").and_then(|node| sheet.number(node, "\"min_length\""));
    parameter.max_length = node.get("max_length").and_then(|node| sheet.number(node, "\"max_length\""));
    if let (Some(least), Some(most)) = (parameter.min_length, parameter.max_length)
        && least > most
        && let Some(entry) = node.entry("max_length")
    {
        sheet.error(entry.value.at, format!("\"max_length\" {most} is less than \"min_length\" {least}"));
    }
    if let Some(node) = node.get("max_length")
        && parameter.max_length.is_some_and(|most| most == 0 || most > longest)
    {
        sheet.error(node.at, format!("\"max_length\" is from 1 to {longest}"));
    }
    if let Some(node) = node.get("pattern")
        && let Some(source) = sheet.text(node, "\"pattern\"")
    {
        match ValuePattern::new(source) {
            Ok(pattern) => parameter.pattern = Some(pattern),
            Err(message) => sheet.error(node.at, format!("\"pattern\" is not a regular expression: {message}")),
        }
    }
    parameter.hidden = node.get("displayable").and_then(|node| sheet.flag(node, "\"displayable\"")) == Some(false);
    let faults = sheet.faults.len();
    let default = node.get("default").filter(|node| !matches!(node.kind, Kind::Empty));
    if let Some(node) = default
        && let Some(text) = sheet.text(node, "\"default\"")
    {
        parameter.default = Some(text.to_owned());
        if understood && faults == sheet.faults.len() {
            parameter.default = check_default(sheet, node, &parameter, text);
        }
    }
    let required = node.get("required").and_then(|node| sheet.flag(node, "\"required\""));
    if required == Some(true)
        && default.is_some()
        && let Some(node) = node.get("required")
    {
        let message = "a parameter with a default is never missing: \"required\" has no effect".to_owned();
        sheet.report(node.at, Level::Warning, message, None);
    }
    parameter.required = required.unwrap_or(true) && default.is_none();
    parameter
}

fn line(sheet: &mut Sheet, parameter: &Node, key: &str) -> Option<String> {
    const LONGEST: usize = 200;
    let node = parameter.get(key)?;
    sheet.line(node, &format!("\"{key}\""), LONGEST).map(str::to_owned)
}

fn kind(sheet: &mut Sheet, node: &Node, choices: Option<&Node>) -> Option<ParameterType> {
    let name = sheet.text(node, "\"type\"")?;
    if name == "choice" {
        let Some(choices) = choices else {
            sheet.error(node.at, "a choice needs \"choices\"");
            return None;
        };
        return Some(ParameterType::Choice { choices: read_choices(sheet, choices) });
    }
    let Some(kind) = ParameterType::named(name) else {
        sheet.error_near(node.at, format!("unknown type \"{name}\""), nearest(name, ParameterType::NAMES));
        return None;
    };
    if let Some(choices) = choices {
        sheet.error(choices.at, format!("\"choices\" belong to the type choice, not to {name}"));
    }
    Some(kind)
}

fn read_choices(sheet: &mut Sheet, node: &Node) -> Vec<String> {
    const LONGEST: usize = 100;
    let mut choices: Vec<String> = Vec::new();
    for item in sheet.list(node, "\"choices\"") {
        let Some(choice) = sheet.line(item, "a choice", LONGEST) else { continue };
        if choices.iter().any(|known| known.to_lowercase() == choice.to_lowercase()) {
            sheet.error(item.at, format!("choice \"{choice}\" is there already"));
        }
        choices.push(choice.to_owned());
    }
    if matches!(&node.kind, Kind::List(items) if items.is_empty()) {
        sheet.error(node.at, "a choice needs at least one of \"choices\"");
    }
    choices
}

/// The default as it is kept, or the rule of its own parameter that it breaks.
fn check_default(sheet: &mut Sheet, node: &Node, parameter: &Parameter, text: &str) -> Option<String> {
    let kept = kept(parameter, text);
    if let Err(why) = &kept {
        sheet.error(node.at, format!("default \"{text}\" {why}"));
    }
    kept.ok()
}

/// A value as a parameter keeps it, or the rule that it breaks, as in "is not a whole number".
pub(super) fn kept(parameter: &Parameter, text: &str) -> Result<String, String> {
    parameter.check(text, "").map_err(|fault| {
        let least = parameter.min_length.unwrap_or_default();
        match (fault.code, &parameter.kind) {
            ("choice", ParameterType::Choice { choices }) => format!("is not one of {}", choices.join(", ")),
            ("pattern", _) => "does not match \"pattern\"".to_owned(),
            ("min_length", _) => format!("is shorter than \"min_length\" {least}"),
            ("max_length", _) => "is longer than \"max_length\"".to_owned(),
            (_, kind) => format!("is not {}", kind.accept(text).err().unwrap_or(kind.name())),
        }
    })
}
