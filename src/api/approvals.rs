//! Runs that wait for a word: who may give one sees them here, and gives it.

use axum::Json as Answer;
use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Request, State as Shared};
use axum::http::header;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::Api;
use super::by::By;
use super::commands::find_run;
use super::error::{ApiError, ApiResult};
use crate::clock::rfc3339;
use crate::engine::approval::Wish;
use crate::identity::Caller;
use crate::model::approval::{State, Verdict};
use crate::model::{Error, Result};
use crate::store::approval::{Approval, Vote};
use crate::store::audit::Doer;

/// Approvals that are looked through.
const MOST: i64 = 500;

/// A run that waits for a word, or did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApprovalView {
    invocation_id: String,
    /// `confirm`: who asked has to agree; `approve`: others have to; then `approved`, `started`, `denied`, `cancelled`,
    /// `expired` or `void`.
    state: &'static str,
    /// The run's phase as a poll tells it.
    phase: &'static str,
    bot_id: String,
    command: String,
    /// The values it is about; hidden ones are not shown.
    parameters: Vec<Argument>,
    requested_by: Requester,
    /// Whether you asked for it.
    yours: bool,
    /// Whether a word of yours is waited for now.
    decide: bool,
    /// What has to be typed to confirm it; null when nothing has.
    target: Option<String>,
    /// How many persons have to approve; 0 when none have.
    needed: usize,
    /// Whether they have to say why.
    reason: bool,
    words: Vec<Word>,
    created_at: String,
    expires_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Argument {
    name: String,
    value: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Requester {
    id: String,
    name: String,
}

/// What somebody said to it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Word {
    by: String,
    approved: bool,
    reason: String,
    at: String,
}

fn word(vote: Vote) -> Word {
    Word { by: vote.name, approved: vote.granted, reason: vote.reason, at: rfc3339(vote.at) }
}

async fn view(api: &Api, caller: &Caller, approval: &Approval) -> Result<ApprovalView> {
    let (kept, approve) = (approval.kept()?, approval.approve()?);
    let votes = api.engine.store().approval_votes(&approval.execution).await?;
    let run = api.engine.store().execution(&approval.execution).await?;
    let principal = &caller.principal;
    let yours = principal.id == approval.principal || principal.person() == Some(&approval.person);
    let has_voted = votes.iter().any(|vote| principal.person() == Some(&vote.person));
    let decide = match approval.state {
        State::Confirm => yours,
        State::Approve => !has_voted && api.engine.may_approve(principal, approval)?,
        _ => false,
    };
    Ok(ApprovalView {
        invocation_id: approval.execution.clone(),
        state: approval.state.as_str(),
        phase: run.map_or("", |run| run.status.phase()),
        bot_id: approval.bot.clone(),
        command: approval.command.clone(),
        parameters: kept.shown.into_iter().map(|(name, value)| Argument { name, value }).collect(),
        requested_by: Requester { id: approval.principal.clone(), name: approval.principal_name.clone() },
        yours,
        decide,
        target: kept.target.filter(|_| yours),
        needed: approve.as_ref().map_or(0, |approve| approve.count),
        reason: approve.is_some_and(|approve| approve.reason),
        words: votes.into_iter().map(word).collect(),
        created_at: rfc3339(approval.created_at),
        expires_at: rfc3339(approval.expires_at),
    })
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApprovalList {
    /// The next to expire first.
    approvals: Vec<ApprovalView>,
}

/// Runs that wait for a word of yours, or that you asked for and that wait for one of others.
#[utoipa::path(get, path = "/api/approvals", tag = "commands", responses((status = 200, body = ApprovalList), (status = 401)))]
pub(super) async fn list(Shared(api): Shared<Api>, caller: Caller) -> ApiResult<Answer<ApprovalList>> {
    let mut approvals = Vec::new();
    for approval in api.engine.store().open_approvals(MOST).await? {
        if api.engine.sees_approval(&caller.principal, &approval)? {
            let seen = view(&api, &caller, &approval).await?;
            if seen.yours || seen.decide {
                approvals.push(seen);
            }
        }
    }
    Ok(Answer(ApprovalList { approvals }))
}

/// What goes along with a word; nothing of it is needed unless the command asks for it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WordBody {
    /// Why.
    #[serde(default)]
    reason: Option<String>,
    /// The target's name, for a command that wants it typed.
    #[serde(default)]
    confirm: Option<String>,
}

/// A body of JSON, or none at all.
pub(super) struct MaybeWord(WordBody);

impl FromRequest<Api> for MaybeWord {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let is_json = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| {
            kind.to_str().is_ok_and(|kind| kind.split(';').next().unwrap_or_default().trim() == "application/json")
        });
        let bytes = Bytes::from_request(request, api).await;
        let bytes = bytes.map_err(|_| Error::invalid("the body could not be read"))?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(WordBody::default()));
        }
        if !is_json {
            return Err(Error::invalid("send the body as JSON, with Content-Type: application/json").into());
        }
        let body = serde_json::from_slice(&bytes);
        body.map(Self).map_err(|error| Error::invalid(format!("the body cannot be used: {error}")).into())
    }
}

fn unknown() -> Error {
    Error::not_found("there is no such invocation")
}

/// Gives a word. Who asked confirms or gives up while that is waited for; everybody else, and who asked after that, speaks
/// as one of those who approve.
async fn give(api: &Api, caller: &Caller, (id, yes): (&str, bool), body: WordBody, doer: Doer) -> Result<ApprovalView> {
    let store = api.engine.store();
    let approval = store.approval(id).await?.ok_or_else(unknown)?;
    if !api.engine.sees_approval(&caller.principal, &approval)? {
        return Err(unknown());
    }
    let yours = caller.principal.id == approval.principal || caller.principal.person() == Some(&approval.person);
    let approves = api.engine.may_approve(&caller.principal, &approval)?;
    let (verdict, text) = match (approval.state, yes) {
        (State::Confirm, true) if yours => (Verdict::Confirm, body.confirm),
        (State::Confirm, false) if yours => (Verdict::Cancel, body.reason),
        (State::Approve, false) if yours && !approves => (Verdict::Cancel, body.reason),
        (_, true) => (Verdict::Approve, body.reason),
        (_, false) => (Verdict::Deny, body.reason),
    };
    let wish = Wish { execution: id.to_owned(), verdict, text, said: None, doer };
    api.engine.decide(&caller.principal, wish).await.map_err(|error| match error.kind {
        // They see it, and it is not theirs to approve.
        crate::model::Kind::NotFound => Error::forbidden("others approve this").details(json!({ "invocation_id": id })),
        _ => error,
    })?;
    let approval = store.approval(id).await?.ok_or_else(unknown)?;
    view(api, caller, &approval).await
}

/// Approves a run that waits for it, or confirms one that you asked for. The last word that is needed starts it.
#[utoipa::path(post, path = "/invocations/{id}/approve", tag = "commands", request_body = Option<WordBody>, params(("id" = String, Path)),
    responses((status = 200, body = ApprovalView), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409, description = "It was decided, has expired or is void")))]
pub(super) async fn approve(
    Shared(api): Shared<Api>,
    caller: Caller,
    Path(id): Path<String>,
    By(doer): By,
    MaybeWord(body): MaybeWord,
) -> ApiResult<Answer<ApprovalView>> {
    Ok(Answer(give(&api, &caller, (&id, true), body, doer).await?))
}

/// Denies a run that waits for approval, or gives up one that you asked for. It never runs.
#[utoipa::path(post, path = "/invocations/{id}/deny", tag = "commands", request_body = Option<WordBody>, params(("id" = String, Path)),
    responses((status = 200, body = ApprovalView), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn deny(
    Shared(api): Shared<Api>,
    caller: Caller,
    Path(id): Path<String>,
    By(doer): By,
    MaybeWord(body): MaybeWord,
) -> ApiResult<Answer<ApprovalView>> {
    Ok(Answer(give(&api, &caller, (&id, false), body, doer).await?))
}

/// The same at the address that is polled.
#[utoipa::path(post, path = "/command/{request_id}/invocation/{id}/approve", tag = "commands", request_body = Option<WordBody>,
    params(("request_id" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = ApprovalView), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn approve_polled(
    Shared(api): Shared<Api>,
    caller: Caller,
    Path((request_id, id)): Path<(String, String)>,
    By(doer): By,
    MaybeWord(body): MaybeWord,
) -> ApiResult<Answer<ApprovalView>> {
    find_run(&api, &request_id, &id).await?.ok_or_else(unknown)?;
    Ok(Answer(give(&api, &caller, (&id, true), body, doer).await?))
}

/// The same at the address that is polled.
#[utoipa::path(post, path = "/command/{request_id}/invocation/{id}/deny", tag = "commands", request_body = Option<WordBody>,
    params(("request_id" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = ApprovalView), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn deny_polled(
    Shared(api): Shared<Api>,
    caller: Caller,
    Path((request_id, id)): Path<(String, String)>,
    By(doer): By,
    MaybeWord(body): MaybeWord,
) -> ApiResult<Answer<ApprovalView>> {
    find_run(&api, &request_id, &id).await?.ok_or_else(unknown)?;
    Ok(Answer(give(&api, &caller, (&id, false), body, doer).await?))
}
