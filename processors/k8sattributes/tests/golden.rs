//! What the reference does with the same configuration, cluster and input.

use std::path::Path;

use serde_json::{Value, json};
use weir_config::{Origin, Source, decode_and_validate, parse_yaml};
use weir_core::Signal;
use weir_testkit::KubernetesApi;

use super::{Config, LIMIT, built, folder, with_sender};
use crate::testing::{applied, batch, context, plain};

fn read(folder: &Path, file: &str) -> Value {
    match std::fs::read_to_string(folder.join(file)) {
        Ok(text) => serde_json::from_str(&text).unwrap(),
        Err(_) => Value::Null,
    }
}

/// The plural of a kind, as the API names it.
fn plural(kind: &str) -> String {
    match kind {
        "Ingress" => "ingresses".to_owned(),
        "Endpoints" => "endpoints".to_owned(),
        kind => format!("{}s", kind.to_lowercase()),
    }
}

/// The cluster of a case, with what the kit fills in.
async fn cluster(folder: &Path) -> KubernetesApi {
    let api = KubernetesApi::start().await.unwrap();
    let kube = read(folder, "kube.json");
    for object in kube["objects"].as_array().into_iter().flatten() {
        let mut object = object.clone();
        let kind = object["kind"].as_str().unwrap().to_owned();
        let metadata = object["metadata"].as_object_mut().unwrap();
        if !["Node", "Namespace"].contains(&kind.as_str()) {
            metadata.entry("namespace").or_insert(json!("default"));
        }
        metadata.entry("creationTimestamp").or_insert(json!("2024-05-01T10:00:00Z"));
        api.put(&plural(&kind), object);
    }
    // The kit's faults all mean that a resource is forbidden.
    if kube["faults"].as_array().is_some_and(|faults| !faults.is_empty()) {
        assert_eq!(kube["faults"][0]["resource"], "namespaces");
        api.permit(Some(&[("list", "pods"), ("watch", "pods")]));
    }
    api
}

/// Resource attributes of all metrics, in the order of names.
async fn ours(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("config.yaml")).unwrap();
    let text = text.replace("{{", "").replace("}}", "").replace("$$", "$");
    let tree = parse_yaml(&Source::new("config.yaml", &text, Origin::Document)).unwrap();
    let node = tree.at(&["processors", "k8sattributes"]).unwrap();
    let config = decode_and_validate::<Config>(node, "processors.k8sattributes").unwrap().value;
    let cx = context(Signal::Metrics);
    let api = cluster(folder).await;
    let processor = built(&api, &config, &cx).await.unwrap();
    if !config.wait_for_metadata && !config.passthrough {
        let known = || cx.telemetry.total("otelcol_otelsvc_k8s_pod_added") > 0.0;
        assert!(api.wait(LIMIT, |_| known()).await);
    }
    let mut got = Vec::new();
    let input = std::fs::read_to_string(folder.join("input.json")).unwrap();
    let input: Value = serde_json::from_str(&input.replace("{{ns:+0s}}", "1700000000000000000")).unwrap();
    for step in input["steps"].as_array().unwrap() {
        if step["body"].is_null() {
            continue;
        }
        let batch = batch(Signal::Metrics, &step["body"], &cx.interner);
        let out = applied(&processor, &mut with_sender(batch, Some("127.0.0.1")));
        for block in out["resourceMetrics"].as_array().unwrap() {
            let resource = plain(&block["resource"]["attributes"]);
            for metric in block["scopeMetrics"][0]["metrics"].as_array().unwrap() {
                got.push(json!([metric["name"], resource]));
            }
        }
    }
    got.sort_by_key(ToString::to_string);
    got
}

fn theirs(folder: &Path) -> Vec<Value> {
    let mut expected = read(folder, "expected-alt.json");
    if expected.is_null() {
        expected = read(folder, "expected.json");
    }
    let points = expected["otlp"]["points"].as_array().unwrap().iter();
    let mut all: Vec<Value> =
        points.map(|point| json!([point["metric"], point["resource"]])).collect();
    all.sort_by_key(ToString::to_string);
    all
}

#[tokio::test]
async fn golden_cases_give_what_the_reference_gives() {
    let entries = std::fs::read_dir(folder()).unwrap();
    let mut cases: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 20);
    for folder in cases {
        assert_eq!(ours(&folder).await, theirs(&folder), "{}", folder.display());
    }
}
