//! Discord: its gateway or signed requests in, its REST API out.
//!
//! `gateway` listens, `signature` says whether a request is Discord's, `receive` keeps what came and answers what waits,
//! `read` (pure) says what it means, `rest` calls, `deliver` carries messages there, `commands` offers slash commands.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::outside::{AskedForm, Carrier, ChannelNames, ChatAdapter, Inbound, SharedFile, Via};
use crate::config;
use crate::fetch::Opened;
use crate::model::action::Form;
use crate::model::place::{Account, Place};
use crate::model::{Error, Kind, Result};
use crate::outbox::{Delivered, Parcel, Refusal, Transport};
use crate::render;
use crate::store::Store;

mod commands;
mod deliver;
mod gateway;
mod read;
mod receive;
mod rest;
pub mod signature;

use rest::{CallError, Rest};

/// The platform's name in places.
pub const PLATFORM: &str = "discord";

/// How long the token of an interaction can be used: somewhat less than Discord says.
const TOKEN_LIFE: Duration = Duration::from_secs(14 * 60);
/// How long our answer to an interaction may take to arrive.
const ANSWERING: Duration = Duration::from_secs(5);
/// Messages whose authors are remembered, so that it is known who took one back.
const MOST_AUTHORS: usize = 10_000;
/// Threads that are known as such.
const MOST_THREADS: usize = 50_000;

/// One Discord app.
pub struct Discord {
    settings: config::Discord,
    rest: Rest,
    carrier: Carrier,
    store: Arc<Store>,
    /// The address of the web client, for links.
    public_url: String,
    signatures: signature::Verifier,
    application: OnceLock<String>,
    known: Mutex<Known>,
    channels: ChannelNames,
}

/// What is remembered while we run.
#[derive(Default)]
struct Known {
    threads: HashSet<String>,
    authors: HashMap<String, Value>,
    /// Their ids, oldest first.
    noted: VecDeque<String>,
    /// What somebody at a place asked last with a command or a control.
    asked: HashMap<(String, String), Asked>,
}

/// An interaction that can still be answered for the eyes of whoever caused it.
#[derive(Clone)]
struct Asked {
    token: String,
    is_command: bool,
    at: Instant,
}

impl Discord {
    /// None when no token is set.
    pub fn new(
        settings: &config::Discord,
        public_url: &str,
        store: &Arc<Store>,
        carrier: Carrier,
    ) -> anyhow::Result<Option<Arc<Self>>> {
        if settings.bot_token.is_empty() {
            return Ok(None);
        }
        let application = OnceLock::new();
        if !settings.application_id.is_empty() {
            let _ = application.set(settings.application_id.clone());
        }
        Ok(Some(Arc::new(Self {
            rest: Rest::new(&settings.api_url, &settings.bot_token)?,
            carrier,
            store: store.clone(),
            public_url: public_url.to_owned(),
            signatures: signature::Verifier::new(&settings.public_key)?,
            application,
            known: Mutex::default(),
            channels: ChannelNames::default(),
            settings: settings.clone(),
        })))
    }

    /// What says whether a request is Discord's.
    pub fn signatures(&self) -> &signature::Verifier {
        &self.signatures
    }

    /// The app's id: as it is set, or as Discord says.
    async fn application(&self) -> Result<String> {
        if let Some(known) = self.application.get() {
            return Ok(known.clone());
        }
        let app = self.rest.get("/applications/@me").await.map_err(|error| unavailable(&error))?;
        let id = app["id"].as_str().ok_or_else(|| Error::unavailable("Discord did not say which app this is"))?;
        Ok(self.application.get_or_init(|| id.to_owned()).clone())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gateway is ready for us.
    fn connected(&self, _own: &str, application: &str) {
        if !application.is_empty() {
            let _ = self.application.set(application.to_owned());
        }
    }

    fn note_thread(&self, channel: &Value) {
        // Threads of announcements, public ones, private ones.
        let is_thread = matches!(channel["type"].as_i64(), Some(10..=12));
        if let (true, Some(id)) = (is_thread, channel["id"].as_str()) {
            let mut known = self.known();
            if known.threads.len() >= MOST_THREADS {
                known.threads.clear();
            }
            known.threads.insert(id.to_owned());
        }
    }

    fn is_thread(&self, channel: &Value) -> bool {
        channel.as_str().is_some_and(|id| self.known().threads.contains(id))
    }

    fn note_author(&self, message: &str, account: &Account) {
        let mut known = self.known();
        let author = json!({ "id": account.id, "username": account.name });
        if known.authors.insert(message.to_owned(), author).is_none() {
            known.noted.push_back(message.to_owned());
        }
        while known.noted.len() > MOST_AUTHORS {
            if let Some(oldest) = known.noted.pop_front() {
                known.authors.remove(&oldest);
            }
        }
    }

    /// Who wrote a message, as Discord says it with the messages of people.
    fn author_of(&self, message: &Value) -> Option<Value> {
        self.known().authors.get(message.as_str()?).cloned()
    }

    fn note_asked(&self, via: &Via, token: &str, is_command: bool) {
        let mut known = self.known();
        known.asked.retain(|_, asked| asked.at.elapsed() < TOKEN_LIFE);
        let asked = Asked { token: token.to_owned(), is_command, at: Instant::now() };
        known.asked.insert((via.place.to_string(), via.account.id.clone()), asked);
    }

    /// What somebody asked last at a place, for one answer.
    fn take_asked(&self, place: &Place, account: &Account) -> Option<Asked> {
        let asked = self.known().asked.remove(&(place.to_string(), account.id.clone()));
        asked.filter(|asked| asked.at.elapsed() < TOKEN_LIFE)
    }

    /// Whether our own answer to an interaction may still be on its way.
    fn was_just_asked(&self, token: &str) -> bool {
        self.known().asked.values().any(|asked| asked.token == token && asked.at.elapsed() < ANSWERING)
    }
}

fn unavailable(error: &CallError) -> Error {
    let retry = match error {
        CallError::Limited(after) => *after,
        _ => 1000,
    };
    Error::new(Kind::Unavailable, "DISCORD_UNAVAILABLE", error.to_string()).retry_after(retry)
}

impl Transport for Discord {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn deliver<'a>(&'a self, parcel: &'a Parcel) -> BoxFuture<'a, Result<Delivered, Refusal>> {
        self.carry(parcel).boxed()
    }
}

impl ChatAdapter for Discord {
    fn read(&self, payload: &Value) -> Result<Option<Inbound>> {
        Ok(read::read(payload, &self.settings))
    }

    fn submitted(&self, _form: &Form, state: &Value) -> Value {
        json!(render::discord::submitted(state))
    }

    fn channel_name<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Option<String>> {
        let ask = async move {
            let told = self.rest.get(&format!("/channels/{}", place.channel)).await.ok()?;
            told["name"].as_str().map(str::to_owned)
        };
        self.channels.of(place, ask).boxed()
    }

    fn open_file<'a>(&'a self, _team: &'a str, file: &'a SharedFile) -> BoxFuture<'a, Result<Opened>> {
        async move {
            let url = file.url.as_deref().ok_or_else(|| Error::invalid("Discord does not say where it is"))?;
            // Its address opens it.
            self.carrier.get(url, None).await
        }
        .boxed()
    }

    /// A form is the first answer to whoever presses its button, so it is shown before anything is kept.
    fn show_form<'a>(&'a self, _asked: &'a AskedForm) -> BoxFuture<'a, Result<()>> {
        let late = || Error::conflict("FORM_LATE", "that took too long for a form; press the button again");
        async move { Err(late()) }.boxed()
    }

    fn name_of<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, String> {
        // Discord says it with everything that somebody does.
        async move { account.name.clone() }.boxed()
    }
}
