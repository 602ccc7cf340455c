//! What was approved begins: as its requester, with the rights they have now, and once.

use crate::engine::Engine;
use crate::engine::invoke::Place;
use crate::identity::keys::principal_now;
use crate::model::approval::State;
use crate::model::conversation::ConversationStatus;
use crate::model::{Error, Kind, Result};
use crate::store::approval::{APPROVAL_CHANGED, Approval};
use crate::store::outbox::Outside;
use crate::store::turn::{Beside, DIALOG_CHANGED, Turn};

/// How often the turn is planned again because the dialog of the conversation was another one.
const TRIES: u32 = 8;

impl Engine {
    /// Begins a run that was approved. Whatever keeps it from beginning for good ends it.
    pub(super) async fn begin_approved(&self, approval: &Approval) -> Result<()> {
        crate::crash_point::reached("approval.beginning");
        let mut tries = 0;
        let outcome = loop {
            let outcome = self.try_to_begin(approval).await;
            tries += 1;
            match outcome {
                Err(error) if error.code == DIALOG_CHANGED && tries < TRIES => {}
                outcome => break outcome,
            }
        };
        let at = self.clock().now();
        match outcome {
            Ok(()) => {
                crate::crash_point::reached("approval.begun");
                Ok(())
            }
            // Another server, or an earlier try, was faster.
            Err(error) if matches!(error.code, APPROVAL_CHANGED | "RUN_ENDED") => Ok(()),
            Err(error) if error.code == "SESSION_CLOSED" => self.end_approval(approval, State::Cancelled, at).await,
            Err(error) if matches!(error.kind, Kind::Invalid | Kind::Forbidden | Kind::NotFound | Kind::Conflict) => {
                tracing::warn!(execution = approval.execution, %error, "what was approved cannot run any more");
                self.end_approval(approval, State::Void, at).await
            }
            Err(error) => Err(error),
        }
    }

    async fn try_to_begin(&self, approval: &Approval) -> Result<()> {
        let requester = principal_now(self.store(), &approval.principal, self.clock().now()).await?;
        let requester = requester.ok_or_else(|| Error::forbidden("whoever asked for it is not known any more"))?;
        let request = approval.kept()?.request(approval);
        // The bot may have changed since the last word.
        let prepared = self.prepare(&requester, request.clone())?;
        let now = super::digest(&prepared.bot.bot, &prepared.command, &prepared.arguments, &requester.id);
        if now != approval.digest {
            return Err(Error::conflict("APPROVAL_VOID", "what was approved has changed since"));
        }
        let place = match &approval.conversation {
            None => Place::Approved { execution: approval.execution.clone() },
            Some(id) => {
                let conversation = self.store().conversation_or_404(id).await?;
                if conversation.status != ConversationStatus::Active {
                    return Err(Error::conflict("SESSION_CLOSED", "the conversation is closed"));
                }
                let dialog = self.store().open_dialog(id).await?;
                let started = Some(approval.execution.clone());
                let beside = Beside { started, answers: approval.reply_to.clone(), ..Beside::default() };
                let turn = Turn {
                    outside: Outside::of(&conversation.channel, None),
                    conversation: conversation.id,
                    owner: conversation.owner,
                    said: None,
                    body_hash: String::new(),
                    files: Vec::new(),
                    at: self.clock().now(),
                    dialog: dialog.map(|dialog| dialog.token),
                    execution: None,
                    follows: Vec::new(),
                    beside: Some(Box::new(beside)),
                };
                let waiting = Some(approval.execution.clone());
                Place::Conversation { turn: Box::new(turn), waiting, agreed: true }
            }
        };
        self.run_prepared(&requester, prepared, place).await.map(|_| ())
    }
}
