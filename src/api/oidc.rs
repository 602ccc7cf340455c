//! Signing in with the company's directory: to it, back from it, and the logouts it tells of.

use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Form, Json};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::auth::{cookie, record, see_other, set_cookie};
use super::by::By;
use super::error::{ApiError, ApiResult};
use super::extract::Query;
use super::{Api, site, user_agent};
use crate::identity::oidc::{Answered, Oidc, Returned};
use crate::model::{Error, Kind, Result};
use crate::store::audit::{Action, Doer};

/// What ties a sign-in to the browser that began it; with https the browser pins it to this host.
const LOGIN_SECURE: &str = "__Host-parlour_login";
const LOGIN_PLAIN: &str = "parlour_login";

/// A way to sign in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Provider {
    /// `oidc`
    kind: &'static str,
    /// Where a browser goes; it takes `?redirect=/path`.
    login_url: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Providers {
    providers: Vec<Provider>,
}

/// The ways to sign in, beside the one-time link.
#[utoipa::path(get, path = "/auth/providers", tag = "auth", security(()), responses((status = 200, body = Providers)))]
pub(super) async fn providers(State(api): State<Api>) -> Json<Providers> {
    let oidc = api.oidc.iter().map(|_| Provider { kind: "oidc", login_url: "/auth/login" });
    Json(Providers { providers: oidc.collect() })
}

fn configured(api: &Api) -> Result<&Oidc> {
    let message = "this server has no directory to sign in with; use a sign-in link (setting oidc.issuer)";
    api.oidc.as_deref().ok_or_else(|| Error::new(Kind::Invalid, "NO_DIRECTORY", message))
}

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct LoginQuery {
    /// The path of this server to return to; at most 512 bytes.
    redirect: Option<String>,
}

/// Sends a browser to the directory to sign in.
#[utoipa::path(get, path = "/auth/login", tag = "auth", params(LoginQuery), security(()),
    responses((status = 303, description = "To the directory"), (status = 400), (status = 503, description = "The directory does not answer")))]
pub(super) async fn login(
    State(api): State<Api>,
    headers: HeaderMap,
    Query(query): Query<LoginQuery>,
) -> ApiResult<Response> {
    let begun = match configured(&api)?.begin(query.redirect.as_deref()).await {
        Ok(begun) => begun,
        Err(error) => return failed(&headers, error),
    };
    let mut response = see_other(&begun.url)?;
    set_cookie(&mut response, &login_cookie(&api, begun.cookie), begun.seconds)?;
    Ok(response)
}

fn login_name(api: &Api) -> &'static str {
    if api.uses_https() { LOGIN_SECURE } else { LOGIN_PLAIN }
}

/// It must come along when the directory sends the browser back, which is a step from another site: hence not Strict.
fn login_cookie(api: &Api, value: String) -> Cookie<'static> {
    let pair = (login_name(api), value);
    Cookie::build(pair).http_only(true).secure(api.uses_https()).same_site(SameSite::Lax).path("/").build()
}

#[derive(Deserialize, IntoParams)]
pub(super) struct CallbackQuery {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    error: String,
    iss: Option<String>,
}

/// Takes a browser back from the directory and opens a session.
#[utoipa::path(get, path = "/auth/callback", tag = "auth", params(CallbackQuery), security(()),
    responses((status = 303, description = "Signed in; the session is in a cookie"), (status = 400), (status = 401), (status = 403), (status = 503)))]
pub(super) async fn callback(
    State(api): State<Api>,
    headers: HeaderMap,
    by: By,
    Query(query): Query<CallbackQuery>,
) -> ApiResult<Response> {
    let jar = CookieJar::from_headers(&headers);
    let tie = jar.get(login_name(&api)).map(Cookie::value).unwrap_or_default();
    let answered = Answered { state: query.state, code: query.code, error: query.error, issuer: query.iss };
    let returned = configured(&api)?.finish(answered, tie, user_agent(&headers)).await;
    let mut response = match returned {
        Ok(Returned::SignedIn { session, user, return_to, ended }) => {
            close_sockets(&api, &ended).await?;
            if let Some(ended) = api.people.welcome(&user).await? {
                ended.iter().for_each(|credential| api.sockets.revoke(credential));
                let message = "the directory knows you no more";
                return failed(&headers, Error::new(Kind::Forbidden, "ACCOUNT_CLOSED", message));
            }
            let caller = api.identity.authenticate(&session.token).await?;
            // Before the token leaves, as with a link.
            let details = json!({ "by": "oidc" });
            record(&api, Action::SignIn, by.now(&caller), caller.credential_id.clone(), details).await?;
            let mut response = see_other(&return_to)?;
            let seconds = (session.expires_at - api.engine.clock().now()) / 1000;
            set_cookie(&mut response, &cookie(&api, session.token), seconds)?;
            response
        }
        Ok(Returned::NoRole { ended }) => {
            close_sockets(&api, &ended).await?;
            let message = "the directory knows you, but gives you no role here; ask whoever runs this server";
            failed(&headers, Error::new(Kind::Forbidden, "NO_ROLE", message))?
        }
        Err(error) => return failed(&headers, error),
    };
    set_cookie(&mut response, &login_cookie(&api, String::new()), 0)?;
    Ok(response)
}

/// Closes the sockets of sessions that the directory has ended, here and, by the audit log, on other servers.
async fn close_sockets(api: &Api, sessions: &[String]) -> ApiResult<()> {
    sessions.iter().for_each(|session| api.sockets.revoke(session));
    for session in sessions {
        let doer = Doer { name: Some("directory".to_owned()), ..Doer::default() };
        record(api, Action::SignOut, doer, session.clone(), Value::Null).await?;
    }
    Ok(())
}

/// A person in a browser goes to the page that says what happened, a program gets the error.
fn failed(headers: &HeaderMap, error: Error) -> ApiResult<Response> {
    let reason = match error.code {
        "SIGN_IN_EXPIRED" => "expired",
        "SIGN_IN_INVALID" => "invalid",
        "FORBIDDEN" | "ACCOUNT_CLOSED" => "refused",
        "NO_ROLE" => "no_role",
        "DIRECTORY_UNAVAILABLE" => "unavailable",
        _ => return Err(ApiError(error)),
    };
    if site::wants_page(headers) { see_other(&format!("/?sign_in={reason}")) } else { Err(ApiError(error)) }
}

/// What the directory posts, as a form.
#[derive(Deserialize, ToSchema)]
pub(super) struct BackchannelLogout {
    /// A signed token that names a person, a session or both.
    logout_token: String,
}

/// Hears from the directory that sessions have ended, and closes their sockets.
#[utoipa::path(post, path = "/auth/backchannel-logout", tag = "auth", security(()),
    request_body(content = BackchannelLogout, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "They have ended"), (status = 400, description = "The token does not count"), (status = 503, description = "The token could not be checked")))]
pub(super) async fn backchannel_logout(
    State(api): State<Api>,
    form: std::result::Result<Form<BackchannelLogout>, FormRejection>,
) -> ApiResult<Response> {
    let oidc = configured(&api)?;
    let Form(posted) = form.map_err(|_| Error::invalid("send logout_token as a form"))?;
    let ended = oidc.end(&posted.logout_token).await?;
    tracing::info!(sessions = ended.len(), "the directory ended sessions");
    close_sockets(&api, &ended).await?;
    Ok((StatusCode::OK, [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))]).into_response())
}
