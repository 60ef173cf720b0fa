//! Scrape targets that misbehave (reliability R22): each is `up 0` with a reason in the log, memory
//! stays bounded, and the target beside them is scraped on time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use weir_testkit::{EVIL_TARGETS, EvilTargets, MockServer, Recorded};

use crate::process::{Weir, free_port};

/// Bodies are refused from 64 MiB on; at most five of the targets get so far at a time.
const MOST_MEMORY_MIB: u64 = 600;
/// Between two scrapes of the good target.
const INTERVAL_MS: u64 = 500;

/// Values of `up` by instance, with their times in milliseconds.
fn ups(requests: &[Recorded]) -> BTreeMap<String, Vec<(u64, f64)>> {
    let mut found: BTreeMap<String, Vec<(u64, f64)>> = BTreeMap::new();
    let array = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    for request in requests {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        for resource in array(&body, "resourceMetrics") {
            let attributes = array(&resource["resource"], "attributes");
            let instance = attributes
                .iter()
                .find(|attribute| attribute["key"] == "service.instance.id")
                .map(|attribute| {
                    attribute["value"]["stringValue"]
                        .as_str()
                        .unwrap()
                        .to_owned()
                });
            let scopes = array(&resource, "scopeMetrics");
            for metric in scopes.iter().flat_map(|scope| array(scope, "metrics")) {
                if metric["name"] != "up" {
                    continue;
                }
                for point in array(&metric["gauge"], "dataPoints") {
                    let time: u64 = point["timeUnixNano"].as_str().unwrap().parse().unwrap();
                    let values = found.entry(instance.clone().unwrap()).or_default();
                    values.push((time / 1_000_000, point["asDouble"].as_f64().unwrap()));
                }
            }
        }
    }
    found
}

/// The most memory that a process ever had, in MiB.
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn misbehaving_targets_hurt_nobody_but_themselves() {
    weir_net::install_default_provider();
    let evil = EvilTargets::start().await.unwrap();
    let sink = MockServer::with_body("{}").unwrap();
    let health = free_port();
    let mut targets = String::new();
    for (path, _) in EVIL_TARGETS {
        targets.push_str(&format!(
            "            - {{targets: ['{}'], labels: {{__metrics_path__: {path}, instance: {path}}}}}\n",
            evil.address()
        ));
    }
    let config = format!(
        "extensions: {{health_check: {{endpoint: '127.0.0.1:{health}'}}}}
receivers:
  prometheus:
    config:
      scrape_configs:
        - job_name: evil
          scrape_interval: 2s
          scrape_timeout: 1500ms
          label_value_length_limit: 4096
          static_configs:
{targets}        - job_name: good
          scrape_interval: {INTERVAL_MS}ms
          scrape_timeout: {INTERVAL_MS}ms
          static_configs: [{{targets: ['{}'], labels: {{__metrics_path__: /good, instance: good}}}}]
exporters: {{otlphttp: {{endpoint: '{}', encoding: json, compression: none}}}}
service:
  extensions: [health_check]
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{metrics: {{receivers: [prometheus], exporters: [otlphttp]}}}}
",
        evil.address(),
        sink.url()
    );
    let weir = Weir::start(&config, health).await;
    let all_seen = |requests: &[Recorded]| {
        let ups = ups(requests);
        let evil = EVIL_TARGETS
            .iter()
            .all(|(path, _)| ups.get(*path).is_some_and(|v| v.len() > 1));
        evil && ups.get("good").is_some_and(|values| values.len() >= 12)
    };
    let requests = sink.wait(Duration::from_secs(60), all_seen).await;
    let peak = peak_mib(weir.pid());
    let ups = ups(&requests);
    let instances: BTreeSet<&str> = ups.keys().map(String::as_str).collect();
    assert_eq!(instances.len(), EVIL_TARGETS.len() + 1, "{instances:?}");
    for (instance, values) in &ups {
        let expected = if instance == "good" { 1.0 } else { 0.0 };
        assert!(
            values.iter().all(|(_, up)| *up == expected),
            "{instance}: {values:?}"
        );
    }
    // The machine may be busy: a tick may slip, but the rhythm stays.
    let good = &ups["good"];
    let span = good.last().unwrap().0 - good[0].0;
    let ticks = span / INTERVAL_MS + 1;
    assert!(
        good.len() as u64 * 10 >= ticks * 8,
        "{} of {ticks} ticks: {good:?}",
        good.len()
    );
    let log = weir.log();
    for (path, reasons) in EVIL_TARGETS {
        let tells = |line: &str| {
            line.contains(&format!("{path}\""))
                && reasons.iter().any(|reason| line.contains(reason))
        };
        assert!(
            log.lines().any(tells),
            "{path} without {reasons:?} in\n{log}"
        );
    }
    assert!(peak <= MOST_MEMORY_MIB, "{peak} MiB");
}
