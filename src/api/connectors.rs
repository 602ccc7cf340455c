//! Connectors: what there is, and the instances that people made of them.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::by::By;
use super::credentials::{CredentialDeleted, given};
use super::error::ApiResult;
use super::extract::{Json, Query};
use crate::clock::rfc3339;
use crate::connector::InstanceWish;
use crate::identity::Caller;
use crate::identity::permission::{Object, Verb, decide};
use crate::manifest::connector::{Action, Auth, Connector, SCHEMA};
use crate::model::grant::ResourceKind;
use crate::store::credential::Instance;

/// An outside service that can be used.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConnectorView {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    description: String,
    version: String,
    homepage: String,
    /// SHA-256 of its manifest.
    hash: String,
    actions: Vec<ActionView>,
    /// The types that a credential for it may have.
    credential_types: Vec<CredentialType>,
    /// JSON Schema of what an instance may set.
    config_schema: Value,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ActionView {
    name: String,
    description: String,
    input_schema: Value,
    output_schema: Value,
    /// `pure`, `idempotent`, `keyed` or `once`; null where it follows from the input.
    effect: Option<&'static str>,
    /// Whether it needs a credential: `required`, `optional` or `none`.
    auth: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CredentialType {
    #[serde(rename = "type")]
    kind: String,
    description: String,
    default: bool,
    fields: Vec<FieldView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct FieldView {
    name: String,
    description: String,
    required: bool,
    secret: bool,
}

impl ConnectorView {
    fn of(connector: &Connector) -> Self {
        let shown = connector.actions.iter().filter(|action| !action.is_hidden);
        let config = connector.config.as_ref();
        Self {
            kind: connector.kind.clone(),
            name: connector.name.clone(),
            description: connector.description.clone(),
            version: connector.version.clone(),
            homepage: connector.homepage.clone(),
            hash: connector.hash.clone(),
            actions: shown.map(ActionView::of).collect(),
            credential_types: connector.auth.iter().map(CredentialType::of).collect(),
            config_schema: config.map_or_else(|| serde_json::json!({}), |config| config.source().clone()),
        }
    }
}

impl ActionView {
    fn of(action: &Action) -> Self {
        use crate::manifest::connector::AuthNeed;
        Self {
            name: action.name.clone(),
            description: action.description.clone(),
            input_schema: action.input.source().clone(),
            output_schema: action.output.clone(),
            effect: action.effect.map(crate::model::effect::Effect::as_str),
            auth: match action.auth {
                AuthNeed::Required => "required",
                AuthNeed::Optional => "optional",
                AuthNeed::None => "none",
            },
        }
    }
}

impl CredentialType {
    fn of(auth: &Auth) -> Self {
        let fields = auth.fields.iter().map(|field| FieldView {
            name: field.name.clone(),
            description: field.description.clone(),
            required: field.is_required,
            secret: field.is_secret,
        });
        Self {
            kind: auth.id.clone(),
            description: auth.description.clone(),
            default: auth.is_default,
            fields: fields.collect(),
        }
    }
}

/// A connector with a name, a credential and settings of its own.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstanceView {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    credential_id: Option<String>,
    config: Value,
    owner: String,
    created_at: String,
    updated_at: String,
}

impl InstanceView {
    fn of(instance: Instance) -> Self {
        Self {
            id: instance.id,
            name: instance.name,
            kind: instance.kind,
            credential_id: instance.credential,
            config: serde_json::from_str(&instance.config).unwrap_or_default(),
            owner: instance.owner,
            created_at: rfc3339(instance.created_at),
            updated_at: rfc3339(instance.updated_at),
        }
    }
}

/// Either list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum ConnectorList {
    Available(Vec<ConnectorView>),
    Instances(Vec<InstanceView>),
}

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct ListQuery {
    /// `true`: the services that can be used, with their actions. Otherwise the instances you may know of.
    #[serde(default)]
    available: bool,
}

/// The services that can be used, or the instances that were made of them.
#[utoipa::path(get, path = "/api/v1/connectors", tag = "connectors", params(ListQuery), responses((status = 200, body = ConnectorList), (status = 400), (status = 401)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> ApiResult<Answer<ConnectorList>> {
    if query.available {
        let seen = |connector: &Connector| {
            let object = Object::Resource { kind: ResourceKind::Connector, name: &connector.kind, owner: None };
            decide(&caller.principal, Verb::View, object).allowed
        };
        let all = api.connectors.describe();
        let all = all.iter().filter(|connector| seen(connector)).map(|connector| ConnectorView::of(connector));
        return Ok(Answer(ConnectorList::Available(all.collect())));
    }
    let instances = api.connectors.instances(&caller.principal).await?;
    Ok(Answer(ConnectorList::Instances(instances.into_iter().map(InstanceView::of).collect())))
}

/// An instance as it is written; on a change, what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstanceBody {
    /// Unique among your own.
    name: Option<String>,
    /// Such as `slack`; it never changes.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// A credential's id or name; null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    credential_id: Option<Option<String>>,
    /// What the connector's `configSchema` says.
    config: Option<Value>,
}

impl InstanceBody {
    fn wish(self) -> InstanceWish {
        InstanceWish { name: self.name, kind: self.kind, credential: self.credential_id, config: self.config }
    }
}

/// Makes an instance of a connector.
#[utoipa::path(post, path = "/api/v1/connectors", tag = "connectors", request_body = InstanceBody,
    responses((status = 201, body = InstanceView), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    By(doer): By,
    body: Json<InstanceBody>,
) -> ApiResult<Response> {
    let made = api.connectors.create_instance(&caller.principal, body.value.wish(), doer).await?;
    let place = format!("/api/v1/connectors/{}", made.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Answer(InstanceView::of(made))).into_response())
}

/// One instance, by its id or name.
#[utoipa::path(get, path = "/api/v1/connectors/{id}", tag = "connectors", params(("id" = String, Path)),
    responses((status = 200, body = InstanceView), (status = 401), (status = 404)))]
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Answer<InstanceView>> {
    Ok(Answer(InstanceView::of(api.connectors.instance(&caller.principal, &id).await?)))
}

/// Changes an instance; what is left out stays.
#[utoipa::path(put, path = "/api/v1/connectors/{id}", tag = "connectors", params(("id" = String, Path)), request_body = InstanceBody,
    responses((status = 200, body = InstanceView), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    By(doer): By,
    body: Json<InstanceBody>,
) -> ApiResult<Answer<InstanceView>> {
    let changed = api.connectors.update_instance(&caller.principal, &id, body.value.wish(), doer).await?;
    Ok(Answer(InstanceView::of(changed)))
}

/// Deletes an instance.
#[utoipa::path(delete, path = "/api/v1/connectors/{id}", tag = "connectors", params(("id" = String, Path)),
    responses((status = 200, body = CredentialDeleted), (status = 401), (status = 403), (status = 404)))]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    By(doer): By,
) -> ApiResult<Answer<CredentialDeleted>> {
    let gone = api.connectors.delete_instance(&caller.principal, &id, doer).await?;
    Ok(Answer(CredentialDeleted::of(gone.id)))
}

/// The JSON Schema of a connector's manifest.
#[utoipa::path(get, path = "/schemas/connector-v1.json", tag = "meta", security(()), responses((status = 200, description = "JSON Schema 2020-12", content_type = "application/schema+json")))]
pub(super) async fn schema() -> Response {
    ([(header::CONTENT_TYPE, "application/schema+json")], SCHEMA).into_response()
}
