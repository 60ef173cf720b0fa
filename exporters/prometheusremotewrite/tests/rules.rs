//! What a sender must and should do (prometheus-compliance specification, section 3.2).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use weir_core::Batch;
use weir_model::wire;
use weir_model::{Interner, Metrics};
use weir_testkit::{MockServer, Recorded};

use super::check::{Sent, Series, broken, decode};
use super::sending::{answer, build, direct, own};
use crate::prometheusremotewrite::Config;

const TIME: u64 = 1_700_000_000_000_000_000;

fn attributes(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).collect()
}

/// OTLP/JSON of one service's metrics.
pub(super) fn body(metrics: &Value) -> Value {
    let resource = attributes(&[
        ("service.name", "shop"),
        ("service.instance.id", "i-1"),
        ("host.name", "h"),
    ]);
    json!({"resourceMetrics": [{"resource": {"attributes": resource},
        "scopeMetrics": [{"scope": {"name": "lib", "version": "1"}, "metrics": metrics}]}]})
}

pub(super) fn metrics(json: &Value, interner: &Arc<Interner>) -> Metrics {
    Metrics::from_json(json.to_string().as_bytes(), interner).unwrap()
}

/// Every type of metric, each with all that a point can have.
pub(super) fn every_type() -> Value {
    let exemplar = json!([{"timeUnixNano": TIME.to_string(), "asDouble": 0.5,
        "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708",
        "filteredAttributes": attributes(&[("user", "u")])}]);
    let point = |extra: Value| {
        let mut point = json!({"timeUnixNano": TIME.to_string(),
            "startTimeUnixNano": (TIME - 60_000_000_000).to_string(),
            "attributes": attributes(&[("z", "1"), ("a.b", "2"), ("empty", "")])});
        point.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!([point])
    };
    json!([
        {"name": "temperature", "unit": "Cel", "description": "How warm it is.\nOr \"cold\".",
            "gauge": {"dataPoints": point(json!({"asDouble": 21.5}))}},
        {"name": "requests", "description": "Requests.", "sum": {"aggregationTemporality": 2, "isMonotonic": true,
            "dataPoints": point(json!({"asInt": "7", "exemplars": exemplar}))}},
        {"name": "in.flight", "description": "Open.", "sum": {"aggregationTemporality": 2,
            "dataPoints": point(json!({"asInt": "-7"}))}},
        {"name": "latency", "unit": "s", "description": "Time.", "histogram": {"aggregationTemporality": 2,
            "dataPoints": point(json!({"count": "3", "sum": 2.5, "explicitBounds": [0.1, 1],
                "bucketCounts": ["1", "0", "2"], "exemplars": exemplar}))}},
        {"name": "size", "unit": "By", "description": "Bytes.", "exponentialHistogram": {"aggregationTemporality": 2,
            "dataPoints": point(json!({"count": "4", "sum": 9.5, "scale": 2, "zeroCount": "1",
                "positive": {"offset": 1, "bucketCounts": ["2", "0", "1"]}, "exemplars": exemplar}))}},
        {"name": "rpc", "description": "Calls.", "summary": {
            "dataPoints": point(json!({"count": "4", "sum": 9.5, "quantileValues": [{"quantile": 0.5, "value": 2}]}))}},
    ])
}

pub(super) fn v2(server: &MockServer) -> Config {
    Config {
        protobuf_message: "io.prometheus.write.v2.Request".to_owned(),
        ..direct(server)
    }
}

/// Sends metrics to a server that takes them; what it was sent.
pub(super) async fn sent(metrics_json: &Value) -> Vec<Recorded> {
    let server = MockServer::raw(|_| answer(204)).unwrap();
    let (stage, cx) = build(v2(&server)).await;
    let batch = Batch::metrics(metrics(&body(metrics_json), &cx.interner));
    stage.consume(batch).await.unwrap();
    server.requests()
}

fn parts(request: &Recorded) -> Sent<'_> {
    Sent {
        method: request.method.as_str(),
        headers: request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect(),
        body: &request.body,
    }
}

/// The series of requests.
pub(super) fn series(requests: &[Recorded]) -> Vec<Series> {
    let mut none = BTreeSet::new();
    requests.iter().flat_map(|request| decode(&request.body, &mut none)).collect()
}

fn find<'a>(series: &'a [Series], name: &str) -> Vec<&'a Series> {
    series.iter().filter(|series| series.label("__name__") == name).collect()
}

#[tokio::test]
async fn requests_keep_every_rule_of_the_protocol() {
    let requests = sent(&every_type()).await;
    assert_eq!(requests.len(), 1);
    assert_eq!(broken(&parts(&requests[0])), BTreeSet::new());
    // All of it is there.
    let series = series(&requests);
    for (name, count) in [
        ("temperature_celsius", 1),
        ("requests_total", 1),
        ("in_flight", 1),
        ("latency_seconds_bucket", 3),
        ("latency_seconds_sum", 1),
        ("latency_seconds_count", 1),
        ("size_bytes", 1),
        ("rpc", 1),
        ("rpc_sum", 1),
        ("rpc_count", 1),
        ("target_info", 1),
    ] {
        assert_eq!(find(&series, name).len(), count, "{name}");
    }
    for series in &series {
        assert_eq!((series.label("job"), series.label("instance")), ("shop", "i-1"));
    }
}

/// A request with one thing changed.
#[derive(Clone)]
struct Forged {
    method: &'static str,
    headers: BTreeMap<&'static str, &'static str>,
    symbols: Vec<&'static [u8]>,
    /// Numbers of labels, of each of two series.
    labels: [Vec<u64>; 2],
    times: Vec<u64>,
    start: u64,
    histogram: Option<bool>,
    exemplar: (Vec<u64>, u64),
    help: [u64; 2],
    more: Vec<u8>,
    body: Option<Vec<u8>>,
}

impl Forged {
    fn good() -> Self {
        Self {
            method: "POST",
            headers: [
                ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
                ("content-encoding", "snappy"),
                ("x-prometheus-remote-write-version", "2.0.0"),
                ("user-agent", "x/1"),
            ]
            .into(),
            symbols: vec![b"", b"__name__", b"m", b"a", b"help", b"other", b"__z", b"9-"],
            labels: [vec![1, 2, 3, 4], vec![1, 2, 3, 5]],
            times: vec![1_700_000_000_000, 1_700_000_000_001],
            start: 1_600_000_000_000,
            histogram: None,
            exemplar: (vec![3, 2], 1_700_000_000_000),
            help: [4, 4],
            more: Vec::new(),
            body: None,
        }
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for symbol in &self.symbols {
            wire::put_bytes_always(&mut body, 4, symbol);
        }
        for (refs, help) in self.labels.iter().zip(self.help) {
            wire::put_message_always(&mut body, 5, |out| {
                let mut packed = Vec::new();
                refs.iter().for_each(|at| wire::put_varint(&mut packed, *at));
                wire::put_bytes(out, 1, &packed);
                for time in &self.times {
                    wire::put_message_always(out, 2, |out| {
                        wire::put_fixed64(out, 1, 1.5_f64.to_bits());
                        wire::put_uint(out, 2, *time);
                        wire::put_uint(out, 3, self.start);
                    });
                }
                if let Some(counted) = self.histogram {
                    wire::put_message_always(out, 3, |out| {
                        wire::put_uint(out, 1, u64::from(counted));
                        wire::put_uint(out, 15, 1_700_000_000_000);
                    });
                }
                wire::put_message_always(out, 4, |out| {
                    let mut packed = Vec::new();
                    self.exemplar.0.iter().for_each(|at| wire::put_varint(&mut packed, *at));
                    wire::put_bytes(out, 1, &packed);
                    wire::put_uint(out, 3, self.exemplar.1);
                });
                wire::put_message_always(out, 5, |out| wire::put_uint(out, 3, help));
            });
        }
        body.extend_from_slice(&self.more);
        self.body.clone().unwrap_or_else(|| snap::raw::Encoder::new().compress_vec(&body).unwrap())
    }

    fn broken(&self) -> BTreeSet<&'static str> {
        broken(&Sent {
            method: self.method,
            headers: self.headers.clone(),
            body: &self.body(),
        })
    }
}

/// The check itself: each rule, broken by itself, is found.
#[test]
fn each_broken_rule_is_found() {
    let good = Forged::good();
    assert_eq!(good.broken(), BTreeSet::new());
    let header = |name, value| Forged {
        headers: {
            let mut headers = good.headers.clone();
            headers.insert(name, value);
            headers
        },
        ..good.clone()
    };
    let labels = |first: &[u64]| Forged { labels: [first.to_vec(), good.labels[1].clone()], ..good.clone() };
    let symbols = |symbols: &[&'static [u8]]| Forged { symbols: symbols.to_vec(), ..good.clone() };
    for (rule, forged) in [
        ("http_method_post", Forged { method: "PUT", ..good.clone() }),
        ("content_type_protobuf", header("content-type", "proto=io.prometheus.write.v2.Request")),
        ("content_type_with_proto_param", header("content-type", "application/x-protobuf")),
        ("content_encoding_snappy", header("content-encoding", "gzip")),
        ("version_header_present", header("x-prometheus-remote-write-version", "")),
        ("version_header_value", header("x-prometheus-remote-write-version", "0.1.0")),
        ("user_agent_present", header("user-agent", "")),
        ("snappy_block_format", Forged { body: Some(b"\xff\x06\x00\x00sNaPpY".to_vec()), ..good.clone() }),
        ("snappy_block_format", Forged { body: Some(b"\x0a\xff".to_vec()), ..good.clone() }),
        ("protobuf_parseable", Forged { more: vec![0x2a, 9], ..good.clone() }),
        ("protobuf_parseable", Forged { more: vec![0x0a, 0], ..good.clone() }),
        ("empty_string_at_index_zero", symbols(&[b"x", b"__name__", b"m", b"a", b"help", b"other"])),
        ("string_deduplication", symbols(&[b"", b"__name__", b"m", b"a", b"help", b"other", b"m"])),
        ("labels_refs_even_length", labels(&[1, 2, 3])),
        ("labels_refs_valid_indices", labels(&[1, 2, 3, 99])),
        ("label_lexicographic_ordering", labels(&[3, 4, 1, 2])),
        ("no_duplicate_label_names", labels(&[1, 2, 3, 4, 3, 5])),
        ("metric_name_label_present", labels(&[3, 4])),
        ("metric_name_format_valid", labels(&[1, 7, 3, 4])),
        ("label_name_format_valid", labels(&[7, 4, 1, 2])),
        ("label_names_not_empty", labels(&[0, 4, 1, 2])),
        ("reserved_label_prefix", labels(&[1, 2, 6, 4])),
        ("timestamp_ordering_within_series", Forged { times: vec![1_700_000_000_001, 1_700_000_000_000], ..good.clone() }),
        ("timestamp_int64_milliseconds", Forged { times: vec![1_700_000_000], start: 0, ..good.clone() }),
        ("timestamp_int64_milliseconds", Forged { times: vec![TIME], ..good.clone() }),
        ("start_timestamp_zero_handling", Forged { start: 1, ..good.clone() }),
        ("start_timestamp_before_sample_timestamp", Forged { start: 1_800_000_000_000, ..good.clone() }),
        ("histogram_no_mixed_with_samples", Forged { histogram: Some(true), ..good.clone() }),
        ("histogram_count_present", Forged { histogram: Some(false), times: vec![], ..good.clone() }),
        ("exemplar_timestamp_valid", Forged { exemplar: (vec![3, 2], 5), ..good.clone() }),
        ("exemplar_labels_even_length", Forged { exemplar: (vec![3], 1_700_000_000_000), ..good.clone() }),
        ("exemplar_labels_valid_refs", Forged { exemplar: (vec![3, 88], 1_700_000_000_000), ..good.clone() }),
        ("help_refs_valid", Forged { help: [77, 77], ..good.clone() }),
        ("consistent_across_series", Forged { help: [4, 5], ..good.clone() }),
    ] {
        assert_eq!(forged.broken(), BTreeSet::from([rule]));
    }
}

/// Values arrive bit by bit, whatever they are.
#[tokio::test]
async fn values_arrive_exactly() {
    let values = [
        0.0, -0.0, 1.5, -1.5, 42.0, f64::MAX, f64::MIN_POSITIVE, 5e-324, 0.000_123, 1e308,
        std::f64::consts::PI, 9_007_199_254_740_993.0, f64::INFINITY, f64::NEG_INFINITY,
    ];
    let points: Vec<Value> = values
        .iter()
        .enumerate()
        .map(|(at, value)| {
            let value = if value.is_infinite() { json!(value.to_string().replace("inf", "Infinity")) } else { json!(value) };
            json!({"timeUnixNano": TIME.to_string(), "asDouble": value,
                "attributes": attributes(&[("at", &at.to_string())])})
        })
        .chain([json!({"timeUnixNano": TIME.to_string(), "asDouble": "NaN"})])
        .collect();
    let series = series(&sent(&json!([{"name": "g", "gauge": {"dataPoints": points}}])).await);
    for (at, value) in values.iter().enumerate() {
        let found = series.iter().find(|s| s.label("at") == at.to_string()).unwrap();
        assert_eq!(found.samples[0].0.to_bits(), value.to_bits(), "{value}");
        assert_eq!(found.samples[0].1, (TIME / 1_000_000).cast_signed());
    }
    assert!(series.iter().any(|s| s.label("at").is_empty() && s.samples.iter().any(|v| v.0.is_nan())));
}

/// Names and values of any length and of any characters.
#[tokio::test]
async fn labels_of_any_length_and_content_arrive() {
    let long = "x".repeat(10_000);
    let many: Vec<(String, String)> = (0..60).map(|i| (format!("label_{i:02}"), i.to_string())).collect();
    let mut pairs: Vec<(&str, &str)> = many.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    pairs.extend([
        ("unicode", "\u{4f60}\u{597d} \u{1f980}"),
        ("special", "a\"b\\c\nd\te"),
        ("long_value", long.as_str()),
        (long.as_str(), "long name"),
        ("empty", ""),
    ]);
    let name = format!("metric:{}", "y".repeat(300));
    let requests = sent(&json!([{"name": name, "gauge": {"dataPoints": [
        {"timeUnixNano": TIME.to_string(), "asInt": "1", "attributes": attributes(&pairs)}]}}]))
    .await;
    assert_eq!(broken(&parts(&requests[0])), BTreeSet::new());
    let series = series(&requests);
    let found = find(&series, &name)[0];
    for (label, value) in &pairs {
        assert_eq!(found.label(label), *value);
    }
    assert!(!found.labels.iter().any(|(name, _)| name == "empty"));
}

/// Type, help and unit stand with each series of a metric.
#[tokio::test]
async fn metadata_says_type_help_and_unit() {
    let series = series(&sent(&every_type()).await);
    for (name, kind, help, unit) in [
        ("temperature_celsius", 2, "How warm it is.\nOr \"cold\".", "celsius"),
        ("requests_total", 1, "Requests.", ""),
        ("in_flight", 2, "Open.", ""),
        ("latency_seconds_bucket", 3, "Time.", "seconds"),
        ("latency_seconds_sum", 3, "Time.", "seconds"),
        ("latency_seconds_count", 3, "Time.", "seconds"),
        ("size_bytes", 3, "Bytes.", "bytes"),
        ("rpc", 5, "Calls.", ""),
        ("target_info", 2, "Target metadata", ""),
    ] {
        for series in find(&series, name) {
            let metadata = series.metadata.clone().unwrap();
            assert_eq!(metadata, (kind, help.to_owned(), unit.to_owned()), "{name}");
        }
    }
}

/// PRW-49: counters and histograms tell since when they count; what does not count has no start.
#[tokio::test]
async fn start_times_go_with_what_counts() {
    let start = ((TIME - 60_000_000_000) / 1_000_000).cast_signed();
    for series in series(&sent(&every_type()).await) {
        let counts = !["temperature_celsius", "in_flight", "target_info"].contains(&series.label("__name__"));
        let expected = if counts { start } else { 0 };
        assert!(series.samples.iter().all(|(_, _, start)| *start == expected), "{series:?}");
        assert!(series.histograms.iter().all(|(_, start, _)| *start == expected), "{series:?}");
    }
}

#[tokio::test]
async fn classic_histograms_are_cumulative_and_in_order() {
    let series = series(&sent(&every_type()).await);
    let buckets = find(&series, "latency_seconds_bucket");
    let mut found: Vec<(f64, f64)> = buckets
        .iter()
        .map(|s| (s.label("le").replace("+Inf", "inf").parse().unwrap(), s.samples[0].0))
        .collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert_eq!(found, [(0.1, 1.0), (1.0, 1.0), (f64::INFINITY, 3.0)]);
    assert_eq!(find(&series, "latency_seconds_sum")[0].samples[0].0.to_bits(), 2.5_f64.to_bits());
    assert_eq!(find(&series, "latency_seconds_count")[0].samples[0].0.to_bits(), 3.0_f64.to_bits());
}

/// Counts that wrap round (the receiver makes them of buckets that fall) come out as they were.
#[tokio::test]
async fn buckets_that_fall_are_those_of_the_page() {
    let counts = ["5".to_owned(), (u64::MAX - 1).to_string(), "3".to_owned()];
    let metrics = json!([{"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": TIME.to_string(), "count": "6", "sum": 1.0, "explicitBounds": [1.0, 2.0], "bucketCounts": counts}]}}]);
    let series = series(&sent(&metrics).await);
    let mut found: Vec<f64> = find(&series, "h_bucket").iter().map(|s| s.samples[0].0).collect();
    found.sort_by(f64::total_cmp);
    assert_eq!(found, [3.0, 5.0, 6.0]);
}

#[tokio::test]
async fn exemplars_keep_trace_span_and_labels() {
    let series = series(&sent(&every_type()).await);
    for name in ["requests_total", "size_bytes"] {
        let (labels, time) = &find(&series, name)[0].exemplars[0];
        let label = |name: &str| labels.iter().find(|(known, _)| known == name).unwrap().1.as_str();
        assert_eq!(label("trace_id"), "0102030405060708090a0b0c0d0e0f10");
        assert_eq!((label("span_id"), label("user")), ("0102030405060708", "u"));
        assert_eq!(*time, (TIME / 1_000_000).cast_signed());
    }
}

/// Many series go in few requests, each below the limit, with the symbols of its own.
#[tokio::test]
async fn many_series_share_requests() {
    let points: Vec<Value> = (0..12_000)
        .map(|i| json!({"timeUnixNano": TIME.to_string(), "asInt": i.to_string(),
            "attributes": attributes(&[("i", &i.to_string())])}))
        .collect();
    let requests = sent(&json!([{"name": "g", "gauge": {"dataPoints": points}},
        {"name": "h", "gauge": {"dataPoints": points}}]))
    .await;
    assert!(requests.len() <= 2, "{}", requests.len());
    for request in &requests {
        assert_eq!(broken(&parts(request)), BTreeSet::new());
    }
    assert_eq!(series(&requests).len(), 24_001);
}

/// Answers that say no for good: one request for each batch.
#[tokio::test]
async fn client_errors_are_not_tried_again() {
    for status in [400, 401, 403, 404, 413] {
        let server = MockServer::raw(move |_| answer(status)).unwrap();
        let (stage, cx) = build(v2(&server)).await;
        for round in 1..3 {
            let batch = Batch::metrics(metrics(&body(&every_type()), &cx.interner));
            assert!(!stage.consume(batch).await.unwrap_err().is_retryable());
            assert_eq!(server.requests().len(), round, "{status}");
        }
    }
}

/// Answers that say not now: the same request again, until it is taken.
#[tokio::test]
async fn server_errors_are_tried_again_until_they_pass() {
    for status in [500, 502, 503, 504, 429] {
        let count = std::sync::atomic::AtomicUsize::new(0);
        let server = MockServer::raw(move |_| {
            let so_far = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            answer(if so_far < 3 { status } else { 204 })
        })
        .unwrap();
        let (stage, cx) = build(v2(&server)).await;
        let batch = Batch::metrics(metrics(&body(&every_type()), &cx.interner));
        stage.consume(batch).await.unwrap();
        let requests = server.requests();
        assert_eq!(requests.len(), 4, "{status}");
        assert!(requests.windows(2).all(|pair| pair[0].body == pair[1].body));
        assert!(requests.iter().all(|r| r.header("x-prometheus-remote-write-version") == "2.0.0"));
    }
}

/// Whatever the answer holds, what was sent stays what it was.
#[tokio::test]
async fn answers_of_all_kinds_are_survived() {
    use http::Response;
    type Make = fn() -> Response<bytes::Bytes>;
    let kinds: [(Make, bool); 6] = [
        (|| answer(200), true),
        (|| answer(204), true),
        (|| Response::new(vec![b'x'; 1 << 20].into()), true),
        (|| Response::new(bytes::Bytes::from_static(b"\xff\x00not text")), true),
        (|| { let mut r = Response::new(vec![b'e'; 1 << 20].into()); *r.status_mut() = http::StatusCode::BAD_REQUEST; r }, false),
        (|| { let mut r = answer(200); r.headers_mut().insert("x-prometheus-remote-write-samples-written", "many".parse().unwrap()); r }, true),
    ];
    for (make, good) in kinds {
        let server = MockServer::raw(move |_| make()).unwrap();
        let (stage, cx) = build(v2(&server)).await;
        for _ in 0..2 {
            let batch = Batch::metrics(metrics(&body(&every_type()), &cx.interner));
            assert_eq!(stage.consume(batch).await.is_ok(), good);
        }
        assert_eq!(server.requests().len(), 2);
        assert_eq!(own(&cx.telemetry, "sent_batches"), if good { 2.0 } else { 0.0 });
    }
}

/// Nobody listens, or the name does not exist: the data is kept for another attempt.
#[tokio::test]
async fn network_errors_are_worth_another_attempt() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for endpoint in [format!("http://{free}/x"), "http://no-such-host.invalid/x".to_owned()] {
        let server = MockServer::raw(|_| answer(204)).unwrap();
        let mut config = Config { endpoint, ..v2(&server) };
        config.retry_on_failure.enabled = false;
        let (stage, cx) = build(config).await;
        let batch = Batch::metrics(metrics(&body(&every_type()), &cx.interner));
        assert!(stage.consume(batch).await.unwrap_err().is_retryable());
    }
}
