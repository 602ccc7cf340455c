//! Webhooks: other programs' addresses that are told what happens here.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::by::By;
use super::credentials::{CredentialDeleted, given, wrong};
use super::error::ApiResult;
use super::extract::{Json, Query};
use super::session::within;
use crate::clock::{moment, rfc3339};
use crate::identity::Caller;
use crate::model::Result;
use crate::model::conversation::Millis;
use crate::outbox::WebhookWish;
use crate::store::webhook::{HookDelivery, Webhook};

/// How often a delivery is tried, and how long after a first failure; the pause doubles.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RetryPolicy {
    /// 1 to 20.
    #[serde(default = "three")]
    max_attempts: i64,
    /// Milliseconds, 100 to a day.
    #[serde(default = "second")]
    backoff_ms: Millis,
}

fn three() -> i64 {
    3
}

fn second() -> Millis {
    1000
}

/// A webhook without what is secret in it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebhookView {
    id: String,
    name: String,
    url: String,
    events: Vec<String>,
    /// The names of its own headers; the values are not shown again.
    header_names: Vec<String>,
    /// Null: the usual schedule, ten attempts over three days.
    retry_policy: Option<RetryPolicy>,
    /// `active`, `paused`, or `disabled` by this server.
    status: &'static str,
    /// Why it is disabled.
    reason: Option<String>,
    /// Since when every attempt has failed.
    failing_since: Option<String>,
    /// Until when the secret before counts too.
    secret_overlap_until: Option<String>,
    owner: String,
    created_at: String,
    updated_at: String,
}

impl WebhookView {
    fn of(webhook: Webhook, header_names: Vec<String>) -> Self {
        let retry = webhook.retry.map(|(max_attempts, backoff_ms)| RetryPolicy { max_attempts, backoff_ms });
        Self {
            header_names,
            id: webhook.id,
            name: webhook.name,
            url: webhook.url,
            events: webhook.events,
            retry_policy: retry,
            status: webhook.state.as_str(),
            reason: webhook.reason,
            failing_since: webhook.failing_since.map(rfc3339),
            secret_overlap_until: webhook.overlap_until.map(rfc3339),
            owner: webhook.owner,
            created_at: rfc3339(webhook.created_at),
            updated_at: rfc3339(webhook.updated_at),
        }
    }
}

/// A webhook with its signing secret, this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WithSecret {
    #[serde(flatten)]
    webhook: WebhookView,
    /// What deliveries are signed with. It is shown this once.
    secret: String,
}

impl WithSecret {
    fn respond(status: StatusCode, webhook: WebhookView, secret: String) -> Response {
        (status, [(header::CACHE_CONTROL, "no-store")], Answer(Self { webhook, secret })).into_response()
    }
}

/// A webhook as it is written; on a change, what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebhookBody {
    name: Option<String>,
    /// http or https, on the public internet unless the installation allows more.
    url: Option<String>,
    /// `workflow.completed`, `workflow.failed`, `session.*`, `*` …
    events: Option<Vec<String>>,
    /// Sent with every delivery.
    #[schema(value_type = Option<Object>)]
    headers: Option<Map<String, Value>>,
    /// Null: the usual schedule.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<RetryPolicy>)]
    retry_policy: Option<Option<RetryPolicy>>,
    /// Switches it on or off.
    active: Option<bool>,
}

impl WebhookBody {
    fn wish(self) -> WebhookWish {
        WebhookWish {
            name: self.name,
            url: self.url,
            events: self.events,
            headers: self.headers,
            retry: self.retry_policy.map(|policy| policy.map(|policy| (policy.max_attempts, policy.backoff_ms))),
            active: self.active,
        }
    }
}

/// The webhooks you may know of, by name.
#[utoipa::path(get, path = "/api/v1/webhooks", tag = "webhooks", responses((status = 200, body = Vec<WebhookView>), (status = 401)))]
pub(super) async fn list(State(api): State<Api>, caller: Caller) -> ApiResult<Answer<Vec<WebhookView>>> {
    let mut views = Vec::new();
    for webhook in api.hooks.all(&caller.principal).await? {
        let names = api.hooks.header_names(&webhook).await?;
        views.push(WebhookView::of(webhook, names));
    }
    Ok(Answer(views))
}

/// Makes a webhook. An administrator's hears of all runs, anybody else's of their own.
#[utoipa::path(post, path = "/api/v1/webhooks", tag = "webhooks", request_body = WebhookBody,
    responses((status = 201, body = WithSecret), (status = 400), (status = 401), (status = 403), (status = 409)))]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    By(doer): By,
    body: Json<WebhookBody>,
) -> ApiResult<Response> {
    let (webhook, secret) = api.hooks.create(&caller.principal, body.value.wish(), doer).await?;
    let names = api.hooks.header_names(&webhook).await?;
    Ok(WithSecret::respond(StatusCode::CREATED, WebhookView::of(webhook, names), secret))
}

/// One webhook.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = WebhookView), (status = 401), (status = 404)))]
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Answer<WebhookView>> {
    let webhook = api.hooks.get(&caller.principal, &id).await?;
    let names = api.hooks.header_names(&webhook).await?;
    Ok(Answer(WebhookView::of(webhook, names)))
}

/// Changes a webhook; what is left out stays.
#[utoipa::path(put, path = "/api/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)), request_body = WebhookBody,
    responses((status = 200, body = WebhookView), (status = 400), (status = 401), (status = 403), (status = 404)))]
pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    By(doer): By,
    body: Json<WebhookBody>,
) -> ApiResult<Answer<WebhookView>> {
    let webhook = api.hooks.update(&caller.principal, &id, body.value.wish(), doer).await?;
    let names = api.hooks.header_names(&webhook).await?;
    Ok(Answer(WebhookView::of(webhook, names)))
}

/// Deletes a webhook and what was on its way to it.
#[utoipa::path(delete, path = "/api/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = CredentialDeleted), (status = 401), (status = 403), (status = 404)))]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    By(doer): By,
) -> ApiResult<Answer<CredentialDeleted>> {
    api.hooks.delete(&caller.principal, &id, doer).await?;
    Ok(Answer(CredentialDeleted::of(id)))
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sent {
    delivery_id: String,
}

/// Sends a delivery of the event `webhook.test`.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/test", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 202, body = Sent), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn test(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<(StatusCode, Answer<Sent>)> {
    let delivery_id = api.hooks.test(&caller.principal, &id).await?;
    Ok((StatusCode::ACCEPTED, Answer(Sent { delivery_id })))
}

/// Makes a new signing secret. The one before counts for another day: deliveries are signed with both.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/rotate-secret", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = WithSecret), (status = 401), (status = 403), (status = 404)))]
pub(super) async fn rotate(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    By(doer): By,
) -> ApiResult<Response> {
    let (webhook, secret) = api.hooks.rotate(&caller.principal, &id, doer).await?;
    let names = api.hooks.header_names(&webhook).await?;
    Ok(WithSecret::respond(StatusCode::OK, WebhookView::of(webhook, names), secret))
}

/// Something a webhook is told, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryView {
    id: String,
    event: String,
    /// `waiting`, `delivered` or `failed`.
    status: String,
    attempts: i64,
    /// What the receiver answered last.
    response_status: Option<i64>,
    error: Option<String>,
    /// Milliseconds of the last attempt.
    duration_ms: Option<i64>,
    payload: Value,
    created_at: String,
    /// When it is tried next; null when it is not.
    next_attempt_at: Option<String>,
    ended_at: Option<String>,
}

impl DeliveryView {
    fn of(delivery: HookDelivery) -> Self {
        let is_waiting = delivery.state == "waiting";
        Self {
            payload: serde_json::from_str(&delivery.payload).unwrap_or_default(),
            id: delivery.id,
            event: delivery.event,
            status: delivery.state,
            attempts: delivery.attempt,
            response_status: delivery.status,
            error: delivery.error,
            duration_ms: delivery.took,
            created_at: rfc3339(delivery.created_at),
            next_attempt_at: is_waiting.then(|| rfc3339(delivery.ready_at)),
            ended_at: delivery.ended_at.map(rfc3339),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryList {
    deliveries: Vec<DeliveryView>,
    /// Give it as `before` to read on; null at the end.
    next: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct DeliveryQuery {
    /// How many at most, 1 to 200.
    #[serde(default = "fifty")]
    limit: i64,
    /// The `next` of the page before.
    before: Option<String>,
}

fn fifty() -> i64 {
    50
}

/// What a webhook was told, newest first.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}/deliveries", tag = "webhooks", params(("id" = String, Path), DeliveryQuery),
    responses((status = 200, body = DeliveryList), (status = 400), (status = 401), (status = 404)))]
pub(super) async fn deliveries(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<DeliveryQuery>,
) -> ApiResult<Answer<DeliveryList>> {
    let limit = within("limit", query.limit, 1, 200)?;
    let mut found = api.hooks.deliveries(&caller.principal, &id, query.before.as_deref(), limit + 1).await?;
    let more = found.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        found.pop();
    }
    let next = found.last().filter(|_| more).map(|delivery| delivery.id.clone());
    Ok(Answer(DeliveryList { deliveries: found.into_iter().map(DeliveryView::of).collect(), next }))
}

/// Sends one delivery again, under a new id.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/deliveries/{delivery}/replay", tag = "webhooks",
    params(("id" = String, Path), ("delivery" = String, Path)),
    responses((status = 202, body = Sent), (status = 401), (status = 403), (status = 404)))]
pub(super) async fn replay(
    State(api): State<Api>,
    caller: Caller,
    Path((id, delivery)): Path<(String, String)>,
) -> ApiResult<(StatusCode, Answer<Sent>)> {
    let delivery_id = api.hooks.replay(&caller.principal, &id, &delivery).await?;
    Ok((StatusCode::ACCEPTED, Answer(Sent { delivery_id })))
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Span {
    /// RFC 3339.
    since: String,
    /// RFC 3339; without it now.
    until: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Replayed {
    replayed: usize,
}

fn time(field: &str, text: &str) -> Result<Millis> {
    moment(text).ok_or_else(|| wrong(field, "this is a time such as 2027-01-31T00:00:00Z"))
}

/// Sends again what was given up in a span of time, at most 1000 deliveries.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/replay", tag = "webhooks", params(("id" = String, Path)), request_body = Span,
    responses((status = 202, body = Replayed), (status = 400), (status = 401), (status = 403), (status = 404)))]
pub(super) async fn replay_failed(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    body: Json<Span>,
) -> ApiResult<(StatusCode, Answer<Replayed>)> {
    let since = time("since", &body.value.since)?;
    let until = body.value.until.as_deref().map(|text| time("until", text)).transpose()?.unwrap_or(Millis::MAX);
    let replayed = api.hooks.replay_failed(&caller.principal, &id, since, until).await?;
    Ok((StatusCode::ACCEPTED, Answer(Replayed { replayed })))
}
