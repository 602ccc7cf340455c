//! What came from Discord: what of it is kept, and what Discord is told at once.
//!
//! Discord waits three seconds for the answer to an interaction. What has to be done goes through the inbox; what only
//! needs another question, such as a form, is answered here.

use std::time::Duration;

use serde_json::{Value, json};

use super::commands::GENERIC;
use super::{Discord, PLATFORM, read};
use crate::chat::outside::{Deed, Inbound, Outside, Received};
use crate::model::Result;
use crate::model::action::{Action, FormState};
use crate::model::error::Error;
use crate::model::id::new_id;
use crate::model::message::{Message, Post, Tone, escape_markdown};
use crate::render::discord::{Control, control, day_modal, modal, question};
use crate::render::{self, plain_line};
use crate::store::inbox::NewArrival;

/// How long a form that was sent waits for what becomes of it; Discord gives up after three seconds.
const FORM_PATIENCE: Duration = Duration::from_millis(2000);
/// Choices of one answer to what is being typed.
const MOST_CHOICES: usize = 25;
const CHOICE: usize = 100;

/// Only whoever caused an interaction sees the answer.
const EPHEMERAL: u64 = 1 << 6;

impl Discord {
    /// Takes an event of the gateway; answers whether something was kept.
    pub(super) async fn event(&self, outside: &Outside, kind: &str, body: &Value, own: &str) -> Result<bool> {
        match kind {
            "GUILD_CREATE" => {
                for thread in body["threads"].as_array().into_iter().flatten() {
                    self.note_thread(thread);
                }
                Ok(false)
            }
            "THREAD_CREATE" | "THREAD_UPDATE" => {
                self.note_thread(body);
                Ok(false)
            }
            "MESSAGE_CREATE" => {
                // Only messages in threads have a position.
                let in_thread = body.get("position").is_some() || self.is_thread(&body["channel_id"]);
                self.keep(outside, json!({ "kind": "message", "body": body, "own": own, "in_thread": in_thread })).await
            }
            "MESSAGE_UPDATE" => self.keep(outside, json!({ "kind": "edit", "body": body, "own": own })).await,
            "MESSAGE_DELETE" => {
                let mut body = body.clone();
                let Some(author) = self.author_of(&body["id"]) else { return Ok(false) };
                body["author"] = author;
                self.keep(outside, json!({ "kind": "delete", "body": body, "own": own })).await
            }
            "INTERACTION_CREATE" => {
                let told = self.interaction(outside, body.clone()).await?;
                let text = |name: &str| body[name].as_str().unwrap_or_default();
                let path = format!("/interactions/{}/{}/callback", text("id"), text("token"));
                if let Err(error) = self.rest.post(&path, &told).await {
                    tracing::warn!(%error, "Discord did not take the answer to an interaction");
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Keeps what is ours; answers whether it was.
    async fn keep(&self, outside: &Outside, payload: Value) -> Result<bool> {
        let Some((inbound, arrival)) = self.arrival(outside, payload).await? else { return Ok(false) };
        if let Some(id) = &inbound.via.reference {
            self.note_author(id, &inbound.via.account);
        }
        outside.receive(arrival).await?;
        Ok(true)
    }

    /// What is to be kept of a payload; none when it is nothing for us.
    async fn arrival(&self, outside: &Outside, payload: Value) -> Result<Option<(Inbound, NewArrival)>> {
        let Some(inbound) = read::read(&payload, &self.settings) else { return Ok(None) };
        let place = &inbound.via.place;
        let is_ours = match (&inbound.deed, &inbound.via.reference) {
            (Deed::Say { addressed: false, .. }, _) => outside.store().is_held_at(place).await?,
            (Deed::Edit { .. } | Deed::Unsay, Some(id)) => outside.store().referred(place, id).await?.is_some(),
            (Deed::Edit { .. } | Deed::Unsay, None) => false,
            _ => true,
        };
        if !is_ours {
            return Ok(None);
        }
        let body = &payload["body"];
        let id = body["id"].as_str().unwrap_or_default();
        let event_id = match payload["kind"].as_str() {
            Some("edit") => format!("edit/{id}/{}", body["edited_timestamp"].as_str().unwrap_or_default()),
            Some(kind) => format!("{kind}/{id}"),
            None => return Ok(None),
        };
        let arrival = NewArrival {
            id: new_id(),
            adapter: PLATFORM,
            event_id,
            message: None,
            lane: format!("{place}/{}", inbound.via.account.id),
            payload: payload.to_string(),
            at: outside.clock().now(),
        };
        Ok(Some((inbound, arrival)))
    }

    /// Takes an interaction and answers what Discord is to be told. When this has returned, it is kept.
    pub async fn interaction(&self, outside: &Outside, body: Value) -> Result<Value> {
        match body["type"].as_i64() {
            // Discord asks whether anybody is there.
            Some(1) => Ok(json!({ "type": 1 })),
            Some(4) => self.complete(outside, &body).await,
            Some(3) => self.pressed(outside, body).await,
            Some(2) | Some(5) => self.take(outside, body).await,
            _ => Err(Error::invalid("this interaction is of no known type")),
        }
    }

    /// Something pressed or chosen: what needs another step gets it, the rest is taken.
    async fn pressed(&self, outside: &Outside, body: Value) -> Result<Value> {
        let custom_id = body.pointer("/data/custom_id").and_then(Value::as_str).unwrap_or_default();
        let (id, needs) = match control(custom_id) {
            None => return Err(Error::invalid("the control has no id of ours")),
            Some(Control::Dismiss) => {
                return Ok(json!({ "type": 7, "data": { "content": "Cancelled.", "components": [] } }));
            }
            Some(Control::Take(id)) => (id, None),
            Some(Control::Ask(id)) => (id, Some(question as fn(&Action) -> Option<Value>)),
            Some(Control::Day(id)) => (id, Some(day_modal as fn(&Action) -> Option<Value>)),
        };
        let Some(post) = self.offering(outside, id).await? else {
            return Ok(whisper(&crate::store::action::unknown()));
        };
        if let Some(needs) = needs {
            let action = post.actions.iter().find(|action| action.id() == Some(id));
            let open = action.filter(|action| action.life().is_none_or(|life| life.used.is_none()));
            let Some(asked) = open.and_then(needs) else { return Ok(whisper(&crate::store::action::used())) };
            // A modal has a title, a question does not.
            if asked.get("title").is_some() {
                return Ok(json!({ "type": 9, "data": asked }));
            }
            let mut asked = asked;
            asked["flags"] = json!(EPHEMERAL);
            return Ok(json!({ "type": 4, "data": asked }));
        }
        if let Some(form) = post.form.as_ref().filter(|form| form.id == id) {
            if form.state != FormState::Open {
                return Ok(whisper(&crate::store::action::used()));
            }
            let title = post.title.as_deref().unwrap_or(&form.submit);
            let message = "this form has more fields than Discord can show; answer the questions here";
            return Ok(match modal(form, title) {
                Some(modal) => json!({ "type": 9, "data": modal }),
                None => whisper(&Error::invalid(message)),
            });
        }
        self.take(outside, body).await
    }

    /// The message that offers an action.
    async fn offering(&self, outside: &Outside, action: &str) -> Result<Option<Post>> {
        let Some((conversation, message)) = outside.store().place_of_action(action).await? else { return Ok(None) };
        Ok(outside.store().message(&conversation, &message).await?.map(|(_, post)| post))
    }

    /// Keeps an interaction and says that it arrived.
    async fn take(&self, outside: &Outside, body: Value) -> Result<Value> {
        let payload = json!({ "kind": "interaction", "body": body });
        let Some((inbound, arrival)) = self.arrival(outside, payload).await? else {
            return Err(Error::invalid("the interaction lacks what it is about"));
        };
        let body = &body;
        let is_command = body["type"] == 2;
        if let Some(token) = body["token"].as_str() {
            self.note_asked(&inbound.via, token, is_command);
        }
        if is_command {
            outside.receive(arrival).await?;
            return Ok(json!({ "type": 5 }));
        }
        // A question that only its reader sees is done with.
        let is_question = body.pointer("/message/flags").and_then(Value::as_u64).unwrap_or(0) & EPHEMERAL != 0;
        let done = if is_question {
            json!({ "type": 7, "data": { "content": "✓", "components": [] } })
        } else {
            json!({ "type": 6 })
        };
        if body["type"] != 5 {
            outside.receive(arrival).await?;
            return Ok(done);
        }
        Ok(match outside.receive_and_wait(arrival, FORM_PATIENCE).await? {
            Received::Acted(Err(error)) => whisper(&error),
            Received::Acted(Ok(())) | Received::Known | Received::Kept => done,
        })
    }

    /// Completes what is being typed in a slash command.
    async fn complete(&self, outside: &Outside, body: &Value) -> Result<Value> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let data = &body["data"];
        let (bot, sub) = (text(&data["name"]), &data["options"][0]);
        let focused =
            sub["options"].as_array().and_then(|options| options.iter().find(|option| option["focused"] == true));
        let (Some(focused), Some(account)) = (focused, read::account(body, &self.settings)) else {
            return Ok(json!({ "type": 8, "data": { "choices": [] } }));
        };
        let typed = text(&focused["value"]);
        let values: Vec<String> = if sub["name"] == GENERIC {
            let completions = outside.complete(&account, &bot, &typed, MOST_CHOICES).await?;
            completions.into_iter().map(|completion| completion.insert).collect()
        } else {
            let snapshot = outside.hub().snapshot();
            let command = snapshot.bot(&bot).and_then(|loaded| loaded.command(&text(&sub["name"])));
            let parameter = command.as_ref().and_then(|command| command.parameter(&text(&focused["name"])));
            match parameter.map(|parameter| &parameter.kind) {
                Some(crate::model::parameter::ParameterType::Choice { choices }) => {
                    let folded = typed.to_lowercase();
                    choices.iter().filter(|choice| choice.to_lowercase().contains(&folded)).cloned().collect()
                }
                _ => Vec::new(),
            }
        };
        let fits = |value: &&String| (1..=CHOICE).contains(&value.trim_end().chars().count());
        let choice = |value: &String| json!({ "name": plain_line(value, CHOICE), "value": value.trim_end() });
        let choices: Vec<Value> = values.iter().filter(fits).take(MOST_CHOICES).map(choice).collect();
        Ok(json!({ "type": 8, "data": { "choices": choices } }))
    }
}

/// An error for the eyes of whoever caused it, with the faults at the fields of a form.
fn whisper(error: &Error) -> Value {
    let mut text = escape_markdown(&error.message);
    for fault in error.details.get("errors").and_then(Value::as_array).into_iter().flatten() {
        if let Some(message) = fault["message"].as_str().filter(|message| *message != error.message) {
            text.push_str(&format!("\n- {}", escape_markdown(message)));
        }
    }
    let message = Message::text(text).tone(Tone::Warning);
    let mut data = render::discord::message(&message, &render::Place::default()).messages.swap_remove(0);
    data["flags"] = json!(EPHEMERAL);
    json!({ "type": 4, "data": data })
}
