//! Users that a directory pushes.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use super::super::Api;
use super::super::error::ApiResult;
use super::super::extract::{Json, Query};
use super::{Pusher, Search, Wanted, base, expected, is_known, shown};
use crate::identity::scim::{Kind, parse_filter, resource};

/// Pushed users, in the order they came; `filter` knows `userName`, `externalId` and `id` with `eq`.
#[utoipa::path(get, path = "/scim/v2/Users", tag = "scim", params(Search), responses((status = 200, description = "A ListResponse", content_type = "application/scim+json"), (status = 400), (status = 401), (status = 403)))]
pub(in crate::api) async fn list(
    State(api): State<Api>,
    _: Pusher,
    Query(query): Query<Search>,
) -> ApiResult<Response> {
    let wanted = query.filter.as_deref().map_or(Ok(Vec::new()), |text| parse_filter(text, Kind::User))?;
    let (total, users) = api.provisioning.store().scim_users(&wanted, query.skip(), query.limit()).await?;
    let base = base(&api);
    let users: Result<Vec<Value>, _> = users.iter().map(|user| resource::show_user(user, &base)).collect();
    Ok(query.listed(total, users?))
}

/// Takes a user in: as a new one, or as the one who has signed in before (`scim.link`).
#[utoipa::path(post, path = "/scim/v2/Users", tag = "scim", params(Wanted), request_body(content = Value, content_type = "application/scim+json"),
    responses((status = 201, description = "The user", content_type = "application/scim+json"), (status = 400), (status = 401), (status = 403), (status = 409, description = "userName or externalId is taken")))]
pub(in crate::api) async fn create(
    State(api): State<Api>,
    Pusher(doer): Pusher,
    Query(query): Query<Wanted>,
    body: Json<Value>,
) -> ApiResult<Response> {
    let kept = api.provisioning.create_user(&body.value, doer).await?;
    api.send_away(&kept.ended);
    shown(StatusCode::CREATED, resource::show_user(&kept.user, &base(&api))?, &query)
}

/// A pushed user.
#[utoipa::path(get, path = "/scim/v2/Users/{id}", tag = "scim", params(("id" = String, Path), Wanted),
    responses((status = 200, description = "The user", content_type = "application/scim+json"), (status = 304), (status = 401), (status = 403), (status = 404)))]
pub(in crate::api) async fn get(
    State(api): State<Api>,
    _: Pusher,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(query): Query<Wanted>,
) -> ApiResult<Response> {
    let user = api.provisioning.store().scim_user(&id).await?;
    if is_known(&headers, user.version) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    shown(StatusCode::OK, resource::show_user(&user, &base(&api))?, &query)
}

/// Makes a user what is sent; `active: false` ends their sessions, keys and sockets at once.
#[utoipa::path(put, path = "/scim/v2/Users/{id}", tag = "scim", params(("id" = String, Path), Wanted), request_body(content = Value, content_type = "application/scim+json"),
    responses((status = 200, description = "The user", content_type = "application/scim+json"), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409), (status = 412, description = "If-Match names another version")))]
pub(in crate::api) async fn replace(
    State(api): State<Api>,
    Pusher(doer): Pusher,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(query): Query<Wanted>,
    body: Json<Value>,
) -> ApiResult<Response> {
    let kept = api.provisioning.replace_user(&id, &body.value, expected(&headers)?, doer).await?;
    api.send_away(&kept.ended);
    shown(StatusCode::OK, resource::show_user(&kept.user, &base(&api))?, &query)
}

/// Changes parts of a user; `active: false` ends their sessions, keys and sockets at once.
#[utoipa::path(patch, path = "/scim/v2/Users/{id}", tag = "scim", params(("id" = String, Path), Wanted), request_body(content = Value, content_type = "application/scim+json"),
    responses((status = 200, description = "The user", content_type = "application/scim+json"), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409), (status = 412, description = "If-Match names another version")))]
pub(in crate::api) async fn patch(
    State(api): State<Api>,
    Pusher(doer): Pusher,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(query): Query<Wanted>,
    body: Json<Value>,
) -> ApiResult<Response> {
    let kept = api.provisioning.patch_user(&id, &body.value, expected(&headers)?, doer).await?;
    api.send_away(&kept.ended);
    shown(StatusCode::OK, resource::show_user(&kept.user, &base(&api))?, &query)
}

/// Takes a user away: their sessions, keys and sockets end at once, and they may not come in again.
#[utoipa::path(delete, path = "/scim/v2/Users/{id}", tag = "scim", params(("id" = String, Path)),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 412, description = "If-Match names another version")))]
pub(in crate::api) async fn delete(
    State(api): State<Api>,
    Pusher(doer): Pusher,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    let ended = api.provisioning.delete_user(&id, expected(&headers)?, doer).await?;
    api.send_away(&ended);
    Ok(StatusCode::NO_CONTENT)
}
