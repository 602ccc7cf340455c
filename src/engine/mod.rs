//! Floor 4: from a wish to a finished run.
//!
//! [`Engine::invoke`] is the one way in, whichever door a request came through. `registry` holds what can be run as one
//! consistent version, `arguments` checks its values, `runner` runs it, `record` is what is kept of it, `flow` works on what has steps as
//! `plan` says, `answer` is what it says, `remote` leaves it to a process elsewhere, `approval` lets it wait for a word, `data` says what a
//! template may see, `builtin` holds the commands that every installation has, `keys` those of them that are about API keys, `schedule` starts runs at
//! their time.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::bus::Bus;
use crate::clock::Clock;
use crate::model::conversation::Millis;
use crate::store::Store;

pub mod answer;
pub mod approval;
pub mod arguments;
pub mod builtin;
mod data;
pub mod flow;
pub mod invoke;
mod keys;
pub mod plan;
pub mod record;
pub mod registry;
pub mod remote;
pub mod runner;
pub mod schedule;

use registry::Registry;

/// Runs commands. Shared by every door.
pub struct Engine {
    registry: Arc<Registry>,
    store: Arc<Store>,
    clock: Clock,
    started_at: Millis,
    remote: remote::Remote,
    /// Wakes who looks after approvals.
    approvals: Notify,
    /// Wakes who looks after schedules.
    schedules: Notify,
    /// What links begin with, without a trailing slash; known once the server listens.
    public_url: OnceLock<String>,
    flows: flow::Flows,
}

impl Engine {
    pub fn new(registry: Arc<Registry>, store: Arc<Store>, clock: Clock, flows: flow::Flows) -> Arc<Self> {
        let started_at = clock.now();
        let (remote, public_url) = (remote::Remote::default(), OnceLock::new());
        let (approvals, schedules) = (Notify::new(), Notify::new());
        Arc::new(Self { registry, store, clock, started_at, remote, approvals, schedules, public_url, flows })
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub fn bus(&self) -> &Arc<Bus> {
        self.store.bus()
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Says under which address this server is reached; the first word counts.
    pub fn reached_at(&self, public_url: &str) {
        let _ = self.public_url.set(public_url.to_owned());
    }

    /// The whole address of a path of this server.
    pub fn address_of(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.get().map_or("", String::as_str))
    }

    /// When this process began to serve.
    pub fn started_at(&self) -> Millis {
        self.started_at
    }
}
