//! Tasks, stopping, deadlines.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A point in time by which something ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// The time left, zero when it is over.
    pub fn remaining(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.remaining().is_zero()
    }

    /// For `tokio::time::timeout_at`.
    pub fn instant(&self) -> Instant {
        self.0
    }
}

/// Asks work to end, and says by when.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    token: CancellationToken,
    deadline: Arc<Mutex<Option<Deadline>>>,
}

impl Stop {
    /// Asks all holders to end by the deadline.
    pub fn stop(&self, by: Deadline) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(by);
        self.token.cancel();
    }

    /// Waits until asked to stop.
    pub async fn stopped(&self) {
        self.token.cancelled().await;
    }

    /// Whether it was asked.
    pub fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }

    /// By when; ten seconds from now if nobody said.
    pub fn deadline(&self) -> Deadline {
        self.deadline
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .unwrap_or_else(|| Deadline::after(Duration::from_secs(10)))
    }

    /// The token, for APIs that take one.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}

/// Spawns tasks so that none is ever detached; a panic in one is reported, not swallowed.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    panics: Arc<Mutex<Vec<String>>>,
    /// Cancelled when a task has panicked.
    failed: CancellationToken,
}

impl Tasks {
    /// Runs a task of component `name`.
    #[allow(clippy::disallowed_methods, reason = "the one place that may spawn")]
    pub fn spawn(&self, name: &str, work: impl Future<Output = ()> + Send + 'static) {
        let tasks = self.clone();
        let name = name.to_owned();
        let inner = self.tracker.spawn(work);
        self.tracker.spawn(async move {
            if let Err(error) = inner.await
                && error.is_panic()
            {
                tasks
                    .panics
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(name);
                tasks.failed.cancel();
            }
        });
    }

    /// Waits until a task panics; returns the component's name.
    pub async fn panicked(&self) -> String {
        self.failed.cancelled().await;
        let panics = self.panics.lock().unwrap_or_else(PoisonError::into_inner);
        panics.first().cloned().unwrap_or_default()
    }

    /// Waits until all tasks have ended or the deadline is over; whether all have ended.
    pub async fn finished(&self, by: Deadline) -> bool {
        self.tracker.close();
        tokio::time::timeout_at(by.instant(), self.tracker.wait())
            .await
            .is_ok()
    }

    /// Whether these are the same tasks, those of one graph.
    pub fn same(&self, other: &Tasks) -> bool {
        Arc::ptr_eq(&self.panics, &other.panics)
    }

    /// Tasks running now.
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether no task runs.
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }
}
