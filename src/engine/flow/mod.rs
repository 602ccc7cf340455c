//! Runs of documents: playbooks, workflows, and commands with steps.
//!
//! `start` makes a run, `bring` is the one way in which it comes further: it reads the run, asks `engine::plan` what follows,
//! and commits that in one transaction. `worker` claims steps and does what they call for, `next` what it goes on with, `control` is what people do to a
//! run, `ask` what they answer it, `card` how it looks in its conversation, `library` where documents come from, `script`
//! the process that runs JavaScript, `actions` the connectors and browsers, `artifacts` what runs leave to be looked at, `screen`
//! how people look at a browser.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use hashlink::LruCache;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::Engine;
use crate::flow::Flow;
use crate::manifest::flow::{About, read_value};
use crate::model::conversation::Millis;
use crate::model::id::new_id;
use crate::model::{Error, Result};
use crate::store::step::Claim;

pub mod actions;
pub mod artifacts;
mod ask;
mod bring;
mod card;
mod confine;
mod control;
mod due;
mod inputs;
mod library;
mod next;
mod rows;
mod screen;
pub mod script;
mod start;
mod view;
mod worker;

pub use ask::Answer;
pub use control::{Control, Controlled, Resolution};
pub use library::{Library, Listed, PLAYBOOK_ENDINGS};
pub use start::{Launch, Launched, Source};
pub use view::{RunView, StepView, kind_of};
pub use worker::keep_flows;

/// Documents that were read from the database and may be needed again.
const PARSED: usize = 256;

/// Runs are brought further one after the other; how many locks they share.
const LOCKS: usize = 64;

/// How runs are worked on here.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Steps that are worked on at the same time.
    pub workers: usize,
    /// How long a step belongs to a worker without a word of it.
    pub lease: Millis,
    /// The most memory of one script, in bytes.
    pub script_memory: u64,
    /// The program that runs scripts; none is this one.
    pub script_program: Option<PathBuf>,
}

/// What the runs of this server have in common.
pub struct Flows {
    /// Names this process in leases.
    worker: String,
    limits: Limits,
    library: Library,
    /// Work or a deadline that was not there before.
    wake: Notify,
    due: due::Due,
    running: Mutex<HashMap<Claim, AbortHandle>>,
    locks: Vec<tokio::sync::Mutex<()>>,
    parsed: Mutex<LruCache<String, Arc<Flow>>>,
    actions: actions::Actions,
    scripts: script::Scripts,
}

impl Flows {
    pub fn new(playbooks: Vec<PathBuf>, limits: Limits, actions: actions::Actions) -> Self {
        Self {
            worker: new_id(),
            scripts: script::Scripts::new(limits.script_memory).with_program(limits.script_program.clone()),
            limits,
            library: Library::new(playbooks),
            wake: Notify::new(),
            due: due::Due::new(),
            running: Mutex::default(),
            locks: (0..LOCKS).map(|_| tokio::sync::Mutex::new(())).collect(),
            parsed: Mutex::new(LruCache::new(PARSED)),
            actions,
        }
    }

    pub fn library(&self) -> &Library {
        &self.library
    }

    /// Held while a run is brought further here; another server finds out at the commit.
    async fn lock(&self, execution: &str) -> tokio::sync::MutexGuard<'_, ()> {
        use std::hash::{Hash as _, Hasher as _};
        let mut hasher = std::hash::DefaultHasher::new();
        execution.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or_default();
        self.locks[index].lock().await
    }

    /// Wakes who works, after something was committed. What is not plain may be due some time.
    fn stir(&self, is_plain: bool) {
        if !is_plain {
            self.due.stir();
        }
        self.wake.notify_one();
    }

    fn remember(&self, hash: &str, flow: Arc<Flow>) {
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner).insert(hash.to_owned(), flow);
    }

    /// Who does one step goes on with another one.
    fn move_on(&self, from: &Claim, to: &Claim) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = running.remove(from) {
            running.insert(to.clone(), handle);
        }
    }

    /// Ends work here that does not count any more.
    fn abort(&self, execution: &str, paths: impl Fn(&str) -> bool) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = running.iter().filter(|(claim, _)| claim.execution == execution && paths(&claim.path));
        lost.for_each(|(_, handle)| handle.abort());
    }
}

impl Engine {
    pub fn flows(&self) -> &Flows {
        &self.flows
    }

    /// The document that a run is pinned to.
    async fn pinned(&self, hash: &str) -> Result<Arc<Flow>> {
        let known = self.flows.parsed.lock().unwrap_or_else(PoisonError::into_inner).get(hash).cloned();
        if let Some(flow) = known {
            return Ok(flow);
        }
        let missing = || Error::internal("read a definition", format!("there is no definition {hash}"));
        let text = self.store().definition(hash).await?.ok_or_else(missing)?;
        let value = serde_json::from_str(&text).map_err(|error| Error::internal("read a definition", error))?;
        let about = About { file: std::path::Path::new("definition"), name: "definition", title: "" };
        let document = read_value(&value, about).map_err(|faults| {
            let first = faults.first().map(ToString::to_string).unwrap_or_default();
            Error::internal("read a definition", first)
        })?;
        let flow = Arc::new(document.flow);
        self.flows.remember(hash, flow.clone());
        Ok(flow)
    }
}
