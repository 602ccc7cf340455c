//! Opens conversations, takes what is said in them, closes them.

use std::sync::{Arc, Mutex, PoisonError};

use hashlink::LruCache;

use super::action::Choice;
use super::asking::Ending;
use super::command::Order;
use super::expiry::{Expiry, Patience};
use super::files::Files;
use super::outside::Via;
use super::say::Said;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::engine::answer::session_update;
use crate::engine::invoke::Source;
use crate::engine::record::Record;
use crate::engine::registry::Snapshot;
use crate::identity::permission::{Object, Verb, authorize, unknown_bot};
use crate::model::Result;
use crate::model::conversation::{Conversation, ConversationStatus, HOUSE_BOT, Millis};
use crate::model::event::{NewEvent, Stream};
use crate::model::id::new_id;
use crate::model::place::Place;
use crate::model::principal::Principal;
use crate::store::Store;
use crate::store::conversation::Closing;
use crate::store::dialog::{Becomes, Dialog};
use crate::store::log::Receipt;
use crate::store::outbox::Outside;
use crate::store::turn::{Beside, DIALOG_CHANGED, Turn};

/// Conversations whose owner and bot are remembered, so that a message needs no look-up.
const REMEMBERED: usize = 16 * 1024;

/// The conversations of one installation.
pub struct Hub {
    pub(super) engine: Arc<Engine>,
    pub(super) files: Files,
    /// Of a conversation only what never changes is trusted; whether it is open and which dialog is in it is verified in
    /// the turn itself.
    remembered: Mutex<LruCache<String, Known>>,
    pub(super) expiry: Expiry,
    /// How long an answer is waited for.
    pub(super) patience: Patience,
}

#[derive(Clone)]
struct Known {
    conversation: Arc<Conversation>,
    dialog: Option<Arc<Dialog>>,
}

impl Hub {
    pub fn new(engine: Arc<Engine>, files: Files, patience: Patience) -> Arc<Self> {
        let remembered = Mutex::new(LruCache::new(REMEMBERED));
        Arc::new(Self { engine, files, remembered, expiry: Expiry::default(), patience })
    }

    pub fn clock(&self) -> &Clock {
        self.engine.clock()
    }

    /// The bots and commands there are right now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.engine.registry().snapshot()
    }

    pub fn store(&self) -> &Arc<Store> {
        self.engine.store()
    }

    /// Opens a conversation with a bot.
    pub async fn open(&self, principal: &Principal, bot: &str, channel: &str) -> Result<Conversation> {
        let snapshot = self.engine.registry().snapshot();
        let loaded = snapshot.bot(bot).ok_or_else(|| unknown_bot(bot))?;
        authorize(principal, Verb::View, Object::Bot(&loaded.bot))?;
        authorize(principal, Verb::Chat, Object::Bot(&loaded.bot))?;
        let conversation = Conversation {
            id: new_id(),
            bot: loaded.bot.name.clone(),
            owner: principal.id.clone(),
            channel: channel.to_owned(),
            status: ConversationStatus::Active,
            created_at: self.engine.clock().now(),
            closed_at: None,
        };
        let announcement =
            session_update(Stream::user(&principal.id), &conversation, "active", conversation.created_at)?;
        self.store().open_conversation(conversation.clone(), announcement).await?;
        Ok(conversation)
    }

    /// The conversation, when the caller may do that to it.
    pub async fn conversation(&self, principal: &Principal, id: &str, verb: Verb) -> Result<Conversation> {
        let conversation = self.store().conversation_or_404(id).await?;
        authorize(principal, verb, Object::Conversation(&conversation))?;
        Ok(conversation)
    }

    /// The conversation to do something in, when the caller may, and its dialog as far as it is known.
    async fn speaking(&self, principal: &Principal, id: &str) -> Result<(Arc<Conversation>, Option<Arc<Dialog>>)> {
        let known = self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        let known = match known {
            Some(known) => known,
            None => {
                let conversation = Arc::new(self.store().conversation_or_404(id).await?);
                // Mostly none is open; the turn finds out.
                let known = Known { conversation, dialog: None };
                let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
                remembered.insert(id.to_owned(), known.clone());
                known
            }
        };
        authorize(principal, Verb::Chat, Object::Conversation(&known.conversation))?;
        Ok((known.conversation, known.dialog))
    }

    /// The conversation that somebody has at a place outside, opened when there is none. `bot` is the one it is with,
    /// or [`HOUSE_BOT`].
    pub async fn open_at(&self, principal: &Principal, bot: &str, place: &Place) -> Result<String> {
        if let Some(open) = self.store().conversation_at(place, &principal.id).await? {
            return Ok(open);
        }
        if bot != HOUSE_BOT {
            let snapshot = self.engine.registry().snapshot();
            let loaded = snapshot.bot(bot).ok_or_else(|| unknown_bot(bot))?;
            authorize(principal, Verb::View, Object::Bot(&loaded.bot))?;
            authorize(principal, Verb::Chat, Object::Bot(&loaded.bot))?;
        }
        let conversation = Conversation {
            id: new_id(),
            bot: bot.to_owned(),
            owner: principal.id.clone(),
            channel: place.platform.clone(),
            status: ConversationStatus::Active,
            created_at: self.engine.clock().now(),
            closed_at: None,
        };
        let at = conversation.created_at;
        let announcement = session_update(Stream::user(&principal.id), &conversation, "active", at)?;
        self.store().open_conversation_at(conversation, announcement, place).await
    }

    /// Closes a conversation and ends the dialog in it; closing a closed one changes nothing.
    pub async fn close(&self, principal: &Principal, id: &str) -> Result<()> {
        let conversation = self.conversation(principal, id, Verb::Manage).await?;
        let now = self.engine.clock().now();
        let mut tries = 0;
        loop {
            let dialog = self.store().open_dialog(id).await?.map(Arc::new);
            let mut announcements = vec![
                session_update(Stream::conversation(id), &conversation, "closed", now)?,
                session_update(Stream::user(&conversation.owner), &conversation, "closed", now)?,
            ];
            let mut beside = Beside::default();
            if let Some(dialog) = &dialog {
                announcements.push(self.dismiss(dialog, &mut beside, Ending::Closed, now)?);
            }
            let token = dialog.map(|dialog| dialog.token.clone());
            let closing = Closing { id: id.to_owned(), at: now, dialog: token, beside, announcements };
            tries += 1;
            match self.store().close_conversation(closing).await {
                Err(error) if error.code == DIALOG_CHANGED && tries < TRIES => {}
                outcome => return outcome.map(|_| ()),
            }
        }
    }

    /// Does something in a conversation: plans it with the dialog as it is known, and again when that was out of date.
    pub(super) async fn act(
        &self,
        principal: &Principal,
        id: &str,
        act: Act<'_>,
        via: Option<&Via>,
    ) -> Result<Receipt> {
        let (conversation, mut dialog) = self.speaking(principal, id).await?;
        let snapshot = self.engine.registry().snapshot();
        if let Some(loaded) = snapshot.bot(&conversation.bot) {
            // Asked every time: a right may have been taken away since the conversation was opened.
            authorize(principal, Verb::Chat, Object::Bot(&loaded.bot))?;
        }
        let mut tries = 0;
        loop {
            let at = self.engine.clock().now();
            if let Some(over) = dialog.as_ref().filter(|dialog| dialog.expires_at <= at) {
                Box::pin(self.expire(over)).await?;
                dialog = self.read_dialog(id).await?;
            }
            let dialog_now = dialog.as_ref();
            let scene =
                Scene { principal, conversation: &conversation, dialog: dialog_now, snapshot: &snapshot, at, via };
            let outcome = match act {
                Act::Say(said) => self.hear(&scene, said).await,
                Act::Command(order) => Box::pin(self.obey(&scene, order)).await,
                Act::Take(choice) => Box::pin(self.choose(&scene, choice)).await,
            };
            tries += 1;
            match outcome {
                Err(error) if error.code == DIALOG_CHANGED && tries < TRIES => dialog = self.read_dialog(id).await?,
                outcome => return outcome,
            }
        }
    }

    pub(super) async fn read_dialog(&self, id: &str) -> Result<Option<Arc<Dialog>>> {
        let dialog = self.store().open_dialog(id).await?.map(Arc::new);
        self.remember_dialog(id, dialog.clone());
        Ok(dialog)
    }

    pub(super) fn remember_dialog(&self, id: &str, dialog: Option<Arc<Dialog>>) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = remembered.get_mut(id) {
            known.dialog = dialog;
        }
    }

    /// Commits a turn that may change the dialog, and remembers the dialog as it is then.
    pub(super) async fn commit(&self, turn: Turn) -> Result<Receipt> {
        let becomes = turn.beside.as_ref().and_then(|beside| beside.dialog.clone());
        let conversation = turn.conversation.clone();
        let receipt = self.store().commit_turn(turn).await?;
        // Of a duplicate nothing was written.
        if let Some(becomes) = becomes.filter(|_| !receipt.duplicate) {
            self.remember_dialog(
                &conversation,
                match becomes {
                    Becomes::Open(dialog) => {
                        self.expiry.note(dialog.due_at());
                        Some(Arc::new(dialog))
                    }
                    Becomes::Closed => None,
                },
            );
        }
        Ok(receipt)
    }
}

/// How often something is planned again because the dialog was another one.
pub(super) const TRIES: u32 = 5;

/// What somebody does in a conversation.
#[derive(Clone, Copy)]
pub(super) enum Act<'a> {
    Say(&'a Said),
    Command(&'a Order),
    Take(&'a Choice),
}

/// Where and when something is done, and how it was found.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) principal: &'a Principal,
    pub(super) conversation: &'a Conversation,
    /// The open dialog as far as it is known; the turn finds out whether it is.
    pub(super) dialog: Option<&'a Arc<Dialog>>,
    pub(super) snapshot: &'a Snapshot,
    pub(super) at: Millis,
    /// Whence it is done, when that is outside.
    pub(super) via: Option<&'a Via>,
}

impl Scene<'_> {
    /// A turn in which something was said and nothing has followed yet.
    pub(super) fn turn(&self, said: NewEvent, body_hash: String) -> Turn {
        Turn {
            conversation: self.conversation.id.clone(),
            owner: self.conversation.owner.clone(),
            said: Some(said),
            body_hash,
            files: Vec::new(),
            at: self.at,
            dialog: self.dialog.map(|dialog| dialog.token.clone()),
            execution: None,
            follows: Vec::new(),
            outside: outside(self.conversation, self.via),
            beside: None,
        }
    }

    /// Whence a command comes that is said here.
    pub(super) fn source(&self, raw_message: &str) -> Source {
        let conversation = self.conversation;
        let mut source = Source {
            record: Record::Said {
                channel: conversation.channel.clone(),
                conversation: conversation.id.clone(),
                raw_message: raw_message.to_owned(),
            },
            conversation: Some(conversation.id.clone()),
            channel: conversation.channel.clone(),
            ..Source::default()
        };
        if let Some(via) = self.via {
            via.describe(&mut source);
        }
        source
    }
}

/// Of a conversation that is also held outside: that, and where its turn comes from.
pub(super) fn outside(conversation: &Conversation, via: Option<&Via>) -> Option<Box<Outside>> {
    Outside::of(&conversation.channel, via.map(Via::said_at))
}
