//! The automation API: invoke a command over REST and poll what came of it.

use std::time::Duration;

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::attachments::response;
use super::error::ApiResult;
use super::events::{Follower, LONGEST_WAIT};
use super::extract::{Json, Query};
use super::session::{idempotency_key, within};
use crate::engine::invoke::{Invoked, Place, Request, Source};
use crate::identity::Caller;
use crate::identity::permission::{Object, Verb, authorize, decide};
use crate::model::bot::Bot;
use crate::model::event::Stream;
use crate::model::execution::ExecutionStatus;
use crate::model::id::sha256_hex;
use crate::model::message::Message;
use crate::model::{Error, Kind};
use crate::store::execution::Execution;

/// A command request. What it does not need of `secrets` and `mapped_parameters` is passed over.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct CommandRequest {
    #[serde(default)]
    api_version: Option<String>,
    /// The command's name; `MyCommandName` and `my-command-name` are one.
    command: String,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    source: Option<Value>,
    #[serde(default)]
    team: Option<Team>,
    #[serde(default)]
    automation: Option<Automation>,
    #[serde(default)]
    parameters: Vec<Pair>,
    #[serde(default)]
    mapped_parameters: Vec<Pair>,
    /// Never stored and never echoed.
    #[serde(default, rename = "secrets")]
    #[schema(value_type = Vec<Object>)]
    _secrets: Vec<Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(super) struct Team {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// Which bot; a name that no bot has is only echoed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(super) struct Automation {
    name: String,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Pair {
    name: String,
    /// Text; numbers and booleans are taken as they are written.
    #[serde(default)]
    #[schema(value_type = String)]
    value: Value,
}

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct InvokeQuery {
    /// `true` runs the command; without it the request is only checked.
    #[serde(default)]
    invoke: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InvocationAnswer {
    invocation: InvocationView,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InvocationView {
    id: String,
    /// Where to poll.
    url: String,
}

/// The answer to a request that was only checked.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Valid {
    valid: bool,
    command: String,
    bot_id: String,
    /// What would be run, defaults filled in.
    #[schema(value_type = Object)]
    parameters: Value,
}

/// Invokes a command, or, without `invoke=true`, checks the request and runs nothing.
#[utoipa::path(post, path = "/command", tag = "commands", request_body = CommandRequest,
    params(InvokeQuery, ("Idempotency-Key" = Option<String>, Header, description = "The same key and request again is the same invocation")),
    responses((status = 200, body = InvocationAnswer), (status = 400, description = "All faults of the request at once"), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn invoke(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<InvokeQuery>,
    headers: HeaderMap,
    body: Json<CommandRequest>,
) -> ApiResult<Response> {
    let body_hash = Some(sha256_hex(&body.bytes));
    let request = request(&api, &caller, body.value)?;
    if !query.invoke {
        let prepared = api.engine.prepare(&caller.principal, request)?;
        let valid = Valid {
            valid: true,
            command: prepared.command.name.clone(),
            bot_id: prepared.command.bot.clone(),
            parameters: json!(prepared.arguments),
        };
        return Ok(Answer(valid).into_response());
    }
    let place = Place::Poll { idempotency_key: idempotency_key(&headers)?, body_hash };
    let Invoked::Polled(invocation) = api.engine.invoke(&caller.principal, request, place).await? else {
        return Err(Error::internal("invoke", "a run answered another door").into());
    };
    let url = format!("{}/command/{}/invocation/{}", api.public_url, invocation.request_id, invocation.id);
    Ok(Answer(InvocationAnswer { invocation: InvocationView { id: invocation.id, url } }).into_response())
}

fn request(api: &Api, caller: &Caller, body: CommandRequest) -> ApiResult<Request> {
    let arguments = pairs("parameters", body.parameters)?;
    let mapped = pairs("mapped_parameters", body.mapped_parameters)?;
    let source = body.source.unwrap_or_else(|| json!({ "user_agent": "api" }));
    if !source.is_object() {
        return Err(Error::invalid("source is an object such as {\"user_agent\": \"web\"}").into());
    }
    let snapshot = api.engine.registry().snapshot();
    // One that the caller may not see is a foreign name like any other.
    let seen = |bot: &Bot| decide(&caller.principal, Verb::View, Object::Bot(bot)).allowed;
    let bot = body
        .automation
        .as_ref()
        .and_then(|automation| snapshot.bot(&automation.name))
        .filter(|loaded| seen(&loaded.bot));
    let channel = source.get("user_agent").and_then(Value::as_str).unwrap_or("api").to_owned();
    let mut record = Map::new();
    record.insert("api_version".into(), json!(body.api_version.as_deref().unwrap_or("1")));
    record.insert("command".into(), json!(body.command));
    record.insert("source".into(), source);
    if let Some(team) = &body.team {
        record.insert("team".into(), json!(team));
    }
    if let Some(automation) = &body.automation {
        record.insert("automation".into(), json!(automation));
    }
    Ok(Request {
        command: body.command,
        bot: bot.map(|loaded| loaded.bot.name.clone()),
        arguments,
        matches: Vec::new(),
        source: Source {
            record: Value::Object(record).into(),
            team_id: body.team.as_ref().and_then(|team| team.id.clone()),
            team_name: body.team.and_then(|team| team.name),
            mapped: mapped.into_iter().collect(),
            conversation: None,
            channel,
            outside: None,
        },
    })
}

fn pairs(field: &str, pairs: Vec<Pair>) -> ApiResult<Vec<(String, String)>> {
    let mut values = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let text = match pair.value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => {
                let message = format!("the value of {field}.{} must be text, a number or a boolean", pair.name);
                let fault = json!({ "field": format!("{field}.{}", pair.name), "code": "type", "message": message });
                let error = Error::new(Kind::Invalid, "VALIDATION_FAILED", message);
                return Err(error.details(json!({ "errors": [fault] })).into());
            }
        };
        values.push((pair.name, text));
    }
    Ok(values)
}

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct PollQuery {
    /// Seconds to wait for the end of the run, 0 to 60.
    #[serde(default)]
    wait: i64,
}

/// What came of an invocation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PollAnswer {
    /// The request, with the registered name and the values that were used.
    #[schema(value_type = Object)]
    command_request: Value,
    /// `AWAITING_INPUT` while it asks, `AWAITING_CONFIRMATION` until who asked agrees, `AWAITING_APPROVAL` until others do, `PENDING` until a process takes it, `RUNNING`, or finally `SUCCESS`, `FAILURE`,
    /// `CANCELLED`, `EXPIRED`.
    phase: &'static str,
    /// The last message it said; null before the first.
    #[schema(value_type = Object)]
    command_response: Value,
    /// Every message it said.
    #[schema(value_type = Vec<Object>)]
    command_responses: Vec<Value>,
    status: StatusView,
    /// Null until it has ended.
    duration_ms: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatusView {
    /// 0 when it went well.
    code: i32,
    reason: String,
}

/// Reads an invocation; with `wait` answers as soon as it has ended.
#[utoipa::path(get, path = "/command/{request_id}/invocation/{id}", tag = "commands",
    params(("request_id" = String, Path), ("id" = String, Path), PollQuery),
    responses((status = 200, body = PollAnswer), (status = 400), (status = 401), (status = 404)))]
pub(super) async fn poll(
    State(api): State<Api>,
    caller: Caller,
    Path((request_id, id)): Path<(String, String)>,
    Query(query): Query<PollQuery>,
) -> ApiResult<Answer<PollAnswer>> {
    let wait = within("wait", query.wait, 0, LONGEST_WAIT)?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(u64::try_from(wait).unwrap_or_default());
    let mut follower: Option<Follower> = None;
    loop {
        let execution = find(&api, &caller, &request_id, &id).await?;
        let rest = deadline.saturating_duration_since(tokio::time::Instant::now());
        if execution.status.is_final() || rest.is_zero() || api.tasks.is_stopping() {
            return Ok(Answer(answer(&execution)?));
        }
        let store = api.engine.store();
        let follower = follower.get_or_insert_with(|| Follower::new(store.clone(), &Stream::execution(&id), 0));
        follower.next(Some(100), rest, api.tasks.stop_token()).await?;
    }
}

/// Stops an invocation that has not ended; answers like a poll.
#[utoipa::path(post, path = "/command/{request_id}/invocation/{id}/cancel", tag = "commands",
    params(("request_id" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = PollAnswer), (status = 401), (status = 404), (status = 409, description = "It has ended")))]
pub(super) async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Path((request_id, id)): Path<(String, String)>,
) -> ApiResult<Answer<PollAnswer>> {
    let execution = find(&api, &caller, &request_id, &id).await?;
    api.hub.cancel_run(&caller.principal, &execution).await?;
    Ok(Answer(answer(&find(&api, &caller, &request_id, &id).await?)?))
}

/// The run at this address, whosever it is.
pub(super) async fn find_run(api: &Api, request_id: &str, id: &str) -> ApiResult<Option<Execution>> {
    Ok(api.engine.store().execution(id).await?.filter(|execution| execution.request_id == request_id))
}

async fn find(api: &Api, caller: &Caller, request_id: &str, id: &str) -> ApiResult<Execution> {
    let unknown = || Error::not_found("there is no such invocation").details(json!({ "invocation_id": id }));
    let execution = find_run(api, request_id, id).await?.ok_or_else(unknown)?;
    authorize(&caller.principal, Verb::View, Object::execution(&execution)).map_err(|_| unknown())?;
    Ok(execution)
}

fn answer(execution: &Execution) -> ApiResult<PollAnswer> {
    let unreadable = |error: serde_json::Error| Error::internal("read an execution", error);
    let mut request: Map<String, Value> = serde_json::from_str(&execution.request).map_err(unreadable)?;
    request.insert("secrets".into(), json!([]));
    request.insert("correlation_id".into(), json!(execution.id));
    let messages: Vec<Message> = serde_json::from_str(&execution.responses).map_err(unreadable)?;
    let responses: Vec<Value> = messages.iter().map(|message| response(message, &request, execution)).collect();
    let reason = match (&execution.error, execution.status.is_final()) {
        (Some(error), _) => error.clone(),
        (None, true) => format!("Successfully invoked command {} of {}", execution.command, execution.bot),
        (None, false) => {
            let what = match execution.status {
                ExecutionStatus::AwaitingInput => "waits for values that were asked for",
                ExecutionStatus::AwaitingConfirmation => "waits for who asked to confirm it",
                ExecutionStatus::AwaitingApproval => "waits for approval",
                _ => "is under way",
            };
            format!("Command {} of {} {what}", execution.command, execution.bot)
        }
    };
    Ok(PollAnswer {
        phase: execution.status.phase(),
        command_response: responses.last().cloned().unwrap_or(Value::Null),
        command_responses: responses,
        status: StatusView { code: i32::from(execution.error.is_some()), reason },
        duration_ms: execution.finished_at.map(|at| at - execution.created_at),
        command_request: Value::Object(request),
    })
}
