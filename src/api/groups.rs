//! Groups of the directory and who is in them.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::by::By;
use super::error::ApiResult;
use super::extract::{Json, Query};
use super::session::within;
use crate::clock::rfc3339;
use crate::identity::Caller;
use crate::identity::people::Named;
use crate::model::person::{Group, Member};
use crate::model::{Error, Result};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GroupView {
    id: String,
    /// What bots name in their `access`.
    name: String,
    /// How many people are in it; null where the directory does not say.
    members: Option<i64>,
    /// RFC 3339; null where the directory does not say.
    created_at: Option<String>,
}

impl GroupView {
    fn of(group: Group) -> Self {
        let Group { id, name, members, created_at } = group;
        Self { id, name, members, created_at: created_at.map(rfc3339) }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateGroup {
    /// 1 to 100 characters without a comma; no other group has it.
    name: String,
}

/// Makes a group at the directory, for administrators.
#[utoipa::path(post, path = "/api/groups/create", tag = "groups", request_body = CreateGroup,
    responses((status = 201, body = GroupView), (status = 400), (status = 401), (status = 403), (status = 409, description = "There is one of that name"), (status = 502, description = "The directory refuses"), (status = 503, description = "The directory does not answer")))]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    By(doer): By,
    body: Json<CreateGroup>,
) -> ApiResult<(StatusCode, Answer<GroupView>)> {
    let made = api.people.create_group(&caller, &body.value.name, doer).await?;
    Ok((StatusCode::CREATED, Answer(GroupView::of(made))))
}

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct PageQuery {
    /// How many at most, 1 to 200.
    #[serde(default = "fifty")]
    limit: i64,
    /// The `next` of the page before.
    cursor: Option<String>,
}

fn fifty() -> i64 {
    50
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GroupList {
    groups: Vec<GroupView>,
    /// Give it as `cursor` to read on; null at the end.
    next: Option<String>,
}

/// The groups you are in, or all for an administrator.
#[utoipa::path(get, path = "/api/groups/list", tag = "groups", params(PageQuery),
    responses((status = 200, body = GroupList), (status = 400), (status = 401), (status = 502, description = "The directory refuses"), (status = 503, description = "The directory does not answer")))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> ApiResult<Answer<GroupList>> {
    let limit = within("limit", query.limit, 1, 200)?;
    let page = api.people.groups(&caller, query.cursor.as_deref(), limit).await?.map(GroupView::of);
    Ok(Answer(GroupList { groups: page.items, next: page.next }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MemberView {
    /// At the directory that keeps the group.
    id: String,
    username: Option<String>,
    name: Option<String>,
    email: Option<String>,
}

impl MemberView {
    fn of(member: Member) -> Self {
        let Member { id, username, name, email } = member;
        Self { id, username, name, email }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MemberList {
    group: GroupView,
    members: Vec<MemberView>,
    /// Give it as `cursor` to read on; null at the end.
    next: Option<String>,
}

/// Who is in a group you are in; an administrator may ask for any.
#[utoipa::path(get, path = "/api/groups/{id}/members", tag = "groups", params(("id" = String, Path), PageQuery),
    responses((status = 200, body = MemberList), (status = 400), (status = 401), (status = 404), (status = 502, description = "The directory refuses"), (status = 503, description = "The directory does not answer")))]
pub(super) async fn members(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> ApiResult<Answer<MemberList>> {
    let limit = within("limit", query.limit, 1, 200)?;
    let (group, page) = api.people.members(&caller, &id, query.cursor.as_deref(), limit).await?;
    let page = page.map(MemberView::of);
    Ok(Answer(MemberList { group: GroupView::of(group), members: page.items, next: page.next }))
}

/// Who joins; exactly one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddMember {
    /// The id of a user here, or at the directory that keeps the group.
    user_id: Option<String>,
    /// The user name of somebody who has signed in.
    username: Option<String>,
}

fn named(body: AddMember) -> Result<Named> {
    match body {
        AddMember { user_id: Some(id), username: None } => Ok(Named::Id(id)),
        AddMember { user_id: None, username: Some(name) } => Ok(Named::Username(name)),
        _ => Err(Error::invalid("name who joins by user_id or by username").details(json!({ "field": "user_id" }))),
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Membership {
    success: bool,
    group_id: String,
    /// Whether it was otherwise before.
    changed: bool,
}

/// Puts somebody into a group, for administrators. It counts at once.
#[utoipa::path(post, path = "/api/groups/{id}/members", tag = "groups", params(("id" = String, Path)), request_body = AddMember,
    responses((status = 200, body = Membership), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409, description = "The group is pushed here by a directory"), (status = 502, description = "The directory refuses"), (status = 503, description = "The directory does not answer")))]
pub(super) async fn add(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    By(doer): By,
    body: Json<AddMember>,
) -> ApiResult<Answer<Membership>> {
    let changed = api.people.set_member(&caller, &id, named(body.value)?, true, doer).await?;
    Ok(Answer(Membership { success: true, group_id: id, changed }))
}

/// Takes somebody out of a group, for administrators. It counts at once.
#[utoipa::path(delete, path = "/api/groups/{id}/members/{user_id}", tag = "groups",
    params(("id" = String, Path), ("user_id" = String, Path, description = "The id of a user here, or at the directory")),
    responses((status = 200, body = Membership), (status = 401), (status = 403), (status = 404), (status = 409, description = "The group is pushed here by a directory"), (status = 502, description = "The directory refuses"), (status = 503, description = "The directory does not answer")))]
pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path((id, user)): Path<(String, String)>,
    By(doer): By,
) -> ApiResult<Answer<Membership>> {
    let changed = api.people.set_member(&caller, &id, Named::Id(user), false, doer).await?;
    Ok(Answer(Membership { success: true, group_id: id, changed }))
}
