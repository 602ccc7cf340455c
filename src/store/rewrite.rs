//! A bot's earlier message as it is from now on: its own event is rewritten, and an update tells the readers.

use std::collections::BTreeMap;

use serde_json::json;

use super::query::query;
use super::transaction::{Transaction, failed};
use crate::clock::rfc3339;
use crate::model::action::{Action, FormState, Used};
use crate::model::conversation::Millis;
use crate::model::event::{NewEvent, Stream};
use crate::model::message::{Message, Post};
use crate::model::{Error, Result};

/// What becomes of a message of a bot.
#[derive(Clone, Debug)]
pub struct Rewrite {
    pub message: String,
    /// Id of the event that tells of it.
    pub event_id: String,
    pub revision: Revision,
}

#[derive(Clone, Debug)]
pub enum Revision {
    /// It says this instead, as if it had been said so; who and when stay.
    Message(Box<Message>),
    /// Its form stands like this, with these values in its fields.
    Form { state: FormState, values: BTreeMap<String, String> },
    /// What it asked for is over: with this text instead of its own, if any, and with these actions.
    Over { text: Option<String>, form: FormState, actions: Vec<Action> },
    /// These of its actions are used up because one of them was taken.
    Used { taken: String, ids: Vec<String>, by: String },
}

impl Revision {
    fn apply(&self, post: &mut Post, at: Millis) {
        match self {
            Self::Message(message) => {
                let message = Message::clone(message);
                post.content = message.text;
                post.title = message.title;
                post.tone = message.tone;
                post.parts = message.parts;
                post.suggestions = message.suggestions;
                post.actions = message.actions;
                post.form = message.form;
                post.files = message.files;
            }
            Self::Form { state, values } => {
                let Some(form) = &mut post.form else { return };
                form.state = *state;
                for field in form.fields.iter_mut().filter(|field| !field.hidden) {
                    let value = values.get(&field.name).cloned();
                    // What is still wrong stays for whoever goes on with it.
                    if value.is_some() || field.error.is_none() || *state != FormState::Open {
                        field.value = value;
                    }
                    field.error = field.error.take().filter(|_| !values.contains_key(&field.name));
                }
            }
            Self::Over { text, form, actions } => {
                post.suggestions.clear();
                post.actions.clone_from(actions);
                if let Some(asked) = &mut post.form {
                    asked.state = *form;
                }
                if let Some(text) = text {
                    post.content.clone_from(text);
                    post.parts.clear();
                }
            }
            Self::Used { taken, ids, by } => {
                for action in &mut post.actions {
                    let Some(id) = action.id().map(str::to_owned).filter(|id| ids.contains(id)) else { continue };
                    let used = Used { by: by.clone(), at: rfc3339(at), chosen: id == *taken };
                    if let Some(life) = action.life_mut() {
                        life.used = Some(used);
                    }
                }
            }
        }
    }
}

impl Transaction<'_> {
    /// Rewrites messages of the stream and answers the events that tell of it, one for each message. A message that is
    /// not there, or not a bot's any more to change, is passed over.
    pub(super) async fn rewrite(&mut self, stream: &Stream, rewrites: &[Rewrite], at: Millis) -> Result<Vec<NewEvent>> {
        let mut changed: Vec<(i64, &str, Post)> = Vec::new();
        for rewrite in rewrites {
            if !changed.iter().any(|(_, _, post)| post.message_id == rewrite.message) {
                let Some((seq, post)) = self.message_of(stream, &rewrite.message).await? else { continue };
                changed.push((seq, &rewrite.event_id, post));
            }
            if let Some((_, _, post)) = changed.iter_mut().find(|(_, _, post)| post.message_id == rewrite.message) {
                rewrite.revision.apply(post, at);
            }
        }
        let mut events = Vec::with_capacity(changed.len());
        for (seq, event_id, post) in changed {
            let text = serde_json::to_string(&post).map_err(|error| Error::internal("write a message", error))?;
            let update = query("UPDATE events SET payload = $3 WHERE stream = $1 AND seq = $2");
            self.write(update.bind(stream.as_str()).bind(seq).bind(text)).await?;
            let payload = json!({
                "session_id": post.session_id, "message_id": post.message_id, "sender": post.sender,
                "content": post.content, "edited_at": rfc3339(at), "post": post,
            });
            let payload = serde_json::value::to_raw_value(&payload);
            events.push(NewEvent {
                stream: stream.clone(),
                id: event_id.to_owned(),
                kind: "message_update",
                principal: None,
                client_id: None,
                payload: payload.map_err(|error| Error::internal("write an event", error))?,
                created_at: at,
            });
        }
        Ok(events)
    }

    /// A message that was not taken back, with its place. Read backwards: what is changed was mostly said just now.
    async fn message_of(&mut self, stream: &Stream, message: &str) -> Result<Option<(i64, Post)>> {
        let find = query(
            "SELECT seq, payload FROM events WHERE stream = $1 AND id = $2 AND kind = 'message' ORDER BY seq DESC LIMIT 1",
        );
        let Some(row) = self.optional(find.bind(stream.as_str()).bind(message)).await? else { return Ok(None) };
        let post: Post = serde_json::from_str(&row.get::<String>(1).map_err(failed)?)
            .map_err(|error| Error::internal("read a message", error))?;
        Ok(if post.deleted_at.is_none() { Some((row.get(0).map_err(failed)?, post)) } else { None })
    }
}
