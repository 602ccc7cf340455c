//! Floor 4: from a wish to a finished run.
//!
//! [`Engine::invoke`] is the one way in, whichever door a request came through. `registry` holds what can be run as one
//! consistent version, `arguments` checks its values, `runner` runs it, `flow` works on what has steps as `plan` says, `answer` is what it says, `remote`
//! leaves it to a process elsewhere, `data` says what a template may see, `builtin` holds the commands that every installation has.

use std::sync::Arc;

use crate::bus::Bus;
use crate::clock::Clock;
use crate::model::conversation::Millis;
use crate::store::Store;

pub mod answer;
pub mod arguments;
pub mod builtin;
mod data;
pub mod flow;
pub mod invoke;
pub mod plan;
pub mod registry;
pub mod remote;
pub mod runner;

use registry::Registry;

/// Runs commands. Shared by every door.
pub struct Engine {
    registry: Arc<Registry>,
    store: Arc<Store>,
    clock: Clock,
    started_at: Millis,
    remote: remote::Remote,
    flows: flow::Flows,
}

impl Engine {
    pub fn new(registry: Arc<Registry>, store: Arc<Store>, clock: Clock, flows: flow::Flows) -> Arc<Self> {
        let started_at = clock.now();
        Arc::new(Self { registry, store, clock, started_at, remote: remote::Remote::default(), flows })
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

    /// When this process began to serve.
    pub fn started_at(&self) -> Millis {
        self.started_at
    }
}
