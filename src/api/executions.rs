//! Runs of playbooks, workflows and commands with steps, as the toolbox shows them.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::artifacts::ArtifactLine;
use super::error::ApiResult;
use super::extract::{Json, Query};
use super::session::{cursor, idempotency_key, within};
use crate::clock::rfc3339;
use crate::engine::flow::{Answer as Said, Control, Launch, Resolution, RunView, Source, StepView};
use crate::identity::Caller;
use crate::manifest::flow::{About, read, read_value};
use crate::model::execution::ExecutionStatus;
use crate::model::id::sha256_hex;
use crate::model::{Error, Kind, Result};
use crate::store::artifact::Artifact;
use crate::store::run::RunFilter;

/// Where to read on, for lists that are bare arrays.
pub(super) const NEXT: HeaderName = HeaderName::from_static("x-next-cursor");

/// What is run, and with what.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Start {
    playbook_path: String,
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
    /// For playbooks that have a parameter of that name, and for steps that ask for none of their own.
    gateway_url: Option<String>,
    /// The credential of steps that name none.
    credential_name: Option<String>,
    /// Pauses after each step.
    #[serde(default)]
    debug_mode: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Started {
    execution_id: String,
    playbook_name: String,
    /// `started`.
    status: &'static str,
    message: String,
}

/// Starts a run of a playbook. The same `Idempotency-Key` and request again is the same run.
#[utoipa::path(post, path = "/api/executions", tag = "executions", request_body = Start,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Started), (status = 400, description = "The path, the playbook or a parameter is wrong"), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn start(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Json { value: start, bytes }: Json<Start>,
) -> ApiResult<Answer<Started>> {
    let mut inputs = start.parameters;
    let path = start.playbook_path;
    let document = api.engine.playbook(&path).await?;
    for (name, value) in [("gateway_url", &start.gateway_url), ("credential_name", &start.credential_name)] {
        let takes = document.flow.inputs.iter().any(|input| input.name == name);
        if let (true, Some(value)) = (takes, value) {
            inputs.entry(name).or_insert_with(|| json!(value));
        }
    }
    let metadata = json!({ "gateway_url": start.gateway_url, "credential_name": start.credential_name });
    let launch = Launch {
        source: Source::Playbook(path),
        inputs,
        metadata,
        trigger: json!({ "type": "api" }),
        debug: start.debug_mode,
        idempotency_key: idempotency_key(&headers)?,
        body_hash: Some(sha256_hex(&bytes)),
    };
    let launched = api.engine.launch(&caller.principal, launch).await?;
    Ok(Answer(Started {
        message: format!("Execution started with ID: {}", launched.execution),
        execution_id: launched.execution,
        playbook_name: launched.title,
        status: "started",
    }))
}

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct ListQuery {
    /// How many at most, 1 to 200.
    #[serde(default = "fifty")]
    limit: i64,
    /// Only those that are `pending`, `running`, `paused`, `completed`, `failed` or `cancelled`.
    status: Option<String>,
    /// The `X-Next-Cursor` of an earlier page.
    cursor: Option<String>,
}

fn fifty() -> i64 {
    50
}

pub(super) fn status(text: Option<&str>) -> Result<Option<ExecutionStatus>> {
    let Some(text) = text else { return Ok(None) };
    ExecutionStatus::parse(text).map(Some).ok_or_else(|| {
        let words = ExecutionStatus::ALL.map(ExecutionStatus::as_str).join(", ");
        Error::invalid(format!("status is one of {words}")).details(json!({ "field": "status" }))
    })
}

/// A run in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ExecutionLine {
    execution_id: String,
    playbook_name: String,
    /// `pending`, `running`, `paused`, `completed`, `failed` or `cancelled`.
    status: &'static str,
    started_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    /// How many steps have ended, from the first on.
    current_step_index: usize,
    total_steps: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A run with its steps.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Execution {
    #[serde(flatten)]
    line: ExecutionLine,
    /// Every step, those that have not begun as `pending`.
    step_results: Vec<StepResult>,
    #[schema(value_type = Object)]
    parameters: Value,
    #[schema(value_type = Object)]
    output: Value,
    /// `playbook`, `workflow` or `command`, and which one.
    kind: String,
    source: String,
    started_by: String,
    /// What its steps left to be looked at.
    artifacts: Vec<ArtifactLine>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StepResult {
    /// Its path: ids, and the number of each pass of a loop.
    step_id: String,
    step_name: String,
    #[serde(rename = "type")]
    kind: String,
    /// How many steps stand around it.
    depth: usize,
    /// `pending`, `running`, `waiting`, `uncertain`, `completed`, `failed`, `skipped` or `cancelled`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Object)]
    output: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What it asks, while it waits for an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<String>,
    retries: i64,
}

fn line(view: &RunView) -> ExecutionLine {
    let run = &view.run;
    ExecutionLine {
        execution_id: run.execution.clone(),
        playbook_name: run.title.clone(),
        status: run.status.as_str(),
        started_at: rfc3339(run.started_at.unwrap_or(run.created_at)),
        completed_at: run.finished_at.map(rfc3339),
        current_step_index: view.current(),
        total_steps: view.steps.len(),
        error: view.error.as_ref().map(|fault| fault.message.clone()),
    }
}

fn whole(view: RunView, artifacts: Vec<Artifact>) -> Execution {
    let line = line(&view);
    let result = |step: StepView| StepResult {
        step_id: step.path,
        step_name: step.name,
        kind: step.kind,
        depth: step.depth,
        status: step.status.shown(),
        started_at: step.started_at.map(rfc3339),
        completed_at: step.finished_at.map(rfc3339),
        output: step.output,
        error: step.error.map(|fault| fault.message),
        question: step.asks,
        retries: step.tries,
    };
    Execution {
        line,
        parameters: serde_json::from_str(&view.run.inputs).unwrap_or_default(),
        output: view.output,
        kind: view.run.kind,
        source: view.run.source,
        started_by: view.run.principal_name,
        step_results: view.steps.into_iter().map(result).collect(),
        artifacts: artifacts.into_iter().map(ArtifactLine::from).collect(),
    }
}

/// A bare array, and where it goes on.
pub(super) fn array<T: Serialize>(items: Vec<T>, next: Option<String>) -> Response {
    let mut response = Answer(items).into_response();
    if let Some(next) = next.and_then(|next| HeaderValue::from_str(&next).ok()) {
        response.headers_mut().insert(NEXT, next);
    }
    response
}

/// Lists runs, newest first: one's own, or everybody's for an administrator. `X-Next-Cursor` leads on.
#[utoipa::path(get, path = "/api/executions", tag = "executions", params(ListQuery), responses((status = 200, body = Vec<ExecutionLine>), (status = 400), (status = 401)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> ApiResult<Response> {
    let limit = within("limit", query.limit, 1, 200)?;
    let before = query.cursor.as_deref().map(cursor).transpose()?.map(|(at, id)| (at, id.to_owned()));
    let filter =
        RunFilter { status: status(query.status.as_deref())?, before, limit: limit + 1, ..RunFilter::default() };
    let mut views = api.engine.list_runs(&caller.principal, filter).await?;
    let more = views.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    views.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next = views.last().filter(|_| more).map(|view| format!("{}.{}", view.run.created_at, view.run.execution));
    Ok(array(views.iter().map(line).collect(), next))
}

/// A run with all its steps.
#[utoipa::path(get, path = "/api/executions/{id}", tag = "executions", params(("id" = String, Path)), responses((status = 200, body = Execution), (status = 401), (status = 404)))]
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Answer<Execution>> {
    let view = api.engine.view_run(&caller.principal, &id).await?;
    let artifacts = api.engine.artifacts(&caller.principal, &id).await?;
    Ok(Answer(whole(view, artifacts)))
}

/// The same as the run itself.
#[utoipa::path(get, path = "/api/executions/{id}/status", tag = "executions", params(("id" = String, Path)), responses((status = 200, body = Execution), (status = 401), (status = 404)))]
pub(super) async fn state(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Answer<Execution>> {
    get(State(api), caller, Path(id)).await
}

/// What was done to a run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Controlled {
    message: &'static str,
    execution_id: String,
    /// Of a cancellation: steps whose effect had begun; their results are thrown away.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_flight: Option<Vec<String>>,
}

async fn control(
    api: &Api,
    caller: &Caller,
    id: String,
    control: Control,
    message: &'static str,
) -> ApiResult<Answer<Controlled>> {
    let cancels = matches!(control, Control::Cancel { .. });
    let done = api.engine.control_run(&caller.principal, &id, control, None).await?;
    Ok(Answer(Controlled { message, execution_id: id, in_flight: cancels.then_some(done.in_flight) }))
}

/// Pauses a run: once this answers nothing more begins. Steps that are under way end.
#[utoipa::path(post, path = "/api/executions/{id}/pause", tag = "executions", params(("id" = String, Path)), responses((status = 200, body = Controlled), (status = 401), (status = 404), (status = 409, description = "It has ended")))]
pub(super) async fn pause(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Answer<Controlled>> {
    control(&api, &caller, id, Control::Pause, "Execution paused").await
}

/// Lets a paused run go on.
#[utoipa::path(post, path = "/api/executions/{id}/resume", tag = "executions", params(("id" = String, Path)), responses((status = 200, body = Controlled), (status = 401), (status = 404), (status = 409, description = "It has ended, or has to be told first what became of a step")))]
pub(super) async fn resume(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Answer<Controlled>> {
    control(&api, &caller, id, Control::Resume, "Execution resumed").await
}

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct HowToCancel {
    /// Undoes what was done, newest first, by the `undo` of each step; the run is `cancelled` once that is over.
    #[serde(default)]
    undo: bool,
}

/// Cancels a run for good: once this answers no step of it begins. Asked for again it changes nothing.
#[utoipa::path(post, path = "/api/executions/{id}/cancel", tag = "executions", params(("id" = String, Path), HowToCancel), responses((status = 200, body = Controlled), (status = 401), (status = 404), (status = 409, description = "It has ended otherwise")))]
pub(super) async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(how): Query<HowToCancel>,
) -> ApiResult<Answer<Controlled>> {
    control(&api, &caller, id, Control::Cancel { undo: how.undo }, "Execution cancelled").await
}

/// Passes over the step that is under way, or the next one.
#[utoipa::path(post, path = "/api/executions/{id}/skip", tag = "executions", params(("id" = String, Path)), responses((status = 200, body = Controlled), (status = 401), (status = 404), (status = 409)))]
pub(super) async fn skip(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Answer<Controlled>> {
    control(&api, &caller, id, Control::Skip, "Current step skipped").await
}

/// Goes back to the step before, at the top of the document.
#[utoipa::path(post, path = "/api/executions/{id}/skip_back", tag = "executions", params(("id" = String, Path)), responses((status = 200, body = Controlled), (status = 401), (status = 404), (status = 409)))]
pub(super) async fn skip_back(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Answer<Controlled>> {
    control(&api, &caller, id, Control::SkipBack, "Execution went back one step").await
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct RetryFrom {
    /// A step at the top of the document.
    from_step: String,
}

/// Runs again from a step on, also when the run has ended.
#[utoipa::path(post, path = "/api/executions/{id}/retry", tag = "executions", params(("id" = String, Path)), request_body = RetryFrom, responses((status = 200, body = Controlled), (status = 400), (status = 401), (status = 404), (status = 409)))]
pub(super) async fn retry(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Json { value, .. }: Json<RetryFrom>,
) -> ApiResult<Answer<Controlled>> {
    control(&api, &caller, id, Control::RetryFrom(value.from_step), "Execution started again").await
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Resolve {
    /// The path of the step; may be left out when it is the only one.
    step_id: Option<String>,
    /// `happened`, `retry`, `skip` or `fail`.
    outcome: String,
    /// With `happened`: what the step would have given.
    #[serde(default)]
    #[schema(value_type = Object)]
    output: Value,
}

/// Says what became of a step of which nobody knows; the run goes on.
#[utoipa::path(post, path = "/api/executions/{id}/resolve", tag = "executions", params(("id" = String, Path)), request_body = Resolve, responses((status = 200, body = Controlled), (status = 400), (status = 401), (status = 404), (status = 409)))]
pub(super) async fn resolve(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Json { value, .. }: Json<Resolve>,
) -> ApiResult<Answer<Controlled>> {
    let resolution = match value.outcome.as_str() {
        "happened" => Resolution::Happened(value.output),
        "retry" => Resolution::Retry,
        "skip" => Resolution::Skip,
        "fail" => Resolution::Fail,
        _ => {
            let error = Error::invalid("outcome is one of happened, retry, skip and fail");
            return Err(error.details(json!({ "field": "outcome" })).into());
        }
    };
    let resolve = Control::Resolve { path: value.step_id, resolution };
    control(&api, &caller, id, resolve, "Step resolved").await
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct AnswerBody {
    /// The path of the step; may be left out when it is the only one that asks.
    step_id: Option<String>,
    /// What its form asks for; without a form `{"decision": "approve"}` or `reject`.
    #[schema(value_type = Object)]
    answer: Value,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Answered {
    message: &'static str,
    execution_id: String,
    /// Whether it takes no more answers.
    decided: bool,
}

/// Answers what a run asks: whoever may, whether or not they started it.
#[utoipa::path(post, path = "/api/executions/{id}/answer", tag = "executions", params(("id" = String, Path)), request_body = AnswerBody, responses((status = 200, body = Answered), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn answer(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Json { value, .. }: Json<AnswerBody>,
) -> ApiResult<Answer<Answered>> {
    let said = Said { execution: id.clone(), path: value.step_id, answer: value.answer };
    let (decided, _) = api.engine.answer_run(&caller.principal, said, None).await?;
    Ok(Answer(Answered { message: "Answer taken", execution_id: id, decided }))
}

/// The document of a run as it is pinned, in flow/v1.
#[utoipa::path(get, path = "/api/executions/{id}/definition", tag = "executions", params(("id" = String, Path)), responses((status = 200, description = "flow/v1", content_type = "application/json"), (status = 401), (status = 404)))]
pub(super) async fn definition(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Answer<Value>> {
    Ok(Answer(api.engine.document_of_run(&caller.principal, &id).await?))
}

/// A document of any form.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Edit {
    /// As JSON …
    #[serde(default)]
    #[schema(value_type = Object)]
    definition: Value,
    /// … or as YAML.
    code: Option<String>,
}

/// Goes on with another document, while the run is paused. Refused when a step that has begun means something else in it.
#[utoipa::path(put, path = "/api/executions/{id}/definition", tag = "executions", params(("id" = String, Path)), request_body = Edit, responses((status = 200, body = Controlled), (status = 400), (status = 401), (status = 404), (status = 409)))]
pub(super) async fn edit(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Json { value, .. }: Json<Edit>,
) -> ApiResult<Answer<Controlled>> {
    let about = About { file: std::path::Path::new("definition"), name: "edited", title: "Edited" };
    let document = match &value.code {
        Some(code) => read(code, about),
        None => read_value(&value.definition, about),
    };
    let document = document.map_err(|faults| faulty(&faults))?;
    api.engine.edit_run(&caller.principal, &id, document).await?;
    Ok(Answer(Controlled { message: "Execution edited", execution_id: id, in_flight: None }))
}

/// The faults of a document as one refusal.
pub(super) fn faulty(faults: &[crate::manifest::Fault]) -> Error {
    let told: Vec<Value> = faults
        .iter()
        .map(|fault| json!({ "line": fault.line, "column": fault.column, "message": fault.text() }))
        .collect();
    let message = faults.first().map(crate::manifest::Fault::text).unwrap_or_default();
    Error::new(Kind::Invalid, "VALIDATION_ERROR", message).details(json!({ "errors": told }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ExecutionDeleted {
    message: &'static str,
    execution_id: String,
    /// Its artifacts.
    screenshots_deleted: usize,
}

/// Deletes a run that has ended, with all that is known of it.
#[utoipa::path(delete, path = "/api/executions/{id}", tag = "executions", params(("id" = String, Path)), responses((status = 200, body = ExecutionDeleted), (status = 401), (status = 404), (status = 409, description = "It has not ended")))]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Answer<ExecutionDeleted>> {
    let screenshots_deleted = api.engine.delete_run(&caller.principal, &id).await?;
    Ok(Answer(ExecutionDeleted { message: "Execution deleted successfully", execution_id: id, screenshots_deleted }))
}

/// The state of this server, as the toolbox asks for it; open to everybody.
#[utoipa::path(get, path = "/api/health", tag = "health", security(()), responses((status = 200, body = super::health::Health), (status = 503, body = super::health::Health)))]
pub(super) async fn health(State(api): State<Api>) -> Response {
    super::health::health(State(api)).await.into_response()
}
