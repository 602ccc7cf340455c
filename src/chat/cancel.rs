//! Stopping a run.

use serde_json::json;

use super::Hub;
use crate::identity::permission::{Object, Verb, authorize};
use crate::model::execution::ExecutionStatus;
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::store::execution::Execution;

impl Hub {
    /// Cancels a run of this conversation; cancelling a cancelled one changes nothing.
    pub async fn cancel(&self, principal: &Principal, conversation: &str, invocation: &str) -> Result<()> {
        let unknown = || {
            Error::not_found("there is no such invocation in this session")
                .details(json!({ "invocation_id": invocation }))
        };
        let conversation = self.conversation(principal, conversation, Verb::View).await?;
        let run = self.store().execution(invocation).await?;
        let run = run.filter(|run| run.conversation.as_deref() == Some(&*conversation.id)).ok_or_else(unknown)?;
        self.cancel_run(principal, &run).await.map_err(|error| match error.kind {
            // Somebody else's run is none to this caller.
            Kind::NotFound => unknown(),
            _ => error,
        })
    }

    /// Cancels a run, wherever it was started. One that asks ends with its dialog.
    pub async fn cancel_run(&self, principal: &Principal, run: &Execution) -> Result<()> {
        authorize(principal, Verb::Manage, Object::execution(run))?;
        if run.status == ExecutionStatus::AwaitingInput
            && let Some(conversation) = &run.conversation
            && let Some(conversation) = self.store().conversation(conversation).await?
            && self.withdraw(&conversation, &run.id).await?
        {
            return Ok(());
        }
        let waits = matches!(run.status, ExecutionStatus::AwaitingConfirmation | ExecutionStatus::AwaitingApproval);
        if waits && self.engine.withdraw_approval(&run.id).await? {
            return Ok(());
        }
        self.engine.cancel(principal, run).await
    }
}
