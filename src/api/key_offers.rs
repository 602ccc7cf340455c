//! The page at which somebody takes a key that they asked for in a conversation: it is made and shown once.

use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::by::By;
use super::error::ApiResult;
use super::extract::Query;
use super::page::{escaped, page};
use crate::identity::Caller;

/// Which key.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
pub(super) struct Taking {
    /// The token of the link.
    #[serde(default)]
    offer: String,
}

/// Asks whether the key is to be made. Looking at the page uses nothing up, so that whoever looks ahead does no harm.
#[utoipa::path(get, path = "/keys/take", tag = "keys", params(Taking),
    responses((status = 200, content_type = "text/html", description = "A form that makes the key"), (status = 401), (status = 404)))]
pub(super) async fn ask(
    State(api): State<Api>,
    caller: Caller,
    Query(Taking { offer }): Query<Taking>,
) -> ApiResult<Response> {
    let name = api.identity.offered_name(&caller, &offer).await?;
    let (name, offer) = (escaped(&name), escaped(&offer));
    Ok(page(
        StatusCode::OK,
        "An API key",
        &format!(
            "<p>Make the key <b>{name}</b>? It is shown once.</p><form method=\"post\" action=\"/keys/take\">\
             <input type=\"hidden\" name=\"offer\" value=\"{offer}\"><button>Make the key</button></form>"
        ),
    ))
}

/// Makes the key and shows it.
#[utoipa::path(post, path = "/keys/take", tag = "keys", request_body(content = Taking, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, content_type = "text/html", description = "The key, this once"), (status = 401), (status = 403), (status = 404)))]
pub(super) async fn take(
    State(api): State<Api>,
    caller: Caller,
    By(doer): By,
    Form(Taking { offer }): Form<Taking>,
) -> ApiResult<Response> {
    let (token, key) = api.identity.take_offer(&caller, &offer, doer).await?;
    let (name, token) = (escaped(&key.name), escaped(&token));
    Ok(page(
        StatusCode::OK,
        "An API key",
        &format!(
            "<p>The key <b>{name}</b>. Keep it now: it is not shown again. Send it as <code>Authorization: Bearer</code> \
             or <code>X-API-Key</code>.</p><p><code>{token}</code></p><p><a href=\"/\">Back</a></p>"
        ),
    ))
}
