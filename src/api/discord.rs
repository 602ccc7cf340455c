//! What Discord sends when it is told an address for interactions: commands, what was pressed and filled in.
//!
//! Nothing is read of a request before its signature is verified, and nothing is answered before it is kept.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::Value;

use super::Api;
use super::error::ApiResult;
use crate::chat::discord::signature::Signed;
use crate::model::{Error, Kind};

/// Takes an interaction of Discord's and answers it. What comes twice is acted on once.
#[utoipa::path(post, path = "/discord/interactions", tag = "chats", request_body(content = Object, description = "As Discord signs it"),
    params(("X-Signature-Ed25519" = String, Header), ("X-Signature-Timestamp" = String, Header)), security(()),
    responses((status = 200, body = Object, description = "An interaction response"), (status = 400), (status = 401, description = "Not signed by Discord, or too old"), (status = 503)))]
pub(super) async fn interactions(State(api): State<Api>, headers: HeaderMap, body: Bytes) -> ApiResult<Json<Value>> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let discord = api.chats.discord.as_deref();
    let discord =
        discord.ok_or_else(|| Error::unauthenticated("Discord is not set up here (setting discord.bot_token)"))?;
    let signed =
        Signed { timestamp: header("x-signature-timestamp"), signature: header("x-signature-ed25519"), body: &body };
    discord.signatures().verify(&signed, api.engine.clock().now())?;
    let content: Value = serde_json::from_slice(&body)
        .map_err(|error| Error::new(Kind::Invalid, "INVALID_JSON", format!("the body cannot be used: {error}")))?;
    Ok(Json(Box::pin(discord.interaction(&api.chats.outside, content)).await?))
}
