//! The only place that reads the time.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time for components. Sleeping is tokio's business (tests pause it); reading is done here.
pub trait Clock: Send + Sync + Debug {
    /// Wall clock, Unix nanoseconds.
    fn unix_ns(&self) -> u64;
    /// Time since an arbitrary start; never goes back.
    fn monotonic(&self) -> Duration;

    /// Wall clock, Unix milliseconds.
    fn unix_ms(&self) -> u64 {
        self.unix_ns() / 1_000_000
    }
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that may")]
    fn default() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that may")]
    fn unix_ns(&self) -> u64 {
        // Before 1970 counts as 1970; after 2554 the clock stands still.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that stands until it is moved; for tests.
#[derive(Debug, Default)]
pub struct ManualClock {
    unix_ns: AtomicU64,
    monotonic_ns: AtomicU64,
}

impl ManualClock {
    /// Stands at this wall-clock time.
    pub fn at(unix_ns: u64) -> Self {
        Self {
            unix_ns: AtomicU64::new(unix_ns),
            monotonic_ns: AtomicU64::new(0),
        }
    }

    /// Moves both clocks on.
    pub fn advance(&self, by: Duration) {
        let ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.unix_ns.fetch_add(ns, Ordering::SeqCst);
        self.monotonic_ns.fetch_add(ns, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn unix_ns(&self) -> u64 {
        self.unix_ns.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.monotonic_ns.load(Ordering::SeqCst))
    }
}
