//! What an administrator looks behind.

use axum::Json as Answer;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::error::ApiResult;
use crate::identity::Caller;
use crate::identity::permission::{Object, Verb, authorize};
use crate::manifest::Level;

/// How the bots of this installation do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BotReport {
    bots: Vec<BotState>,
    /// Everything that is wrong in the bots' files.
    faults: Vec<FaultView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BotState {
    id: String,
    /// `online` or `degraded`.
    status: &'static str,
    detail: Option<String>,
    /// The version that serves, if any: SHA-256 over its files.
    version: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FaultView {
    file: String,
    line: u32,
    column: u32,
    /// `error` or `warning`.
    level: &'static str,
    message: String,
    suggestion: Option<String>,
}

/// Every bot with its state, and every fault with its file, line and column.
#[utoipa::path(get, path = "/api/admin/bots", tag = "admin", responses((status = 200, body = BotReport), (status = 401), (status = 403)))]
pub(super) async fn bots(State(api): State<Api>, caller: Caller) -> ApiResult<Answer<BotReport>> {
    authorize(&caller.principal, Verb::Manage, Object::Installation)?;
    let snapshot = api.engine.registry().snapshot();
    let bots = snapshot.statuses().map(|(name, status)| BotState {
        id: name.to_owned(),
        status: status.word(),
        detail: status.detail().map(str::to_owned),
        version: snapshot.bot(name).map(|loaded| loaded.bot.version.clone()),
    });
    let faults = snapshot.faults.iter().map(|fault| FaultView {
        file: fault.file.display().to_string(),
        line: fault.line,
        column: fault.column,
        level: match fault.level {
            Level::Error => "error",
            Level::Warning => "warning",
        },
        message: fault.message.clone(),
        suggestion: fault.suggestion.clone(),
    });
    Ok(Answer(BotReport { bots: bots.collect(), faults: faults.collect() }))
}
