//! The sample configurations of the reference distribution.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use weir_config::{ComponentId, NoFetch, Node, decode, load};

use crate::{json, variables};

type Components = BTreeMap<ComponentId, Node>;

#[derive(Deserialize)]
struct Collector {
    receivers: Components,
    #[serde(default)]
    processors: Components,
    exporters: Components,
    #[serde(default)]
    extensions: Components,
    service: Node,
}

fn samples() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/samples");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    paths.sort();
    paths
}

/// Each sample loads without error, its sections hold components, and its printed form reads back as
/// the same tree.
#[test]
fn every_sample_loads() {
    let environment = variables(&[
        ("AWS_REGION", "us-west-2"),
        (
            "AWS_PROMETHEUS_ENDPOINT",
            "https://host/workspaces/ws/api/v1/remote_write",
        ),
        ("AWS_PROMETHEUS_SCRAPING_ENDPOINT", "0.0.0.0:8080"),
    ]);
    let samples = samples();
    assert_eq!(samples.len(), 12);
    for path in samples {
        let location = path.to_str().unwrap().to_owned();
        let loaded = load(std::slice::from_ref(&location), &[], &environment, &NoFetch)
            .unwrap_or_else(|errors| panic!("{errors}"));
        let collector: Collector =
            decode(&loaded.root, "").unwrap_or_else(|errors| panic!("{location}: {errors:?}"));
        assert!(
            !collector.receivers.is_empty() && !collector.exporters.is_empty(),
            "{location}"
        );
        assert!(collector.service.get("pipelines").is_some(), "{location}");
        let components = collector.processors.len() + collector.extensions.len();
        assert!(
            components > 0 || location.ends_with("seed.yaml"),
            "{location}"
        );
        let printed = serde_yaml::to_string(&loaded.root).unwrap();
        assert_eq!(
            json(&crate::tree(&printed)),
            json(&loaded.root),
            "{location}"
        );
    }
}

/// Relabel rules escape `$1` as `$$1`, and variables in the middle of lists are resolved.
#[test]
fn samples_are_resolved() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/samples/");
    let environment = variables(&[("AWS_PROMETHEUS_SCRAPING_ENDPOINT", "0.0.0.0:8080")]);
    let read =
        |name: &str| load(&[format!("{folder}{name}")], &[], &environment, &NoFetch).unwrap();
    let loaded = read("config-eks-prometheus-config-all.yaml");
    let text = json(&loaded.root);
    assert!(text.contains("$1:$2") && !text.contains("$$"), "{text}");
    let loaded = read("config-ecs-ecs-amp-prometheus.yaml");
    assert!(json(&loaded.root).contains("0.0.0.0:8080"));
    assert!(!loaded.warnings.is_empty(), "the region is not set");
}
