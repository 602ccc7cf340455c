//! A form as a Discord modal, and what comes back from it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fit::{cut, length, one_line};
use super::plain::clean;
use crate::model::action::{Action, Form, FormField};

/// Inputs of one modal.
const MOST_INPUTS: usize = 5;
const TITLE: usize = 45;
const LABEL: usize = 45;
const HINT: usize = 100;
const INPUT: usize = 4_000;
/// The id of the only input of a day's modal.
const DAY: &str = "day";

/// The form as a modal whose `custom_id` is the form's id. None when it has more fields than a modal can hold: then it
/// is asked question by question.
pub fn modal(form: &Form, title: &str) -> Option<Value> {
    let is_named = |field: &FormField| (1..=100).contains(&length(&field.name));
    if form.fields.is_empty() || form.fields.len() > MOST_INPUTS || !form.fields.iter().all(is_named) {
        return None;
    }
    Some(of(&form.id, title, form.fields.iter().map(input).collect()))
}

/// A modal that asks for the day of a date action; its `custom_id` is the action's.
pub fn day_modal(action: &Action) -> Option<Value> {
    let Action::Date { id, label, min, max, .. } = action else { return None };
    let hint = match (min, max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("from {min} on"),
        (None, Some(max)) => format!("until {max}"),
        (None, None) => "such as 2026-11-23".to_owned(),
    };
    let input = json!({
        "type": 4, "custom_id": DAY, "style": 1, "label": "Day (year-month-day)", "placeholder": cut(&hint, HINT),
        "min_length": 10, "max_length": 10, "required": true,
    });
    Some(of(id, label, vec![input]))
}

fn of(id: &str, title: &str, inputs: Vec<Value>) -> Value {
    let title = one_line(&clean(title));
    let title = if title.is_empty() { "Fill in" } else { &title };
    let row = |input: Value| json!({ "type": 1, "components": [input] });
    json!({
        "custom_id": id,
        "title": cut(title, TITLE),
        "components": inputs.into_iter().map(row).collect::<Value>(),
    })
}

fn input(field: &FormField) -> Value {
    let label = one_line(&clean(&field.label));
    let label = if label.is_empty() { field.name.clone() } else { label };
    let is_long = matches!(field.kind.as_str(), "text" | "json" | "list");
    let mut input = json!({
        "type": 4,
        "custom_id": field.name,
        "style": if is_long { 2 } else { 1 },
        "label": cut(&label, LABEL),
        "required": field.required,
    });
    if let Some(least) = field.min_length.filter(|least| *least <= INPUT) {
        input["min_length"] = json!(least);
    }
    if let Some(most) = field.max_length.filter(|most| (1..=INPUT).contains(most)) {
        input["max_length"] = json!(most);
    }
    // What is wrong with a value stands where it is typed, so the old one must not hide it.
    let value = field.value.as_deref().filter(|_| field.error.is_none() && !field.hidden);
    let most = field.max_length.unwrap_or(INPUT).min(INPUT);
    if let Some(value) = value.filter(|value| !value.is_empty() && length(value) <= most) {
        input["value"] = json!(value);
    }
    let choices = || (!field.choices.is_empty()).then(|| field.choices.join(", "));
    let by_kind = || match field.kind.as_str() {
        "boolean" => Some("yes or no".to_owned()),
        "date" => Some("such as 2026-11-23".to_owned()),
        _ => None,
    };
    let hint = field.error.clone().or_else(choices).or_else(|| field.hint.clone()).or_else(by_kind);
    if let Some(hint) = hint.map(|hint| one_line(&clean(&hint))).filter(|hint| !hint.is_empty()) {
        input["placeholder"] = json!(cut(&hint, HINT));
    }
    input
}

/// The values in a submitted modal by the ids of their inputs, from the interaction's `data`. What was left empty is
/// missing.
pub fn submitted(data: &Value) -> BTreeMap<String, String> {
    let rows = data["components"].as_array().into_iter().flatten();
    let inputs = rows.flat_map(|row| row["components"].as_array().into_iter().flatten().chain(row.get("component")));
    let value = |input: &Value| {
        let value = input["value"].as_str().filter(|value| !value.is_empty())?;
        Some((input["custom_id"].as_str()?.to_owned(), value.to_owned()))
    };
    inputs.filter_map(value).collect()
}

/// The day in the submitted modal of a date action.
pub fn submitted_day(data: &Value) -> Option<String> {
    submitted(data).remove(DAY)
}
