#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::config::{Global, JobRules};
use super::*;

mod allocator;
mod api;
mod misbehaving;
mod requests;
mod targets;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use weir_config::{Origin, Source, decode_and_validate, parse_yaml};
use weir_core::{Batch, ComponentId, ComponentKind, Consumer, Deadline, Reject, Tasks};
use weir_model::{Data, Point};

/// Passes batches on to a test.
struct Sink(mpsc::Sender<Batch>);

impl Consumer for Sink {
    fn consume(&self, batch: Batch) -> BoxFut<'_, Result<(), Reject>> {
        Box::pin(async move {
            // A test that has seen enough no longer listens.
            let _sent = self.0.send(batch).await;
            Ok(())
        })
    }
}

fn config(yaml: &str) -> Result<Config, Vec<String>> {
    let source = Source::new("test.yaml", yaml, Origin::Document);
    let node = parse_yaml(&source).unwrap();
    decode_and_validate::<Config>(&node, "receivers.prometheus")
        .map(|decoded| decoded.value)
        .map_err(|errors| {
            errors
                .iter()
                .map(|e| format!("{}: {}", e.path, e.message))
                .collect()
        })
}

/// A receiver that runs, and what it hands on.
struct Scraper {
    batches: mpsc::Receiver<Batch>,
    cx: BuildCtx,
    stop: Stop,
    running: Running,
}

impl Scraper {
    async fn start(yaml: &str) -> Self {
        Self::with_context(yaml, context()).await
    }

    async fn with_context(yaml: &str, cx: BuildCtx) -> Self {
        let (sink, batches) = mpsc::channel(64);
        let running_cx = cx.clone();
        let (stop, running) = start_with(yaml, running_cx, Arc::new(Sink(sink))).await;
        Self {
            batches,
            cx,
            stop,
            running,
        }
    }

    /// The points of the next scrape.
    async fn next(&mut self) -> Vec<Point> {
        let limit = Duration::from_secs(20);
        let batch = tokio::time::timeout(limit, self.batches.recv()).await;
        points_of(batch.expect("a scrape within 20 s").unwrap())
    }

    /// Ends the receiver.
    async fn end(self) -> BuildCtx {
        let by = Deadline::after(Duration::from_secs(10));
        self.stop.stop(by);
        drop(self.batches);
        self.running.await.unwrap();
        assert!(self.cx.tasks.finished(by).await, "all tasks end");
        self.cx
    }
}

fn context() -> BuildCtx {
    let id = ComponentId::parse("prometheus").unwrap();
    BuildCtx::standalone(id, ComponentKind::Receiver, None)
}

async fn start_with(yaml: &str, cx: BuildCtx, next: Arc<dyn Consumer>) -> (Stop, Running) {
    weir_net::install_default_provider();
    let out = Outputs {
        metrics: Some(next),
        ..Outputs::default()
    };
    let stop = Stop::default();
    let receiver = Kind::build(config(yaml).unwrap(), cx).await.unwrap();
    let running = receiver.start(out, stop.clone()).await.unwrap();
    (stop, running)
}

fn points_of(batch: Batch) -> Vec<Point> {
    let Data::Metrics(metrics) = batch.data else {
        panic!("metrics")
    };
    metrics.points().cloned().collect()
}

fn instance_of(points: &[Point]) -> String {
    let attributes = &points[0].series.resource().attributes;
    let instance = attributes.get("service.instance.id");
    instance.map_or_else(String::new, |value| value.to_text().into_owned())
}

/// A job named `app` with one static target and these keys.
fn job_of(address: &str, keys: &str) -> String {
    let mut yaml = format!(
        "config:\n  scrape_configs:\n    - job_name: app\n      scrape_interval: 100ms\n      scrape_timeout: 100ms\n      static_configs: [{{targets: ['{address}']}}]\n"
    );
    for line in keys.lines().filter(|line| !line.is_empty()) {
        yaml.push_str(&format!("      {line}\n"));
    }
    yaml
}

/// Answers one request after the other with these; the last one repeats. Gives the requests out.
async fn serve(listener: TcpListener, answers: Vec<String>, requests: mpsc::Sender<String>) {
    for number in 0.. {
        let Ok((mut stream, _)) = listener.accept().await else {
            return;
        };
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        while !request.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut buffer).await.unwrap();
            if read == 0 {
                break;
            }
            request.extend_from_slice(&buffer[..read]);
        }
        let answer = answers.get(number).or(answers.last()).unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        let _sent = requests.try_send(String::from_utf8_lossy(&request).into_owned());
    }
}

fn ok(content_type: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn value(points: &[Point], name: &str) -> String {
    let of_name = |point: &&Point| &*point.series.metric().name == name;
    points.iter().find(of_name).map_or_else(
        || "missing".to_owned(),
        |point| {
            if point.is_stale() {
                "stale".into()
            } else {
                format!("{:?}", point.value.as_f64())
            }
        },
    )
}

/// From the configuration to points: a good page, a failure, a page in OpenMetrics.
#[tokio::test]
async fn targets_are_scraped() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (requests, mut received) = mpsc::channel(8);
    let answers = vec![
        ok("text/plain; version=0.0.4", "a 1\n"),
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into(),
        ok("application/openmetrics-text", "a 2\nb 3\n# EOF\n"),
        ok("text/plain", ""),
    ];
    let tasks = Tasks::default();
    tasks.spawn("server", serve(listener, answers, requests));
    let config = config(&format!(
        "config:\n  scrape_configs:\n    - job_name: app\n      scrape_interval: 20ms\n      scrape_timeout: 20ms\n      params: {{x: [1]}}\n      authorization: {{credentials: tok}}\n      static_configs: [{{targets: ['{address}'], labels: {{zone: 7}}}}]\n"
    ))
    .unwrap();
    let id = ComponentId::parse("prometheus").unwrap();
    let cx = BuildCtx::standalone(id, ComponentKind::Receiver, None);
    let (sink, mut batches) = mpsc::channel(1);
    let out = Outputs {
        metrics: Some(Arc::new(Sink(sink))),
        ..Outputs::default()
    };
    let stop = Stop::default();
    let receiver = Kind::build(config, cx.clone()).await.unwrap();
    let running = receiver.start(out, stop.clone()).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let batch = batches.recv().await.unwrap();
        let Data::Metrics(metrics) = batch.data else {
            panic!("metrics")
        };
        let points: Vec<Point> = metrics.points().cloned().collect();
        let resource = points[0]
            .series
            .resource()
            .attributes
            .get("service.instance.id")
            .unwrap();
        assert_eq!(resource.to_text(), address.to_string());
        seen.push(["a", "b", "up", "scrape_samples_scraped"].map(|name| value(&points, name)));
    }
    let row = |values: [&str; 4]| values.map(str::to_owned);
    assert_eq!(
        seen,
        [
            row(["Some(1.0)", "missing", "Some(1.0)", "Some(1.0)"]),
            row(["stale", "missing", "Some(0.0)", "Some(0.0)"]),
            row(["Some(2.0)", "Some(3.0)", "Some(1.0)", "Some(2.0)"]),
            row(["stale", "stale", "Some(1.0)", "Some(0.0)"]),
        ]
    );
    let request = received.recv().await.unwrap().to_ascii_lowercase();
    for line in [
        "get /metrics?x=1 http/1.1",
        "accept-encoding: gzip",
        "authorization: bearer tok",
        "x-prometheus-scrape-timeout-seconds: 0.02",
        "user-agent: weir/",
        "accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,",
    ] {
        assert!(request.contains(line), "{line} in {request}");
    }
    assert!(
        cx.telemetry
            .total("otelcol_receiver_prometheus_series_cache_lines")
            >= 1.0
    );
    stop.stop(Deadline::after(Duration::from_secs(5)));
    drop(batches);
    running.await.unwrap();
    assert!(
        cx.tasks
            .finished(Deadline::after(Duration::from_secs(5)))
            .await
    );
    assert_eq!(
        cx.telemetry
            .total("otelcol_receiver_prometheus_series_cache_lines"),
        0.0
    );
}

fn job(keys: &str) -> String {
    format!(
        "config:\n  scrape_configs:\n    - job_name: a\n      static_configs: [{{targets: [h:1]}}]\n{keys}"
    )
}

/// PROM-01 to PROM-09
#[test]
fn configurations_that_are_refused() {
    for (yaml, message) in [
        ("{}".to_owned(), "config: no Prometheus scrape_configs or target_allocator set"),
        (job("      no_such_key: 1\n"), "scrape_configs[0]: unknown key `no_such_key`"),
        (job("  remote_write: []\n  rule_files: [x]\n"), "config: unsupported features: remote_write, rule_files"),
        (job("    - job_name: a\n"), "scrape_configs[1].job_name: found multiple scrape configs"),
        (job("      scrape_interval: 5s\n      scrape_timeout: 6s\n"), "scrape_configs[0].scrape_timeout: scrape timeout greater"),
        (job("      scrape_interval: 5\n"), "not a valid duration string"),
        (
            "config:\n  scrape_configs:\n    - job_name: a\n      static_configs: [{targets: ['http://h:1']}]\n".to_owned(),
            "static_configs[0].targets[0]: `http://h:1` is not a valid hostname",
        ),
        (job("      authorization: {credentials_file: /nowhere/token}\n"), "authorization.credentials_file: error checking file \"/nowhere/token\""),
        (job("      bearer_token: x\n      basic_auth: {username: u}\n"), "at most one of basic_auth"),
        (job("      basic_auth: {password: p, password_file: /x}\n"), "at most one of basic_auth.password"),
        (job("      tls_config: {cert_file: /nowhere}\n"), "cert and key must be configured together"),
        (job("      tls_config: {min_version: TLS9}\n"), "unknown TLS version `TLS9`"),
        (job("      relabel_configs: [{action: nope}]\n"), "relabel_configs[0]: unknown relabel action `nope`"),
        (job("      scrape_protocols: [Nope]\n"), "scrape_protocols[0]: unknown scrape protocol `Nope`"),
        (job("      dns_sd_configs: [{names: [x], type: A}]\n"), "dns_sd_configs[0].port: a port is required"),
        (job("      dns_sd_configs: [{names: [x], type: TXT}]\n"), "invalid DNS-SD records type TXT"),
        (job("      consul_sd_configs: [{}]\n"), "consul_sd_configs is known but not offered yet"),
        (job("      ec2_sd_configs: [{region: r, filters: [{name: x}]}]\n"), "filter values cannot be empty"),
        (job("      ecs_sd_configs: [{region: r, clustres: [x]}]\n"), "unknown key `clustres`"),
        (job("      oauth2: {client_id: i, token_url: 'http://h/t'}\n"), "oauth2.client_secret: either oauth2 client_secret"),
        (job("      http_sd_configs: [{url: 'http://h/', basic_auth: {username: u}, bearer_token: t}]\n"), "http_sd_configs[0]: at most one of basic_auth"),
        ("target_allocator: {endpoint: nothing, interval: 0s, collector_id: ''}\n".to_owned(), "target_allocator.endpoint: TargetAllocator endpoint is not valid"),
        ("target_allocator: {endpoint: 'http://h', interval: 30s, collector_id: '${POD}'}\n".to_owned(), "target_allocator.collector_id: CollectorID is not a valid ID"),
        (job("      kubernetes_sd_configs: [{}]\n"), "kubernetes_sd_configs[0].role: role missing"),
        (job("      kubernetes_sd_configs: [{role: node, selectors: [{role: pod, label: x}]}]\n"), "node role supports only node selectors"),
        (job("      kubernetes_sd_configs: [{role: pod, kubeconfig_file: f, namespaces: {own_namespace: true}}]\n"), "cannot use 'own_namespace' with"),
        (job("      metric_name_validation_scheme: old\n"), "unknown global name validation method"),
    ] {
        let errors = config(&yaml).expect_err(&yaml).join("\n");
        assert!(errors.contains(message), "{message} in {errors}");
    }
}

#[test]
fn defaults_and_numbers_as_texts() {
    let config = config(&job(
        "      relabel_configs:\n        - {source_labels: [__address__], regex: 8080, replacement: 1.10, target_label: x}\n",
    ))
    .unwrap();
    let section = &config.config.0;
    let scope = (String::new(), String::new());
    let rules = JobRules::new(&section.global, &section.scrape_configs[0], false, scope).unwrap();
    assert_eq!(
        (rules.interval.as_secs(), rules.timeout.as_secs()),
        (60, 10)
    );
    assert_eq!(
        section.scrape_configs[0].relabel_configs[0].replacement,
        "1.10"
    );
    assert!(rules.compression && rules.client.follow_redirects && rules.client.enable_http2);
    assert!(rules.page.honor_timestamps && !rules.page.forms.native);
}

/// Secrets do not show in what `print-config` prints.
#[test]
fn secrets_are_masked() {
    let config = config(&job("      basic_auth: {username: u, password: hunter2}\n")).unwrap();
    let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn jobs_in_files() {
    let folder = std::env::temp_dir().join(format!("weir-prometheus-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write(
        "jobs-a.yml",
        "scrape_configs:\n  - job_name: one\n    file_sd_configs: [{files: [t.json]}]\n    relabel_configs:\n      - {source_labels: [a], regex: '(.*)', replacement: '${1}x', target_label: b}\n",
    );
    write("jobs-b.yml", "scrape_configs:\n  - job_name: two\n");
    let pattern = vec![folder.join("jobs-*.yml").display().to_string()];
    let jobs = config::jobs_of_files(&Global::default(), &pattern).unwrap();
    let names: Vec<&str> = jobs.iter().map(|job| job.job_name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(
        jobs[0].file_sd_configs[0].files[0],
        folder.join("t.json").display().to_string()
    );
    assert_eq!(jobs[0].relabel_configs[0].replacement, "${1}x");
    write("jobs-b.yml", "scrape_configs:\n  - job_nam: two\n");
    let error = config::jobs_of_files(&Global::default(), &pattern).unwrap_err();
    assert!(
        error.contains("jobs-b.yml") && error.contains("job_nam"),
        "{error}"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}
