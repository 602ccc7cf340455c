//! What is said in words: an answer to the open dialog, a command, or something to help with.

use std::borrow::Cow;

use serde_json::json;

use super::Hub;
use super::asking;
use super::command::readable;
use super::dialog::{Next, Stage, is_reserved};
use super::hub::{Act, Scene};
use super::meaning::{self, Meaning};
use super::outside::Via;
use crate::clock::rfc3339;
use crate::engine::answer::{Speaker, answer, raw};
use crate::engine::invoke::Request;
use crate::model::command::Command;
use crate::model::conversation::Millis;
use crate::model::event::{NewEvent, Stream};
use crate::model::file::File;
use crate::model::id::{new_id, sha256_hex};
use crate::model::message::{Message, Post, Sender, SenderKind};
use crate::model::parameter::HIDDEN;
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::store::log::Receipt;
use crate::store::turn::Turn;

/// The longest message, in bytes.
const MAX_CONTENT: usize = 32 * 1024;

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

impl Said {
    /// Whether only files are sent.
    fn is_wordless(&self) -> bool {
        self.content.is_empty() && !self.attachments.is_empty()
    }

    /// What makes it the same message when it is said again.
    fn hash(&self) -> String {
        if self.attachments.is_empty() {
            return sha256_hex(self.content.as_bytes());
        }
        sha256_hex(json!([self.content, self.attachments]).to_string().as_bytes())
    }
}

impl Hub {
    /// Takes a message: stores it with the run it starts and the answer, and answers after the commit.
    pub async fn say(&self, principal: &Principal, said: Said) -> Result<Receipt> {
        self.say_via(principal, said, None).await
    }

    /// The same for what may come from outside.
    pub async fn say_via(&self, principal: &Principal, said: Said, via: Option<&Via>) -> Result<Receipt> {
        if !said.is_wordless() {
            check_content(&said.content)?;
        }
        self.act(principal, &said.conversation, Act::Say(&said), via).await
    }

    /// One try of [`Hub::say`].
    pub(super) async fn hear(&self, scene: &Scene<'_>, said: &Said) -> Result<Receipt> {
        let hash = said.hash();
        let files = match self.attached(scene.principal, said).await {
            Ok(files) => files,
            // Said again after it was taken back, with its files, it is still the same message.
            Err(error) => return self.recall(scene.principal, said, &hash).await?.ok_or(error),
        };
        let turn = |content: &str| -> Result<Turn> {
            let event = said_event(scene.principal, said, content, &files, scene.at)?;
            Ok(Turn { files: files.clone(), ..scene.turn(event, hash.clone()) })
        };
        if said.is_wordless() {
            return self.commit(turn("")?).await;
        }
        if let Some(dialog) = scene.dialog.filter(|dialog| dialog.principal == scene.principal.id) {
            let state = asking::state(dialog)?;
            let shown = if state.hides && !is_reserved(&said.content) { HIDDEN } else { &said.content };
            let Some(going) = self.going(scene, dialog, state) else {
                return Box::pin(self.abandon(scene, dialog, turn(shown)?)).await;
            };
            // In a conversation with forms a whole command is one, and the form waits.
            let is_command = going.state.stage != Stage::Questions
                && going.state.uses_forms()
                && meaning::is_whole(scene.snapshot, scene.principal, &scene.conversation.bot, &said.content);
            let next = if is_command { Next::Elsewhere } else { going.state.answer(&going.command, &said.content) };
            if next != Next::Elsewhere {
                let turn = turn(shown)?;
                // Boxed like all that is rare, so that the future of a plain message stays small.
                return Box::pin(self.go_on(scene, going, next, turn)).await;
            }
        }
        let source = scene.source(&said.content);
        match meaning::of(scene.snapshot, scene.principal, &scene.conversation.bot, &said.content, source) {
            Meaning::Say(message) => self.reply(scene, turn(&said.content)?, *message).await,
            Meaning::Run(request) => self.run(scene, *request, &said.content, turn).await,
        }
    }

    /// Runs the command that was said. `turn` makes the turn of it, with the text as it may be read again.
    async fn run(
        &self,
        scene: &Scene<'_>,
        mut request: Request,
        content: &str,
        turn: impl Fn(&str) -> Result<Turn>,
    ) -> Result<Receipt> {
        let name = (request.bot.clone().unwrap_or_default(), request.command.clone());
        let command = scene.snapshot.bot(&name.0).and_then(|bot| bot.command(&name.1));
        let content = match command.filter(|command| has_hidden_values(command, &request)) {
            // As it was typed it holds what nobody may read again.
            Some(command) => {
                let content = readable(&command, &scene.conversation.bot, &request.arguments);
                request.source = scene.source(&content);
                Cow::Owned(content)
            }
            None => Cow::Borrowed(content),
        };
        match self.start(scene, request, turn(&content)?).await {
            Err(error) if is_for_the_speaker(&error) => {
                let message = self.engine.explain(&error, &name.0, &name.1);
                // Made anew instead of kept aside for every message that is understood.
                self.reply(scene, turn(&content)?, message).await
            }
            outcome => outcome,
        }
    }

    async fn recall(&self, principal: &Principal, said: &Said, hash: &str) -> Result<Option<Receipt>> {
        let Some(client_id) = &said.client_id else { return Ok(None) };
        let stream = Stream::conversation(&said.conversation);
        self.store().recall(stream, &principal.id, client_id, hash).await
    }

    /// Commits what was said with an answer that no command gave.
    async fn reply(&self, scene: &Scene<'_>, mut turn: Turn, mut message: Message) -> Result<Receipt> {
        let bot = &scene.conversation.bot;
        if scene.via.is_some() {
            // Elsewhere nothing is said by choosing it.
            message = meaning::with_buttons(scene.snapshot, scene.principal, bot, message);
        }
        let name = scene.snapshot.bot(bot).map(|loaded| loaded.bot.display_name.clone());
        let bot = Speaker { id: bot, name: name.as_deref().unwrap_or(bot) };
        answer(&mut turn, message, (bot, &scene.principal.id), None, scene.at)?;
        self.commit(turn).await
    }
}

fn has_hidden_values(command: &Command, request: &Request) -> bool {
    let hides = |(name, _): &(String, String)| command.parameter(name).is_some_and(|parameter| parameter.hidden);
    command.has_hidden() && request.arguments.iter().any(hides)
}

/// Whether a refusal is an answer in the conversation rather than a failure of the door.
pub(super) fn is_for_the_speaker(error: &Error) -> bool {
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

/// The event of something said; `content` is how it may be read again.
pub(super) fn said_event(
    principal: &Principal,
    said: &Said,
    content: &str,
    files: &[File],
    at: Millis,
) -> Result<NewEvent> {
    let id = new_id();
    let post = Post {
        session_id: said.conversation.clone(),
        message_id: id.clone(),
        client_id: said.client_id.clone(),
        sender: Sender { kind: SenderKind::User, id: principal.id.clone(), name: principal.name.clone() },
        content: content.to_owned(),
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
        ephemeral: false,
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
