//! Targets that misbehave (reliability R22, and the scrape group of the malformed inputs): each
//! fails with a reason, and the others know nothing of it. Memory is measured on the whole program.

use std::collections::BTreeMap;

use weir_model::Ledger;
use weir_prom::exposition::TextFormat;
use weir_testkit::{EVIL_TARGETS, EvilTargets};

use super::*;
use crate::prometheus::client::Fetcher;
use crate::prometheus::series::{DiscoveredAttributes, Page, TargetSeries};
use crate::prometheus::worker::page;

fn rules(keys: &str) -> JobRules {
    let config = config(&job_of("h:1", keys)).unwrap();
    let section = &config.config.0;
    JobRules::new(&section.global, &section.scrape_configs[0], false, Default::default()).unwrap()
}

fn series(rules: &JobRules) -> TargetSeries {
    let labels = [("job", "app"), ("instance", "h:1")].into_iter().collect();
    let discovered = DiscoveredAttributes::default();
    TargetSeries::new(Arc::clone(&rules.page), Arc::default(), labels, discovered, 1)
}

/// Every one of them, with its reason; what they took of the memory budget is given back.
#[tokio::test]
async fn every_misbehaving_target_fails_with_its_reason() {
    weir_net::install_default_provider();
    let evil = EvilTargets::start().await.unwrap();
    let rules = rules("label_value_length_limit: 4096");
    let ledger = Ledger::new(200 << 20);
    let fetcher = Fetcher::new(&rules, "test", &context().clock, &ledger).unwrap();
    for (path, reasons) in EVIL_TARGETS {
        let url = format!("http://{}{path}", evil.address()).parse().unwrap();
        let fetched = fetcher.fetch(&url, Duration::from_secs(1)).await;
        let reason = match fetched {
            Err(error) => error.to_string(),
            Ok(fetched) => {
                let mut points = Vec::new();
                let outcome = series(&rules).page(page(&fetched), 1000, 1000, &mut points);
                outcome.error.map_or_else(String::new, |error| error.to_string())
            }
        };
        let known = reasons.iter().any(|known| reason.contains(known));
        assert!(known, "{path}: `{reason}`");
        assert!(reason.len() < 400, "{path}: a reason is a line");
    }
    assert_eq!(ledger.used(), 0);
}

/// A full memory budget fails the scrape, and not the program.
#[tokio::test]
async fn a_body_that_does_not_fit_into_the_memory_budget_fails_the_scrape() {
    weir_net::install_default_provider();
    let evil = EvilTargets::start().await.unwrap();
    let rules = rules("");
    let ledger = Ledger::new(1 << 20);
    let fetcher = Fetcher::new(&rules, "test", &context().clock, &ledger).unwrap();
    for path in ["/endless-body", "/gzip-bomb"] {
        let url = format!("http://{}{path}", evil.address()).parse().unwrap();
        let error = fetcher.fetch(&url, Duration::from_secs(30)).await.unwrap_err();
        assert!(error.to_string().contains("memory budget"), "{error}");
        assert_eq!(ledger.used(), 0);
    }
}

/// All at once beside one that behaves: that one is scraped all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_targets_know_nothing_of_misbehaving_ones() {
    let evil = EvilTargets::start().await.unwrap();
    let mut yaml = "config:\n  scrape_configs:\n    - job_name: app\n      scrape_interval: 500ms\n      scrape_timeout: 400ms\n      label_value_length_limit: 4096\n      static_configs:\n".to_owned();
    // The flooding ones are tried one by one above; here they would only make the machine busy.
    let calm = |path: &&str| {
        let busy = ["-body", "many", "bomb", "long-line"];
        !busy.iter().any(|part| path.contains(part))
    };
    let paths = EVIL_TARGETS.iter().map(|(path, _)| *path).filter(calm);
    for path in paths.chain(["/good"]) {
        yaml.push_str(&format!(
            "        - {{targets: ['{}'], labels: {{__metrics_path__: {path}, instance: {path}}}}}\n",
            evil.address()
        ));
    }
    let mut scraper = Scraper::start(&yaml).await;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    while seen.get("/good").is_none_or(|count| *count < 6) {
        let points = scraper.next().await;
        let instance = instance_of(&points);
        let up = if instance == "/good" { "Some(1.0)" } else { "Some(0.0)" };
        assert_eq!(value(&points, "up"), up, "{instance}");
        *seen.entry(instance).or_default() += 1;
    }
    assert_eq!(seen.len(), 21, "{seen:?}");
    assert!(seen.values().all(|count| (4..=8).contains(count)), "{seen:?}");
    scraper.end().await;
}

/// What the reference takes although the formats do not allow it, and the rest of the group.
#[test]
fn odd_pages_that_are_taken() {
    let rules = rules("");
    let long = format!("# TYPE a counter\na_total 1 # {{x=\"{}\"}} 1\n# EOF\n", "y".repeat(200));
    for (format, body, samples) in [
        (TextFormat::Prometheus, "a 1\na 2\n", 2),
        (TextFormat::Prometheus, "a{x=\"\\\\ \\\" \\n \\q\"} 1\n", 1),
        (TextFormat::Prometheus, "{\"na.me\",\"la.bel\"=\"v\"} 1\n", 1),
        (
            TextFormat::Prometheus,
            "# HELP a x\n# HELP a y\n# TYPE a gauge\n# TYPE a counter\na 1\n# TYPE b counter\nb 1\n# HELP b late\n",
            2,
        ),
        (
            TextFormat::Prometheus,
            "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_count 2\n",
            2,
        ),
        (TextFormat::OpenMetrics, long.as_str(), 1),
        (TextFormat::Prometheus, "a{x=\"1\"} 1\nb 1\na{x=\"2\"} 1\nb{x=\"1\"} 2\n", 4),
        (TextFormat::Prometheus, "# TYPE c counter\nc -5\n", 1),
        (
            TextFormat::Prometheus,
            "# TYPE m gauge\nm 1\n# TYPE m_count summary\nm_count 1\nm_bucket{le=\"x\"} 1\n",
            3,
        ),
    ] {
        let mut points = Vec::new();
        let page = Page::Text(format, body.as_bytes());
        let outcome = series(&rules).page(page, 1000, 1000, &mut points);
        assert_eq!(outcome.error, None, "{body}");
        assert_eq!(outcome.counts.scraped, samples, "{body}");
        assert!(!points.is_empty(), "{body}");
    }
    // A byte order mark begins no name.
    let mut points = Vec::new();
    let page = Page::Text(TextFormat::Prometheus, b"\xef\xbb\xbfa 1\n");
    let error = series(&rules).page(page, 1000, 1000, &mut points).error.unwrap();
    assert!(error.to_string().starts_with("line 1: expected a metric name"), "{error}");
}
