//! What all pipelines of a processor share: the answers, and when to ask anew.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::OnceCell;
use tracing::{info, warn};
use weir_core::telemetry::Telemetry;
use weir_core::{BuildCtx, Clock, ComponentId, Tasks};

use super::config::Config;
use super::detection::{Detectors, Found, detect_all};
use super::detectors;
use super::world::World;

/// The answers of all processors that are alive, so that the pipelines of one id find each other,
/// and a reload that leaves its configuration as it is asks nobody.
static ALIVE: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// Answers and what they depend on.
pub(super) struct Shared {
    id: ComponentId,
    config: Config,
    /// Stands for the program, of which tests run several in one process.
    telemetry: Weak<Telemetry>,
    detectors: Detectors,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    first: OnceCell<()>,
    state: Mutex<State>,
}

struct State {
    found: Arc<Found>,
    /// Raised when the answers change.
    epoch: u64,
    /// Monotonic time of the last detection.
    asked: Duration,
    asking: bool,
}

impl Shared {
    /// Those of the processor with this id and configuration, made anew if there are none.
    pub(super) fn of(config: &Config, cx: &BuildCtx, world: impl FnOnce() -> Arc<dyn World>) -> Arc<Self> {
        let mut alive = ALIVE.lock().unwrap_or_else(PoisonError::into_inner);
        alive.retain(|shared| shared.strong_count() > 0);
        let mut found = alive.iter().filter_map(Weak::upgrade);
        let same = |shared: &Arc<Self>| {
            shared.id == cx.id
                && shared.config == *config
                && std::ptr::eq(shared.telemetry.as_ptr(), Arc::as_ptr(&cx.telemetry))
        };
        if let Some(shared) = found.find(same) {
            return shared;
        }
        let shared = Self::new(config, cx, &world());
        alive.push(Arc::downgrade(&shared));
        shared
    }

    /// Without looking for others.
    pub(super) fn new(config: &Config, cx: &BuildCtx, world: &Arc<dyn World>) -> Arc<Self> {
        Arc::new(Self {
            id: cx.id.clone(),
            config: config.clone(),
            telemetry: Arc::downgrade(&cx.telemetry),
            detectors: detectors::of(config, world),
            clock: cx.clock.clone(),
            tasks: cx.tasks.clone(),
            first: OnceCell::new(),
            state: Mutex::new(State {
                found: Arc::default(),
                epoch: 0,
                asked: Duration::ZERO,
                asking: false,
            }),
        })
    }

    /// Asks the detectors, unless that was done.
    ///
    /// # Errors
    /// What went wrong, by detector.
    pub(super) async fn detect(&self) -> Result<(), String> {
        let first = || async {
            let found = self.ask().await?;
            let names: Vec<&str> = found.attributes.keys().map(String::as_str).collect();
            info!(processor = %self.id, attributes = names.join(", "), "detected the resource");
            self.keep(found);
            Ok(())
        };
        self.first.get_or_try_init(first).await.copied()
    }

    async fn ask(&self) -> Result<Found, String> {
        detect_all(&self.detectors, self.config.timeout.to_std()).await
    }

    fn keep(&self, found: Found) {
        let mut state = self.state();
        state.asked = self.clock.monotonic();
        if *state.found != found {
            state.found = Arc::new(found);
            state.epoch += 1;
        }
    }

    /// The answers, and a number that is another one when they are others. Where they are due to be
    /// refreshed a task of its own asks for new ones.
    pub(super) fn current(self: &Arc<Self>) -> (Arc<Found>, u64) {
        let mut state = self.state();
        let interval = self.config.refresh_interval.to_std();
        let age = || self.clock.monotonic().saturating_sub(state.asked);
        if !interval.is_zero() && !state.asking && age() >= interval {
            state.asking = true;
            let shared = self.clone();
            self.tasks.spawn(&self.id.to_string(), async move {
                shared.refresh().await;
            });
        }
        (state.found.clone(), state.epoch)
    }

    async fn refresh(&self) {
        match self.ask().await {
            Ok(found) => self.keep(found),
            Err(why) => {
                warn!(processor = %self.id, why, "refreshing the resource failed; the earlier answers stay");
                self.state().asked = self.clock.monotonic();
            }
        }
        self.state().asking = false;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
