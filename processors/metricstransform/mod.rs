//! The `metricstransform` processor: renames, copies, combines and groups metrics, changes labels
//! and merges points (processors section 6; see README.md).
//!
//! What a step makes of a series is worked out once and remembered; a metric whose name no
//! transform asks for is not looked at again.

mod choose;
pub mod config;
mod memo;
mod merge;
mod operation;
#[cfg(test)]
mod tests;
mod transform;

use std::sync::Arc;

use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Consumer, Data, Flow, Processor, ProcessorKind, Reject,
    Signals, Stability,
};
use weir_model::{Metrics, Point};

pub use config::Config;
use memo::{Memo, Metric};
use transform::Transform;

/// Registration.
pub struct Kind;

impl ProcessorKind for Kind {
    const TYPE: &'static str = "metricstransform";
    const ALIASES: &'static [&'static str] = &["metrics_transform"];
    const STABILITY: Stability = Stability::Beta;
    const SIGNALS: Signals = Signals::METRICS;
    type Config = Config;

    fn build(
        config: Config,
        cx: BuildCtx,
        _: Arc<dyn Consumer>,
    ) -> BoxFut<'static, Result<Processor, BuildError>> {
        Box::pin(async move {
            Ok(Processor::Transform(MetricsTransform::new(&config, &cx).map_err(BuildError)?))
        })
    }
}

struct MetricsTransform {
    transforms: Vec<Transform>,
    /// Whether any transform asks for the name of a series.
    asked: Memo<bool>,
}

impl MetricsTransform {
    fn new(config: &Config, cx: &BuildCtx) -> Result<Arc<Self>, String> {
        let transforms = config.transforms.iter().map(|one| Transform::new(one, cx));
        let this = Arc::new(Self {
            transforms: transforms.collect::<Result<_, _>>()?,
            asked: Memo::default(),
        });
        let swept = Arc::downgrade(&this);
        cx.housekeeping.add(move |interner| {
            let Some(this) = swept.upgrade() else { return };
            this.asked.lock().sweep(interner);
            for transform in &this.transforms {
                transform.sweep(interner);
            }
        });
        Ok(this)
    }

    fn change(&self, metrics: &mut Metrics) {
        let mut asked = self.asked.lock();
        let mut asks = |point: &Point| {
            *asked.get_or_insert_with(&point.series, || {
                let name = &point.series.metric().name;
                self.transforms.iter().any(|transform| transform.chooser.takes_name(name))
            })
        };
        if !metrics.points().any(&mut asks) {
            return;
        }
        let mut points = metrics.points_mut();
        let mut out = Vec::with_capacity(points.len());
        let mut grouped = Vec::new();
        // Metrics of the current resource and scope.
        let mut block: Vec<Metric> = Vec::new();
        for point in points.drain(..) {
            if !asks(&point) {
                out.push(point);
                continue;
            }
            let first = block.first().and_then(|metric| metric.first());
            let elsewhere = |first: &Point| {
                !Arc::ptr_eq(first.series.resource(), point.series.resource())
                    || !Arc::ptr_eq(first.series.scope(), point.series.scope())
            };
            if first.is_some_and(elsewhere) {
                self.flush(&mut block, &mut grouped, &mut out);
            }
            let same = |metric: &&mut Metric| {
                let first = metric.first().map(|first| first.series.metric());
                first.is_some_and(|first| Arc::ptr_eq(first, point.series.metric()))
            };
            match block.last_mut().filter(same) {
                Some(metric) => metric.push(point),
                None => block.push(vec![point]),
            }
        }
        self.flush(&mut block, &mut grouped, &mut out);
        out.append(&mut grouped);
        *points = out;
    }

    /// Runs all transforms on a block and puts what is left of it out.
    fn flush(&self, block: &mut Vec<Metric>, grouped: &mut Vec<Point>, out: &mut Vec<Point>) {
        if block.is_empty() {
            return;
        }
        for transform in &self.transforms {
            transform.apply(block, grouped);
        }
        out.extend(block.drain(..).flatten());
    }
}

impl weir_core::Transform for MetricsTransform {
    fn apply(&self, batch: &mut Batch) -> Result<Flow, Reject> {
        let Data::Metrics(metrics) = &mut batch.data else { return Ok(Flow::Pass) };
        let before = metrics.len();
        self.change(metrics);
        Ok(if metrics.is_empty() && before > 0 { Flow::Drop } else { Flow::Pass })
    }
}
