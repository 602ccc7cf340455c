//! Workflows of the integration layer: made over the API, kept with all their versions, run.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::ApiResult;
use super::executions::{array, faulty, status};
use super::extract::{Json, Query};
use super::session::{cursor, idempotency_key, within};
use crate::clock::rfc3339;
use crate::engine::flow::{Control, Launch, RunView, Source};
use crate::identity::Caller;
use crate::identity::permission::{Object, Verb, authorize};
use crate::manifest::flow::{About, Document, read_value};
use crate::model::grant::ResourceKind;
use crate::model::id::{new_id, sha256_hex};
use crate::model::{Error, Kind, Result};
use crate::store::run::RunFilter;
use crate::store::workflow::{NewDefinition, Workflow, unknown};

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct ListQuery {
    /// How many at most, 1 to 200.
    #[serde(default = "hundred")]
    limit: i64,
    /// The `X-Next-Cursor` of an earlier page.
    cursor: Option<String>,
}

fn hundred() -> i64 {
    100
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WorkflowLine {
    id: String,
    name: String,
    description: String,
    is_public: bool,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WorkflowView {
    #[serde(flatten)]
    line: WorkflowLine,
    version: i64,
    /// As it was sent.
    #[schema(value_type = Object)]
    definition: Value,
}

fn line(workflow: &Workflow) -> WorkflowLine {
    WorkflowLine {
        id: workflow.id.clone(),
        name: workflow.name.clone(),
        description: workflow.description.clone(),
        is_public: workflow.is_public,
        created_at: rfc3339(workflow.created_at),
        updated_at: rfc3339(workflow.updated_at),
    }
}

async fn view(api: &Api, workflow: &Workflow) -> Result<WorkflowView> {
    let newest = api.engine.store().workflow_versions(&workflow.id, workflow.version + 1, 1).await?;
    let source = newest.first().map(|version| version.source.as_str()).unwrap_or("null");
    let definition = serde_json::from_str(source).map_err(|error| Error::internal("read a workflow", error))?;
    Ok(WorkflowView { line: line(workflow), version: workflow.version, definition })
}

/// A workflow, when the caller may do that to it.
async fn find(api: &Api, caller: &Caller, verb: Verb, id: &str) -> Result<Workflow> {
    let workflow = api.engine.store().workflow(id).await?.ok_or_else(|| unknown(id))?;
    // What is public is everybody's to see and to run, and its owner's to change.
    let is_own = workflow.owner == caller.principal.id;
    let owner = (!workflow.is_public || is_own).then_some(workflow.owner.as_str());
    authorize(&caller.principal, verb, Object::Resource { kind: ResourceKind::Workflow, name: &workflow.id, owner })
        .map_err(|error| if error.kind == Kind::NotFound { unknown(id) } else { error })?;
    Ok(workflow)
}

/// Lists workflows, newest first: one's own and those that are public. `X-Next-Cursor` leads on.
#[utoipa::path(get, path = "/api/v1/workflows", tag = "workflows", params(ListQuery), responses((status = 200, body = Vec<WorkflowLine>), (status = 400), (status = 401)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> ApiResult<Response> {
    let limit = within("limit", query.limit, 1, 200)?;
    let before = query.cursor.as_deref().map(cursor).transpose()?.map(|(at, id)| (at, id.to_owned()));
    let whose = (!caller.principal.is_admin()).then_some(caller.principal.id.as_str());
    let mut workflows = api.engine.store().workflows(whose, before, limit + 1).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = workflows.len() > most;
    workflows.truncate(most);
    let next = workflows.last().filter(|_| more).map(|workflow| format!("{}.{}", workflow.created_at, workflow.id));
    Ok(array(workflows.iter().map(line).collect(), next))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    name: String,
    #[serde(default)]
    description: String,
    /// Steps as the integration layer writes them, or a whole document of flow/v1.
    #[schema(value_type = Object)]
    definition: Value,
    #[serde(default)]
    is_public: bool,
}

fn understand(name: &str, description: &str, definition: &Value) -> Result<Document> {
    if name.trim().is_empty() || name.chars().count() > 200 {
        let error = Error::invalid("name has 1 to 200 characters");
        return Err(error.details(json!({ "field": "name" })));
    }
    let Some(members) = definition.as_object() else {
        let error = Error::invalid("definition is an object with steps");
        return Err(error.details(json!({ "field": "definition" })));
    };
    let about = About { file: std::path::Path::new("definition"), name, title: name };
    let whole = match members.contains_key("apiVersion") {
        true => definition.clone(),
        false => json!({ "name": name, "description": description, "definition": definition }),
    };
    read_value(&whole, about).map_err(|faults| faulty(&faults))
}

fn definition_of(document: &Document) -> NewDefinition {
    NewDefinition {
        hash: document.hash.clone(),
        name: document.flow.name.clone(),
        title: document.flow.title.clone(),
        document: document.value.to_string(),
    }
}

/// Makes a workflow.
#[utoipa::path(post, path = "/api/v1/workflows", tag = "workflows", request_body = Create, responses((status = 201, body = WorkflowView), (status = 400, description = "All faults of the definition"), (status = 401), (status = 403)))]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Json { value, .. }: Json<Create>,
) -> ApiResult<(StatusCode, Answer<WorkflowView>)> {
    let own = Some(caller.principal.id.as_str());
    authorize(
        &caller.principal,
        Verb::Manage,
        Object::Resource { kind: ResourceKind::Workflow, name: "", owner: own },
    )?;
    let document = understand(&value.name, &value.description, &value.definition)?;
    let now = api.engine.clock().now();
    let workflow = Workflow {
        id: new_id(),
        name: value.name.trim().to_owned(),
        description: value.description,
        is_public: value.is_public,
        definition: document.hash.clone(),
        version: 1,
        owner: caller.principal.id.clone(),
        created_at: now,
        updated_at: now,
        deleted_at: None,
    };
    let (store, definition) = (api.engine.store(), definition_of(&document));
    let source = value.definition.to_string();
    store.keep_workflow(workflow.clone(), definition, source, &caller.principal.id, None).await?;
    Ok((StatusCode::CREATED, Answer(view(&api, &workflow).await?)))
}

/// A workflow with its definition.
#[utoipa::path(get, path = "/api/v1/workflows/{id}", tag = "workflows", params(("id" = String, Path)), responses((status = 200, body = WorkflowView), (status = 401), (status = 404)))]
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Answer<WorkflowView>> {
    let workflow = find(&api, &caller, Verb::View, &id).await?;
    Ok(Answer(view(&api, &workflow).await?))
}

/// What changes; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Update {
    name: Option<String>,
    description: Option<String>,
    #[schema(value_type = Option<Object>)]
    definition: Option<Value>,
    is_public: Option<bool>,
}

async fn change(api: &Api, caller: &Caller, id: &str, update: Update) -> ApiResult<Answer<WorkflowView>> {
    let before = find(api, caller, Verb::Manage, id).await?;
    let kept = view(api, &before).await?.definition;
    let source = update.definition.clone().unwrap_or(kept);
    let name = update.name.unwrap_or_else(|| before.name.clone());
    let description = update.description.unwrap_or_else(|| before.description.clone());
    let document = understand(&name, &description, &source)?;
    let is_new = document.hash != before.definition;
    let after = Workflow {
        name: name.trim().to_owned(),
        description,
        is_public: update.is_public.unwrap_or(before.is_public),
        definition: document.hash.clone(),
        version: before.version + i64::from(is_new),
        updated_at: api.engine.clock().now(),
        ..before.clone()
    };
    let definition = definition_of(&document);
    let by = &caller.principal.id;
    api.engine.store().keep_workflow(after.clone(), definition, source.to_string(), by, Some(before.version)).await?;
    Ok(Answer(view(api, &after).await?))
}

/// Changes a workflow. Another definition is another version; runs keep the one they began with.
#[utoipa::path(put, path = "/api/v1/workflows/{id}", tag = "workflows", params(("id" = String, Path)), request_body = Update, responses((status = 200, body = WorkflowView), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Json { value, .. }: Json<Update>,
) -> ApiResult<Answer<WorkflowView>> {
    change(&api, &caller, &id, value).await
}

/// The same as PUT.
#[utoipa::path(patch, path = "/api/v1/workflows/{id}", tag = "workflows", params(("id" = String, Path)), request_body = Update, responses((status = 200, body = WorkflowView), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Json { value, .. }: Json<Update>,
) -> ApiResult<Answer<WorkflowView>> {
    change(&api, &caller, &id, value).await
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WorkflowDeleted {
    success: bool,
    id: String,
}

/// Takes a workflow out of use. Its runs stay, and those under way go on.
#[utoipa::path(delete, path = "/api/v1/workflows/{id}", tag = "workflows", params(("id" = String, Path)), responses((status = 200, body = WorkflowDeleted), (status = 401), (status = 403), (status = 404)))]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Answer<WorkflowDeleted>> {
    find(&api, &caller, Verb::Manage, &id).await?;
    let success = api.engine.store().delete_workflow(&id, api.engine.clock().now()).await?;
    Ok(Answer(WorkflowDeleted { success, id }))
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct VersionView {
    version: i64,
    #[schema(value_type = Object)]
    definition: Value,
    created_by: String,
    created_at: String,
}

/// The versions of a workflow, newest first. `X-Next-Cursor` leads on.
#[utoipa::path(get, path = "/api/v1/workflows/{id}/versions", tag = "workflows", params(("id" = String, Path), ListQuery), responses((status = 200, body = Vec<VersionView>), (status = 401), (status = 404)))]
pub(super) async fn versions(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Response> {
    find(&api, &caller, Verb::View, &id).await?;
    let limit = within("limit", query.limit, 1, 200)?;
    let before = match query.cursor.as_deref() {
        Some(cursor) => cursor.parse().map_err(|_| Error::invalid("cursor is not one of an earlier page"))?,
        None => i64::MAX,
    };
    let mut versions = api.engine.store().workflow_versions(&id, before, limit + 1).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = versions.len() > most;
    versions.truncate(most);
    let next = versions.last().filter(|_| more).map(|version| version.version.to_string());
    let shown = versions.into_iter().map(|version| VersionView {
        version: version.version,
        definition: serde_json::from_str(&version.source).unwrap_or_default(),
        created_by: version.created_by,
        created_at: rfc3339(version.created_at),
    });
    Ok(array(shown.collect(), next))
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Execute {
    #[serde(default)]
    #[schema(value_type = Object)]
    input: Map<String, Value>,
    #[serde(default)]
    #[schema(value_type = Object)]
    metadata: Value,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Executed {
    execution_id: String,
    /// `pending`: it is kept, and begins.
    status: &'static str,
    started_at: String,
}

/// Runs a workflow. The same `Idempotency-Key` and request again is the same run.
#[utoipa::path(post, path = "/api/v1/workflows/{id}/execute", tag = "workflows", request_body = Execute,
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Executed), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn execute(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json { value, bytes }: Json<Execute>,
) -> ApiResult<Answer<Executed>> {
    find(&api, &caller, Verb::Invoke, &id).await?;
    let hash = sha256_hex([id.as_bytes(), b"\n", &bytes].concat().as_slice());
    let launch = Launch {
        source: Source::Workflow(id),
        inputs: value.input,
        metadata: value.metadata,
        trigger: json!({ "type": "api" }),
        debug: false,
        idempotency_key: idempotency_key(&headers)?,
        body_hash: Some(hash),
    };
    let launched = api.engine.launch(&caller.principal, launch).await?;
    let view = api.engine.view_run(&caller.principal, &launched.execution).await?;
    let started = view.run.started_at.unwrap_or(view.run.created_at);
    Ok(Answer(Executed { execution_id: launched.execution, status: "pending", started_at: rfc3339(started) }))
}

/// A run as the integration layer shows it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExecutionView {
    id: String,
    /// Of a run of a workflow; a playbook's path or a command's name otherwise.
    workflow_id: String,
    name: String,
    /// `pending`, `running`, `paused`, `completed`, `failed` or `cancelled`.
    status: &'static str,
    #[schema(value_type = Object)]
    input: Value,
    #[schema(value_type = Object)]
    output: Value,
    error: Option<String>,
    started_at: String,
    completed_at: Option<String>,
    steps: Vec<StepView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StepView {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    status: &'static str,
    #[schema(value_type = Object)]
    output: Value,
    error: Option<String>,
    started_at: Option<String>,
    completed_at: Option<String>,
}

fn shown(view: RunView) -> ExecutionView {
    let step = |step: crate::engine::flow::StepView| StepView {
        name: step.path,
        kind: step.kind,
        status: step.status.shown(),
        output: step.output,
        error: step.error.map(|fault| fault.message),
        started_at: step.started_at.map(rfc3339),
        completed_at: step.finished_at.map(rfc3339),
    };
    let run = view.run;
    ExecutionView {
        workflow_id: run.source,
        name: run.title,
        status: run.status.as_str(),
        input: serde_json::from_str(&run.inputs).unwrap_or_default(),
        output: view.output,
        error: view.error.map(|fault| fault.message),
        started_at: rfc3339(run.started_at.unwrap_or(run.created_at)),
        completed_at: run.finished_at.map(rfc3339),
        steps: view.steps.into_iter().map(step).collect(),
        id: run.execution,
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunsQuery {
    /// How many at most, 1 to 200.
    #[serde(default = "fifty")]
    limit: i64,
    status: Option<String>,
    /// Only runs of this workflow.
    workflow_id: Option<String>,
    /// The `X-Next-Cursor` of an earlier page.
    cursor: Option<String>,
}

fn fifty() -> i64 {
    50
}

/// Lists runs, newest first. `X-Next-Cursor` leads on.
#[utoipa::path(get, path = "/api/v1/executions", tag = "workflows", params(RunsQuery), responses((status = 200, body = Vec<ExecutionView>), (status = 400), (status = 401)))]
pub(super) async fn executions(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<RunsQuery>,
) -> ApiResult<Response> {
    let limit = within("limit", query.limit, 1, 200)?;
    let before = query.cursor.as_deref().map(cursor).transpose()?.map(|(at, id)| (at, id.to_owned()));
    let source = query.workflow_id.as_deref();
    let filter = RunFilter {
        status: status(query.status.as_deref())?,
        source,
        before,
        limit: limit + 1,
        ..RunFilter::default()
    };
    let mut views = api.engine.list_runs(&caller.principal, filter).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = views.len() > most;
    views.truncate(most);
    let next = views.last().filter(|_| more).map(|view| format!("{}.{}", view.run.created_at, view.run.execution));
    Ok(array(views.into_iter().map(shown).collect(), next))
}

/// A run with all its steps.
#[utoipa::path(get, path = "/api/v1/executions/{id}", tag = "workflows", params(("id" = String, Path)), responses((status = 200, body = ExecutionView), (status = 401), (status = 404)))]
pub(super) async fn execution(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Answer<ExecutionView>> {
    Ok(Answer(shown(api.engine.view_run(&caller.principal, &id).await?)))
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Act {
    /// `cancel`, `pause` or `resume`.
    action: String,
    /// Of a cancellation: undoes what was done, newest first; the run is `cancelled` once that is over.
    #[serde(default)]
    undo: bool,
}

/// Does something to a run; answers the run.
#[utoipa::path(post, path = "/api/v1/executions/{id}", tag = "workflows", params(("id" = String, Path)), request_body = Act, responses((status = 200, body = ExecutionView), (status = 400), (status = 401), (status = 404), (status = 409)))]
pub(super) async fn act(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Json { value, .. }: Json<Act>,
) -> ApiResult<Answer<ExecutionView>> {
    let control = match value.action.as_str() {
        "cancel" => Control::Cancel { undo: value.undo },
        "pause" => Control::Pause,
        "resume" => Control::Resume,
        _ => {
            let error = Error::invalid("action is one of cancel, pause and resume");
            return Err(error.details(json!({ "field": "action" })).into());
        }
    };
    api.engine.control_run(&caller.principal, &id, control, None).await?;
    Ok(Answer(shown(api.engine.view_run(&caller.principal, &id).await?)))
}
