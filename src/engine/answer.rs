//! What a bot says on its way into a conversation, and what it offers there.

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::model::action::Action;
use crate::model::command::Command;
use crate::model::conversation::{Conversation, Millis};
use crate::model::event::{NewEvent, Stream};
use crate::model::id::{action_id, new_id, sha256_hex};
use crate::model::message::{Key, Message, Part, Post, Sender, SenderKind, Tone, escape_markdown};
use crate::model::offer::{Deed, Offer};
use crate::model::parameter::{Parameter, ParameterType};
use crate::model::{Error, Result};
use crate::store::action::Registered;
use crate::store::message_key::Named;
use crate::store::turn::Turn;

/// The bot that answers.
#[derive(Clone, Copy)]
pub struct Speaker<'a> {
    pub id: &'a str,
    pub name: &'a str,
}

impl Speaker<'_> {
    pub fn sender(self) -> Sender {
        Sender { kind: SenderKind::Bot, id: self.id.to_owned(), name: self.name.to_owned() }
    }
}

/// A message on its way into a conversation.
pub struct Answer<'a> {
    pub conversation: &'a str,
    /// Event id of what it answers.
    pub reply_to: Option<&'a str>,
    pub message: Message,
}

impl Answer<'_> {
    /// The event that carries it, with the id of its message. `run` is the execution that said it and the command's
    /// name. What it offers is left out: only a turn can keep that.
    pub fn event_of(self, id: String, bot: Speaker<'_>, run: Option<(&str, &str)>, at: Millis) -> Result<NewEvent> {
        let message = self.message;
        let post = Post {
            session_id: self.conversation.to_owned(),
            message_id: id.clone(),
            client_id: None,
            sender: bot.sender(),
            content: message.text,
            format: "markdown".to_owned(),
            reply_to: self.reply_to.map(str::to_owned),
            invocation_id: run.map(|(id, _)| id.to_owned()),
            command: run.map(|(_, command)| command.to_owned()),
            title: message.title,
            tone: message.tone,
            parts: message.parts,
            suggestions: message.suggestions,
            actions: message.actions,
            form: message.form,
            files: message.files,
            ephemeral: message.ephemeral,
            ts: rfc3339(at),
            edited_at: None,
            edits: Vec::new(),
            deleted_at: None,
        };
        Ok(NewEvent {
            stream: Stream::conversation(self.conversation),
            id,
            kind: "message",
            principal: None,
            client_id: None,
            payload: raw(&post)?,
            created_at: at,
        })
    }
}

/// Adds a message to a turn, as the answer to what was said in it, and keeps what it offers to the principal `to`.
/// Answers its id.
pub fn answer(
    turn: &mut Turn,
    message: Message,
    speaker: (Speaker<'_>, &str),
    run: Option<(&str, &str)>,
    at: Millis,
) -> Result<String> {
    let reply_to = turn.answered().map(str::to_owned);
    answer_to(turn, message, speaker, run, reply_to.as_deref(), at)
}

/// The same as the answer to an earlier event.
pub fn answer_to(
    turn: &mut Turn,
    mut message: Message,
    (bot, to): (Speaker<'_>, &str),
    run: Option<(&str, &str)>,
    reply_to: Option<&str>,
    at: Millis,
) -> Result<String> {
    let id = new_id();
    if let Some(key) = message.key.take() {
        let named = named(id.clone(), bot.id, key, &message)?;
        turn.beside().named.push(named);
    }
    let offers = std::mem::take(&mut message.offers);
    if !offers.is_empty() {
        let (actions, registered) = register(offers, &turn.conversation, &id, (bot.id, to), at)?;
        message.actions.extend(actions);
        turn.beside().actions.extend(registered);
    }
    let event = Answer { conversation: &turn.conversation, reply_to, message }.event_of(id.clone(), bot, run, at)?;
    turn.follows.push(event);
    Ok(id)
}

/// The name of a message that `event` carries. To be made before what it offers gets its ids, which are others each time.
pub fn named(event: String, speaker: &str, key: Key, message: &Message) -> Result<Named> {
    let content = serde_json::to_vec(message).map_err(|error| Error::internal("write an event", error))?;
    Ok(Named { event, speaker: speaker.to_owned(), key, digest: sha256_hex(&content) })
}

/// Gives what a message offers its ids: the actions that readers see, and what the house keeps of them.
pub fn register(
    offers: Vec<Offer>,
    conversation: &str,
    message: &str,
    (bot, to): (&str, &str),
    at: Millis,
) -> Result<(Vec<Action>, Vec<Registered>)> {
    let (mut actions, mut registered) = (Vec::with_capacity(offers.len()), Vec::new());
    for Offer { mut action, deed, single_use, ttl } in offers {
        if let Some(mut deed) = deed {
            if let Deed::Run { bot: of, .. } | Deed::Form { bot: of, .. } = &mut deed {
                of.get_or_insert_with(|| bot.to_owned());
            }
            let id = action_id().map_err(|error| Error::internal("make an id", error))?;
            let expires_at = ttl.map(|ttl| at + ttl);
            action.set_id(id.clone());
            if let Some(life) = action.life_mut() {
                life.expires_at = expires_at.map(rfc3339);
            }
            registered.push(Registered {
                id,
                conversation: conversation.to_owned(),
                message: message.to_owned(),
                principal: to.to_owned(),
                look: action.clone(),
                deed,
                single_use,
                expires_at,
                used_at: None,
            });
        }
        actions.push(action);
    }
    Ok((actions, registered))
}

/// That a conversation was opened or closed.
pub fn session_update(stream: Stream, conversation: &Conversation, status: &str, at: Millis) -> Result<NewEvent> {
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

/// Serialises the payload of an event.
pub fn raw<T: serde::Serialize>(value: &T) -> Result<Box<RawValue>> {
    to_raw_value(value).map_err(|error| Error::internal("write an event", error))
}

/// What a conversation reads about a request that was refused: what is missing, what is wrong, and how to say it right.
pub(super) fn explain(error: &Error, command: Option<&Command>) -> Message {
    let faults: Vec<&Value> = error.details.get("errors").and_then(Value::as_array).into_iter().flatten().collect();
    let Some(command) = command.filter(|_| !faults.is_empty()) else {
        return Message::text(escape_markdown(&error.message)).tone(Tone::Warning);
    };
    let name = escape_markdown(&command.name);
    let lines: Vec<String> = faults.iter().map(|fault| explain_fault(fault, command)).collect();
    let example = command.examples.iter().map(|example| example.say.clone()).take(1).collect();
    let message = match lines.as_slice() {
        [one] => Message::text(format!("**{name}** cannot run yet: {one}.")),
        _ => Message::text(format!("**{name}** cannot run yet:")).part(Part::List { items: lines }),
    };
    message.tone(Tone::Warning).suggest(example)
}

/// One fault in the words of a conversation. Programs get the words of the automation API.
fn explain_fault(fault: &Value, command: &Command) -> String {
    let text = |key: &str| fault[key].as_str().unwrap_or_default();
    let name = text("field").split_once('.').map_or(text("field"), |(_, name)| name);
    let code = format!("`{}`", name.replace('`', "'"));
    let parameter = command.parameter(name);
    match (text("code"), parameter) {
        ("required", Some(parameter)) => {
            let about = parameter.prompt.as_deref().unwrap_or(&parameter.description);
            let about = if about.is_empty() { String::new() } else { format!(" ({})", escape_markdown(about)) };
            format!("{code} is missing{about}")
        }
        ("unknown", _) => format!("it takes no {code}"),
        ("choice", Some(Parameter { kind: ParameterType::Choice { choices }, .. })) => {
            format!("{code} is one of {}", escape_markdown(&choices.join(", ")))
        }
        _ => escape_markdown(text("message")),
    }
}
