//! Floor 3: browsers that steps drive. A run has one of its own, from its first `browser.navigate` to its end.
//!
//! `process` starts and ends Chromium, `pipe` talks to it, `gate` is its only way to the network, `page` what steps do.
//! Nothing of a browser outlives its run: no cookie, no cache, no process.

mod gate;
mod page;
mod pipe;
mod process;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config;
use crate::fetch::Guard;
use crate::model::effect::Effect;
use crate::tasks::Tasks;
use process::Browser;

pub use process::program;

/// The connector that steps name, as in `browser.click`.
pub const CONNECTOR: &str = "browser";

/// Why a step of a browser failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In lower case, such as `element_not_found`.
    pub code: &'static str,
    /// One sentence for whoever wrote the step.
    pub message: String,
    /// Whether trying again may help.
    pub retryable: bool,
    /// Whether it may have had its effect all the same.
    pub uncertain: bool,
}

impl Failure {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: false, uncertain: false }
    }

    fn gone() -> Self {
        Self { uncertain: true, ..Self::new("browser_lost", "the browser ended while the step was under way") }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn unavailable(message: impl Into<String>) -> Failure {
    Failure::new("browser_unavailable", message)
}

/// The browser of one run.
struct Held {
    browser: tokio::sync::Mutex<Option<Browser>>,
    used: Mutex<Instant>,
    _room: OwnedSemaphorePermit,
}

/// All browsers of this server.
pub struct Browsers {
    settings: config::Browser,
    guard: Guard,
    /// Holds a folder for each browser; cleared at the start.
    folder: PathBuf,
    room: Arc<Semaphore>,
    /// By run.
    held: Mutex<HashMap<String, Arc<Held>>>,
}

impl Browsers {
    /// `folder` is this server's alone; what an earlier one left there is removed.
    pub fn new(settings: config::Browser, guard: Guard, folder: PathBuf) -> Self {
        if let Err(error) = std::fs::remove_dir_all(&folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, folder = %folder.display(), "profiles of former browsers could not be removed");
        }
        let room = Arc::new(Semaphore::new(settings.most.max(1)));
        Self { settings, guard, folder, room, held: Mutex::default() }
    }

    /// What doing an action again would do; none for an action that there is not.
    pub fn effect(action: &str) -> Option<Effect> {
        page::ACTIONS.iter().find(|(name, _)| *name == action).map(|(_, effect)| *effect)
    }

    /// Does one action in the browser of a run. The caller limits its time; dropped, it has stopped.
    pub async fn call(&self, run: &str, action: &str, input: &Value) -> Result<Value, Failure> {
        if Self::effect(action).is_none() {
            let known: Vec<&str> = page::ACTIONS.iter().map(|(name, _)| *name).collect();
            let message = format!("there is no action browser.{action}; there are {}", known.join(", "));
            return Err(Failure::new("unknown_action", message));
        }
        let opens = action == "navigate";
        let held = self.held(run, opens).await?;
        let mut browser = held.browser.lock().await;
        if browser.as_mut().is_some_and(|browser| !browser.is_alive()) {
            *browser = None;
        }
        let browser = match &mut *browser {
            Some(browser) => browser,
            none if opens => {
                let profile = self.folder.join(crate::model::id::new_id());
                none.insert(Browser::start(&self.settings, self.guard.clone(), profile).await?)
            }
            _ => return Err(no_page()),
        };
        let done = page::perform(browser, &self.guard, action, input).await;
        *held.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        done
    }

    async fn held(&self, run: &str, opens: bool) -> Result<Arc<Held>, Failure> {
        let known = || self.held.lock().unwrap_or_else(PoisonError::into_inner).get(run).cloned();
        if let Some(held) = known() {
            return Ok(held);
        }
        if !opens {
            return Err(no_page());
        }
        let room = self.room.clone().acquire_owned().await.map_err(|_| unavailable("the server ends"))?;
        let new =
            Arc::new(Held { browser: tokio::sync::Mutex::default(), used: Mutex::new(Instant::now()), _room: room });
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(held.entry(run.to_owned()).or_insert(new).clone())
    }

    /// Ends the browser of a run, if it has one.
    pub fn end(&self, run: &str) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
        drop(held);
    }

    /// Ends browsers that nobody uses, and all of them when the server ends.
    pub fn watch(self: &Arc<Self>, tasks: &Tasks) {
        let (browsers, stop) = (self.clone(), tasks.stop_token().clone());
        let idle = self.settings.idle.unsigned_abs();
        tasks.spawn("browsers", async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep((idle / 4).max(Duration::from_millis(100))) => browsers.end_idle(idle),
                }
            }
            browsers.room.close();
            let all = std::mem::take(&mut *browsers.held.lock().unwrap_or_else(PoisonError::into_inner));
            drop(all);
        });
    }

    fn end_idle(&self, idle: Duration) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, held| {
            // One that a step works in is held twice.
            Arc::strong_count(held) > 1 || held.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < idle
        });
    }
}

fn no_page() -> Failure {
    let message = "the run has no page open; its browser was not begun, was idle for too long or ended with the server. \
                   Go on from a step with browser.navigate";
    Failure::new("browser_lost", message)
}
