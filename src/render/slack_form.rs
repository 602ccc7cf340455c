//! A form as a Slack view, and what comes back from it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::choice::choice_key;
use super::fit::{cut, length, one_line};
use super::mrkdwn::plain_text;
use super::plain::clean;
use crate::model::action::{Choice, Form, FormField};

/// Blocks of one view.
const MOST_BLOCKS: usize = 100;
const TITLE: usize = 24;
const BUTTON: usize = 24;
const LABEL: usize = 2_000;
const HINT: usize = 2_000;
const OPTION: usize = 75;
const MOST_OPTIONS: usize = 100;
/// The longest text of an input.
const INPUT: usize = 3_000;
/// The id of every input within its block, whose id is the field's name.
const VALUE: &str = "value";

/// The form as a modal view whose `callback_id` is the form's id. None when it has more fields than a view can hold:
/// then it is asked question by question.
pub fn view(form: &Form, title: &str, private_metadata: &str) -> Option<Value> {
    if form.fields.len() > MOST_BLOCKS || form.fields.iter().any(|field| length(&field.name) > 255) {
        return None;
    }
    let title = one_line(&clean(title));
    let title = if title.is_empty() { "Fill in" } else { &title };
    Some(json!({
        "type": "modal",
        "callback_id": form.id,
        "private_metadata": private_metadata,
        "title": plain_text(&cut(title, TITLE)),
        "submit": plain_text(&cut(&one_line(&form.submit), BUTTON)),
        "close": plain_text("Cancel"),
        "notify_on_close": true,
        "blocks": form.fields.iter().map(block).collect::<Value>(),
    }))
}

fn block(field: &FormField) -> Value {
    let mut block = json!({
        "type": "input",
        "block_id": field.name,
        "optional": !field.required,
        "label": plain_text(&cut(&clean(&field.label), LABEL)),
        "element": element(field),
    });
    let hint = match (&field.error, &field.hint) {
        (Some(error), Some(hint)) => format!("⚠ {error} {hint}"),
        (Some(error), None) => format!("⚠ {error}"),
        (None, Some(hint)) => hint.clone(),
        (None, None) => return block,
    };
    block["hint"] = plain_text(&cut(&clean(&hint), HINT));
    block
}

fn element(field: &FormField) -> Value {
    let value = field.value.as_deref().filter(|value| !value.is_empty() && !field.hidden);
    let of = |kind: &str| json!({ "type": kind, "action_id": VALUE });
    match field.kind.as_str() {
        "choice" if (1..=MOST_OPTIONS).contains(&field.choices.len()) => {
            let choices = field.choices.iter().map(|choice| (choice.as_str(), choice.as_str()));
            select(choices.collect(), value)
        }
        "boolean" => select(vec![("true", "Yes"), ("false", "No")], value),
        "date" => {
            let mut element = of("datepicker");
            if let Some(day) = value.filter(|day| day.parse::<jiff::civil::Date>().is_ok()) {
                element["initial_date"] = json!(day);
            }
            element
        }
        "integer" | "number" => {
            let mut element = of("number_input");
            element["is_decimal_allowed"] = json!(field.kind == "number");
            initial(&mut element, value);
            element
        }
        "email" => {
            let mut element = of("email_text_input");
            initial(&mut element, value);
            element
        }
        "url" => {
            let mut element = of("url_text_input");
            initial(&mut element, value);
            element
        }
        kind => {
            let mut element = of("plain_text_input");
            if matches!(kind, "text" | "json" | "list") {
                element["multiline"] = json!(true);
            }
            if let Some(least) = field.min_length.filter(|least| (1..=INPUT).contains(least)) {
                element["min_length"] = json!(least);
            }
            if let Some(most) = field.max_length.filter(|most| (1..=INPUT).contains(most)) {
                element["max_length"] = json!(most);
            }
            initial(&mut element, value);
            element
        }
    }
}

/// What stands in an input; a longer value is left out rather than cut, since it would be sent back cut.
fn initial(element: &mut Value, value: Option<&str>) {
    if let Some(value) = value.filter(|value| length(value) <= INPUT) {
        element["initial_value"] = json!(value);
    }
}

fn select(choices: Vec<(&str, &str)>, value: Option<&str>) -> Value {
    let option = |(value, label): (&str, &str)| {
        let label = one_line(&clean(label));
        json!({ "text": plain_text(&cut(&label, OPTION)), "value": choice_key(value) })
    };
    let mut element = json!({ "type": "static_select", "action_id": VALUE });
    if let Some(chosen) = choices.iter().find(|(choice, _)| Some(*choice) == value) {
        element["initial_option"] = option(*chosen);
    }
    element["options"] = choices.into_iter().map(option).collect();
    element
}

/// The values of a form by the names of its fields, from the `view.state.values` of a submission. What was left empty
/// is missing.
pub fn submitted(form: &Form, values: &Map<String, Value>) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for field in &form.fields {
        let Some(state) = values.get(&field.name).and_then(|block| block.get(VALUE)) else { continue };
        let text = |key: &str| state.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let option = state.pointer("/selected_option/value").and_then(Value::as_str);
        let value = match option {
            Some(key) => understood(field, key),
            None => text("value").or_else(|| text("selected_date")).map(str::to_owned),
        };
        out.extend(value.map(|value| (field.name.clone(), value)));
    }
    out
}

/// The choice that a key stands for; what is unknown is left for the form's own check to refuse.
pub(super) fn understood(field: &FormField, key: &str) -> Option<String> {
    let choices: Vec<Choice> =
        field.choices.iter().map(|choice| Choice { value: choice.clone(), label: String::new() }).collect();
    Some(super::choice::chosen(&choices, key).unwrap_or(key).to_owned())
}
