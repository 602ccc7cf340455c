//! What could not be delivered to chats outside.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::error::ApiResult;
use crate::clock::rfc3339;
use crate::identity::Caller;
use crate::identity::permission::{Object, Verb, authorize};
use crate::store::outbox::DeadLetter;

/// How many are shown.
const MOST: i64 = 200;

/// A message that was given up.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Dead {
    id: String,
    /// `slack:<team>/<channel>`, with `/<thread>` for a thread.
    place: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    attempts: i64,
    /// Why the last attempt came to nothing.
    error: String,
    /// RFC 3339.
    created_at: String,
    given_up_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetters {
    dead_letters: Vec<Dead>,
}

impl From<DeadLetter> for Dead {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id,
            place: letter.place,
            session_id: letter.conversation,
            message_id: letter.message,
            attempts: letter.attempts,
            error: letter.error,
            created_at: rfc3339(letter.created_at),
            given_up_at: rfc3339(letter.ended_at),
        }
    }
}

/// Lists what was given up on its way to chats outside, the latest first.
#[utoipa::path(get, path = "/api/admin/outbox/dead-letters", tag = "admin", responses((status = 200, body = DeadLetters), (status = 401), (status = 403)))]
pub(super) async fn dead_letters(State(api): State<Api>, caller: Caller) -> ApiResult<Answer<DeadLetters>> {
    authorize(&caller.principal, Verb::Manage, Object::Installation)?;
    let dead_letters = api.engine.store().dead_letters(MOST).await?.into_iter().map(Dead::from).collect();
    Ok(Answer(DeadLetters { dead_letters }))
}

/// Tries to deliver one of them again.
#[utoipa::path(post, path = "/api/admin/outbox/dead-letters/{id}/retry", tag = "admin", params(("id" = String, Path)),
    responses((status = 202), (status = 401), (status = 403), (status = 404)))]
pub(super) async fn retry(State(api): State<Api>, caller: Caller, Path(id): Path<String>) -> ApiResult<StatusCode> {
    authorize(&caller.principal, Verb::Manage, Object::Installation)?;
    api.engine.store().retry_dead_letter(&id, api.engine.clock().now()).await?;
    Ok(StatusCode::ACCEPTED)
}
