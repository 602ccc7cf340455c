//! What runs leave to be looked at, and a hand in their browser.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::by::By;
use super::error::ApiResult;
use super::extract::Json;
use super::files::bytes_of;
use crate::clock::rfc3339;
use crate::engine::flow::artifacts::address;
use crate::identity::Caller;
use crate::model::file::File;
use crate::store::artifact::Artifact;

/// Something that a step of a run left.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ArtifactLine {
    #[serde(flatten)]
    file: File,
    /// The path of the step.
    step_id: String,
    /// Where its bytes are.
    url: String,
    created_at: String,
}

impl From<Artifact> for ArtifactLine {
    fn from(artifact: Artifact) -> Self {
        Self {
            url: address(&artifact),
            step_id: artifact.step,
            created_at: rfc3339(artifact.created_at),
            file: artifact.file,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Artifacts {
    artifacts: Vec<ArtifactLine>,
}

/// What a run left, oldest first: pictures that its steps took, and of a step of a browser that failed the picture and the
/// page.
#[utoipa::path(get, path = "/api/executions/{id}/artifacts", tag = "executions", params(("id" = String, Path)), responses((status = 200, body = Artifacts), (status = 401), (status = 404)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Answer<Artifacts>> {
    let artifacts = api.engine.artifacts(&caller.principal, &id).await?;
    Ok(Answer(Artifacts { artifacts: artifacts.into_iter().map(ArtifactLine::from).collect() }))
}

/// The bytes of an artifact, for who may see its run. Ranges are answered. A page is saved, never shown.
#[utoipa::path(get, path = "/api/executions/{id}/artifacts/{artifact_id}", tag = "executions", params(("id" = String, Path), ("artifact_id" = String, Path)),
    responses((status = 200, description = "The artifact", content_type = "application/octet-stream"), (status = 206, description = "A range of it"), (status = 304), (status = 401), (status = 404), (status = 416)))]
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path((id, artifact_id)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let (artifact, path) = api.engine.artifact(&caller.principal, &id, &artifact_id).await?;
    Ok(bytes_of(&artifact.file, &artifact.sha256, &path, method, &headers).await?)
}

/// A place in a frame of a page, in pixels from its upper left corner.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Place {
    x: f64,
    y: f64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Clicked {
    message: &'static str,
    execution_id: String,
}

/// Clicks into the page that a run has open, for who may control the run. Its steps go on; to have it wait, pause it first.
#[utoipa::path(post, path = "/api/executions/{id}/browser/click", tag = "executions", params(("id" = String, Path)), request_body = Place, responses((status = 200, body = Clicked), (status = 400), (status = 401), (status = 404), (status = 409, description = "It has no page open on this server"), (status = 503, description = "The page takes no click right now")))]
pub(super) async fn click(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    By(doer): By,
    Json { value, .. }: Json<Place>,
) -> ApiResult<Answer<Clicked>> {
    api.engine.click_in_run(&caller.principal, &id, (value.x, value.y), doer).await?;
    Ok(Answer(Clicked { message: "Clicked", execution_id: id }))
}
