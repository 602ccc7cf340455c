//! Groups that a directory pushes; they count as groups of who is in them.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use super::super::Api;
use super::super::error::ApiResult;
use super::super::extract::{Json, Query};
use super::{Pusher, Search, Wanted, base, expected, is_known, shown};
use crate::identity::scim::{Kind, parse_filter, resource};

/// Pushed groups, in the order they came; `filter` knows `displayName`, `externalId`, `id` and `members.value` with `eq`.
#[utoipa::path(get, path = "/scim/v2/Groups", tag = "scim", params(Search), responses((status = 200, description = "A ListResponse", content_type = "application/scim+json"), (status = 400), (status = 401), (status = 403)))]
pub(in crate::api) async fn list(
    State(api): State<Api>,
    _: Pusher,
    Query(query): Query<Search>,
) -> ApiResult<Response> {
    let wanted = query.filter.as_deref().map_or(Ok(Vec::new()), |text| parse_filter(text, Kind::Group))?;
    let (skip, limit, members) = (query.skip(), query.limit(), query.wants("members"));
    let (total, groups) = api.provisioning.store().scim_groups(&wanted, skip, limit, members).await?;
    let base = base(&api);
    Ok(query.listed(total, groups.iter().map(|group| resource::show_group(group, &base)).collect()))
}

/// Takes a group in, with its members.
#[utoipa::path(post, path = "/scim/v2/Groups", tag = "scim", params(Wanted), request_body(content = Value, content_type = "application/scim+json"),
    responses((status = 201, description = "The group", content_type = "application/scim+json"), (status = 400), (status = 401), (status = 403), (status = 409, description = "displayName is taken")))]
pub(in crate::api) async fn create(
    State(api): State<Api>,
    Pusher(doer): Pusher,
    Query(query): Query<Wanted>,
    body: Json<Value>,
) -> ApiResult<Response> {
    let group = api.provisioning.create_group(&body.value, doer).await?;
    shown(StatusCode::CREATED, resource::show_group(&group, &base(&api)), &query)
}

/// A pushed group.
#[utoipa::path(get, path = "/scim/v2/Groups/{id}", tag = "scim", params(("id" = String, Path), Wanted),
    responses((status = 200, description = "The group", content_type = "application/scim+json"), (status = 304), (status = 401), (status = 403), (status = 404)))]
pub(in crate::api) async fn get(
    State(api): State<Api>,
    _: Pusher,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(query): Query<Wanted>,
) -> ApiResult<Response> {
    let group = api.provisioning.store().scim_group(&id).await?;
    if is_known(&headers, group.version) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    shown(StatusCode::OK, resource::show_group(&group, &base(&api)), &query)
}

/// Makes a group what is sent; who joins or leaves has other rights at once.
#[utoipa::path(put, path = "/scim/v2/Groups/{id}", tag = "scim", params(("id" = String, Path), Wanted), request_body(content = Value, content_type = "application/scim+json"),
    responses((status = 200, description = "The group", content_type = "application/scim+json"), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409), (status = 412, description = "If-Match names another version")))]
pub(in crate::api) async fn replace(
    State(api): State<Api>,
    Pusher(doer): Pusher,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(query): Query<Wanted>,
    body: Json<Value>,
) -> ApiResult<Response> {
    let group = api.provisioning.replace_group(&id, &body.value, expected(&headers)?, doer).await?;
    shown(StatusCode::OK, resource::show_group(&group, &base(&api)), &query)
}

/// Changes parts of a group; who joins or leaves has other rights at once.
#[utoipa::path(patch, path = "/scim/v2/Groups/{id}", tag = "scim", params(("id" = String, Path), Wanted), request_body(content = Value, content_type = "application/scim+json"),
    responses((status = 200, description = "The group", content_type = "application/scim+json"), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409), (status = 412, description = "If-Match names another version")))]
pub(in crate::api) async fn patch(
    State(api): State<Api>,
    Pusher(doer): Pusher,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(query): Query<Wanted>,
    body: Json<Value>,
) -> ApiResult<Response> {
    let group = api.provisioning.patch_group(&id, &body.value, expected(&headers)?, doer).await?;
    shown(StatusCode::OK, resource::show_group(&group, &base(&api)), &query)
}

/// Takes a group away.
#[utoipa::path(delete, path = "/scim/v2/Groups/{id}", tag = "scim", params(("id" = String, Path)),
    responses((status = 204), (status = 401), (status = 403), (status = 404), (status = 412, description = "If-Match names another version")))]
pub(in crate::api) async fn delete(
    State(api): State<Api>,
    Pusher(doer): Pusher,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    api.provisioning.delete_group(&id, expected(&headers)?, doer).await?;
    Ok(StatusCode::NO_CONTENT)
}
