//! Runs what was prepared. A reply is pure, so its run is planned, rendered and committed in one go; what is left to a
//! process elsewhere is stored for it.

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::invoke::{Invoked, Place, Prepared};
use super::{Engine, builtin, data, remote};
use crate::clock::rfc3339;
use crate::model::command::{Body, Command};
use crate::model::conversation::Millis;
use crate::model::event::{NewEvent, Stream};
use crate::model::execution::ExecutionStatus;
use crate::model::id::new_id;
use crate::model::message::{Message, Part, Post, Sender, SenderKind, Tone, escape_markdown};
use crate::model::parameter::{Parameter, ParameterType};
use crate::model::principal::Principal;
use crate::model::{Error, Result};
use crate::store::delivery::execution_update;
use crate::store::execution::NewExecution;
use crate::store::turn::Turn;

/// Runs a prepared command and commits the run, its answer, its events and, in a conversation, what was said.
pub(super) async fn run(engine: &Engine, principal: &Principal, prepared: Prepared, place: Place) -> Result<Invoked> {
    let started = engine.clock().now();
    let outcome = match &prepared.command.body {
        Body::Reply(_) => {
            let context = data::context(engine, principal, &prepared).await?;
            prepared.bot.render(&prepared.command.name, &context)
        }
        Body::Remote(body) => return remote::start(engine, principal, &prepared, place, *body).await,
        Body::Builtin(body) => builtin::run(engine, principal, &prepared, *body).await,
    };
    let finished = engine.clock().now();
    let (status, message, fault) = match outcome {
        Ok(message) => (ExecutionStatus::Completed, message, None),
        Err(error) => {
            tracing::warn!(bot = prepared.bot.bot.name, command = prepared.command.name, %error, "command failed");
            let text =
                format!("**{}** failed: {}", escape_markdown(&prepared.command.name), escape_markdown(&error.message));
            (ExecutionStatus::Failed, Message::text(text).tone(Tone::Error), Some(error.message))
        }
    };

    let execution = NewExecution {
        status,
        responses: serde_json::to_string(&[&message]).map_err(|error| Error::internal("write the answer", error))?,
        error: fault,
        started_at: Some(started),
        finished_at: Some(finished),
        ..new_execution(principal, &prepared, &place, started)
    };
    let id = execution.id.clone();
    match place {
        Place::Poll { idempotency_key, body_hash } => {
            let update = execution_update(&id, status, Some("reply"), finished)?;
            let execution = NewExecution { idempotency_key, body_hash, ..execution };
            engine.store().start_execution(execution, vec![update]).await.map(Invoked::Polled)
        }
        Place::Conversation { id: conversation, owner, said, body_hash, files } => {
            let bot = Speaker { id: &prepared.bot.bot.name, name: &prepared.bot.bot.display_name };
            let answer = Answer { conversation: &conversation, reply_to: &said.id, message };
            let reply = answer.event(bot, Some((&id, &prepared.command.name)), finished)?;
            // Nothing more will happen in this run, and its answer stands in the conversation: no stream of its own.
            let follows = vec![reply];
            let turn = Turn { conversation, owner, said: *said, body_hash, files, execution: Some(execution), follows };
            engine.store().commit_turn(turn).await.map(Invoked::Said)
        }
    }
}

/// The record of a run that has yet to begin.
pub(super) fn new_execution(principal: &Principal, prepared: &Prepared, place: &Place, at: Millis) -> NewExecution {
    NewExecution {
        id: new_id(),
        request_id: new_id(),
        bot: prepared.bot.bot.name.clone(),
        bot_version: prepared.bot.bot.version.clone(),
        command: prepared.command.name.clone(),
        status: ExecutionStatus::Pending,
        principal: principal.id.clone(),
        principal_name: principal.name.clone(),
        origin: match place {
            Place::Poll { .. } => "command",
            Place::Conversation { .. } => "chat",
        },
        conversation: prepared.source.conversation.clone(),
        request: record(prepared).to_string(),
        responses: "[]".to_owned(),
        error: None,
        idempotency_key: None,
        body_hash: None,
        created_at: at,
        started_at: None,
        finished_at: None,
        delivery: None,
    }
}

/// The request as the automation API echoes it: resolved names and values, no secrets.
fn record(prepared: &Prepared) -> Value {
    let pairs = |values: &std::collections::BTreeMap<String, String>| -> Value {
        values.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
    };
    let mut record = match &prepared.source.record {
        Value::Object(members) => members.clone(),
        _ => serde_json::Map::new(),
    };
    record.insert("command".into(), json!(prepared.command.name));
    record.insert("parameters".into(), pairs(&prepared.arguments));
    if !prepared.mapped.is_empty() {
        record.insert("mapped_parameters".into(), pairs(&prepared.mapped));
    }
    Value::Object(record)
}

/// The bot that answers.
#[derive(Clone, Copy)]
pub struct Speaker<'a> {
    pub id: &'a str,
    pub name: &'a str,
}

impl Speaker<'_> {
    pub fn sender(self) -> Sender {
        Sender { kind: SenderKind::Bot, id: self.id.to_owned(), name: self.name.to_owned() }
    }
}

/// A message on its way into a conversation.
pub struct Answer<'a> {
    pub conversation: &'a str,
    /// Event id of what it answers.
    pub reply_to: &'a str,
    pub message: Message,
}

impl Answer<'_> {
    /// The event that carries it. `run` is the execution that said it and the command's name.
    pub fn event(self, bot: Speaker<'_>, run: Option<(&str, &str)>, at: Millis) -> Result<NewEvent> {
        self.event_of(new_id(), bot, run, at)
    }

    /// Like [`Answer::event`], for a message whose id is known already.
    pub fn event_of(self, id: String, bot: Speaker<'_>, run: Option<(&str, &str)>, at: Millis) -> Result<NewEvent> {
        let post = Post {
            session_id: self.conversation.to_owned(),
            message_id: id.clone(),
            client_id: None,
            sender: bot.sender(),
            content: self.message.text,
            format: "markdown".to_owned(),
            reply_to: Some(self.reply_to.to_owned()),
            invocation_id: run.map(|(id, _)| id.to_owned()),
            command: run.map(|(_, command)| command.to_owned()),
            title: self.message.title,
            tone: self.message.tone,
            parts: self.message.parts,
            suggestions: self.message.suggestions,
            actions: self.message.actions,
            form: self.message.form,
            files: self.message.files,
            ts: rfc3339(at),
            edited_at: None,
            edits: Vec::new(),
            deleted_at: None,
        };
        Ok(NewEvent {
            stream: Stream::conversation(self.conversation),
            id,
            kind: "message",
            principal: None,
            client_id: None,
            payload: raw(&post)?,
            created_at: at,
        })
    }
}

/// Serialises the payload of an event.
pub fn raw<T: serde::Serialize>(value: &T) -> Result<Box<RawValue>> {
    to_raw_value(value).map_err(|error| Error::internal("write an event", error))
}

/// What a conversation reads about a request that was refused: what is missing, what is wrong, and how to say it right.
pub(super) fn explain(error: &Error, command: Option<&Command>) -> Message {
    let faults: Vec<&Value> = error.details.get("errors").and_then(Value::as_array).into_iter().flatten().collect();
    let Some(command) = command.filter(|_| !faults.is_empty()) else {
        return Message::text(escape_markdown(&error.message)).tone(Tone::Warning);
    };
    let name = escape_markdown(&command.name);
    let lines: Vec<String> = faults.iter().map(|fault| explain_fault(fault, command)).collect();
    let example = command.examples.iter().map(|example| example.say.clone()).take(1).collect();
    let message = match lines.as_slice() {
        [one] => Message::text(format!("**{name}** cannot run yet: {one}.")),
        _ => Message::text(format!("**{name}** cannot run yet:")).part(Part::List { items: lines }),
    };
    message.tone(Tone::Warning).suggest(example)
}

/// One fault in the words of a conversation. Programs get the words of the automation API.
fn explain_fault(fault: &Value, command: &Command) -> String {
    let text = |key: &str| fault[key].as_str().unwrap_or_default();
    let name = text("field").split_once('.').map_or(text("field"), |(_, name)| name);
    let code = format!("`{}`", name.replace('`', "'"));
    let parameter = command.parameter(name);
    match (text("code"), parameter) {
        ("required", Some(parameter)) => {
            let about = parameter.prompt.as_deref().unwrap_or(&parameter.description);
            let about = if about.is_empty() { String::new() } else { format!(" ({})", escape_markdown(about)) };
            format!("{code} is missing{about}")
        }
        ("unknown", _) => format!("it takes no {code}"),
        ("choice", Some(Parameter { kind: ParameterType::Choice { choices }, .. })) => {
            format!("{code} is one of {}", escape_markdown(&choices.join(", ")))
        }
        _ => escape_markdown(text("message")),
    }
}
