//! Slack: Socket Mode or signed requests in, the Web API out.
//!
//! `signature` says whether a request is Slack's, `arrival` what of it is kept, `read` (pure) what it means, `socket` listens,
//! `web_api` calls, `deliver` carries messages there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::outside::{AskedForm, Carrier, ChannelNames, ChatAdapter, Inbound, Outside, Received, SharedFile};
use crate::clock::Clock;
use crate::config;
use crate::fetch::Opened;
use crate::model::action::Form;
use crate::model::place::{Account, Place};
use crate::model::{Error, Kind, Result};
use crate::outbox::{Delivered, Parcel, Refusal, Transport};
use crate::render;
use crate::store::Store;
use crate::vault::Vault;

mod arrival;
mod deliver;
mod entities;
mod files;
mod install;
mod read;
pub mod signature;
mod socket;
mod web_api;

use install::Installs;
use web_api::{CallError, WebApi};

/// The platform's name in places.
pub const PLATFORM: &str = "slack";

/// How long a form that was sent waits for what becomes of it; Slack gives up after three seconds.
const FORM_PATIENCE: Duration = Duration::from_millis(2000);

/// What Slack sends, by the door it comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Event,
    Interaction,
    Command,
}

/// One Slack app.
pub struct Slack {
    settings: config::Slack,
    api: WebApi,
    carrier: Carrier,
    installs: Installs,
    /// The address of the web client, for links.
    public_url: String,
    signatures: signature::Verifier,
    /// Names of people, by team and id.
    names: Mutex<HashMap<(String, String), String>>,
    channels: ChannelNames,
}

impl Slack {
    /// None when neither a token is set nor an app that can be installed.
    pub fn new(
        settings: &config::Slack,
        public_url: &str,
        carrier: Carrier,
        (store, vault, clock): (&Arc<Store>, &Arc<Vault>, &Clock),
    ) -> anyhow::Result<Option<Arc<Self>>> {
        if !settings.is_set_up() {
            return Ok(None);
        }
        Ok(Some(Arc::new(Self {
            api: WebApi::new(&settings.api_url)?,
            carrier,
            installs: Installs::new(store.clone(), vault.clone(), clock.clone()),
            public_url: public_url.to_owned(),
            signatures: signature::Verifier::new(settings.signing_secret.clone()),
            names: Mutex::default(),
            channels: ChannelNames::default(),
            settings: settings.clone(),
        })))
    }

    /// What says whether a request is Slack's.
    pub fn signatures(&self) -> &signature::Verifier {
        &self.signatures
    }

    async fn call(&self, team: &str, method: &str, body: &Value) -> Result<Value, CallError> {
        self.api.call(&self.token(team).await?, method, body).await
    }

    async fn ask(&self, team: &str, method: &str, arguments: &[(&str, &str)]) -> Result<Value, CallError> {
        self.api.ask(&self.token(team).await?, method, arguments).await
    }

    /// Takes what Slack sent and answers what it is to be told. When this has returned, it is kept.
    pub async fn receive(&self, outside: &Outside, sort: Sort, body: Value) -> Result<Value> {
        if sort == Sort::Event && self.uninstalled(&body).await? {
            return Ok(Value::Null);
        }
        let Some(arrival) = self.arrival(outside, sort, body).await? else { return Ok(Value::Null) };
        let is_form = arrival.is_form;
        let received = match is_form {
            true => outside.receive_and_wait(arrival.arrival, FORM_PATIENCE).await?,
            false => match outside.receive(arrival.arrival).await? {
                true => Received::Kept,
                false => Received::Known,
            },
        };
        Ok(match received {
            Received::Acted(Err(error)) => form_errors(&error),
            Received::Acted(Ok(())) | Received::Known | Received::Kept => Value::Null,
        })
    }
}

/// Faults at the fields of a form, as Slack shows them; what belongs to no field stands at the first.
fn form_errors(error: &Error) -> Value {
    let faults = error.details.get("errors").and_then(Value::as_array).into_iter().flatten();
    let at_fields: serde_json::Map<String, Value> = faults
        .filter_map(|fault| {
            let field = fault["field"].as_str()?.strip_prefix("parameters.")?;
            Some((field.to_owned(), fault["message"].clone()))
        })
        .collect();
    if at_fields.is_empty() {
        let text = json!({ "type": "plain_text", "text": error.message });
        return json!({ "response_action": "update", "view": {
            "type": "modal", "title": { "type": "plain_text", "text": "That did not work" },
            "close": { "type": "plain_text", "text": "Close" },
            "blocks": [{ "type": "section", "text": text }],
        } });
    }
    json!({ "response_action": "errors", "errors": at_fields })
}

impl Transport for Slack {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn deliver<'a>(&'a self, parcel: &'a Parcel) -> BoxFuture<'a, Result<Delivered, Refusal>> {
        self.carry(parcel).boxed()
    }
}

impl ChatAdapter for Slack {
    fn read(&self, payload: &Value) -> Result<Option<Inbound>> {
        Ok(read::read(payload, &self.settings))
    }

    fn submitted(&self, form: &Form, state: &Value) -> Value {
        let values = state.as_object().cloned().unwrap_or_default();
        json!(render::slack::submitted(form, &values))
    }

    fn channel_name<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Option<String>> {
        let ask = async move {
            let arguments = [("channel", place.channel.as_str())];
            let told = self.ask(&place.team, "conversations.info", &arguments).await.ok()?;
            told.pointer("/channel/name")?.as_str().map(str::to_owned)
        };
        self.channels.of(place, ask).boxed()
    }

    fn open_file<'a>(&'a self, team: &'a str, file: &'a SharedFile) -> BoxFuture<'a, Result<Opened>> {
        self.open_shared(team, file).boxed()
    }

    fn show_form<'a>(&'a self, asked: &'a AskedForm) -> BoxFuture<'a, Result<()>> {
        async move {
            let place = &asked.via.place;
            let Some(view) = render::slack::view(&asked.form, &asked.title, &place.to_string()) else {
                let message = "this form has more fields than Slack can show; answer the questions here";
                return Err(Error::invalid(message));
            };
            let body = json!({ "trigger_id": asked.trigger, "view": view });
            let opened = self.call(&place.team, "views.open", &body).await;
            opened.map(|_| ()).map_err(|error| match error {
                CallError::Refused(code) if code.contains("trigger") => {
                    Error::conflict("FORM_LATE", "that took too long for a form; press the button again")
                }
                error => {
                    Error::new(Kind::Conflict, "FORM_NOT_SHOWN", "Slack did not show the form; press the button again")
                        .caused_by(error)
                }
            })
        }
        .boxed()
    }

    fn name_of<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, String> {
        async move {
            let key = (account.team.clone(), account.id.clone());
            if let Some(known) = self.names.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
                return known.clone();
            }
            // A name that cannot be had is no reason to wait.
            let body = json!({ "user": account.id });
            let Ok(answer) = self.call(&account.team, "users.info", &body).await else { return account.name.clone() };
            let user = &answer["user"];
            let names =
                [&user["profile"]["display_name"], &user["real_name"], &user["profile"]["real_name"], &user["name"]];
            let name = names.into_iter().filter_map(Value::as_str).find(|name| !name.is_empty());
            let name = name.unwrap_or(&account.name).to_owned();
            self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(key, name.clone());
            name
        }
        .boxed()
    }
}
