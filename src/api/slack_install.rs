//! Taking the Slack app into workspaces, to Slack and back with a code, and out of them. Only who runs this server may.

use axum::Json as Answer;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::auth::{see_other, set_cookie};
use super::by::By;
use super::error::ApiResult;
use super::page::{escaped, page};
use crate::chat::slack::Slack;
use crate::clock::rfc3339;
use crate::identity::Caller;
use crate::identity::permission::{Object, Verb, authorize};
use crate::model::id::random_hex;
use crate::model::{Error, Kind, Result};

/// How long one may be at Slack's, in seconds.
const PATIENCE: i64 = 10 * 60;

fn slack(api: &Api) -> Result<&Slack> {
    let message = "Slack is not set up here (settings slack.client_id and slack.client_secret)";
    api.chats.slack.as_deref().ok_or_else(|| Error::new(Kind::NotFound, "NOT_INSTALLABLE", message))
}

/// Ties the way back to the browser that set out.
fn tie(api: &Api, value: String) -> Cookie<'static> {
    let pair = (tie_name(api), value);
    Cookie::build(pair).http_only(true).secure(api.uses_https()).same_site(SameSite::Lax).path("/").build()
}

fn tie_name(api: &Api) -> &'static str {
    if api.uses_https() { "__Host-parlour_slack" } else { "parlour_slack" }
}

/// Sends an administrator to Slack, to install the app in a workspace.
#[utoipa::path(get, path = "/slack/install", tag = "chats",
    responses((status = 303, description = "To Slack"), (status = 401), (status = 403), (status = 404, description = "The settings name no app that can be installed")))]
pub(super) async fn install(State(api): State<Api>, caller: Caller) -> ApiResult<Response> {
    authorize(&caller.principal, Verb::Manage, Object::Installation)?;
    let state = random_hex::<32>().map_err(|error| Error::internal("make a state", error))?;
    let mut response = see_other(&slack(&api)?.install_url(&state)?)?;
    set_cookie(&mut response, &tie(&api, state), PATIENCE)?;
    Ok(response)
}

#[derive(Deserialize, IntoParams)]
pub(super) struct Returned {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
    /// Why Slack gives no code.
    #[serde(default)]
    error: String,
}

/// Takes an administrator back from Slack and keeps the workspace's token.
#[utoipa::path(get, path = "/slack/oauth", tag = "chats", params(Returned),
    responses((status = 200, description = "A page that says so"), (status = 400), (status = 401), (status = 403), (status = 404), (status = 503)))]
pub(super) async fn oauth(
    State(api): State<Api>,
    caller: Caller,
    By(doer): By,
    headers: HeaderMap,
    Query(returned): Query<Returned>,
) -> ApiResult<Response> {
    authorize(&caller.principal, Verb::Manage, Object::Installation)?;
    let slack = slack(&api)?;
    let jar = CookieJar::from_headers(&headers);
    let state = jar.get(tie_name(&api)).map(Cookie::value).unwrap_or_default();
    if state.is_empty() || !bool::from(state.as_bytes().ct_eq(returned.state.as_bytes())) {
        let message = "this did not begin in this browser, or too long ago; begin again at /slack/install";
        return Err(Error::new(Kind::Invalid, "STATE_MISMATCH", message).into());
    }
    if !returned.error.is_empty() || returned.code.is_empty() {
        let message = format!("Slack did not install the app: {}", returned.error);
        return Err(Error::new(Kind::Invalid, "NOT_INSTALLED", message).into());
    }
    let install = slack.install(&returned.code, doer).await?;
    let below = format!(
        "<p>The app is in <strong>{}</strong> ({}). Invite it to a channel, and mention it there.</p>",
        escaped(&install.name),
        escaped(&install.team),
    );
    let mut response = page(axum::http::StatusCode::OK, "Installed in Slack", &below);
    set_cookie(&mut response, &tie(&api, String::new()), 0)?;
    Ok(response)
}

/// A workspace that the app is installed in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Workspace {
    /// Slack's id of it.
    team: String,
    name: String,
    /// The bot's own user there.
    bot_user: String,
    /// What Slack granted.
    scopes: Vec<String>,
    installed_by: String,
    installed_at: String,
}

/// The workspaces that the app was installed in at `/slack/install`.
#[utoipa::path(get, path = "/api/slack/workspaces", tag = "chats",
    responses((status = 200, body = Vec<Workspace>), (status = 401), (status = 403), (status = 404, description = "Slack is not set up here")))]
pub(super) async fn workspaces(State(api): State<Api>, caller: Caller) -> ApiResult<Answer<Vec<Workspace>>> {
    authorize(&caller.principal, Verb::Manage, Object::Installation)?;
    let installs = slack(&api)?.workspaces().await?;
    let workspaces = installs.into_iter().map(|install| Workspace {
        scopes: install.scopes.split(',').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
        team: install.team,
        name: install.name,
        bot_user: install.bot_user,
        installed_by: install.installed_by,
        installed_at: rfc3339(install.installed_at),
    });
    Ok(Answer(workspaces.collect()))
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TakenOut {
    success: bool,
    team: String,
}

/// Takes the app out of a workspace: its token is revoked at Slack and forgotten here.
#[utoipa::path(delete, path = "/api/slack/workspaces/{team}", tag = "chats", params(("team" = String, Path)),
    responses((status = 200, body = TakenOut), (status = 401), (status = 403), (status = 404), (status = 503, description = "Slack could not be reached; nothing has changed")))]
pub(super) async fn take_out(
    State(api): State<Api>,
    caller: Caller,
    Path(team): Path<String>,
    By(doer): By,
) -> ApiResult<Answer<TakenOut>> {
    authorize(&caller.principal, Verb::Manage, Object::Installation)?;
    slack(&api)?.take_out(&team, doer).await?;
    Ok(Answer(TakenOut { success: true, team }))
}
