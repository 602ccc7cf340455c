//! Runs that were started in a session.

use axum::Json as Answer;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::error::ApiResult;
use crate::identity::Caller;

/// A run that was stopped.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Cancelled {
    session_id: String,
    invocation_id: String,
    /// `cancelled`.
    status: &'static str,
}

/// Stops a run of a session that has not ended. Readers get a message that says so. Asked for again it changes nothing.
#[utoipa::path(post, path = "/api/session/{id}/invocations/{invocation_id}/cancel", tag = "session",
    params(("id" = String, Path), ("invocation_id" = String, Path)),
    responses((status = 200, body = Cancelled), (status = 401), (status = 404), (status = 409, description = "It has ended")))]
pub(super) async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Path((session_id, invocation_id)): Path<(String, String)>,
) -> ApiResult<Answer<Cancelled>> {
    api.hub.cancel(&caller.principal, &session_id, &invocation_id).await?;
    Ok(Answer(Cancelled { session_id, invocation_id, status: "cancelled" }))
}
