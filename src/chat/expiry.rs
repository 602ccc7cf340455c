//! Dialogs whose time is over: ended when anybody touches them, and by one task that sleeps until the next is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::Hub;
use super::asking::Ending;
use crate::model::conversation::Millis;
use crate::model::{Kind, Result};
use crate::store::dialog::Dialog;
use crate::tasks::Tasks;

/// Dialogs that are ended before the next look at the clock.
const BATCH: i64 = 100;

/// How long the task waits when the database did not answer.
const RETRY: Duration = Duration::from_secs(10);

/// When the task wakes, and how it is woken earlier.
pub(super) struct Expiry {
    next: AtomicI64,
    earlier: Notify,
}

impl Default for Expiry {
    fn default() -> Self {
        Self { next: AtomicI64::new(Millis::MAX), earlier: Notify::new() }
    }
}

impl Expiry {
    /// A dialog is over at that time.
    pub(super) fn note(&self, expires_at: Millis) {
        if self.next.fetch_min(expires_at, Ordering::SeqCst) > expires_at {
            self.earlier.notify_one();
        }
    }
}

impl Hub {
    /// Ends a dialog whose time is over. That somebody was faster is well.
    pub(super) async fn expire(&self, dialog: &Dialog) -> Result<()> {
        let Some(conversation) = self.store().conversation(&dialog.conversation).await? else { return Ok(()) };
        match self.settle(dialog, &conversation, Ending::Expired).await {
            Err(error) if error.kind == Kind::Conflict => Ok(()),
            outcome => outcome,
        }
    }

    /// Ends the dialogs that are due, a bounded number of them; answers how many there were.
    pub async fn expire_due(&self) -> Result<usize> {
        let due = self.store().dialogs_due(self.engine.clock().now(), BATCH).await?;
        for dialog in &due {
            self.expire(dialog).await?;
        }
        Ok(due.len())
    }

    /// Starts the task that ends dialogs in time, those of before a restart too.
    pub fn watch_expiry(self: &Arc<Self>, tasks: &Tasks) {
        let (hub, stop) = (self.clone(), tasks.stop_token().clone());
        tasks.spawn("dialog expiry", async move {
            loop {
                let next = hub.next_expiry().await;
                let sleep = async {
                    match next {
                        Ok(Some(at)) => hub.engine.clock().sleep_until(at).await,
                        Ok(None) => std::future::pending().await,
                        Err(error) => {
                            tracing::warn!(%error, "failed to end dialogs whose time is over");
                            tokio::time::sleep(RETRY).await;
                        }
                    }
                };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = hub.expiry.earlier.notified() => {}
                    () = sleep => {}
                }
            }
        });
    }

    /// Ends what is due; answers when the next is, none when no dialog is open.
    async fn next_expiry(&self) -> Result<Option<Millis>> {
        // From here on every new dialog is noted, so that none falls between the look and the sleep.
        self.expiry.next.store(Millis::MAX, Ordering::SeqCst);
        self.expire_due().await?;
        let next = self.store().next_dialog_expiry().await?;
        self.expiry.next.fetch_min(next.unwrap_or(Millis::MAX), Ordering::SeqCst);
        Ok(next)
    }
}
