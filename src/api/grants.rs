//! Grants: who may do what, beside roles and what bots write as access. For administrators.

use std::collections::BTreeMap;

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
use crate::clock::rfc3339;
use crate::identity::Caller;
use crate::identity::grants::GrantWish;
use crate::identity::permission::{Object, Verb, authorize};
use crate::model::grant::{self, Effect, Grant, Reach};
use crate::model::{Error, Result};

/// A right that was given or taken away.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GrantView {
    id: String,
    /// `allow` or `deny`; what is denied is denied, whatever else allows it.
    effect: &'static str,
    /// `user:ID`, `group:NAME`, `role:NAME` or `service:ID`.
    subject: String,
    /// `view`, `chat`, `invoke`, `serve`, `manage`; empty: every one.
    verbs: Vec<&'static str>,
    /// `bot`, `command`, `playbook`, `workflow`, `connector`, `credential`, `execution`, `key`, `installation`, or `*`.
    kind: &'static str,
    /// A name, `*` in it is any number of characters; of commands and executions `bot/command`.
    name: String,
    /// Of commands: per argument the values it is about.
    when: BTreeMap<String, Vec<String>>,
    note: String,
    created_by: String,
    created_at: String,
}

impl GrantView {
    fn of(grant: Grant) -> Self {
        let Grant { id, effect, subject, reach, note, created_by, created_at } = grant;
        Self {
            id,
            effect: effect.as_str(),
            subject: subject.to_string(),
            verbs: reach.verbs.iter().map(|verb| verb.as_str()).collect(),
            kind: reach.kind.map_or("*", grant::ResourceKind::as_str),
            name: reach.name,
            when: reach.when,
            note,
            created_by,
            created_at: rfc3339(created_at),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GrantList {
    grants: Vec<GrantView>,
}

/// Every grant, oldest first.
#[utoipa::path(get, path = "/api/grants", tag = "admin", responses((status = 200, body = GrantList), (status = 401), (status = 403)))]
pub(super) async fn list(State(api): State<Api>, caller: Caller) -> ApiResult<Answer<GrantList>> {
    authorize(&caller.principal, Verb::Manage, Object::Installation)?;
    let grants = api.engine.store().all_grants().await?;
    Ok(Answer(GrantList { grants: grants.into_iter().map(GrantView::of).collect() }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateGrant {
    /// `allow` or `deny`.
    effect: String,
    /// `user:ID`, `group:NAME`, `role:NAME` or `service:ID`.
    subject: String,
    /// `view`, `chat`, `invoke`, `serve`, `manage`; none: every one.
    #[serde(default)]
    verbs: Vec<String>,
    /// What kind of thing, or `*`.
    kind: String,
    /// A name, `*` in it is any number of characters.
    name: String,
    /// Of commands: per argument the values it is about, `{"environment": ["staging"]}`.
    #[serde(default)]
    when: BTreeMap<String, Vec<String>>,
    /// Why, for people.
    #[serde(default)]
    note: String,
}

fn wish(body: CreateGrant) -> Result<GrantWish> {
    let CreateGrant { effect, subject, verbs, kind, name, when, note } = body;
    let wrong = |field: &str, message: String| Error::invalid(message).details(json!({ "field": field }));
    let effect = Effect::parse(&effect).ok_or_else(|| wrong("effect", "an effect is allow or deny".to_owned()))?;
    let verbs = verbs.iter().map(|verb| grant::verb(verb)).collect::<Result<_, _>>();
    let kind = if kind == "*" { Ok(None) } else { grant::resource_kind(&kind).map(Some) };
    Ok(GrantWish {
        effect,
        subject: subject.parse().map_err(|message| wrong("subject", message))?,
        reach: Reach {
            verbs: verbs.map_err(|message| wrong("verbs", message))?,
            kind: kind.map_err(|message| wrong("kind", message))?,
            name,
            when,
        },
        note,
    })
}

/// Gives a right, or takes it away. It counts from here on, for everybody, open sockets included.
#[utoipa::path(post, path = "/api/grants", tag = "admin", request_body = CreateGrant,
    responses((status = 201, body = GrantView), (status = 400), (status = 401), (status = 403)))]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    By(doer): By,
    body: Json<CreateGrant>,
) -> ApiResult<(StatusCode, Answer<GrantView>)> {
    authorize(&caller.principal, Verb::Manage, Object::Installation)?;
    let grant = api.identity.give(wish(body.value)?, doer).await?;
    Ok((StatusCode::CREATED, Answer(GrantView::of(grant))))
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Removed {
    success: bool,
    grant_id: String,
}

/// Removes a grant; what it allowed or denied is decided by the others again.
#[utoipa::path(delete, path = "/api/grants/{id}", tag = "admin", params(("id" = String, Path)),
    responses((status = 200, body = Removed), (status = 401), (status = 403), (status = 404)))]
pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    By(doer): By,
) -> ApiResult<Answer<Removed>> {
    authorize(&caller.principal, Verb::Manage, Object::Installation)?;
    api.identity.take_back(&id, doer).await?;
    Ok(Answer(Removed { success: true, grant_id: id }))
}
