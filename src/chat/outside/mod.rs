//! Chats outside: what comes in from them, whichever they are.
//!
//! An adapter verifies what its chat sends and hands it to [`Outside::receive`], which keeps it in the inbox; only then the
//! chat is told that it arrived. A task acts on what the inbox holds, in order for each person at each place: [`act`] finds
//! out who it is, where, and in which conversation, and goes on through the hub like every other door. What is said there
//! leaves through the outbox.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

use super::Hub;
use crate::clock::Clock;
use crate::crash_point;
use crate::engine::invoke::{OutsideChannel, Source};
use crate::fetch::Opened;
use crate::identity::Identity;
use crate::model::action::Form;
use crate::model::conversation::Millis;
use crate::model::place::{Account, Place};
use crate::model::principal::Role;
use crate::model::{Error, Kind, Result};
use crate::outbox::Transport;
use crate::store::Store;
use crate::store::inbox::{Arrival, Handled, NewArrival};
use crate::store::outbox::SaidAt;
use crate::tasks::Tasks;

mod act;
mod complete;
mod files;
mod names;

pub use files::{Carrier, Enclosure, SharedFile};
pub use names::ChannelNames;

/// How much is acted on at the same time.
const AT_ONCE: usize = 16;

/// How long one try may take before another server may make the next.
const LEASE: Millis = 10_000;

/// How often something is tried before it is given up.
const TRIES: i64 = 8;

/// What came in is known for so long when it comes again.
const KEPT: Millis = 7 * 24 * 60 * 60 * 1000;

/// What was left by a server that died is looked for this often, and the database when it did not answer.
const LOOK: Duration = Duration::from_secs(10);

/// A chat outside.
pub trait ChatAdapter: Transport {
    /// What something that came in means; none when it means nothing here.
    fn read(&self, payload: &Value) -> Result<Option<Inbound>>;

    /// The values of a form that was sent, by the names of its fields.
    fn submitted(&self, form: &Form, state: &Value) -> Value;

    /// What people call an account.
    fn name_of<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, String>;

    /// What people call the channel at a place; none when it has no name, or it cannot be had.
    fn channel_name<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Option<String>>;

    /// Begins to fetch a file that was sent along there.
    fn open_file<'a>(&'a self, team: &'a str, file: &'a SharedFile) -> BoxFuture<'a, Result<Opened>>;

    /// Shows a form to whoever has just done something that the chat gave a trigger for.
    fn show_form<'a>(&'a self, asked: &'a AskedForm) -> BoxFuture<'a, Result<()>>;
}

/// Something that somebody did in a chat outside.
#[derive(Clone, Debug)]
pub struct Inbound {
    pub via: Via,
    /// The bot that the place is bound to, if it is to one.
    pub bot: Option<String>,
    pub deed: Deed,
}

/// What somebody did.
#[derive(Clone, Debug)]
pub enum Deed {
    Say {
        text: String,
        /// Whether a bot was meant. What was not counts only where the speaker has a conversation already.
        addressed: bool,
        /// What was sent along.
        files: Vec<SharedFile>,
    },
    /// Chose a command of a bot, with its values beside it.
    Run { bot: String, command: String, parameters: Vec<(String, String)> },
    /// Replaced the text of the message that `via` refers to.
    Edit { text: String },
    /// Took back the message that `via` refers to.
    Unsay,
    /// Did something at a message: the action's id, and its value as [`super::Choice`] takes it.
    Take {
        action: String,
        value: Value,
        /// What a form can be shown with, when the chat gave something.
        trigger: Option<String>,
    },
    /// Sent a form: the id of its action, and what the chat calls its values.
    Submit { action: String, state: Value },
}

/// Whence something is done, when that is outside.
#[derive(Clone, Debug)]
pub struct Via {
    pub account: Account,
    pub place: Place,
    /// The chat's own id of what was said, when it has one.
    pub reference: Option<String>,
    pub channel: OutsideChannel,
    pub team_name: Option<String>,
    /// The place in the chat's own words, for the record of a run: `source.slack` of the automation API.
    pub detail: Value,
}

impl Via {
    pub(super) fn said_at(&self) -> SaidAt {
        SaidAt { place: self.place.to_string(), reference: self.reference.clone() }
    }

    pub(super) fn describe(&self, source: &mut Source) {
        source.team_id = Some(self.place.team.clone());
        source.team_name.clone_from(&self.team_name);
        source.outside = Some(self.channel.clone());
        source.record.describe(&self.place.platform, self.detail.clone());
    }
}

/// A form that is to be shown.
#[derive(Clone, Debug)]
pub struct AskedForm {
    pub via: Via,
    pub trigger: String,
    /// What is written above it.
    pub title: String,
    pub form: Form,
}

/// What became of something that was received.
#[derive(Debug)]
pub enum Received {
    /// It had come before.
    Known,
    /// It was acted on, like this.
    Acted(Result<()>),
    /// It is kept and will be acted on.
    Kept,
}

/// What is received from chats outside.
pub struct Outside {
    hub: Arc<Hub>,
    store: Arc<Store>,
    identity: Arc<Identity>,
    clock: Clock,
    /// The role of whoever is nobody here; none: they are asked to sign in.
    guests: Option<Role>,
    adapters: Vec<Arc<dyn ChatAdapter>>,
    arrived: Notify,
    /// Who waits for what becomes of an arrival, by its id.
    waiting: Mutex<HashMap<String, oneshot::Sender<Result<()>>>>,
}

impl Outside {
    pub fn new(
        hub: Arc<Hub>,
        identity: Arc<Identity>,
        clock: Clock,
        guests: Option<Role>,
        adapters: Vec<Arc<dyn ChatAdapter>>,
    ) -> Arc<Self> {
        let store = hub.store().clone();
        let (arrived, waiting) = (Notify::new(), Mutex::default());
        Arc::new(Self { hub, store, identity, clock, guests, adapters, arrived, waiting })
    }

    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Keeps what came in. When this has returned, the chat may be told that it arrived; `false` when it had before.
    pub async fn receive(&self, arrival: NewArrival) -> Result<bool> {
        let is_new = self.store.receive(arrival).await?;
        crash_point::reached("inbox.written");
        self.arrived.notify_one();
        Ok(is_new)
    }

    /// The same, and waits a little for what becomes of it.
    pub async fn receive_and_wait(&self, arrival: NewArrival, limit: Duration) -> Result<Received> {
        let (id, (told, hears)) = (arrival.id.clone(), oneshot::channel());
        self.waiting().insert(id.clone(), told);
        let is_new = match self.receive(arrival).await {
            Ok(true) => tokio::time::timeout(limit, hears).await,
            outcome => {
                self.waiting().remove(&id);
                return outcome.map(|_| Received::Known);
            }
        };
        self.waiting().remove(&id);
        Ok(match is_new {
            Ok(Ok(outcome)) => Received::Acted(outcome),
            _ => Received::Kept,
        })
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Result<()>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the task that acts on what came in, before a restart too.
    pub fn start(self: &Arc<Self>, tasks: &Tasks) {
        let (outside, stop) = (self.clone(), tasks.stop_token().clone());
        tasks.spawn("inbox", async move {
            let mut under_way = FuturesUnordered::new();
            while !stop.is_cancelled() {
                let (free, now) = (AT_ONCE - under_way.len(), outside.clock.now());
                for arrival in outside.claim(free, now).await {
                    under_way.push(outside.try_once(arrival));
                }
                let has_room = under_way.len() < AT_ONCE;
                let wake = async {
                    match outside.store.next_arrival().await {
                        // What is ready and was not taken is under way already.
                        Ok(Some(at)) if has_room && at > now => outside.clock.sleep_until(at).await,
                        _ => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = outside.arrived.notified() => {}
                    () = wake => {}
                    () = tokio::time::sleep(LOOK) => outside.forget().await,
                    _ = under_way.select_next_some(), if !under_way.is_empty() => {}
                }
            }
            while under_way.next().await.is_some() {}
        });
    }

    async fn claim(&self, most: usize, now: Millis) -> Vec<Arrival> {
        let most = i64::try_from(most).unwrap_or_default();
        if most == 0 {
            return Vec::new();
        }
        self.store.claim_arrivals(now, now + LEASE, most).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to read the inbox");
            Vec::new()
        })
    }

    async fn forget(&self) {
        if let Err(error) = self.store.forget_arrivals(self.clock.now() - KEPT).await {
            tracing::warn!(%error, "failed to clear the inbox");
        }
    }

    /// Acts on an arrival, once more if it was tried before: what was done then is known by the arrival's id and is not
    /// done again.
    async fn try_once(&self, arrival: Arrival) {
        let outcome = Box::pin(self.act(&arrival)).await;
        crash_point::reached("inbox.acted");
        let handled = match &outcome {
            Err(error) if is_passing(error) && arrival.attempt < TRIES => {
                tracing::warn!(id = arrival.id, %error, "what came from outside is tried again");
                let pause = 250 << arrival.attempt.clamp(0, 12);
                Handled::Again { ready_at: self.clock.now() + pause, error: error.to_string() }
            }
            Err(error) if is_passing(error) => {
                tracing::error!(id = arrival.id, %error, "what came from outside was given up");
                Handled::Failed { error: error.to_string() }
            }
            _ => Handled::Done,
        };
        let is_over = !matches!(handled, Handled::Again { .. });
        if let Err(error) = self.store.settle_arrival(&arrival, handled).await {
            tracing::warn!(%error, "failed to note what became of something from outside");
        }
        if is_over && let Some(waiting) = self.waiting().remove(&arrival.id) {
            // They may have given up waiting.
            let _ = waiting.send(outcome);
        }
    }

    /// Whether somebody still waits for what becomes of an arrival.
    fn is_awaited(&self, arrival: &Arrival) -> bool {
        self.waiting().contains_key(&arrival.id)
    }

    fn adapter(&self, name: &str) -> Result<&Arc<dyn ChatAdapter>> {
        let found = self.adapters.iter().find(|adapter| adapter.platform() == name);
        found.ok_or_else(|| Error::unavailable(format!("{name} is not set up")).details(json!({ "platform": name })))
    }
}

/// Whether trying again may help.
fn is_passing(error: &Error) -> bool {
    matches!(error.kind, Kind::Unavailable | Kind::Internal | Kind::RateLimited)
}
