//! How far the caller has read a session.

use axum::Json as Answer;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::error::ApiResult;
use super::extract::Json;
use crate::identity::Caller;

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ReadBody {
    /// The seq of the last event that was read.
    read_seq: i64,
}

/// Where the caller's mark stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReadMark {
    session_id: String,
    /// A mark never falls, and is never beyond the last event.
    read_seq: i64,
}

/// Notes how far the caller has read a session; their other devices hear of it.
#[utoipa::path(post, path = "/api/session/{id}/read", tag = "session", request_body = ReadBody, params(("id" = String, Path)),
    responses((status = 200, body = ReadMark), (status = 400), (status = 401), (status = 404)))]
pub(super) async fn mark(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    body: Json<ReadBody>,
) -> ApiResult<Answer<ReadMark>> {
    let read_seq = api.hub.mark_read(&caller.principal, &id, body.value.read_seq).await?;
    Ok(Answer(ReadMark { session_id: id, read_seq }))
}
