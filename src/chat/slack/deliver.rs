//! What leaves for Slack: posted, updated where it stands, taken back.
//!
//! A message may become several of Slack's; it is known by all their `ts`, separated by commas, then the ids of its files.
//! The first block of each carries the id of its delivery, so that one that may have arrived can be looked for before it is
//! said again.

use serde_json::{Value, json};

use super::Slack;
use super::files::{self, Uploaded};
use super::web_api::CallError;
use crate::chat::outside::Enclosure;
use crate::model::file::File;
use crate::model::message::{Message, Post, SenderKind, escape_markdown};
use crate::model::place::{Account, Place};
use crate::outbox::{Content, Delivered, Parcel, Refusal};
use crate::render;

/// How many messages are looked through for one that may have arrived.
const LOOKED_THROUGH: u32 = 100;

/// A file that cannot be uploaded now is tried for so often; then its message leaves with a link to it.
const FILE_TRIES: i64 = 3;

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
            CallError::Unsent(_) | CallError::NoToken(_) => Self::Later { after: None, why },
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
                self.whisper(parcel, account, &Message::text(text), None).await
            }
            (Content::Private { account, message, conversation }, _) => {
                let full_url = conversation.as_ref().map(|id| format!("{}/c/{id}", self.public_url));
                self.whisper(parcel, account, message, full_url.as_deref()).await
            }
        }
    }

    /// The bodies of a message's parts for `chat.postMessage` and `chat.update`, and the whole as text when there is no
    /// other way to it.
    fn bodies(&self, parcel: &Parcel, message: &Message, full_url: Option<&str>) -> (Vec<Value>, Option<String>) {
        let place = render::Place { public_url: Some(&self.public_url), full_url };
        let rendering = render::slack::message(message, &place);
        let mut bodies = rendering.messages;
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
        (bodies, rendering.attachment)
    }

    /// The same of a post, in which these files are links.
    fn bodies_of(&self, parcel: &Parcel, post: &Post, linked: &[File]) -> (Vec<Value>, Option<String>) {
        // What goes elsewhere than its conversation has no place where it can be read.
        let full_url = (!post.session_id.is_empty()).then(|| format!("{}/c/{}", self.public_url, post.session_id));
        let message = Message { files: linked.to_vec(), ..shown(post) };
        self.bodies(parcel, &message, full_url.as_deref())
    }

    async fn post(&self, parcel: &Parcel, post: &Post) -> Result<Delivered, Refusal> {
        let place = &parcel.place;
        let (mut there, mut maybe_twice) = (Standing::default(), false);
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
        let (mut enclosures, mut linked) = self.carrier.enclose(&post.files, files::LARGEST).await;
        enclosures.extend(self.bodies_of(parcel, post, &linked).1.map(Enclosure::full_text));
        let mut uploaded = Vec::with_capacity(enclosures.len());
        // They are shown together: where one stands, all do.
        for enclosure in enclosures.iter().filter(|_| there.files.is_empty()) {
            match self.upload(&place.team, enclosure).await {
                Ok(file) => uploaded.push(file),
                Err(refusal) if parcel.attempt < FILE_TRIES && !matches!(refusal, Refusal::Never { .. }) => {
                    return Err(refusal);
                }
                Err(refusal) => {
                    tracing::warn!(?refusal, place = %place, "a file cannot be uploaded and stays a link");
                    linked.extend(enclosure.file.clone());
                }
            }
        }
        let mut refs: Vec<String> = Vec::new();
        let mut channel = place.channel.clone();
        for (number, mut body) in self.bodies_of(parcel, post, &linked).0.into_iter().enumerate() {
            let mark = mark(&parcel.id, number);
            if let Some((_, ts)) = there.marked.iter().find(|(marked, _)| *marked == mark) {
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
                Ok(answer) => {
                    refs.push(answer["ts"].as_str().unwrap_or_default().to_owned());
                    // It may have been named by its name, which files are not brought to.
                    channel = answer["channel"].as_str().map_or(channel, str::to_owned);
                }
                // What of it stands there is found when it is tried again.
                Err(CallError::Limited(_)) if !refs.is_empty() => return Err(part_only()),
                Err(error) => return Err(error.into()),
            }
        }
        if !uploaded.is_empty() {
            match self.complete(place, &channel, &uploaded).await {
                Ok(()) => there.files = uploaded,
                Err(CallError::Refused(code)) => {
                    tracing::warn!(code, place = %place, "files cannot be shown and stay links");
                    return self.update(parcel, post, &refs.join(",")).await;
                }
                Err(_) => return Err(part_only()),
            }
        }
        refs.extend(there.files.into_iter().map(|file| file.id));
        Ok(Delivered { reference: Some(refs.join(",")), maybe_twice })
    }

    async fn update(&self, parcel: &Parcel, post: &Post, known: &str) -> Result<Delivered, Refusal> {
        let place = &parcel.place;
        let (files, standing): (Vec<&str>, Vec<&str>) = known.split(',').partition(|part| files::is_file(part));
        let linked = if files.len() < post.files.len() { post.files.as_slice() } else { &[] };
        let mut refs = Vec::with_capacity(standing.len());
        for (number, mut body) in self.bodies_of(parcel, post, linked).0.into_iter().enumerate() {
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
        refs.extend(files.into_iter().map(str::to_owned));
        Ok(Delivered { reference: Some(refs.join(",")), maybe_twice: false })
    }

    async fn take_back(&self, place: &Place, known: &str) -> Result<Delivered, Refusal> {
        for part in known.split(',') {
            match files::is_file(part) {
                true => self.delete_file(place, part).await?,
                false => self.delete(place, part).await?,
            }
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
    async fn whisper(
        &self,
        parcel: &Parcel,
        account: &Account,
        message: &Message,
        full_url: Option<&str>,
    ) -> Result<Delivered, Refusal> {
        // Nobody can look for what only one person sees.
        let whispered = Delivered { reference: None, maybe_twice: parcel.uncertain };
        let place = &parcel.place;
        for mut body in self.bodies(parcel, message, full_url).0 {
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
        Ok(whispered)
    }

    /// What of this delivery stands at its place.
    async fn look_for(&self, parcel: &Parcel) -> Result<Standing, CallError> {
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
        let marked: Vec<(String, String)> = marked.filter(|(mark, _)| mark.starts_with(&parcel.id)).collect();
        // Nothing else of ours leaves for a channel meanwhile: files of ours below the words are theirs.
        let files = marked.iter().map(|(_, ts)| ts.as_str()).max().map(|last| {
            let is_below = |message: &&Value| message["bot_id"].is_string() && message["ts"].as_str() > Some(last);
            messages.iter().filter(is_below).flat_map(files::files_of).collect()
        });
        Ok(Standing { marked, files: files.unwrap_or_default() })
    }
}

/// What of a delivery stands there already.
#[derive(Default)]
struct Standing {
    /// The marks of its parts, and the `ts` of each.
    marked: Vec<(String, String)>,
    files: Vec<Uploaded>,
}

fn part_only() -> Refusal {
    Refusal::Unknown { why: "Slack took a part only".to_owned() }
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
