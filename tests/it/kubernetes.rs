//! Discovery and `k8sattributes` in one process, against an API of ours.
#![allow(clippy::print_stdout, reason = "the figure is worth a line")]

use std::time::Duration;

use serde_json::{Value, json};
use weir_testkit::{KubernetesApi, MockServer};

use crate::process::{Weir, free_port, get};

/// Discovery that keeps the annotated pods, and the processor, on the same kubeconfig file.
fn config(health: u16, telemetry: u16, kubeconfig: &str) -> String {
    format!(
        r#"
extensions:
  health_check:
    endpoint: 127.0.0.1:{health}
receivers:
  prometheus:
    config:
      scrape_configs:
        - job_name: pods
          scrape_interval: 1s
          kubernetes_sd_configs:
            - role: pod
              kubeconfig_file: {kubeconfig}
          relabel_configs:
            - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape]
              action: keep
              regex: "true"
processors:
  k8s_attributes:
    auth_type: kubeConfig
exporters:
  debug:
service:
  telemetry:
    metrics:
      readers:
        - pull:
            exporter:
              prometheus:
                host: 127.0.0.1
                port: {telemetry}
  extensions: [health_check]
  pipelines:
    metrics:
      receivers: [prometheus]
      processors: [k8s_attributes]
      exporters: [debug]
"#
    )
}

/// A pod as a deployment makes them: labels, owner, a container that runs.
fn pod(i: usize) -> Value {
    let (owner, name) = (
        format!("shop-{}-5d4f7c9b8d", i / 20),
        format!("shop-{}-5d4f7c9b8d-{i:05}", i / 20),
    );
    let uid = format!("{i:08x}-1c2d-4e5f-8a9b-0c1d2e3f4a5b");
    let digest = format!("{i:064x}");
    json!({"kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "production", "uid": uid, "generateName": format!("{owner}-"),
            "creationTimestamp": "2024-05-01T10:00:00Z",
            "labels": {"app.kubernetes.io/name": "shop", "app.kubernetes.io/instance": owner, "app.kubernetes.io/version": "1.2.3",
                "team": "payments", "pod-template-hash": "5d4f7c9b8d"},
            "annotations": {"prometheus.io/port": "8080", "checksum/config": format!("{:064x}", i / 20)},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": "r", "controller": true}],
            "managedFields": [{"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:status": {"f:podIP": {}}}}]},
        "spec": {"nodeName": format!("ip-10-0-{}-17.eu-central-1.compute.internal", i % 200), "serviceAccountName": "shop",
            "containers": [{"name": "app", "image": "111122223333.dkr.ecr.eu-central-1.amazonaws.com/shop/app:1.2.3",
                "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                "env": [{"name": "A", "value": "a value that nobody here reads"}], "resources": {"limits": {"memory": "128Mi"}}}]},
        "status": {"phase": "Running", "podIP": format!("10.{}.{}.{}", 1 + i / 65_536, i / 256 % 256, i % 256), "hostIP": "10.0.0.11",
            "startTime": "2024-05-01T10:00:05Z", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "app", "ready": true, "restartCount": 0, "containerID": format!("containerd://{digest}"),
                "imageID": format!("111122223333.dkr.ecr.eu-central-1.amazonaws.com/shop/app@sha256:{:064x}", 7)}]}})
}

/// Memory of a process that knows so many pods.
async fn resident(pods: usize) -> u64 {
    let api = KubernetesApi::start().await.unwrap();
    for i in 0..pods {
        api.put("pods", pod(i));
    }
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let file = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": api.url()}}], "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]});
    std::fs::write(&kubeconfig, file.to_string()).unwrap();
    let kubeconfig = kubeconfig.to_str().unwrap();
    let (health, telemetry) = (free_port(), free_port());
    let variables = [("KUBECONFIG", kubeconfig)];
    let weir = Weir::start_with(&config(health, telemetry, kubeconfig), health, &variables).await;
    let known = format!("otelcol_otelsvc_k8s_pod_table_size {pods}\n");
    let by = weir_core::Deadline::after(Duration::from_secs(100));
    loop {
        let page = get(&format!("http://127.0.0.1:{telemetry}/metrics"))
            .await
            .unwrap();
        let page = String::from_utf8_lossy(&page.body).into_owned();
        if page.contains(&known) {
            break;
        }
        assert!(!by.is_over(), "not {known} in\n{page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Discovery uses the same watch.
    let lists = api.asked().into_iter().filter(|asked| asked.verb == "list");
    assert!(lists.filter(|asked| asked.resource == "pods").count() <= pods.div_ceil(100));
    // A pod that is scraped: by then discovery has been through all the others.
    let target = MockServer::with_body("g 1\n").unwrap();
    let mut scraped = pod(pods);
    scraped["metadata"]["annotations"]["prometheus.io/scrape"] = json!("true");
    scraped["status"]["podIP"] = json!("127.0.0.1");
    scraped["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(target.address().port());
    api.put("pods", scraped);
    let seen = target
        .wait(Duration::from_secs(30), |requests| !requests.is_empty())
        .await;
    assert!(!seen.is_empty(), "never scraped:\n{}", weir.log());
    let resident = weir.resident();
    assert!(!weir.log().contains("panicked"), "{}", weir.log());
    resident
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_takes_less_than_a_kibibyte() {
    let (few, many) = (200, 8_200);
    let (small, large) = (resident(few).await, resident(many).await);
    let each = large.saturating_sub(small) / (many - few) as u64;
    println!("{each} bytes a pod");
    assert!(
        each <= 1_024,
        "{each} bytes a pod: {small} with {few} pods, {large} with {many}"
    );
}
