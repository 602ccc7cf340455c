//! What people see of browsers: the latest frame of each, made only while somebody looks, and kept nowhere.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::pipe::Tab;

/// The least time between two frames of a page.
const PACE: Duration = Duration::from_millis(250);

/// A page as it looked.
#[derive(Clone, Debug)]
pub struct Frame {
    /// A PNG in base64.
    pub png: Arc<str>,
    /// Counts the frames of one screen.
    number: u64,
}

/// The screen of one run.
pub struct Screen {
    run: String,
    tab: Mutex<Option<Tab>>,
    viewers: watch::Sender<usize>,
    frame: watch::Sender<Option<Frame>>,
    /// How many frames there were.
    drawn: AtomicU64,
    /// Told of each frame of any screen.
    any: watch::Sender<u64>,
}

/// The screens of all runs that have a browser here.
#[derive(Default)]
pub struct Screens {
    all: watch::Sender<HashMap<String, Arc<Screen>>>,
    any: watch::Sender<u64>,
}

impl Screens {
    /// Changes when a browser begins or ends.
    pub fn all(&self) -> watch::Receiver<HashMap<String, Arc<Screen>>> {
        self.all.subscribe()
    }

    /// Changes with every frame.
    pub fn any(&self) -> watch::Receiver<u64> {
        self.any.subscribe()
    }

    pub(super) fn show(&self, screen: &Arc<Screen>) {
        self.all.send_if_modified(|all| {
            let is_new = all.get(&screen.run).is_none_or(|known| !Arc::ptr_eq(known, screen));
            if is_new {
                all.insert(screen.run.clone(), screen.clone());
            }
            is_new
        });
    }

    pub(super) fn hide(&self, screen: &Arc<Screen>) {
        *screen.tab.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.all.send_if_modified(|all| {
            let is_it = all.get(&screen.run).is_some_and(|known| Arc::ptr_eq(known, screen));
            if is_it {
                all.remove(&screen.run);
            }
            is_it
        });
    }
}

impl Screen {
    pub(super) fn new(run: &str, screens: &Screens) -> Self {
        Self {
            run: run.to_owned(),
            tab: Mutex::default(),
            viewers: watch::Sender::new(0),
            frame: watch::Sender::new(None),
            drawn: AtomicU64::new(0),
            any: screens.any.clone(),
        }
    }

    pub(super) fn tab(&self) -> Option<Tab> {
        self.tab.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at it from now on.
    pub fn look(self: &Arc<Self>) -> Viewer {
        self.viewers.send_modify(|count| *count += 1);
        Viewer { frame: self.frame.subscribe(), screen: self.clone(), shown: 0 }
    }

    /// How many look at it.
    pub fn viewers(&self) -> usize {
        *self.viewers.borrow()
    }

    fn put(&self, png: &str) {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed) + 1;
        self.frame.send_replace(Some(Frame { png: png.into(), number }));
        self.any.send_modify(|count| *count += 1);
    }

    /// Takes frames of a page while somebody looks; ends with the browser.
    pub(super) async fn cast(self: Arc<Self>, tab: Tab) {
        *self.tab.lock().unwrap_or_else(PoisonError::into_inner) = Some(tab.clone());
        let mut viewers = self.viewers.subscribe();
        while viewers.wait_for(|count| *count > 0).await.is_ok() {
            let mut events = tab.events();
            let how = json!({ "format": "png", "everyNthFrame": 1 });
            if tab.call("Page.startScreencast", how).await.is_err() {
                return;
            }
            loop {
                let seen = tokio::select! {
                    _ = viewers.wait_for(|count| *count == 0) => break,
                    seen = events.recv() => seen,
                };
                let event = match seen {
                    Ok(event) if event["method"] == "Page.screencastFrame" => event,
                    Ok(_) => continue,
                    // The frame that would have to be acknowledged may be lost: begin again.
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return,
                };
                if let Some(png) = event["params"]["data"].as_str() {
                    self.put(png);
                }
                // The page is drawn for us again once this one is acknowledged.
                let nobody = viewers.wait_for(|count| *count == 0);
                if tokio::time::timeout(PACE, nobody).await.is_ok() {
                    break;
                }
                let number = json!({ "sessionId": event["params"]["sessionId"] });
                if tab.call("Page.screencastFrameAck", number).await.is_err() {
                    return;
                }
            }
            if tab.call("Page.stopScreencast", json!({})).await.is_err() {
                return;
            }
            if self.viewers() == 0 {
                self.frame.send_replace(None);
            }
        }
    }
}

/// Somebody who looks at a screen, for as long as it lives.
pub struct Viewer {
    screen: Arc<Screen>,
    frame: watch::Receiver<Option<Frame>>,
    shown: u64,
}

impl Viewer {
    /// Whether this is the screen that is looked at.
    pub fn is_of(&self, screen: &Arc<Screen>) -> bool {
        Arc::ptr_eq(&self.screen, screen)
    }

    /// The latest frame, unless it was shown before. Those between are never seen.
    pub fn fresh(&mut self) -> Option<Frame> {
        let frame = self.frame.borrow_and_update().clone()?;
        (frame.number > self.shown).then(|| {
            self.shown = frame.number;
            frame
        })
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.screen.viewers.send_modify(|count| *count -= 1);
    }
}
