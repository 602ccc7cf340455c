//! API keys: made, listed, revoked.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::by::By;
use super::error::ApiResult;
use super::extract::{Json, Query};
use super::session::within;
use crate::clock::rfc3339;
use crate::config::Rate;
use crate::identity::Caller;
use crate::identity::keys::KeyWish;
use crate::model::grant::Reach;
use crate::model::principal::Role;
use crate::model::{Error, Result};
use crate::store::api_key::ApiKey;

/// An API key without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyView {
    id: String,
    name: String,
    roles: Vec<&'static str>,
    groups: Vec<String>,
    /// The bots whose commands a process with this key may do.
    serves: Vec<String>,
    /// The user whose key it is, who may revoke it and whose rights bound it; null for the installation's own.
    owner: Option<String>,
    /// Limits of its own, such as `60/min`; empty: those of the settings.
    rate_limits: Vec<String>,
    /// All that it may do, such as `invoke:command:shop/deploy`; empty: whatever its role may.
    scopes: Vec<String>,
    created_at: String,
    /// RFC 3339; null when it does not expire.
    expires_at: Option<String>,
    /// To five minutes; null when it was never used.
    last_used_at: Option<String>,
}

impl KeyView {
    fn of(key: ApiKey) -> Self {
        let rates = key.rates.unwrap_or_default();
        Self {
            id: key.id,
            name: key.name,
            roles: key.roles.iter().map(|role| role.as_str()).collect(),
            groups: key.groups,
            serves: key.serves,
            owner: key.owner,
            rate_limits: rates.split(',').filter(|rate| !rate.is_empty()).map(str::to_owned).collect(),
            scopes: key.scopes.iter().map(Reach::to_string).collect(),
            created_at: rfc3339(key.created_at),
            expires_at: key.expires_at.map(rfc3339),
            last_used_at: key.last_used_at.map(rfc3339),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyList {
    keys: Vec<KeyView>,
    /// Give it as `before` to read on; null at the end.
    next: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct ListQuery {
    /// How many at most, 1 to 200.
    #[serde(default = "hundred")]
    limit: i64,
    /// The `next` of the page before.
    before: Option<String>,
}

fn hundred() -> i64 {
    100
}

/// Keys that were not revoked, newest first: your own, or all for an administrator.
#[utoipa::path(get, path = "/api/keys", tag = "keys", params(ListQuery), responses((status = 200, body = KeyList), (status = 400), (status = 401)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> ApiResult<Answer<KeyList>> {
    let limit = within("limit", query.limit, 1, 200)?;
    let mut keys = api.identity.keys(&caller.principal, query.before.as_deref(), limit + 1).await?;
    let more = keys.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        keys.pop();
    }
    let next = keys.last().filter(|_| more).map(|key| key.id.clone());
    Ok(Answer(KeyList { keys: keys.into_iter().map(KeyView::of).collect(), next }))
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct CreateKey {
    /// What it is for, 1 to 100 characters.
    name: String,
    /// `admin`, `user`, `readonly` or `executor`: one of your own, or `readonly` when you may act.
    role: String,
    /// Groups of your own that it belongs to.
    #[serde(default)]
    groups: Vec<String>,
    /// Bots whose commands a process with this key may do; only administrators name them.
    #[serde(default)]
    serves: Vec<String>,
    /// RFC 3339; without it the key does not expire.
    #[serde(default)]
    expires_at: Option<String>,
    /// Limits such as `["60/min", "1000/h"]` instead of those of the settings; only administrators set them.
    #[serde(default)]
    rate_limits: Vec<String>,
    /// All that it may do, `verbs:kind:name` each, such as `invoke:command:shop/deploy?environment=staging` or
    /// `view,chat:bot:*`; none: whatever its role may.
    #[serde(default)]
    scopes: Vec<String>,
}

/// A new key, with its secret this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewKey {
    #[serde(flatten)]
    key: KeyView,
    /// Send it as `Authorization: Bearer` or `X-API-Key`. It is shown this once.
    token: String,
}

/// Scopes as they are written.
pub(super) fn scopes(written: &[String]) -> Result<Vec<Reach>> {
    let scopes: Result<Vec<Reach>, String> = written.iter().map(|scope| scope.parse()).collect();
    scopes.map_err(|message| Error::invalid(message).details(serde_json::json!({ "field": "scopes" })))
}

fn wish(body: CreateKey) -> Result<KeyWish> {
    let wrong = |field: &str, message: String| Error::invalid(message).details(serde_json::json!({ "field": field }));
    let role = Role::parse(&body.role)
        .ok_or_else(|| wrong("role", "a role is admin, user, readonly or executor".to_owned()))?;
    let expires_at = body.expires_at.map(|text| text.parse::<jiff::Timestamp>()).transpose();
    let expires_at =
        expires_at.map_err(|_| wrong("expires_at", "expires_at is a time such as 2027-01-31T00:00:00Z".to_owned()))?;
    let rates: Result<Vec<Rate>, String> = body.rate_limits.iter().map(|rate| rate.parse()).collect();
    let rates = rates.map_err(|message| wrong("rate_limits", message))?;
    Ok(KeyWish {
        name: body.name,
        role,
        groups: body.groups,
        serves: body.serves,
        expires_at: expires_at.map(jiff::Timestamp::as_millisecond),
        rates,
        scopes: scopes(&body.scopes)?,
    })
}

/// Makes a key that may do what you may do, or less.
#[utoipa::path(post, path = "/api/keys", tag = "keys", request_body = CreateKey,
    responses((status = 201, body = NewKey), (status = 400), (status = 401), (status = 403)))]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    By(doer): By,
    body: Json<CreateKey>,
) -> ApiResult<Response> {
    let (token, key) = api.identity.issue_key(&caller, wish(body.value)?, doer).await?;
    let made = NewKey { key: KeyView::of(key), token };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Answer(made)).into_response())
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Revoked {
    success: bool,
    key_id: String,
}

/// Revokes a key for good and closes its sockets.
#[utoipa::path(delete, path = "/api/keys/{id}", tag = "keys", params(("id" = String, Path)), responses((status = 200, body = Revoked), (status = 401), (status = 404)))]
pub(super) async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    By(doer): By,
) -> ApiResult<Answer<Revoked>> {
    api.identity.revoke_key(&caller.principal, &id, doer).await?;
    api.sockets.revoke(&id);
    Ok(Answer(Revoked { success: true, key_id: id }))
}
