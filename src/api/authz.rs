//! Why somebody may do something, or not.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::Api;
use super::error::ApiResult;
use super::extract::Query;
use super::session::User;
use crate::identity::Caller;
use crate::identity::permission::{Decision, Object, Verb, authorize, decide, unknown_bot};
use crate::model::grant::{ResourceKind, resource_kind};
use crate::model::{Error, Result};

/// What was asked for in the query.
#[derive(Debug, Default)]
struct Question {
    verb: Option<Verb>,
    bot: Option<String>,
    command: Option<String>,
    principal: Option<String>,
    arguments: BTreeMap<String, String>,
    kind: Option<ResourceKind>,
    name: Option<String>,
}

fn wrong(field: &str, message: String) -> Error {
    Error::invalid(message).details(json!({ "field": field }))
}

fn question(pairs: Vec<(String, String)>) -> Result<Question> {
    let mut question = Question::default();
    for (name, value) in pairs {
        match name.as_str() {
            "verb" => {
                question.verb = Some(crate::model::grant::verb(&value).map_err(|message| wrong("verb", message))?);
            }
            "bot" => question.bot = Some(value),
            "command" => question.command = Some(value),
            "principal" => question.principal = Some(value),
            "kind" => {
                let kind = resource_kind(&value).map_err(|message| wrong("kind", message))?;
                let is_one = matches!(
                    kind,
                    ResourceKind::Playbook
                        | ResourceKind::Workflow
                        | ResourceKind::Connector
                        | ResourceKind::Credential
                );
                if !is_one {
                    let message = "kind is playbook, workflow, connector or credential; bots and commands have keys of \
                                   their own here";
                    return Err(wrong("kind", message.to_owned()));
                }
                question.kind = Some(kind);
            }
            "name" => question.name = Some(value),
            _ => match name.strip_prefix("arg.") {
                Some(argument) => {
                    question.arguments.insert(argument.to_owned(), value);
                }
                None => return Err(wrong(&name, format!("{name:?} is nothing one can ask for here"))),
            },
        }
    }
    Ok(question)
}

/// A decision and the rule that made it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Explanation {
    allowed: bool,
    /// One sentence naming the rule that decided.
    rule: String,
    verb: &'static str,
    /// Null for what is no bot's.
    bot: Option<String>,
    command: Option<String>,
    principal: User,
}

/// Which rule lets somebody do something, or keeps them from it: you, or for administrators anybody.
///
/// `verb` is `view`, `chat`, `invoke`, `serve` or `manage`; without `bot` it is about the installation. Arguments of a command, on which
/// access may depend, are given as `arg.<name>=<value>`.
#[utoipa::path(get, path = "/api/authz/explain", tag = "auth",
    params(
        ("verb" = Option<String>, Query, description = "view, chat, invoke (the default for a command), serve or manage"),
        ("bot" = Option<String>, Query, description = "The bot it is about"),
        ("command" = Option<String>, Query, description = "A command of that bot"),
        ("principal" = Option<String>, Query, description = "The id of a user or key, for administrators; without it you"),
        ("kind" = Option<String>, Query, description = "playbook, workflow, connector or credential, with its `name`: one of the installation's own"),
        ("name" = Option<String>, Query, description = "Which one of that kind"),
        ("arg.name" = Option<String>, Query, description = "An argument of the command, by its name")),
    responses((status = 200, body = Explanation), (status = 400), (status = 401), (status = 403), (status = 404)))]
pub(super) async fn explain(
    State(api): State<Api>,
    caller: Caller,
    Query(pairs): Query<Vec<(String, String)>>,
) -> ApiResult<Answer<Explanation>> {
    let Question { verb, bot, command, principal, arguments, kind, name } = question(pairs)?;
    let who = match principal.filter(|id| *id != caller.principal.id) {
        None => caller.principal.clone(),
        Some(id) => {
            authorize(&caller.principal, Verb::Manage, Object::Installation)?;
            let found = api.identity.principal(&id).await?;
            let unknown = || Error::not_found("there is no such user or key").details(json!({ "principal": id }));
            found.ok_or_else(unknown)?.into()
        }
    };
    let verb = verb.unwrap_or(if command.is_some() || kind.is_some() { Verb::Invoke } else { Verb::View });
    let told = |decision: Decision<'_>| (decision.allowed, decision.rule());
    let (allowed, rule) = match &bot {
        None if command.is_some() => return Err(wrong("bot", "name the bot of the command".to_owned()).into()),
        None => match (&kind, &name) {
            (Some(kind), Some(name)) => told(decide(&who, verb, Object::Resource { kind: *kind, name, owner: None })),
            (None, None) => told(decide(&who, verb, Object::Installation)),
            _ => return Err(wrong("kind", "kind and name belong together".to_owned()).into()),
        },
        Some(name) => {
            let snapshot = api.engine.registry().snapshot();
            let loaded = snapshot.bot(name).ok_or_else(|| unknown_bot(name))?;
            authorize(&caller.principal, Verb::View, Object::Bot(&loaded.bot))?;
            match &command {
                None => told(decide(&who, verb, Object::Bot(&loaded.bot))),
                Some(command) => {
                    let unknown = || Error::not_found(format!("bot '{name}' has no command '{command}'"));
                    let command = loaded.command(command).ok_or_else(unknown)?;
                    let arguments = (!arguments.is_empty()).then_some(&arguments);
                    told(decide(&who, verb, Object::Command { bot: &loaded.bot, command: &command, arguments }))
                }
            }
        }
    };
    Ok(Answer(Explanation { allowed, rule, verb: verb.as_str(), bot, command, principal: User::of(&who) }))
}
