//! What leaves for Slack: posted, updated where it stands, taken back.
//!
//! A message may become several of Slack's; it is known by all their `ts`, separated by commas. The first block of each
//! carries the id of its delivery, so that one that may have arrived can be looked for before it is said again.

use serde_json::{Value, json};

use super::Slack;
use super::web_api::CallError;
use crate::model::message::{Message, Post, SenderKind, escape_markdown};
use crate::model::place::{Account, Place};
use crate::outbox::{Content, Delivered, Parcel, Refusal};
use crate::render;

/// How many messages are looked through for one that may have arrived.
const LOOKED_THROUGH: u32 = 100;

/// Codes after which trying again may help: somebody can mend them.
const MENDABLE: [&str; 8] = [
    "invalid_auth",
    "not_authed",
    "account_inactive",
    "token_revoked",
    "token_expired",
    "missing_scope",
    "team_access_not_granted",
    "accesslimited",
];

/// Codes after which something said to one person in a channel is said to them directly.
const NOT_THERE: [&str; 5] =
    ["user_not_in_channel", "not_in_channel", "channel_not_found", "is_archived", "user_not_in_team"];

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        let why = error.to_string();
        match error {
            CallError::Limited(after) => Self::Later { after: Some(after.unwrap_or(30_000)), why },
            CallError::Unsent(_) => Self::Later { after: None, why },
            CallError::Lost(_) => Self::Unknown { why },
            CallError::Refused(code) if code == "message_not_found" => Self::Gone,
            CallError::Refused(code) if MENDABLE.contains(&code.as_str()) => Self::Later { after: None, why },
            CallError::Refused(_) => Self::Never { why },
        }
    }
}

impl Slack {
    pub(super) async fn carry(&self, parcel: &Parcel) -> Result<Delivered, Refusal> {
        match (&parcel.content, &parcel.known) {
            (Content::Gone, Some(known)) => self.take_back(&parcel.place, known).await,
            (Content::Gone, None) => Ok(Delivered::default()),
            (Content::Message(post), Some(known)) => self.update(parcel, post, known).await,
            (Content::Message(post), None) => self.post(parcel, post).await,
            (Content::SignIn { account, url }, _) => {
                let text = format!(
                    "I do not know you yet, so I do nothing for you. [Sign in and link this account]({url}) (good for ten minutes), then say it again."
                );
                self.whisper(parcel, account, &Message::text(text)).await
            }
            (Content::Private { account, message }, _) => self.whisper(parcel, account, message).await,
        }
    }

    /// The bodies of a message's parts for `chat.postMessage` and `chat.update`.
    fn bodies(&self, parcel: &Parcel, message: &Message, full_url: Option<&str>) -> Vec<Value> {
        let place = render::Place { public_url: Some(&self.public_url), full_url };
        let mut bodies = render::slack::message(message, &place).messages;
        for (number, body) in bodies.iter_mut().enumerate() {
            body["channel"] = json!(parcel.place.channel);
            for (name, value) in
                [("parse", json!("none")), ("link_names", json!(false)), ("unfurl_links", json!(false))]
            {
                body[name] = value;
            }
            if let Some(first) = body.pointer_mut("/blocks/0") {
                first["block_id"] = json!(mark(&parcel.id, number));
            }
        }
        bodies
    }

    fn bodies_of(&self, parcel: &Parcel, post: &Post) -> Vec<Value> {
        let full_url = format!("{}/c/{}", self.public_url, post.session_id);
        self.bodies(parcel, &shown(post), Some(&full_url))
    }

    async fn post(&self, parcel: &Parcel, post: &Post) -> Result<Delivered, Refusal> {
        let place = &parcel.place;
        let bodies = self.bodies_of(parcel, post);
        let (mut there, mut maybe_twice) = (Vec::new(), false);
        if parcel.uncertain {
            match self.look_for(parcel).await {
                Ok(found) => there = found,
                Err(CallError::Refused(code)) => {
                    tracing::warn!(code, place = %place, "cannot look for a message that may have arrived");
                    maybe_twice = true;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let mut refs: Vec<String> = Vec::with_capacity(bodies.len());
        for (number, mut body) in bodies.into_iter().enumerate() {
            let mark = mark(&parcel.id, number);
            if let Some((_, ts)) = there.iter().find(|(marked, _)| *marked == mark) {
                // It may have changed since it left.
                body["ts"] = json!(ts);
                self.call(&place.team, "chat.update", &body).await?;
                refs.push(ts.clone());
                continue;
            }
            if let Some(thread) = &place.thread {
                body["thread_ts"] = json!(thread);
            }
            match self.call(&place.team, "chat.postMessage", &body).await {
                Ok(answer) => refs.push(answer["ts"].as_str().unwrap_or_default().to_owned()),
                // What of it stands there is found when it is tried again.
                Err(CallError::Limited(_)) if !refs.is_empty() => {
                    return Err(Refusal::Unknown { why: "Slack took a part only".to_owned() });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Delivered { reference: Some(refs.join(",")), maybe_twice })
    }

    async fn update(&self, parcel: &Parcel, post: &Post, known: &str) -> Result<Delivered, Refusal> {
        let place = &parcel.place;
        let standing: Vec<&str> = known.split(',').collect();
        let mut refs = Vec::with_capacity(standing.len());
        for (number, mut body) in self.bodies_of(parcel, post).into_iter().enumerate() {
            let method = match (standing.get(number), &place.thread) {
                (Some(ts), _) => {
                    body["ts"] = json!(ts);
                    "chat.update"
                }
                (None, Some(thread)) => {
                    body["thread_ts"] = json!(thread);
                    "chat.postMessage"
                }
                (None, None) => "chat.postMessage",
            };
            let answer = self.call(&place.team, method, &body).await?;
            refs.push(answer["ts"].as_str().or(standing.get(number).copied()).unwrap_or_default().to_owned());
        }
        for ts in standing.iter().skip(refs.len()) {
            self.delete(place, ts).await?;
        }
        Ok(Delivered { reference: Some(refs.join(",")), maybe_twice: false })
    }

    async fn take_back(&self, place: &Place, known: &str) -> Result<Delivered, Refusal> {
        for ts in known.split(',') {
            self.delete(place, ts).await?;
        }
        Ok(Delivered::default())
    }

    async fn delete(&self, place: &Place, ts: &str) -> Result<(), Refusal> {
        let body = json!({ "channel": place.channel, "ts": ts });
        match self.call(&place.team, "chat.delete", &body).await {
            Ok(_) => Ok(()),
            Err(CallError::Refused(code)) if code == "message_not_found" => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Says something to one person: seen by them alone in the channel, or else in a direct message.
    async fn whisper(&self, parcel: &Parcel, account: &Account, message: &Message) -> Result<Delivered, Refusal> {
        let place = &parcel.place;
        for mut body in self.bodies(parcel, message, None) {
            body["user"] = json!(account.id);
            if let Some(thread) = &place.thread {
                body["thread_ts"] = json!(thread);
            }
            let is_direct = place.channel.starts_with('D');
            let method = if is_direct { "chat.postMessage" } else { "chat.postEphemeral" };
            match self.call(&place.team, method, &body).await {
                Ok(_) => {}
                Err(CallError::Refused(code)) if NOT_THERE.contains(&code.as_str()) && !is_direct => {
                    let opened = self.call(&place.team, "conversations.open", &json!({ "users": account.id })).await?;
                    let channel = opened.pointer("/channel/id").and_then(Value::as_str);
                    let channel = channel.ok_or(Refusal::Never { why: "Slack opened no direct message".to_owned() })?;
                    body["channel"] = json!(channel);
                    if let Some(members) = body.as_object_mut() {
                        members.remove("thread_ts");
                        members.remove("user");
                    }
                    self.call(&place.team, "chat.postMessage", &body).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Delivered::default())
    }

    /// The marks of this delivery that stand at its place, and the `ts` of each.
    async fn look_for(&self, parcel: &Parcel) -> Result<Vec<(String, String)>, CallError> {
        let place = &parcel.place;
        let mut body = json!({ "channel": place.channel, "limit": LOOKED_THROUGH });
        let method = match &place.thread {
            Some(thread) => {
                body["ts"] = json!(thread);
                "conversations.replies"
            }
            None => "conversations.history",
        };
        let answer = self.call(&place.team, method, &body).await?;
        let messages = answer["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let marked = messages.iter().filter_map(|message| {
            let mark = message.pointer("/blocks/0/block_id")?.as_str()?;
            Some((mark.to_owned(), message["ts"].as_str()?.to_owned()))
        });
        Ok(marked.filter(|(mark, _)| mark.starts_with(&parcel.id)).collect())
    }
}

/// What the first block of a part is called.
fn mark(id: &str, number: usize) -> String {
    format!("{id}.{number}")
}

/// A message as it is shown there; what a person said elsewhere with their name.
fn shown(post: &Post) -> Message {
    let mut message = post.message();
    if post.sender.kind == SenderKind::User {
        message.text = format!("**{}**: {}", escape_markdown(&post.sender.name), escape_markdown(&post.content));
    }
    message
}
