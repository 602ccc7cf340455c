//! Login sessions and bot sessions: who is here, and what they talk about with which bot.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::by::By;
use super::error::ApiResult;
use super::extract::{Json, Query};
use super::{Api, auth};
use crate::chat::Said;
use crate::clock::rfc3339;
use crate::identity::{Caller, CredentialKind};
use crate::model::conversation::{Conversation, ConversationStatus};
use crate::model::event::Stream;
use crate::model::message::{Post, Sender};
use crate::model::principal::Principal;
use crate::model::{Error, Kind};
use crate::store::conversation::{Listed, unknown};
use crate::store::log::Receipt;

/// The caller's own session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CurrentSession {
    session_id: String,
    /// `login`, `api_key` or `service`.
    kind: &'static str,
    user_id: String,
    user: User,
    /// The bot selected in this session; a login is not bound to one.
    bot_id: Option<String>,
    created_at: String,
    expires_at: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct User {
    id: String,
    name: String,
    roles: Vec<&'static str>,
    groups: Vec<String>,
}

impl User {
    pub(super) fn of(principal: &Principal) -> Self {
        Self {
            id: principal.id.clone(),
            name: principal.name.clone(),
            roles: principal.roles.iter().map(|role| role.as_str()).collect(),
            groups: principal.groups.clone(),
        }
    }
}

/// Who the caller is, and until when. An API key answers for itself.
#[utoipa::path(get, path = "/api/session", tag = "session", responses((status = 200, body = CurrentSession), (status = 401)))]
pub(super) async fn current(caller: Caller) -> Answer<CurrentSession> {
    Answer(CurrentSession {
        session_id: caller.credential_id.clone(),
        kind: match caller.kind {
            CredentialKind::Login => "login",
            CredentialKind::ApiKey => "api_key",
            CredentialKind::Service => "service",
        },
        user_id: caller.principal.id.clone(),
        user: User::of(&caller.principal),
        bot_id: None,
        created_at: rfc3339(caller.created_at),
        expires_at: caller.expires_at.map(rfc3339),
    })
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct CreateSession {
    /// The bot to talk with.
    bot_id: String,
}

/// A bot session: a conversation with a bot.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BotSession {
    session_id: String,
    bot_id: String,
    bot: BotFace,
    active: bool,
    /// `active` or `closed`.
    status: &'static str,
    channel: String,
    /// The stream of its events.
    stream: String,
    head_seq: i64,
    /// How far you have read it, on any device.
    read_seq: i64,
    created_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BotFace {
    display_name: String,
    avatar: String,
}

fn bot_session(api: &Api, conversation: Conversation, head: i64, read_seq: i64) -> BotSession {
    let snapshot = api.engine.registry().snapshot();
    // A bot whose folder is gone still has its old conversations.
    let bot = snapshot.bot(&conversation.bot).map_or_else(
        || BotFace { display_name: conversation.bot.clone(), avatar: String::new() },
        |loaded| BotFace { display_name: loaded.bot.display_name.clone(), avatar: loaded.bot.avatar.clone() },
    );
    BotSession {
        stream: Stream::conversation(&conversation.id).to_string(),
        session_id: conversation.id,
        bot_id: conversation.bot,
        bot,
        active: conversation.status == ConversationStatus::Active,
        status: conversation.status.as_str(),
        channel: conversation.channel,
        head_seq: head,
        read_seq,
        created_at: rfc3339(conversation.created_at),
    }
}

/// Opens a session with a bot the caller may use.
#[utoipa::path(post, path = "/api/session/create", tag = "session", request_body = CreateSession,
    responses((status = 201, body = BotSession), (status = 400), (status = 401), (status = 403), (status = 404)))]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Json<CreateSession>,
) -> ApiResult<(StatusCode, Answer<BotSession>)> {
    let channel = match caller.kind {
        CredentialKind::Login => "web",
        CredentialKind::ApiKey | CredentialKind::Service => "api",
    };
    let conversation = api.hub.open(&caller.principal, &body.value.bot_id, channel).await?;
    Ok((StatusCode::CREATED, Answer(bot_session(&api, conversation, 0, 0))))
}

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct ListQuery {
    /// How many at most, 1 to 200.
    #[serde(default = "fifty")]
    limit: i64,
    /// The `next` of the page before.
    before: Option<String>,
}

fn fifty() -> i64 {
    50
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionList {
    sessions: Vec<ListedSession>,
    /// Give it as `before` to read on; null at the end.
    next: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListedSession {
    #[serde(flatten)]
    session: BotSession,
    updated_at: String,
    last_message: Option<LastMessage>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LastMessage {
    seq: i64,
    sender: Sender,
    /// Its first 120 characters, or the names of its files when it has no words.
    text: String,
    ts: String,
}

/// The caller's open bot sessions, latest activity first.
#[utoipa::path(get, path = "/api/session/list", tag = "session", params(ListQuery), responses((status = 200, body = SessionList), (status = 400), (status = 401)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> ApiResult<Answer<SessionList>> {
    let limit = within("limit", query.limit, 1, 200)?;
    let before = query.before.as_deref().map(cursor).transpose()?;
    let mut rows = api.engine.store().conversations(&caller.principal.id, before, limit + 1).await?;
    let more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        rows.pop();
    }
    let next = rows.last().filter(|_| more).map(|row| format!("{}.{}", row.updated_at, row.conversation.id));
    let sessions = rows.into_iter().map(|row| listed(&api, row)).collect();
    Ok(Answer(SessionList { sessions, next }))
}

pub(super) fn cursor(text: &str) -> ApiResult<(i64, &str)> {
    let parts = text.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, id)));
    parts.ok_or_else(|| Error::invalid("before is not the next of an earlier page").into())
}

fn listed(api: &Api, row: Listed) -> ListedSession {
    let last_message = row.last_message.and_then(|(seq, payload)| {
        let post: Post = serde_json::from_str(&payload).ok()?;
        let files = || post.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(", ");
        let text = if post.content.is_empty() { files() } else { post.content };
        Some(LastMessage { seq, sender: post.sender, text: text.chars().take(120).collect(), ts: post.ts })
    });
    ListedSession {
        session: bot_session(api, row.conversation, row.head, row.read_seq),
        updated_at: rfc3339(row.updated_at),
        last_message,
    }
}

/// A number of the query within its bounds, or an error that names it.
pub(super) fn within(name: &str, value: i64, least: i64, most: i64) -> ApiResult<i64> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Error::invalid(format!("{name} is a number from {least} to {most}"))
        .details(serde_json::json!({ "field": name }))
        .into())
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deleted {
    success: bool,
    session_id: String,
}

/// Ends a session: a bot session of the caller's, or a login session of theirs.
#[utoipa::path(delete, path = "/api/session/{id}", tag = "session", params(("id" = String, Path)), responses((status = 200, body = Deleted), (status = 401), (status = 404)))]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    By(doer): By,
    Path(id): Path<String>,
) -> ApiResult<Answer<Deleted>> {
    match api.hub.close(&caller.principal, &id).await {
        Ok(()) => {}
        Err(error) if error.kind == Kind::NotFound => {
            let login = api.engine.store().login_session_by_id(&id).await?.ok_or_else(|| unknown(&id))?;
            if login.user.id != caller.principal.id && !caller.principal.is_admin() {
                return Err(unknown(&id).into());
            }
            auth::end_login(&api, &id, doer).await?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Answer(Deleted { success: true, session_id: id }))
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct SayBody {
    /// What is said; at most 32 KiB. With attachments it may be empty.
    #[serde(default)]
    content: String,
    /// The event it answers.
    #[serde(default)]
    reply_to: Option<String>,
    /// Ids of files that go along, at most 10: your own, each sent once.
    #[serde(default)]
    attachments: Vec<String>,
}

/// Where a message ended up.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SayReceipt {
    session_id: String,
    message_id: String,
    seq: i64,
    /// Whether the same Idempotency-Key and content had been said before.
    duplicate: bool,
}

impl SayReceipt {
    pub(super) fn new(session_id: String, receipt: Receipt) -> Self {
        let Receipt { place, duplicate } = receipt;
        Self { session_id, message_id: place.event_id, seq: place.seq, duplicate }
    }
}

/// Says something in a session. The answer is in the session's events.
#[utoipa::path(post, path = "/api/session/{id}/messages", tag = "session", request_body = SayBody,
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "The same key and content again is the same message")),
    responses((status = 201, body = SayReceipt), (status = 200, body = SayReceipt, description = "Said before"), (status = 400), (status = 401), (status = 404), (status = 409), (status = 413)))]
pub(super) async fn say(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Json<SayBody>,
) -> ApiResult<(StatusCode, Answer<SayReceipt>)> {
    let said = Said {
        conversation: id.clone(),
        content: body.value.content,
        client_id: idempotency_key(&headers)?,
        reply_to: body.value.reply_to,
        attachments: body.value.attachments,
    };
    let receipt = api.hub.say(&caller.principal, said).await?;
    let status = if receipt.duplicate { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Answer(SayReceipt::new(id, receipt))))
}

/// The `Idempotency-Key` header: 1 to 255 visible characters.
pub(super) fn idempotency_key(headers: &HeaderMap) -> ApiResult<Option<String>> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key =
        value.to_str().ok().filter(|key| (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()));
    match key {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Error::invalid("Idempotency-Key has 1 to 255 visible ASCII characters").into()),
    }
}
