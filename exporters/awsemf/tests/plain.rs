//! The cached path against a plain one that keeps nothing but delta state and works every event out
//! anew, over generated batches.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};
use weir_model::{
    Attributes, Buckets, ExponentialHistogram, Histogram, Interner, MetricKind, MetricMeta,
    Metrics, Point, PointValue, Resource, Scope, Summary, Temporality, Value,
};

use super::super::config::{Config, MetricDeclaration};
use super::super::declarations::Measurement;
use super::super::encode::quantile_text;
use super::super::exponential;
use super::super::labels::Labels;
use super::super::settings::Settings;
use super::super::translate::Translator;
use super::golden::{NOW_MS, STREAM, events, same, sort_measurements};

/// One generated point: which resource, scope, metric, labels and time, and a value.
type Draw = (usize, usize, usize, usize, usize, f64);

const RESOURCES: usize = 3;
const SCOPES: usize = 3;
const METRICS: usize = 9;
const LABELS: usize = 5;
const TIMES: usize = 4;

fn attributes(pairs: &[(&str, &str)]) -> Attributes {
    pairs.iter().map(|(k, v)| (*k, Value::from(*v))).collect()
}

fn resource(at: usize) -> Resource {
    let pairs: &[(&str, &str)] = match at {
        0 => &[("service.name", "a"), ("ClusterName", "c1")],
        1 => &[
            ("service.name", "a"),
            ("receiver", "prometheus"),
            ("host", "h\"1"),
        ],
        _ => &[("service.name", "b"), ("k", "from-resource")],
    };
    Resource {
        attributes: attributes(pairs),
        ..Resource::default()
    }
}

fn scope(at: usize) -> Scope {
    Scope {
        name: ["", "lib", "lib2"][at].into(),
        ..Scope::default()
    }
}

fn metric(at: usize) -> MetricMeta {
    let temporality = Temporality::Cumulative;
    let cumulative = MetricKind::Sum {
        temporality,
        monotonic: true,
    };
    let delta = MetricKind::Sum {
        temporality: Temporality::Delta,
        monotonic: true,
    };
    let (name, unit, kind) = [
        ("g", "ms", MetricKind::Gauge),
        ("g", "", MetricKind::Gauge),
        ("k", "By", MetricKind::Gauge),
        ("c", "1", cumulative),
        ("d", "s", cumulative),
        ("d", "s", delta),
        ("h", "s", MetricKind::Histogram { temporality }),
        ("e", "<>", MetricKind::ExponentialHistogram { temporality }),
        ("s", "", MetricKind::Summary),
    ][at];
    MetricMeta {
        unit: unit.into(),
        ..MetricMeta::new(name, kind)
    }
}

fn labels(at: usize) -> Attributes {
    let pairs: &[(&str, &str)] = match at {
        0 => &[],
        1 => &[("k", "1")],
        2 => &[("k", "<2>\n"), ("z", "\u{e9}\\")],
        3 => &[
            ("PodName", "p1"),
            ("k", "1"),
            ("aws.emf.storage_resolution", "1"),
        ],
        _ => &[
            ("PodName", "p2"),
            ("json", "{\"b\":[1.50],\"a\":null}"),
            ("Version", "v"),
        ],
    };
    attributes(pairs)
}

fn value(kind: MetricKind, number: f64) -> PointValue {
    let count = number.abs() as u64;
    match kind {
        MetricKind::Gauge | MetricKind::Sum { .. } => PointValue::Double(number),
        MetricKind::Histogram { .. } => PointValue::Histogram(Box::new(Histogram {
            count,
            sum: Some(number),
            max: Some(number / 3.0),
            ..Histogram::default()
        })),
        MetricKind::ExponentialHistogram { .. } => {
            PointValue::ExponentialHistogram(Box::new(ExponentialHistogram {
                count,
                sum: Some(number),
                scale: 2,
                positive: Some(Buckets {
                    offset: -3,
                    counts: vec![count; (count % 150) as usize],
                }),
                ..ExponentialHistogram::default()
            }))
        }
        MetricKind::Summary => PointValue::Summary(Box::new(Summary {
            count,
            sum: number,
            quantiles: vec![(0.5, number / 2.0), (0.99, number)],
        })),
    }
}

fn batch(draws: &[Draw], interner: &Interner) -> Metrics {
    let points = draws.iter().map(|(r, s, m, l, t, number)| {
        let resource = interner.resource(resource(*r));
        let scope = interner.scope(scope(*s));
        let metric = interner.metric(metric(*m));
        let series = interner.series(&resource, &scope, &metric, labels(*l));
        let time_ns = [0, NOW_MS - 1_000, NOW_MS, NOW_MS + 7][*t] as u64 * 1_000_000;
        Point::new(series, 0, time_ns, value(metric.kind, *number))
    });
    Metrics::from_points(points.collect())
}

/// Bases by content, and nothing else.
#[derive(Default)]
struct Plain {
    sums: HashMap<String, f64>,
    summaries: HashMap<String, (u64, f64)>,
}

/// An event before it is written.
#[derive(Default)]
struct Draft {
    prometheus: Option<&'static str>,
    metrics: Vec<(String, String, Json)>,
}

/// Place, time, type, batch index, labels.
type DraftKey = (
    String,
    String,
    String,
    i64,
    &'static str,
    usize,
    Vec<(String, String)>,
);

impl Plain {
    fn translate(&mut self, draws: &[Draw], batch: &Metrics, settings: &Settings) -> Vec<Json> {
        let mut drafts: BTreeMap<DraftKey, Draft> = BTreeMap::new();
        let (mut last, mut scope_name) = (None, String::new());
        let (mut carried, mut place_now) = (0, None);
        for (point, (r, s, m, ..)) in batch.points().zip(draws) {
            let series = &point.series;
            if last.map(|(other, _, _)| other) != Some(r) {
                scope_name.clear();
            }
            if last.is_none_or(|(other, scope, _)| (other, scope) != (r, s))
                && !series.scope().name.is_empty()
            {
                scope_name = series.scope().name.to_string();
            }
            if last != Some((r, s, m)) {
                (carried, place_now) = (0, None);
            }
            last = Some((r, s, m));
            let receiver = series.resource().attributes.get("receiver");
            let prometheus = receiver.and_then(|v| v.as_str()) == Some("prometheus");
            let labels = Labels::new(series, &scope_name, &settings.config);
            let place = settings.place(series);
            let key = format!("{} {place:?} {labels:?}", series.metric().name);
            let kind = kind_name(series.metric().kind);
            for (index, (labels, name, value)) in self
                .records(point, &key, &labels, prometheus, settings)
                .into_iter()
                .enumerate()
            {
                let (group, stream) = place_now
                    .get_or_insert_with(|| (place.group.clone(), place.stream.clone()))
                    .clone();
                let names = if place.pending {
                    settings.names_by_labels(&group, &stream, &labels)
                } else {
                    (group, stream)
                };
                place_now = Some(names.clone());
                let time_ms = (point.time_ns / 1_000_000) as i64;
                if time_ms > 0 {
                    carried = time_ms;
                }
                let time = if carried > 0 { carried } else { NOW_MS };
                let all = labels
                    .all()
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .collect();
                let namespace = place.namespace.clone();
                let draft = drafts
                    .entry((namespace, names.0, names.1, time, kind, index, all))
                    .or_insert_with(|| Draft {
                        prometheus: prometheus.then(|| prometheus_name(kind)),
                        metrics: Vec::new(),
                    });
                if draft.metrics.iter().all(|(other, ..)| *other != name) {
                    let unit = settings.unit(&series.metric().name, &series.metric().unit);
                    draft.metrics.push((name, unit.to_owned(), value));
                }
            }
        }
        drafts
            .iter()
            .map(|(key, draft)| event(key, draft, settings))
            .collect()
    }

    /// What a point gives: labels, metric name, value.
    fn records(
        &mut self,
        point: &Point,
        key: &str,
        labels: &Labels,
        prometheus: bool,
        settings: &Settings,
    ) -> Vec<(Labels, String, Json)> {
        let name = point.series.metric().name.to_string();
        let one = |value: Json| vec![(labels.clone(), name.clone(), value)];
        let retain = settings.config.retain_initial_value_of_delta_metric;
        match &point.value {
            PointValue::Double(number) if number.is_nan() => Vec::new(),
            PointValue::Double(number) => {
                let cumulative = matches!(
                    point.series.metric().kind,
                    MetricKind::Sum {
                        temporality: Temporality::Cumulative,
                        ..
                    }
                );
                if !cumulative {
                    return one(json!(number));
                }
                match self.sums.insert(key.to_owned(), *number) {
                    Some(base) if number - base < 0.0 => one(json!(number)),
                    Some(base) => one(json!(number - base)),
                    None if retain => one(json!(number)),
                    None => Vec::new(),
                }
            }
            PointValue::Histogram(h) if h.sum.unwrap().is_nan() => Vec::new(),
            PointValue::Histogram(h) => one(json!({
                "Max": h.max, "Min": 0, "Count": h.count, "Sum": h.sum,
            })),
            PointValue::ExponentialHistogram(h) if h.sum.unwrap().is_nan() => Vec::new(),
            PointValue::ExponentialHistogram(h) => exponential::split(h)
                .unwrap()
                .iter()
                .map(|split| {
                    let mut text = Vec::new();
                    split.write(&mut text);
                    (
                        labels.clone(),
                        name.clone(),
                        serde_json::from_slice(&text).unwrap(),
                    )
                })
                .collect(),
            PointValue::Summary(s) if s.sum.is_nan() => Vec::new(),
            PointValue::Summary(s) => {
                let (mut count, mut sum) = (s.count, s.sum);
                if prometheus {
                    match self.summaries.insert(key.to_owned(), (count, sum)) {
                        Some((old, old_sum)) if old <= count => {
                            (count, sum) = (count - old, sum - old_sum);
                        }
                        Some(_) => {}
                        None if retain => {}
                        None => return Vec::new(),
                    }
                }
                if !settings.config.detailed_metrics {
                    let [(_, min), (_, max)] = s.quantiles[..] else {
                        unreachable!()
                    };
                    return one(json!({"Max": max, "Min": min, "Count": count, "Sum": sum}));
                }
                let mut records = vec![
                    (labels.clone(), format!("{name}_sum"), json!(sum)),
                    (labels.clone(), format!("{name}_count"), json!(count)),
                ];
                for (quantile, value) in &s.quantiles {
                    let labels = labels.with_quantile(quantile_text(*quantile));
                    records.push((labels, name.clone(), json!(value)));
                }
                records
            }
            other => unreachable!("{other:?}"),
        }
    }
}

fn kind_name(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Gauge => "gauge",
        MetricKind::Sum { .. } => "sum",
        MetricKind::Histogram { .. } => "histogram",
        MetricKind::ExponentialHistogram { .. } => "exponential",
        MetricKind::Summary => "summary",
    }
}

fn prometheus_name(kind: &str) -> &'static str {
    match kind {
        "sum" => "counter",
        "gauge" => "gauge",
        "histogram" => "histogram",
        "summary" => "summary",
        _ => "",
    }
}

fn event(key: &DraftKey, draft: &Draft, settings: &Settings) -> Json {
    let (namespace, group, stream, time, _, _, labels) = key;
    let fields: BTreeMap<&str, &str> = labels
        .iter()
        .filter(|(name, _)| name != "aws.emf.storage_resolution")
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let resolution = labels
        .iter()
        .find(|(name, _)| name == "aws.emf.storage_resolution")
        .map_or(60, |(_, value)| value.parse::<i64>().unwrap());
    let mut body = Map::new();
    for (name, value) in &fields {
        let parsed = serde_json::from_str(value);
        let json = match parsed {
            Ok(json) if settings.json_labels.contains(*name) => json,
            _ => json!(value),
        };
        body.insert((*name).to_owned(), json);
    }
    for (name, _, value) in &draft.metrics {
        body.insert(name.clone(), value.clone());
    }
    if let Some(kind) = draft.prometheus {
        body.insert("prom_metric_type".to_owned(), json!(kind));
    }
    let names: Vec<&str> = fields.keys().copied().collect();
    let metrics: Vec<&str> = draft
        .metrics
        .iter()
        .map(|(name, ..)| name.as_str())
        .collect();
    let accepting = settings
        .declarations
        .accepting(|name| fields.get(name).copied());
    let mut measurements = settings
        .declarations
        .measurements(&names, accepting.as_deref(), &metrics);
    if settings.limits {
        keep_text(&mut measurements, &metrics, draft.prometheus, settings);
    }
    let mut list: Json = measurements
        .iter()
        .map(|m| {
            let definition = |at: &usize| {
                let (name, unit, _) = &draft.metrics[*at];
                json!({"Name": name, "Unit": unit, "StorageResolution": resolution})
            };
            json!({
                "Namespace": namespace,
                "Dimensions": m.dimensions,
                "Metrics": m.metrics.iter().map(definition).collect::<Vec<_>>(),
            })
        })
        .collect();
    sort_measurements(&mut list);
    let measured = !measurements.is_empty();
    if settings.config.version == "0" {
        body.insert("Timestamp".to_owned(), json!(time.to_string()));
        if measured {
            body.insert("Version".to_owned(), json!("0"));
            body.insert("CloudWatchMetrics".to_owned(), list);
        }
    } else if measured {
        body.insert("Version".to_owned(), json!("1"));
        body.insert(
            "_aws".to_owned(),
            json!({"CloudWatchMetrics": list, "Timestamp": time}),
        );
    }
    json!({"body": body, "group": group, "stream": stream, "timestamp": time})
}

/// Leaves only dimensions whose label stands in the event.
fn keep_text(
    measurements: &mut [Measurement<'_>],
    metrics: &[&str],
    prometheus: Option<&str>,
    settings: &Settings,
) {
    for measurement in measurements {
        for set in &mut measurement.dimensions {
            set.retain(|name| is_text(name, metrics, prometheus, settings));
        }
        let mut seen = Vec::new();
        measurement.dimensions.retain(|set| {
            let new = !seen.contains(set);
            seen.push(set.clone());
            new
        });
    }
}

/// Whether the label of a name is what stands under it in the event.
fn is_text(
    name: &str,
    metrics: &[&str],
    prometheus: Option<&str>,
    settings: &Settings,
) -> bool {
    let reserved: &[&str] = match settings.config.version.as_str() {
        "0" => &["Version", "Timestamp", "CloudWatchMetrics"],
        _ => &["Version", "_aws"],
    };
    let typed = prometheus.is_some() && name == "prom_metric_type";
    !(reserved.contains(&name) || typed || metrics.contains(&name))
}

fn options() -> impl Strategy<Value = Config> {
    let rollup = prop::sample::select(vec![
        "ZeroAndSingleDimensionRollup",
        "SingleDimensionRollupOnly",
        "NoDimensionRollup",
    ]);
    (rollup, any::<[bool; 8]>()).prop_map(|(rollup, [a, b, c, d, e, f, g, h])| {
        let declaration = |sets: &[&[&str]], selector: &str| MetricDeclaration {
            dimensions: sets
                .iter()
                .map(|set| set.iter().map(|n| (*n).to_owned()).collect())
                .collect(),
            metric_name_selectors: vec![selector.to_owned()],
            label_matchers: Vec::new(),
        };
        let mut config = Config {
            dimension_rollup_option: rollup.into(),
            version: if a { "0" } else { "1" }.to_owned(),
            retain_initial_value_of_delta_metric: b,
            detailed_metrics: c,
            enforce_limits: h,
            ..Config::default()
        };
        config.resource_to_telemetry_conversion.enabled = d;
        if e {
            config.metric_declarations = vec![
                declaration(&[&["k"], &[]], "^[gcs]"),
                declaration(&[&["z", "k"], &["OTelLib"]], "g|h"),
            ];
        }
        if f {
            config.log_group_name = "/{ClusterName}".to_owned();
            config.log_stream_name = "{PodName}".to_owned();
        }
        if g {
            config.parse_json_encoded_attr_values = vec!["json".to_owned(), "k".to_owned()];
        }
        config
    })
}

fn draws() -> impl Strategy<Value = Vec<Draw>> {
    let number = prop_oneof![
        8 => (0u32..200).prop_map(f64::from),
        2 => -1e9..1e9,
        1 => Just(f64::NAN),
    ];
    let draw = (
        0..RESOURCES,
        0..SCOPES,
        0..METRICS,
        0..LABELS,
        0..TIMES,
        number,
    );
    prop::collection::vec(draw, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_cached_path_gives_what_a_plain_one_gives(
        config in options(),
        steady in draws(),
        others in prop::collection::vec((draws(), any::<bool>()), 0..4),
        budget in prop::sample::select(vec![0usize, 2_000, 1 << 20]),
    ) {
        let settings = Arc::new(Settings::new(config, STREAM.to_owned()));
        let now_ns = NOW_MS as u64 * 1_000_000;
        let mut translator = Translator::new(settings.clone(), now_ns);
        let mut plain = Plain::default();
        let interner = Interner::new(budget);
        // The same batch again and again, others in between: plans are kept, left and found again.
        let mut rounds = vec![(steady.clone(), false), (steady.clone(), false)];
        for other in others {
            rounds.push(other);
            rounds.push((steady.clone(), false));
        }
        for (draws, sweep) in rounds {
            let batch = batch(&draws, &interner);
            let found = events(&translator.translate(&batch, now_ns));
            let mut left = found.clone();
            for event in plain.translate(&draws, &batch, &settings) {
                let at = left.iter().position(|found| same(&event, found));
                prop_assert!(at.is_some(), "missing {:#} in {:#?}", event, found);
                left.remove(at.unwrap());
            }
            prop_assert!(left.is_empty(), "too many {:#?}", left);
            if sweep {
                drop(batch);
                interner.sweep();
                translator.sweep(&interner, now_ns);
            }
        }
    }
}
