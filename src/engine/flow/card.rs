//! How a run looks in its conversation: one message that is rewritten until it holds the result, and what it asks.

use serde_json::{Value, json};

use super::bring::About;
use crate::clock::rfc3339;
use crate::engine::plan::{Effects, Fault, Journal, Question, StepStatus, outline};
use crate::expression::in_words;
use crate::flow::Flow;
use crate::model::action::{Action, Form, FormField, FormState, Life, Style};
use crate::model::execution::ExecutionStatus;
use crate::model::id::action_id;
use crate::model::message::{Field, Key, Message, Part, PostMode, ProgressState, Tone, escape_markdown};
use crate::model::offer::{Deed, Offer, RunVerb};
use crate::model::{Error, Result};

/// The most outputs that are shown as fields.
const MOST_FIELDS: usize = 10;

/// What a run says in its conversation now, and what it says last for who polls.
pub(super) fn posts(
    about: &About<'_>,
    flow: &Flow,
    journal: &Journal,
    effects: &Effects,
    status: ExecutionStatus,
) -> Result<(Vec<Message>, Option<Message>)> {
    let mut posts: Vec<Message> = Vec::new();
    let is_short = about.is_new && status.is_final();
    let card = card(about, flow, journal, effects, status);
    // What is over at once needs no card when it has said something.
    if !(is_short && status == ExecutionStatus::Completed && !effects.sayings.is_empty()) {
        posts.push(card.clone());
    }
    posts.extend(effects.sayings.iter().map(|saying| saying.message.clone()));
    for question in &effects.questions {
        posts.push(asked(about, question)?);
    }
    for path in &effects.unresolved {
        posts.push(unresolved(about, journal, path));
    }
    let last = status.is_final().then(|| Message { key: None, offers: Vec::new(), ..card });
    Ok((posts, last))
}

fn card(about: &About<'_>, flow: &Flow, journal: &Journal, effects: &Effects, status: ExecutionStatus) -> Message {
    let lines = outline(flow, journal);
    let total = lines.len().max(1);
    let done = lines.iter().filter(|line| line.status().is_final()).count();
    let current = lines
        .iter()
        .rev()
        .find(|line| line.row.is_some_and(|row| !row.status.is_final() && row.status != StepStatus::Active));
    let title = escape_markdown(about.title);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let ended = effects.ended.as_ref();
    let fault = ended.and_then(|ended| ended.error.as_ref());
    let (text, tone, state) = match status {
        ExecutionStatus::Completed => (format!("**{title}** is done."), Tone::Success, ProgressState::Done),
        ExecutionStatus::Cancelled => {
            let why = fault.map(|fault| fault.message.clone()).filter(|why| !why.is_empty());
            let why = why.map(|why| format!(": {}", escape_markdown(&why))).unwrap_or_default();
            (format!("**{title}** was cancelled{why}."), Tone::Warning, ProgressState::Failed)
        }
        ExecutionStatus::Failed | ExecutionStatus::Expired => {
            let why = fault.map_or_else(String::new, |fault| format!(": {}", escape_markdown(&fault.message)));
            (format!("**{title}** failed{why}"), Tone::Error, ProgressState::Failed)
        }
        ExecutionStatus::Paused => (format!("**{title}** is paused."), Tone::Warning, ProgressState::Running),
        _ if journal.rows.is_empty() => {
            (format!("**{title}** waits until another run has ended."), Tone::Info, ProgressState::Running)
        }
        _ => (format!("**{title}** is under way."), Tone::Info, ProgressState::Running),
    };
    let label = match (status.is_final(), fault, current) {
        (true, Some(fault), _) if !fault.step.is_empty() => fault.step.clone(),
        (true, ..) => String::new(),
        (false, _, Some(line)) if line.status() == StepStatus::Waiting => format!("{} (waiting)", line.step.title()),
        (false, _, Some(line)) => line.step.title().to_owned(),
        (false, _, None) => effects.next.clone().unwrap_or_default(),
    };
    let step = if status == ExecutionStatus::Completed { total } else { done.min(total) };
    let mut message = Message::text(text).tone(tone);
    if total > 1 || !status.is_final() {
        message = message.part(Part::Progress { label, step: count(step), total: count(total), state });
    }
    if let Some(ended) = ended
        && !flow.outputs.is_empty()
        && let Value::Object(outputs) = &ended.output
    {
        let fields = outputs.iter().take(MOST_FIELDS).map(|(name, value)| Field {
            name: name.clone(),
            value: escape_markdown(&shortened(&in_words(value))),
            short: true,
        });
        message = message.part(Part::Fields { fields: fields.collect() });
    }
    if !status.is_final() {
        let control = |label: &str, verb| {
            let deed = Deed::Control { execution: about.execution.to_owned(), verb };
            Offer::button(label, Style::Plain, deed)
        };
        message = match status {
            ExecutionStatus::Paused => message.offer(control("Resume", RunVerb::Resume)),
            _ => message.offer(control("Pause", RunVerb::Pause)),
        };
        message = message.offer(control("Cancel", RunVerb::Cancel));
    }
    message.key = Some(Key { id: format!("run-{}", about.execution), ttl_ms: None, post: PostMode::Ttl });
    message
}

fn shortened(text: &str) -> String {
    const LONGEST: usize = 200;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// What a step asks: buttons for a choice, a form for more.
fn asked(about: &About<'_>, question: &Question) -> Result<Message> {
    let ask = &question.ask;
    let mut message = Message::text(ask.message.clone()).tone(Tone::Question);
    let deed =
        |answer: Value| Deed::Answer { execution: about.execution.to_owned(), path: question.path.clone(), answer };
    let choices = choices(&ask.form);
    if let Some((name, values)) = choices {
        for (index, value) in values.iter().enumerate() {
            let style = match (index, value.as_str()) {
                (_, "reject" | "no" | "decline" | "deny") => Style::Danger,
                (0, _) => Style::Primary,
                _ => Style::Plain,
            };
            let offer = Offer::button(label(value), style, deed(json!({ name.as_str(): value }))).once();
            let offer = match ask.timeout {
                Some(timeout) => offer.lasting(timeout),
                None => offer,
            };
            message = message.offer(offer);
        }
        return Ok(message);
    }
    let id = || action_id().map_err(|error| Error::internal("make an id", error));
    let fields = fields(&ask.form);
    message.form = Some(Form {
        id: id()?,
        cancel_id: id()?,
        submit: "Send".to_owned(),
        fields,
        state: FormState::Open,
        expires_at: rfc3339(i64::MAX / 100_000_000),
    });
    // Registered with the message: a form's actions are looked up by the ids it carries.
    message.offers.push(Offer {
        action: Action::Button {
            id: String::new(),
            label: "Send".to_owned(),
            style: Style::Primary,
            confirm: None,
            life: Life::default(),
        },
        deed: Some(deed(Value::Null)),
        single_use: true,
        ttl: ask.timeout,
    });
    Ok(message)
}

/// The one thing that has to be chosen, when that is all that has to be said.
fn choices(form: &Value) -> Option<(String, Vec<String>)> {
    if form.is_null() {
        return Some(("decision".to_owned(), vec!["approve".to_owned(), "reject".to_owned()]));
    }
    let required: Vec<&str> = form["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let [one] = required.as_slice() else { return None };
    let values = form["properties"][*one]["enum"].as_array()?;
    let values: Vec<String> = values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect();
    (!values.is_empty() && values.len() <= 5).then(|| ((*one).to_owned(), values))
}

fn label(value: &str) -> String {
    let mut text = value.replace(['_', '-'], " ");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

fn fields(form: &Value) -> Vec<FormField> {
    let required: Vec<&str> = form["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let field = |(name, property): (&String, &Value)| {
        let choices: Vec<String> = property["enum"].as_array().into_iter().flatten().map(in_words).collect();
        let kind = match property["type"].as_str() {
            _ if !choices.is_empty() => "choice",
            Some("boolean") => "boolean",
            Some("integer") => "integer",
            Some("number") => "number",
            _ => "string",
        };
        FormField {
            name: name.clone(),
            label: property["title"].as_str().map_or_else(|| label(name), str::to_owned),
            hint: property["description"].as_str().map(str::to_owned),
            kind: kind.to_owned(),
            required: required.contains(&name.as_str()),
            value: (!property["default"].is_null()).then(|| in_words(&property["default"])),
            choices,
            min_length: None,
            max_length: property["maxLength"].as_u64().and_then(|most| usize::try_from(most).ok()),
            pattern: None,
            error: None,
            hidden: false,
        }
    };
    form["properties"].as_object().into_iter().flatten().map(field).collect()
}

/// Asks what became of a step of which nobody knows.
fn unresolved(about: &About<'_>, journal: &Journal, path: &str) -> Message {
    let why = journal.rows.get(path).and_then(|row| row.error.as_ref()).map(|fault: &Fault| fault.message.clone());
    let text = format!(
        "**{}** is paused: nobody knows whether **{}** has happened ({}). What became of it?",
        escape_markdown(about.title),
        escape_markdown(path),
        escape_markdown(&why.unwrap_or_default()),
    );
    let mut message = Message::text(text).tone(Tone::Warning);
    for (label, style, verb) in [
        ("It happened", Style::Primary, RunVerb::Happened),
        ("It did not: try again", Style::Plain, RunVerb::Retry),
        ("Skip it", Style::Plain, RunVerb::Skip),
        ("Fail", Style::Danger, RunVerb::Fail),
    ] {
        let deed = Deed::Control { execution: about.execution.to_owned(), verb };
        message = message.offer(Offer::button(label, style, deed).once());
    }
    message
}
