//! Opens conversations, takes what is said in them, closes them.

use std::sync::{Arc, Mutex, PoisonError};

use hashlink::LruCache;
use serde_json::json;

use super::files::Files;
use super::meaning::{self, Meaning};
use crate::clock::rfc3339;
use crate::engine::Engine;
use crate::engine::invoke::{Invoked, Place, Source};
use crate::engine::runner::{Answer, Speaker, raw};
use crate::identity::permission::{Object, Verb, authorize, unknown_bot};
use crate::model::conversation::{Conversation, ConversationStatus, Millis};
use crate::model::event::{NewEvent, Stream};
use crate::model::file::File;
use crate::model::id::{new_id, sha256_hex};
use crate::model::message::{Message, Post, Sender, SenderKind};
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::store::Store;
use crate::store::log::Receipt;
use crate::store::turn::Turn;

/// The longest message, in bytes.
const MAX_CONTENT: usize = 32 * 1024;

/// Conversations whose owner and bot are remembered, so that a message needs no look-up.
const REMEMBERED: usize = 16 * 1024;

/// The conversations of one installation.
pub struct Hub {
    pub(super) engine: Arc<Engine>,
    pub(super) files: Files,
    /// Only what never changes of a conversation is read from here; whether it is open is asked in the turn itself.
    remembered: Mutex<LruCache<String, Arc<Conversation>>>,
}

/// What somebody says.
#[derive(Debug)]
pub struct Said {
    pub conversation: String,
    pub content: String,
    /// The sender's own id for it: said again with the same id and content it is the same message.
    pub client_id: Option<String>,
    pub reply_to: Option<String>,
    /// Ids of files that go along; with them the content may be empty.
    pub attachments: Vec<String>,
}

impl Hub {
    pub fn new(engine: Arc<Engine>, files: Files) -> Arc<Self> {
        Arc::new(Self { engine, files, remembered: Mutex::new(LruCache::new(REMEMBERED)) })
    }

    pub(super) fn store(&self) -> &Arc<Store> {
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

    /// The conversation to say something in, when the caller may.
    async fn speaking(&self, principal: &Principal, id: &str) -> Result<Arc<Conversation>> {
        let known = self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        let conversation = match known {
            Some(known) => known,
            None => {
                let found = Arc::new(self.store().conversation_or_404(id).await?);
                let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
                remembered.insert(id.to_owned(), found.clone());
                found
            }
        };
        authorize(principal, Verb::Chat, Object::Conversation(&conversation))?;
        Ok(conversation)
    }

    /// Closes a conversation; closing a closed one changes nothing.
    pub async fn close(&self, principal: &Principal, id: &str) -> Result<()> {
        let conversation = self.conversation(principal, id, Verb::Manage).await?;
        let now = self.engine.clock().now();
        let announcements = vec![
            session_update(Stream::conversation(id), &conversation, "closed", now)?,
            session_update(Stream::user(&conversation.owner), &conversation, "closed", now)?,
        ];
        self.store().close_conversation(id, now, announcements).await?;
        Ok(())
    }

    /// Takes a message: stores it with the run it starts and the answer, and answers after the commit.
    pub async fn say(&self, principal: &Principal, said: Said) -> Result<Receipt> {
        let is_wordless = said.content.is_empty() && !said.attachments.is_empty();
        if !is_wordless {
            check_content(&said.content)?;
        }
        let conversation = self.speaking(principal, &said.conversation).await?;
        let snapshot = self.engine.registry().snapshot();
        if let Some(loaded) = snapshot.bot(&conversation.bot) {
            // Asked at every message: a right may have been taken away since the conversation was opened.
            authorize(principal, Verb::Chat, Object::Bot(&loaded.bot))?;
        }
        let now = self.engine.clock().now();
        let body_hash = body_hash(&said);
        let files = match self.attached(principal, &said).await {
            Ok(files) => files,
            // Said again after it was taken back, with its files, it is still the same message.
            Err(error) => return self.recall(principal, &said, &body_hash).await?.ok_or(error),
        };
        let turn = Turn {
            conversation: conversation.id.clone(),
            owner: conversation.owner.clone(),
            said: said_event(principal, &said, &files, now)?,
            body_hash,
            files,
            execution: None,
            follows: Vec::new(),
        };
        if is_wordless {
            return self.store().commit_turn(turn).await;
        }
        let source = Source {
            record: json!({
                "api_version": "1",
                "source": { "user_agent": conversation.channel, "conversation": conversation.id },
                "raw_message": said.content,
            }),
            conversation: Some(conversation.id.clone()),
            channel: conversation.channel.clone(),
            ..Source::default()
        };
        let answer = match meaning::of(&snapshot, principal, &conversation.bot, &said.content, source) {
            Meaning::Say(message) => *message,
            Meaning::Run(request) => {
                let place = Place::Conversation {
                    id: turn.conversation.clone(),
                    owner: turn.owner.clone(),
                    said: Box::new(turn.said.clone()),
                    body_hash: turn.body_hash.clone(),
                    files: turn.files.clone(),
                };
                let (bot, command) = (request.bot.clone().unwrap_or_default(), request.command.clone());
                match self.engine.invoke(principal, *request, place).await {
                    Ok(Invoked::Said(receipt)) => return Ok(receipt),
                    Ok(Invoked::Polled(_)) => return Err(Error::internal("answer", "a run answered another door")),
                    Err(error) if is_for_the_speaker(&error) => self.engine.explain(&error, &bot, &command),
                    Err(error) => return Err(error),
                }
            }
        };
        self.reply(&conversation, turn, answer, now).await
    }

    async fn recall(&self, principal: &Principal, said: &Said, body_hash: &str) -> Result<Option<Receipt>> {
        let Some(client_id) = &said.client_id else { return Ok(None) };
        let stream = Stream::conversation(&said.conversation);
        self.store().recall(stream, &principal.id, client_id, body_hash).await
    }

    /// Commits what was said with an answer that no command gave.
    async fn reply(&self, conversation: &Conversation, turn: Turn, message: Message, at: Millis) -> Result<Receipt> {
        let snapshot = self.engine.registry().snapshot();
        let name = snapshot.bot(&conversation.bot).map(|loaded| loaded.bot.display_name.clone());
        let bot = Speaker { id: &conversation.bot, name: name.as_deref().unwrap_or(&conversation.bot) };
        let answer =
            Answer { conversation: &conversation.id, reply_to: &turn.said.id, message }.event(bot, None, at)?;
        self.store().commit_turn(Turn { follows: vec![answer], ..turn }).await
    }
}

/// Whether a refusal is an answer in the conversation rather than a failure of the door.
fn is_for_the_speaker(error: &Error) -> bool {
    matches!(error.kind, Kind::Invalid | Kind::Forbidden | Kind::NotFound)
        || (error.kind == Kind::Conflict && error.code == "AMBIGUOUS_COMMAND")
}

pub(super) fn check_content(content: &str) -> Result<()> {
    if content.trim().is_empty() {
        return Err(Error::invalid("a message needs some content").details(json!({ "field": "content" })));
    }
    if content.len() > MAX_CONTENT {
        let message = format!("a message has at most {MAX_CONTENT} bytes, this one has {}", content.len());
        return Err(Error::new(Kind::TooLarge, "MESSAGE_TOO_LARGE", message).details(json!({ "field": "content" })));
    }
    Ok(())
}

/// What makes a message the same one when it is said again.
fn body_hash(said: &Said) -> String {
    if said.attachments.is_empty() {
        return sha256_hex(said.content.as_bytes());
    }
    sha256_hex(json!([said.content, said.attachments]).to_string().as_bytes())
}

fn said_event(principal: &Principal, said: &Said, files: &[File], at: Millis) -> Result<NewEvent> {
    let id = new_id();
    let post = Post {
        session_id: said.conversation.clone(),
        message_id: id.clone(),
        client_id: said.client_id.clone(),
        sender: Sender { kind: SenderKind::User, id: principal.id.clone(), name: principal.name.clone() },
        content: said.content.clone(),
        format: "text".to_owned(),
        reply_to: said.reply_to.clone(),
        invocation_id: None,
        command: None,
        title: None,
        tone: None,
        parts: Vec::new(),
        suggestions: Vec::new(),
        actions: Vec::new(),
        form: None,
        files: files.to_vec(),
        ts: rfc3339(at),
        edited_at: None,
        edits: Vec::new(),
        deleted_at: None,
    };
    Ok(NewEvent {
        stream: Stream::conversation(&said.conversation),
        id,
        kind: "message",
        principal: Some(principal.id.clone()),
        client_id: said.client_id.clone(),
        payload: raw(&post)?,
        created_at: at,
    })
}

fn session_update(stream: Stream, conversation: &Conversation, status: &str, at: Millis) -> Result<NewEvent> {
    let payload = json!({
        "session_id": conversation.id,
        "data": { "status": status, "bot_id": conversation.bot },
    });
    Ok(NewEvent {
        stream,
        id: new_id(),
        kind: "session_update",
        principal: None,
        client_id: None,
        payload: raw(&payload)?,
        created_at: at,
    })
}
