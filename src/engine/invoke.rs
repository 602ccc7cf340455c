//! The one way in: a command request, from whichever door, becomes a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::registry::{LoadedBot, Snapshot};
use super::{Engine, runner};
use crate::identity::permission::{Object, Verb, authorize, unknown_bot};
use crate::model::command::Command;
use crate::model::event::NewEvent;
use crate::model::file::File;
use crate::model::message::Message;
use crate::model::name::fold;
use crate::model::parameter::Parameter;
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::store::execution::Invocation;
use crate::store::log::Receipt;

/// A wish to run a command.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its name; compared without case, `-` and `_`.
    pub command: String,
    /// The bot it must belong to; `None` takes the one bot that has such a command.
    pub bot: Option<String>,
    /// Parameter names and values as given.
    pub arguments: Vec<(String, String)>,
    /// What numbered groups of a regular expression caught.
    pub matches: Vec<String>,
    /// Whence it comes, for the record and for mapped parameters.
    pub source: Source,
}

/// Whence a request comes.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The request as the record keeps it: the body of the door, or what was said. Secrets are taken out.
    pub record: Value,
    pub team_id: Option<String>,
    pub team_name: Option<String>,
    /// Values for mapped parameters that the caller brings along.
    pub mapped: BTreeMap<String, String>,
    pub conversation: Option<String>,
    /// The channel's kind: `web`, `api`.
    pub channel: String,
}

/// A request that may run: everything checked, nothing done.
pub struct Prepared {
    pub bot: Arc<LoadedBot>,
    pub command: Arc<Command>,
    /// Every declared parameter that has a value, defaults filled in.
    pub arguments: BTreeMap<String, String>,
    pub mapped: BTreeMap<String, String>,
    pub matches: Vec<String>,
    pub source: Source,
    pub snapshot: Arc<Snapshot>,
}

/// Where the answer goes, and what is committed together with it.
pub enum Place {
    /// A caller that polls.
    Poll { idempotency_key: Option<String>, body_hash: Option<String> },
    /// A conversation: what was said there is part of the same transaction.
    Conversation { id: String, owner: String, said: Box<NewEvent>, body_hash: String, files: Vec<File> },
}

/// What an invocation came to.
#[derive(Debug)]
pub enum Invoked {
    Polled(Invocation),
    Said(Receipt),
}

impl Engine {
    /// Checks a request without running it.
    pub fn prepare(&self, principal: &Principal, request: Request) -> Result<Prepared> {
        let snapshot = self.registry().snapshot();
        let (bot, command) = find(&snapshot, principal, &request)?;
        let bot_id = bot.bot.name.clone();
        // Before the parameters, so that nobody learns the rules of a command that is not for them.
        authorize(principal, Verb::Invoke, Object::Command { bot: &bot.bot, command: &command, arguments: None })?;
        let arguments = check(&command, &request.arguments)?;
        let object = Object::Command { bot: &bot.bot, command: &command, arguments: Some(&arguments) };
        authorize(principal, Verb::Invoke, object)?;
        let mapped = mapped(&command, principal, &request.source, &bot_id)?;
        Ok(Prepared { bot, command, arguments, mapped, matches: request.matches, source: request.source, snapshot })
    }

    /// Runs a request: checks it, plans it, and stores the run with its answers. A command whose whole body is a pure
    /// reply is finished in the transaction that also holds what was said.
    pub async fn invoke(&self, principal: &Principal, request: Request, place: Place) -> Result<Invoked> {
        let prepared = self.prepare(principal, request)?;
        runner::run(self, principal, prepared, place).await
    }
}

fn find(snapshot: &Arc<Snapshot>, principal: &Principal, request: &Request) -> Result<(Arc<LoadedBot>, Arc<Command>)> {
    if let Some(name) = &request.bot {
        let bot = snapshot.bot(name).ok_or_else(|| unknown_bot(name))?;
        authorize(principal, Verb::View, Object::Bot(&bot.bot))?;
        let command = bot.command(&request.command);
        return command
            .map(|command| (bot.clone(), command))
            .ok_or_else(|| no_such_command(snapshot, principal, request));
    }
    let mut found = snapshot
        .commands_named(&request.command)
        .into_iter()
        .filter(|(bot, _)| crate::identity::permission::decide(principal, Verb::View, Object::Bot(&bot.bot)).allowed);
    let Some(first) = found.next() else { return Err(no_such_command(snapshot, principal, request)) };
    let others: Vec<_> = found.collect();
    if others.is_empty() {
        return Ok(first);
    }
    let candidates: Vec<Value> = std::iter::once(&first)
        .chain(&others)
        .map(|(bot, command)| json!({ "bot": bot.bot.name, "command": command.name }))
        .collect();
    Err(Error::conflict(
        "AMBIGUOUS_COMMAND",
        format!("more than one bot has a command '{}'; name one in automation.name", request.command),
    )
    .details(json!({ "candidates": candidates })))
}

fn no_such_command(snapshot: &Snapshot, principal: &Principal, request: &Request) -> Error {
    let known = snapshot.visible_commands(principal, request.bot.as_deref());
    let names: Vec<&str> = known.iter().map(|(_, command)| command.name.as_str()).take(50).collect();
    Error::not_found(format!(
        "No command handler with name '{}': Known command handlers are '{}'",
        request.command,
        names.join(",")
    ))
    .details(json!({ "command": request.command }))
}

/// Checks every given value and every rule, and reports all faults at once.
fn check(command: &Command, given: &[(String, String)]) -> Result<BTreeMap<String, String>> {
    let mut faults = Vec::new();
    let mut fault = |field: String, code: &str, message: String| {
        faults.push(json!({ "field": field, "code": code, "message": message }));
    };
    let mut values: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in given {
        match command.parameter(name) {
            Some(parameter) if values.insert(&parameter.name, value).is_some() => fault(
                format!("parameters.{name}"),
                "duplicate",
                format!("Parameter '{name}' given twice in invocation to '{}'", command.name),
            ),
            Some(_) => {}
            None => fault(
                format!("parameters.{name}"),
                "unknown",
                format!("Parameter '{name}' unknown in invocation to '{}'{}", command.name, nearest(command, name)),
            ),
        }
    }
    let mut arguments = BTreeMap::new();
    for parameter in &command.parameters {
        let field = || format!("parameters.{}", parameter.name);
        match values.get(parameter.name.as_str()) {
            // An empty value counts as none, unless the parameter says that it may be empty.
            Some(value) if !value.is_empty() || parameter.min_length == Some(0) => {
                match parameter.check(value, &command.name) {
                    Ok(kept) => {
                        arguments.insert(parameter.name.clone(), kept);
                    }
                    Err(wrong) => fault(field(), wrong.code, wrong.message),
                }
            }
            _ => match default(parameter) {
                Some(value) => {
                    arguments.insert(parameter.name.clone(), value);
                }
                None if parameter.required => fault(
                    field(),
                    "required",
                    format!("Parameter '{}' required but missing in invocation to '{}'", parameter.name, command.name),
                ),
                None => {}
            },
        }
    }
    if faults.is_empty() {
        return Ok(arguments);
    }
    let messages: Vec<&str> = faults.iter().filter_map(|fault| fault["message"].as_str()).collect();
    let message = format!("Validation failure invoking command handler '{}': {}", command.name, messages.join("; "));
    Err(Error::new(Kind::Invalid, "VALIDATION_FAILED", message).details(json!({ "errors": faults })))
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

/// Fills mapped parameters from who asks and where. What the door brought along wins only for what the house does not
/// know itself: nobody can pass for another user.
fn mapped(command: &Command, principal: &Principal, source: &Source, bot: &str) -> Result<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    for (name, wanted) in &command.mapped_parameters {
        let value = match wanted.as_str() {
            "user.id" => Some(principal.id.clone()),
            "user.name" => Some(principal.name.clone()),
            "conversation.id" => source.conversation.clone(),
            "channel.id" => Some(source.conversation.clone().unwrap_or_else(|| source.channel.clone())),
            "channel.name" => Some(bot.to_owned()),
            "channel.type" => Some(source.channel.clone()),
            "team.id" => source.team_id.clone(),
            "team.name" => source.team_name.clone(),
            _ => None,
        };
        let value = value.or_else(|| source.mapped.get(name).cloned());
        let value = value.ok_or_else(|| {
            Error::new(Kind::Invalid, "VALIDATION_FAILED", format!("Cannot resolve mapped parameter '{name}'")).details(json!({
                "errors": [{ "field": format!("mapped_parameters.{name}"), "code": "required", "message": format!("Cannot resolve mapped parameter '{name}'") }]
            }))
        })?;
        values.insert(name.clone(), value);
    }
    Ok(values)
}

impl Engine {
    /// What a conversation reads about a request that was refused.
    pub fn explain(&self, error: &Error, bot: &str, command: &str) -> Message {
        let command = self.registry().snapshot().bot(bot).and_then(|loaded| loaded.command(command));
        runner::explain(error, command.as_deref())
    }
}
