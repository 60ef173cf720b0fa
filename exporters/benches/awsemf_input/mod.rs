//! 20,000 streams (gauges, cumulative sums, histograms 4:4:2; ten metrics share a label set) in
//! requests of 500 points.

use weir_model::{
    Attributes, Histogram, Interner, MetricKind, MetricMeta, Metrics, Point, PointValue, Resource,
    Scope, Temporality, Value,
};

/// Time of the points, Unix nanoseconds.
pub(crate) const NOW_NS: u64 = 1_795_364_520_183_000_000;
const NAMES: [&str; 10] = [
    "http.server.active_requests",
    "process.memory.usage",
    "queue.depth",
    "jvm.threads.count",
    "http.server.requests",
    "http.server.errors",
    "db.client.operations",
    "messages.processed",
    "http.server.request.duration",
    "db.client.operation.duration",
];

fn text(pairs: &[(&str, &str)]) -> Attributes {
    pairs.iter().map(|(k, v)| (*k, Value::from(*v))).collect()
}

/// Request `number` of 40, with values that differ between rounds.
pub(crate) fn request(number: usize, round: u64, interner: &Interner) -> Metrics {
    let resource = interner.resource(Resource {
        attributes: text(&[
            ("service.name", "checkout"),
            ("service.namespace", "shop"),
            ("deployment.environment", "prod"),
            ("host.name", "ip-10-0-12-34.ap-northeast-2.compute.internal"),
            ("k8s.pod.name", "checkout-6c8bf9d7b5-x2001"),
        ]),
        ..Resource::default()
    });
    let scope = interner.scope(Scope {
        name: "com.example.shop".into(),
        ..Scope::default()
    });
    let temporality = Temporality::Cumulative;
    let mut points = Vec::new();
    for (at, name) in NAMES.iter().enumerate() {
        let kind = match at {
            0..4 => MetricKind::Gauge,
            4..8 => MetricKind::Sum {
                temporality,
                monotonic: true,
            },
            _ => MetricKind::Histogram { temporality },
        };
        let metric = interner.metric(MetricMeta {
            unit: if at < 8 { "1" } else { "s" }.into(),
            ..MetricMeta::new(name, kind)
        });
        for set in 0..50 {
            let route = format!("/api/v1/items/ZZ{:06}", number * 50 + set);
            let mut labels = text(&[
                ("http.request.method", ["GET", "POST"][set % 2]),
                ("http.route", &route),
                ("availability_zone", "ap-northeast-2a"),
            ])
            .to_builder();
            labels.set_value("http.response.status_code", &Value::Int(200));
            let series = interner.series(&resource, &scope, &metric, labels.build());
            let count = 1_000 * (at as u64 + 1) + round * 37 + set as u64;
            let value = match kind {
                MetricKind::Histogram { .. } => PointValue::Histogram(Box::new(Histogram {
                    count,
                    sum: Some(count as f64 * 0.731),
                    min: Some(0.001),
                    max: Some(9.5),
                    bucket_counts: vec![count / 13; 13],
                    explicit_bounds: (0..12).map(f64::from).collect(),
                })),
                _ => PointValue::Double(count as f64 * 1.25),
            };
            points.push(Point::new(series, 0, NOW_NS, value));
        }
    }
    Metrics::from_points(points)
}
