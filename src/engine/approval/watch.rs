//! Looks after approvals for as long as the server runs: goes on with what a crash left, and ends what nobody decided.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::model::Result;
use crate::model::approval::State;
use crate::model::conversation::Millis;
use crate::tasks::Tasks;

/// How long to wait after something did not work.
const AGAIN: Duration = Duration::from_secs(1);

/// Approvals that are looked at at once.
const BATCH: i64 = 100;

/// One task, asleep until the next approval expires.
pub fn watch(engine: &Arc<Engine>, tasks: &Tasks) {
    let (engine, stop) = (engine.clone(), tasks.stop_token().clone());
    tasks.spawn("approvals", async move {
        loop {
            // Asked for before the look, so that no change falls between.
            let changed = engine.approvals.notified();
            let next = engine.look_after_approvals().await;
            let sleep = async {
                match next {
                    Ok(Some(at)) => engine.clock().sleep_until(at).await,
                    Ok(None) => std::future::pending().await,
                    Err(error) => {
                        tracing::warn!(%error, "failed to look after approvals");
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = changed => {}
                () = sleep => {}
            }
        }
    });
}

impl Engine {
    /// Does what is due and answers when the next approval expires.
    async fn look_after_approvals(&self) -> Result<Option<Millis>> {
        for approval in self.store().waiting_approvals(BATCH).await? {
            self.follow_up(&approval).await?;
        }
        let now = self.clock().now();
        loop {
            let due = self.store().due_approvals(now, BATCH).await?;
            if due.is_empty() {
                return self.store().next_approval_expiry().await;
            }
            for approval in due {
                self.end_approval(&approval, State::Expired, now).await?;
            }
        }
    }
}
