//! Every example is valid, and so are the configurations people already have.

use std::path::Path;

use weir::components::CATALOG;
use weir_config::{Environment, NoFetch, load};

struct Variables;

impl Environment for Variables {
    fn get(&self, name: &str) -> Option<String> {
        let value = match name {
            "K8S_NODE_NAME" => "node-1",
            "POD_NAME" => "weir-scraper-1",
            "REPLICAS" => "3",
            _ => return None,
        };
        Some(value.to_owned())
    }
}

fn check(name: &str, text: &str) -> Result<Vec<String>, String> {
    let loaded = load(&[format!("yaml:{text}")], &[], &Variables, &NoFetch)
        .map_err(|e| format!("{name}: {e}"))?;
    let plan = weir_runtime::plan(&loaded.root, &CATALOG).map_err(|e| format!("{name}: {e}"))?;
    Ok(plan
        .warnings
        .iter()
        .filter(|w| !w.message.contains("alias"))
        .map(|w| w.message.clone())
        .collect())
}

#[test]
fn examples_are_valid_without_warnings() {
    for name in [
        "examples/local.yaml",
        "examples/logs.yaml",
        "examples/seed.yaml",
        "examples/statsd.yaml",
        "examples/ecs.yaml",
    ] {
        let text =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        assert_eq!(check(name, &text), Ok(Vec::new()), "{name}");
    }
}

/// The configurations inside the ConfigMaps of the manifests.
#[test]
fn configurations_in_manifests_are_valid_without_warnings() {
    for name in [
        "examples/kubernetes/daemonset.yaml",
        "examples/kubernetes/sidecar.yaml",
        "examples/kubernetes/statefulset.yaml",
    ] {
        let text =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        let (_, rest) = text.split_once("  config.yaml: |\n").expect("a ConfigMap");
        let lines = rest
            .lines()
            .take_while(|line| line.is_empty() || line.starts_with("    "));
        let config: String = lines
            .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or("")))
            .collect();
        assert_eq!(check(name, &config), Ok(Vec::new()), "{name}");
    }
}

/// The seed as first written lacks the authenticator: validation names the lines to add.
#[test]
fn a_missing_authenticator_is_named_with_the_lines_to_add() {
    let text = include_str!("../../examples/seed.yaml")
        .replace(
            "  sigv4auth:\n    region: ap-northeast-2\n    service: aps\n",
            "",
        )
        .replace("[health_check, sigv4auth]", "[health_check]");
    let error = check("seed", &text).unwrap_err();
    for part in [
        "authenticator `sigv4auth` not found",
        "extensions: [sigv4auth]",
        "prometheusremotewrite",
    ] {
        assert!(error.contains(part), "{part} in\n{error}");
    }
}

/// PRW-01.
#[test]
fn both_names_of_remote_write_load_and_the_older_one_warns() {
    for (name, warnings) in [("prometheus_remote_write", 0), ("prometheusremotewrite", 1)] {
        let text = format!(
            "receivers: {{otlp: {{protocols: {{http: }}}}}}\nexporters: {{{name}: {{endpoint: \"http://h:1/x\"}}}}\n\
             service: {{pipelines: {{metrics: {{receivers: [otlp], exporters: [{name}]}}}}}}\n"
        );
        let loaded = load(&[format!("yaml:{text}")], &[], &Variables, &NoFetch).unwrap();
        let plan = weir_runtime::plan(&loaded.root, &CATALOG).unwrap();
        let texts: Vec<&str> = plan.warnings.iter().map(|w| w.message.as_str()).collect();
        assert_eq!(texts.len(), warnings, "{texts:?}");
        assert!(
            texts
                .iter()
                .all(|text| text.contains("alias is deprecated")),
            "{texts:?}"
        );
    }
}

/// Configurations of the AWS Distro for OpenTelemetry, as people run them: each loads whole, but for
/// one that the reference refuses as well.
#[test]
fn configurations_of_the_distribution_are_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/config/testdata/samples");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        seen += 1;
        let name = path.file_name().unwrap().to_str().unwrap();
        let result = check(name, &std::fs::read_to_string(&path).unwrap());
        match name {
            "config-eks-prometheus-config-haproxy.yaml" => {
                let error = result.unwrap_err();
                assert!(error.contains("needs `target_label`"), "{error}");
            }
            "seed.yaml" => {
                let error = result.unwrap_err();
                assert!(
                    error.contains("authenticator `sigv4auth` not found"),
                    "{error}"
                );
            }
            _ => drop(result.unwrap()),
        }
    }
    assert!(seen >= 12, "only {seen} samples found");
}
