//! What Slack sends when it does not use a socket of ours: events, what was pressed and filled in, slash commands.
//!
//! Nothing is read of a request before its signature is verified, and nothing is answered before it is kept.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::Api;
use super::error::ApiResult;
use crate::chat::slack::signature::Signed;
use crate::chat::slack::{Slack, Sort};
use crate::model::{Error, Kind, Result};

/// Slack, when it is set up and the request is its own.
fn verified<'a>(api: &'a Api, headers: &'a HeaderMap, body: &'a [u8]) -> Result<(&'a Slack, Signed<'a>)> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let slack = api.chats.slack.as_deref();
    let slack = slack.ok_or_else(|| {
        Error::unauthenticated("Slack is not set up here (setting slack.bot_token or slack.client_id)")
    })?;
    let signed =
        Signed { timestamp: header("x-slack-request-timestamp"), signature: header("x-slack-signature"), body };
    slack.signatures().verify(&signed, api.engine.clock().now())?;
    Ok((slack, signed))
}

/// What a body holds. Many apps have one address for everything, so each door takes every sort.
fn read(body: &[u8]) -> Result<(Sort, Value)> {
    let wrong = |error| Error::new(Kind::Invalid, "INVALID_JSON", format!("the body cannot be used: {error}"));
    if body.trim_ascii_start().starts_with(b"{") {
        return Ok((Sort::Event, serde_json::from_slice(body).map_err(wrong)?));
    }
    let fields = url::form_urlencoded::parse(body);
    let fields: Map<String, Value> =
        fields.map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect();
    match fields.get("payload").and_then(Value::as_str) {
        Some(payload) => Ok((Sort::Interaction, serde_json::from_str(payload).map_err(wrong)?)),
        None if fields.contains_key("command") => Ok((Sort::Command, Value::Object(fields))),
        None => Err(Error::invalid("this is neither an event nor an interaction nor a command of Slack's")),
    }
}

/// Verifies what came, keeps it, and answers Slack.
async fn take(api: &Api, headers: &HeaderMap, body: &[u8]) -> ApiResult<Response> {
    let (slack, signed) = verified(api, headers, body)?;
    let (sort, content) = read(body)?;
    if content["type"] == "url_verification" {
        return Ok(Json(json!({ "challenge": content["challenge"] })).into_response());
    }
    let told = slack.receive(&api.chats.outside, sort, content).await?;
    // Only now: what could not be kept is welcome again.
    slack.signatures().taken(signed.signature, api.engine.clock().now());
    Ok(if told.is_null() { StatusCode::OK.into_response() } else { Json(told).into_response() })
}

/// Takes an event of Slack's Events API. What comes twice is acted on once.
#[utoipa::path(post, path = "/slack/events", tag = "chats", request_body(content = Object, description = "As Slack signs it"),
    params(("X-Slack-Signature" = String, Header), ("X-Slack-Request-Timestamp" = String, Header)), security(()),
    responses((status = 200, description = "Kept; of a url_verification its challenge"), (status = 401, description = "Not signed by Slack, too old, or sent before"), (status = 503)))]
pub(super) async fn events(State(api): State<Api>, headers: HeaderMap, body: Bytes) -> ApiResult<Response> {
    take(&api, &headers, &body).await
}

/// Takes what somebody pressed, chose or filled in in Slack.
#[utoipa::path(post, path = "/slack/interactions", tag = "chats", request_body(content = Object, content_type = "application/x-www-form-urlencoded", description = "`payload`: JSON"),
    params(("X-Slack-Signature" = String, Header), ("X-Slack-Request-Timestamp" = String, Header)), security(()),
    responses((status = 200, description = "Kept; of a form that cannot be taken, its faults"), (status = 400), (status = 401), (status = 503)))]
pub(super) async fn interactions(State(api): State<Api>, headers: HeaderMap, body: Bytes) -> ApiResult<Response> {
    take(&api, &headers, &body).await
}

/// Takes a slash command of Slack's.
#[utoipa::path(post, path = "/slack/commands", tag = "chats", request_body(content = Object, content_type = "application/x-www-form-urlencoded"),
    params(("X-Slack-Signature" = String, Header), ("X-Slack-Request-Timestamp" = String, Header)), security(()),
    responses((status = 200, description = "Kept"), (status = 401), (status = 503)))]
pub(super) async fn commands(State(api): State<Api>, headers: HeaderMap, body: Bytes) -> ApiResult<Response> {
    take(&api, &headers, &body).await
}
