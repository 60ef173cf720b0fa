#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::collections::HashMap;

use http::{Method, Request};
use serde_json::{Value, json};
use weir_config::{Loose, Origin, Source, decode, parse_yaml};
use weir_net::http::{HttpHandler, HttpRequest};
use weir_prom::exposition::MetricType;

use super::*;
use crate::discovery::{TargetLabels, with_keep};
use crate::prometheus::series::Family;

fn labels(pairs: &[(&str, &str)]) -> TargetLabels {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

fn job(json: Value) -> ScrapeConfig {
    serde_json::from_value(json).unwrap()
}

/// A job whose targets are these.
fn add(board: &Board, job: &ScrapeConfig, targets: Vec<TargetLabels>) -> Vec<Arc<Status>> {
    let global = Global::default();
    let rules = Arc::new(JobRules::new(&global, job, false, Default::default()).unwrap());
    let pool = board.add(&global, job, Arc::clone(&rules));
    let wanted = Arc::clone(&rules);
    let wanted = move |labels: &TargetLabels| Target::new(&wanted, labels).unwrap().is_some();
    let group = with_keep("static/0", targets, wanted, &pool.dropped);
    let shown: Vec<Shown> = (0..group.targets.len())
        .map(|at| {
            let target = Target::new(&rules, &group.targets[at]).unwrap().unwrap();
            ((0, at), Arc::new(Status::new(&Arc::new(target))))
        })
        .collect();
    let statuses = shown.iter().map(|(_, status)| Arc::clone(status)).collect();
    pool.show(&Arc::new(vec![group]), shown);
    statuses
}

fn family(kind: MetricType, help: &str, unit: &str) -> Family {
    Family {
        kind,
        help: help.into(),
        unit: unit.into(),
    }
}

/// Two jobs: one target that answered, one that failed, one that was never scraped, one dropped.
fn api() -> answer::Api {
    let board = Board::new(&Global::default());
    let web = job(json!({"job_name": "web", "scheme": "https", "params": {"token": ["t0ken"], "a": ["b"]},
        "relabel_configs": [{"source_labels": ["zone"], "regex": "off", "action": "drop"}]}));
    let found = vec![
        labels(&[("__address__", "127.0.0.1:1"), ("zone", "a")]),
        labels(&[("__address__", "user:hunter2@h:2")]),
        labels(&[("__address__", "h:3"), ("zone", "off")]),
    ];
    let statuses = add(&board, &web, found);
    let table: HashMap<Box<str>, Family> = [
        ("b".into(), family(MetricType::Gauge, "Say \"b\".", "")),
        ("a".into(), family(MetricType::Counter, "", "seconds")),
    ]
    .into();
    statuses[0].set(1_600_000_000_123, Duration::from_millis(2), None, Arc::new(table));
    let error = "cannot connect to user:hunter2@h:2: refused".to_owned();
    statuses[1].set(1, Duration::from_secs(1), Some(error), Arc::default());
    let idle = job(json!({"job_name": "idle", "scrape_interval": "15s"}));
    add(&board, &idle, vec![labels(&[("__address__", "h:4")])]);
    answer::Api {
        board: Arc::new(board),
        telemetry: Arc::default(),
        endpoint: "0.0.0.0:9090".to_owned(),
    }
}

async fn ask(api: &answer::Api, method: Method, path: &str) -> (u16, String) {
    let request = Request::builder().method(method).uri(path).body(()).unwrap();
    let (head, ()) = request.into_parts();
    let answer = match api.screen(&head) {
        Some(answer) => answer,
        None => {
            let request = HttpRequest {
                head,
                body: bytes::Bytes::new(),
                peer: None,
                charge: None,
            };
            api.handle(request).await
        }
    };
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    (answer.status().as_u16(), text)
}

async fn data(api: &answer::Api, path: &str) -> Value {
    let (status, text) = ask(api, Method::GET, path).await;
    assert_eq!(status, 200, "{text}");
    let all: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(all["status"], "success");
    all["data"].clone()
}

#[tokio::test]
async fn targets_with_all_that_is_known_of_them() {
    let api = api();
    let all = data(&api, "/api/v1/targets").await;
    let active = all["activeTargets"].as_array().unwrap();
    assert_eq!(active.len(), 3);
    assert_eq!(
        active[0],
        json!({
            "discoveredLabels": {"__address__": "h:4", "__metrics_path__": "/metrics", "__scheme__": "http",
                "__scrape_interval__": "15s", "__scrape_timeout__": "10s", "job": "idle"},
            "labels": {"instance": "h:4", "job": "idle"},
            "scrapePool": "idle", "scrapeUrl": "http://h:4/metrics", "globalUrl": "http://h:4/metrics",
            "lastError": "", "lastScrape": "0001-01-01T00:00:00Z", "lastScrapeDuration": 0,
            "health": "unknown", "scrapeInterval": "15s", "scrapeTimeout": "10s",
        })
    );
    assert_eq!(
        active[1],
        json!({
            "discoveredLabels": {"__address__": "127.0.0.1:1", "__metrics_path__": "/metrics", "__scheme__": "https",
                "__param_a": "b", "__param_token": "<secret>",
                "__scrape_interval__": "1m", "__scrape_timeout__": "10s", "job": "web", "zone": "a"},
            "labels": {"instance": "127.0.0.1:1", "job": "web", "zone": "a"},
            "scrapePool": "web",
            "scrapeUrl": "https://127.0.0.1:1/metrics?a=b&token=%3Csecret%3E",
            "globalUrl": "https://0.0.0.0:1/metrics?a=b&token=%3Csecret%3E",
            "lastError": "", "lastScrape": "2020-09-13T12:26:40.123Z", "lastScrapeDuration": 0.002,
            "health": "up", "scrapeInterval": "1m", "scrapeTimeout": "10s",
        })
    );
    assert_eq!(active[2]["health"], "down");
    assert_eq!(active[2]["lastError"], "cannot connect to <secret>@h:2: refused");
    assert_eq!(active[2]["labels"]["instance"], "<secret>@h:2");
    assert_eq!(all["droppedTargetCounts"], json!({"idle": 0, "web": 1}));
    assert_eq!(all["droppedTargets"][0]["discoveredLabels"]["__address__"], "h:3");
    assert_eq!(all["droppedTargets"][0]["scrapePool"], "web");
    let text = all.to_string();
    assert!(!text.contains("hunter2") && !text.contains("t0ken"), "{text}");
}

#[tokio::test]
async fn targets_are_chosen_by_state_and_pool() {
    let api = api();
    for (query, active, dropped, counts) in [
        ("", 3, 1, true),
        ("?state=any", 3, 1, true),
        ("?state=Active", 3, 0, false),
        ("?state=dropped", 0, 1, true),
        ("?state=other", 0, 0, false),
        ("?scrapePool=idle", 1, 0, true),
        ("?scrapePool=%77eb&state=active", 2, 0, false),
        ("?scrapePool=none", 0, 0, true),
    ] {
        let all = data(&api, &format!("/api/v1/targets{query}")).await;
        let count = |name: &str| all[name].as_array().unwrap().len();
        assert_eq!((count("activeTargets"), count("droppedTargets")), (active, dropped), "{query}");
        assert_eq!(all["droppedTargetCounts"].is_object(), counts, "{query}");
    }
}

#[tokio::test]
async fn metadata_of_families() {
    let api = api();
    let target = json!({"instance": "127.0.0.1:1", "job": "web", "zone": "a"});
    let a = json!({"target": target, "metric": "a", "type": "counter", "help": "", "unit": "seconds"});
    let b = json!({"target": target, "metric": "b", "type": "gauge", "help": "Say \"b\".", "unit": ""});
    let one = json!({"target": target, "type": "gauge", "help": "Say \"b\".", "unit": ""});
    for (query, expected) in [
        ("", json!([a, b])),
        ("?metric=b", json!([one])),
        ("?metric=none", json!([])),
        ("?limit=0", json!([])),
        ("?limit=1", json!([a, b])),
        ("?limit=-1", json!([a, b])),
        ("?match_target=%7Bjob%3D%22web%22,zone=~%22a%7Cb%22%7D", json!([a, b])),
        ("?match_target=%7Bjob%3D%22idle%22%7D", json!([])),
    ] {
        assert_eq!(data(&api, &format!("/api/v1/targets/metadata{query}")).await, expected, "{query}");
    }
    for (query, error) in [
        ("limit=x", "limit must be a number"),
        ("match_target=%7B", "invalid parameter \"match_target\": 1:2: parse error"),
    ] {
        let (status, text) = ask(&api, Method::GET, &format!("/api/v1/targets/metadata?{query}")).await;
        let all: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, all["status"].as_str(), all["errorType"].as_str()), (400, Some("error"), Some("bad_data")));
        assert!(all["error"].as_str().unwrap().contains(error), "{text}");
    }
}

#[tokio::test]
async fn an_answer_is_bounded_and_says_that_it_was_cut() {
    let board = Board::new(&Global::default());
    let statuses = add(&board, &job(json!({"job_name": "j"})), vec![labels(&[("__address__", "h:1")])]);
    let large = "x".repeat(17 << 20);
    let table = [("a".into(), family(MetricType::Gauge, &large, "")), ("b".into(), Family::default())];
    statuses[0].set(1, Duration::ZERO, None, Arc::new(table.into()));
    let api = answer::Api { board: Arc::new(board), telemetry: Arc::default(), endpoint: String::new() };
    let (_, text) = ask(&api, Method::GET, "/api/v1/targets/metadata").await;
    let all: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(all["data"].as_array().unwrap().len(), 1);
    assert!(all["warnings"][0].as_str().unwrap().contains("was cut"));
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let api = api();
    assert_eq!(data(&api, "/api/v1/scrape_pools").await, json!({"scrapePools": ["idle", "web"]}));
    for path in ["/", "/api/v1/query", "/api/v1/targets/", "/metrics/x"] {
        assert_eq!(ask(&api, Method::GET, path).await, (404, "404 page not found\n".to_owned()), "{path}");
    }
    for method in [Method::POST, Method::DELETE, Method::PUT] {
        assert_eq!(ask(&api, method, "/api/v1/targets").await, (405, "Method Not Allowed\n".to_owned()));
    }
    api.telemetry.counter("some_total", "Help.", &[]).add(3);
    let (status, text) = ask(&api, Method::GET, "/metrics").await;
    assert!(status == 200 && text.contains("some_total 3"), "{text}");
}

#[tokio::test]
async fn a_job_that_ends_is_not_shown() {
    let api = api();
    let web = api.board.sorted().remove(1);
    api.board.remove(&web);
    assert_eq!(data(&api, "/api/v1/scrape_pools").await, json!({"scrapePools": ["idle"]}));
    let page = data(&api, "/api/v1/status/config").await;
    assert!(!page["yaml"].as_str().unwrap().contains("web"), "{page}");
}

fn tree(yaml: &str) -> weir_config::Node {
    parse_yaml(&Source::new("page.yaml", yaml, Origin::Document)).unwrap_or_else(|e| panic!("{e}\n{yaml}"))
}

/// What is shown means the same as what was written.
#[test]
fn the_page_is_a_configuration_again() {
    let written = r##"
scrape_configs:
  - job_name: "one: two"
    scrape_interval: 1m30s
    scrape_timeout: 500ms
    honor_timestamps: false
    scrape_native_histograms: false
    params: {x: ["", "0", "a b"]}
    fallback_scrape_protocol: ""
    relabel_configs:
      - {source_labels: [a, b], separator: "", regex: "(.*)\\d$|\"x\"", target_label: c, replacement: ""}
      - {action: labelmap, regex: "x_(.+)", replacement: "$1"}
    static_configs:
      - {targets: ["h:1", "[::1]:2"], labels: {zone: "7", "on": "true", empty: "", "#": "- a\n  b"}}
    kubernetes_sd_configs:
      - {role: pod, selectors: [{role: pod, field: "spec.nodeName=n"}], namespaces: {names: [a]}}
    ec2_sd_configs: [{region: eu, filters: [{name: "tag:x", values: [y]}]}]
"##;
    let node = tree(written);
    let Loose(config) = decode::<Loose<crate::prometheus::config::PrometheusConfig>>(&node, "").unwrap();
    let board = Board::new(&config.global);
    let job = &config.scrape_configs[0];
    let rules = JobRules::new(&config.global, job, false, Default::default()).unwrap();
    board.add(&config.global, job, Arc::new(rules));
    let page = board.config();
    let Loose(mut read) = decode::<Loose<crate::prometheus::config::PrometheusConfig>>(&tree(&page), "").unwrap();
    // What is written is what holds, so that it is there in any case.
    assert_eq!(read.global.scrape_timeout.take().map(String::from).as_deref(), Some("10s"));
    assert_eq!(read, config, "{page}");
}

#[test]
fn the_page_hides_all_secrets() {
    let secrets = job(json!({
        "job_name": "j",
        "basic_auth": {"username": "u", "password": "hunter2"},
        "proxy_url": "http://pu:hunter2@proxy:1",
        "proxy_connect_header": {"x": ["hunter2"]},
        "http_headers": {"X-A": {"values": ["hunter2"], "secrets": ["hunter2"], "files": ["/f"]}},
        "tls_config": {"cert": "hunter2", "key": "hunter2"},
        "params": {"api_key": ["hunter2"], "a": ["shown"]},
        "static_configs": [{"targets": ["u:hunter2@h:1"], "labels": {"__param_token": "hunter2", "u": "http://u:hunter2@h"}}],
        "oauth2": {"client_id": "i", "client_secret": "hunter2", "token_url": "http://a:hunter2@idp/t",
            "endpoint_params": {"p": "hunter2"}, "claims": {"c": ["hunter2"]}},
        "http_sd_configs": [{"url": "http://u:hunter2@sd/", "authorization": {"credentials": "hunter2"}}],
        "ec2_sd_configs": [{"access_key": "hunter2", "secret_key": "hunter2"}],
        "ecs_sd_configs": [{"region": "r"}],
    }));
    let text = page::job(&Global::default(), &secrets);
    assert!(!text.contains("hunter2"), "{text}");
    for line in [
        "- job_name: j\n",
        "    password: <secret>\n",
        "  proxy_url: \"http://<secret>@proxy:1\"\n",
        "      - <secret>\n",
        "    cert: <secret>\n",
        "    - shown\n",
        "    client_secret: <secret>\n",
        "      - /f\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    // A secret that is not set is not shown as one that is.
    for unset in ["bearer_token", "  ca:", "client_certificate_key"] {
        assert!(!text.contains(unset), "{unset} in {text}");
    }
    let after_ecs = text.split("ecs_sd_configs").nth(1).unwrap().split("\n  e").next().unwrap();
    assert!(!after_ecs.contains("secret_key"), "{text}");
}
