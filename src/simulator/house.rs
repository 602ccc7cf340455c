//! The house, and what is said in it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::stand_ins::StandIns;
use crate::app::{self, Outbound};
use crate::chat::{Hub, Patience};
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::registry::Registry;
use crate::engine::{Engine, approval, flow, remote};
use crate::identity::Identity;
use crate::model::conversation::Millis;
use crate::model::event::Stream;
use crate::model::message::{Post, SenderKind};
use crate::model::{Error, Result};
use crate::store::{Alone, Store, Target};
use crate::tasks::Tasks;

/// How long what is under way may take, by the clock on the wall.
const LONGEST: Duration = Duration::from_secs(60);

/// How long to wait before looking again whether anything is under way: nobody tells of everything.
const LOOK: Duration = Duration::from_millis(2);

/// How long the house has to end.
const END: Duration = Duration::from_secs(10);

/// So many tries of steps that fail come at once, one after the other; what is retried for ever would never come to rest.
const MOST_TRIES: usize = 1000;

/// Everything below the doors.
pub struct House {
    pub engine: Arc<Engine>,
    pub hub: Arc<Hub>,
    pub identity: Arc<Identity>,
    pub clock: Clock,
    tasks: Tasks,
    _alone: Option<Alone>,
}

/// Something a bot said.
#[derive(Clone, Debug)]
pub struct Told {
    pub seq: i64,
    /// As it stood then.
    pub post: Post,
    /// Whether it rewrote what stood there already.
    pub is_update: bool,
}

impl House {
    /// Opens it over the database and the bots of the settings. With stand-ins nothing leaves it.
    pub async fn open(config: &Config, clock: Clock, stand_ins: Option<&Arc<StandIns>>) -> anyhow::Result<Self> {
        let tasks = Tasks::new();
        let alone = Target::parse(&config.database_target()).take()?;
        let (store, identity) = app::open_store(config, clock.clone(), &tasks).await?;
        store.lapse_steps(clock.now()).await?;
        store.free_leases(clock.now()).await?;
        let folders = config.bots.clone();
        let registry = tokio::task::spawn_blocking(move || Registry::open(folders)).await?;
        let outbound = match stand_ins {
            Some(stand_ins) => Outbound::answered_by(config, &store, &clock, &tasks, stand_ins.fetched()).await?,
            None => Outbound::open(config, &store, &clock, &tasks).await?,
        };
        let connectors = outbound.connectors(config).await?;
        let folder = app::open_folder(config, store.epoch())?;
        let browsers = app::browsers(config, &outbound, &tasks);
        let flows = app::flows(config, connectors, browsers, app::artifacts(config, &store, &clock, &folder));
        let engine = Engine::new(registry, store.clone(), clock.clone(), flows);
        remote::keep_deadlines(&engine, &tasks);
        approval::watch(&engine, &tasks);
        flow::keep_flows(&engine, &tasks);
        let files = app::files(config, folder);
        let millis = |time: jiff::SignedDuration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2);
        let patience = Patience { expires: millis(config.dialogs.expires), reminder: millis(config.dialogs.reminder) };
        let hub = Hub::new(engine.clone(), files, patience);
        hub.watch_expiry(&tasks);
        let house = Self { engine, hub, identity, clock, tasks, _alone: alone };
        if let Some(stand_ins) = stand_ins {
            stand_ins.serve(&house.engine, &house.identity, &house.tasks).await.context("failed to serve the bots")?;
        }
        Ok(house)
    }

    pub fn store(&self) -> &Arc<Store> {
        self.engine.store()
    }

    /// Ends what runs in it, and closes the database.
    pub async fn close(self) {
        self.tasks.stop_token().cancel();
        self.store().close();
        self.tasks.stop(END).await;
    }

    /// Waits until nothing goes on by itself any more. A clock that is moved by hand is moved to the next try of a step that
    /// failed, since nobody wants to wait for that.
    pub async fn rest(&self) -> Result<()> {
        let by_hand = self.clock.is_fixed();
        let resting = async {
            let mut tries = 0;
            loop {
                let now = self.clock.now();
                let unrest = self.store().unrest(now).await?;
                match unrest.tries_again_at {
                    _ if unrest.under_way > 0 => tokio::time::sleep(LOOK).await,
                    Some(at) if by_hand && tries < MOST_TRIES => {
                        tries += 1;
                        self.clock.advance(at - now);
                    }
                    _ => return Ok(()),
                }
            }
        };
        let late = || Error::internal("come to rest", "something was still under way after a minute");
        tokio::time::timeout(LONGEST, resting).await.map_err(|_| late())?
    }

    /// Moves the clock on, and waits for what follows from it.
    pub async fn pass(&self, millis: Millis) -> Result<()> {
        self.clock.advance(millis);
        self.rest().await
    }

    /// What bots have said in a conversation after `after`, oldest first, and the newest `seq`.
    pub async fn told_since(&self, conversation: &str, after: i64) -> Result<(Vec<Told>, i64)> {
        const PAGE: i64 = 500;
        let stream = Stream::conversation(conversation);
        let (mut told, mut after) = (Vec::new(), after);
        loop {
            let page = self.store().events_after(&stream, after, PAGE).await?;
            for event in &page.events {
                after = event.seq;
                let is_update = event.kind == "message_update";
                if !is_update && event.kind != "message" {
                    continue;
                }
                let unread = |error: serde_json::Error| Error::internal("read a message", error);
                let post: Option<Post> = if is_update {
                    let payload: serde_json::Value = serde_json::from_str(event.payload.get()).map_err(unread)?;
                    payload.get("post").cloned().map(serde_json::from_value).transpose().map_err(unread)?
                } else {
                    Some(serde_json::from_str(event.payload.get()).map_err(unread)?)
                };
                let post = post.filter(|post| post.sender.kind == SenderKind::Bot && post.deleted_at.is_none());
                told.extend(post.map(|post| Told { seq: event.seq, post, is_update }));
            }
            if page.events.len() < usize::try_from(PAGE).unwrap_or_default() {
                return Ok((told, after));
            }
        }
    }

    /// What bots have said in a conversation as it stands now, the newest first.
    pub async fn messages(&self, conversation: &str) -> Result<Vec<Post>> {
        let (told, _) = self.told_since(conversation, 0).await?;
        Ok(told.into_iter().rev().filter(|told| !told.is_update).map(|told| told.post).collect())
    }
}
