//! The words of a dialog: questions, forms, summaries, help.

use super::{Stage, State};
use crate::clock::rfc3339;
use crate::model::action::{Form, FormField, FormState, Style};
use crate::model::command::Command;
use crate::model::conversation::Millis;
use crate::model::message::{Field, Message, Part, Tone, escape_markdown};
use crate::model::offer::{Deed, Offer, Step};
use crate::model::parameter::{Parameter, ParameterType};

pub(in super::super) const SUMMARY_HELP: &str = "Say `submit` to run it, `edit` to change a value, or `cancel`.";

/// A command's name in a sentence.
pub(in super::super) fn name(command: &Command) -> String {
    format!("**{}**", escape_markdown(&command.name))
}

/// What is said when nobody answered for long; `left` is the time until it is over, in milliseconds.
pub(in super::super) fn reminder(command: &str, left: Millis) -> String {
    let minutes = (left + 30_000) / 60_000;
    let time = match (minutes, left.max(0) / 1000) {
        (0, 1) => "one second".to_owned(),
        (0, seconds) => format!("{seconds} seconds"),
        (1, _) => "one minute".to_owned(),
        (minutes, _) if minutes < 120 => format!("{minutes} minutes"),
        (minutes, _) => format!("{} hours", minutes / 60),
    };
    format!("**{}** still waits for an answer. It expires in {time}.", escape_markdown(command))
}

/// What is asked, as plain text.
fn label(parameter: &Parameter) -> &str {
    match (&parameter.prompt, parameter.description.as_str()) {
        (Some(prompt), _) => prompt,
        (None, "") => &parameter.name,
        (None, description) => description,
    }
}

/// What a value has to be, as plain text.
fn allowed(parameter: &Parameter) -> String {
    if let Some(valid) = &parameter.valid_input {
        return valid.clone();
    }
    let length = match (parameter.min_length.filter(|least| *least > 0), parameter.max_length) {
        (Some(least), Some(most)) => format!(", {least} to {most} characters"),
        (Some(least), None) => format!(", at least {least} characters"),
        (None, Some(most)) => format!(", at most {most} characters"),
        (None, None) => String::new(),
    };
    match &parameter.kind {
        ParameterType::Choice { choices } => format!("one of {}", choices.join(", ")),
        ParameterType::String | ParameterType::Text => match &parameter.pattern {
            Some(pattern) => format!("text that matches {}{length}", pattern.as_str()),
            None => format!("text{length}"),
        },
        // Text that no value of the type can be names what would be accepted.
        kind => format!("{}{length}", kind.accept("\u{0}").err().unwrap_or(kind.name())),
    }
}

/// What is said about a value that cannot be, as plain text: what stands at a field.
pub(super) fn wrong(parameter: &Parameter) -> String {
    format!("That does not fit {}: {}.", parameter.name, allowed(parameter))
}

/// The same as Markdown: what is said in a message.
pub(super) fn wrong_said(parameter: &Parameter) -> String {
    format!("That does not fit {}: {}.", escape_markdown(&parameter.name), escape_markdown(&allowed(parameter)))
}

/// All about one parameter.
pub(super) fn help(parameter: &Parameter) -> String {
    let mut text = format!("`{}` is {}.", parameter.name.replace('`', "'"), escape_markdown(&allowed(parameter)));
    if !parameter.description.is_empty() {
        text = format!("{}. {text}", escape_markdown(parameter.description.trim_end_matches('.')));
    }
    if let Some(default) = &parameter.default {
        text = format!("{text} `default` is {}.", escape_markdown(parameter.shown(default)));
    }
    text
}

/// The question that is open, after what is said before it.
pub(in super::super) fn question(command: &Command, state: &State, preface: Option<&str>) -> Message {
    let Some(parameter) = state.current(command) else {
        return Message::text(preface.unwrap_or(SUMMARY_HELP)).tone(Tone::Question);
    };
    let preface = match preface {
        Some(preface) => Some(preface.to_owned()),
        None if state.wrong.contains(&parameter.name) && !state.arguments.contains_key(&parameter.name) => {
            Some(wrong_said(parameter))
        }
        None => None,
    };
    let label = escape_markdown(label(parameter));
    let text = preface.map_or_else(|| label.clone(), |preface| format!("{preface}\n\n{label}"));
    let present = state.arguments.get(&parameter.name).or(parameter.default.as_ref());
    let mut hints = Vec::new();
    if let Some(valid) = &parameter.valid_input {
        hints.push(escape_markdown(valid));
    }
    if let Some(present) = present {
        hints.push(format!("`default` is {}", escape_markdown(parameter.shown(present))));
    } else if !parameter.required {
        hints.push("`default` leaves it empty".to_owned());
    }
    hints.push("`back`, `?` or `cancel`".to_owned());
    let suggestions = match &parameter.kind {
        ParameterType::Choice { choices } => choices.clone(),
        ParameterType::Boolean => vec!["yes".to_owned(), "no".to_owned()],
        _ => Vec::new(),
    };
    Message::text(text).tone(Tone::Question).part(Part::Context { texts: hints }).suggest(suggestions)
}

/// The message that asks for everything at once; the ids of its form are empty.
pub(in super::super) fn form(command: &Command, state: &State, expires_at: Millis) -> Message {
    let open: Vec<String> = command
        .parameters
        .iter()
        .filter(|parameter| parameter.required && !state.arguments.contains_key(&parameter.name))
        .map(|parameter| escape_markdown(label(parameter)))
        .collect();
    let text = match open.is_empty() {
        true => format!("The values of {}:", name(command)),
        false => format!("{} needs to know: {}", name(command), open.join(" · ")),
    };
    let parameters = state.asked.iter().filter_map(|name| command.parameter(name));
    let fields = parameters.map(|parameter| field(parameter, state)).collect();
    let mut message = Message::text(text).tone(Tone::Question);
    message.form = Some(Form {
        id: String::new(),
        cancel_id: String::new(),
        submit: spelled_out(&command.name),
        fields,
        state: FormState::Open,
        expires_at: rfc3339(expires_at),
    });
    message
}

fn field(parameter: &Parameter, state: &State) -> FormField {
    let present = state.arguments.get(&parameter.name);
    let about = Some(&parameter.description).filter(|text| !text.is_empty() && parameter.prompt.is_some());
    let is_wrong = present.is_none() && state.wrong.contains(&parameter.name);
    let mistaken = state.mistaken.get(&parameter.name).filter(|_| is_wrong);
    FormField {
        name: parameter.name.clone(),
        label: label(parameter).to_owned(),
        hint: parameter.valid_input.as_ref().or(about).cloned(),
        kind: parameter.kind.name().to_owned(),
        required: parameter.required && !(parameter.hidden && present.is_some()),
        value: present.or(mistaken).or(parameter.default.as_ref()).filter(|_| !parameter.hidden).cloned(),
        choices: match &parameter.kind {
            ParameterType::Choice { choices } => choices.clone(),
            _ => Vec::new(),
        },
        min_length: parameter.min_length,
        max_length: parameter.max_length,
        pattern: parameter.pattern.as_ref().map(|pattern| pattern.as_str().to_owned()),
        error: is_wrong.then(|| wrong(parameter)),
        hidden: parameter.hidden,
    }
}

/// The name of a command as people write it: `book-room` is "Book room".
fn spelled_out(name: &str) -> String {
    let name = name.replace(['-', '_'], " ");
    let mut characters = name.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// Everything that is about to run, to be agreed to.
pub(in super::super) fn summary(command: &Command, state: &State, execution: &str, ttl: Millis) -> Message {
    let value = |parameter: &Parameter| {
        let value = state.arguments.get(&parameter.name).or(parameter.default.as_ref())?;
        let value = escape_markdown(parameter.shown(value));
        Some(Field { name: escape_markdown(&parameter.name), value, short: true })
    };
    let fields: Vec<Field> = command.parameters.iter().filter_map(value).collect();
    let step = |label: &str, style, step| {
        let deed = Deed::Dialog { execution: execution.to_owned(), step };
        Offer::button(label, style, deed).once().lasting(ttl)
    };
    let mut message = Message::text(format!("{} is ready to run. {SUMMARY_HELP}", name(command)))
        .tone(Tone::Question)
        .offer(step("Submit", Style::Primary, Step::Submit))
        .offer(step("Edit", Style::Plain, Step::Edit))
        .offer(step("Cancel", Style::Plain, Step::Cancel));
    if !fields.is_empty() {
        message = message.part(Part::Fields { fields });
    }
    if state.uses_forms() { message } else { message.suggest(["submit", "edit", "cancel"].map(str::to_owned).to_vec()) }
}

/// The question, the form or the summary, whichever comes next.
pub(in super::super) fn message(
    command: &Command,
    state: &State,
    execution: &str,
    (at, expires_at): (Millis, Millis),
    preface: Option<&str>,
) -> Message {
    let mut message = match state.stage {
        Stage::Questions => return question(command, state, preface),
        Stage::Form => form(command, state, expires_at),
        Stage::Summary => summary(command, state, execution, expires_at - at),
    };
    if let Some(preface) = preface {
        message.text = format!("{preface}\n\n{}", message.text);
    }
    message
}
