//! Which bots there are, what they can do, and what one could type next.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::ApiResult;
use super::extract::Query;
use super::session::within;
use crate::engine::registry::{BotStatus, LoadedBot};
use crate::identity::Caller;
use crate::identity::permission::{Object, Verb, authorize, decide, unknown_bot};
use crate::intent::{Resolution, Scope, TokenKind};
use crate::manifest::bot_test::SCHEMA;
use crate::model::Error;
use crate::model::bot::Bot;
use crate::model::command::{Command, Effect};
use crate::model::parameter::{Parameter, ParameterType};
use crate::model::principal::Principal;

/// What every view of a bot begins with.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BotProfile {
    id: String,
    display_name: String,
    description: String,
    avatar: String,
    /// `online`, or `degraded` when its newest files cannot be used.
    status: &'static str,
    /// What is wrong, for administrators.
    status_detail: Option<String>,
    /// Things to say.
    examples: Vec<String>,
}

impl BotProfile {
    /// `commands` are those that the caller may run.
    fn of(principal: &Principal, loaded: &LoadedBot, status: &BotStatus, commands: &[&Command]) -> Self {
        let examples = commands.iter().filter_map(|command| command.examples.first());
        Self {
            id: loaded.bot.name.clone(),
            display_name: loaded.bot.display_name.clone(),
            description: loaded.bot.description.clone(),
            avatar: loaded.bot.avatar.clone(),
            status: status.word(),
            status_detail: status.detail().filter(|_| principal.is_admin()).map(str::to_owned),
            examples: examples.map(|example| example.say.clone()).take(3).collect(),
        }
    }
}

/// A bot the caller may use.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BotSummary {
    #[serde(flatten)]
    profile: BotProfile,
    /// How many commands the caller may run.
    commands: usize,
}

/// A bot with all that it can do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BotDetail {
    #[serde(flatten)]
    profile: BotProfile,
    commands: Vec<CommandView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CommandView {
    name: String,
    description: String,
    intents: Vec<String>,
    parameters: Vec<ParameterView>,
    examples: Vec<String>,
    effect: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ParameterView {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    description: String,
    required: bool,
    default: Option<String>,
    choices: Option<Vec<String>>,
    pattern: Option<String>,
    prompt: Option<String>,
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Read => "read",
        Effect::Change => "change",
        Effect::Destroy => "destroy",
    }
}

fn choices(kind: &ParameterType) -> Option<Vec<String>> {
    match kind {
        ParameterType::Choice { choices } => Some(choices.clone()),
        ParameterType::Boolean => Some(vec!["yes".to_owned(), "no".to_owned()]),
        _ => None,
    }
}

impl ParameterView {
    fn of(parameter: &Parameter) -> Self {
        Self {
            name: parameter.name.clone(),
            kind: parameter.kind.name(),
            description: parameter.description.clone(),
            required: parameter.required,
            default: parameter.default.clone(),
            choices: choices(&parameter.kind),
            pattern: parameter.pattern.as_ref().map(|pattern| pattern.as_str().to_owned()),
            prompt: parameter.prompt.clone(),
        }
    }
}

/// The commands of a bot that the caller may run.
fn allowed<'b>(principal: &Principal, loaded: &'b LoadedBot) -> Vec<&'b Command> {
    let may = |command: &&Command| {
        decide(principal, Verb::Invoke, Object::Command { bot: &loaded.bot, command, arguments: None }).allowed
    };
    loaded.bot.commands.iter().map(AsRef::as_ref).filter(may).collect()
}

/// The bots the caller may use.
#[utoipa::path(get, path = "/api/bots", tag = "bots", responses((status = 200, body = Vec<BotSummary>), (status = 401)))]
pub(super) async fn list(State(api): State<Api>, caller: Caller) -> Answer<Vec<BotSummary>> {
    let snapshot = api.engine.registry().snapshot();
    let summary = |(loaded, status): (std::sync::Arc<LoadedBot>, BotStatus)| {
        let commands = allowed(&caller.principal, &loaded);
        let profile = BotProfile::of(&caller.principal, &loaded, &status, &commands);
        BotSummary { profile, commands: commands.len() }
    };
    Answer(snapshot.visible_bots(&caller.principal).into_iter().map(summary).collect())
}

/// One bot and its commands.
#[utoipa::path(get, path = "/api/bots/{id}", tag = "bots", params(("id" = String, Path)), responses((status = 200, body = BotDetail), (status = 401), (status = 404)))]
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Answer<BotDetail>> {
    let snapshot = api.engine.registry().snapshot();
    let loaded = snapshot.bot(&id).ok_or_else(|| unknown_bot(&id))?;
    authorize(&caller.principal, Verb::View, Object::Bot(&loaded.bot))?;
    let status = snapshot.statuses().find(|(name, _)| *name == loaded.bot.name).map(|(_, status)| status.clone());
    let status = status.unwrap_or(BotStatus::Online);
    let commands = allowed(&caller.principal, loaded);
    let view = |command: &&Command| CommandView {
        name: command.name.clone(),
        description: command.description.clone(),
        intents: command.intents.clone(),
        parameters: command.parameters.iter().map(ParameterView::of).collect(),
        examples: command.examples.iter().map(|example| example.say.clone()).collect(),
        effect: effect(command.effect),
    };
    let profile = BotProfile::of(&caller.principal, loaded, &status, &commands);
    Ok(Answer(BotDetail { profile, commands: commands.iter().map(view).collect() }))
}

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct CompletionsQuery {
    /// What has been typed so far.
    #[serde(default)]
    text: String,
    /// How many at most, 1 to 50.
    #[serde(default = "eight")]
    limit: i64,
}

fn eight() -> i64 {
    8
}

/// What could be typed next, and what the text means as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Completions {
    text: String,
    completions: Vec<CompletionView>,
    understood: Option<Understood>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CompletionView {
    bot_id: String,
    command: String,
    description: String,
    /// The whole text after accepting this.
    insert: String,
    tokens: Vec<TokenView>,
    slot: Option<SlotView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenView {
    /// `literal` or `slot`.
    kind: &'static str,
    text: String,
    /// Whether it has been typed.
    done: bool,
    /// Whether it comes next.
    next: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SlotView {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    description: String,
    values: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Understood {
    command: String,
    bot_id: String,
    arguments: std::collections::BTreeMap<String, String>,
    /// Required parameters without a value.
    missing: Vec<String>,
    effect: &'static str,
}

/// Completes what somebody types to a bot, from the same matcher that will read it.
#[utoipa::path(get, path = "/api/bots/{id}/completions", tag = "bots", params(("id" = String, Path), CompletionsQuery),
    responses((status = 200, body = Completions), (status = 400), (status = 401), (status = 404)))]
pub(super) async fn complete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<CompletionsQuery>,
) -> ApiResult<Answer<Completions>> {
    let limit = usize::try_from(within("limit", query.limit, 1, 50)?).unwrap_or(8);
    if query.text.len() > 4096 {
        return Err(Error::invalid("text has at most 4096 bytes").into());
    }
    let snapshot = api.engine.registry().snapshot();
    let loaded = snapshot.bot(&id).ok_or_else(|| unknown_bot(&id))?;
    authorize(&caller.principal, Verb::View, Object::Bot(&loaded.bot))?;
    let scope = Scope { bot: Some(&loaded.bot.name) };
    let may = |bot: &Bot, command: &Command| {
        decide(&caller.principal, Verb::Invoke, Object::Command { bot, command, arguments: None }).allowed
    };
    let completions = snapshot.index.complete(&query.text, &scope, &may, limit);
    let completions = completions.into_iter().map(|completion| CompletionView {
        bot_id: completion.bot.name.clone(),
        command: completion.command.name.clone(),
        description: completion.command.description.clone(),
        insert: completion.insert,
        tokens: completion
            .tokens
            .into_iter()
            .map(|token| TokenView {
                kind: match token.kind {
                    TokenKind::Literal => "literal",
                    TokenKind::Slot => "slot",
                },
                text: token.text,
                done: token.done,
                next: token.next,
            })
            .collect(),
        slot: completion.slot.map(|slot| SlotView {
            name: slot.name,
            kind: slot.kind,
            description: slot.description,
            values: slot.values,
        }),
    });
    let completions = completions.collect();
    let found = match snapshot.index.resolve(&query.text, &scope) {
        Resolution::Match(found) => Some(found),
        Resolution::Near(near) => Some(near.found),
        Resolution::Ambiguous(_) | Resolution::Nothing => None,
    };
    let understood = found.filter(|found| may(&found.bot, &found.command)).map(|found| understood(&found));
    Ok(Answer(Completions { text: query.text, completions, understood }))
}

fn understood(found: &crate::intent::Match) -> Understood {
    let lacks = |parameter: &&Parameter| {
        parameter.required && parameter.default.is_none() && !found.arguments.contains_key(&parameter.name)
    };
    Understood {
        command: found.command.name.clone(),
        bot_id: found.command.bot.clone(),
        arguments: found.arguments.clone(),
        missing: found.command.parameters.iter().filter(lacks).map(|parameter| parameter.name.clone()).collect(),
        effect: effect(found.command.effect),
    }
}

/// The JSON Schema of a bot's tests.
#[utoipa::path(get, path = "/schemas/bot-test-v1.json", tag = "meta", security(()), responses((status = 200, description = "JSON Schema 2020-12", content_type = "application/schema+json")))]
pub(super) async fn test_schema() -> Response {
    ([(header::CONTENT_TYPE, "application/schema+json")], SCHEMA).into_response()
}
