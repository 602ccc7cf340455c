//! What is done in a session other than saying something: commands with their parameters, and actions of messages.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::Api;
use super::error::ApiResult;
use super::extract::Json;
use super::session::{SayReceipt, idempotency_key};
use crate::chat::{Choice, Order};
use crate::identity::Caller;
use crate::model::{Error, Kind, Result};
use crate::store::log::Receipt;

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct CommandBody {
    /// The command's name; `MyCommandName` and `my-command-name` are one.
    command: String,
    /// The bot it belongs to; without it the session's, or else the one bot that has such a command.
    #[serde(default)]
    bot: Option<String>,
    /// Names and values; numbers and booleans are taken as they are written.
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ActionBody {
    /// Nothing for a button, a text for a select or a date, an object of field names and values for a form.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    value: Value,
}

/// Parameters as the text they are kept as.
pub(super) fn values(parameters: Map<String, Value>) -> Result<Vec<(String, String)>> {
    let text = |(name, value): (String, Value)| match value {
        Value::Null => None,
        Value::String(text) => Some(Ok((name, text))),
        Value::Bool(_) | Value::Number(_) => Some(Ok((name, value.to_string()))),
        Value::Array(_) | Value::Object(_) => {
            let message = format!("the value of {name} must be text, a number or a boolean");
            let fault = json!({ "field": format!("parameters.{name}"), "code": "type", "message": message });
            let error = Error::new(Kind::Invalid, "VALIDATION_FAILED", message);
            Some(Err(error.details(json!({ "errors": [fault] }))))
        }
    };
    parameters.into_iter().filter_map(text).collect()
}

fn receipt(session_id: String, receipt: Receipt) -> (StatusCode, Answer<SayReceipt>) {
    let status = if receipt.duplicate { StatusCode::OK } else { StatusCode::CREATED };
    (status, Answer(SayReceipt::new(session_id, receipt)))
}

/// Runs a command in a session, where it stands as if it had been typed. What it lacks is asked for there.
#[utoipa::path(post, path = "/api/session/{id}/commands", tag = "session", request_body = CommandBody,
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "The same key and command again is the same message")),
    responses((status = 201, body = SayReceipt), (status = 200, body = SayReceipt, description = "Asked for before"), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn command(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Json<CommandBody>,
) -> ApiResult<(StatusCode, Answer<SayReceipt>)> {
    let CommandBody { command, bot, parameters } = body.value;
    let client_id = idempotency_key(&headers)?;
    let order = Order { conversation: id.clone(), command, bot, parameters: values(parameters)?, client_id };
    Ok(receipt(id, api.hub.command(&caller.principal, order).await?))
}

/// Takes an action of a message: presses a button, chooses a value, sends or gives up a form.
#[utoipa::path(post, path = "/api/session/{id}/messages/{message_id}/actions/{action_id}", tag = "session", request_body = ActionBody,
    params(("id" = String, Path), ("message_id" = String, Path), ("action_id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and value again is the same action")),
    responses((status = 201, body = SayReceipt), (status = 200, body = SayReceipt, description = "Taken before under this key"),
        (status = 400, description = "A value that cannot be; a form stays open"), (status = 401), (status = 403), (status = 404),
        (status = 409, description = "ACTION_USED, ACTION_EXPIRED, …")))]
pub(super) async fn take(
    State(api): State<Api>,
    caller: Caller,
    Path((conversation, message_id, action_id)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Json<ActionBody>,
) -> ApiResult<(StatusCode, Answer<SayReceipt>)> {
    let client_id = idempotency_key(&headers)?;
    let id = conversation.clone();
    let choice = Choice { conversation, message_id, action_id, value: body.value.value, client_id };
    Ok(receipt(id, api.hub.take(&caller.principal, choice).await?))
}
