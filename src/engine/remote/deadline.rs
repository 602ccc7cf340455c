//! What happens when nobody reports: leases lapse, and what was not done in time has failed.

use std::sync::Arc;
use std::time::Duration;

use super::super::Engine;
use super::{Delivery, MOST_LOSSES, Withdrawal, broken_off, stream};
use crate::bus::Matter;
use crate::model::Result;
use crate::model::execution::ExecutionStatus;
use crate::model::message::Tone;
use crate::store::delivery::Fence;
use crate::tasks::Tasks;

/// How long to wait after the database did not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// Sees to every deadline of a delivery, for as long as the server runs: one task, asleep until the next one.
pub fn keep_deadlines(engine: &Arc<Engine>, tasks: &Tasks) {
    let (engine, stop) = (engine.clone(), tasks.stop_token().clone());
    tasks.spawn("delivery deadlines", async move {
        let mut elsewhere = engine.bus().elsewhere(Matter::Deliveries);
        loop {
            // Asked for before the look, so that no change falls between.
            let changed = engine.remote.deadlines.notified();
            let next = engine.meet_deadlines().await;
            let sleep = async {
                match next {
                    Ok(Some(at)) => engine.clock().sleep_until(at).await,
                    Ok(None) => std::future::pending().await,
                    Err(error) => {
                        tracing::warn!(%error, "failed to look after deliveries");
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = changed => {}
                // What another server left to do; the bus lives as long as the engine.
                _ = elsewhere.changed() => {}
                () = sleep => {}
            }
        }
    });
}

impl Engine {
    /// Does what is due and answers when the next is.
    async fn meet_deadlines(&self) -> Result<Option<i64>> {
        let now = self.clock().now();
        loop {
            let due = self.store().due_deliveries(now).await?;
            if due.is_empty() {
                break;
            }
            for delivery in due {
                match self.meet_deadline(&delivery, now).await {
                    // It was done, extended or cancelled in this very moment.
                    Err(error) if error.kind == crate::model::Kind::Conflict => {}
                    outcome => outcome?,
                }
            }
        }
        let next = self.store().next_delivery_deadline(now).await?;
        // What may be claimed again from now on.
        self.remote.seats().iter().for_each(|seat| seat.wake());
        Ok(next)
    }

    async fn meet_deadline(&self, delivery: &Delivery, now: i64) -> Result<()> {
        let fence = Fence { delivery: delivery.id.clone(), attempt: delivery.attempt };
        if delivery.expires_at <= now {
            let (what, error) = match delivery.attempt {
                0 => ("was not done: no process of the bot took it in time.", "no process of the bot took it in time"),
                _ => ("failed: it was not done in time.", "it was not done in time"),
            };
            return self.fail(delivery, what, error, Withdrawal::TimedOut).await;
        }
        if delivery.losses + 1 >= MOST_LOSSES {
            return self.fail_lost(delivery).await;
        }
        if self.store().take_back_lapsed(fence.clone(), now).await? {
            tracing::warn!(delivery = delivery.id, bot = delivery.bot, attempt = delivery.attempt, "a lease lapsed");
            self.remote.seats().iter().for_each(|seat| seat.withdraw(&fence, Withdrawal::LeaseLapsed));
        }
        Ok(())
    }

    /// Fails a run whose processes were lost too often.
    pub(super) async fn fail_lost(&self, delivery: &Delivery) -> Result<()> {
        let what = "failed: the bot's processes broke off again and again.";
        let error = "the bot's processes broke off again and again";
        self.fail(delivery, what, error, Withdrawal::LeaseLapsed).await
    }

    async fn fail(&self, delivery: &Delivery, what: &str, error: &str, why: Withdrawal) -> Result<()> {
        let held = self.bus().hold_reply(&stream(delivery), &delivery.id);
        let so_far = held.as_ref().map_or("", |held| held.content.as_str());
        let message = broken_off(&delivery.command, what, Tone::Error, so_far);
        let ending = self.ending(delivery, ExecutionStatus::Failed, message, Some(error.to_owned())).await?;
        let fence = Fence { delivery: delivery.id.clone(), attempt: delivery.attempt };
        self.store().finish_delivery(fence.clone(), ending).await?;
        drop(held);
        self.bus().end_reply(&stream(delivery), &delivery.id);
        tracing::warn!(delivery = delivery.id, bot = delivery.bot, command = delivery.command, error, "a run failed");
        self.remote.seats().iter().for_each(|seat| seat.withdraw(&fence, why));
        Ok(())
    }
}
