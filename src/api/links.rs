//! Accounts of chats outside: whose they are. A chat hands out a one-time link; whoever follows it, signed in, and says
//! yes has the account from then on.

use axum::Extension;
use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::auth::see_other;
use super::by::By;
use super::error::ApiResult;
use super::extract::Known;
use super::page::{escaped, page};
use crate::clock::rfc3339;
use crate::identity::{Caller, CredentialKind};
use crate::model::id::new_id;
use crate::model::message::{Message, Tone, escape_markdown};
use crate::model::place::{Account, Place};
use crate::model::{Error, Result};
use crate::store::account::LinkedAccount;
use crate::store::outbox::{NewNotice, Notice};

/// An account of a chat outside that is the caller's.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Linked {
    /// `slack`, `discord`
    platform: String,
    team: String,
    account: String,
    name: String,
    /// RFC 3339.
    linked_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Links {
    accounts: Vec<Linked>,
}

impl From<LinkedAccount> for Linked {
    fn from(linked: LinkedAccount) -> Self {
        let Account { platform, team, id, name } = linked.account;
        Self { platform, team, account: id, name, linked_at: rfc3339(linked.linked_at) }
    }
}

/// Lists the caller's accounts of chats outside.
#[utoipa::path(get, path = "/api/links", tag = "chats", responses((status = 200, body = Links), (status = 401)))]
pub(super) async fn list(State(api): State<Api>, caller: Caller) -> ApiResult<Answer<Links>> {
    let accounts = api.identity.accounts(&caller).await?.into_iter().map(Linked::from).collect();
    Ok(Answer(Links { accounts }))
}

/// Takes an account from the caller: whoever uses it is nobody here from then on.
#[utoipa::path(delete, path = "/api/links/{platform}/{team}/{account}", tag = "chats",
    params(("platform" = String, Path), ("team" = String, Path), ("account" = String, Path)),
    responses((status = 204), (status = 401), (status = 404)))]
pub(super) async fn unlink(
    State(api): State<Api>,
    caller: Caller,
    By(doer): By,
    Path((platform, team, id)): Path<(String, String, String)>,
) -> ApiResult<StatusCode> {
    let account = Account { platform, team, id, name: String::new() };
    api.identity.unlink(account, &caller, doer).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a chat is called.
fn spelled_out(platform: &str) -> &str {
    match platform {
        "slack" => "Slack",
        "discord" => "Discord",
        other => other,
    }
}

fn over(error: &Error) -> Response {
    page(StatusCode::GONE, "This link is over", &format!("<p>{}.</p>", escaped(&error.message)))
}

/// Asks whoever followed a link, signed in, whether the account is theirs.
#[utoipa::path(get, path = "/link/{token}", tag = "chats", params(("token" = String, Path)), security(()),
    responses((status = 200, description = "A page that asks"), (status = 303, description = "Sign in first"), (status = 401), (status = 410)))]
pub(super) async fn ask(
    State(api): State<Api>,
    Extension(Known(caller)): Extension<Known>,
    Path(token): Path<String>,
) -> ApiResult<Response> {
    let link = match api.identity.offered_link(&token).await {
        Ok(link) => link,
        Err(error) if error.code == "LINK_OVER" => return Ok(over(&error)),
        Err(error) => return Err(error.into()),
    };
    let Some(caller) = caller.filter(|caller| caller.kind == CredentialKind::Login) else {
        if api.oidc.is_some() {
            return see_other(&format!("/auth/login?redirect=/link/{token}"));
        }
        let below = "<p>Sign in to Parlour in this browser, then open the link again. It is good for ten minutes.</p>\
                     <p><a href=\"/\">To Parlour</a></p>";
        return Ok(page(StatusCode::UNAUTHORIZED, "Sign in first", below));
    };
    let Account { platform, team, id, name } = &link.account;
    let below = format!(
        "<p>The account <strong>{}</strong> ({}) of {} ({}) wants to act as <strong>{}</strong> here: what it says and presses \
         there counts as yours. Say yes only if it is you.</p>\
         <form method=\"post\" action=\"/link/{token}\"><button>Yes, this is me</button></form><p><a href=\"/\">No</a></p>",
        escaped(name),
        escaped(id),
        spelled_out(platform),
        escaped(team),
        escaped(&caller.principal.name),
    );
    Ok(page(StatusCode::OK, &format!("Link your {} account?", spelled_out(platform)), &below))
}

/// Makes the account of a link the caller's. A link counts once.
#[utoipa::path(post, path = "/link/{token}", tag = "chats", params(("token" = String, Path)),
    responses((status = 200, description = "A page that says so"), (status = 401), (status = 403), (status = 404), (status = 410)))]
pub(super) async fn link(
    State(api): State<Api>,
    caller: Caller,
    By(doer): By,
    headers: HeaderMap,
    Path(token): Path<String>,
) -> ApiResult<Response> {
    let link = match api.identity.link(&token, &caller, doer).await {
        Ok(link) => link,
        Err(error) if error.code == "LINK_OVER" && super::site::wants_page(&headers) => return Ok(over(&error)),
        Err(error) => return Err(error.into()),
    };
    say_so(&api, &caller, &link.account, &link.place).await?;
    let chat = spelled_out(&link.account.platform);
    let below = format!("<p>Go back to {chat} and say it again.</p>");
    Ok(page(StatusCode::OK, &format!("Your {chat} account is linked"), &below))
}

/// Tells the account there, too: whoever has it should know who it acts as.
async fn say_so(api: &Api, caller: &Caller, account: &Account, place: &str) -> Result<()> {
    let Some(place) = Place::parse(place) else { return Ok(()) };
    let text = format!("This account now acts as **{}**. Say it again.", escape_markdown(&caller.principal.name));
    let message = Box::new(Message::text(text).tone(Tone::Success));
    let notice = Notice::Private { account: account.clone(), message };
    let at = api.engine.clock().now();
    api.engine.store().send_notice(NewNotice { id: new_id(), place, notice, at }).await
}
