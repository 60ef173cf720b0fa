//! What is read also goes to where it is learned for a running pipeline.

use std::sync::Arc;

use weir_model::{
    Attributes, Interner, MetricKind, MetricMeta, Metrics, Point, PointValue, Resource, Scope,
    Series, Temporality,
};

use crate::options::TrainOptions;
use crate::track::Sample;

/// Points handed over at a time.
const BATCH: usize = 512;

/// Learns from points as a running pipeline does, and keeps what it has learned.
pub trait Trainer: Sync {
    /// Tables of the series that [`Self::learn`] gets.
    fn interner(&self) -> Arc<Interner>;
    /// Takes points in the order of their series' times.
    fn learn(&self, metrics: Metrics);
}

/// What a series of an input that is not OTLP is called in the pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) metric: String,
    pub(crate) labels: Vec<(String, String)>,
}

/// The points of one series on their way.
pub(crate) struct Feed {
    series: Arc<Series>,
    points: Vec<Point>,
}

impl Feed {
    pub(crate) fn new(
        identity: &Identity,
        counter: bool,
        options: &TrainOptions,
        interner: &Arc<Interner>,
    ) -> Self {
        let pairs = |list: &[(String, String)]| {
            Attributes::from_iter(list.iter().map(|(k, v)| (k.as_str(), v.as_str())))
        };
        let resource = interner.resource(Resource {
            attributes: pairs(&options.resource),
            ..Resource::default()
        });
        let scope = interner.scope(Scope::default());
        let kind = if counter {
            MetricKind::Sum {
                temporality: Temporality::Cumulative,
                monotonic: true,
            }
        } else {
            MetricKind::Gauge
        };
        let name = options.metric.as_ref().unwrap_or(&identity.metric);
        let mut metric = MetricMeta::new(name, kind);
        metric.unit = options.unit.as_str().into();
        let metric = interner.metric(metric);
        let series = interner.series(&resource, &scope, &metric, pairs(&identity.labels));
        Self {
            series,
            points: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, sample: &Sample, trainer: &dyn Trainer) {
        let Ok(time_ns) = u64::try_from(sample.time_ns) else {
            return;
        };
        if sample.value.is_nan() {
            return;
        }
        let value = PointValue::Double(sample.value);
        self.points
            .push(Point::new(self.series.clone(), 0, time_ns, value));
        if self.points.len() >= BATCH {
            self.flush(trainer);
        }
    }

    pub(crate) fn flush(&mut self, trainer: &dyn Trainer) {
        if !self.points.is_empty() {
            trainer.learn(Metrics::from_points(std::mem::take(&mut self.points)));
        }
    }
}
