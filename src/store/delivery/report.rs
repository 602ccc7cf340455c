//! What a process reports about a delivery: what the run says, and how it ends.

use super::lease::Extend;
use super::{AnswerPlace, Delivery, Fence, execution_update};
use crate::bus::{Frame, Passing};
use crate::clock::rfc3339;
use crate::model::conversation::Millis;
use crate::model::event::NewEvent;
use crate::model::execution::ExecutionStatus;
use crate::model::message::Message;
use crate::model::{Error, Result};
use crate::store::Store;
use crate::store::action::Registered;
use crate::store::log::Identity;
use crate::store::message_key::{Fate, Named};
use crate::store::outbox::Run;
use crate::store::query::query;
use crate::store::transaction::{Transaction, Work, failed};

/// Something a run says in a conversation.
#[derive(Clone, Debug)]
pub struct Posting {
    pub place: AnswerPlace,
    pub event: NewEvent,
    /// Its name, when it is said under one.
    pub named: Option<Named>,
    /// What can be done at it.
    pub actions: Vec<Registered>,
}

/// What became of something that was said before the end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// An attempt had said it before; nothing was said.
    pub duplicate: bool,
    /// Id of the message that says it; none when that was nothing new, or there is no conversation to say it in.
    pub message: Option<String>,
}

/// How a run ends.
#[derive(Clone, Debug)]
pub struct Ending {
    pub execution: String,
    pub status: ExecutionStatus,
    pub error: Option<String>,
    /// What it says last.
    pub message: Message,
    pub posting: Option<Posting>,
    /// What the readers of the run hear.
    pub update: NewEvent,
    pub at: Millis,
}

impl Transaction<'_> {
    /// Adds a message to what a run has said.
    pub(in crate::store) async fn add_response(
        &mut self,
        execution: &str,
        message: &Message,
        at: Millis,
    ) -> Result<()> {
        let find = query("SELECT responses, bot, command FROM executions WHERE id = $1").bind(execution);
        let unreadable = |error: serde_json::Error| Error::internal("read an execution", error);
        let Some(row) = self.optional(find).await? else { return Ok(()) };
        let mut messages: Vec<Message> =
            serde_json::from_str(&row.get::<String>(0).map_err(failed)?).map_err(unreadable)?;
        messages.push(message.clone());
        let messages = serde_json::to_string(&messages).map_err(unreadable)?;
        let update = query("UPDATE executions SET responses = $2 WHERE id = $1").bind(execution).bind(messages);
        self.write(update).await?;
        let (bot, command): (String, String) = (row.get(1).map_err(failed)?, row.get(2).map_err(failed)?);
        self.send_elsewhere(message, &Run { id: execution, bot: &bot, command: &command }, at).await
    }

    /// Says something in a conversation, as long as that is open; what is said later is kept with the run alone.
    /// Answers the id of the message that says it.
    async fn post(&mut self, posting: &Posting) -> Result<Option<String>> {
        let Posting { place, event, named, actions } = posting;
        let (conversation, id) = (&place.conversation, &event.id);
        if !self.touch_conversation(conversation, event.created_at).await? {
            return Ok(Some(id.clone()));
        }
        let (mut event, mut actions) = (event.clone(), actions.clone());
        let fate = self.settle_said(conversation, named.as_ref(), &mut event, &mut actions).await?;
        self.register_actions(&actions).await?;
        if fate != Fate::Dropped {
            let places = self.append(std::slice::from_ref(&event), None).await?;
            let told: Vec<_> = std::iter::once(&event).zip(&places).collect();
            self.send_outside(conversation, &told, None).await?;
            let head = places.first().map_or(0, |place| place.seq);
            if let (Fate::Said, Some(named), Some(place)) = (&fate, named, places.first()) {
                self.keep_said(conversation, named, place, event.created_at).await?;
            }
            let at = rfc3339(event.created_at);
            self.announce(Frame::Passing(Passing::activity(&place.owner, conversation, head, &at)));
        }
        match fate {
            Fate::Said => return Ok(Some(id.clone())),
            // Whoever read how it was written waits for a message of its id, and there will be none.
            _ => self.announce(Frame::Passing(Passing::dropped(conversation, id))),
        }
        match (fate, named) {
            (Fate::Rewritten { message }, _) => Ok(Some(message)),
            (_, Some(named)) => self.message_named(conversation, named).await,
            (_, None) => Ok(None),
        }
    }

    /// Ends a run that has not ended; answers whether it had not.
    async fn end_execution(&mut self, ending: &Ending) -> Result<bool> {
        let end = query(
            "UPDATE executions SET status = $2, error = $3, finished_at = $4 \
             WHERE id = $1 AND status IN ('pending', 'running', 'paused', 'awaiting_input')",
        )
        .bind(&ending.execution)
        .bind(ending.status.as_str())
        .bind(ending.error.clone())
        .bind(ending.at);
        if self.write(end).await? == 0 {
            return Ok(false);
        }
        self.add_response(&ending.execution, &ending.message, ending.at).await?;
        self.tell_hooks(&ending.execution, ending.status, ending.at).await?;
        if let Some(posting) = &ending.posting {
            // First, so that no reader sees the message and then what was written of it.
            let (stream, message_id) = (posting.event.stream.clone(), posting.event.id.clone());
            self.announce(Frame::Written { stream, message_id });
            self.post(posting).await?;
        }
        self.append(std::slice::from_ref(&ending.update), None).await?;
        Ok(true)
    }
}

struct Say {
    fence: Fence,
    /// The process's own id for it.
    key: String,
    execution: String,
    message: Message,
    posting: Option<Posting>,
    lease_until: Millis,
    at: Millis,
}

impl Work for Say {
    type Output = Said;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Said> {
        let extend = Extend { fence: self.fence.clone(), lease_until: self.lease_until };
        extend.run(transaction).await?;
        let step = format!("say.{}", self.key);
        let mut update = execution_update(&self.execution, ExecutionStatus::Running, Some(&step), self.at)?;
        // What was said stands in the stream of the run under the delivery's id and the process's own, so that the next
        // attempt, which may put it in other words, does not say it again.
        let identity = Identity {
            stream: &update.stream,
            principal: &self.fence.delivery,
            client_id: &self.key,
            body_hash: &self.fence.delivery,
        };
        if transaction.said_before(&identity).await?.is_some() {
            let message = match &self.posting {
                Some(Posting { place, named: Some(named), .. }) => {
                    transaction.message_named(&place.conversation, named).await?
                }
                posting => posting.as_ref().map(|posting| posting.event.id.clone()),
            };
            return Ok(Said { duplicate: true, message });
        }
        update.principal = Some(self.fence.delivery.clone());
        update.client_id = Some(self.key.clone());
        transaction.add_response(&self.execution, &self.message, self.at).await?;
        let message = match &self.posting {
            Some(posting) => transaction.post(posting).await?,
            None => None,
        };
        transaction.append(std::slice::from_ref(&update), Some(&self.fence.delivery)).await?;
        Ok(Said { duplicate: false, message })
    }
}

struct Finish {
    fence: Fence,
    ending: Ending,
}

impl Work for Finish {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        let finish = query(
            "UPDATE deliveries SET state = 'done', lease_until = NULL, event = '{}' \
             WHERE id = $1 AND attempt = $2 AND state <> 'done'",
        );
        if transaction.write(self.fence.bind(finish)).await? == 0 {
            return Err(transaction.refusal(&self.fence).await?);
        }
        transaction.end_execution(&self.ending).await?;
        Ok(())
    }
}

struct Cancel {
    ending: Ending,
}

impl Work for Cancel {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        let withdraw = query(
            "UPDATE deliveries SET state = 'done', lease_until = NULL, event = '{}' WHERE execution = $1 AND state <> 'done'",
        );
        transaction.write(withdraw.bind(&self.ending.execution)).await?;
        transaction.end_execution(&self.ending).await
    }
}

impl Store {
    /// Says something before the end of a run and keeps the lease; under a key once. Refused like [`Store::extend_lease`].
    pub async fn say_of_delivery(
        &self,
        delivery: &Delivery,
        key: &str,
        said: (Message, Option<Posting>),
        at: Millis,
        lease_until: Millis,
    ) -> Result<Said> {
        let fence = Fence { delivery: delivery.id.clone(), attempt: delivery.attempt };
        let (message, posting) = said;
        let execution = delivery.execution.clone();
        self.write(Say { fence, key: key.to_owned(), execution, message, posting, lease_until, at }).await
    }

    /// Ends the run of a delivery, by the attempt that has it or had it last. Refused like [`Store::extend_lease`].
    pub async fn finish_delivery(&self, fence: Fence, ending: Ending) -> Result<()> {
        self.write(Finish { fence, ending }).await
    }

    /// Ends a run that waits, runs or asks, and withdraws its delivery if it has one; `false` when it had ended.
    pub async fn cancel_execution(&self, ending: Ending) -> Result<bool> {
        self.write(Cancel { ending }).await
    }
}
