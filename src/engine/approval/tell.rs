//! Those who may approve are told: by a card in their own conversation with the bot, and on their own stream.

use serde_json::json;

use super::card::{draw, event};
use crate::engine::Engine;
use crate::engine::answer::{raw, session_update};
use crate::identity::permission::{Object, Verb, decide};
use crate::model::Result;
use crate::model::conversation::{Conversation, ConversationStatus, Millis};
use crate::model::event::{NewEvent, Stream};
use crate::model::id::new_id;
use crate::store::approval::{APPROVAL_CHANGED, Approval, Card, NewCard, Step};

/// How many are told; the others find it among the open approvals.
const MOST_TOLD: usize = 100;

/// What the reader of a user's own stream hears about an approval that concerns them.
pub(super) fn tell_of(approval: &Approval, card: &Card, at: Millis) -> Result<NewEvent> {
    let payload = json!({
        "data": {
            "execution_id": approval.execution, "state": approval.state.as_str(), "bot_id": approval.bot,
            "command": approval.command, "requested_by": approval.principal_name, "approver": card.approver,
            "session_id": card.conversation, "message_id": card.message,
        },
    });
    Ok(NewEvent {
        stream: Stream::user(&card.owner),
        id: new_id(),
        kind: "approval_update",
        principal: None,
        client_id: None,
        payload: raw(&payload)?,
        created_at: at,
    })
}

impl Engine {
    /// Tells everybody who may approve, all of them in one transaction.
    pub(super) async fn tell_approvers(&self, approval: &Approval) -> Result<()> {
        let at = self.clock().now();
        let Some(approve) = approval.approve()? else { return Ok(()) };
        let Approval { person: requester, bot, command, .. } = approval;
        let object = Object::Approval { approve: &approve, requester, bot, command };
        let snapshot = self.registry().snapshot();
        let mut cards = Vec::new();
        for user in self.store().users().await? {
            let may = decide(&user, Verb::Manage, object).allowed;
            if may && cards.len() < MOST_TOLD {
                // Whoever does not know the bot finds it among the open approvals, without its conversation.
                let knows = snapshot.bot(bot).is_some_and(|of| decide(&user, Verb::Chat, Object::Bot(&of.bot)).allowed);
                if knows {
                    cards.push(self.new_card(approval, &user.id, at).await?);
                }
            }
        }
        let mut events = Vec::new();
        for new in &cards {
            events.push(tell_of(approval, &new.card, at)?);
        }
        let step = Step {
            execution: approval.execution.clone(),
            token: approval.token.clone(),
            state: approval.state,
            notified: true,
            expires_at: approval.expires_at,
            vote: None,
            dropped: Vec::new(),
            run: None,
            said: None,
            shown: Vec::new(),
            cards,
            events,
            deed: None,
            at,
        };
        match self.store().step_approval(step).await {
            // Somebody else told them, or decided, in this very moment.
            Err(error) if error.code == APPROVAL_CHANGED => Ok(()),
            outcome => {
                crate::crash_point::reached("approval.told");
                outcome.map(|_| ())
            }
        }
    }

    /// The card for one of them: in the conversation they have with the bot, or in one that is opened for it.
    async fn new_card(&self, approval: &Approval, user: &str, at: Millis) -> Result<NewCard> {
        let known = self.store().conversation_with(user, &approval.bot).await?;
        let (conversation, opens) = match known {
            Some(conversation) => (conversation.id, None),
            None => {
                let conversation = Conversation {
                    id: new_id(),
                    bot: approval.bot.clone(),
                    owner: user.to_owned(),
                    channel: "web".to_owned(),
                    status: ConversationStatus::Active,
                    created_at: at,
                    closed_at: None,
                };
                let announcement = session_update(Stream::user(user), &conversation, "active", at)?;
                (conversation.id.clone(), Some((conversation, announcement)))
            }
        };
        let card = Card { conversation, owner: user.to_owned(), message: new_id(), approver: true };
        let drawn = draw(approval, &[], &card, at)?;
        let event = event(approval, &card, drawn.message, None, at)?;
        Ok(NewCard { card, opens, event, actions: drawn.actions })
    }
}
