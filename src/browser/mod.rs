//! Floor 2½: browsers that steps drive. A run has one of its own, from its first `browser.navigate` to its end.
//!
//! `process` starts and ends Chromium, `pipe` talks to it, `gate` is its only way to the network, `page` what steps do,
//! `screen` what people see of it while they look. Nothing of a browser outlives its run: no cookie, no cache, no process.

mod gate;
mod input;
mod page;
mod picture;
mod pipe;
mod process;
mod profiles;
mod screen;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::config;
use crate::fetch::Guard;
use crate::model::effect::Effect;
use crate::tasks::Tasks;
use process::Browser;
use profiles::Profiles;

pub use picture::Picture;
pub use process::program;
pub use screen::{Frame, Screen, Screens, Viewer};

/// The connector that steps name, as in `browser.click`.
pub const CONNECTOR: &str = "browser";

/// How long a page that failed may take to show itself once more. A step counts as lost five seconds after its time.
const LAST_LOOK: Duration = Duration::from_secs(4);

/// Why a step of a browser failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In lower case, such as `element_not_ready`.
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

    /// Whether the page may show what went wrong.
    fn has_a_face(&self) -> bool {
        !matches!(self.code, "browser_unavailable" | "browser_lost" | "invalid_parameters" | "unknown_action")
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

/// What a step asks of the browser of its run.
#[derive(Debug)]
pub struct Order<'a> {
    /// Id of the run.
    pub run: &'a str,
    pub action: &'a str,
    pub input: &'a Value,
    /// What `browser.file_upload` hands to the page: names, and where the bytes are.
    pub files: Vec<(String, PathBuf)>,
    pub timeout: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    pub result: Result<Value, Failure>,
    /// What is to be kept: what `browser.screenshot` took, or how the page looked when the step failed.
    pub pictures: Vec<Picture>,
}

impl From<Failure> for Done {
    fn from(failure: Failure) -> Self {
        Self { result: Err(failure), pictures: Vec::new() }
    }
}

/// The browser of one run.
struct Held {
    browser: tokio::sync::Mutex<Option<Browser>>,
    screen: Arc<Screen>,
    used: Mutex<Instant>,
    /// Where a browser goes to be ended.
    ended: mpsc::UnboundedSender<Browser>,
    _room: OwnedSemaphorePermit,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(browser) = self.browser.get_mut().take() {
            // Nobody listens any more when the server has ended; then it ends by being dropped.
            let _ = self.ended.send(browser);
        }
    }
}

/// All browsers of this server.
pub struct Browsers {
    settings: config::Browser,
    guard: Guard,
    profiles: Profiles,
    room: Arc<Semaphore>,
    /// By run.
    held: Mutex<HashMap<String, Arc<Held>>>,
    screens: Screens,
    ended: mpsc::UnboundedSender<Browser>,
    ending: Mutex<Option<mpsc::UnboundedReceiver<Browser>>>,
}

impl Browsers {
    /// Profiles stand in `folder`, which several servers may share; what servers left there that are gone is removed.
    pub fn new(settings: config::Browser, guard: Guard, folder: PathBuf) -> Self {
        let room = Arc::new(Semaphore::new(settings.most.max(1)));
        let (ended, ending) = mpsc::unbounded_channel();
        Self {
            settings,
            guard,
            profiles: Profiles::new(folder),
            room,
            held: Mutex::default(),
            screens: Screens::default(),
            ended,
            ending: Mutex::new(Some(ending)),
        }
    }

    /// What doing an action again would do; none for an action that there is not.
    pub fn effect(action: &str) -> Option<Effect> {
        page::ACTIONS.iter().find(|(name, ..)| *name == action).map(|(_, effect, _)| *effect)
    }

    /// Every action by its name, and what doing it again would do.
    pub fn actions() -> impl Iterator<Item = (&'static str, Effect)> {
        page::ACTIONS.iter().map(|(name, effect, _)| (*name, *effect))
    }

    /// What is shown of them while somebody looks.
    pub fn screens(&self) -> &Screens {
        &self.screens
    }

    /// Does one action in the browser of a run.
    pub async fn call(&self, order: Order<'_>) -> Done {
        let until = tokio::time::Instant::now() + order.timeout;
        let late = || {
            let message = format!("it took longer than {} s", order.timeout.as_secs_f32());
            Failure { uncertain: true, retryable: true, ..Failure::new("timeout", message) }
        };
        if let Err(failure) = page::check(&order) {
            return failure.into();
        }
        let opens = order.action == "navigate";
        let held = match tokio::time::timeout_at(until, self.held(order.run, opens)).await {
            Ok(Ok(held)) => held,
            Ok(Err(failure)) => return failure.into(),
            Err(_) => {
                let message = format!("no browser became free in time; there are {} at most", self.settings.most);
                return Failure { retryable: true, ..Failure::new("timeout", message) }.into();
            }
        };
        let Ok(mut browser) = tokio::time::timeout_at(until, held.browser.lock()).await else {
            return Failure { uncertain: false, ..late() }.into();
        };
        if browser.as_mut().is_some_and(|browser| !browser.is_alive()) {
            *browser = None;
        }
        let browser = match &mut *browser {
            Some(browser) => browser,
            none if opens => {
                let started = async {
                    let profile = self.profiles.new_one().await?;
                    Browser::start(&self.settings, self.guard.clone(), profile, held.screen.clone()).await
                };
                match tokio::time::timeout_at(until, started).await {
                    Ok(Ok(browser)) => none.insert(browser),
                    Ok(Err(failure)) => {
                        self.end(order.run);
                        return failure.into();
                    }
                    Err(_) => {
                        self.end(order.run);
                        return late().into();
                    }
                }
            }
            _ => return no_page().into(),
        };
        let done = tokio::time::timeout_at(until, page::perform(browser, &self.guard, &order, &self.settings)).await;
        let mut done = done.unwrap_or_else(|_| late().into());
        if let Err(failure) = &done.result
            && failure.has_a_face()
        {
            let look = async {
                match browser.tab() {
                    Ok(tab) => picture::of_a_failure(tab, &self.settings).await,
                    Err(_) => Vec::new(),
                }
            };
            done.pictures.extend(tokio::time::timeout(LAST_LOOK, look).await.unwrap_or_default());
        }
        *held.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        done
    }

    /// A person clicks into the page of a run, at a place of its frames. Steps go on meanwhile.
    pub async fn click(&self, run: &str, x: f64, y: f64) -> Result<(), Failure> {
        let inside = |at: f64, most: u32| at >= 0.0 && at < f64::from(most);
        if !inside(x, self.settings.width) || !inside(y, self.settings.height) {
            let message = format!("x and y lie in a page of {} × {}", self.settings.width, self.settings.height);
            return Err(Failure::new("invalid_parameters", message));
        }
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).get(run).cloned().ok_or_else(no_page)?;
        let tab = held.screen.tab().ok_or_else(no_page)?;
        let clicked = tokio::time::timeout(LAST_LOOK, input::click(&tab, x, y)).await;
        clicked.map_err(|_| Failure::new("timeout", "the page takes no click right now"))??;
        *held.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        Ok(())
    }

    /// Whether a run has a browser here.
    pub fn has(&self, run: &str) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).contains_key(run)
    }

    async fn held(&self, run: &str, opens: bool) -> Result<Arc<Held>, Failure> {
        let known = || self.held.lock().unwrap_or_else(PoisonError::into_inner).get(run).cloned();
        if let Some(held) = known() {
            return Ok(held);
        }
        if !opens {
            return Err(no_page());
        }
        if program(&self.settings).is_none() {
            return Err(process::missing());
        }
        let room = self.room.clone().acquire_owned().await.map_err(|_| unavailable("the server ends"))?;
        let screen = Arc::new(Screen::new(run, &self.screens));
        let new = Arc::new(Held {
            browser: tokio::sync::Mutex::default(),
            screen,
            used: Mutex::new(Instant::now()),
            ended: self.ended.clone(),
            _room: room,
        });
        let held = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.entry(run.to_owned()).or_insert(new).clone()
        };
        self.screens.show(&held.screen);
        Ok(held)
    }

    /// Ends the browser of a run, if it has one.
    pub fn end(&self, run: &str) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
        if let Some(held) = held {
            self.screens.hide(&held.screen);
        }
    }

    /// Ends browsers that nobody uses, and all of them when the server ends.
    pub fn watch(self: &Arc<Self>, tasks: &Tasks) {
        let (browsers, stop) = (self.clone(), tasks.stop_token().clone());
        let Some(mut ending) = self.ending.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let idle = self.settings.idle.unsigned_abs();
        tasks.spawn("browsers", async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    Some(browser) = ending.recv() => browser.end().await,
                    () = tokio::time::sleep((idle / 4).max(Duration::from_millis(100))) => browsers.end_idle(idle),
                }
            }
            browsers.room.close();
            let all: Vec<String> = {
                let held = browsers.held.lock().unwrap_or_else(PoisonError::into_inner);
                held.keys().cloned().collect()
            };
            all.iter().for_each(|run| browsers.end(run));
            // One that a step works in right now comes when the step does.
            while let Ok(browser) = ending.try_recv() {
                browser.end().await;
            }
        });
    }

    fn end_idle(&self, idle: Duration) {
        let over: Vec<String> = {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let is_over = |held: &Arc<Held>| {
                // One that a step works in is held twice.
                Arc::strong_count(held) == 1
                    && held.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= idle
            };
            held.iter().filter(|(_, held)| is_over(held)).map(|(run, _)| run.clone()).collect()
        };
        over.iter().for_each(|run| self.end(run));
    }
}

fn no_page() -> Failure {
    let message = "the run has no page open here; its browser was not begun, was idle for too long or ended with the \
                   server. Go on from a step with browser.navigate";
    Failure::new("browser_lost", message)
}
