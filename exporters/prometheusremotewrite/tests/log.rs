//! The log on disk: against a model of it, and through a restart (PRW-50).

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use weir_core::{Batch, Deadline};
use weir_testkit::MockServer;

use super::rules::{body, metrics};
use super::sending::{answer, build};
use crate::prometheusremotewrite::log::{Left, Log};
use crate::prometheusremotewrite::pack::{Counts, Packed};
use crate::prometheusremotewrite::{Config, Requests, WalConfig};

fn requests(number: usize, size: usize) -> Requests {
    let packed = |items| Packed {
        body: Bytes::from(vec![number as u8; size]),
        counts: Counts { items, series: 1, samples: 2, histograms: 3, exemplars: 4 },
    };
    Requests {
        v2: number.is_multiple_of(2),
        series: vec![packed(number), packed(0)],
        metadata: (0..number % 3).map(|_| packed(0)).collect(),
    }
}

fn same(a: &Requests, b: &Requests) -> bool {
    let equal = |a: &[Packed], b: &[Packed]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.body == b.body && a.counts == b.counts)
    };
    a.v2 == b.v2 && equal(&a.series, &b.series) && equal(&a.metadata, &b.metadata)
}

#[derive(Debug, Clone)]
enum Step {
    /// Bytes of the body.
    Append(usize),
    /// The oldest is delivered.
    Done,
    /// The program starts anew; so many bytes of rubbish stand at the end.
    Open(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..5000_usize).prop_map(Step::Append),
        3 => Just(Step::Done),
        1 => prop_oneof![Just(0), 1..40_usize].prop_map(Step::Open),
    ];
    proptest::collection::vec(step, 1..25)
}

/// Appends rubbish to the newest segment, as a kill in the middle of a record leaves it.
fn spoil(folder: &Path, bytes: usize) {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "wal"))
        .collect();
    files.sort();
    if let Some(last) = files.last() {
        let mut content = std::fs::read(last).unwrap();
        content.extend((0..bytes).map(|byte| byte as u8));
        std::fs::write(last, content).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happens, what was written and not delivered is there, in order and whole.
    #[test]
    fn the_log_holds_what_was_not_delivered(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(folder.path(), 1 << 40).unwrap();
        let mut model: VecDeque<(Left, usize, usize)> = VecDeque::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append(size) => {
                    let place = log.append(&requests(number, size)).unwrap().unwrap();
                    model.push_back((Left { place, items: number }, number, size));
                }
                Step::Done => {
                    if let Some((left, ..)) = model.pop_front() {
                        log.done(left.place).unwrap();
                    }
                }
                Step::Open(rubbish) => {
                    drop(log);
                    spoil(folder.path(), rubbish);
                    let (opened, left) = Log::open(folder.path(), 1 << 40).unwrap();
                    log = opened;
                    let expected: Vec<Left> = model.iter().map(|(left, ..)| *left).collect();
                    prop_assert_eq!(left, expected);
                }
            }
            for (left, number, size) in &model {
                prop_assert!(same(&log.read(left.place).unwrap(), &requests(*number, *size)));
            }
        }
        // Segments that are delivered are gone.
        let waiting: u64 = model.iter().map(|(left, ..)| left.place.length()).sum();
        prop_assert!(log.bytes() <= waiting + 3 * (20 << 10), "{} of {waiting}", log.bytes());
    }
}

#[test]
fn the_log_takes_no_more_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(folder.path(), 10_000).unwrap();
    let first = log.append(&requests(3, 2000)).unwrap().unwrap();
    while log.append(&requests(3, 2000)).unwrap().is_some() {}
    assert!(log.bytes() <= 10_000 && log.bytes() > 5000);
    log.done(first).unwrap();
}

fn config(server: &MockServer, folder: &Path) -> Config {
    let mut config = Config {
        endpoint: server.url(),
        wal: Some(WalConfig {
            directory: folder.to_string_lossy().into_owned(),
            ..WalConfig::default()
        }),
        ..Config::default()
    };
    config.retry_on_failure.initial_interval = weir_config::Duration::from_secs(60);
    config.retry_on_failure.max_interval = weir_config::Duration::from_secs(60);
    config
}

fn numbered(cx: &weir_core::BuildCtx, number: i64) -> Batch {
    let time = ((super::decode::T0_MS + number) * 1_000_000).to_string();
    let json = body(&json!([{"name": "g", "gauge": {"dataPoints": [{"asInt": number.to_string(), "timeUnixNano": time}]}}]));
    Batch::metrics(metrics(&json, &cx.interner))
}

/// The numbers that a server of protocol 1.0 got, in order.
fn numbers(server: &MockServer) -> Vec<i64> {
    let mut decoded = super::decode::Decoded::default();
    for request in server.requests() {
        decoded.read_v1(&snap::raw::Decoder::new().decompress_vec(&request.body).unwrap());
    }
    let series = decoded.series();
    let gauge = series.iter().find(|series| series["labels"]["__name__"] == "g");
    let samples = gauge.map(|gauge| gauge["samples"].as_array().unwrap().clone()).unwrap_or_default();
    samples.iter().map(|sample| sample["v"].as_f64().unwrap() as i64).collect()
}

/// Killed (dropped without draining) or stopped in order, what senders were told is safe is sent by
/// the next run, in order, before anything new and without waiting for it.
#[tokio::test]
async fn what_was_acknowledged_is_sent_after_a_restart() {
    for kill in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let down = MockServer::raw(|_| answer(503)).unwrap();
        let (stage, cx) = build(config(&down, folder.path())).await;
        for number in 0..5 {
            stage.consume(numbered(&cx, number)).await.unwrap();
        }
        let of_log = |cx: &weir_core::BuildCtx, name: &str| {
            cx.telemetry.total(&format!("otelcol_exporter_prometheusremotewrite_wal_{name}"))
        };
        assert_eq!((of_log(&cx, "lag"), of_log(&cx, "write_latency")), (5.0, 5.0));
        if !kill {
            stage.drain(Deadline::after(Duration::from_secs(5))).await;
        }
        assert_eq!(cx.telemetry.total("weir_dropped_items_total"), 0.0);
        drop(stage);
        let up = MockServer::raw(|_| answer(200)).unwrap();
        let (stage, cx) = build(config(&up, folder.path())).await;
        up.wait(Duration::from_secs(20), |requests| requests.len() == 5).await;
        assert_eq!(numbers(&up), [0, 1, 2, 3, 4]);
        stage.consume(numbered(&cx, 5)).await.unwrap();
        stage.drain(Deadline::after(Duration::from_secs(5))).await;
        assert_eq!(numbers(&up), [0, 1, 2, 3, 4, 5]);
        assert_eq!(cx.telemetry.total("otelcol_exporter_sent_metric_points"), 6.0);
        assert_eq!(of_log(&cx, "lag"), 0.0);
        assert_eq!((of_log(&cx, "write_latency"), of_log(&cx, "read_latency")), (1.0, 6.0));
        drop(stage);
        let (_, left) = Log::open(folder.path(), 1 << 30).unwrap();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_stops_the_start() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let server = MockServer::raw(|_| answer(200)).unwrap();
    let id = weir_core::ComponentId::parse("prw").unwrap();
    let cx = weir_core::BuildCtx::standalone(id, weir_core::ComponentKind::Exporter, None);
    let built = <crate::prometheusremotewrite::Kind as weir_core::ExporterKind>::build(config(&server, file.path()), cx);
    assert!(built.await.is_err_and(|error| error.to_string().contains("wal.directory")));
}
