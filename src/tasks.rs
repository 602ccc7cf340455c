//! Floor 1: background tasks that have a name and an end.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Everything that runs beside the request that started it. Cloned freely; all clones are one set.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that ends by itself soon after the [stop token](Tasks::stop_token) is cancelled.
    pub fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(async move {
            future.await;
            tracing::trace!(task = name, "task ended");
        });
    }

    /// Starts a thread of blocking work that ends by itself soon after the [stop token](Tasks::stop_token) is cancelled.
    pub fn spawn_blocking<F>(&self, name: &'static str, work: F)
    where
        F: FnOnce() + Send + 'static,
    {
        self.tracker.spawn_blocking(move || {
            work();
            tracing::trace!(task = name, "task ended");
        });
    }

    /// Counts a future that somebody else drives among the tasks that a stop waits for.
    pub fn track<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        self.tracker.track_future(future)
    }

    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    pub fn stop_token(&self) -> &CancellationToken {
        &self.stop
    }

    /// Asks every task to end and waits for them, at most `limit`. Returns how many were still running then.
    pub async fn stop(&self, limit: Duration) -> usize {
        self.stop.cancel();
        self.tracker.close();
        let _ = tokio::time::timeout(limit, self.tracker.wait()).await;
        self.tracker.len()
    }
}
