#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Response, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use weir_config::{Origin, Source, decode_and_validate, parse_yaml};
use weir_core::{ComponentId, ComponentKind, Deadline, Reject};
use weir_testkit::points::{difference, flat_points};
use weir_testkit::{MockServer, Recorded};

use super::*;

/// What the endpoint answers to one request after the other; then 500.
type Script = Vec<(StatusCode, String)>;

fn ok(document: &Value) -> (StatusCode, String) {
    (StatusCode::OK, document.to_string())
}

fn answer((status, body): (StatusCode, String)) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response
}

/// An endpoint with a script for each of its documents.
fn endpoint(task: Script, stats: Script) -> MockServer {
    weir_net::install_default_provider();
    let asked = [AtomicUsize::new(0), AtomicUsize::new(0)];
    MockServer::start(move |request: &Recorded| {
        let (script, asked) = match request.uri.path() {
            "/v4/conf/task" => (&task, &asked[0]),
            "/v4/conf/task/stats" => (&stats, &asked[1]),
            _ => return answer((StatusCode::NOT_FOUND, String::new())),
        };
        let turn = script.get(asked.fetch_add(1, Ordering::SeqCst)).cloned();
        answer(turn.unwrap_or((StatusCode::INTERNAL_SERVER_ERROR, String::new())))
    })
    .unwrap()
}

fn receiver(server: &MockServer) -> EcsReceiver {
    let address = format!("{}/v4/conf", server.url());
    let variables = BTreeMap::from([("ECS_CONTAINER_METADATA_URI_V4".to_owned(), address)]);
    let endpoint = EcsTaskMetadata::of(&variables).unwrap();
    let config = Config {
        collection_interval: weir_config::Duration::from_millis(10),
    };
    let id = ComponentId::parse("awsecscontainermetrics").unwrap();
    let cx = BuildCtx::standalone(id, ComponentKind::Receiver, None);
    EcsReceiver::new(&config, endpoint, cx)
}

fn case(name: &str, file: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("awsecscontainermetrics/testdata");
    let text = std::fs::read_to_string(folder.join(name).join(file)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The answers of a case for one of the documents, as the kit's mock gives them.
fn script(input: &Value, document: &str) -> Script {
    let backend = &input["backends"]["ecs_meta"];
    let rounds = backend["rounds"].as_u64().unwrap_or(1) as usize;
    let answers = match &backend[document] {
        Value::Array(answers) => answers.clone(),
        document => vec![document.clone(); rounds],
    };
    let bare = |answer: &Value| {
        let status = answer["status"].as_u64().unwrap_or(200) as u16;
        let text = answer["text"].as_str().unwrap_or_default().to_owned();
        (StatusCode::from_u16(status).unwrap(), text)
    };
    let is_bare = |answer: &Value| answer.get("status").is_some() || answer.get("text").is_some();
    answers.iter().map(|a| if is_bare(a) { bare(a) } else { ok(a) }).collect()
}

/// Metrics and resources of the reference: Fargate, stopped containers, errors, odd names.
#[tokio::test]
async fn golden_cases() {
    for name in [
        "035-fargate",
        "036-stopped-container",
        "037-errors-then-good",
        "038-two-rounds",
    ] {
        let input = case(name, "input.json");
        let server = endpoint(script(&input, "task"), script(&input, "stats"));
        let receiver = receiver(&server);
        let mut batches = Vec::new();
        for _ in 0..5 {
            if let Some(points) = receiver.collect().await {
                batches.push(Batch::metrics(Metrics::from_points(points)));
            }
        }
        let found = flat_points(&batches, |_| json!("<now>"));
        let expected = case(name, "expected.json");
        let expected = expected["otlp"]["points"].as_array().unwrap();
        let (missing, beyond) = difference(expected, &found);
        assert!(
            missing.is_empty() && beyond.is_empty(),
            "{name}\nmissing: {missing:#?}\nunexpected: {beyond:#?}"
        );
    }
}

/// Each failure is counted under its document, and the round after it works.
#[tokio::test]
async fn a_round_after_failures_works() {
    let input = case("035-fargate", "input.json");
    let documents = &input["backends"]["ecs_meta"];
    let (task, stats) = (ok(&documents["task"]), ok(&documents["stats"]));
    let bad = |status: u16| (StatusCode::from_u16(status).unwrap(), String::new());
    let text = (StatusCode::OK, "no json".to_owned());
    let tasks = vec![bad(500), text.clone(), task.clone(), task.clone(), task.clone(), task];
    let server = endpoint(tasks, vec![bad(404), text, stats.clone(), stats]);
    let receiver = receiver(&server);
    let mut rounds = Vec::new();
    for _ in 0..6 {
        rounds.push(receiver.collect().await.map(|points| points.len()));
    }
    assert_eq!(rounds, [None, None, None, None, Some(80), Some(80)]);
    let [no_task, no_stats] = &receiver.failed;
    assert_eq!((no_task.get(), no_stats.get()), (2, 2));
}

fn collected(task: &Value, stats: &Value) -> Vec<String> {
    weir_net::install_default_provider();
    let variables = BTreeMap::from([(
        "ECS_CONTAINER_METADATA_URI_V4".to_owned(),
        "http://127.0.0.1:1".to_owned(),
    )]);
    let id = ComponentId::parse("awsecscontainermetrics").unwrap();
    let cx = BuildCtx::standalone(id, ComponentKind::Receiver, None);
    let endpoint = EcsTaskMetadata::of(&variables).unwrap();
    let receiver = EcsReceiver::new(&Config::default(), endpoint, cx);
    let task: Task = serde_json::from_value(task.clone()).unwrap();
    let stats: TaskStats = serde_json::from_str(&stats.to_string()).unwrap();
    let points = receiver.points(&task, &stats);
    points
        .iter()
        .map(|p| format!("{} {:?}", p.series.metric().name, p.value.as_f64().unwrap()))
        .collect()
}

#[test]
fn a_container_that_makes_no_sense_costs_the_others_nothing() {
    let task = r#"{"Cluster": null, "Containers": [
        {"DockerId": "a", "Limits": {"CPU": "much"}},
        {"DockerId": "b", "Name": null, "StartedAt": "yesterday", "FinishedAt": "today"},
        {"DockerId": "c"}, {"DockerId": "d", "Limits": null}, 7]}"#;
    let task: Task = serde_json::from_str(task).unwrap();
    assert_eq!(task.containers().filter(Result::is_ok).count(), 3);
    let task = r#"{"Containers": [{"DockerId": "b"}, {"DockerId": "c"}, {"DockerId": "d"}]}"#;
    let stats = json!({"b": {"id": "b", "cpu_stats": 1}, "c": null, "d": {"id": "d"}});
    let found = collected(&serde_json::from_str(task).unwrap_or_default(), &stats);
    assert_eq!(found.len(), 26 + 28);
}

/// What the reference takes for granted may be missing, and counters may fall.
#[test]
fn missing_and_falling_figures_are_zero() {
    let stats = json!({"d": {
        "id": "d", "read": "2026-01-02T03:05:10Z", "preread": "0001-01-01T00:00:00Z",
        "memory_stats": {"usage": 1, "stats": {"cache": 5}},
        "networks": {"eth0": null, "eth1": {"rx_bytes": 7}},
        "network_rate_stats": {},
        "cpu_stats": {"cpu_usage": {"total_usage": 5}},
        "precpu_stats": {"cpu_usage": {"total_usage": 9}},
    }});
    let task: Value = json!({"Containers": [{"DockerId": "d"}]});
    let found = collected(&task, &stats);
    for line in [
        "container.memory.utilized 0.0",
        "container.network.io.usage.rx_bytes 7.0",
        "container.cpu.usage.total 5.0",
        "container.cpu.usage.vcpu 0.0",
        "ecs.task.cpu.utilized 0.0",
    ] {
        assert!(found.iter().any(|l| l == line), "{line} in {found:#?}");
    }
}

#[test]
fn the_interval_is_positive_and_twenty_seconds() {
    let config = |yaml: &str| {
        let source = Source::new("test.yaml", yaml, Origin::Document);
        let node = parse_yaml(&source).unwrap();
        decode_and_validate::<Config>(&node, "r").map(|decoded| decoded.value)
    };
    assert_eq!(config("{}").unwrap().collection_interval.to_std().as_secs(), 20);
    let errors = config("collection_interval: 0s").unwrap_err();
    assert!(errors[0].message.contains("positive duration"));
    assert!(config("interval: 1s").is_err());
}

/// Passes batches on to a test.
struct Sink(mpsc::Sender<Batch>);

impl Consumer for Sink {
    fn consume(&self, batch: Batch) -> BoxFut<'_, Result<(), Reject>> {
        Box::pin(async move {
            let _sent = self.0.send(batch).await;
            Ok(())
        })
    }
}

#[tokio::test]
async fn rounds_go_on_until_the_stop() {
    let input = case("038-two-rounds", "input.json");
    let server = endpoint(script(&input, "task"), script(&input, "stats"));
    let (sink, mut batches) = mpsc::channel(1);
    let out = Outputs {
        metrics: Some(Arc::new(Sink(sink))),
        ..Outputs::default()
    };
    let stop = Stop::default();
    let receiver = Box::new(receiver(&server));
    let telemetry = Arc::clone(&receiver.cx.telemetry);
    let running = receiver.start(out, stop.clone()).await.unwrap();
    let watching = async {
        for _ in 0..2 {
            assert_eq!(batches.recv().await.unwrap().len(), 3 * 26 + 28);
        }
        stop.stop(Deadline::after(Duration::ZERO));
    };
    let (result, ()) = tokio::join!(running, watching);
    result.unwrap();
    assert_eq!(telemetry.total("otelcol_receiver_accepted_metric_points"), 212.0);
}

proptest! {
    /// Documents with anything in any place: read, or refused, and no harm done.
    #[test]
    fn damaged_documents_do_no_harm(
        at in 0..4000usize,
        with in prop::sample::select(vec!["null", "-1", "1e400", "{}", "[]", "\"x\"", "}", "1.5"]),
        length in 0..20usize,
    ) {
        let input = case("036-stopped-container", "input.json");
        for document in ["task", "stats"] {
            let mut text = input["backends"]["ecs_meta"][document].to_string();
            let at = at % text.len();
            text.replace_range(at..(at + length).min(text.len()), with);
            let task: Option<Task> = serde_json::from_str(&text).ok();
            for container in task.iter().flat_map(Task::containers).flatten() {
                let attributes = resource::task_attributes(&Task::default());
                drop(resource::container_attributes(&container, &attributes));
                drop(usage::duration(&container.started_at, &container.finished_at));
            }
            if let Ok(stats) = serde_json::from_str::<TaskStats>(&text) {
                for n in 1..4 {
                    if let Ok(Some(stats)) = stats.of(&format!("{n:064}")) {
                        drop(Usage::of_container(&stats, documents::Limits::default()).metrics());
                    }
                }
            }
        }
    }
}
