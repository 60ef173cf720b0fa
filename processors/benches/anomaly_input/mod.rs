//! Series and batches for the benches of the anomaly processor.

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt as _;
use weir_config::{Origin, Source, decode_and_validate, parse_yaml};
use weir_core::registry::{ComponentKind, ProcessorKind as _};
use weir_core::{
    Batch, BoxFut, BuildCtx, ComponentId, Consumer, Data, Processor, Reject, Signal, Transform,
};
use weir_model::{
    Attributes, Interner, MetricKind, MetricMeta, Metrics, Point, PointValue, Resource, Scope,
    Series, Temporality, Value,
};
use weir_processors::anomaly::{Config, Kind};

/// Points of a batch.
const POINTS: usize = 500;
/// A Monday, 00:00 UTC.
const START_NS: u64 = 1_740_960_000_000_000_000;

struct Nobody;

impl Consumer for Nobody {
    fn consume(&self, _batch: Batch) -> BoxFut<'_, Result<(), Reject>> {
        Box::pin(async { Ok(()) })
    }
}

/// A processor, and series that pass through it at a steady pace.
pub(crate) struct Rig {
    pub(crate) anomaly: Arc<dyn Transform>,
    series: Vec<Arc<Series>>,
    step_ns: u64,
    rounds: u64,
}

impl Rig {
    /// `series` series, half of them counters; `yaml`: the configuration; `folder`: where states are kept.
    pub(crate) fn new(yaml: &str, series: usize, step_s: u64, folder: Option<&Path>) -> Self {
        let id = ComponentId::parse("anomaly/bench").unwrap();
        let mut cx = BuildCtx::standalone(id, ComponentKind::Processor, Some(Signal::Metrics));
        cx.interner = Arc::new(Interner::new(2 << 30));
        cx.data_dir = folder.map(Into::into);
        let interner = cx.interner.clone();
        let node = parse_yaml(&Source::new("bench.yaml", yaml, Origin::Document)).unwrap();
        let config = decode_and_validate::<Config>(&node, "processors.anomaly")
            .unwrap()
            .value;
        let built = Kind::build(config, cx, Arc::new(Nobody)).now_or_never();
        let Some(Ok(Processor::Transform(anomaly))) = built else {
            panic!("a transform")
        };
        let series = (0..series).map(|number| of(&interner, number)).collect();
        Self {
            anomaly,
            series,
            step_ns: step_s * 1_000_000_000,
            rounds: 0,
        }
    }

    /// One point of each series, in batches.
    pub(crate) fn round(&mut self) -> Vec<Batch> {
        self.rounds += 1;
        let round = self.rounds;
        let time_ns = START_NS + round * self.step_ns;
        let point = |(number, series): (u64, &Arc<Series>)| {
            let hash = (number * 1_000_003 + round).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            let noise = hash as f64 / f64::from(1 << 24);
            let value = match series.metric().kind {
                MetricKind::Gauge => 100.0 + noise,
                _ => (round * 6000) as f64 + 10.0 * noise,
            };
            Point::new(series.clone(), 1, time_ns, PointValue::Double(value))
        };
        let points: Vec<Point> = (0..).zip(&self.series).map(point).collect();
        let batches = points
            .chunks(POINTS)
            .map(|p| Batch::metrics(Metrics::from_points(p.to_vec())));
        batches.collect()
    }

    /// Takes batches through the processor; how many points came out.
    pub(crate) fn apply(&self, batches: &mut [Batch]) -> usize {
        let mut points = 0;
        for batch in batches {
            self.anomaly.apply(batch).unwrap();
            if let Data::Metrics(metrics) = &batch.data {
                points += metrics.len();
            }
        }
        points
    }

    /// Lets so many points of each series pass.
    pub(crate) fn settle(&mut self, rounds: usize) {
        for _ in 0..rounds {
            let mut batches = self.round();
            self.apply(&mut batches);
        }
    }
}

fn of(interner: &Interner, number: usize) -> Arc<Series> {
    let resource = Attributes::from_iter([("service.name", Value::from("checkout"))]);
    let resource = interner.resource(Resource {
        attributes: resource,
        ..Resource::default()
    });
    let scope = interner.scope(Scope::default());
    let kind = match number % 2 {
        0 => MetricKind::Gauge,
        _ => MetricKind::Sum {
            temporality: Temporality::Cumulative,
            monotonic: true,
        },
    };
    let metric = interner.metric(MetricMeta::new(
        &format!("http.metric.{}", number % 10),
        kind,
    ));
    let route = format!("/api/v1/items/{}", number / 10);
    let labels = [
        ("http.method", Value::from("GET")),
        ("http.route", Value::from(route.as_str())),
    ];
    interner.series(&resource, &scope, &metric, labels.into_iter().collect())
}
