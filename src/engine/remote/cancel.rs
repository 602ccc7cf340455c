//! Stopping a run that has not ended.

use serde_json::json;

use super::super::Engine;
use super::{Withdrawal, broken_off, stream};
use crate::engine::flow::Control;
use crate::identity::permission::{Object, Verb, authorize};
use crate::model::execution::ExecutionStatus;
use crate::model::message::{Tone, escape_markdown};
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::store::delivery::Fence;
use crate::store::execution::Execution;

impl Engine {
    /// Cancels a run that waits, runs or asks. Only who started it may, or an administrator. A run that is cancelled
    /// already stays so; one that has ended otherwise is a conflict.
    pub async fn cancel(&self, principal: &Principal, run: &Execution) -> Result<()> {
        authorize(principal, Verb::Manage, Object::execution(run))?;
        if self.store().run(&run.id).await?.is_some() {
            let cancelled = self.control_run(principal, &run.id, Control::Cancel { undo: false }, None).await;
            return match cancelled {
                Err(error) if error.kind == Kind::Conflict => self.was_cancelled(run).await,
                outcome => outcome.map(|_| ()),
            };
        }
        // Any other run has ended in the transaction that stored it.
        let Some(delivery) = self.store().delivery_of(&run.id).await? else { return self.was_cancelled(run).await };
        let held = self.bus().hold_reply(&stream(&delivery), &delivery.id);
        let so_far = held.as_ref().map_or("", |held| held.content.as_str());
        let message = broken_off(&run.command, "was cancelled.", Tone::Warning, so_far);
        let error = Some(format!("cancelled by {}", principal.name));
        let ending = self.ending(&delivery, ExecutionStatus::Cancelled, message, error).await?;
        if !self.store().cancel_execution(ending).await? {
            return self.was_cancelled(run).await;
        }
        drop(held);
        // The attempt may be another one by now; whichever it is, it is over.
        for seat in self.remote.seats() {
            if let Some(current) = seat.find(&delivery.id) {
                let fence = Fence { delivery: current.id.clone(), attempt: current.attempt };
                seat.withdraw(&fence, Withdrawal::Cancelled);
            }
        }
        // Also a reply that an attempt began in this very moment.
        self.bus().end_reply(&stream(&delivery), &delivery.id);
        Ok(())
    }

    /// Nothing was cancelled just now: fine when it had been before.
    async fn was_cancelled(&self, run: &Execution) -> Result<()> {
        let now = self.store().execution(&run.id).await?.map_or(run.status, |run| run.status);
        if now == ExecutionStatus::Cancelled {
            return Ok(());
        }
        let message = format!("'{}' has ended already", escape_markdown(&run.command));
        Err(Error::conflict("RUN_ENDED", message).details(json!({ "invocation_id": run.id, "status": now.as_str() })))
    }
}
