//! The processor against an API of ours (`weir_testkit::KubernetesApi`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use weir_core::clock::ManualClock;
use weir_core::{Batch, BuildCtx, Data, Signal};
use weir_kube::{Access, Server};
use weir_model::ClientMetadata;
use weir_testkit::KubernetesApi;

use super::{Config, Kubernetes};
use crate::testing::{applied, attributes, batch, context, decode, plain};

const LIMIT: Duration = Duration::from_secs(20);

fn server(api: &KubernetesApi) -> Access {
    Access::Server(Box::new(Server { url: api.url(), ..Server::default() }))
}

async fn built(api: &KubernetesApi, config: &Config, cx: &BuildCtx) -> Result<Kubernetes, String> {
    Kubernetes::build(config, cx, &server(api)).await
}

/// A processor that has everything listed.
async fn started(api: &KubernetesApi, yaml: &str) -> (Kubernetes, BuildCtx) {
    let cx = context(Signal::Metrics);
    let mut config: Config = decode(yaml).unwrap();
    config.wait_for_metadata = true;
    (built(api, &config, &cx).await.unwrap(), cx)
}

/// Metrics with these resource attributes, from a sender.
fn sent(resource: &Value, cx: &BuildCtx, sender: Option<&str>) -> Batch {
    let body = json!({"resourceMetrics": [{"resource": {"attributes": attributes(resource)},
        "scopeMetrics": [{"metrics": [{"name": "m", "gauge": {"dataPoints": [
            {"timeUnixNano": "1700000000000000000", "asInt": "1"}]}}]}]}]});
    with_sender(batch(Signal::Metrics, &body, &cx.interner), sender)
}

fn with_sender(mut batch: Batch, sender: Option<&str>) -> Batch {
    batch.client = sender.map(|sender| {
        let address = Some(format!("{sender}:4000").parse().unwrap());
        Arc::new(ClientMetadata { address, ..ClientMetadata::default() })
    });
    batch
}

/// The resource as it comes out.
fn resource(processor: &Kubernetes, cx: &BuildCtx, resource: &Value, sender: Option<&str>) -> Value {
    let out = applied(processor, &mut sent(resource, cx, sender));
    plain(&out["resourceMetrics"][0]["resource"]["attributes"])
}

fn pod(name: &str, ip: &str) -> Value {
    json!({"kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"),
            "creationTimestamp": "2024-05-01T10:00:00Z"},
        "spec": {"nodeName": "node-a", "containers": [{"name": "app", "image": "i:1"}]},
        "status": {"podIP": ip, "phase": "Running", "startTime": "2024-05-01T10:00:05Z"}})
}

const NAME: &str = "extract: {metadata: [k8s.pod.name]}";

fn named(yaml: &str) -> String {
    format!("{NAME}\n{yaml}")
}

/// Waits until what a resource becomes is as wanted.
async fn until(processor: &Kubernetes, cx: &BuildCtx, from: &Value, name: Option<&str>) {
    let by = weir_core::Deadline::after(LIMIT);
    let wanted = name.map(Value::from).unwrap_or_default();
    while resource(processor, cx, from, None)["k8s.pod.name"] != wanted {
        assert!(!by.is_over(), "{from} does not become {name:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

mod golden;

#[tokio::test]
async fn a_pod_is_found_by_its_uid() {
    let api = KubernetesApi::start().await.unwrap();
    api.put("pods", pod("web", "10.0.0.1"));
    let rule = "pod_association: [{sources: [{from: resource_attribute, name: k8s.pod.uid}]}]";
    let (processor, cx) = started(&api, &named(rule)).await;
    let found = resource(&processor, &cx, &json!({"k8s.pod.uid": "uid-web"}), None);
    assert_eq!(found, json!({"k8s.pod.uid": "uid-web", "k8s.pod.name": "web"}));
}

const TWO_RULES: &str = "
pod_association:
  - sources:
      - {from: resource_attribute, name: k8s.pod.name}
      - {from: resource_attribute, name: k8s.namespace.name}
  - sources: [{from: connection}]
extract: {metadata: [k8s.pod.uid]}";

#[tokio::test]
async fn two_sources_must_both_be_there_or_the_next_rule_is_tried() {
    let api = KubernetesApi::start().await.unwrap();
    api.put("pods", pod("web", "10.0.0.1"));
    api.put("pods", pod("peer", "10.0.0.2"));
    let (processor, cx) = started(&api, TWO_RULES).await;
    let uid = |given: Value| resource(&processor, &cx, &given, Some("10.0.0.2"))["k8s.pod.uid"].clone();
    assert_eq!(uid(json!({"k8s.pod.name": "web", "k8s.namespace.name": "shop"})), "uid-web");
    assert_eq!(uid(json!({"k8s.pod.name": "web"})), "uid-peer");
    // series of one resource that come from another sender belong to another pod
    let other = resource(&processor, &cx, &json!({"k8s.pod.name": "web"}), Some("10.0.0.9"));
    assert_eq!(other["k8s.pod.uid"], Value::Null);
}

#[tokio::test]
async fn a_rule_that_names_an_unknown_pod_ends_the_search() {
    let api = KubernetesApi::start().await.unwrap();
    api.put("pods", pod("peer", "10.0.0.2"));
    let (processor, cx) = started(&api, TWO_RULES).await;
    let given = json!({"k8s.pod.name": "gone", "k8s.namespace.name": "shop"});
    assert_eq!(resource(&processor, &cx, &given, Some("10.0.0.2")), given);
    assert_eq!(cx.telemetry.total("otelcol_otelsvc_k8s_ip_lookup_miss"), 1.0);
    assert_eq!(cx.telemetry.total("otelcol_processor_k8sattributes_pod_association_error"), 1.0);
}

#[tokio::test]
async fn pods_on_the_network_of_their_node_are_not_found_by_address() {
    let api = KubernetesApi::start().await.unwrap();
    let mut host = pod("host", "10.0.0.1");
    host["spec"]["hostNetwork"] = json!(true);
    api.put("pods", host);
    let (processor, cx) = started(&api, NAME).await;
    let given = json!({"k8s.pod.ip": "10.0.0.1"});
    assert_eq!(resource(&processor, &cx, &given, Some("10.0.0.1")), given);
    // a rule may ask for the address all the same
    let rule = "pod_association: [{sources: [{from: resource_attribute, name: k8s.pod.ip}]}]";
    let (processor, cx) = started(&api, &named(rule)).await;
    assert_eq!(resource(&processor, &cx, &given, None)["k8s.pod.name"], "host");
}

#[tokio::test]
async fn passthrough_asks_the_api_nothing() {
    let api = KubernetesApi::start().await.unwrap();
    let cx = context(Signal::Metrics);
    let config: Config = decode("passthrough: true").unwrap();
    let processor = built(&api, &config, &cx).await.unwrap();
    let found = resource(&processor, &cx, &json!({}), Some("10.0.0.1"));
    assert_eq!(found, json!({"k8s.pod.ip": "10.0.0.1"}));
    assert!(api.asked().is_empty() && cx.tasks.is_empty());
}

fn kinds(api: &KubernetesApi) -> Vec<String> {
    let mut kinds: Vec<String> =
        api.asked().iter().map(|asked| asked.resource.clone()).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

#[tokio::test]
async fn deployments_are_named_without_watching_replica_sets() {
    let api = KubernetesApi::start().await.unwrap();
    let mut web = pod("web", "10.0.0.1");
    web["metadata"]["labels"] = json!({"pod-template-hash": "5d4f"});
    web["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "name": "web-x-5d4f", "uid": "r", "controller": true}]);
    api.put("pods", web);
    let (processor, cx) = started(&api, "extract: {metadata: [k8s.deployment.name]}").await;
    let found = resource(&processor, &cx, &json!({"k8s.pod.ip": "10.0.0.1"}), None);
    assert_eq!(found["k8s.deployment.name"], "web-x");
    assert_eq!(kinds(&api), ["pods"]);
}

#[tokio::test]
async fn only_what_is_needed_is_watched() {
    let api = KubernetesApi::start().await.unwrap();
    api.put("pods", pod("web", "10.0.0.1"));
    let yaml = "
extract:
  metadata: [k8s.cluster.uid, k8s.deployment.uid]
  labels: [{key: a, from: node}, {key: b, from: statefulset}]
filter: {node: node-a, namespace: shop, labels: [{key: x, op: does-not-exist}], fields: [{key: status.phase, value: Running}]}";
    let (_processor, _cx) = started(&api, yaml).await;
    assert_eq!(kinds(&api), ["namespaces", "nodes", "pods", "replicasets", "statefulsets"]);
    for asked in api.asked() {
        let (namespace, fields) = match asked.resource.as_str() {
            "namespaces" => ("", "metadata.name=kube-system"),
            "nodes" => ("", "metadata.name=node-a"),
            "pods" => ("shop", "spec.nodeName=node-a,status.phase=Running"),
            _ => ("shop", ""),
        };
        assert_eq!((asked.namespace.as_str(), asked.fields.as_str()), (namespace, fields));
        assert_eq!(asked.metadata_only, asked.resource != "pods");
        assert_eq!(asked.labels, if asked.resource == "pods" { "!x" } else { "" });
    }
}

#[tokio::test]
async fn pipelines_and_processors_share_their_watches() {
    let api = KubernetesApi::start().await.unwrap();
    api.put("pods", pod("web", "10.0.0.1"));
    let (first, cx) = started(&api, NAME).await;
    let mut config: Config = decode("extract: {metadata: [k8s.pod.uid]}").unwrap();
    config.wait_for_metadata = true;
    let other = built(&api, &config, &cx).await.unwrap();
    let given = json!({"k8s.pod.ip": "10.0.0.1"});
    assert_eq!(resource(&first, &cx, &given, None)["k8s.pod.name"], "web");
    assert_eq!(resource(&other, &cx, &given, None)["k8s.pod.uid"], "uid-web");
    let lists = api.asked().iter().filter(|asked| asked.verb == "list").count();
    assert_eq!(lists, 1);
    assert!(api.wait(LIMIT, |api| api.open_watches() == 1).await);
    // and they end with the last one
    drop((first, other));
    assert!(api.wait(LIMIT, |api| api.open_watches() == 0).await);
    assert!(cx.tasks.finished(weir_core::Deadline::after(LIMIT)).await);
}

#[tokio::test]
async fn a_deleted_pod_is_known_for_the_grace_period() {
    let api = KubernetesApi::start().await.unwrap();
    api.put("pods", pod("web", "10.0.0.1"));
    let clock = Arc::new(ManualClock::at(1_700_000_000_000_000_000));
    let mut cx = context(Signal::Metrics);
    cx.clock = clock.clone();
    let mut config: Config = decode(NAME).unwrap();
    config.wait_for_metadata = true;
    let processor = built(&api, &config, &cx).await.unwrap();
    api.delete("pods", "shop", "web");
    let deleted = || cx.telemetry.total("otelcol_otelsvc_k8s_pod_deleted") == 1.0;
    assert!(api.wait(LIMIT, |_| deleted()).await);
    let given = json!({"k8s.pod.ip": "10.0.0.1"});
    let name = || resource(&processor, &cx, &given, None)["k8s.pod.name"].clone();
    clock.advance(Duration::from_secs(119));
    processor.shared.sweep();
    assert_eq!(name(), "web");
    clock.advance(Duration::from_secs(2));
    processor.shared.sweep();
    assert_eq!(name(), Value::Null);
}

#[tokio::test]
async fn of_two_pods_with_an_address_the_later_one_counts() {
    let api = KubernetesApi::start().await.unwrap();
    api.put("pods", pod("old", "10.0.0.1"));
    let (processor, cx) = started(&api, NAME).await;
    let given = json!({"k8s.pod.ip": "10.0.0.1"});
    until(&processor, &cx, &given, Some("old")).await;
    let mut new = pod("new", "10.0.0.1");
    new["status"]["startTime"] = json!("2024-05-01T11:00:00Z");
    api.put("pods", new);
    until(&processor, &cx, &given, Some("new")).await;
    api.delete("pods", "shop", "old");
    until(&processor, &cx, &given, Some("new")).await;
}

#[tokio::test]
async fn the_start_waits_for_the_first_listing_and_fails_in_time() {
    let api = KubernetesApi::start().await.unwrap();
    api.permit(Some(&[("list", "pods")]));
    let cx = context(Signal::Metrics);
    let yaml = "
wait_for_metadata: true
wait_for_metadata_timeout: 300ms
extract: {metadata: [k8s.node.uid]}";
    let config: Config = decode(yaml).unwrap();
    let why = built(&api, &config, &cx).await.err().unwrap();
    assert!(why.contains("failed to wait for the metadata of Kubernetes within 300ms"), "{why}");
    assert!(why.contains("cannot list resource \"nodes\""), "{why}");
    assert!(why.contains("grant the verbs list and watch on the resource nodes"), "{why}");
}

#[tokio::test]
async fn watches_go_on_after_the_connection_is_lost() {
    let api = KubernetesApi::start().await.unwrap();
    api.put("pods", pod("web", "10.0.0.1"));
    let (processor, cx) = started(&api, NAME).await;
    assert!(api.wait(LIMIT, |api| api.open_watches() == 1).await);
    api.drop_next(1);
    api.cut();
    until(&processor, &cx, &json!({"k8s.pod.ip": "10.0.0.1"}), Some("web")).await;
    api.put("pods", pod("late", "10.0.0.2"));
    until(&processor, &cx, &json!({"k8s.pod.ip": "10.0.0.2"}), Some("late")).await;
}

#[tokio::test]
async fn series_are_mapped_once_until_what_is_known_changes() {
    let api = KubernetesApi::start().await.unwrap();
    api.put("pods", pod("web", "10.0.0.1"));
    let (processor, cx) = started(&api, NAME).await;
    let given = json!({"k8s.pod.ip": "10.0.0.1"});
    let lookups = || cx.telemetry.total("otelcol_processor_k8sattributes_pod_association_success");
    for _ in 0..3 {
        resource(&processor, &cx, &given, None);
    }
    assert_eq!(lookups(), 1.0);
    // a change of state is no change of attributes
    let updates = || cx.telemetry.total("otelcol_otelsvc_k8s_pod_updated");
    let mut web = pod("web", "10.0.0.1");
    web["status"]["phase"] = json!("Succeeded");
    api.put("pods", web.clone());
    assert!(api.wait(LIMIT, |_| updates() == 1.0).await);
    resource(&processor, &cx, &given, None);
    assert_eq!(lookups(), 1.0);
    web["metadata"]["labels"] = json!({"a": "b"});
    api.put("pods", web);
    assert!(api.wait(LIMIT, |_| updates() == 2.0).await);
    resource(&processor, &cx, &given, None);
    assert_eq!(lookups(), 2.0);
}

#[test]
fn unknown_names_are_errors() {
    let wrong = |yaml: &str| decode::<Config>(yaml).err().unwrap_or_default();
    let text = wrong("extract: {metadata: [k8s.pod.name, k8s.pod.nme]}");
    assert!(text.contains("\"k8s.pod.nme\" is not a supported metadata field"), "{text}");
    assert!(wrong("extract: {labels: [{key: a, from: service}]}").contains("service"));
    assert!(wrong("extract: {labels: [{key: a, key_regex: b}]}").contains("key_regex"));
    assert!(wrong("extract: {labels: [{key_regex: '('}]}").contains("key_regex"));
    let five = "{from: connection},".repeat(5);
    let text = wrong(&format!("pod_association: [{{sources: [{five}]}}]"));
    assert!(text.contains("too many association sources"), "{text}");
    assert!(wrong("filter: {fields: [{key: a, op: exists}]}").contains("equals and not-equals"));
    assert!(wrong("filter: {node_from_env_var: NO_SUCH_VARIABLE}").contains("is not set"));
    assert_eq!(wrong("auth_type: tls\nexclude: {pods: [{name: a.*}]}"), "");
}

#[tokio::test]
async fn the_node_of_the_environment_is_asked_for() {
    let api = KubernetesApi::start().await.unwrap();
    // A variable that every environment of a test has.
    let home = weir_config::Environment::get(&weir_config::ProcessEnvironment, "PATH").unwrap();
    let (_processor, _cx) = started(&api, "filter: {node_from_env_var: PATH}").await;
    assert_eq!(api.asked()[0].fields, format!("spec.nodeName={home}"));
}

#[tokio::test]
async fn spans_and_log_records_are_changed_too() {
    let api = KubernetesApi::start().await.unwrap();
    api.put("pods", pod("web", "10.0.0.1"));
    let (processor, cx) = started(&api, NAME).await;
    let resource = json!({"attributes": attributes(&json!({"ip": "10.0.0.1"}))});
    let logs = json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}}]}]}]});
    let spans = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [
        {"name": "s", "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708"}]}]}]});
    let lookups = || cx.telemetry.total("otelcol_processor_k8sattributes_pod_association_success");
    let both = [(Signal::Logs, logs, "resourceLogs"), (Signal::Traces, spans, "resourceSpans")];
    for name in ["web", "new"] {
        let before = lookups();
        for (signal, body, blocks) in both.iter().chain(&both) {
            let mut batch = batch(*signal, body, &cx.interner);
            assert!(!matches!(batch.data, Data::Metrics(_)));
            let out = applied(&processor, &mut batch);
            let found = plain(&out[*blocks][0]["resource"]["attributes"]);
            assert_eq!(found, json!({"ip": "10.0.0.1", "k8s.pod.name": name}));
        }
        // the resource is the same, and so is what is known
        assert_eq!(lookups() - before, 1.0);
        let mut new = pod("new", "10.0.0.1");
        new["status"]["startTime"] = json!("2024-05-01T11:00:00Z");
        api.put("pods", new);
        until(&processor, &cx, &json!({"k8s.pod.ip": "10.0.0.1"}), Some("new")).await;
    }
}

/// 1,000 pods come, change and go, while connections break and versions expire: the index knows
/// those that are there, each once, and none else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_pods_churn_and_none_is_lost_or_known_twice() {
    let api = KubernetesApi::start().await.unwrap();
    let address = |i: usize| format!("10.{}.{}.{}", i / 65_536, i / 256 % 256, i % 256);
    let named = |i: usize| pod(&format!("pod-{i}"), &address(i));
    for i in 0..1_000 {
        api.put("pods", named(i));
    }
    let (processor, cx) = started(&api, "pod_delete_grace_period: 0s\nextract: {metadata: [k8s.pod.name]}").await;
    for i in 0..1_000 {
        api.delete("pods", "shop", &format!("pod-{i}"));
        let mut new = named(i + 1_000);
        new["metadata"]["labels"] = json!({"round": "1"});
        api.put("pods", new);
        match i {
            200 | 600 => api.cut(),
            300 => api.expire(),
            500 => api.bookmark(),
            800 => api.drop_next(2),
            _ => {}
        }
        if i % 50 == 0 {
            // Lets the watch come between.
            tokio::task::yield_now().await;
        }
    }
    let last = json!({"k8s.pod.ip": address(1_999)});
    until(&processor, &cx, &last, Some("pod-1999")).await;
    let size = || cx.telemetry.total("otelcol_otelsvc_k8s_pod_table_size");
    assert!(api.wait(LIMIT, |_| size() == 1_000.0).await, "{} pods", size());
    processor.shared.sweep();
    for i in 0..2_000 {
        let found = resource(&processor, &cx, &json!({"k8s.pod.ip": address(i)}), None);
        let name = if i < 1_000 { Value::Null } else { json!(format!("pod-{i}")) };
        assert_eq!(found["k8s.pod.name"], name, "{i}");
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("k8sattributes/testdata")
}
