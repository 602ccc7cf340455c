//! What a message becomes in each chat.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::Api;
use super::actions::values;
use super::error::ApiResult;
use super::extract::Json;
use crate::identity::Caller;
use crate::identity::permission::Verb;
use crate::manifest::pasted;
use crate::model::message::Message;
use crate::model::{Error, Kind};
use crate::render::{self, Rendering};

/// The longest reply that is tried, in bytes.
const LONGEST: usize = 64 * 1024;

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct PreviewBody {
    /// A reply as it is written in a bot's manifest, YAML.
    #[serde(default)]
    reply: Option<String>,
    /// Values of the parameters that the reply names.
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
    /// Instead of a reply: a message as it is.
    #[serde(default)]
    message: Option<Message>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Preview {
    /// What the web client shows.
    message: Message,
    slack: Rendered,
    discord: Rendered,
    /// As terminals and readers without markup get it.
    plain: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rendered {
    /// Arguments of that chat's own call for sending a message; several where it does not fit in one.
    #[schema(value_type = Vec<Object>)]
    messages: Vec<Value>,
    /// The window that the button of its form opens; none without a form, or where it is asked question by question.
    #[schema(value_type = Option<Object>)]
    form: Option<Value>,
    /// Whether something had to be cut.
    is_cut: bool,
}

fn rendered(rendering: Rendering, form: Option<Value>) -> Rendered {
    Rendered { messages: rendering.messages, form, is_cut: rendering.is_cut }
}

fn preview(api: &Api, message: Message, full_url: Option<&str>) -> Preview {
    let place = render::Place { public_url: Some(&api.public_url), full_url };
    let title = message.title.as_deref();
    let form = message.form.as_ref();
    let view = form.and_then(|form| render::slack::view(form, title.unwrap_or(&form.submit), ""));
    let modal = form.and_then(|form| render::discord::modal(form, title.unwrap_or(&form.submit)));
    Preview {
        slack: rendered(render::slack::message(&message, &place), view),
        discord: rendered(render::discord::message(&message, &place), modal),
        plain: render::plain::text(&message, &place, render::plain::Look::default()),
        message,
    }
}

/// Shows what a reply or a message becomes in each chat. Nothing is said or kept.
#[utoipa::path(post, path = "/api/preview", tag = "bots", request_body = PreviewBody,
    responses((status = 200, body = Preview), (status = 400, description = "`details.errors`: what is wrong with the reply"), (status = 401), (status = 413)))]
pub(super) async fn try_out(
    State(api): State<Api>,
    _caller: Caller,
    body: Json<PreviewBody>,
) -> ApiResult<Answer<Preview>> {
    let PreviewBody { reply, parameters, message } = body.value;
    let mut message = match (reply, message) {
        (Some(reply), None) => {
            if reply.len() > LONGEST {
                return Err(Error::new(Kind::TooLarge, "REPLY_TOO_LARGE", "reply has at most 64 KiB").into());
            }
            let values: BTreeMap<String, String> = values(parameters)?.into_iter().collect();
            pasted(&reply, &values).map_err(|faults| {
                let errors: Vec<Value> =
                    faults.iter().map(|fault| json!({ "field": "reply", "code": "reply", "message": fault })).collect();
                let first = faults.first().cloned().unwrap_or_default();
                Error::new(Kind::Invalid, "VALIDATION_FAILED", first).details(json!({ "errors": errors }))
            })?
        }
        (None, Some(message)) => message,
        _ => return Err(Error::invalid("either reply or message must be given").into()),
    };
    // What an author offers has no ids before it is said.
    for (at, offer) in std::mem::take(&mut message.offers).into_iter().enumerate() {
        let mut action = offer.action;
        action.set_id(format!("a_preview{at}"));
        message.actions.push(action);
    }
    Ok(Answer(preview(&api, message, None)))
}

/// Shows what a message of a session becomes in each chat.
#[utoipa::path(get, path = "/api/session/{id}/messages/{message_id}/preview", tag = "session",
    params(("id" = String, Path), ("message_id" = String, Path)),
    responses((status = 200, body = Preview), (status = 401), (status = 403), (status = 404)))]
pub(super) async fn of_message(
    State(api): State<Api>,
    caller: Caller,
    Path((id, message_id)): Path<(String, String)>,
) -> ApiResult<Answer<Preview>> {
    let conversation = api.hub.conversation(&caller.principal, &id, Verb::View).await?;
    let post = api.engine.store().message(&conversation.id, &message_id).await?.map(|(_, post)| post);
    let post = post.filter(|post| post.deleted_at.is_none());
    let post = post.ok_or_else(|| Error::not_found("there is no such message in this session"))?;
    let full_url = format!("{}/c/{}", api.public_url, conversation.id);
    Ok(Answer(preview(&api, post.message(), Some(&full_url))))
}
