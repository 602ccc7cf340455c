//! Messages of a session that are changed after they were said.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::error::ApiResult;
use super::extract::Json;
use super::session::idempotency_key;
use crate::chat::Target;
use crate::identity::Caller;
use crate::store::log::Receipt;

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct EditBody {
    /// The new text; at most 32 KiB. It runs nothing.
    content: String,
}

/// A change, and its place in the session's events.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Changed {
    session_id: String,
    /// The message that was changed.
    message_id: String,
    /// The seq of the event that says so.
    seq: i64,
    /// Whether the same Idempotency-Key had asked for the same before.
    duplicate: bool,
}

fn target(path: &(String, String), headers: &HeaderMap) -> ApiResult<Target> {
    let (conversation, message_id) = path.clone();
    Ok(Target { conversation, message_id, client_id: idempotency_key(headers)? })
}

fn changed((session_id, message_id): (String, String), receipt: &Receipt) -> Answer<Changed> {
    Answer(Changed { session_id, message_id, seq: receipt.place.seq, duplicate: receipt.duplicate })
}

/// Replaces the text of a message one said oneself. Readers get a `message_update` event.
#[utoipa::path(patch, path = "/api/session/{id}/messages/{message_id}", tag = "session", request_body = EditBody,
    params(("id" = String, Path), ("message_id" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "The same key and content again is the same edit")),
    responses((status = 200, body = Changed), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409), (status = 413)))]
pub(super) async fn edit(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
    body: Json<EditBody>,
) -> ApiResult<Answer<Changed>> {
    let receipt = api.hub.edit(&caller.principal, target(&path, &headers)?, body.value.content).await?;
    Ok(changed(path, &receipt))
}

/// Takes a message back that one said oneself: its text is erased. Readers get a `message_delete` event.
#[utoipa::path(delete, path = "/api/session/{id}/messages/{message_id}", tag = "session",
    params(("id" = String, Path), ("message_id" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "The same key again is the same wish")),
    responses((status = 200, body = Changed), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
) -> ApiResult<Answer<Changed>> {
    let receipt = api.hub.delete(&caller.principal, target(&path, &headers)?).await?;
    Ok(changed(path, &receipt))
}
