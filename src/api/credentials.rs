//! Credentials for services outside: two doors to one table. What is secret goes in and never comes out.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Api;
use super::by::By;
use super::error::ApiResult;
use super::extract::Json;
use crate::clock::{moment, rfc3339};
use crate::connector::CredentialWish;
use crate::identity::Caller;
use crate::model::{Error, Kind, Result};
use crate::store::credential::Credential;
use crate::store::credential_token::TokenState;

/// A credential without what is secret in it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CredentialView {
    id: String,
    name: String,
    description: String,
    /// One of the connector's ways to sign in, such as `oauth`.
    #[serde(rename = "type")]
    kind: String,
    /// The connector's type, such as `slack`.
    provider: String,
    /// The fields that are no secrets.
    fields: Value,
    /// The hosts it is bound to; empty: those of its connector.
    hosts: Vec<String>,
    metadata: Value,
    /// Whose it is.
    owner: String,
    created_at: String,
    updated_at: String,
    /// When it was last opened.
    last_used_at: Option<String>,
    /// It is not used from then on.
    expires_at: Option<String>,
    /// Of a credential that somebody signs in for; null for all others.
    sign_in: Option<SignInView>,
}

/// How a credential stands that somebody signs in for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SignInView {
    /// `valid` or `needs_sign_in`
    status: &'static str,
    /// Why somebody has to sign in.
    reason: Option<String>,
    /// Where a person does that, in a browser.
    url: String,
    signed_in_by: Option<String>,
    signed_in_at: Option<String>,
    /// The end of the token that is used now, if it is not renewed before; null: until the service says otherwise.
    token_expires_at: Option<String>,
}

impl SignInView {
    fn of(api: &Api, state: TokenState) -> Self {
        Self {
            status: if state.reason.is_none() { "valid" } else { "needs_sign_in" },
            reason: state.reason,
            url: api.connectors.sign_in_page(&state.credential),
            signed_in_by: state.signed_in_by,
            signed_in_at: state.signed_in_at.map(rfc3339),
            token_expires_at: state.expires_at.map(rfc3339),
        }
    }
}

impl CredentialView {
    /// The view of one, with how its sign-in stands.
    async fn with_sign_in(api: &Api, credential: Credential) -> Result<Self> {
        let state = api.connectors.token_state(&credential).await?;
        Ok(Self { sign_in: state.map(|state| SignInView::of(api, state)), ..Self::of(credential) })
    }

    fn of(credential: Credential) -> Self {
        let json = |text: &str| serde_json::from_str(text).unwrap_or_default();
        Self {
            fields: json(&credential.fields),
            metadata: json(&credential.metadata),
            id: credential.id,
            name: credential.name,
            description: credential.description,
            kind: credential.kind,
            provider: credential.provider,
            hosts: credential.hosts,
            owner: credential.owner,
            created_at: rfc3339(credential.created_at),
            updated_at: rfc3339(credential.updated_at),
            last_used_at: credential.last_used_at.map(rfc3339),
            expires_at: credential.expires_at.map(rfc3339),
            sign_in: None,
        }
    }
}

/// A credential as it is written; on a change, what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CredentialBody {
    /// Unique among your own.
    name: Option<String>,
    description: Option<String>,
    /// One of the connector's ways to sign in, such as `oauth`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The connector's type, such as `slack`.
    provider: Option<String>,
    /// The connector's fields.
    data: Option<Value>,
    /// Anything; `hosts` in it binds the credential to these hosts.
    metadata: Option<Value>,
    /// RFC 3339; null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    expires_at: Option<Option<String>>,
}

/// Tells null from nothing.
pub(super) fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

pub(super) fn wrong(field: &str, message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, "VALIDATION_ERROR", message).details(json!({ "field": field }))
}

impl CredentialBody {
    fn wish(self) -> Result<CredentialWish> {
        let expires_at = self.expires_at.map(|text| {
            text.map(|text| {
                moment(&text).ok_or_else(|| wrong("expiresAt", "this is a time such as 2027-01-31T00:00:00Z"))
            })
            .transpose()
        });
        Ok(CredentialWish {
            name: self.name,
            description: self.description,
            kind: self.kind,
            provider: self.provider,
            data: self.data,
            metadata: self.metadata,
            expires_at: expires_at.transpose()?,
        })
    }
}

/// The credentials you may know of, by name.
#[utoipa::path(get, path = "/api/v1/credentials", tag = "connectors", responses((status = 200, body = Vec<CredentialView>), (status = 401)))]
pub(super) async fn list(State(api): State<Api>, caller: Caller) -> ApiResult<Answer<Vec<CredentialView>>> {
    let credentials = api.connectors.credentials(&caller.principal).await?;
    let mut states = api.connectors.token_states().await?;
    let view = |credential: Credential| {
        let sign_in = states.remove(&credential.id).map(|state| SignInView::of(&api, state));
        CredentialView { sign_in, ..CredentialView::of(credential) }
    };
    Ok(Answer(credentials.into_iter().map(view).collect()))
}

/// Keeps a credential; its data is sealed with AES-256-GCM and not shown again.
#[utoipa::path(post, path = "/api/v1/credentials", tag = "connectors", request_body = CredentialBody,
    responses((status = 201, body = CredentialView), (status = 400), (status = 401), (status = 403), (status = 409)))]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    By(doer): By,
    body: Json<CredentialBody>,
) -> ApiResult<Response> {
    let made = api.connectors.create_credential(&caller.principal, body.value.wish()?, doer).await?;
    let place = format!("/api/v1/credentials/{}", made.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Answer(CredentialView::with_sign_in(&api, made).await?))
        .into_response())
}

/// One credential, by its id or name.
#[utoipa::path(get, path = "/api/v1/credentials/{id}", tag = "connectors", params(("id" = String, Path)),
    responses((status = 200, body = CredentialView), (status = 401), (status = 404)))]
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Answer<CredentialView>> {
    let credential = api.connectors.credential(&caller.principal, &id).await?;
    Ok(Answer(CredentialView::with_sign_in(&api, credential).await?))
}

/// Changes a credential; what is left out stays.
#[utoipa::path(put, path = "/api/v1/credentials/{id}", tag = "connectors", params(("id" = String, Path)), request_body = CredentialBody,
    responses((status = 200, body = CredentialView), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    By(doer): By,
    body: Json<CredentialBody>,
) -> ApiResult<Answer<CredentialView>> {
    let changed = api.connectors.update_credential(&caller.principal, &id, body.value.wish()?, doer).await?;
    Ok(Answer(CredentialView::with_sign_in(&api, changed).await?))
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CredentialDeleted {
    success: bool,
    id: String,
}

impl CredentialDeleted {
    pub(super) fn of(id: String) -> Self {
        Self { success: true, id }
    }
}

/// Deletes a credential that no connector uses.
#[utoipa::path(delete, path = "/api/v1/credentials/{id}", tag = "connectors", params(("id" = String, Path)),
    responses((status = 200, body = CredentialDeleted), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    By(doer): By,
) -> ApiResult<Answer<CredentialDeleted>> {
    let gone = api.connectors.delete_credential(&caller.principal, &id, doer).await?;
    Ok(Answer(CredentialDeleted::of(gone.id)))
}

/// What became of a try.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tried {
    success: bool,
    /// What the service answered, as far as its connector says.
    result: Value,
    /// Why it did not work.
    error: Option<String>,
    code: Option<String>,
}

/// Tries a credential with the action that its connector names for that.
#[utoipa::path(post, path = "/api/v1/credentials/{id}/test", tag = "connectors", params(("id" = String, Path)),
    responses((status = 200, body = Tried), (status = 400), (status = 401), (status = 403), (status = 404)))]
pub(super) async fn test(State(api): State<Api>, caller: Caller, Path(id): Path<String>) -> ApiResult<Answer<Tried>> {
    let credential = api.connectors.credential(&caller.principal, &id).await?;
    let tried = api.connectors.try_credential(&caller.principal, &credential).await?;
    Ok(Answer(match tried {
        Ok(result) => Tried { success: true, result, error: None, code: None },
        Err(failure) => {
            Tried { success: false, result: Value::Null, error: Some(failure.message), code: Some(failure.code) }
        }
    }))
}

/// A gateway's credential, as the toolbox knows it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GatewayCredential {
    name: String,
    username: String,
    gateway_url: Option<String>,
    description: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GatewayCredentials {
    credentials: Vec<GatewayCredential>,
}

/// The credentials with a user name that you may know of. Passwords are never shown.
#[utoipa::path(get, path = "/api/credentials", tag = "connectors", responses((status = 200, body = GatewayCredentials), (status = 401)))]
pub(super) async fn list_named(State(api): State<Api>, caller: Caller) -> ApiResult<Answer<GatewayCredentials>> {
    let all = api.connectors.credentials(&caller.principal).await?;
    let credentials = all.into_iter().filter_map(|credential| {
        let fields: Value = serde_json::from_str(&credential.fields).unwrap_or_default();
        let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(GatewayCredential {
            username: text("username")?,
            gateway_url: text("gateway_url"),
            name: credential.name,
            description: credential.description,
        })
    });
    Ok(Answer(GatewayCredentials { credentials: credentials.collect() }))
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct GatewayCredentialBody {
    /// Unique among your own.
    name: String,
    username: String,
    password: String,
    /// The password goes to this gateway and nowhere else.
    #[serde(default)]
    gateway_url: Option<String>,
    #[serde(default)]
    description: Option<String>,
}

impl GatewayCredentialBody {
    fn wish(self) -> CredentialWish {
        let mut data = json!({ "username": self.username, "password": self.password });
        if let Some(gateway_url) = self.gateway_url.filter(|url| !url.is_empty()) {
            data["gateway_url"] = Value::String(gateway_url);
        }
        CredentialWish {
            name: Some(self.name),
            description: self.description,
            kind: Some("basic".to_owned()),
            provider: Some("gateway".to_owned()),
            data: Some(data),
            ..CredentialWish::default()
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Saved {
    message: &'static str,
    name: String,
}

/// Keeps a gateway's credential.
#[utoipa::path(post, path = "/api/credentials", tag = "connectors", request_body = GatewayCredentialBody,
    responses((status = 200, body = Saved), (status = 400), (status = 401), (status = 403), (status = 409)))]
pub(super) async fn create_named(
    State(api): State<Api>,
    caller: Caller,
    By(doer): By,
    body: Json<GatewayCredentialBody>,
) -> ApiResult<Answer<Saved>> {
    let made = api.connectors.create_credential(&caller.principal, body.value.wish(), doer).await?;
    Ok(Answer(Saved { message: "Credential saved successfully", name: made.name }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CredentialRemoved {
    message: &'static str,
}

/// Deletes a credential by its name.
#[utoipa::path(delete, path = "/api/credentials/{name}", tag = "connectors", params(("name" = String, Path)),
    responses((status = 200, body = CredentialRemoved), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn delete_named(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    By(doer): By,
) -> ApiResult<Answer<CredentialRemoved>> {
    api.connectors.delete_credential(&caller.principal, &name, doer).await?;
    Ok(Answer(CredentialRemoved { message: "Credential deleted successfully" }))
}

/// Replaces a gateway's credential of this name.
#[utoipa::path(put, path = "/api/credentials/{name}", tag = "connectors", params(("name" = String, Path)), request_body = GatewayCredentialBody,
    responses((status = 200, body = Saved), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn update_named(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    By(doer): By,
    body: Json<GatewayCredentialBody>,
) -> ApiResult<Answer<Saved>> {
    let before = api.connectors.credential(&caller.principal, &name).await?;
    let wish = body.value.wish();
    let changed = api.connectors.update_credential(&caller.principal, &before.id, wish, doer).await?;
    Ok(Answer(Saved { message: "Credential saved successfully", name: changed.name }))
}
