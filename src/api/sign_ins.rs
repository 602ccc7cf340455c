//! Signing in to services for credentials: the page that leads to the service, and the way back.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::auth::see_other;
use super::by::By;
use super::error::{ApiError, ApiResult, status};
use super::extract::{Known, Query};
use super::page::{escaped, page};
use super::{Api, site};
use crate::connector::SignInReturned;
use crate::identity::{Caller, CredentialKind};
use crate::model::{Error, Kind};

/// A person reads what is wrong on a page, a program as everywhere.
fn told(error: Error, headers: &HeaderMap) -> ApiResult<Response> {
    if site::wants_page(headers) && !matches!(error.kind, Kind::Internal | Kind::Unavailable) {
        let below = format!("<p>{}.</p><p><a href=\"/\">To Parlour</a></p>", escaped(&error.message));
        return Ok(page(status(error.kind), "Not signed in", &below));
    }
    Err(ApiError(error))
}

/// The page at which a person signs in for a credential. It takes a login: a sign-in belongs to the browser that began it.
#[utoipa::path(get, path = "/credentials/{id}/sign-in", tag = "connectors", params(("id" = String, Path)), security(()),
    responses((status = 200, content_type = "text/html", description = "A page with the way to the service"),
        (status = 303, description = "Sign in here first"), (status = 400), (status = 401), (status = 403), (status = 404),
        (status = 409, description = "Nobody signs in for this credential")))]
pub(super) async fn show(
    State(api): State<Api>,
    Extension(Known(caller)): Extension<Known>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let Some(caller) = caller else {
        // Only what cannot lead a redirect astray.
        if api.oidc.is_some() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return see_other(&format!("/auth/login?redirect=/credentials/{id}/sign-in"));
        }
        let below =
            "<p>Sign in to Parlour in this browser, then open this page again.</p><p><a href=\"/\">To Parlour</a></p>";
        return Ok(page(StatusCode::UNAUTHORIZED, "Sign in first", below));
    };
    if caller.kind != CredentialKind::Login {
        // What the caller may not know of is not there, whoever they are.
        api.connectors.credential(&caller.principal, &id).await?;
        return Err(Error::forbidden("a person signs in, in a browser that is signed in here; a key cannot").into());
    }
    let begun = match api.connectors.begin_sign_in(&caller.principal, &id, &caller.credential_id).await {
        Ok(begun) => begun,
        Err(error) => return told(error, &headers),
    };
    let service = escaped(&begun.service);
    let below = format!(
        "<p>Whoever may use the credential <strong>{}</strong> here then acts at {service} as the one you sign in as there.</p>\
         <p><a href=\"{}\">Continue to {service} ({})</a></p><p><a href=\"/\">No</a></p>",
        escaped(&begun.credential.name),
        escaped(begun.url.as_str()),
        escaped(begun.url.host_str().unwrap_or_default()),
    );
    Ok(page(StatusCode::OK, &format!("Sign in to {}", begun.service), &below))
}

/// What a service sends a browser back with.
#[derive(Deserialize, IntoParams)]
pub(super) struct Returned {
    #[serde(default)]
    state: String,
    #[serde(default)]
    code: String,
    /// Why there is no code.
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

/// Takes a browser back from a service, and keeps the token that its code is good for.
#[utoipa::path(get, path = "/oauth2/callback", tag = "connectors", params(Returned),
    responses((status = 200, content_type = "text/html", description = "Signed in"), (status = 400), (status = 401), (status = 403), (status = 404)))]
pub(super) async fn callback(
    State(api): State<Api>,
    caller: Caller,
    By(doer): By,
    headers: HeaderMap,
    Query(query): Query<Returned>,
) -> ApiResult<Response> {
    let Returned { state, code, error, error_description } = query;
    let returned = SignInReturned { state, code, error, error_description };
    match api.connectors.finish_sign_in(&caller.principal, &caller.credential_id, returned, doer).await {
        Ok((credential, service)) => {
            let name = escaped(&credential.name);
            let below = format!(
                "<p>The credential <strong>{name}</strong> can be used now.</p><p><a href=\"/\">To Parlour</a></p>"
            );
            Ok(page(StatusCode::OK, &format!("Signed in to {service}"), &below))
        }
        Err(error) => told(error, &headers),
    }
}
