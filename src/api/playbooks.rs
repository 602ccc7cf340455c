//! Playbooks: files that can be run.

use axum::Json as Answer;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::ApiResult;
use super::extract::{Json, Query};
use super::session::within;
use crate::engine::flow::{Listed, kind_of};
use crate::flow::{Flow, Step};
use crate::identity::Caller;
use crate::identity::permission::{Object, Verb, authorize, decide};
use crate::model::Error;
use crate::model::grant::ResourceKind;

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct ListQuery {
    /// How many at most, 1 to 1000.
    #[serde(default = "thousand")]
    limit: i64,
    /// The `next_cursor` of an earlier page.
    cursor: Option<String>,
}

fn thousand() -> i64 {
    1000
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PlaybookList {
    playbooks: Vec<PlaybookLine>,
    /// Give it as `cursor` to read on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PlaybookLine {
    name: String,
    /// In its folder.
    path: String,
    domain: String,
    description: String,
    version: String,
    /// What is wrong with the file; it cannot be run then.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

/// Lists the playbooks, by path.
#[utoipa::path(get, path = "/api/playbooks", tag = "playbooks", params(ListQuery), responses((status = 200, body = PlaybookList), (status = 401)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> ApiResult<Answer<PlaybookList>> {
    let limit = usize::try_from(within("limit", query.limit, 1, 1000)?).unwrap_or(1000);
    let library = api.engine.flows().library().clone();
    let listed = tokio::task::spawn_blocking(move || library.list())
        .await
        .map_err(|error| Error::internal("read the playbooks", error))?;
    let after = query.cursor.unwrap_or_default();
    let may_see = |listed: &&Listed| {
        let object = Object::Resource { kind: ResourceKind::Playbook, name: &listed.path, owner: None };
        decide(&caller.principal, Verb::View, object).allowed
    };
    let mut lines: Vec<PlaybookLine> =
        listed.iter().filter(may_see).filter(|listed| listed.path > after).take(limit + 1).map(line).collect();
    let next_cursor = (lines.len() > limit).then(|| {
        lines.truncate(limit);
        lines.last().map(|line| line.path.clone()).unwrap_or_default()
    });
    Ok(Answer(PlaybookList { playbooks: lines, next_cursor }))
}

fn line(listed: &Listed) -> PlaybookLine {
    let path = listed.path.clone();
    let folder = path.split_once('/').map(|(folder, _)| folder.to_owned()).unwrap_or_default();
    match &listed.document {
        Ok(document) => {
            let flow = &document.flow;
            PlaybookLine {
                name: flow.title.clone(),
                domain: flow.labels.get("domain").cloned().unwrap_or(folder),
                description: flow.description.clone(),
                version: flow.version.clone(),
                path,
                fault: None,
            }
        }
        Err(fault) => PlaybookLine {
            name: path.rsplit('/').next().unwrap_or(&path).to_owned(),
            domain: folder,
            description: String::new(),
            version: String::new(),
            path,
            fault: Some(fault.clone()),
        },
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Playbook {
    name: String,
    version: String,
    description: String,
    path: String,
    parameters: Vec<PlaybookParameter>,
    steps: Vec<StepLine>,
    /// The playbook as flow/v1.
    #[schema(value_type = Object)]
    definition: Value,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PlaybookParameter {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    required: bool,
    description: String,
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Object)]
    default: Value,
    /// The only values it takes.
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Vec<String>)]
    options: Value,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StepLine {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    /// Steps below it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    steps: Vec<StepLine>,
}

fn parameters(flow: &Flow) -> Vec<PlaybookParameter> {
    let view = |input: &crate::flow::Input| PlaybookParameter {
        name: input.name.clone(),
        kind: input.kind.name(),
        required: input.required,
        description: input.description.clone(),
        default: input.default.clone().unwrap_or_default(),
        options: input.schema.get("enum").cloned().unwrap_or_default(),
    };
    flow.inputs.iter().map(view).collect()
}

fn steps(steps: &[Step]) -> Vec<StepLine> {
    let line = |step: &Step| StepLine {
        id: step.id.clone(),
        name: step.title().to_owned(),
        kind: kind_of(step),
        steps: step.children().into_iter().flat_map(self::steps).collect(),
    };
    steps.iter().map(line).collect()
}

/// A playbook with its parameters and steps. The path may be encoded, with or without its slashes.
#[utoipa::path(get, path = "/api/playbooks/{*path}", tag = "playbooks", params(("path" = String, Path)),
    responses((status = 200, body = Playbook), (status = 400, description = "The path leads elsewhere, or the file has faults"), (status = 401), (status = 404)))]
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<String>,
) -> ApiResult<Answer<Playbook>> {
    let object = Object::Resource { kind: ResourceKind::Playbook, name: &path, owner: None };
    authorize(&caller.principal, Verb::View, object)?;
    let document = api.engine.playbook(&path).await?;
    let flow = &document.flow;
    Ok(Answer(Playbook {
        name: flow.title.clone(),
        version: flow.version.clone(),
        description: flow.description.clone(),
        parameters: parameters(flow),
        steps: steps(&flow.steps),
        path,
        definition: document.value,
    }))
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Duplicate {
    source_path: String,
    new_name: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Duplicated {
    message: &'static str,
    new_path: String,
}

/// Copies a playbook under a new name beside it.
#[utoipa::path(post, path = "/api/playbooks/duplicate", tag = "playbooks", request_body = Duplicate,
    responses((status = 200, body = Duplicated), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409, description = "There is one of that name")))]
pub(super) async fn duplicate(
    State(api): State<Api>,
    caller: Caller,
    Json { value: Duplicate { source_path, new_name }, .. }: Json<Duplicate>,
) -> ApiResult<Answer<Duplicated>> {
    let object = Object::Resource { kind: ResourceKind::Playbook, name: &source_path, owner: None };
    authorize(&caller.principal, Verb::Manage, object)?;
    let library = api.engine.flows().library().clone();
    let new_path = tokio::task::spawn_blocking(move || library.duplicate(&source_path, &new_name))
        .await
        .map_err(|error| Error::internal("copy a playbook", error))??;
    Ok(Answer(Duplicated { message: "Playbook duplicated successfully", new_path }))
}

/// The JSON Schema of playbooks and workflows.
#[utoipa::path(get, path = "/schemas/flow-v1.json", tag = "meta", security(()), responses((status = 200, description = "JSON Schema, draft 2020-12", content_type = "application/schema+json")))]
pub(super) async fn schema(State(api): State<Api>) -> axum::response::Response {
    use axum::response::IntoResponse as _;
    let mut schema: Value = serde_json::from_str(crate::flow::SCHEMA).unwrap_or_default();
    schema["$id"] = json!(format!("{}/schemas/flow-v1.json", api.public_url));
    ([(axum::http::header::CONTENT_TYPE, "application/schema+json")], schema.to_string()).into_response()
}
