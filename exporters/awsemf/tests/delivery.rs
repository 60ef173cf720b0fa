//! The exporter in its layers: outcomes of calls, repetitions, the queue, the end (EMF-54..62).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value as Json;
use weir_core::registry::ComponentKind;
use weir_core::{
    Batch, BuildCtx, ComponentId, Deadline, Exporter, ManualClock, Reject, Signal, Stage,
};
use weir_model::{MetricKind, Metrics, Temporality};
use weir_sending::{QueueSettings, RetrySettings};

use super::super::config::Config;
use super::super::exporter::EmfExporter;
use super::super::settings::Settings;
use super::super::translate::Translator;
use super::super::{identity, layers};
use super::golden::{NOW_MS, STREAM};
use super::state::Spec;
use crate::cloudwatch_logs::fake::{Answer, FakeLogs, Rule};

const CUMULATIVE: MetricKind = MetricKind::Sum {
    temporality: Temporality::Cumulative,
    monotonic: true,
};

struct Harness {
    service: Arc<FakeLogs>,
    exporter: EmfExporter,
    config: Config,
    cx: BuildCtx,
}

fn config() -> Config {
    Config {
        log_group_name: "g".to_owned(),
        log_stream_name: "s".to_owned(),
        dimension_rollup_option: "NoDimensionRollup".into(),
        ..Config::default()
    }
}

impl Harness {
    /// With stream `s` of group `g`.
    fn new(config: Config) -> Self {
        let clock = Arc::new(ManualClock::at(NOW_MS as u64 * 1_000_000));
        let id: ComponentId = "awsemf".parse().unwrap();
        let mut cx = BuildCtx::standalone(id, ComponentKind::Exporter, Some(Signal::Metrics));
        cx.clock = clock.clone();
        let service = Arc::new(FakeLogs::default());
        service.make("g", "s");
        let logs = service.client(&config.session(), identity(&config), clock);
        let settings = Settings::new(config.clone(), STREAM.to_owned());
        let translator = Translator::new(Arc::new(settings), NOW_MS as u64 * 1_000_000);
        Self {
            service,
            exporter: EmfExporter::new(Arc::new(Mutex::new(translator)), logs, &config, &cx),
            config,
            cx,
        }
    }

    fn batch(&self, specs: &[Spec<'_>]) -> Batch {
        let points = specs.iter().map(|spec| spec.point(&self.cx.interner));
        Batch::metrics(Metrics::from_points(points.collect()))
    }

    /// A batch of one value of a cumulative stream.
    fn count(&self, second: i64, value: f64) -> Batch {
        self.batch(&[Spec {
            name: "c",
            kind: CUMULATIVE,
            time_ms: NOW_MS + second * 1_000,
            value,
            ..Spec::default()
        }])
    }

    async fn started(self) -> (Arc<FakeLogs>, Arc<dyn Stage>, BuildCtx) {
        let stage = layers(self.exporter, &self.config, &self.cx);
        stage.start().await.unwrap();
        (self.service, stage, self.cx)
    }
}

/// Values of the metric in the events that were taken.
fn taken(service: &FakeLogs, name: &str) -> Vec<f64> {
    let event = |text: &String| serde_json::from_str::<Json>(text).unwrap()[name].as_f64();
    service.messages().iter().filter_map(event).collect()
}

fn failing(skip: usize, times: usize, answer: Answer) -> Rule {
    Rule {
        action: "PutLogEvents".to_owned(),
        stream: None,
        skip,
        times,
        answer,
    }
}

#[tokio::test(start_paused = true)]
async fn server_errors_are_tried_twice_and_may_be_sent_again() {
    for status in [500, 502, 503, 504] {
        let harness = Harness::new(config());
        harness.service.fail("PutLogEvents", 9, status, "Whatever");
        let mut batch = harness.batch(&[Spec::default()]);
        let reject = harness.exporter.export(&mut batch).await.unwrap_err();
        assert!(reject.is_retryable(), "{status} {reject:?}");
        assert_eq!(harness.service.actions(), ["PutLogEvents"; 2]);
    }
    let harness = Harness::new(config());
    harness.service.rule(failing(0, 9, Answer::Reset));
    let mut batch = harness.batch(&[Spec::default()]);
    assert!(harness.exporter.export(&mut batch).await.unwrap_err().is_retryable());
    assert_eq!(harness.service.actions(), ["PutLogEvents"; 2]);
}

#[tokio::test(start_paused = true)]
async fn an_existing_group_keeps_its_tags_and_retention() {
    let harness = Harness::new(Config {
        log_stream_name: "new".to_owned(),
        log_retention: 7,
        tags: Some([("team".to_owned(), "shop".to_owned())].into()),
        ..config()
    });
    let mut batch = harness.batch(&[Spec::default()]);
    harness.exporter.export(&mut batch).await.unwrap();
    assert_eq!(
        harness.service.actions(),
        ["PutLogEvents", "CreateLogStream", "PutLogEvents"]
    );
    let groups = harness.service.groups.lock().unwrap();
    assert_eq!(groups["g"].retention_days, None);
}

#[tokio::test(start_paused = true)]
async fn standard_output_needs_no_service() {
    let harness = Harness::new(Config {
        output_destination: "StdOut".to_owned(),
        ..config()
    });
    let mut batch = harness.batch(&[Spec::default()]);
    harness.exporter.export(&mut batch).await.unwrap();
    assert!(harness.service.actions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn every_stream_is_sent_to_before_a_batch_is_acknowledged() {
    let harness = Harness::new(Config {
        log_stream_name: "{PodName}".to_owned(),
        num_workers: 2,
        ..config()
    });
    let pods: Vec<[(&str, &str); 1]> = ["a", "b", "c", "d"].map(|pod| [("PodName", pod)]).into();
    let spec = |pod| Spec {
        resource: pod,
        ..Spec::default()
    };
    let specs: Vec<Spec<'_>> = pods.iter().map(|pod| spec(pod.as_slice())).collect();
    harness.exporter.export(&mut harness.batch(&specs)).await.unwrap();
    let events = harness.service.events.lock().unwrap();
    let mut streams: Vec<&str> = events.iter().map(|event| event.stream.as_str()).collect();
    streams.sort_unstable();
    assert_eq!(streams, ["a", "b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_in_parts_has_arrived_when_all_of_them_have() {
    let harness = Harness::new(config());
    let names: Vec<String> = (0..600).map(|at| format!("m{at}")).collect();
    let text = "x".repeat(200_000);
    let labels = [("k", text.as_str())];
    let specs: Vec<Spec<'_>> = names
        .iter()
        .map(|name| Spec {
            name,
            labels: &labels,
            ..Spec::default()
        })
        .collect();
    // Six parts of 200 kB, five of which fit in the first request; the second one fails.
    harness.service.rule(failing(1, 2, Answer::Reset));
    let mut batch = harness.batch(&specs);
    let reject = harness.exporter.export(&mut batch).await.unwrap_err();
    assert!(reject.is_retryable(), "{reject:?}");
    assert_eq!((harness.service.messages().len(), batch.len()), (5, 600));
    harness.exporter.export(&mut batch).await.unwrap();
    assert_eq!(harness.service.messages().len(), 11);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_now_is_sent_again_where_that_is_asked_for() {
    let harness = Harness::new(Config {
        retry_on_failure: Some(RetrySettings::default()),
        ..config()
    });
    let counts = [1.0, 4.0].map(|value| harness.count(value as i64, value));
    let (service, stage, _) = harness.started().await;
    // Throttling is for good without retries, and for now with them.
    service.fail("PutLogEvents", 3, 400, "ThrottlingException");
    service.fail("PutLogEvents", 2, 503, "ServiceUnavailableException");
    for batch in counts {
        stage.consume(batch).await.unwrap();
    }
    assert_eq!(taken(&service, "c"), [3.0]);
    stage.drain(Deadline::after(Duration::from_secs(1))).await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_was_overtaken_while_it_waited_is_no_reset() {
    let harness = Harness::new(Config {
        retry_on_failure: Some(RetrySettings::default()),
        ..config()
    });
    let [first, slow, fast, last] = [10.0, 15.0, 18.0, 20.0].map(|v| harness.count(v as i64, v));
    let (service, stage, cx) = harness.started().await;
    stage.consume(first).await.unwrap();
    service.rule(failing(0, 2, Answer::Reset));
    let overtake = async {
        // Both attempts of the call fail, then the first wait of some seconds begins.
        while service.actions().len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        stage.consume(fast).await.unwrap();
    };
    let (waited, ()) = tokio::join!(stage.consume(slow), overtake);
    waited.unwrap();
    stage.consume(last).await.unwrap();
    assert_eq!(taken(&service, "c"), [8.0, 2.0]);
    assert_eq!(cx.telemetry.total("weir_dropped_items_total"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_exporter_sends_what_its_queue_holds() {
    let harness = Harness::new(Config {
        sending_queue: Some(QueueSettings::default()),
        retry_on_failure: Some(RetrySettings::default()),
        ..config()
    });
    let batches: Vec<Batch> = (0..5).map(|at| harness.count(at, at as f64)).collect();
    let (service, stage, _) = harness.started().await;
    service.rule(failing(0, 2, Answer::Reset));
    for batch in batches {
        stage.consume(batch).await.unwrap();
    }
    stage.drain(Deadline::after(Duration::from_secs(60))).await;
    assert_eq!(taken(&service, "c").iter().sum::<f64>(), 4.0);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_the_configured_one() {
    for (timeout, seconds) in [(None, 30), (Some(weir_config::Duration::from_secs(7)), 7)] {
        let harness = Harness::new(Config {
            timeout,
            ..config()
        });
        harness.service.rule(failing(0, 9, Answer::Silence));
        let start = tokio::time::Instant::now();
        let mut batch = harness.batch(&[Spec::default()]);
        let reject = harness.exporter.export(&mut batch).await.unwrap_err();
        assert!(matches!(reject, Reject::Retry { .. }), "{reject:?}");
        assert_eq!(start.elapsed().as_secs(), seconds);
    }
}
