//! The `cumulativetodelta` processor: cumulative sums and histograms become the difference to the
//! point before (processors section 7; see README.md).
//!
//! Whether a series is converted, and into which one, is found out once; a point then costs an
//! index into the table of its series.

pub mod config;
mod difference;
mod store;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_config::Errors;
use weir_core::clock::Clock;
use weir_core::telemetry::Counter;
use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Consumer, Data, Flow, Processor, ProcessorKind, Reject,
    Signals, Stability, Transform,
};
use weir_model::Metrics;

pub use config::Config;
use config::Choices;
use store::{REASONS, Rules, Store};

/// Registration.
pub struct Kind;

impl ProcessorKind for Kind {
    const TYPE: &'static str = "cumulativetodelta";
    const STABILITY: Stability = Stability::Beta;
    const SIGNALS: Signals = Signals::METRICS;
    type Config = Config;

    fn build(
        config: Config,
        cx: BuildCtx,
        _: Arc<dyn Consumer>,
    ) -> BoxFut<'static, Result<Processor, BuildError>> {
        Box::pin(async move {
            Ok(Processor::Transform(Arc::new(CumulativeToDelta::new(&config, &cx))))
        })
    }
}

struct CumulativeToDelta {
    rules: Rules,
    store: Arc<Mutex<Store>>,
    clock: Arc<dyn Clock>,
    /// One for each of [`REASONS`].
    dropped: [Counter; REASONS.len()],
}

fn lock(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CumulativeToDelta {
    fn new(config: &Config, cx: &BuildCtx) -> Self {
        let id = cx.id.to_string();
        let processor = ("processor", id.as_str());
        let store = Arc::<Mutex<Store>>::default();
        let counted = store.clone();
        cx.telemetry.observe_gauge(
            "otelcol_processor_cumulativetodelta_streams",
            "Streams remembered",
            &[processor],
            move || lock(&counted).len() as f64,
        );
        let staleness = u64::try_from(config.max_staleness.nanos()).unwrap_or(0);
        let staleness = std::time::Duration::from_nanos(staleness);
        let (swept, clock) = (Arc::downgrade(&store), cx.clock.clone());
        cx.housekeeping.add(move |interner| {
            let Some(store) = swept.upgrade() else { return };
            let mut store = lock(&store);
            if !staleness.is_zero() {
                store.forget(clock.monotonic(), staleness);
            }
            store.sweep(interner);
        });
        let counter = |reason| {
            cx.telemetry.counter(
                "otelcol_processor_cumulativetodelta_datapoints_dropped",
                "Points dropped, by reason",
                &[processor, ("reason", reason)],
            )
        };
        Self {
            rules: Rules {
                choices: Choices::compile(config, &mut Errors::default()),
                initial: config.initial_value,
                began_ns: cx.clock.unix_ns(),
                capacity: config.max_streams,
                interner: cx.interner.clone(),
            },
            store,
            clock: cx.clock.clone(),
            dropped: REASONS.map(counter),
        }
    }

    fn convert(&self, metrics: &mut Metrics) {
        let now = self.clock.monotonic();
        let mut store = lock(&self.store);
        if metrics.points().all(|point| store.passes(&point.series, &self.rules)) {
            return;
        }
        metrics.points_mut().retain_mut(|point| match store.convert(point, &self.rules, now) {
            Ok(()) => true,
            Err(why) => {
                if let Some(counter) = self.dropped.get(why as usize) {
                    counter.add(1);
                }
                false
            }
        });
    }
}

impl Transform for CumulativeToDelta {
    fn apply(&self, batch: &mut Batch) -> Result<Flow, Reject> {
        let Data::Metrics(metrics) = &mut batch.data else { return Ok(Flow::Pass) };
        let before = metrics.len();
        self.convert(metrics);
        Ok(if metrics.is_empty() && before > 0 { Flow::Drop } else { Flow::Pass })
    }
}
