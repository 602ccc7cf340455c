//! What leaves for Discord: posted, changed where it stands, taken back.
//!
//! A message may become several of Discord's; it is known by all their ids, separated by commas. Each is posted with a
//! nonce of its delivery, under which Discord makes it once only. The answer to a slash command takes the place of the
//! reply that was put off, while that is still there; from then on it is a message like any other.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::rest::CallError;
use super::{Discord, read};
use crate::chat::outside::Enclosure;
use crate::model::file::File;
use crate::model::id::sha256_hex;
use crate::model::message::{Message, Post, SenderKind, escape_markdown};
use crate::model::place::{Account, Place};
use crate::outbox::{Content, Delivered, Parcel, Refusal};
use crate::render;

/// The largest file that Discord takes from a bot everywhere, in bytes; others stay links.
const LARGEST: u64 = 10 * 1024 * 1024;
/// Set while a reply is put off.
const LOADING: u64 = 1 << 7;
/// Only one person sees it.
const EPHEMERAL: u64 = 1 << 6;
/// How often, and with which pause, it is looked for a reply that Discord may not have put off yet.
const LOOKS: u32 = 8;
const LOOK_PAUSE: Duration = Duration::from_millis(250);

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        let why = error.to_string();
        match error {
            CallError::Limited(after) => Self::Later { after: Some(after), why },
            CallError::Unsent(_) => Self::Later { after: None, why },
            CallError::Lost(_) => Self::Unknown { why },
            // Unknown Message.
            CallError::Refused { code: 10_008, .. } => Self::Gone,
            // Somebody can mend the token or the rights.
            CallError::Refused { status: 401, .. } | CallError::Refused { code: 50_001 | 50_013, .. } => {
                Self::Later { after: None, why }
            }
            CallError::Refused { .. } => Self::Never { why },
        }
    }
}

impl Discord {
    pub(super) async fn carry(&self, parcel: &Parcel) -> Result<Delivered, Refusal> {
        match (&parcel.content, &parcel.known) {
            (Content::Gone, Some(known)) => self.take_back(&parcel.place, known).await,
            (Content::Gone, None) => Ok(Delivered::default()),
            (Content::Message(post), Some(known)) => self.update(parcel, post, known).await,
            (Content::Message(post), None) => self.say(parcel, post).await,
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

    fn bodies(&self, message: &Message, full_url: Option<&str>) -> (Vec<Value>, Option<String>) {
        let place = render::Place { public_url: Some(&self.public_url), full_url };
        let rendering = render::discord::message(message, &place);
        (rendering.messages, rendering.attachment)
    }

    /// The bodies of a post in which these files are links, and the whole as text when there is no other way to it.
    fn bodies_of(&self, post: &Post, linked: &[File]) -> (Vec<Value>, Option<String>) {
        // What goes elsewhere than its conversation has no place where it can be read.
        let full_url = (!post.session_id.is_empty()).then(|| format!("{}/c/{}", self.public_url, post.session_id));
        self.bodies(&Message { files: linked.to_vec(), ..shown(post) }, full_url.as_deref())
    }

    async fn say(&self, parcel: &Parcel, post: &Post) -> Result<Delivered, Refusal> {
        let (mut enclosures, linked) = self.carrier.enclose(&post.files, LARGEST).await;
        let (bodies, full_text) = self.bodies_of(post, &linked);
        enclosures.extend(full_text.map(Enclosure::full_text));
        match self.say_with(parcel, post, bodies, &enclosures).await {
            Err(error) if error.is_about_files() && !enclosures.is_empty() => {
                tracing::warn!(%error, place = %parcel.place, "Discord does not take the files of a message; they stay links");
                Ok(self.say_with(parcel, post, self.bodies_of(post, &post.files).0, &[]).await?)
            }
            outcome => Ok(outcome?),
        }
    }

    /// Posts the parts of a message, the last one with its files.
    async fn say_with(
        &self,
        parcel: &Parcel,
        post: &Post,
        bodies: Vec<Value>,
        enclosures: &[Enclosure],
    ) -> Result<Delivered, CallError> {
        let place = &parcel.place;
        let asked = match &post.reply_to {
            Some(asked) => {
                self.store.message_ref(asked, place).await.map_err(|error| CallError::Unsent(error.to_string()))?
            }
            None => None,
        };
        let asked = asked.map(|asked| asked.reference);
        let (mut refs, mut maybe_twice) = (Vec::new(), false);
        let last = bodies.len().saturating_sub(1);
        for (number, mut body) in bodies.into_iter().enumerate() {
            let files = if number == last { enclosures } else { &[] };
            let interaction = asked.as_deref().and_then(|asked| asked.strip_prefix(read::INTERACTION));
            if let (0, Some((_, token))) = (number, interaction.and_then(|asked| asked.split_once('.'))) {
                if let Some(id) = self.answer(token, &body, files, parcel.uncertain).await? {
                    refs.push(id);
                    continue;
                }
            } else if let (0, Some(asked)) = (number, &asked) {
                body["message_reference"] = json!({ "message_id": asked, "fail_if_not_exists": false });
            }
            body["nonce"] = json!(nonce(&parcel.id, number));
            body["enforce_nonce"] = json!(true);
            // What of it stands there already is found by its nonce when it is tried again.
            let path = format!("/channels/{}/messages", place.channel);
            let answer = self.rest.send_with(Method::POST, &path, &body, files).await?;
            // Discord remembers a nonce for some minutes only.
            maybe_twice |= parcel.uncertain;
            refs.push(answer["id"].as_str().unwrap_or_default().to_owned());
        }
        Ok(Delivered { reference: Some(refs.join(",")), maybe_twice })
    }

    /// Puts a message in the place of the reply that was put off; answers its id, or none when that is not there any
    /// more: it took something else already, or is older than fifteen minutes.
    async fn answer(
        &self,
        token: &str,
        body: &Value,
        files: &[Enclosure],
        uncertain: bool,
    ) -> Result<Option<String>, CallError> {
        let path = format!("{}/messages/@original", self.webhook(token).await?);
        let mut looks = 0;
        let standing = loop {
            match self.rest.get(&path).await {
                Ok(standing) => break standing,
                // We may be faster than our own answer to the interaction.
                Err(error) if error.is_unknown() && self.was_just_asked(token) && looks < LOOKS => {
                    looks += 1;
                    tokio::time::sleep(LOOK_PAUSE).await;
                }
                Err(CallError::Refused { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        };
        let id = standing["id"].as_str().map(str::to_owned);
        if standing["flags"].as_u64().unwrap_or(0) & LOADING == 0 {
            // An earlier attempt may have put it there.
            return Ok(id.filter(|_| uncertain && looks_like(&standing, body)));
        }
        match self.rest.send_with(Method::PATCH, &path, body, files).await {
            Ok(answer) => Ok(answer["id"].as_str().map(str::to_owned).or(id)),
            Err(error) if error.is_unknown() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn webhook(&self, token: &str) -> Result<String, CallError> {
        let application = self.application().await.map_err(|error| CallError::Unsent(error.to_string()))?;
        Ok(format!("/webhooks/{application}/{token}"))
    }

    async fn update(&self, parcel: &Parcel, post: &Post, known: &str) -> Result<Delivered, Refusal> {
        let linked: Vec<File> = post.files.iter().filter(|file| file.size > LARGEST).cloned().collect();
        let (delivered, has_files) = self.update_with(parcel, self.bodies_of(post, &linked).0, known).await?;
        if has_files || linked.len() == post.files.len() {
            return Ok(delivered);
        }
        // They were not taken then.
        Ok(self.update_with(parcel, self.bodies_of(post, &post.files).0, known).await?.0)
    }

    /// Changes the parts of a message; what is attached stays so. Answers also whether anything is.
    async fn update_with(
        &self,
        parcel: &Parcel,
        bodies: Vec<Value>,
        known: &str,
    ) -> Result<(Delivered, bool), CallError> {
        let place = &parcel.place;
        let standing: Vec<&str> = known.split(',').collect();
        let (mut refs, mut has_files) = (Vec::with_capacity(standing.len()), false);
        for (number, mut body) in bodies.into_iter().enumerate() {
            let channel = format!("/channels/{}/messages", place.channel);
            let answer = match standing.get(number) {
                Some(id) => self.rest.patch(&format!("{channel}/{id}"), &body).await?,
                None => {
                    body["nonce"] = json!(nonce(&parcel.id, number));
                    body["enforce_nonce"] = json!(true);
                    self.rest.post(&channel, &body).await?
                }
            };
            has_files |= answer["attachments"].as_array().is_some_and(|files| !files.is_empty());
            refs.push(answer["id"].as_str().or(standing.get(number).copied()).unwrap_or_default().to_owned());
        }
        for id in standing.iter().skip(refs.len()) {
            self.delete(place, id).await?;
        }
        Ok((Delivered { reference: Some(refs.join(",")), maybe_twice: false }, has_files))
    }

    async fn take_back(&self, place: &Place, known: &str) -> Result<Delivered, Refusal> {
        for id in known.split(',') {
            self.delete(place, id).await?;
        }
        Ok(Delivered::default())
    }

    async fn delete(&self, place: &Place, id: &str) -> Result<(), CallError> {
        match self.rest.delete(&format!("/channels/{}/messages/{id}", place.channel)).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_unknown() => Ok(()),
            outcome => outcome.map(|_| ()),
        }
    }

    /// Says something to one person: seen by them alone where they have just used a control or a command, or else in a
    /// direct message. It is never said where others read it.
    async fn whisper(
        &self,
        parcel: &Parcel,
        account: &Account,
        message: &Message,
        full_url: Option<&str>,
    ) -> Result<Delivered, Refusal> {
        // Nobody can look for what only one person sees.
        let whispered = Delivered { reference: None, maybe_twice: parcel.uncertain };
        let bodies = self.bodies(message, full_url).0;
        let mut channel = (parcel.place.team == read::DIRECT).then(|| parcel.place.channel.clone());
        if let Some(asked) = self.take_asked(&parcel.place, account) {
            let webhook = self.webhook(&asked.token).await?;
            if asked.is_command {
                // The reply that was put off is seen by all; what follows it then is not.
                let _ = self.rest.delete(&format!("{webhook}/messages/@original")).await;
            }
            let mut is_told = true;
            for body in &bodies {
                let mut body = body.clone();
                body["flags"] = json!(EPHEMERAL);
                is_told &= self.rest.post(&webhook, &body).await.is_ok();
            }
            if is_told {
                return Ok(whispered);
            }
        }
        if channel.is_none() {
            let opened = self.rest.post("/users/@me/channels", &json!({ "recipient_id": account.id })).await?;
            channel = opened["id"].as_str().map(str::to_owned);
        }
        let channel = channel.ok_or(Refusal::Never { why: "Discord opened no direct message".to_owned() })?;
        for (number, mut body) in bodies.into_iter().enumerate() {
            body["nonce"] = json!(nonce(&parcel.id, number));
            body["enforce_nonce"] = json!(true);
            self.rest.post(&format!("/channels/{channel}/messages"), &body).await?;
        }
        Ok(whispered)
    }
}

/// What a part of a delivery is known by while it is on its way, in the 25 characters that Discord takes.
fn nonce(id: &str, number: usize) -> String {
    sha256_hex(format!("{id}.{number}").as_bytes())[..24].to_owned()
}

/// Whether a message that stands there says what `body` does.
fn looks_like(standing: &Value, body: &Value) -> bool {
    let words = |message: &Value| {
        let embeds = message["embeds"].as_array().into_iter().flatten();
        let words = embeds.flat_map(|embed| [embed["title"].as_str(), embed["description"].as_str()]).flatten();
        let words: Vec<String> = words.map(str::to_owned).collect();
        (message["content"].as_str().unwrap_or_default().to_owned(), words)
    };
    words(standing) == words(body)
}

/// A message as it is shown there; what a person said elsewhere with their name.
fn shown(post: &Post) -> Message {
    let mut message = post.message();
    if post.sender.kind == SenderKind::User {
        message.text = format!("**{}**: {}", escape_markdown(&post.sender.name), escape_markdown(&post.content));
    }
    message
}
