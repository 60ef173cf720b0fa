//! The page against that of the reference, and what it shows, forgets and refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod protobuf;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use serde_json::{Map, Value, json};
use weir_config::{Node, decode_and_validate};
use weir_core::clock::ManualClock;
use weir_core::{
    Batch, BuildCtx, ComponentId, ComponentKind, Deadline, ExporterKind, Interner, Signal, Stage,
};
use weir_model::Metrics;

use super::store::Store;
use super::{Config, Kind, Prometheus};

/// The instant that times in cases are relative to.
const T0_MS: u64 = 1_700_000_000_000;

fn load(config: &Value) -> Result<Config, Vec<String>> {
    let node: Node = serde_json::from_value(config.clone()).unwrap();
    decode_and_validate::<Config>(&node, "exporters.prometheus")
        .map(|decoded| decoded.value)
        .map_err(|found| {
            let errors = found.into_iter().filter(weir_config::Diagnostic::is_error);
            errors.map(|d| format!("{}: {}", d.path, d.message)).collect()
        })
}

/// An exporter without its server.
struct Bench {
    exporter: Prometheus,
    clock: Arc<ManualClock>,
    cx: BuildCtx,
}

fn bench(config: &Value) -> Bench {
    let mut config = config.clone();
    config["endpoint"] = json!("localhost:1");
    let id = ComponentId::parse("prometheus").unwrap();
    let mut cx = BuildCtx::standalone(id, ComponentKind::Exporter, Some(Signal::Metrics));
    let clock = Arc::new(ManualClock::default());
    cx.clock = clock.clone();
    let exporter = Prometheus::new(load(&config).unwrap(), &cx);
    Bench { exporter, clock, cx }
}

impl Bench {
    fn send(&self, metrics: &Value) {
        let scope = json!({"scopeMetrics": [{"metrics": metrics}],
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}});
        self.send_body(&json!({"resourceMetrics": [scope]}));
    }

    fn send_body(&self, body: &Value) {
        let metrics = Metrics::from_json(body.to_string().as_bytes(), &self.cx.interner).unwrap();
        self.exporter.put(&metrics);
    }

    async fn page(&self, accept: Option<&str>) -> String {
        String::from_utf8(self.bytes(accept).await).unwrap()
    }

    async fn bytes(&self, accept: Option<&str>) -> Vec<u8> {
        let handler = self.exporter.handler();
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert("accept", accept.parse().unwrap());
        }
        handler.page(handler.format(&headers)).await
    }

    fn dropped(&self) -> f64 {
        self.cx.telemetry.total("weir_dropped_items_total")
    }
}

/// One gauge point at a second.
fn gauge(name: &str, value: f64, second: u64) -> Value {
    json!({"name": name, "gauge": {"dataPoints": [{"asDouble": value,
        "timeUnixNano": ((T0_MS + second * 1000) * 1_000_000).to_string()}]}})
}

/// Fills in `{{ns:+1s}}`.
fn filled(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{ns:") {
        let (offset, after) = after.split_once("s}}").unwrap();
        let seconds: i64 = offset.parse().unwrap();
        out.push_str(before);
        out.push_str(&((T0_MS.cast_signed() + seconds * 1000) * 1_000_000).to_string());
        rest = after;
    }
    out + rest
}

/// A name or a quoted text from the front.
fn token(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '{', '=', ',', '}']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let (mut out, mut chars) = (String::new(), quoted.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (out, &quoted[at + 1..]),
            '\\' => match chars.next().unwrap().1 {
                'n' => out.push('\n'),
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
    panic!("no end of {text}");
}

/// A page in the form of the golden cases.
fn parsed(page: &str) -> (Value, Vec<Value>) {
    let (mut families, mut points) = (Map::new(), Vec::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = token(rest);
            families.insert(name, json!({"help": help.trim_start(), "type": ""}));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = token(rest);
            families[&name]["type"] = json!(kind.trim());
        } else if !line.starts_with('#') {
            points.push(sample(line));
        }
    }
    points.sort_by_key(Value::to_string);
    (Value::Object(families), points)
}

fn sample(line: &str) -> Value {
    let (mut name, mut rest) = token(line);
    let mut labels = Map::new();
    if let Some(mut inner) = rest.strip_prefix('{') {
        while !inner.starts_with('}') {
            let (label, after) = token(inner);
            inner = match after.strip_prefix('=') {
                Some(value) => {
                    let (value, after) = token(value);
                    assert!(labels.insert(label, json!(value)).is_none(), "{line}");
                    after
                }
                None => {
                    name = label;
                    after
                }
            };
            inner = inner.strip_prefix(',').unwrap_or(inner);
        }
        rest = &inner[1..];
    }
    let mut words = rest.split_whitespace();
    let mut point = json!({"labels": labels, "name": name});
    let value: f64 = words.next().unwrap().replace("Inf", "inf").parse().unwrap();
    point["value"] = json!(value);
    if let Some(time) = words.next() {
        let ms: i64 = time.parse().unwrap();
        point["time"] = json!(format!("T0{:+}ms", ms - T0_MS.cast_signed()));
    }
    point
}

async fn check(case: &Path) {
    let read = |name: &str| std::fs::read_to_string(case.join(name));
    let config: Value = serde_yaml::from_str(&read("config.yaml").unwrap().replace("{{prom}}", "1")).unwrap();
    let bench = bench(&config["exporters"]["prometheus"]);
    let input: Value = serde_json::from_str(&filled(&read("input.json").unwrap())).unwrap();
    let expected = read("expected-alt.json").or_else(|_| read("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let mut pages = expected["pages"].as_array().unwrap().iter();
    for step in input["steps"].as_array().unwrap() {
        if step["send"] == "metrics" {
            bench.send_body(&step["body"]);
            continue;
        }
        let page = bench.page(step["headers"]["Accept"].as_str()).await;
        let wanted = pages.next().unwrap();
        let (families, points) = parsed(&page);
        assert_eq!(families, wanted["families"], "{}", case.display());
        let mut expected = wanted["points"].as_array().unwrap().clone();
        expected.sort_by_key(Value::to_string);
        assert_eq!(points, expected, "{}", case.display());
    }
    assert!(pages.next().is_none());
}

#[tokio::test]
async fn pages_equal_those_of_the_reference() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("prometheus/testdata");
    let mut cases = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        check(&entry.unwrap().path()).await;
        cases += 1;
    }
    assert_eq!(cases, 8);
}

#[test]
fn wrong_values_are_errors_at_their_keys() {
    for (config, error) in [
        (json!({}), "endpoint: `endpoint` is required"),
        (json!({"endpoint": "x"}), "endpoint"),
        (json!({"endpoint": "x:1", "metric_expiration": "-1s"}), "metric_expiration"),
        (json!({"endpoint": "x:1", "translation_strategy": "x"}), "unknown translation strategy"),
        (json!({"endpoint": "x:1", "const_labels": {"a": ""}}), "const_labels"),
        (json!({"endpoint": "x:1", "max_series": 0}), "max_series"),
        (json!({"endpoint": "x:1", "sending_queue": {"num_consumers": 0}}), "num_consumers"),
        (json!({"endpoint": "x:1", "colour": 1}), "unknown key `colour`"),
    ] {
        let errors = load(&config).unwrap_err();
        assert!(errors.len() == 1 && errors[0].contains(error), "{errors:?} instead of {error}");
    }
    let config = load(&json!({"endpoint": "x:1"})).unwrap();
    assert_eq!(config.metric_expiration, weir_config::Duration::from_mins(5));
    assert!(!config.send_timestamps && !config.enable_open_metrics && config.sending_queue.is_none());
}

#[tokio::test]
async fn series_without_new_values_expire() {
    let bench = bench(&json!({"metric_expiration": "1m"}));
    bench.send(&json!([gauge("a", 1.0, 0)]));
    bench.clock.advance(Duration::from_secs(40));
    bench.send(&json!([gauge("b", 2.0, 40)]));
    bench.clock.advance(Duration::from_secs(30));
    let page = bench.page(None).await;
    assert!(!page.contains("a{") && page.contains("b{job=\"shop\"} 2\n"), "{page}");
    bench.cx.housekeeping.run(&bench.cx.interner);
    assert_eq!(bench.cx.telemetry.total("weir_exporter_prometheus_series"), 1.0);
    bench.send(&json!([gauge("a", 3.0, 70)]));
    assert!(bench.page(None).await.contains("a{job=\"shop\"} 3\n"));
}

#[tokio::test]
async fn a_stale_point_takes_its_series_away() {
    let bench = bench(&json!({}));
    bench.send(&json!([gauge("a", 1.0, 0), gauge("b", 1.0, 0)]));
    let mut stale = gauge("a", 0.0, 1);
    stale["gauge"]["dataPoints"][0]["flags"] = json!(1);
    bench.send(&json!([stale]));
    let page = bench.page(None).await;
    assert!(!page.contains("a{") && page.contains("b{"), "{page}");
    assert_eq!(bench.dropped(), 0.0);
}

#[tokio::test]
async fn the_number_of_series_is_bounded_and_freed_places_are_used_again() {
    let bench = bench(&json!({"max_series": 2}));
    bench.send(&json!([gauge("a", 1.0, 0), gauge("b", 1.0, 0), gauge("c", 1.0, 0)]));
    assert_eq!(bench.dropped(), 1.0);
    let mut stale = gauge("a", 0.0, 1);
    stale["gauge"]["dataPoints"][0]["flags"] = json!(1);
    bench.send(&json!([stale, gauge("c", 5.0, 1)]));
    let page = bench.page(None).await;
    assert!(page.contains("c{job=\"shop\"} 5\n") && !page.contains("a{"), "{page}");
}

#[tokio::test]
async fn what_cannot_be_shown_is_counted_by_reason() {
    let bench = bench(&json!({}));
    let sum = |name: &str, temporality: u8, monotonic: bool| {
        json!({"name": name, "sum": {"aggregationTemporality": temporality, "isMonotonic": monotonic,
            "dataPoints": [{"asInt": "1", "timeUnixNano": "1000000"}]}})
    };
    bench.send(&json!([gauge("a", 1.0, 9)]));
    bench.send(&json!([
        gauge("a", 2.0, 8),                // late
        sum("up_down", 1, false),          // a difference that can fall
        sum("unknown", 0, true),           // of what, it does not say
        sum("a", 2, true),                 // `a_total`: no conflict
        gauge("a_total", 1.0, 1),          // a gauge of that name
        gauge("---", 1.0, 1),              // no name
    ]));
    let page = bench.page(None).await;
    assert!(page.contains("a{job=\"shop\"} 1\n") && page.contains("a_total{job=\"shop\"} 1\n"));
    assert_eq!(page.matches("# TYPE").count(), 2, "{page}");
    assert_eq!(bench.dropped(), 5.0);
    let text = bench.cx.telemetry.encode();
    for reason in ["late", "not_cumulative", "type_conflict", "unusable_name"] {
        assert!(text.contains(&format!("reason=\"{reason}\"")), "{reason}");
    }
}

#[tokio::test]
async fn differences_of_all_types_add_up() {
    let bench = bench(&json!({}));
    let send = |from: u64, to: u64| {
        let time = |second: u64| ((T0_MS + second * 1000) * 1_000_000).to_string();
        let with = |mut point: Value| {
            point["startTimeUnixNano"] = json!(time(from));
            point["timeUnixNano"] = json!(time(to));
            point
        };
        bench.send(&json!([
            {"name": "c", "sum": {"aggregationTemporality": 1, "isMonotonic": true,
                "dataPoints": [with(json!({"asInt": "2"}))]}},
            {"name": "h", "histogram": {"aggregationTemporality": 1, "dataPoints": [with(json!({
                "count": "3", "sum": 1.5, "bucketCounts": ["1", "2"], "explicitBounds": [1]}))]}},
            {"name": "e", "exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": [with(json!({
                "count": "3", "sum": 1.5, "scale": 1, "zeroCount": "1",
                "positive": {"offset": 1, "bucketCounts": ["2"]}}))]}},
        ]));
    };
    send(0, 10);
    send(10, 20);
    let page = bench.page(None).await;
    for line in [
        "c_total{job=\"shop\"} 4\n",
        "h_bucket{job=\"shop\",le=\"1\"} 2\n",
        "h_bucket{job=\"shop\",le=\"+Inf\"} 6\n",
        "h_sum{job=\"shop\"} 3\n",
        "e_bucket{job=\"shop\",le=\"+Inf\"} 6\n",
        "e_count{job=\"shop\"} 6\n",
    ] {
        assert!(page.contains(line), "{line}{page}");
    }
    // One that overlaps counts something anew.
    send(5, 30);
    assert!(bench.page(None).await.contains("c_total{job=\"shop\"} 2\n"));
}

#[tokio::test]
async fn open_metrics_has_exemplars_units_and_an_end() {
    let bench = bench(&json!({"enable_open_metrics": true, "send_timestamps": true}));
    let time = (T0_MS * 1_000_000).to_string();
    let exemplar = json!({"timeUnixNano": time, "asDouble": 0.5, "traceId": "0102030405060708090a0b0c0d0e0f10",
        "spanId": "0102030405060708"});
    bench.send(&json!([
        {"name": "c", "unit": "s", "description": "a \"b\"", "sum": {"aggregationTemporality": 2, "isMonotonic": true,
            "dataPoints": [{"asInt": "2", "timeUnixNano": time, "exemplars": [exemplar]}]}},
        {"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [{"timeUnixNano": time,
            "count": "3", "sum": 1.5, "bucketCounts": ["1", "2"], "explicitBounds": [1], "exemplars": [exemplar]}]}},
    ]));
    let page = bench.page(Some("application/openmetrics-text; version=1.0.0,text/plain;q=0.5")).await;
    let expected = "# HELP c_seconds a \\\"b\\\"\n# TYPE c_seconds counter\n# UNIT c_seconds seconds\n\
        c_seconds_total{job=\"shop\"} 2 1700000000.000 # {trace_id=\"0102030405060708090a0b0c0d0e0f10\",\
        span_id=\"0102030405060708\"} 0.5 1700000000.000\n\
        # HELP h \n# TYPE h histogram\n\
        h_bucket{job=\"shop\",le=\"1.0\"} 1 1700000000.000 # {trace_id=\"0102030405060708090a0b0c0d0e0f10\",\
        span_id=\"0102030405060708\"} 0.5 1700000000.000\n\
        h_bucket{job=\"shop\",le=\"+Inf\"} 3 1700000000.000\n\
        h_sum{job=\"shop\"} 1.5 1700000000.000\nh_count{job=\"shop\"} 3 1700000000.000\n# EOF\n";
    assert_eq!(page, expected);
    // Who does not ask for it gets the older format, and exemplars have no place in that.
    let plain = bench.page(Some("text/plain")).await;
    assert!(plain.contains("# TYPE c_seconds_total counter") && !plain.contains("trace_id"));
    assert!(plain.contains("c_seconds_total{job=\"shop\"} 2 1700000000000\n"), "{plain}");
}

#[tokio::test]
async fn names_that_need_quotes_are_escaped_for_older_readers() {
    let bench = bench(&json!({"translation_strategy": "NoTranslation"}));
    bench.send(&json!([gauge("queue.depth", 7.0, 0)]));
    let plain = bench.page(None).await;
    assert!(plain.contains("# TYPE queue_depth gauge\nqueue_depth{job=\"shop\"} 7\n"), "{plain}");
    let full = bench.page(Some("text/plain;version=1.0.0;escaping=allow-utf-8")).await;
    let expected = "# TYPE \"queue.depth\" gauge\n{\"queue.depth\",job=\"shop\"} 7\n";
    assert!(full.contains(expected), "{full}");
}

/// A large page is written in pieces, between which series may come and go.
#[tokio::test]
async fn a_page_of_many_series_is_complete() {
    let bench = bench(&json!({}));
    let points: Vec<Value> = (0..3500)
        .map(|i| {
            json!({"asInt": "1", "timeUnixNano": "1000000",
            "attributes": [{"key": "i", "value": {"intValue": i.to_string()}}]})
        })
        .collect();
    bench.send(&json!([{"name": "g", "gauge": {"dataPoints": points}}]));
    let page = bench.page(None).await;
    assert_eq!(page.matches("# TYPE").count(), 1);
    assert_eq!(page.matches("g{i=").count(), 3500);
}

/// Series over the intern budget are shown, too, each once.
#[test]
fn series_that_are_not_interned_keep_their_place() {
    let interner = Arc::new(Interner::new(0));
    let rules = load(&json!({"endpoint": "x:1"})).unwrap().rules();
    let store = Mutex::new(Store::new(rules, 10, None));
    for second in 0..3 {
        let body = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [gauge("g", 1.0, second)]}]}]});
        let metrics = Metrics::from_json(body.to_string().as_bytes(), &interner).unwrap();
        for point in metrics.points() {
            store.lock().unwrap().put(point, Duration::ZERO).unwrap();
        }
    }
    assert_eq!(store.lock().unwrap().len(), 1);
}

async fn ask(port: u16, head: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// An exporter that was sent these metrics, and the port of its page.
async fn served(metrics: &[Value]) -> (u16, BuildCtx, Arc<dyn Stage>) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = load(&json!({"endpoint": format!("127.0.0.1:{port}")})).unwrap();
    let id = ComponentId::parse("prometheus").unwrap();
    let cx = BuildCtx::standalone(id, ComponentKind::Exporter, Some(Signal::Metrics));
    let stage = Kind::build(config, cx.clone()).await.unwrap();
    stage.start().await.unwrap();
    let body = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]});
    let metrics = Metrics::from_json(body.to_string().as_bytes(), &cx.interner).unwrap();
    stage.consume(Batch::metrics(metrics)).await.unwrap();
    (port, cx, stage)
}

#[tokio::test]
async fn the_page_is_served_until_the_exporter_stops() {
    let (port, cx, stage) = served(&[gauge("g", 1.0, 0)]).await;
    assert_eq!(cx.telemetry.total("otelcol_exporter_sent_metric_points"), 1.0);
    let answer = ask(port, "GET /metrics HTTP/1.1\r\nHost: x").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{answer}");
    assert!(answer.ends_with("# HELP g \n# TYPE g gauge\ng 1\n"), "{answer}");
    let many: Vec<Value> = (0..100).map(|i| gauge(&format!("metric_{i}"), 1.0, 0)).collect();
    let body = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": many}]}]});
    let metrics = Metrics::from_json(body.to_string().as_bytes(), &cx.interner).unwrap();
    stage.consume(Batch::metrics(metrics)).await.unwrap();
    for (accepts, gzip) in [("gzip", true), ("br, gzip;q=0.5", true), ("gzip;q=0", false), ("br", false)] {
        let answer = ask(port, &format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {accepts}")).await;
        assert_eq!(answer.contains("content-encoding: gzip"), gzip, "{accepts}");
        assert_eq!(answer.contains("metric_99 1"), !gzip, "{accepts}");
    }
    assert!(ask(port, "GET / HTTP/1.1\r\nHost: x").await.starts_with("HTTP/1.1 404"));
    assert!(ask(port, "DELETE /metrics HTTP/1.1\r\nHost: x").await.starts_with("HTTP/1.1 405"));
    stage.drain(Deadline::after(Duration::from_secs(5))).await;
}
