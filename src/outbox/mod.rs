//! Floor 5: what leaves for chats outside.
//!
//! A row of the outbox is written in the transaction of what it tells of (`store::outbox`). [`Outbox`] takes one row of
//! each channel at a time, hands it to the [`Transport`] of its chat, and notes what became of it: delivered, to be tried
//! again later, or given up. Changes of a message leave at most once a second for each channel, as the message stands
//! then.

mod hooks;
mod webhook;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::clock::Clock;
use crate::crash_point;
use crate::identity::Identity;
use crate::model::Result;
use crate::model::conversation::Millis;
use crate::model::id::sha256_hex;
use crate::model::message::{Message, Post};
use crate::model::place::{Account, Address, Place};
use crate::store::Store;
use crate::store::outbox::{Leaving, Load, Notice, Outcome};
use crate::tasks::Tasks;

pub use hooks::{Hooks, WebhookWish};
pub use webhook::{Teller, plain_signature, standard_signature};

/// What an ephemeral message is known by where it was shown: no chat lets it be changed later.
const EPHEMERAL: &str = "ephemeral";

/// How many channels are served at the same time.
const AT_ONCE: usize = 16;

/// How long one attempt may take before another server may make the next.
const LEASE: Millis = 30_000;

/// How much longer for each file that goes along.
const FILE_LEASE: Millis = 70 * 1000;

/// How long something is tried before it is given up.
const GIVE_UP: Millis = 24 * 60 * 60 * 1000;

/// The first and the longest pause between two attempts.
const FIRST_PAUSE: Millis = 1000;
const LONGEST_PAUSE: Millis = 5 * 60 * 1000;

/// The shortest time between two changes in one channel.
const PACE: Millis = 1000;

/// What left is remembered for so long.
const KEPT: Millis = 24 * 60 * 60 * 1000;

/// What was left by a server that died is looked for this often, and the database when it did not answer.
const LOOK: Duration = Duration::from_secs(10);

/// How long attempts under way may go on at a shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// A chat outside, as far as something is delivered to it.
pub trait Transport: Send + Sync {
    /// Which one: one of [`crate::model::place::PLATFORMS`].
    fn platform(&self) -> &'static str;

    /// Makes one attempt. With `known` the message that stands there is changed; when it is not there any more, the answer
    /// is [`Refusal::Gone`].
    fn deliver<'a>(&'a self, parcel: &'a Parcel) -> BoxFuture<'a, Result<Delivered, Refusal>>;
}

/// Something on its way to a chat outside.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The same in each attempt.
    pub id: String,
    pub place: Place,
    pub content: Content,
    /// What the chat knows the message by, when it stands there already.
    pub known: Option<String>,
    /// Whether an earlier attempt may have arrived without our knowing: look before saying it again, and bring what stands
    /// there up to date, since the message may have changed after that attempt.
    pub uncertain: bool,
    /// Counts the attempts, this one included.
    pub attempt: i64,
}

#[derive(Clone, Debug)]
pub enum Content {
    /// A message as it stands now; of a person when it was said elsewhere.
    Message(Box<Post>),
    /// The message is taken back.
    Gone,
    /// For the eyes of one person: a way to sign in here with that account.
    SignIn { account: Account, url: String },
    /// For the eyes of one person; of a conversation when it is an ephemeral message there.
    Private { account: Account, message: Box<Message>, conversation: Option<String> },
}

/// What the chat made of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// What the chat knows the message by from now on; none for what cannot be changed any more.
    pub reference: Option<String>,
    /// Whether it may stand there twice: it had to be said again, and nobody could look.
    pub maybe_twice: bool,
}

/// Why an attempt came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It did not arrive; after that time it may, in milliseconds.
    Later { after: Option<Millis>, why: String },
    /// Nobody knows whether it arrived.
    Unknown { why: String },
    /// The message that was to be changed is not there any more.
    Gone,
    /// It never will.
    Never { why: String },
}

/// What became of attempts since the start.
#[derive(Debug, Default)]
pub struct Counts {
    pub delivered: AtomicU64,
    pub retried: AtomicU64,
    pub dead: AtomicU64,
    pub maybe_twice: AtomicU64,
}

/// Carries what waits in the outbox to where it belongs.
pub struct Outbox {
    store: Arc<Store>,
    identity: Arc<Identity>,
    clock: Clock,
    /// What links begin with.
    public_url: String,
    transports: Vec<Arc<dyn Transport>>,
    /// Groups of destinations by their names.
    groups: BTreeMap<String, Vec<String>>,
    pub counts: Counts,
    /// When something was last changed in a channel.
    paced: Mutex<HashMap<String, Millis>>,
    /// What this server is at, by its id.
    under_way: Mutex<HashSet<String>>,
}

impl Outbox {
    pub fn new(
        store: Arc<Store>,
        identity: Arc<Identity>,
        clock: Clock,
        public_url: &str,
        transports: Vec<Arc<dyn Transport>>,
        groups: BTreeMap<String, Vec<String>>,
    ) -> Arc<Self> {
        let public_url = public_url.to_owned();
        let (counts, paced, under_way) = (Counts::default(), Mutex::default(), Mutex::default());
        Arc::new(Self { store, identity, clock, public_url, transports, groups, counts, paced, under_way })
    }

    /// Starts the task that carries.
    pub fn start(self: &Arc<Self>, tasks: &Tasks) {
        let (outbox, stop) = (self.clone(), tasks.stop_token().clone());
        tasks.spawn("outbox", async move {
            let mut under_way = FuturesUnordered::new();
            while !stop.is_cancelled() {
                let (free, now) = (AT_ONCE - under_way.len(), outbox.clock.now());
                for leaving in outbox.claim(free, now).await {
                    under_way.push(outbox.carry(leaving));
                }
                let has_room = under_way.len() < AT_ONCE;
                let wake = async {
                    match outbox.store.next_leaving().await {
                        // What is ready and was not taken is under way already.
                        Ok(Some(at)) if has_room && at > now => outbox.clock.sleep_until(at).await,
                        _ => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = outbox.store.bus().something_leaves() => {}
                    () = wake => {}
                    () = tokio::time::sleep(LOOK) => outbox.forget().await,
                    _ = under_way.select_next_some(), if !under_way.is_empty() => {}
                }
            }
            let finish = async { while under_way.next().await.is_some() {} };
            // What does not end in time is looked for at the next start.
            let _ = tokio::time::timeout(GRACE, finish).await;
        });
    }

    async fn claim(&self, most: usize, now: Millis) -> Vec<Leaving> {
        let most = i64::try_from(most).unwrap_or_default();
        if most == 0 {
            return Vec::new();
        }
        let under_way = self.under_way().iter().cloned().collect();
        let claimed = self.store.claim_leaving(now, now + LEASE, most, under_way).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to read the outbox");
            Vec::new()
        });
        self.under_way().extend(claimed.iter().map(|leaving| leaving.id.clone()));
        claimed
    }

    fn under_way(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn forget(&self) {
        if let Err(error) = self.store.forget_departed(self.clock.now() - KEPT).await {
            tracing::warn!(%error, "failed to clear the outbox");
        }
    }

    /// The places that one of a group or of a person stands for; none when it is a place itself.
    async fn places_behind(&self, place: &Place) -> Result<Option<Vec<Place>>> {
        match place.platform.as_str() {
            "group" => {
                let addresses = self.groups.get(&place.channel).map(Vec::as_slice).unwrap_or_default();
                let places = addresses.iter().filter_map(|text| Address::parse(text).ok()?.place());
                // A group of groups would never end.
                Ok(Some(places.filter(|place| place.platform != "group").collect()))
            }
            "user" => {
                let accounts = self.store.linked_accounts(&place.channel).await?;
                let newest = accounts.into_iter().rev().map(|linked| linked.account);
                let place = |account: Account| Place {
                    platform: account.platform,
                    team: account.team,
                    channel: account.id,
                    thread: None,
                };
                Ok(Some(newest.map(place).take(1).collect()))
            }
            _ => Ok(None),
        }
    }

    async fn carry(&self, leaving: Leaving) {
        let id = leaving.id.clone();
        self.carry_once(leaving).await;
        self.under_way().remove(&id);
    }

    async fn carry_once(&self, leaving: Leaving) {
        let outcome = match self.places_behind(&leaving.place).await {
            Ok(None) => None,
            Ok(Some(places)) if places.is_empty() => {
                let error = format!("nobody stands behind {}:{}", leaving.place.platform, leaving.place.channel);
                Some(Outcome::Dead { error, at: self.clock.now() })
            }
            Ok(Some(places)) => {
                if let Err(error) = self.store.expand_leaving(leaving, places, self.clock.now()).await {
                    tracing::warn!(%error, "failed to send a message on");
                }
                return;
            }
            Err(error) => Some(self.again(&leaving, None, error.to_string(), false)),
        };
        if let Some(outcome) = outcome {
            return self.settle(leaving, outcome).await;
        }
        let outcome = match Box::pin(self.attempt(&leaving)).await {
            Ok(outcome) => outcome,
            Err(error) => self.again(&leaving, None, error.to_string(), false),
        };
        self.settle(leaving, outcome).await;
    }

    async fn settle(&self, leaving: Leaving, outcome: Outcome) {
        match &outcome {
            Outcome::Delivered { .. } => self.counts.delivered.fetch_add(1, Ordering::Relaxed),
            Outcome::Again { error, .. } => {
                tracing::info!(id = leaving.id, place = %leaving.place, error, "a message for outside is tried again");
                self.counts.retried.fetch_add(1, Ordering::Relaxed)
            }
            Outcome::Dead { error, .. } => {
                tracing::error!(id = leaving.id, place = %leaving.place, error, "a message for outside was given up");
                self.counts.dead.fetch_add(1, Ordering::Relaxed)
            }
            Outcome::Paced { .. } => 0,
        };
        if let Err(error) = self.store.settle_leaving(leaving, outcome).await {
            tracing::warn!(%error, "failed to note what left");
        }
    }

    /// Makes one attempt.
    async fn attempt(&self, leaving: &Leaving) -> Result<Outcome> {
        let Some(transport) = self.transports.iter().find(|transport| transport.platform() == leaving.place.platform)
        else {
            return Ok(self.again(leaving, None, format!("{} is not set up", leaving.place.platform), false));
        };
        let now = self.clock.now();
        let (content, seq, digest) = match &leaving.load {
            Load::Message { conversation, message, seq } => {
                // The head first: what comes later has a row of its own.
                let head = self.store.head(&crate::model::event::Stream::conversation(conversation)).await?;
                let post = self.store.message(conversation, message).await?.map(|(_, post)| post);
                let digest = post.as_ref().map(|post| sha256_hex(&serde_json::to_vec(post).unwrap_or_default()));
                let content = match post.filter(|post| post.deleted_at.is_none()) {
                    None => Content::Gone,
                    Some(post) if post.ephemeral => match self.reader(conversation, &leaving.place).await? {
                        Some(account) => {
                            let (message, conversation) = (Box::new(post.message()), Some(conversation.clone()));
                            Content::Private { account, message, conversation }
                        }
                        None => {
                            let error = "nobody is there whom it is for".to_owned();
                            return Ok(Outcome::Dead { error, at: now });
                        }
                    },
                    Some(post) => Content::Message(Box::new(post)),
                };
                (content, head.max(*seq), digest)
            }
            Load::Notice(notice) => (self.content_of(notice, &leaving.place).await?, 0, None),
        };
        let known = match &leaving.load {
            Load::Message { message, .. } => self.store.message_ref(message, &leaving.place).await?,
            Load::Notice(_) => None,
        };
        let reference = known.as_ref().map(|known| known.reference.clone());
        let done = |reference, digest| Outcome::Delivered { reference, digest, seq, at: now };
        match &known {
            Some(known) if known.reference == EPHEMERAL => return Ok(done(reference, known.digest.clone())),
            // A person's own words there are theirs to change, and what is the same is not sent again.
            Some(known) if known.digest.is_none() || known.digest == digest => {
                return Ok(done(reference, known.digest.clone()));
            }
            None if matches!(content, Content::Gone) => return Ok(done(None, None)),
            Some(_) => {
                if let Some(ready_at) = self.too_early(&leaving.place, now) {
                    return Ok(Outcome::Paced { ready_at });
                }
            }
            None => {}
        }
        if let Content::Message(post) = &content
            && !post.files.is_empty()
        {
            let count = Millis::try_from(post.files.len()).unwrap_or_default();
            self.store.hold_leaving(leaving, now + LEASE + FILE_LEASE * count).await?;
        }
        let (uncertain, attempt) = (leaving.uncertain && known.is_none(), leaving.attempt);
        let (id, place) = (leaving.id.clone(), leaving.place.clone());
        let mut parcel = Parcel { id, place, content, known: reference, uncertain, attempt };
        crash_point::reached("outbox.delivering");
        let mut delivered = transport.deliver(&parcel).await;
        if delivered == Err(Refusal::Gone) {
            if matches!(parcel.content, Content::Gone) {
                return Ok(done(None, None));
            }
            parcel.known = None;
            delivered = transport.deliver(&parcel).await;
        }
        crash_point::reached("outbox.delivered");
        Ok(match delivered {
            Ok(Delivered { reference, maybe_twice }) => {
                if maybe_twice {
                    self.counts.maybe_twice.fetch_add(1, Ordering::Relaxed);
                }
                let reference = match parcel.content {
                    Content::Gone => None,
                    Content::Private { .. } => Some(EPHEMERAL.to_owned()),
                    _ => reference,
                };
                done(reference, digest)
            }
            Err(Refusal::Later { after, why }) => self.again(leaving, after, why, false),
            Err(Refusal::Unknown { why }) => self.again(leaving, None, why, true),
            Err(Refusal::Gone) => Outcome::Dead { error: "the message is not there any more".to_owned(), at: now },
            Err(Refusal::Never { why }) => Outcome::Dead { error: why, at: now },
        })
    }

    /// Whose eyes an ephemeral message of a conversation is for at a place: its owner's account there.
    async fn reader(&self, conversation: &str, place: &Place) -> Result<Option<Account>> {
        let Some(conversation) = self.store.conversation(conversation).await? else { return Ok(None) };
        if let Some(guest) = Account::of_guest(&conversation.owner) {
            return Ok((guest.platform == place.platform).then_some(guest));
        }
        let linked = self.store.linked_accounts(&conversation.owner).await?;
        let mut accounts = linked.into_iter().rev().map(|linked| linked.account);
        // Where accounts are the same in all teams, the platform itself is their team.
        let is_there = |account: &Account| {
            account.platform == place.platform && (account.team == place.team || account.team == account.platform)
        };
        Ok(accounts.find(is_there))
    }

    async fn content_of(&self, notice: &Notice, place: &Place) -> Result<Content> {
        Ok(match notice {
            Notice::SignIn { account } => {
                let token = self.identity.offer_link(account, place).await?;
                Content::SignIn { account: account.clone(), url: format!("{}/link/{token}", self.public_url) }
            }
            Notice::Private { account, message } => {
                Content::Private { account: account.clone(), message: message.clone(), conversation: None }
            }
            Notice::Post(post) => Content::Message(post.clone()),
        })
    }

    /// The time before which nothing more is changed in that channel; none when it is now.
    fn too_early(&self, place: &Place, now: Millis) -> Option<Millis> {
        let mut paced = self.paced.lock().unwrap_or_else(PoisonError::into_inner);
        paced.retain(|_, at| *at + PACE > now);
        match paced.get(&place.lane()) {
            Some(at) => Some(at + PACE),
            None => {
                paced.insert(place.lane(), now);
                None
            }
        }
    }

    fn again(&self, leaving: &Leaving, after: Option<Millis>, error: String, uncertain: bool) -> Outcome {
        let now = self.clock.now();
        if now - leaving.created_at >= GIVE_UP {
            return Outcome::Dead { error, at: now };
        }
        let doubled = FIRST_PAUSE << (leaving.attempt - 1).clamp(0, 20);
        let pause = after.unwrap_or(doubled.min(LONGEST_PAUSE)).max(0);
        Outcome::Again { ready_at: now + pause, error, uncertain }
    }
}
