//! Loops, limits and what becomes of targets.

use weir_testkit::mock::MockServer;

use super::*;
use crate::prometheus::target::Target;
use crate::prometheus::worker::first_wait;

/// PROM-19: the phase is a function of target and host, and of the clock.
#[test]
fn phases_stay_over_a_restart_and_differ_over_targets() {
    let interval = Duration::from_secs(60);
    let second = 1_000_000_000;
    let phase = |key: &str, seed: u64, now: u64| {
        let wait = first_wait(key, seed, interval, now * second);
        assert!(wait <= interval);
        (now * second + u64::try_from(wait.as_nanos()).unwrap()) % (60 * second)
    };
    assert_eq!(phase("a", 1, 1000), phase("a", 1, 1007));
    let phases: std::collections::BTreeSet<u64> = (0..50)
        .map(|number| phase(&format!("target {number}"), 1, 1000))
        .collect();
    assert_eq!(phases.len(), 50);
    assert_ne!(phase("a", 1, 1000), phase("a", 2, 1000), "hosts differ");
}

/// PROM-21, PROM-22: the first scrape is within one interval and the offset; one more at the end.
#[tokio::test]
async fn the_first_scrape_is_soon_and_the_last_one_at_shutdown() {
    let server = MockServer::with_body("a 1\n").unwrap();
    let address = server.address().to_string();
    let start = tokio::time::Instant::now();
    let yaml = job_of(&address, "")
        .replace("100ms", "500ms")
        .replace("config:\n", "discovery_reload_on_startup: true\ninitial_scrape_offset: 1s\nscrape_on_shutdown: true\nconfig:\n");
    let mut scraper = Scraper::start(&yaml).await;
    scraper.next().await;
    let waited = start.elapsed();
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
    assert!(waited < Duration::from_secs(3), "{waited:?}");
    let before = server.requests().len();
    let by = Deadline::after(Duration::from_secs(10));
    scraper.stop.stop(by);
    let points = scraper.next().await;
    assert_eq!(value(&points, "a"), "Some(1.0)");
    assert!(scraper.cx.tasks.finished(by).await);
    assert_eq!(server.requests().len(), before + 1);
    assert!(scraper.batches.try_recv().is_err(), "and nothing turns stale");
}

/// PROM-45
#[tokio::test]
async fn too_many_targets_fail_all() {
    let server = MockServer::with_body("a 1\n").unwrap();
    let address = server.address().to_string();
    let targets = format!("{address}', 'localhost:{}", server.address().port());
    let mut scraper = Scraper::start(&job_of(&targets, "target_limit: 1")).await;
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 2 {
        let points = scraper.next().await;
        assert_eq!(value(&points, "up"), "Some(0.0)");
        seen.insert(instance_of(&points));
    }
    scraper.end().await;
    assert!(server.requests().is_empty());
}

/// PROM-47
#[tokio::test]
async fn synthetic_series_and_those_of_extra_scrape_metrics() {
    let server = MockServer::with_body("a 1\nb 2\nb 3\n").unwrap();
    let address = server.address().to_string();
    let keys = "metric_relabel_configs: [{source_labels: [__name__], regex: 'a|up', action: drop}]";
    for extra in [false, true] {
        let keys = format!("{keys}\nextra_scrape_metrics: {extra}\nsample_limit: 7");
        let mut scraper = Scraper::start(&job_of(&address, &keys)).await;
        let points = scraper.next().await;
        let mut expected = vec![
            ("up", "Some(1.0)"),
            ("scrape_samples_scraped", "Some(3.0)"),
            ("scrape_samples_post_metric_relabeling", "Some(2.0)"),
            ("scrape_series_added", "Some(1.0)"),
        ];
        let others = [
            ("scrape_timeout_seconds", "Some(0.1)"),
            ("scrape_sample_limit", "Some(7.0)"),
            ("scrape_body_size_bytes", "Some(12.0)"),
        ];
        if extra {
            expected.extend(others);
        } else {
            expected.extend(others.map(|(name, _)| (name, "missing")));
        }
        for (name, expected) in expected {
            assert_eq!(value(&points, name), expected, "{name}");
        }
        assert!(value(&points, "scrape_duration_seconds").starts_with("Some(0."));
        scraper.end().await;
    }
}

/// PROM-49: markers come two intervals after the target went, and none when the program ends.
#[tokio::test]
async fn a_target_that_goes_turns_stale() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.json");
    let server = MockServer::with_body("a 1\n").unwrap();
    let write = |targets: &str| {
        let temporary = folder.path().join("new");
        std::fs::write(&temporary, format!(r#"[{{"targets":[{targets}]}}]"#)).unwrap();
        std::fs::rename(&temporary, &file).unwrap();
    };
    write(&format!("\"{}\"", server.address()));
    let yaml = job_of("unused:1", "").replace(
        "static_configs: [{targets: ['unused:1']}]",
        &format!("file_sd_configs: [{{files: ['{}'], refresh_interval: 1s}}]", file.display()),
    );
    let mut scraper = Scraper::start(&yaml).await;
    assert_eq!(value(&scraper.next().await, "a"), "Some(1.0)");
    write("");
    let points = loop {
        let points = scraper.next().await;
        if value(&points, "a") == "stale" {
            break points;
        }
    };
    assert_eq!(value(&points, "up"), "stale");
    assert_eq!(value(&points, "scrape_duration_seconds"), "stale");
    scraper.end().await;
}

/// Refuses everything.
struct Refusing;

impl Consumer for Refusing {
    fn consume(&self, _: Batch) -> BoxFut<'_, Result<(), Reject>> {
        Box::pin(async { Err(Reject::retry("full", "no room")) })
    }
}

/// PROM-75
#[tokio::test]
async fn refused_batches_are_counted_and_the_loop_goes_on() {
    let server = MockServer::with_body("a 1\n").unwrap();
    let cx = context();
    let yaml = job_of(&server.address().to_string(), "");
    let (stop, running) = start_with(&yaml, cx.clone(), Arc::new(Refusing)).await;
    let requests = server.wait(Duration::from_secs(20), |r| r.len() >= 3).await;
    assert!(requests.len() >= 3);
    let by = Deadline::after(Duration::from_secs(10));
    stop.stop(by);
    running.await.unwrap();
    assert!(cx.tasks.finished(by).await);
    let refused = cx
        .telemetry
        .total("otelcol_receiver_refused_metric_points");
    assert!(refused >= 12.0, "two scrapes of six points each: {refused}");
    assert_eq!(
        cx.telemetry
            .total("otelcol_receiver_accepted_metric_points"),
        0.0
    );
}

/// PROM-74
#[test]
fn a_rule_that_renames_metrics_gives_a_warning() {
    let yaml = job(
        "      metric_relabel_configs:\n        - {source_labels: [a], target_label: __name__}\n        - {source_labels: [a], target_label: b}\n",
    );
    let source = Source::new("test.yaml", &yaml, Origin::Document);
    let node = parse_yaml(&source).unwrap();
    let decoded = decode_and_validate::<Config>(&node, "receivers.prometheus").unwrap();
    let warnings: Vec<String> = decoded.warnings.iter().map(|w| w.path.clone()).collect();
    let path = "receivers.prometheus.config.scrape_configs[0].metric_relabel_configs";
    assert_eq!(warnings, [format!("{path}[0]")]);
}

/// PROM-04: dollars as the collector's substitution leaves them to the relabelling rules.
#[test]
fn dollars_in_rules() {
    struct NoVariables;
    impl weir_config::Environment for NoVariables {
        fn get(&self, _: &str) -> Option<String> {
            None
        }
    }
    let relabelled = |replacement: &str| -> Result<String, String> {
        let rule = format!(
            "relabel_configs: [{{source_labels: [__address__], regex: '(.)(.).*', target_label: x, replacement: '{replacement}'}}]"
        );
        let text = format!("yaml:{}", job_of("ab:1", &rule));
        let loaded = weir_config::load(&[text], &[], &NoVariables, &weir_config::NoFetch)
            .map_err(|errors| errors.to_string())?;
        let decoded = decode_and_validate::<Config>(&loaded.root, "")
            .map_err(|errors| format!("{errors:?}"))?;
        let section = decoded.value.config.0;
        let scope = Default::default();
        let rules = JobRules::new(&section.global, &section.scrape_configs[0], false, scope);
        let labels = [("__address__".to_owned(), "ab:1".to_owned())];
        let target = Target::new(&rules.unwrap(), &labels).unwrap().unwrap();
        Ok(target.labels.get("x").to_owned())
    };
    for (replacement, result) in [
        ("$1", "a"),
        ("$$1", "a"),
        ("$${1}", "a"),
        ("$$$$1", "$1"),
        ("$1_$2", "b"),
    ] {
        assert_eq!(relabelled(replacement).as_deref(), Ok(result), "{replacement}");
    }
    assert!(relabelled("${1}").unwrap_err().contains("${1}"));
}

/// PROM-05: across the configuration and the files that it names.
#[tokio::test]
async fn a_job_of_a_file_may_not_have_a_configured_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.yml");
    std::fs::write(&file, "scrape_configs: [{job_name: app}]\n").unwrap();
    let yaml = format!(
        "{}  scrape_config_files: ['{}']\n",
        job_of("h:1", ""),
        file.display()
    );
    let receiver = Kind::build(config(&yaml).unwrap(), context()).await.unwrap();
    let out = Outputs {
        metrics: Some(Arc::new(Refusing)),
        ..Outputs::default()
    };
    let error = receiver.start(out, Stop::default()).await.err().unwrap();
    let text = "found multiple scrape configs with job name \"app\"";
    assert!(error.0.contains(text), "{}", error.0);
}

/// The rules of `examples/kubernetes/statefulset.yaml`: each target has exactly one of the replicas.
#[test]
fn replicas_share_the_targets() {
    struct Pod(usize);
    impl weir_config::Environment for Pod {
        fn get(&self, name: &str) -> Option<String> {
            match name {
                "REPLICAS" => Some("3".to_owned()),
                "POD_NAME" => Some(format!("weir-scraper-{}", self.0)),
                _ => None,
            }
        }
    }
    let manifest = include_str!("../../../examples/kubernetes/statefulset.yaml");
    let (_, rest) = manifest.split_once("    receivers:\n      prometheus:\n").unwrap();
    let (section, _) = rest.split_once("    processors:\n").unwrap();
    let section: String = section
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("        ").unwrap()))
        .collect();
    let kept = |pod: usize| -> Vec<bool> {
        let text = format!("yaml:{section}");
        let loaded = weir_config::load(&[text], &[], &Pod(pod), &weir_config::NoFetch).unwrap();
        let section = decode_and_validate::<Config>(&loaded.root, "").unwrap().value.config.0;
        let scope = Default::default();
        let rules =
            JobRules::new(&section.global, &section.scrape_configs[0], false, scope).unwrap();
        let target = |n: usize| {
            let labels = [
                ("__address__".to_owned(), format!("10.0.{}.{}:8080", n / 250, n % 250)),
                (
                    "__meta_kubernetes_pod_annotation_prometheus_io_scrape".to_owned(),
                    "true".to_owned(),
                ),
            ];
            Target::new(&rules, &labels).unwrap().is_some()
        };
        (0..600).map(target).collect()
    };
    let shares: Vec<Vec<bool>> = (0..3).map(kept).collect();
    for n in 0..600 {
        assert_eq!(shares.iter().filter(|share| share[n]).count(), 1, "target {n}");
    }
    for share in shares {
        let size = share.iter().filter(|kept| **kept).count();
        assert!((150..=250).contains(&size), "{size}");
    }
}
