//! What the reference does with the same configuration, surroundings and input.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use weir_config::{Origin, Source, parse_yaml};
use weir_core::{Batch, Signal};

use super::super::world::Node;
use super::fake::Fake;
use super::{built, config_of};
use crate::testing::{applied, batch, context, plain};

fn read(folder: &Path, file: &str) -> Value {
    match std::fs::read_to_string(folder.join(file)) {
        Ok(text) => serde_json::from_str(&text).unwrap(),
        Err(_) => Value::Null,
    }
}

/// The environment, metadata services and Kubernetes API of a case.
fn surroundings(folder: &Path) -> Fake {
    let mut fake = Fake::default()
        .file("/proc/sys/kernel/hostname", "box\n")
        .file("/etc/os-release", "NAME=\"Linux\"\nVERSION=\"1\"\nVERSION_ID=\"1.0\"\nID=linux\n");
    for (name, value) in read(folder, "meta.json")["env"].as_object().into_iter().flatten() {
        fake = fake.variable(name, value.as_str().unwrap());
    }
    let http = read(folder, "input.json")["http"]["imds"].clone();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let in_task = fake.variables.get_mut().unwrap().contains_key("ECS_CONTAINER_METADATA_URI_V4");
    fake.ecs = in_task.then(|| (text(&http["/v4/x/task"]), text(&http["/v4/x"])));
    let paths = http.as_object().into_iter().flatten();
    fake.metadata.extend(paths.map(|(path, value)| (path.clone(), text(value))));
    for object in read(folder, "kube.json")["objects"].as_array().into_iter().flatten() {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let uid = object["metadata"]["uid"].as_str().unwrap().to_owned();
        if object["kind"] == "Node" {
            let provider_id = object["spec"]["providerID"].as_str().unwrap().to_owned();
            fake.nodes.insert(name, Node { uid, provider_id });
        } else {
            fake.namespaces.insert(name, uid);
        }
    }
    fake
}

/// Resource attributes by metric; null if the start fails.
async fn ours(folder: &Path) -> Value {
    let text = std::fs::read_to_string(folder.join("config.yaml")).unwrap();
    let text = text.replace("{{", "").replace("}}", "");
    let tree = parse_yaml(&Source::new("config.yaml", &text, Origin::Document)).unwrap();
    let cx = context(Signal::Metrics);
    let config = config_of(&tree);
    let Ok(processor) = built(&config, &cx, Arc::new(surroundings(folder))).await else {
        return Value::Null;
    };
    let mut got = serde_json::Map::new();
    let input = read(folder, "input.json").to_string().replace("{{ns:+0s}}", "1700000000000000000");
    let input: Value = serde_json::from_str(&input).unwrap();
    for step in input["steps"].as_array().unwrap() {
        let mut batch: Batch = batch(Signal::Metrics, &step["body"], &cx.interner);
        let out = applied(&processor, &mut batch);
        for block in out["resourceMetrics"].as_array().unwrap() {
            let resource = plain(&block["resource"]["attributes"]);
            for metric in block["scopeMetrics"][0]["metrics"].as_array().unwrap() {
                got.insert(metric["name"].as_str().unwrap().to_owned(), resource.clone());
            }
        }
    }
    Value::Object(got)
}

fn theirs(folder: &Path) -> Value {
    let expected = read(folder, "expected.json");
    if expected["started"] == json!(false) {
        return Value::Null;
    }
    let points = expected["otlp"]["points"].as_array().unwrap().iter();
    points.map(|point| (point["metric"].as_str().unwrap().to_owned(), point["resource"].clone())).collect()
}

#[tokio::test(start_paused = true)]
async fn golden_cases_give_what_the_reference_gives() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("resourcedetection/testdata");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 20);
    for folder in cases {
        let mut got = ours(&folder).await;
        for name in read(&folder, "meta.json")["mask_attributes"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap();
            for resource in got.as_object_mut().into_iter().flat_map(|map| map.values_mut()) {
                if let Some(value) = resource.get_mut(name) {
                    *value = json!(format!("<{name}>"));
                }
            }
        }
        assert_eq!(got, theirs(&folder), "{}", folder.display());
    }
}
