//! Rows of the specification that neither the golden cases nor the rules of the protocol cover.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use weir_core::{Batch, BuildCtx, ComponentId, ComponentKind, Deadline, Reject, Signal};
use weir_testkit::MockServer;

use super::check::Series;
use super::decode::T0_MS;
use super::golden::translate;
use super::rules::{body, every_type, metrics, series, v2};
use super::sending::{answer, batch, build, direct, own};
use crate::prometheusremotewrite::labels::Refused;
use crate::prometheusremotewrite::own::Own;
use crate::prometheusremotewrite::send::Written;
use crate::prometheusremotewrite::{Config, RemoteWriteQueue};

/// What is sent for OTLP/JSON, in the form of the golden cases, by name.
fn translated(config: &Config, json: &Value) -> Vec<Value> {
    let interner = std::sync::Arc::new(weir_core::Interner::new(16 << 20));
    let (decoded, _) = translate(config, &[metrics(json, &interner)]);
    decoded.series()
}

fn named<'a>(series: &'a [Value], name: &str) -> Vec<&'a Value> {
    series.iter().filter(|series| series["labels"]["__name__"] == name).collect()
}

fn at(second: i64) -> String {
    ((T0_MS + second * 1000) * 1_000_000).to_string()
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn queued(server: &MockServer) -> Config {
    Config {
        remote_write_queue: RemoteWriteQueue::default(),
        ..direct(server)
    }
}

/// PRW-25.
#[test]
fn stale_markers_have_the_exact_bits_on_every_type() {
    let mut stale = every_type();
    for metric in stale.as_array_mut().unwrap() {
        for kind in ["gauge", "sum", "histogram", "exponentialHistogram", "summary"] {
            if let Some(points) = metric.get_mut(kind) {
                points["dataPoints"][0]["flags"] = json!(1);
            }
        }
    }
    for message in ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"] {
        let config = Config { protobuf_message: message.to_owned(), ..Config::default() };
        let series = translated(&config, &body(&stale));
        assert_eq!(series.len(), 13);
        for series in &series {
            if series["labels"]["__name__"] == "target_info" {
                continue;
            }
            if let Some(histogram) = series.get("histograms") {
                assert_eq!(histogram[0]["sum"], "StaleNaN", "{series}");
                assert_eq!(histogram[0]["count"], json!(0x7FF0_0000_0000_0002_u64), "{series}");
            } else {
                assert_eq!(series["samples"][0]["v"], "StaleNaN", "{series}");
            }
        }
    }
}

/// PRW-26.
#[test]
fn exemplar_labels_over_128_characters_leave_the_attributes_out() {
    // trace_id and span_id with their names are 63 characters; each e-acute is one.
    let sum = |value: usize| {
        json!([{"name": "c", "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [{
            "timeUnixNano": at(0), "asInt": "1", "exemplars": [{"timeUnixNano": at(0), "asInt": "1",
                "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708",
                "filteredAttributes": [attribute("k", &"\u{e9}".repeat(value))]}]}]}}])
    };
    for (value, kept) in [(64, true), (65, false)] {
        let series = translated(&Config::default(), &body(&sum(value)));
        let labels = &named(&series, "c_total")[0]["exemplars"][0]["labels"];
        assert_eq!(labels.get("k").is_some(), kept, "{value}");
        assert_eq!(labels["trace_id"], "0102030405060708090a0b0c0d0e0f10");
    }
}

/// PRW-28, PRW-29.
#[test]
fn target_info_needs_a_switch_attributes_an_identity_and_a_time() {
    let with = |attributes: &[(&str, &str)], times: &[&str]| {
        let attributes: Vec<Value> = attributes.iter().map(|(k, v)| attribute(k, v)).collect();
        let points: Vec<Value> =
            times.iter().map(|time| json!({"timeUnixNano": time, "asInt": "1"})).collect();
        json!({"resourceMetrics": [{"resource": {"attributes": attributes},
            "scopeMetrics": [{"metrics": [{"name": "g", "gauge": {"dataPoints": points}}]}]}]})
    };
    let info = |config: &Config, json: &Value| {
        let series = translated(config, json);
        named(&series, "target_info").first().map(|series| (*series).clone())
    };
    let config = Config::default();
    let job = ("service.name", "shop");
    let (t0, t5) = (at(0), at(5));
    let found = info(&config, &with(&[job, ("host.x..y", "h")], &[&t0, &t5, &t0])).unwrap();
    assert_eq!(found["samples"], json!([{"t": "T0+5000ms", "v": 1.0}]), "the newest time");
    assert_eq!(found["labels"], json!({"__name__": "target_info", "job": "shop", "host_x__y": "h"}));
    assert!(info(&config, &with(&[("host.name", "h")], &[&t0])).is_none(), "no job, no instance");
    assert!(info(&config, &with(&[job], &[&t0])).is_none(), "nothing to tell");
    assert!(info(&config, &with(&[job, ("host.name", "h")], &["0"])).is_none(), "no time");
    let external = Config {
        external_labels: [("job".to_owned(), "x".to_owned())].into(),
        ..Config::default()
    };
    assert!(info(&external, &with(&[("host.name", "h")], &[&t0])).is_some(), "a job from outside");
    let mut off = Config::default();
    off.target_info.enabled = false;
    assert!(info(&off, &with(&[job, ("host.name", "h")], &[&t0])).is_none());
}

/// PRW-24.
#[test]
fn a_scale_below_the_coarsest_is_refused_without_an_empty_series() {
    let histogram = json!([{"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": at(0), "count": "1", "scale": -5, "positive": {"offset": 0, "bucketCounts": ["1"]}}]}}]);
    assert!(named(&translated(&Config::default(), &body(&histogram)), "e").is_empty());
}

/// PRW-13..17: whose label counts, sorted and once each.
#[test]
fn labels_of_a_series_follow_their_precedence() {
    let json = json!({"resourceMetrics": [{
        "resource": {"attributes": [attribute("service.name", "shop"), attribute("service.namespace", "ns"),
            attribute("service.instance.id", "i")]},
        "scopeMetrics": [{"schemaUrl": "https://s", "scope": {"name": "lib", "version": "1", "attributes": [
            attribute("extra", "e"), attribute("name", "no"), attribute("version", "no"), attribute("schema_url", "no")]},
            "metrics": [{"name": "g", "gauge": {"dataPoints": [{"timeUnixNano": at(0), "asInt": "1", "attributes": [
                attribute("job", "mine"), attribute("empty", ""), attribute("region", "own"), attribute("z", "1")]}]}}]}]}]});
    let external = [("region", "outer"), ("odd.name", "o"), ("job", "outer")];
    let mut config = Config {
        external_labels: external.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        ..Config::default()
    };
    let expected = json!({"__name__": "g", "job": "ns/shop", "instance": "i", "region": "own", "z": "1",
        "odd_name": "o", "otel_scope_name": "lib", "otel_scope_version": "1", "otel_scope_extra": "e"});
    assert_eq!(named(&translated(&config, &json), "g")[0]["labels"], expected);
    config.disable_scope_info = true;
    let series = translated(&config, &json);
    let labels = named(&series, "g")[0]["labels"].as_object().unwrap();
    assert!(!labels.keys().any(|name| name.starts_with("otel_scope")));
}

/// PRW-30.
#[test]
fn resource_attributes_become_labels_with_or_without_those_of_the_service() {
    let mut config = Config::default();
    config.resource_to_telemetry_conversion.enabled = true;
    let gauge = json!([{"name": "g", "gauge": {"dataPoints": [
        {"timeUnixNano": at(0), "asInt": "1", "attributes": [attribute("host.name", "point")]}]}}]);
    let labels = |config: &Config| {
        let series = translated(config, &body(&gauge));
        named(&series, "g")[0]["labels"].clone()
    };
    let all = labels(&config);
    assert_eq!((&all["host_name"], &all["service_name"]), (&json!("h"), &json!("shop")));
    config.resource_to_telemetry_conversion.exclude_service_attributes = true;
    let without = labels(&config);
    assert_eq!((&without["host_name"], without.get("service_name")), (&json!("h"), None));
}

/// PRW-19, PRW-20.
#[test]
fn integers_become_doubles_and_a_missing_sum_is_left_out() {
    let json = json!([
        {"name": "c", "sum": {"aggregationTemporality": 2, "isMonotonic": true,
            "dataPoints": [{"timeUnixNano": at(0), "asInt": "9007199254740993"}]}},
        {"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [{"timeUnixNano": at(0),
            "count": "9", "explicitBounds": [1], "bucketCounts": ["2", "3"]}]}},
    ]);
    let series = translated(&Config::default(), &body(&json));
    assert_eq!(named(&series, "c_total")[0]["samples"][0]["v"], json!(9_007_199_254_740_992.0));
    assert!(named(&series, "h_sum").is_empty());
    let bucket = |le: &str| {
        let of = named(&series, "h_bucket");
        of.iter().find(|s| s["labels"]["le"] == le).unwrap()["samples"][0]["v"].clone()
    };
    assert_eq!((bucket("1"), bucket("+Inf")), (json!(2.0), json!(9.0)));
}

/// PRW-27: the drop is counted, the text says what to do, and the others go on.
#[tokio::test]
async fn delta_points_are_dropped_with_a_text_that_names_the_cure() {
    let server = MockServer::raw(|_| answer(200)).unwrap();
    let (stage, cx) = build(v2(&server)).await;
    let json = json!([
        {"name": "d", "sum": {"aggregationTemporality": 1, "isMonotonic": true,
            "dataPoints": [{"timeUnixNano": at(0), "asInt": "1"}]}},
        {"name": "u", "histogram": {"dataPoints": [{"timeUnixNano": at(0), "count": "1"}]}},
        {"name": "g", "gauge": {"dataPoints": [{"timeUnixNano": at(0), "asInt": "1"}]}},
    ]);
    stage.consume(Batch::metrics(metrics(&body(&json), &cx.interner))).await.unwrap();
    let found = series(&server.requests());
    let names: Vec<&str> = found.iter().map(|series| series.label("__name__")).collect();
    assert!(names.contains(&"g") && !names.iter().any(|name| name.starts_with(['d', 'u'])), "{names:?}");
    assert_eq!(own(&cx.telemetry, "failed_translations"), 2.0);
    assert!(cx.telemetry.encode().contains("reason=\"not_cumulative\""));
    assert!(Refused::Temporality.explain().contains("deltatocumulative"));
}

/// PRW-34.
#[tokio::test]
async fn configured_headers_are_added() {
    let server = MockServer::raw(|_| answer(200)).unwrap();
    let mut config = direct(&server);
    config.headers = serde_json::from_value(json!({"X-Scope-OrgID": "tenant"})).unwrap();
    let (stage, cx) = build(config).await;
    stage.consume(batch(&cx)).await.unwrap();
    let request = &server.requests()[0];
    assert_eq!(request.header("x-scope-orgid"), "tenant");
    assert_eq!(request.header("content-type"), "application/x-protobuf");
}

/// PRW-36.
#[tokio::test]
async fn a_small_limit_sends_each_series_alone_and_nothing_empty() {
    for version in [direct as fn(&MockServer) -> Config, v2] {
        let server = MockServer::raw(|_| answer(200)).unwrap();
        let config = Config { max_batch_size_bytes: 1, ..version(&server) };
        let (stage, cx) = build(config).await;
        stage.consume(batch(&cx)).await.unwrap();
        let requests = server.requests();
        assert_eq!(requests.len(), 60);
        assert!(requests.iter().all(|request| request.body.len() > 20));
        assert_eq!(own(&cx.telemetry, "written_samples") > 0.0, config_is_v1(&requests[0]));
    }
}

/// A receiver of the older protocol says nothing, so all that is sent counts as written.
fn config_is_v1(request: &weir_testkit::Recorded) -> bool {
    request.header("x-prometheus-remote-write-version") == "0.1.0"
}

/// PRW-38.
#[tokio::test]
async fn the_wait_that_the_server_asks_for_is_handed_on() {
    for status in [429, 503] {
        let server = MockServer::raw(move |_| {
            let mut response = answer(status);
            response.headers_mut().insert("retry-after", "7".parse().unwrap());
            response
        })
        .unwrap();
        let mut config = direct(&server);
        config.retry_on_failure.enabled = false;
        let (stage, cx) = build(config).await;
        let Reject::Retry { after, .. } = stage.consume(batch(&cx)).await.unwrap_err() else {
            panic!("not worth another attempt")
        };
        assert_eq!(after, Some(Duration::from_secs(7)));
    }
}

/// PRW-38: with the reference's policy.
#[tokio::test]
async fn throttling_is_final_when_the_gate_says_so() {
    let server = MockServer::raw(|_| answer(429)).unwrap();
    let id = ComponentId::parse("prw").unwrap();
    let mut cx = BuildCtx::standalone(id, ComponentKind::Exporter, Some(Signal::Metrics));
    cx.gates = [("exporter.prometheusremotewritexporter.RetryOn429", false)].into_iter().collect();
    let stage = <crate::prometheusremotewrite::Kind as weir_core::ExporterKind>::build(direct(&server), cx.clone());
    let stage = stage.await.unwrap();
    stage.start().await.unwrap();
    assert!(!stage.consume(batch(&cx)).await.unwrap_err().is_retryable());
    assert_eq!(server.requests().len(), 1);
}

/// PRW-40.
#[tokio::test]
async fn retries_end_and_the_loss_is_counted() {
    let server = MockServer::raw(|_| answer(503)).unwrap();
    let mut config = queued(&server);
    config.retry_on_failure.initial_interval = weir_config::Duration::from_millis(5);
    config.retry_on_failure.max_interval = weir_config::Duration::from_millis(5);
    config.retry_on_failure.max_elapsed_time = weir_config::Duration::from_millis(50);
    let (stage, cx) = build(config).await;
    stage.consume(batch(&cx)).await.unwrap();
    let by = Deadline::after(Duration::from_secs(30));
    while cx.telemetry.total("weir_dropped_items_total") < 60.0 && !by.is_over() {
        tokio::task::yield_now().await;
    }
    assert_eq!(cx.telemetry.total("weir_dropped_items_total"), 60.0);
    assert_eq!(cx.telemetry.total("otelcol_exporter_send_failed_metric_points"), 60.0);
    assert!(server.requests().len() > 1);
}

/// PRW-42, PRW-44: what waits is bounded, and refused beyond that.
#[tokio::test]
async fn a_full_queue_refuses_and_holds_compressed_requests() {
    let server = MockServer::raw(|_| answer(503)).unwrap();
    let mut config = queued(&server);
    config.remote_write_queue.queue_size = 20;
    config.retry_on_failure.initial_interval = weir_config::Duration::from_secs(60);
    config.retry_on_failure.max_interval = weir_config::Duration::from_secs(60);
    let (stage, cx) = build(config).await;
    let raw = batch(&cx).size_bytes() as f64;
    for _ in 0..20 {
        stage.consume(batch(&cx)).await.unwrap();
    }
    let refused = stage.consume(batch(&cx)).await.unwrap_err();
    assert!(refused.is_retryable(), "{refused}");
    assert_eq!(cx.telemetry.total("otelcol_exporter_queue_size"), 20.0);
    assert_eq!(cx.telemetry.total("otelcol_exporter_enqueue_failed_metric_points"), 60.0);
    assert!(cx.telemetry.total("weir_exporter_queue_bytes") <= 20.0 * raw);
}

/// PRW-43: several requests at a time, some of which fail at first; no series goes back in time.
#[tokio::test]
async fn each_series_keeps_its_order_with_parallel_requests_and_retries() {
    let (asked, taken) = (AtomicUsize::new(0), std::sync::Arc::new(Mutex::new(Vec::new())));
    let kept = taken.clone();
    let server = MockServer::raw(move |request| {
        if asked.fetch_add(1, Ordering::SeqCst).is_multiple_of(3) {
            return answer(503);
        }
        kept.lock().unwrap().push(request.clone());
        answer(204)
    })
    .unwrap();
    let mut config = v2(&server);
    config.remote_write_queue = RemoteWriteQueue { num_consumers: 5, ..RemoteWriteQueue::default() };
    config.max_batch_size_bytes = 700;
    let (stage, cx) = build(config).await;
    for second in 0..30 {
        let points: Vec<Value> = (0..40)
            .map(|i| json!({"timeUnixNano": at(second), "asInt": second.to_string(),
                "attributes": [attribute("i", &i.to_string())]}))
            .collect();
        let json = body(&json!([{"name": "g", "gauge": {"dataPoints": points}}]));
        stage.consume(Batch::metrics(metrics(&json, &cx.interner))).await.unwrap();
        tokio::task::yield_now().await;
    }
    // Not by draining: that ends the attempts.
    let sent = || cx.telemetry.total("otelcol_exporter_sent_metric_points");
    let by = Deadline::after(Duration::from_secs(60));
    while sent() < 1200.0 && !by.is_over() {
        tokio::task::yield_now().await;
    }
    assert_eq!(sent(), 1200.0);
    let mut last: HashMap<String, (i64, usize)> = HashMap::new();
    for Series { labels, samples, .. } in series(&taken.lock().unwrap()) {
        let entry = last.entry(format!("{labels:?}")).or_insert((0, 0));
        for (_, time, _) in samples {
            assert!(time >= entry.0, "{labels:?} goes back from {} to {time}", entry.0);
            *entry = (time, entry.1 + 1);
        }
    }
    let complete = last.iter().filter(|(labels, _)| labels.contains("\"g\"")).all(|(_, (_, count))| *count == 30);
    assert!(complete, "{last:?}");
}

/// PRW-47: of a request that is refused a part may be written.
#[tokio::test]
async fn partial_writes_are_counted() {
    let with_written = |status, samples: &'static str| {
        move |_: &weir_testkit::Recorded| {
            let mut response = answer(status);
            let headers = response.headers_mut();
            headers.insert("x-prometheus-remote-write-samples-written", samples.parse().unwrap());
            headers.insert("x-prometheus-remote-write-histograms-written", "0".parse().unwrap());
            response
        }
    };
    for (status, samples, rejected) in [(400, "45", 15), (200, "45", 15), (400, "0", 60)] {
        let server = MockServer::raw(with_written(status, samples)).unwrap();
        let (stage, cx) = build(v2(&server)).await;
        let error = stage.consume(batch(&cx)).await.unwrap_err();
        assert!(matches!(error, Reject::Partial { rejected: r, .. } if r == rejected), "{error:?}");
        assert_eq!(own(&cx.telemetry, "written_samples"), samples.parse::<f64>().unwrap());
        let failed = cx.telemetry.total("otelcol_exporter_send_failed_metric_points");
        assert_eq!(failed, rejected as f64);
        assert_eq!(server.requests().len(), 1);
    }
}

/// PRW-47.
#[test]
fn a_receiver_that_says_nothing_is_warned_of_once() {
    let id = ComponentId::parse("prw").unwrap();
    let cx = BuildCtx::standalone(id, ComponentKind::Exporter, Some(Signal::Metrics));
    let own = Own::new(&cx, "http://x/y", 5);
    let says = Written { samples: Some(1), ..Written::default() };
    assert!(!own.is_first_silence(says));
    assert!(own.is_first_silence(Written::default()));
    assert!(!own.is_first_silence(Written::default()));
}

/// PRW-48, with a queue: what was encoded for the newer protocol is encoded anew.
#[tokio::test]
async fn waiting_requests_fall_back_as_well() {
    let server = MockServer::raw(|request| {
        let v2 = request.header("x-prometheus-remote-write-version") == "2.0.0";
        answer(if v2 { 415 } else { 200 })
    })
    .unwrap();
    let config = Config { remote_write_queue: RemoteWriteQueue::default(), ..v2(&server) };
    let (stage, cx) = build(config).await;
    for _ in 0..3 {
        stage.consume(batch(&cx)).await.unwrap();
        tokio::task::yield_now().await;
    }
    stage.drain(Deadline::after(Duration::from_secs(30))).await;
    assert_eq!(cx.telemetry.total("otelcol_exporter_sent_metric_points"), 180.0);
    assert!(server.requests().iter().any(config_is_v1));
}

/// PRW-54.
#[tokio::test]
async fn error_bodies_are_shown_up_to_one_kibibyte() {
    let server = MockServer::raw(|_| {
        let mut response = http::Response::new(vec![b'e'; 5000].into());
        *response.status_mut() = http::StatusCode::BAD_REQUEST;
        response
    })
    .unwrap();
    let (stage, cx) = build(direct(&server)).await;
    let text = stage.consume(batch(&cx)).await.unwrap_err().to_string();
    assert!(text.contains(&"e".repeat(1024)) && !text.contains(&"e".repeat(1025)), "{}", text.len());
}
