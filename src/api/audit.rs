//! Who did what from where, for administrators.

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::ApiResult;
use super::extract::Query;
use super::session::within;
use crate::clock::rfc3339;
use crate::identity::Caller;
use crate::identity::permission::{Object, Verb, authorize};
use crate::model::conversation::Millis;
use crate::model::{Error, Result};
use crate::store::audit::{Action, Filter, Recorded};

#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct AuditQuery {
    /// The id of who did it.
    principal: Option<String>,
    /// `sign_in`, `sign_out`, `key.…`, `grant.…`, `service.…`, `approval.…`, `bots.reload`, `access.refused`, `profile.change`,
    /// `group.…` or `user.…`; a wrong one is answered with the list.
    action: Option<String>,
    /// What it was done to.
    target: Option<String>,
    /// RFC 3339; not before this time.
    since: Option<String>,
    /// RFC 3339; before this time.
    until: Option<String>,
    /// How many at most, 1 to 200.
    #[serde(default = "hundred")]
    limit: i64,
    /// The `next` of the page before.
    before: Option<i64>,
}

fn hundred() -> i64 {
    100
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditPage {
    /// Newest first.
    entries: Vec<Entry>,
    /// Give it as `before` to read on; null at the end.
    next: Option<i64>,
}

/// Something that was done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Entry {
    seq: i64,
    /// RFC 3339.
    at: String,
    action: String,
    /// Null when the installation did it by itself, or the command line.
    principal: Option<String>,
    name: Option<String>,
    /// The id of the login session or key it was done with.
    credential: Option<String>,
    address: Option<String>,
    request_id: Option<String>,
    target: Option<String>,
    #[schema(value_type = Object)]
    details: Value,
    /// SHA-256 over this row and the hash of the one before.
    hash: String,
}

impl Entry {
    fn of(row: Recorded) -> Self {
        Self {
            seq: row.seq,
            at: rfc3339(row.at),
            action: row.action,
            principal: row.doer.principal,
            name: row.doer.name,
            credential: row.doer.credential,
            address: row.doer.address,
            request_id: row.doer.request_id,
            target: row.target,
            // Whoever changed it by hand may have left anything.
            details: serde_json::from_str(&row.details).unwrap_or(Value::String(row.details)),
            hash: row.hash,
        }
    }
}

fn time(field: &str, text: Option<&str>) -> Result<Option<Millis>> {
    let parsed = text.map(|text| text.parse::<jiff::Timestamp>()).transpose();
    let wrong = |_| {
        Error::invalid(format!("{field} is a time such as 2027-01-31T00:00:00Z"))
            .details(serde_json::json!({ "field": field }))
    };
    Ok(parsed.map_err(wrong)?.map(jiff::Timestamp::as_millisecond))
}

/// The audit log: signing in and out, keys, people and groups, bots read anew, access refused.
///
/// Runs are not repeated here: each one is kept with who started it, whence, and its arguments without secrets.
#[utoipa::path(get, path = "/api/admin/audit", tag = "admin", params(AuditQuery), responses((status = 200, body = AuditPage), (status = 400), (status = 401), (status = 403)))]
pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> ApiResult<Answer<AuditPage>> {
    authorize(&caller.principal, Verb::Manage, Object::Installation)?;
    let limit = within("limit", query.limit, 1, 200)?;
    if let Some(action) = &query.action
        && !Action::ALL.iter().any(|known| known.as_str() == action)
    {
        let known: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
        let message = format!("action is one of {}", known.join(", "));
        return Err(Error::invalid(message).details(serde_json::json!({ "field": "action" })).into());
    }
    let filter = Filter {
        principal: query.principal,
        action: query.action,
        target: query.target,
        since: time("since", query.since.as_deref())?,
        until: time("until", query.until.as_deref())?,
        before: query.before,
    };
    let mut rows = api.engine.store().audit(&filter, limit + 1).await?;
    let more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        rows.pop();
    }
    let next = rows.last().filter(|_| more).map(|row| row.seq);
    Ok(Answer(AuditPage { entries: rows.into_iter().map(Entry::of).collect(), next }))
}
