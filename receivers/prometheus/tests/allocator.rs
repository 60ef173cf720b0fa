//! The target allocator's protocol, against one played here (PROM-39).

use std::sync::Mutex;

use bytes::Bytes;
use http::{Response, StatusCode};
use weir_testkit::mock::MockServer;

use super::*;

/// Answers as the allocator does: jobs from `jobs`, one target for each.
fn allocator(jobs: Arc<Mutex<Option<String>>>, target: String) -> MockServer {
    MockServer::start(move |request| {
        if request.uri.path() == "/scrape_configs" {
            let jobs = jobs.lock().unwrap().clone();
            let mut answer = Response::new(Bytes::from(jobs.clone().unwrap_or_default()));
            if jobs.is_none() {
                *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            return answer;
        }
        let body = format!(r#"[{{"targets":["{target}"],"labels":{{"zone":"z"}}}}]"#);
        let mut answer = Response::new(Bytes::from(body));
        let headers = answer.headers_mut();
        headers.insert("content-type", "application/json".parse().unwrap());
        answer
    })
    .unwrap()
}

fn job_names(points: &[Point]) -> String {
    let attributes = &points[0].series.resource().attributes;
    attributes.get("service.name").unwrap().to_text().into_owned()
}

#[tokio::test]
async fn jobs_and_targets_come_from_the_allocator() {
    let target = MockServer::with_body("a 1\n").unwrap();
    let jobs = Arc::new(Mutex::new(None));
    let allocator = allocator(Arc::clone(&jobs), target.address().to_string());
    let times = "\"scrape_interval\":\"200ms\",\"scrape_timeout\":\"200ms\"";
    let yaml = format!(
        "target_allocator:\n  endpoint: {}\n  interval: 200ms\n  collector_id: pod-1\n  http_scrape_config: {{authorization: {{credentials: t}}}}\n",
        allocator.url()
    );
    let mut scraper = Scraper::start(&yaml).await;
    // Nothing while the allocator has no jobs; then those that it has.
    let asked = |requests: &[weir_testkit::mock::Recorded]| !requests.is_empty();
    allocator.wait(Duration::from_secs(10), asked).await;
    *jobs.lock().unwrap() = Some(format!(
        r#"{{"one / two": {{"job_name":"one / two",{times},"kubernetes_sd_configs":[{{"role":"pod"}}],
           "relabel_configs":[{{"source_labels":["zone"],"target_label":"shard","replacement":"s$(SHARD)"}}]}}}}"#
    ));
    let points = scraper.next().await;
    assert_eq!(job_names(&points), "one / two");
    let up = points.iter().find(|p| &*p.series.metric().name == "up").unwrap();
    let label = |name: &str| up.series.labels().get(name).map(|v| v.to_text().into_owned());
    assert_eq!(label("shard").as_deref(), Some("s0"));
    assert_eq!(label("zone").as_deref(), Some("z"));
    let requests = allocator.requests();
    let asked = requests.iter().find(|r| r.uri.path().starts_with("/jobs/")).unwrap();
    assert_eq!(asked.uri, "/jobs/one+%2F+two/targets?collector_id=pod-1");
    assert_eq!(target.requests()[0].header("authorization"), "Bearer t");

    // An answer that is not valid changes nothing.
    *jobs.lock().unwrap() = Some(r#"{"x": {"job_nam": "x"}}"#.to_owned());
    let before = allocator.requests().len();
    allocator
        .wait(Duration::from_secs(10), |r| r.len() > before + 4)
        .await;
    while let Ok(batch) = scraper.batches.try_recv() {
        assert_eq!(job_names(&points_of(batch)), "one / two");
    }

    // A job that is gone turns stale, a new one is scraped.
    *jobs.lock().unwrap() = Some(format!(r#"{{"three": {{"job_name":"three",{times}}}}}"#));
    let (mut stale, mut new) = (false, false);
    while !(stale && new) {
        let points = scraper.next().await;
        match job_names(&points).as_str() {
            "three" => new = true,
            _ => stale |= value(&points, "up") == "stale",
        }
    }
    scraper.end().await;
}

/// A job that is changed goes on under its new keys, and nothing of it turns stale meanwhile.
#[tokio::test]
async fn a_changed_job_is_replaced_without_stale_markers() {
    let target = MockServer::with_body("a 1\nb 2\n").unwrap();
    let job = |rules: &str| {
        format!(
            r#"{{"j": {{"job_name":"j","scrape_interval":"100ms","scrape_timeout":"100ms","metric_relabel_configs":[{rules}]}}}}"#
        )
    };
    let jobs = Arc::new(Mutex::new(Some(job(""))));
    let allocator = allocator(Arc::clone(&jobs), target.address().to_string());
    let yaml = format!(
        "target_allocator: {{endpoint: '{}', interval: 100ms, collector_id: c}}\n",
        allocator.url()
    );
    let mut scraper = Scraper::start(&yaml).await;
    assert_eq!(value(&scraper.next().await, "b"), "Some(2.0)");
    *jobs.lock().unwrap() = Some(job(
        r#"{"source_labels":["__name__"],"regex":"b","action":"drop"}"#,
    ));
    let mut without = 0;
    while without < 5 {
        let points = scraper.next().await;
        assert_ne!(value(&points, "a"), "stale");
        without += usize::from(value(&points, "b") == "missing");
    }
    scraper.end().await;
}

/// Of two targets the changed job has one: the other one turns stale, as if discovery had lost it.
#[tokio::test]
async fn a_target_that_a_changed_job_drops_turns_stale() {
    let [stays, goes] = [(); 2].map(|()| MockServer::with_body("a 1\n").unwrap());
    let job = |rules: &str| {
        format!(
            r#"{{"j": {{"job_name":"j","scrape_interval":"100ms","scrape_timeout":"100ms","relabel_configs":[{rules}]}}}}"#
        )
    };
    let jobs = Arc::new(Mutex::new(Some(job(""))));
    let both = format!("{}\",\"{}", stays.address(), goes.address());
    let allocator = allocator(Arc::clone(&jobs), both);
    let yaml = format!(
        "target_allocator: {{endpoint: '{}', interval: 100ms, collector_id: c}}\n",
        allocator.url()
    );
    let mut scraper = Scraper::start(&yaml).await;
    goes.wait(Duration::from_secs(10), |r| r.len() > 2).await;
    stays.wait(Duration::from_secs(10), |r| r.len() > 2).await;
    *jobs.lock().unwrap() = Some(job(&format!(
        r#"{{"source_labels":["__address__"],"regex":"{}","action":"drop"}}"#,
        goes.address()
    )));
    loop {
        let points = scraper.next().await;
        if value(&points, "a") == "stale" {
            let instance = points[0].series.resource().attributes.get("service.instance.id");
            assert_eq!(instance.unwrap().to_text(), goes.address().to_string());
            assert_eq!(value(&points, "up"), "stale");
            break;
        }
    }
    // what stays is scraped by the new job, and did not turn stale
    let before = stays.requests().len();
    stays.wait(Duration::from_secs(10), |r| r.len() > before + 3).await;
    for _ in 0..3 {
        assert_ne!(value(&scraper.next().await, "a"), "stale");
    }
    scraper.end().await;
}

/// A job that is configured here as well is an answer that cannot be used.
#[tokio::test]
async fn configured_jobs_stand_beside_those_of_the_allocator() {
    let target = MockServer::with_body("a 1\n").unwrap();
    let jobs = Arc::new(Mutex::new(Some(r#"{"app": {"job_name":"app"}}"#.to_owned())));
    let allocator = allocator(jobs, "unused:1".to_owned());
    let yaml = format!(
        "target_allocator: {{endpoint: '{}', interval: 100ms, collector_id: c}}\n{}",
        allocator.url(),
        job_of(&target.address().to_string(), "")
    );
    let mut scraper = Scraper::start(&yaml).await;
    allocator.wait(Duration::from_secs(10), |r| r.len() > 2).await;
    assert_eq!(value(&scraper.next().await, "a"), "Some(1.0)");
    scraper.end().await;
    assert!(allocator.requests().iter().all(|r| r.uri.path() == "/scrape_configs"));
}
