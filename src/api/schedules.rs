//! Schedules: playbooks and workflows that are run by themselves.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Api;
use super::by::By;
use super::credentials::{CredentialDeleted, wrong};
use super::error::ApiResult;
use super::extract::Json;
use crate::clock::{moment, rfc3339};
use crate::engine::flow::Source;
use crate::engine::schedule::{Missed, Overlap, Rule, SHORTEST, ScheduleWish};
use crate::identity::Caller;
use crate::model::{Error, Result};
use crate::store::schedule::Schedule;

/// A schedule, and what came of it last.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScheduleView {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    playbook_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_id: Option<String>,
    /// The title of what is run.
    title: String,
    #[schema(value_type = Object)]
    parameters: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<String>,
    /// ISO 8601, such as `PT15M`.
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    /// `skip`, `run_once` or `run_all`.
    missed: String,
    /// `allow`, `skip` or `cancel_running`.
    overlap: String,
    active: bool,
    /// Why this server switched it off.
    reason: Option<String>,
    next_at: Option<String>,
    last_at: Option<String>,
    last_execution_id: Option<String>,
    /// Why the last time brought no run.
    last_error: Option<String>,
    /// Whom its runs act for.
    owner: String,
    owner_name: String,
    created_at: String,
    updated_at: String,
}

impl ScheduleView {
    fn of(schedule: Schedule) -> Result<Self> {
        let unread = |error| Error::internal("read a schedule", error);
        let rule: Rule = serde_json::from_str(&schedule.rule).map_err(unread)?;
        let (mut cron, mut timezone, mut every, mut at) = (None, None, None, None);
        match rule {
            Rule::Cron { text, timezone: zone } => (cron, timezone) = (Some(text), Some(zone)),
            Rule::Every(millis) => every = Some(SignedDuration::from_millis(millis).to_string()),
            Rule::Once(moment) => at = Some(rfc3339(moment)),
        }
        let is_playbook = schedule.kind == "playbook";
        Ok(Self {
            parameters: serde_json::from_str(&schedule.inputs).map_err(unread)?,
            playbook_path: is_playbook.then(|| schedule.source.clone()),
            workflow_id: (!is_playbook).then_some(schedule.source),
            id: schedule.id,
            name: schedule.name,
            title: schedule.title,
            cron,
            timezone,
            every,
            at,
            missed: schedule.missed,
            overlap: schedule.overlap,
            active: schedule.is_active,
            reason: schedule.reason,
            next_at: schedule.next_at.filter(|_| schedule.is_active).map(rfc3339),
            last_at: schedule.last.at.map(rfc3339),
            last_execution_id: schedule.last.execution,
            last_error: schedule.last.error,
            owner: schedule.owner,
            owner_name: schedule.owner_name,
            created_at: rfc3339(schedule.created_at),
            updated_at: rfc3339(schedule.updated_at),
        })
    }
}

/// A schedule as it is written; on a change, what is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduleBody {
    /// Without it the title of what is run.
    name: Option<String>,
    /// What is run: this, or a workflow.
    playbook_path: Option<String>,
    workflow_id: Option<String>,
    #[schema(value_type = Option<Object>)]
    parameters: Option<Map<String, Value>>,
    /// Five fields, in local time: this, `every` or `at`.
    cron: Option<String>,
    /// A name such as `Europe/Berlin`; without it UTC.
    timezone: Option<String>,
    /// Such as `15m` or `PT15M`, 10 seconds or longer.
    every: Option<String>,
    /// RFC 3339.
    at: Option<String>,
    /// What becomes of times at which no server was there: `skip`, `run_once` (as without it), `run_all`.
    missed: Option<String>,
    /// What becomes of a time at which the run before is under way: `allow` (as without it), `skip`, `cancel_running`.
    overlap: Option<String>,
    active: Option<bool>,
}

impl ScheduleBody {
    fn wish(self) -> Result<ScheduleWish> {
        let rule = self.rule()?;
        let source = match (self.playbook_path, self.workflow_id) {
            (Some(_), Some(_)) => return Err(wrong("workflow_id", "a playbook or a workflow, not both")),
            (Some(path), None) => Some(Source::Playbook(path)),
            (None, Some(id)) => Some(Source::Workflow(id)),
            (None, None) => None,
        };
        let words = |field: &str, words: &[&str]| wrong(field, format!("\"{field}\" is one of {}", words.join(", ")));
        let missed = match self.missed.as_deref() {
            Some(text) => Some(Missed::parse(text).ok_or_else(|| words("missed", Missed::WORDS))?),
            None => None,
        };
        let overlap = match self.overlap.as_deref() {
            Some("queue") => {
                let message = "a queue is a matter of what is run: give it concurrency with on_conflict: queue";
                return Err(wrong("overlap", message));
            }
            Some(text) => Some(Overlap::parse(text).ok_or_else(|| words("overlap", Overlap::WORDS))?),
            None => None,
        };
        Ok(ScheduleWish {
            name: self.name,
            source,
            inputs: self.parameters,
            rule,
            missed,
            overlap,
            active: self.active,
        })
    }

    fn rule(&self) -> Result<Option<Rule>> {
        if self.timezone.is_some() && self.cron.is_none() {
            return Err(wrong("timezone", "a time zone goes with \"cron\""));
        }
        match (&self.cron, &self.every, &self.at) {
            (None, None, None) => Ok(None),
            (Some(cron), None, None) => {
                let zone = self.timezone.as_deref().unwrap_or("UTC");
                let field = |error: &String| if error.contains("time zone") { "timezone" } else { "cron" };
                Rule::cron(cron, zone).map(Some).map_err(|error| wrong(field(&error), error))
            }
            (None, Some(every), None) => {
                let length: SignedDuration =
                    every.parse().map_err(|_| wrong("every", "this is a duration such as 15m"))?;
                match i64::try_from(length.as_millis()) {
                    Ok(millis) if millis >= SHORTEST => Ok(Some(Rule::Every(millis))),
                    _ => Err(wrong("every", format!("at least {} seconds", SHORTEST / 1000))),
                }
            }
            (None, None, Some(at)) => {
                let at = moment(at).ok_or_else(|| wrong("at", "this is a time such as 2027-01-31T00:00:00Z"))?;
                Ok(Some(Rule::Once(at)))
            }
            _ => Err(wrong("cron", "\"cron\", \"every\" or \"at\": one of them")),
        }
    }
}

/// The schedules you may know of, by name.
#[utoipa::path(get, path = "/api/schedules", tag = "executions", responses((status = 200, body = Vec<ScheduleView>), (status = 401)))]
pub(super) async fn list(State(api): State<Api>, caller: Caller) -> ApiResult<Answer<Vec<ScheduleView>>> {
    let schedules = api.engine.list_schedules(&caller.principal).await?;
    Ok(Answer(schedules.into_iter().map(ScheduleView::of).collect::<Result<_>>()?))
}

/// Makes a schedule. Its runs act for you, with the rights you have by then.
#[utoipa::path(post, path = "/api/schedules", tag = "executions", request_body = ScheduleBody,
    responses((status = 201, body = ScheduleView), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    By(doer): By,
    body: Json<ScheduleBody>,
) -> ApiResult<(StatusCode, Answer<ScheduleView>)> {
    let schedule = api.engine.create_schedule(&caller.principal, body.value.wish()?, doer).await?;
    Ok((StatusCode::CREATED, Answer(ScheduleView::of(schedule)?)))
}

/// One schedule.
#[utoipa::path(get, path = "/api/schedules/{id}", tag = "executions", params(("id" = String, Path)),
    responses((status = 200, body = ScheduleView), (status = 401), (status = 404)))]
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Answer<ScheduleView>> {
    Ok(Answer(ScheduleView::of(api.engine.schedule(&caller.principal, &id).await?)?))
}

/// Changes a schedule, or switches it off and on; what is left out stays. What passes while it is off is not made up for.
#[utoipa::path(patch, path = "/api/schedules/{id}", tag = "executions", params(("id" = String, Path)), request_body = ScheduleBody,
    responses((status = 200, body = ScheduleView), (status = 400), (status = 401), (status = 403), (status = 404)))]
pub(super) async fn change(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    By(doer): By,
    body: Json<ScheduleBody>,
) -> ApiResult<Answer<ScheduleView>> {
    let schedule = api.engine.change_schedule(&caller.principal, &id, body.value.wish()?, doer).await?;
    Ok(Answer(ScheduleView::of(schedule)?))
}

/// Deletes a schedule. Its runs stay.
#[utoipa::path(delete, path = "/api/schedules/{id}", tag = "executions", params(("id" = String, Path)),
    responses((status = 200, body = CredentialDeleted), (status = 401), (status = 403), (status = 404)))]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    By(doer): By,
) -> ApiResult<Answer<CredentialDeleted>> {
    api.engine.delete_schedule(&caller.principal, &id, doer).await?;
    Ok(Answer(CredentialDeleted::of(id)))
}
