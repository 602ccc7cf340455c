//! Signing in and out.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::cookie::{Cookie, SameSite};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::by::By;
use super::error::{ApiError, ApiResult};
use super::extract::Query;
use super::{Api, COOKIE_PLAIN, COOKIE_SECURE, user_agent};
use crate::clock::rfc3339;
use crate::identity::{Caller, CredentialKind};
use crate::model::Error;
use crate::store::audit::{Action, Deed, Doer};

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct LinkQuery {
    /// The one-time token of the link.
    #[serde(default)]
    token: String,
}

pub(super) fn cookie(api: &Api, value: String) -> Cookie<'static> {
    let secure = api.uses_https();
    let name = if secure { COOKIE_SECURE } else { COOKIE_PLAIN };
    Cookie::build((name, value)).http_only(true).secure(secure).same_site(SameSite::Lax).path("/").build()
}

/// Adds a `Set-Cookie` header for `seconds`; a token never holds a character that a header could not.
pub(super) fn set_cookie(response: &mut Response, cookie: &Cookie<'_>, seconds: i64) -> ApiResult<()> {
    let value = HeaderValue::from_str(&format!("{cookie}; Max-Age={seconds}"))
        .map_err(|error| Error::internal("set a cookie", error))?;
    response.headers_mut().append(header::SET_COOKIE, value);
    Ok(())
}

/// Opens a session from the one-time link that the server printed, and goes to the web chat.
#[utoipa::path(get, path = "/auth/local", tag = "auth", params(LinkQuery), security(()),
    responses((status = 303, description = "Signed in; the session is in a cookie"), (status = 401, description = "The link was used or has expired")))]
pub(super) async fn local(
    State(api): State<Api>,
    headers: HeaderMap,
    by: By,
    Query(query): Query<LinkQuery>,
) -> ApiResult<Response> {
    let signed_in = match api.identity.redeem(&query.token, user_agent(&headers)).await {
        Ok(signed_in) => signed_in,
        // A person in a browser sees the page that says how to get another link, a program the error.
        Err(_) if super::site::wants_page(&headers) => return see_other("/?link=used"),
        Err(error) => return Err(ApiError(error)),
    };
    let caller = api.identity.authenticate(&signed_in.token).await?;
    // Before the token leaves: a session that is not in the log is nobody's.
    let details = json!({ "by": "link" });
    record(&api, Action::SignIn, by.now(&caller), caller.credential_id.clone(), details).await?;
    let mut response = see_other("/")?;
    let seconds = (signed_in.expires_at - api.engine.clock().now()) / 1000;
    set_cookie(&mut response, &cookie(&api, signed_in.token), seconds)?;
    Ok(response)
}

/// Sends a browser on.
pub(super) fn see_other(place: &str) -> ApiResult<Response> {
    let place = HeaderValue::from_str(place).map_err(|error| Error::internal("name the next address", error))?;
    let keep = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, place), keep]).into_response())
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LoggedOut {
    success: bool,
    /// Where a browser logs out at the directory too; absent when there is nothing to log out of.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_session_url: Option<String>,
}

/// Ends the session of the caller and closes its sockets.
#[utoipa::path(post, path = "/auth/logout", tag = "auth", responses((status = 200, body = LoggedOut), (status = 401)))]
pub(super) async fn logout(State(api): State<Api>, caller: Caller, By(doer): By) -> ApiResult<Response> {
    if caller.kind != CredentialKind::Login {
        return Err(Error::invalid("an API key does not log out; it is revoked").into());
    }
    end_login(&api, &caller.credential_id, doer).await?;
    let end_session_url = match &api.oidc {
        Some(oidc) => oidc.end_session_url(&caller.credential_id).await?,
        None => None,
    };
    let mut response = Json(LoggedOut { success: true, end_session_url }).into_response();
    set_cookie(&mut response, &cookie(&api, String::new()), 0)?;
    Ok(response)
}

/// Revokes a login session and sends its sockets away; `false` when it had ended already.
pub(super) async fn end_login(api: &Api, session_id: &str, doer: Doer) -> ApiResult<bool> {
    let ended = api.identity.sign_out(session_id).await?;
    api.sockets.revoke(session_id);
    if ended {
        record(api, Action::SignOut, doer, session_id.to_owned(), Value::Null).await?;
    }
    Ok(ended)
}

/// Adds to the audit log what was done to a session.
pub(super) async fn record(api: &Api, action: Action, doer: Doer, target: String, details: Value) -> ApiResult<()> {
    let at = api.engine.clock().now();
    Ok(api.engine.store().record(Deed { at, action, doer, target: Some(target), details }).await?)
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Validity {
    valid: bool,
    user_id: String,
    /// RFC 3339; null when it does not expire.
    expires_at: Option<String>,
}

/// Whether the caller's session or key counts, for whom and until when.
#[utoipa::path(get, path = "/auth/validate", tag = "auth", responses((status = 200, body = Validity), (status = 401)))]
pub(super) async fn validate(caller: Caller) -> Json<Validity> {
    Json(Validity { valid: true, user_id: caller.principal.id.clone(), expires_at: caller.expires_at.map(rfc3339) })
}
