//! Service principals: programs that come with tokens of another issuer. For administrators.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::Api;
use super::by::By;
use super::error::ApiResult;
use super::extract::Json;
use super::keys::scopes;
use crate::clock::rfc3339;
use crate::identity::Caller;
use crate::identity::permission::{Object, Verb, authorize};
use crate::identity::services::ServiceWish;
use crate::model::grant::Reach;
use crate::model::principal::Role;
use crate::model::{Error, Result};
use crate::store::service::Service;

/// A program that another issuer vouches for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServiceView {
    id: String,
    name: String,
    issuer: String,
    client_id: String,
    roles: Vec<&'static str>,
    groups: Vec<String>,
    /// All that it may do, as of keys; empty: whatever its role may.
    scopes: Vec<String>,
    created_at: String,
    /// To five minutes; null when it never came.
    last_used_at: Option<String>,
}

impl ServiceView {
    fn of(service: Service) -> Self {
        Self {
            id: service.id,
            name: service.name,
            issuer: service.issuer,
            client_id: service.client_id,
            roles: service.roles.iter().map(|role| role.as_str()).collect(),
            groups: service.groups,
            scopes: service.scopes.iter().map(Reach::to_string).collect(),
            created_at: rfc3339(service.created_at),
            last_used_at: service.last_used_at.map(rfc3339),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServiceList {
    services: Vec<ServiceView>,
}

/// The service principals that count, oldest first.
#[utoipa::path(get, path = "/api/services", tag = "admin", responses((status = 200, body = ServiceList), (status = 401), (status = 403)))]
pub(super) async fn list(State(api): State<Api>, caller: Caller) -> ApiResult<Answer<ServiceList>> {
    authorize(&caller.principal, Verb::Manage, Object::Installation)?;
    let services = api.identity.services().await?;
    Ok(Answer(ServiceList { services: services.into_iter().map(ServiceView::of).collect() }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EnrolService {
    /// What people read, 1 to 200 characters.
    name: String,
    /// The issuer of its tokens, exactly as in the settings; not needed when there is only one.
    #[serde(default)]
    issuer: Option<String>,
    /// What it is known by at that issuer.
    client_id: String,
    /// `admin`, `user`, `readonly` or `executor`.
    role: String,
    #[serde(default)]
    groups: Vec<String>,
    /// All that it may do, such as `["invoke:command:shop/*"]`; none: whatever its role may.
    #[serde(default)]
    scopes: Vec<String>,
}

fn wish(body: EnrolService) -> Result<ServiceWish> {
    let wrong = |field: &str, message: &str| Error::invalid(message).details(json!({ "field": field }));
    let role = Role::parse(&body.role);
    Ok(ServiceWish {
        name: body.name,
        issuer: body.issuer,
        client_id: body.client_id,
        role: role.ok_or_else(|| wrong("role", "a role is admin, user, readonly or executor"))?,
        groups: body.groups,
        scopes: scopes(&body.scopes)?,
    })
}

/// Enrols a client of an issuer in the settings: from here on its tokens count.
#[utoipa::path(post, path = "/api/services", tag = "admin", request_body = EnrolService,
    responses((status = 201, body = ServiceView), (status = 400), (status = 401), (status = 403), (status = 409)))]
pub(super) async fn enrol(
    State(api): State<Api>,
    caller: Caller,
    By(doer): By,
    body: Json<EnrolService>,
) -> ApiResult<(StatusCode, Answer<ServiceView>)> {
    authorize(&caller.principal, Verb::Manage, Object::Installation)?;
    let service = api.identity.enrol_service(wish(body.value)?, doer).await?;
    Ok((StatusCode::CREATED, Answer(ServiceView::of(service))))
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Dismissed {
    success: bool,
    service_id: String,
}

/// Ends a service principal for good and closes its sockets.
#[utoipa::path(delete, path = "/api/services/{id}", tag = "admin", params(("id" = String, Path)),
    responses((status = 200, body = Dismissed), (status = 401), (status = 403), (status = 404)))]
pub(super) async fn dismiss(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    By(doer): By,
) -> ApiResult<Answer<Dismissed>> {
    authorize(&caller.principal, Verb::Manage, Object::Installation)?;
    api.identity.revoke_service(&id, doer).await?;
    api.sockets.revoke(&id);
    Ok(Answer(Dismissed { success: true, service_id: id }))
}
