//! The whole exporter against a service that answers as told (EMF-51, EMF-54..62).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value as Json;
use weir_aws::{
    AwsClient, CloudWatchLogs, Credentials, Service, Transport, TransportError,
};
use weir_core::registry::ComponentKind;
use weir_core::{Batch, BoxFut, BuildCtx, ComponentId, Exporter, ManualClock, Reject, Signal};
use weir_model::{
    Attributes, MetricKind, MetricMeta, Metrics, Point, PointValue, Resource, Scope, Temporality,
    Value,
};

use super::super::config::Config;
use super::super::exporter::EmfExporter;
use super::super::settings::Settings;
use super::super::translate::Translator;
use super::super::identity;
use super::golden::{NOW_MS, STREAM};

const CUMULATIVE: MetricKind = MetricKind::Sum {
    temporality: Temporality::Cumulative,
    monotonic: true,
};

/// How the service answers a call of an action; the first rule that fits and is not used up counts.
#[derive(Clone, Debug)]
struct Rule {
    action: &'static str,
    /// Only for this stream, if given.
    stream: Option<&'static str>,
    times: usize,
    status: u16,
    body: String,
}

/// Behaves as CloudWatch Logs does where no rule fits.
#[derive(Debug, Default)]
struct FakeLogs {
    rules: Mutex<Vec<Rule>>,
    groups: Mutex<BTreeMap<String, BTreeSet<String>>>,
    calls: Mutex<Vec<(String, Json)>>,
    headers: Mutex<Vec<http::HeaderMap>>,
    silent: Mutex<bool>,
}

fn error_body(code: &str) -> String {
    format!("{{\"__type\":\"{code}\",\"message\":\"told to\"}}")
}

impl FakeLogs {
    fn fail(&self, action: &'static str, times: usize, status: u16, code: &str) {
        self.rule(Rule {
            action,
            stream: None,
            times,
            status,
            body: error_body(code),
        });
    }

    fn rule(&self, rule: Rule) {
        self.rules.lock().unwrap().push(rule);
    }

    fn actions(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|(action, _)| action.clone()).collect()
    }

    /// Messages of all events that were taken, in order of calls.
    fn taken(&self) -> Vec<Json> {
        let calls = self.calls.lock().unwrap();
        let puts = calls.iter().filter(|(action, _)| action == "taken");
        puts.flat_map(|(_, body)| body["logEvents"].as_array().unwrap().clone())
            .map(|event| serde_json::from_str(event["message"].as_str().unwrap()).unwrap())
            .collect()
    }

    fn answer(&self, action: &str, body: &Json) -> (u16, String) {
        let stream = body["logStreamName"].as_str().unwrap_or("");
        for rule in self.rules.lock().unwrap().iter_mut() {
            let fits = rule.action == action && rule.stream.is_none_or(|s| s == stream);
            if fits && rule.times > 0 {
                rule.times -= 1;
                return (rule.status, rule.body.clone());
            }
        }
        let refuse = |code: &str| (400, error_body(code));
        let group = body["logGroupName"].as_str().unwrap().to_owned();
        let mut groups = self.groups.lock().unwrap();
        let known = groups.get_mut(&group);
        match (action, known) {
            ("CreateLogGroup", Some(_)) => refuse("ResourceAlreadyExistsException"),
            ("CreateLogGroup", None) => {
                groups.insert(group, BTreeSet::new());
                (200, String::new())
            }
            (_, None) => refuse("ResourceNotFoundException"),
            ("CreateLogStream", Some(streams)) => {
                if streams.insert(stream.to_owned()) {
                    (200, String::new())
                } else {
                    refuse("ResourceAlreadyExistsException")
                }
            }
            ("PutLogEvents", Some(streams)) if !streams.contains(stream) => {
                refuse("ResourceNotFoundException")
            }
            ("PutLogEvents", Some(_)) => {
                self.calls.lock().unwrap().push(("taken".to_owned(), body.clone()));
                (200, "{}".to_owned())
            }
            _ => (200, String::new()),
        }
    }
}

impl Transport for FakeLogs {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFut<'_, Result<http::Response<Bytes>, TransportError>> {
        let target = request.headers()["x-amz-target"].to_str().unwrap().to_owned();
        let action = target.split('.').nth(1).unwrap().to_owned();
        let body: Json = serde_json::from_slice(request.body()).unwrap();
        self.headers.lock().unwrap().push(request.headers().clone());
        self.calls.lock().unwrap().push((action.clone(), body.clone()));
        let silent = *self.silent.lock().unwrap();
        Box::pin(async move {
            if silent {
                std::future::pending::<()>().await;
            }
            let (status, body) = self.answer(&action, &body);
            let response = http::Response::builder().status(status);
            Ok(response.body(Bytes::from(body)).unwrap())
        })
    }
}

struct Harness {
    service: Arc<FakeLogs>,
    exporter: EmfExporter,
    cx: BuildCtx,
}

impl Harness {
    fn new(config: &Config) -> Self {
        let clock = Arc::new(ManualClock::at(NOW_MS as u64 * 1_000_000));
        let id: ComponentId = "awsemf".parse().unwrap();
        let mut cx = BuildCtx::standalone(id, ComponentKind::Exporter, Some(Signal::Metrics));
        cx.clock = clock.clone();
        let service = Arc::new(FakeLogs::default());
        let client = AwsClient::new(
            &config.session(),
            Service::Logs,
            "eu-west-1",
            identity(config),
            service.clone(),
            Arc::new(Credentials::fixed("id", "key", None)),
            clock,
        );
        let settings = Settings::new(config.clone(), STREAM.to_owned());
        let translator = Translator::new(Arc::new(settings), NOW_MS as u64 * 1_000_000);
        let translator = Arc::new(Mutex::new(translator));
        let logs = CloudWatchLogs::new(client.unwrap());
        Self {
            service,
            exporter: EmfExporter::new(translator, logs, config, &cx),
            cx,
        }
    }

    /// With a log stream per value of the resource attribute `PodName`, all of which exist.
    fn with_streams(streams: &[&str]) -> Self {
        let harness = Self::new(&Config {
            log_group_name: "g".to_owned(),
            log_stream_name: "{PodName}".to_owned(),
            dimension_rollup_option: "NoDimensionRollup".into(),
            ..Config::default()
        });
        let streams = streams.iter().map(|s| (*s).to_owned()).collect();
        harness.service.groups.lock().unwrap().insert("g".to_owned(), streams);
        harness
    }

    fn point(&self, pod: &str, kind: MetricKind, name: &str, value: f64) -> Point {
        let interner = &self.cx.interner;
        let attributes: Attributes = [("PodName", Value::from(pod))].into_iter().collect();
        let resource = interner.resource(Resource {
            attributes,
            ..Resource::default()
        });
        let scope = interner.scope(Scope::default());
        let metric = interner.metric(MetricMeta::new(name, kind));
        let series = interner.series(&resource, &scope, &metric, Attributes::default());
        Point::new(series, 0, NOW_MS as u64 * 1_000_000, PointValue::Double(value))
    }

    async fn export(&self, batch: &mut Batch) -> Result<(), Reject> {
        self.exporter.export(batch).await
    }

    fn total(&self, metric: &str) -> f64 {
        self.cx.telemetry.total(metric)
    }
}

fn batch(points: Vec<Point>) -> Batch {
    Batch::metrics(Metrics::from_points(points))
}

fn values(events: &[Json], name: &str) -> Vec<f64> {
    events.iter().filter_map(|event| event[name].as_f64()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_missing_group_is_made_with_tags_and_retention() {
    let harness = Harness::new(&Config {
        log_group_name: "g".to_owned(),
        log_retention: 30,
        tags: Some([("team".to_owned(), "shop".to_owned())].into()),
        ..Config::default()
    });
    let gauge = |harness: &Harness| batch(vec![harness.point("p", MetricKind::Gauge, "m", 1.0)]);
    harness.export(&mut gauge(&harness)).await.unwrap();
    harness.export(&mut gauge(&harness)).await.unwrap();
    assert_eq!(
        harness.service.actions(),
        [
            "PutLogEvents",
            "CreateLogStream",
            "CreateLogGroup",
            "PutRetentionPolicy",
            "CreateLogStream",
            "PutLogEvents",
            "taken",
            // An answer without a sequence token is an answer: nothing is put twice (EMF-59).
            "PutLogEvents",
            "taken",
        ]
    );
    let calls = harness.service.calls.lock().unwrap();
    assert_eq!(calls[2].1["tags"]["team"], "shop");
    assert_eq!(calls[3].1["retentionInDays"], 30);
    assert_eq!(harness.total("weir_awsemf_sent_events"), 2.0);
    let headers = harness.service.headers.lock().unwrap();
    let signed = headers[0]["authorization"].to_str().unwrap();
    assert_eq!(headers[0]["x-amzn-logs-format"], "json/emf");
    assert!(signed.contains("x-amzn-logs-format"), "{signed}");
}

#[tokio::test(start_paused = true)]
async fn throttling_is_tried_twice_and_then_for_good() {
    let harness = Harness::with_streams(&["p"]);
    harness.service.fail("PutLogEvents", 9, 400, "ThrottlingException");
    let mut sent = batch(vec![harness.point("p", MetricKind::Gauge, "m", 1.0)]);
    let reject = harness.export(&mut sent).await.unwrap_err();
    assert!(matches!(reject, Reject::Permanent(_)), "{reject:?}");
    assert_eq!(harness.service.actions(), ["PutLogEvents"; 2]);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_tried_once_and_name_the_cure() {
    for (code, cure) in [
        ("AccessDeniedException", "logs:PutLogEvents"),
        ("InvalidParameterException", "log_stream_name"),
    ] {
        let harness = Harness::with_streams(&["p"]);
        harness.service.fail("PutLogEvents", 9, 400, code);
        let mut sent = batch(vec![harness.point("p", MetricKind::Gauge, "m", 1.0)]);
        let reject = harness.export(&mut sent).await.unwrap_err();
        assert!(matches!(reject, Reject::Permanent(_)), "{reject:?}");
        let text = reject.to_string();
        assert!(text.contains(code) && text.contains(cure) && text.contains("`g`"), "{text}");
        assert_eq!(harness.service.actions(), ["PutLogEvents"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_sent_again_has_the_same_differences() {
    let harness = Harness::with_streams(&["p"]);
    let count = |value| batch(vec![harness.point("p", CUMULATIVE, "c", value)]);
    harness.export(&mut count(10.0)).await.unwrap();
    harness.service.fail("PutLogEvents", 2, 503, "ServiceUnavailableException");
    let mut sent = count(15.0);
    let reject = harness.export(&mut sent).await.unwrap_err();
    assert!(reject.is_retryable(), "{reject:?}");
    assert_eq!(sent.len(), 1);
    harness.export(&mut sent).await.unwrap();
    harness.export(&mut count(18.0)).await.unwrap();
    assert_eq!(values(&harness.service.taken(), "c"), [5.0, 3.0]);
}

#[tokio::test(start_paused = true)]
async fn what_arrived_is_not_sent_again() {
    let harness = Harness::with_streams(&["a", "b"]);
    let points = |add: f64| {
        vec![
            harness.point("a", CUMULATIVE, "c", 1.0 + add),
            harness.point("b", CUMULATIVE, "c", 5.0 + add),
            harness.point("a", MetricKind::Gauge, "g", 7.0),
        ]
    };
    harness.export(&mut batch(points(0.0))).await.unwrap();
    harness.service.rule(Rule {
        action: "PutLogEvents",
        stream: Some("b"),
        times: 2,
        status: 500,
        body: String::new(),
    });
    let mut sent = batch(points(2.0));
    assert!(harness.export(&mut sent).await.unwrap_err().is_retryable());
    assert_eq!(sent.len(), 1);
    harness.export(&mut sent).await.unwrap();
    let taken = harness.service.taken();
    assert_eq!(values(&taken, "c"), [2.0, 2.0]);
    assert_eq!(values(&taken, "g"), [7.0, 7.0]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_refused_costs_the_others_nothing() {
    let harness = Harness::with_streams(&["a", "b"]);
    harness.service.rule(Rule {
        action: "PutLogEvents",
        stream: Some("b"),
        times: 1,
        status: 400,
        body: error_body("InvalidParameterException"),
    });
    let gauge = |pod, value| harness.point(pod, MetricKind::Gauge, "m", value);
    let mut sent = batch(vec![gauge("a", 1.0), gauge("b", 2.0)]);
    let reject = harness.export(&mut sent).await.unwrap_err();
    assert!(matches!(reject, Reject::Partial { rejected: 1, .. }), "{reject:?}");
    assert_eq!(values(&harness.service.taken(), "m"), [1.0]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_answer_is_left_in_time() {
    let harness = Harness::with_streams(&["p"]);
    let count = |value| batch(vec![harness.point("p", CUMULATIVE, "c", value)]);
    harness.export(&mut count(1.0)).await.unwrap();
    *harness.service.silent.lock().unwrap() = true;
    let mut sent = count(4.0);
    let start = tokio::time::Instant::now();
    let reject = harness.export(&mut sent).await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 30);
    assert!(reject.is_retryable() && reject.to_string().contains("request_timeout_seconds"));
    assert_eq!(sent.len(), 1);
    *harness.service.silent.lock().unwrap() = false;
    harness.export(&mut sent).await.unwrap();
    assert_eq!(values(&harness.service.taken(), "c"), [3.0]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_gives_its_differences_back() {
    let harness = Harness::with_streams(&["p"]);
    let count = |value| batch(vec![harness.point("p", CUMULATIVE, "c", value)]);
    harness.export(&mut count(1.0)).await.unwrap();
    *harness.service.silent.lock().unwrap() = true;
    let mut sent = count(4.0);
    let given_up = tokio::time::timeout(Duration::from_secs(1), harness.export(&mut sent)).await;
    assert!(given_up.is_err());
    *harness.service.silent.lock().unwrap() = false;
    harness.export(&mut count(6.0)).await.unwrap();
    assert_eq!(values(&harness.service.taken(), "c"), [5.0]);
}

#[tokio::test(start_paused = true)]
async fn values_out_of_time_are_reported_and_the_rest_is_sent() {
    let harness = Harness::with_streams(&["p"]);
    let mut old = harness.point("p", MetricKind::Gauge, "old", 1.0);
    old.time_ns -= 15 * 86_400 * 1_000_000_000;
    let mut sent = batch(vec![old, harness.point("p", MetricKind::Gauge, "m", 2.0)]);
    let reject = harness.export(&mut sent).await.unwrap_err();
    assert!(matches!(reject, Reject::Partial { rejected: 1, .. }), "{reject:?}");
    assert_eq!(values(&harness.service.taken(), "m"), [2.0]);
    assert_eq!(harness.total("weir_dropped_items_total"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn events_that_the_service_rejects_are_counted_and_not_sent_again() {
    let harness = Harness::with_streams(&["p"]);
    harness.service.rule(Rule {
        action: "PutLogEvents",
        stream: None,
        times: 1,
        status: 200,
        body: "{\"rejectedLogEventsInfo\":{\"expiredLogEventEndIndex\":1,\
               \"tooOldLogEventEndIndex\":3,\"tooNewLogEventStartIndex\":4}}"
            .to_owned(),
    });
    let points = (0..5).map(|at| {
        let mut point = harness.point("p", MetricKind::Gauge, "m", f64::from(at));
        point.time_ns += at as u64 * 1_000_000;
        point
    });
    harness.export(&mut batch(points.collect())).await.unwrap();
    assert_eq!(harness.service.actions(), ["PutLogEvents"]);
    let page = harness.cx.telemetry.encode();
    for (reason, count) in [
        ("rejected_expired", 1),
        ("rejected_too_old", 2),
        ("rejected_too_new", 1),
    ] {
        let line = format!(
            "weir_dropped_items_total{{component=\"awsemf\",signal=\"metrics\",\
             reason=\"{reason}\"}} {count}"
        );
        assert!(page.contains(&line), "{line} in\n{page}");
    }
}

#[test]
fn the_user_agent_names_what_the_exporter_is_used_for() {
    let agent = |namespace: &str, group: &str| {
        identity(&Config {
            namespace: namespace.to_owned(),
            log_group_name: group.to_owned(),
            ..Config::default()
        })
        .user_agent
    };
    assert_eq!(agent("", ""), "(awsemf)");
    assert_eq!(
        agent("ApplicationSignals", "/aws/application-signals/data"),
        "(awsemf; AppSignals)"
    );
    assert_eq!(
        agent("", "/aws/containerinsights/{ClusterName}/performance"),
        "(awsemf; ContainerInsights)"
    );
}

#[tokio::test(start_paused = true)]
async fn tables_are_shown_in_the_programs_own_metrics() {
    let harness = Harness::with_streams(&["p"]);
    let mut sent = batch(vec![harness.point("p", CUMULATIVE, "c", 1.0)]);
    harness.export(&mut sent).await.unwrap();
    assert_eq!(harness.total("weir_awsemf_delta_streams"), 1.0);
    assert!(harness.total("weir_awsemf_table_bytes") > 0.0);
}
