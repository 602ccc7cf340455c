//! Dialogs whose time is over: ended when anybody touches them, and by one task that sleeps until the next is due. The
//! task also reminds whoever is asked, once, before it is too late.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::Hub;
use super::asking::{Ending, state};
use super::dialog::{Stage, words};
use super::hub::outside;
use crate::engine::answer::{Speaker, answer};
use crate::model::conversation::Millis;
use crate::model::id::new_id;
use crate::model::message::{Message, Tone};
use crate::model::{Kind, Result};
use crate::store::dialog::{Becomes, Dialog};
use crate::store::turn::Turn;
use crate::tasks::Tasks;

/// Dialogs that are ended before the next look at the clock.
const BATCH: i64 = 100;

/// How long the task waits when the database did not answer.
const RETRY: Duration = Duration::from_secs(10);

/// How long a dialog waits for an answer, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub expires: Millis,
    /// How long before that a reminder is said; 0 for none.
    pub reminder: Millis,
}

impl Patience {
    /// When a dialog that is over at that time needs a reminder.
    pub(super) fn reminds_at(self, expires_at: Millis) -> Option<Millis> {
        (0 < self.reminder && self.reminder < self.expires).then(|| expires_at - self.reminder)
    }
}

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
    /// Something is to be done about a dialog at that time.
    pub(super) fn note(&self, due_at: Millis) {
        if self.next.fetch_min(due_at, Ordering::SeqCst) > due_at {
            self.earlier.notify_one();
        }
    }
}

impl Hub {
    /// Ends a dialog whose time is over. That somebody was faster is well.
    pub(super) async fn expire(&self, dialog: &Dialog) -> Result<()> {
        let Some(conversation) = self.store().conversation(&dialog.conversation).await? else { return Ok(()) };
        match self.settle(dialog, &conversation, Ending::Expired).await {
            Err(error) if error.kind == Kind::Conflict => {}
            outcome => return outcome,
        }
        // It may have been reminded of just now, which answers nothing.
        let now = self.store().open_dialog(&dialog.conversation).await?;
        let Some(now) = now.filter(|now| now.execution == dialog.execution && now.expires_at == dialog.expires_at)
        else {
            return Ok(());
        };
        match self.settle(&now, &conversation, Ending::Expired).await {
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

    /// Reminds whoever is asked of dialogs that are over soon, a bounded number of them; answers how many there were.
    pub async fn remind_due(&self) -> Result<usize> {
        let due = self.store().reminders_due(self.engine.clock().now(), BATCH).await?;
        for dialog in &due {
            match self.remind(dialog).await {
                // It was answered just now, or another server was faster.
                Err(error) if error.kind == Kind::Conflict => {}
                outcome => outcome?,
            }
        }
        Ok(due.len())
    }

    async fn remind(&self, dialog: &Dialog) -> Result<()> {
        let Some(conversation) = self.store().conversation(&dialog.conversation).await? else { return Ok(()) };
        let (state, at) = (state(dialog)?, self.engine.clock().now());
        let snapshot = self.engine.registry().snapshot();
        let bot = snapshot.bot(&state.bot);
        let reminder = words::reminder(&state.command, dialog.expires_at - at);
        let message = match bot.and_then(|bot| bot.command(&state.command)) {
            // The question may be far up by now.
            Some(command) if state.stage == Stage::Questions => words::question(&command, &state, Some(&reminder)),
            _ => Message::text(reminder).tone(Tone::Question),
        };
        let mut turn = Turn {
            conversation: dialog.conversation.clone(),
            owner: conversation.owner.clone(),
            said: None,
            body_hash: String::new(),
            files: Vec::new(),
            at,
            dialog: Some(dialog.token.clone()),
            execution: None,
            follows: Vec::new(),
            outside: outside(&conversation, None),
            beside: None,
        };
        let name = bot.map_or(&*state.bot, |bot| &*bot.bot.display_name);
        let speaker = (Speaker { id: &state.bot, name }, &*dialog.principal);
        answer(&mut turn, message, speaker, Some((&dialog.execution, &state.command)), at)?;
        // Another token, so that of two servers only one reminds.
        let reminded = Dialog { token: new_id(), reminds_at: None, ..dialog.clone() };
        turn.beside().dialog = Some(Becomes::Open(reminded));
        self.commit(turn).await.map(|_| ())
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
                            tracing::warn!(%error, "failed to end dialogs whose time is over, or to remind of them");
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

    /// Ends and reminds of what is due; answers when the next is, none when no dialog is open.
    async fn next_expiry(&self) -> Result<Option<Millis>> {
        // From here on every new dialog is noted, so that none falls between the look and the sleep.
        self.expiry.next.store(Millis::MAX, Ordering::SeqCst);
        self.expire_due().await?;
        self.remind_due().await?;
        let next = self.store().next_dialog_due().await?;
        self.expiry.next.fetch_min(next.unwrap_or(Millis::MAX), Ordering::SeqCst);
        Ok(next)
    }
}
