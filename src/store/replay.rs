//! Pages of the log for readers that are behind: few are read at a time, and one that many want is read once.
//!
//! A thousand readers that come at once, after a restart or a lost network, would otherwise keep every connection and the
//! processor busy with the same pages, while whoever says something waits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Store;
use crate::model::event::Stream;
use crate::model::{Error, Result};

/// Pages that are read at the same time; the other connections are for everybody else.
const AT_ONCE: usize = 2;

/// The most events of a page, and their bytes: what a reader that does not read on may hold. At least one event.
const EVENTS: i64 = 100;
const BYTES: usize = 64 * 1024;

/// How long a page may be given to others, so that what is edited or taken back is soon read no more as it was.
const FRESH: Duration = Duration::from_secs(1);

/// Pages that are remembered.
const REMEMBERED: usize = 64;

/// The frames of a page, with the place of each. Many readers share one.
pub type Frames = Arc<[(i64, Bytes)]>;

pub(super) struct Replays {
    gate: Semaphore,
    recent: Mutex<VecDeque<Recent>>,
}

struct Recent {
    read_at: Instant,
    stream: Stream,
    after: i64,
    frames: Frames,
}

impl Default for Replays {
    fn default() -> Self {
        Self { gate: Semaphore::new(AT_ONCE), recent: Mutex::default() }
    }
}

impl Replays {
    /// The pages that are still fresh.
    fn fresh(&self) -> MutexGuard<'_, VecDeque<Recent>> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        while recent.front().is_some_and(|page| page.read_at.elapsed() > FRESH) {
            recent.pop_front();
        }
        recent
    }

    fn find(&self, stream: &Stream, after: i64) -> Option<Frames> {
        let recent = self.fresh();
        let page = recent.iter().find(|page| page.after == after && page.stream == *stream)?;
        Some(page.frames.clone())
    }

    fn remember(&self, page: Recent) {
        let mut recent = self.fresh();
        if recent.len() == REMEMBERED {
            recent.pop_front();
        }
        recent.push_back(page);
    }
}

impl Store {
    /// What follows `after` in a stream, as the frames every reader gets: at most a hundred, or 64 KiB of them. Waits for
    /// its turn. What it answers may be up to a second old, but is never empty when there was something then.
    pub async fn replay(&self, stream: &Stream, after: i64) -> Result<Frames> {
        if let Some(frames) = self.replays.find(stream, after) {
            return Ok(frames);
        }
        let turn = self.replays.gate.acquire().await;
        let _turn = turn.map_err(|error| Error::internal("read the log", error))?;
        // Somebody else may have read it meanwhile.
        if let Some(frames) = self.replays.find(stream, after) {
            return Ok(frames);
        }
        let read_at = Instant::now();
        let page = self.events_after(stream, after, EVENTS).await?;
        let mut bytes = 0;
        let frames = page.frames(stream).take_while(|(_, frame)| {
            let is_first = bytes == 0;
            bytes += frame.len();
            is_first || bytes <= BYTES
        });
        let frames: Frames = frames.collect();
        // One without events would hide those that come.
        if !frames.is_empty() {
            let stream = stream.clone();
            self.replays.remember(Recent { read_at, stream, after, frames: frames.clone() });
        }
        Ok(frames)
    }
}
