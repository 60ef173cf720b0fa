//! The `deltatocumulative` processor: delta sums and histograms become the sum since the stream
//! began (processors section 8; see README.md).
//!
//! Whether a series is converted, and into which one, is found out once; a point then costs an
//! index into the table of its series.

pub mod config;
mod store;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_core::clock::Clock;
use weir_core::telemetry::Counter;
use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Consumer, Data, Flow, Processor, ProcessorKind, Reject,
    Signals, Stability, Transform,
};
use weir_model::Metrics;

pub use config::Config;
use store::{REASONS, Rules, Store};

const PREFIX: &str = "otelcol_deltatocumulative_";

/// Registration.
pub struct Kind;

impl ProcessorKind for Kind {
    const TYPE: &'static str = "deltatocumulative";
    const STABILITY: Stability = Stability::Beta;
    const SIGNALS: Signals = Signals::METRICS;
    type Config = Config;

    fn build(
        config: Config,
        cx: BuildCtx,
        _: Arc<dyn Consumer>,
    ) -> BoxFut<'static, Result<Processor, BuildError>> {
        Box::pin(async move {
            Ok(Processor::Transform(Arc::new(DeltaToCumulative::new(&config, &cx))))
        })
    }
}

struct DeltaToCumulative {
    rules: Rules,
    store: Arc<Mutex<Store>>,
    clock: Arc<dyn Clock>,
    converted: Counter,
    /// One for each of [`REASONS`].
    dropped: [Counter; REASONS.len()],
}

fn lock(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DeltaToCumulative {
    fn new(config: &Config, cx: &BuildCtx) -> Self {
        let id = cx.id.to_string();
        let processor = ("processor", id.as_str());
        let store = Arc::<Mutex<Store>>::default();
        let max_stale = config.max_stale.to_std();
        let counted = store.clone();
        cx.telemetry.observe_gauge(
            &format!("{PREFIX}streams_tracked"),
            "Streams remembered",
            &[processor],
            move || lock(&counted).len() as f64,
        );
        for (name, help, value) in [
            ("streams_limit", "Most streams", config.max_streams as u64),
            ("streams_max_stale", "Seconds until a stream is forgotten", max_stale.as_secs()),
        ] {
            let gauge = cx.telemetry.gauge(&format!("{PREFIX}{name}"), help, &[processor]);
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        let (swept, clock) = (Arc::downgrade(&store), cx.clock.clone());
        cx.housekeeping.add(move |interner| {
            let Some(store) = swept.upgrade() else { return };
            let mut store = lock(&store);
            store.forget(clock.monotonic(), max_stale);
            store.sweep(interner);
        });
        let counter = |error| {
            let labels = [processor, ("error", error)];
            cx.telemetry.counter(
                &format!("{PREFIX}datapoints"),
                "Delta points, with the reason if they were dropped",
                &labels,
            )
        };
        Self {
            rules: Rules {
                capacity: config.max_streams,
                max_stale,
                interner: cx.interner.clone(),
            },
            store,
            clock: cx.clock.clone(),
            converted: counter(""),
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
            Ok(converted) => {
                self.converted.add(u64::from(converted));
                true
            }
            Err(why) => {
                if let Some(counter) = self.dropped.get(why as usize) {
                    counter.add(1);
                }
                false
            }
        });
    }
}

impl Transform for DeltaToCumulative {
    fn apply(&self, batch: &mut Batch) -> Result<Flow, Reject> {
        let Data::Metrics(metrics) = &mut batch.data else { return Ok(Flow::Pass) };
        let before = metrics.len();
        self.convert(metrics);
        Ok(if metrics.is_empty() && before > 0 { Flow::Drop } else { Flow::Pass })
    }
}
