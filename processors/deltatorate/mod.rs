//! The `deltatorate` processor: delta sums of chosen names become gauges of their rate per second
//! (processors section 8; see README.md).

pub mod config;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Consumer, Data, Flow, Processor, ProcessorKind, Reject,
    Signals, Stability, Transform,
};
use weir_model::{
    Interner, MetricKind, MetricMeta, Metrics, Point, PointValue, Series, SeriesTable, Temporality,
};

pub use config::Config;

/// Registration.
pub struct Kind;

impl ProcessorKind for Kind {
    const TYPE: &'static str = "deltatorate";
    const STABILITY: Stability = Stability::Alpha;
    const SIGNALS: Signals = Signals::METRICS;
    type Config = Config;

    fn build(
        config: Config,
        cx: BuildCtx,
        _: Arc<dyn Consumer>,
    ) -> BoxFut<'static, Result<Processor, BuildError>> {
        Box::pin(async move {
            Ok(Processor::Transform(Arc::new(DeltaToRate::new(config, &cx))))
        })
    }
}

/// The series of rates for a series, if it is to be converted.
type Rates = SeriesTable<Option<Arc<Series>>>;

struct DeltaToRate {
    names: HashSet<String>,
    interner: Arc<Interner>,
    rates: Arc<Mutex<Rates>>,
}

impl DeltaToRate {
    fn new(config: Config, cx: &BuildCtx) -> Self {
        let rates = Arc::<Mutex<Rates>>::default();
        let swept = Arc::downgrade(&rates);
        cx.housekeeping.add(move |interner| {
            if let Some(rates) = swept.upgrade() {
                rates.lock().unwrap_or_else(PoisonError::into_inner).sweep(interner);
            }
        });
        Self {
            names: config.metrics.into_iter().collect(),
            interner: cx.interner.clone(),
            rates,
        }
    }

    fn rate_of(&self, series: &Series) -> Option<Arc<Series>> {
        let metric = series.metric();
        let delta = matches!(
            metric.kind,
            MetricKind::Sum { temporality: Temporality::Delta, .. }
        );
        if !delta || !self.names.contains(&*metric.name) {
            return None;
        }
        let metric = MetricMeta {
            kind: MetricKind::Gauge,
            ..(**metric).clone()
        };
        let metric = self.interner.metric(metric);
        let labels = series.labels().clone();
        Some(self.interner.series(series.resource(), series.scope(), &metric, labels))
    }

    fn convert(&self, metrics: &mut Metrics) {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = |series: &Arc<Series>| {
            rates.get_or_insert_with(series, || self.rate_of(series)).clone()
        };
        if metrics.points().all(|point| known(&point.series).is_none()) {
            return;
        }
        for point in metrics.points_mut().iter_mut() {
            if let Some(series) = known(&point.series) {
                point.value = rate(point);
                point.series = series;
            }
        }
    }
}

/// Value per second; 0 if no time passed, as in the reference.
fn rate(point: &Point) -> PointValue {
    let Some(value) = point.value.as_f64() else {
        return PointValue::Empty;
    };
    let seconds = point.time_ns.saturating_sub(point.start_ns) as f64 / 1e9;
    PointValue::Double(if seconds > 0.0 { value / seconds } else { 0.0 })
}

impl Transform for DeltaToRate {
    fn apply(&self, batch: &mut Batch) -> Result<Flow, Reject> {
        if let Data::Metrics(metrics) = &mut batch.data {
            self.convert(metrics);
        }
        Ok(Flow::Pass)
    }
}
