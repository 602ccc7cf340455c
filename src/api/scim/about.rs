//! What these doors can do, and what a resource looks like.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::super::Api;
use super::super::error::ApiResult;
use super::{MOST, Pusher, answer, base};
use crate::identity::scim::{ENTERPRISE, GROUP, USER};
use crate::model::{Error, Result};

const SCHEMAS: &str = include_str!("schemas.json");

/// What can be done here: filters, PATCH and versions, but nothing in bulk.
#[utoipa::path(get, path = "/scim/v2/ServiceProviderConfig", tag = "scim", responses((status = 200, description = "The configuration", content_type = "application/scim+json"), (status = 401), (status = 403)))]
pub(in crate::api) async fn configuration(State(api): State<Api>, _: Pusher) -> Response {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": MOST },
        "changePassword": { "supported": false },
        "sort": { "supported": false },
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken", "name": "Bearer token", "description": "The token of scim.token", "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig", "location": format!("{}/ServiceProviderConfig", base(&api)),
        },
    });
    answer(StatusCode::OK, &body)
}

fn types(base: &str) -> [Value; 2] {
    let kind = |name: &str, schema: &str, extensions: Value| {
        let mut kind = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"], "id": name, "name": name,
            "endpoint": format!("/{name}s"), "schema": schema,
            "meta": { "resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{name}") },
        });
        if !extensions.is_null() {
            kind["schemaExtensions"] = extensions;
        }
        kind
    };
    [kind("User", USER, json!([{ "schema": ENTERPRISE, "required": false }])), kind("Group", GROUP, Value::Null)]
}

fn schemas(base: &str) -> Result<Vec<Value>> {
    let mut schemas: Vec<Value> =
        serde_json::from_str(SCHEMAS).map_err(|error| Error::internal("read the schemas", error))?;
    for schema in &mut schemas {
        let id = schema["id"].as_str().unwrap_or_default();
        schema["meta"] = json!({ "resourceType": "Schema", "location": format!("{base}/Schemas/{id}") });
    }
    Ok(schemas)
}

fn listed(all: &[Value]) -> Response {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": all.len(), "startIndex": 1,
        "itemsPerPage": all.len(), "Resources": all,
    });
    answer(StatusCode::OK, &body)
}

fn one(all: impl IntoIterator<Item = Value>, id: &str) -> ApiResult<Response> {
    let found = all.into_iter().find(|one| one["id"] == id);
    Ok(answer(StatusCode::OK, &found.ok_or_else(|| Error::not_found(format!("there is no resource '{id}'")))?))
}

/// The kinds of resources.
#[utoipa::path(get, path = "/scim/v2/ResourceTypes", tag = "scim", responses((status = 200, description = "A ListResponse", content_type = "application/scim+json"), (status = 401), (status = 403)))]
pub(in crate::api) async fn resource_types(State(api): State<Api>, _: Pusher) -> Response {
    listed(&types(&base(&api)))
}

/// A kind of resources.
#[utoipa::path(get, path = "/scim/v2/ResourceTypes/{id}", tag = "scim", params(("id" = String, Path)), responses((status = 200, description = "The kind", content_type = "application/scim+json"), (status = 401), (status = 403), (status = 404)))]
pub(in crate::api) async fn resource_type(
    State(api): State<Api>,
    _: Pusher,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    one(types(&base(&api)), &id)
}

/// What resources look like.
#[utoipa::path(get, path = "/scim/v2/Schemas", tag = "scim", responses((status = 200, description = "A ListResponse", content_type = "application/scim+json"), (status = 401), (status = 403)))]
pub(in crate::api) async fn all_schemas(State(api): State<Api>, _: Pusher) -> ApiResult<Response> {
    Ok(listed(&schemas(&base(&api))?))
}

/// What one kind of resources looks like.
#[utoipa::path(get, path = "/scim/v2/Schemas/{id}", tag = "scim", params(("id" = String, Path)), responses((status = 200, description = "The schema", content_type = "application/scim+json"), (status = 401), (status = 403), (status = 404)))]
pub(in crate::api) async fn schema(State(api): State<Api>, _: Pusher, Path(id): Path<String>) -> ApiResult<Response> {
    one(schemas(&base(&api))?, &id)
}
