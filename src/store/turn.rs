//! A turn: what was said and all that follows from it at once, in one transaction.

use std::borrow::Cow;

use super::Store;
use super::action::{Registered, Taken};
use super::dialog::Becomes;
use super::execution::{NewExecution, RunChange};
use super::file::Sent;
use super::log::{Identity, Receipt};
use super::message_key::{Fate, Named};
use super::outbox::Outside;
use super::rewrite::{Revision, Rewrite};
use super::transaction::{Transaction, Work};
use crate::bus::{Frame, Passing};
use crate::clock::rfc3339;
use crate::model::conversation::Millis;
use crate::model::event::{NewEvent, Stream};
use crate::model::file::File;
use crate::model::{Error, Result};

/// The code of the conflict that asks to read the dialog of the conversation and plan again.
pub const DIALOG_CHANGED: &str = "DIALOG_CHANGED";

/// Something said or done in a conversation, with the run it started and the answers to it.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The conversation it happens in; the turn is refused when that is closed.
    pub conversation: String,
    /// Whose conversation it is: their devices hear that it has grown.
    pub owner: String,
    /// What was said or done; its client id, if any, makes it recognisable. None when only time went by.
    pub said: Option<NewEvent>,
    /// SHA-256 of what was said, hex.
    pub body_hash: String,
    /// What is sent along; the turn is refused when one of them is not free any more.
    pub files: Vec<File>,
    pub at: Millis,
    /// The token of the open dialog as it was known when this was planned. Another one refuses the turn with
    /// [`DIALOG_CHANGED`].
    pub dialog: Option<String>,
    /// The run, already finished when its whole body was a pure reply.
    pub execution: Option<NewExecution>,
    /// Answers and notices, appended after what was said.
    pub follows: Vec<NewEvent>,
    /// Set where the conversation is also held outside.
    pub outside: Option<Box<Outside>>,
    /// What is not part of most turns.
    pub beside: Option<Box<Beside>>,
}

/// What changes beside the log when more happens than a message and its answer.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// What becomes of the open dialog; none leaves it as it is.
    pub dialog: Option<Becomes>,
    /// Earlier runs that come further.
    pub runs: Vec<RunChange>,
    /// The action that was taken.
    pub taken: Option<Taken>,
    /// Earlier messages of bots that are different from now on.
    pub rewrites: Vec<Rewrite>,
    /// Messages whose actions can be taken no more.
    pub settled: Vec<String>,
    /// The actions of the messages that follow.
    pub actions: Vec<Registered>,
    /// Which of the messages that follow are said under a name.
    pub named: Vec<Named>,
    /// The approved run that begins in this turn; the turn is refused when it has begun already.
    pub started: Option<String>,
    /// Event id of an earlier message that is answered, when nothing is said now.
    pub answers: Option<String>,
}

impl Turn {
    /// Event id of what is answered.
    pub fn answered(&self) -> Option<&str> {
        let earlier = || self.beside.as_ref().and_then(|beside| beside.answers.as_deref());
        self.said.as_ref().map(|said| said.id.as_str()).or_else(earlier)
    }

    pub fn beside(&mut self) -> &mut Beside {
        self.beside.get_or_insert_default()
    }
}

impl Transaction<'_> {
    /// Does what changes beside the log; answers the events that tell of rewritten messages.
    pub(super) async fn settle(&mut self, conversation: &str, beside: &Beside, at: Millis) -> Result<Vec<NewEvent>> {
        if let Some(execution) = &beside.started {
            self.start_approved(execution).await?;
        }
        let mut rewrites = Vec::new();
        if let Some(taken) = beside.taken.as_ref().filter(|taken| taken.single_use) {
            let ids = self.take(conversation, taken, at).await?;
            let revision = Revision::Used { taken: taken.id.clone(), ids, by: taken.by.clone() };
            rewrites.push(Rewrite { message: taken.message.clone(), event_id: taken.event_id.clone(), revision });
        }
        for run in &beside.runs {
            self.change_run(run).await?;
        }
        if let Some(becomes) = &beside.dialog {
            self.change_dialog(conversation, becomes).await?;
        }
        for message in &beside.settled {
            self.use_up(conversation, message, at).await?;
        }
        rewrites.extend(beside.rewrites.iter().cloned());
        self.rewrite(&Stream::conversation(conversation), &rewrites, at).await
    }
}

impl Turn {
    /// What follows as it goes into the log, with its actions registered: a message under a name may rewrite an earlier
    /// one instead of following, or be nothing new. Answers the events, and those names that are said anew.
    async fn settle_follows(&self, transaction: &mut Transaction<'_>) -> Result<(Cow<'_, [NewEvent]>, Vec<&Named>)> {
        let Some(beside) = &self.beside else { return Ok((Cow::Borrowed(&self.follows), Vec::new())) };
        let mut actions = beside.actions.clone();
        let (mut events, mut said) = (Vec::with_capacity(self.follows.len()), Vec::new());
        for event in &self.follows {
            let mut event = event.clone();
            let named = beside.named.iter().find(|named| named.event == event.id);
            match transaction.settle_said(&self.conversation, named, &mut event, &mut actions).await? {
                Fate::Said => said.extend(named),
                Fate::Rewritten { .. } => {}
                Fate::Dropped => continue,
            }
            events.push(event);
        }
        transaction.register_actions(&actions).await?;
        Ok((Cow::Owned(events), said))
    }
}

impl Work for Turn {
    type Output = Receipt;

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Receipt> {
        if let Some(said) = &self.said
            && let (Some(principal), Some(client_id)) = (&said.principal, &said.client_id)
        {
            let identity = Identity { stream: &said.stream, principal, client_id, body_hash: &self.body_hash };
            if let Some(place) = transaction.said_before(&identity).await? {
                return Ok(Receipt { place, duplicate: true });
            }
        }
        let before = self.dialog.as_deref();
        let after = match self.beside.as_ref().and_then(|beside| beside.dialog.as_ref()) {
            Some(becomes) => becomes.token(),
            None => before,
        };
        transaction.begin_turn(&self.conversation, self.at, before, after).await?;
        if let Some(said) = &self.said
            && let Some(owner) = &said.principal
        {
            let sent = Sent { conversation: &self.conversation, message_id: &said.id, at: self.at };
            transaction.send_files(&self.files, owner, &sent).await?;
        }
        if let Some(execution) = &self.execution {
            transaction.insert_execution(execution).await?;
        }
        let nothing = || Error::internal("commit a turn", "nothing was said and nothing follows");
        self.happen(transaction).await?.ok_or_else(nothing)
    }
}

impl Turn {
    /// Says it as part of other work, whatever the dialog of the conversation is. Nothing is said where it is closed.
    pub(super) async fn speak(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        if transaction.touch_conversation(&self.conversation, self.at).await? {
            self.happen(transaction).await?;
        }
        Ok(())
    }

    /// Puts everything into the log; none when that was nothing after all.
    async fn happen(&self, transaction: &mut Transaction<'_>) -> Result<Option<Receipt>> {
        let rewritten = match &self.beside {
            Some(beside) => transaction.settle(&self.conversation, beside, self.at).await?,
            None => Vec::new(),
        };
        let (follows, names) = self.settle_follows(transaction).await?;
        let events: Vec<&NewEvent> = self.said.iter().chain(&rewritten).chain(&*follows).collect();
        let mut places = transaction.append(&events, Some(&self.body_hash)).await?;
        for named in names {
            if let Some((event, place)) = events.iter().zip(&places).find(|(event, _)| event.id == named.event) {
                transaction.keep_said(&self.conversation, named, place, event.created_at).await?;
            }
        }
        // What a run says by itself comes from nowhere outside, and goes wherever the conversation is held.
        let from = self.outside.as_ref().and_then(|outside| outside.said.as_ref());
        if self.outside.is_some() || self.said.is_none() {
            let told: Vec<_> = events.iter().copied().zip(&places).collect();
            transaction.send_outside(&self.conversation, &told, from).await?;
        }
        let stream = Stream::conversation(&self.conversation);
        let own = events.iter().zip(&places).filter(|(event, _)| event.stream == stream);
        if let Some(head) = own.map(|(_, place)| place.seq).max() {
            let at = rfc3339(self.at);
            transaction.announce(Frame::Passing(Passing::activity(&self.owner, &self.conversation, head, &at)));
        }
        Ok((!places.is_empty()).then(|| Receipt { place: places.swap_remove(0), duplicate: false }))
    }
}

impl Store {
    /// Commits a turn. Said again with the same client id and body, it changes nothing and answers the first place.
    pub async fn commit_turn(&self, turn: Turn) -> Result<Receipt> {
        if turn.said.is_none() && turn.follows.is_empty() {
            return Err(Error::internal("commit a turn", "nothing was said and nothing follows"));
        }
        self.write(turn).await
    }
}
