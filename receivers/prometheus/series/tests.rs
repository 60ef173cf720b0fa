#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use proptest::prelude::*;
use weir_prom::exposition::NameScheme;
use weir_prom::relabel::RelabelConfig;

const NOW: i64 = 1_700_000_000_000;

fn rules() -> PageRules {
    PageRules {
        series: SeriesRules {
            scope: ("receiver".into(), "1".into()),
            ..SeriesRules::default()
        },
        honor_timestamps: true,
        track_timestamps_staleness: false,
        forms: HistogramForms::default(),
        native_buckets: 0,
        max_schema: 8,
    }
}

fn relabel(json: &str) -> Vec<weir_prom::relabel::RelabelRule> {
    let rules: Vec<RelabelConfig> = serde_json::from_str(json).unwrap();
    rules
        .iter()
        .map(|rule| rule.compile(NameScheme::Utf8).unwrap())
        .collect()
}

fn labels(labels: &[(&'static str, &'static str)]) -> LabelSet {
    labels.iter().copied().collect()
}

/// A target with its scrapes.
struct Target {
    series: TargetSeries,
    scrape: i64,
}

impl Target {
    fn new(rules: PageRules) -> Self {
        let labels = labels(&[("job", "app"), ("instance", "h:1")]);
        let discovered = DiscoveredAttributes::default();
        let interner = Arc::new(Interner::default());
        let series = TargetSeries::new(Arc::new(rules), interner, labels, discovered, 1);
        Self { series, scrape: 0 }
    }

    /// Scrapes a page; the points as text, and the outcome. Scrape `n` has the time `n` seconds.
    fn page(&mut self, page: Page<'_>) -> (Vec<String>, Outcome) {
        self.scrape += 1;
        let mut points = self.series.points();
        let outcome = self.series.page(page, self.scrape * 1000, NOW, &mut points);
        let mut lines: Vec<String> = points.iter().map(show).collect();
        lines.sort();
        (lines, outcome)
    }

    fn text(&mut self, body: &str) -> Vec<String> {
        let (lines, outcome) = self.page(Page::Text(TextFormat::Prometheus, body.as_bytes()));
        assert_eq!(outcome.error, None);
        lines
    }

    fn open_metrics(&mut self, body: &str) -> Vec<String> {
        let (lines, outcome) = self.page(Page::Text(TextFormat::OpenMetrics, body.as_bytes()));
        assert_eq!(outcome.error, None);
        lines
    }

    fn outcome(&mut self, body: &str) -> (Vec<String>, Outcome) {
        self.page(Page::Text(TextFormat::Prometheus, body.as_bytes()))
    }

    fn counts(&mut self, body: &str) -> (u64, u64, u64) {
        let (_, outcome) = self.outcome(body);
        (
            outcome.counts.scraped,
            outcome.counts.after_relabelling,
            outcome.counts.added,
        )
    }

    fn no_page(&mut self) -> Vec<String> {
        self.scrape += 1;
        let mut points = Vec::new();
        self.series.no_page(self.scrape * 1000, &mut points);
        let mut lines: Vec<String> = points.iter().map(show).collect();
        lines.sort();
        lines
    }
}

/// `name kind{labels} value @seconds`, with what else the point has.
fn show(point: &Point) -> String {
    let metric = point.series.metric();
    let labels: Vec<String> = point
        .series
        .labels()
        .iter()
        .map(|(n, v)| format!("{n}={}", v.to_text()))
        .collect();
    let value = match &point.value {
        PointValue::Double(value) => format!("{value}"),
        PointValue::Histogram(h) => {
            format!(
                "{:?}/{:?} n={} sum={:?}",
                h.explicit_bounds, h.bucket_counts, h.count, h.sum
            )
        }
        PointValue::Summary(s) => format!("{:?} n={} sum={}", s.quantiles, s.count, s.sum),
        other => format!("{other:?}"),
    };
    let mut text = format!(
        "{} {}{{{}}} {value} @{}",
        metric.name,
        metric.metadata.get("prometheus.type").unwrap().to_text(),
        labels.join(","),
        point.time_ns / 1_000_000_000
    );
    if point.start_ns != 0 {
        text.push_str(&format!(" from {}", point.start_ns / 1_000_000_000));
    }
    if point.is_stale() {
        text.push_str(" stale");
    }
    for exemplar in point.exemplars() {
        text.push_str(&format!(
            " # {:?} @{}",
            exemplar.value.unwrap(),
            exemplar.time_ns / 1_000_000
        ));
    }
    text
}

const PAGE: &str = "# HELP c_total Requests.\n# TYPE c_total counter\nc_total{code=\"200\"} 5\n\
     # TYPE h histogram\nh_bucket{le=\"0.1\"} 1\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 4\nh_sum 2.5\nh_count 4\n\
     # TYPE s summary\ns{quantile=\"0.5\"} 7\ns_sum 9\ns_count 2\nplain 1\n";

#[test]
fn types_and_values() {
    let mut target = Target::new(rules());
    let expected = |seconds: i64| {
        vec![
            format!("c_total counter{{code=200}} 5 @{seconds}"),
            format!("h histogram{{}} [0.1, 1.0]/[1, 2, 1] n=4 sum=Some(2.5) @{seconds}"),
            format!("plain unknown{{}} 1 @{seconds}"),
            format!("s summary{{}} [(0.5, 7.0)] n=2 sum=9 @{seconds}"),
        ]
    };
    assert_eq!(target.text(PAGE), expected(1));
    assert_eq!(target.text(PAGE), expected(2), "known lines give the same");
}

#[test]
fn counts_of_scrapes() {
    let mut target = Target::new(rules());
    assert_eq!(target.counts(PAGE), (10, 10, 10));
    assert_eq!(target.counts(PAGE), (10, 10, 0));
    assert_eq!(target.counts("plain 1\nnew 2\n"), (2, 2, 1));
    target.no_page();
    assert_eq!(
        target.counts("plain 1\nnew 2\n"),
        (2, 2, 0),
        "a failure forgets nothing"
    );
}

/// PROM-48, PROM-50
#[test]
fn series_that_vanish_turn_stale_once() {
    let mut target = Target::new(rules());
    target.text(&format!("{PAGE}timed 1 1000\n"));
    assert_eq!(
        target.text("plain 1\n"),
        [
            "c_total counter{code=200} Empty @2 stale",
            "h histogram{} [0.1, 1.0]/[0, 0, 0] n=0 sum=None @2 stale",
            "plain unknown{} 1 @2",
            "s summary{} [(0.5, 0.0)] n=0 sum=0 @2 stale",
        ]
    );
    assert_eq!(target.text("plain 1\n"), ["plain unknown{} 1 @3"]);
    assert_eq!(target.no_page(), ["plain unknown{} Empty @4 stale"]);
    assert_eq!(target.no_page(), Vec::<String>::new());
    assert_eq!(target.text("plain 1\n"), ["plain unknown{} 1 @6"]);
}

#[test]
fn timestamps() {
    let mut target = Target::new(PageRules {
        track_timestamps_staleness: true,
        ..rules()
    });
    assert_eq!(target.text("a 1 500000\n"), ["a unknown{} 1 @500"]);
    assert_eq!(target.text(""), ["a unknown{} Empty @2 stale"]);
    let mut target = Target::new(PageRules {
        honor_timestamps: false,
        ..rules()
    });
    assert_eq!(target.text("a 1 500000\n"), ["a unknown{} 1 @1"]);

    let mut target = Target::new(rules());
    let ahead = format!("a 1 {}\nb 1\n", NOW + 11 * 60 * 1000);
    let (lines, outcome) = target.outcome(&ahead);
    assert_eq!(lines, ["b unknown{} 1 @1"]);
    assert_eq!(
        outcome.left_out,
        LeftOut {
            ahead: 1,
            ..LeftOut::default()
        }
    );
    assert_eq!(
        outcome.counts,
        Counts {
            scraped: 2,
            after_relabelling: 2,
            added: 1
        }
    );

    let (lines, outcome) =
        target.outcome("# TYPE h histogram\nh_bucket{le=\"1\"} 1 5000\nh_count 1\nh_sum 1 5000\n");
    assert_eq!(lines, ["b unknown{} Empty @2 stale"]);
    assert_eq!(outcome.left_out.other_time, 1);
}

/// The odd histograms of the conformance kit.
#[test]
fn odd_histograms() {
    let mut target = Target::new(rules());
    let lines = target.text(
        "# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 2\na_count 3\n\
         # TYPE b histogram\nb_bucket{le=\"+Inf\"} 4\nb_count 4\n\
         # TYPE c histogram\nc_bucket{le=\"2\"} 5\nc_bucket{le=\"1\"} 3\nc_bucket{le=\"+Inf\"} 6\nc_sum 1\nc_count 6\n\
         # TYPE d histogram\nd_bucket{le=\"1\"} 2\nd_bucket{le=\"+Inf\"} 2\nd_sum 3\n\
         # TYPE e summary\ne_count 3\n# TYPE f summary\nf{quantile=\"0.5\"} 3\n",
    );
    assert_eq!(
        lines,
        [
            "a histogram{} [1.0]/[1, 2] n=3 sum=Some(2.0) @1",
            "b histogram{} []/[4] n=4 sum=None @1",
            "c histogram{} [1.0, 2.0]/[3, 2, 1] n=6 sum=Some(1.0) @1",
            "e summary{} [] n=3 sum=0 @1",
        ]
    );
    let (lines, outcome) = target.outcome(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 5\nh_bucket{le=\"2\"} 3\nh_count 6\nh_bucket 1\nh_bucket{le=\"x\"} 1\n\
         # TYPE n histogram\nn_bucket{le=\"1\"} NaN\nn_count 6\n",
    );
    assert!(
        lines.contains(&format!("h histogram{{}} [1.0, 2.0]/[5, {}, 3] n=6 sum=None @2", u64::MAX - 1)),
        "the counts of falling buckets wrap round, so that their sums are those of the page: {lines:?}"
    );
    assert!(
        !lines.iter().any(|line| line.starts_with("n ")),
        "a bucket that holds no number makes no point"
    );
    assert_eq!(
        (outcome.left_out.invalid, outcome.left_out.unusable),
        (1, 2)
    );
}

#[test]
fn buckets_come_and_go() {
    let mut target = Target::new(rules());
    let page = |buckets: &str| format!("# TYPE h histogram\n{buckets}h_count 9\n");
    target.text(&page("h_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 2\n"));
    assert_eq!(
        target.text(&page("h_bucket{le=\"1\"} 1\nh_bucket{le=\"1.5\"} 2\n")),
        ["h histogram{} [1.0, 1.5]/[1, 1, 7] n=9 sum=None @2"]
    );
    assert_eq!(
        target.text(&page("h_bucket{le=\"0.5\"} 1\nh_bucket{le=\"2\"} 2\n")),
        ["h histogram{} [0.5, 2.0]/[1, 1, 7] n=9 sum=None @3"]
    );
    assert_eq!(target.series.groups(), 1);
    target.text("other 1\n");
    assert_eq!(target.series.groups(), 0);
}

#[test]
fn open_metrics_start_times_and_exemplars() {
    let mut target = Target::new(rules());
    let page = "# TYPE reqs counter\n\
         reqs_total{p=\"/\"} 3 # {trace_id=\"0102\"} 0.5 7\nreqs_created{p=\"/\"} 100\n\
         # TYPE late counter\nlate_total 1\nlate_total{x=\"y\"} 2\nlate_created{x=\"y\"} 300\nlate_created 200\n\
         # TYPE lat histogram\nlat_bucket{le=\"1\"} 3 # {} 0.25 8.5\nlat_bucket{le=\"+Inf\"} 8 # {} 7.5\nlat_count 8\nlat_created 400.5\n\
         # TYPE q summary\nq_count 4 # {} 1\nq_created 500\n\
         # TYPE build info\nbuild_info{v=\"1\"} 1\n# TYPE state stateset\nstate{state=\"on\"} 1\n\
         # TYPE gh gaugehistogram\ngh_bucket{le=\"1\"} 2\ngh_gcount 2\n# EOF\n";
    for seconds in 1..3 {
        assert_eq!(
            target.open_metrics(page),
            [
                &*format!("build info{{v=1}} 1 @{seconds}"),
                &*format!("gh gaugehistogram{{le=1}} 2 @{seconds}"),
                &*format!("gh_gcount unknown{{}} 2 @{seconds}"),
                &*format!(
                    "lat histogram{{}} [1.0]/[3, 5] n=8 sum=None @{seconds} from 400 # Double(0.25) @8500 # Double(7.5) @{}",
                    seconds * 1000
                ),
                &*format!("late_total counter{{x=y}} 2 @{seconds} from 300"),
                &*format!("late_total counter{{}} 1 @{seconds} from 200"),
                &*format!("q summary{{}} [] n=4 sum=0 @{seconds} from 500"),
                &*format!("reqs_total counter{{p=/}} 3 @{seconds} from 100 # Double(0.5) @7000"),
                &*format!("state stateset{{state=on}} 1 @{seconds}"),
            ]
        );
    }
    assert!(
        target
            .open_metrics("# EOF")
            .iter()
            .all(|line| !line.contains("from"))
    );
}

#[test]
fn honor_labels() {
    let page = "g{job=\"own\",instance=\"mine\",k=\"v\",empty=\"\"} 1\ng{job=\"\",k=\"w\"} 2\n";
    let mut target = Target::new(rules());
    assert_eq!(
        target.text(page),
        [
            "g unknown{exported_instance=mine,exported_job=own,k=v} 1 @1",
            "g unknown{k=w} 2 @1"
        ]
    );
    let mut honoring = rules();
    honoring.series.honor_labels = true;
    let mut target = Target::new(honoring);
    let mut points = Vec::new();
    let page = Page::Text(TextFormat::Prometheus, page.as_bytes());
    assert_eq!(target.series.page(page, 1000, NOW, &mut points).error, None);
    let owners: Vec<String> = points
        .iter()
        .map(|point| {
            let resource = &point.series.resource().attributes;
            format!(
                "{} {} {:?}",
                resource.get("service.name").unwrap().to_text(),
                resource.get("service.instance.id").unwrap().to_text(),
                point.series.labels().get("k").unwrap().to_text()
            )
        })
        .collect();
    assert_eq!(owners, ["own mine \"v\"", "app h:1 \"w\""]);
}

#[test]
fn exported_labels_find_a_free_name() {
    let mut set = labels(&[
        ("job", "a"),
        ("exported_job", "b"),
        ("exported_exported_job", "c"),
    ]);
    resolve::add_target_labels(
        &mut set,
        &labels(&[("job", "app"), ("exported_job", "app2")]),
        false,
    );
    assert_eq!(
        set.to_string(),
        "{exported_exported_exported_exported_job=\"b\", exported_exported_exported_job=\"a\", \
         exported_exported_job=\"c\", exported_job=\"app2\", job=\"app\"}"
    );
}

#[test]
fn metric_relabelling() {
    let mut dropping = rules();
    dropping.series.relabel = relabel(
        r#"[{"source_labels":["__name__"],"regex":"drop_.*","action":"drop"},
            {"regex":"pod","action":"labeldrop"}]"#,
    );
    let mut target = Target::new(dropping);
    let page = "drop_me 1\nkeep{pod=\"a\"} 1\nkeep{pod=\"b\"} 2\n";
    for seconds in 1..3 {
        let (lines, outcome) = target.outcome(page);
        // Series that relabelling makes equal are sent once, with the last value.
        assert_eq!(lines, [format!("keep unknown{{}} 2 @{seconds}")]);
        assert_eq!(
            (outcome.counts.scraped, outcome.counts.after_relabelling),
            (3, 2)
        );
    }
    assert_eq!(
        target.text("keep{pod=\"a\"} 1\n"),
        ["keep unknown{} 1 @3"],
        "not stale"
    );
    assert_eq!(
        target.text("keep{pod=\"c\"} 3\n"),
        ["keep unknown{} 3 @4"],
        "not stale"
    );
    assert_eq!(
        target.text("other 1\n"),
        ["keep unknown{} Empty @5 stale", "other unknown{} 1 @5"]
    );
}

#[test]
fn external_labels_are_on_everything_and_exemplars_stay() {
    let mut external = rules();
    external.series.external_labels =
        vec![("cluster".into(), "c1".into()), ("k".into(), "o".into())];
    let mut target = Target::new(external);
    assert_eq!(
        target.open_metrics("g{k=\"v\"} 1 # {} 2 3\n# EOF"),
        ["g unknown{cluster=c1,k=o} 1 @1 # Double(2.0) @3000"]
    );
    let mut points = Vec::new();
    target.series.synthetic("up", 1.0, 1000, &mut points);
    assert_eq!(show(&points[0]), "up gauge{cluster=c1,k=o} 1 @1");
}

/// Labels that external ones override may be all that told two series apart.
#[test]
fn series_that_external_labels_make_equal_are_sent_once() {
    let mut external = rules();
    external.series.external_labels = vec![("region".into(), "eu".into())];
    let mut target = Target::new(external);
    for seconds in 1..3 {
        assert_eq!(
            target.text("g{region=\"us\"} 1\ng 2\n"),
            [format!("g unknown{{region=eu}} 2 @{seconds}")]
        );
    }
}

/// PROM-43, and which series turn stale then, as the conformance kit has it.
#[test]
fn sample_limit() {
    let mut limited = rules();
    limited.series.limits.samples = 2;
    let mut target = Target::new(limited);
    target.text("a 1\nb 2\n");
    let (lines, outcome) = target.outcome("a 1\nb 2\nc 3\n");
    assert_eq!(
        lines,
        Vec::<String>::new(),
        "series seen before the limit are not stale"
    );
    assert_eq!(outcome.error, Some(PageError::SampleLimit(3)));
    assert_eq!(
        outcome.counts,
        Counts {
            scraped: 3,
            after_relabelling: 3,
            added: 0
        }
    );
    assert_eq!(
        target.text("a 5\n"),
        ["a unknown{} 5 @3", "b unknown{} Empty @3 stale"]
    );
}

#[test]
fn label_limits_and_names() {
    for (limits, scheme, page, message) in [
        (
            Limits {
                labels: 3,
                ..Limits::default()
            },
            NameScheme::Utf8,
            "a{b=\"1\"} 1\n",
            "line 1: label_limit exceeded: metric a has 4 labels, the limit is 3",
        ),
        (
            Limits {
                name_length: 8,
                ..Limits::default()
            },
            NameScheme::Utf8,
            "ok 1\na{long_label=\"1\"} 1\n",
            "line 2: label_name_length_limit exceeded: long_label of metric a, the limit is 8",
        ),
        (
            Limits {
                value_length: 4,
                ..Limits::default()
            },
            NameScheme::Utf8,
            "a{b=\"12345\"} 1\n",
            "line 1: label_value_length_limit exceeded: b of metric a, the limit is 4",
        ),
        (
            Limits::default(),
            NameScheme::Legacy,
            "{\"a.b\"} 1\n",
            "line 1: metric name or label name not valid under metric_name_validation_scheme",
        ),
        (
            Limits::default(),
            NameScheme::Utf8,
            "a{b=\"1\",b=\"2\"} 1\n",
            "line 1: label `b` is given twice",
        ),
    ] {
        let mut limited = rules();
        limited.series.limits = limits;
        limited.series.name_scheme = scheme;
        let mut target = Target::new(limited);
        let (lines, outcome) = target.outcome(page);
        let error = outcome.error.unwrap().to_string();
        assert!(error.starts_with(message), "{error}");
        assert!(lines.is_empty());
    }
}

/// PROM-46: nothing of the page is used; series that it had before the bad line stay as they are.
#[test]
fn a_bad_line_fails_the_page() {
    let mut target = Target::new(rules());
    target.text("a 1\nb 1\nc 1\n");
    let (lines, outcome) = target.outcome("a 2\nbad line\nb 2\n");
    assert_eq!(
        lines,
        ["b unknown{} Empty @2 stale", "c unknown{} Empty @2 stale"]
    );
    let error = outcome.error.unwrap().to_string();
    assert_eq!(error, "line 2: the value is not a number in \"bad line\"");
    assert_eq!(outcome.counts.scraped, 1);
    assert_eq!(
        target.text("a 3\nb 3\n"),
        ["a unknown{} 3 @3", "b unknown{} 3 @3"],
        "c is stale already"
    );
}

/// PROM-42
#[test]
fn repeated_lines_count_but_are_left_out() {
    let mut target = Target::new(rules());
    for _ in 0..2 {
        let (lines, outcome) = target.outcome("a 1\na 2\nb 3\n");
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].starts_with("a unknown{} 1"),
            "the first value wins"
        );
        assert_eq!(outcome.left_out.repeated, 1);
        assert_eq!(
            (outcome.counts.scraped, outcome.counts.after_relabelling),
            (3, 3)
        );
    }
}

#[test]
fn metadata_may_change_between_scrapes() {
    let mut target = Target::new(rules());
    assert_eq!(target.text("# TYPE a gauge\na 1\nb_total 1\n").len(), 2);
    assert_eq!(
        target.text("# TYPE a counter\na 1\n# TYPE b_total counter\nb_total 2\n"),
        ["a counter{} 1 @2", "b_total counter{} 2 @2"]
    );
    assert_eq!(
        target
            .text("# TYPE a counter\na 1\n# TYPE b_total counter\nb_total 2\n")
            .len(),
        2,
        "nothing turns stale by it"
    );
    let lines = target.text("# TYPE b histogram\nb_bucket{le=\"1\"} 1\nb_count 1\n");
    assert_eq!(
        lines,
        [
            "a counter{} Empty @4 stale",
            "b histogram{} [1.0]/[1, 0] n=1 sum=None @4",
            "b_total counter{} Empty @4 stale"
        ]
    );
}

#[test]
fn target_info_is_on_all_points_of_a_good_scrape() {
    let mut target = Target::new(rules());
    let env = |points: &[Point]| -> Vec<String> {
        let mut found: Vec<String> = points
            .iter()
            .map(|point| {
                let value = point.series.resource().attributes.get("env");
                format!(
                    "{} {:?}",
                    point.series.metric().name,
                    value.map(|v| v.to_text().into_owned())
                )
            })
            .collect();
        found.sort();
        found
    };
    let page = |body: &'static str| Page::Text(TextFormat::Prometheus, body.as_bytes());
    for (body, expected) in [
        ("a 1\ntarget_info{env=\"x\"} 1\nb 1\n", "Some(\"x\")"),
        ("a 1\ntarget_info{env=\"x\"} 1\nb 1\n", "Some(\"x\")"),
        ("a 1\ntarget_info{env=\"y\"} 1\nb 1\n", "Some(\"y\")"),
        ("a 1\nb 1\n", "None"),
        ("a 1\ntarget_info{env=\"z\"} 1\nb 1\n", "Some(\"z\")"),
    ] {
        let mut points = Vec::new();
        let outcome = target.series.page(page(body), 1000, NOW, &mut points);
        assert_eq!(outcome.error, None);
        target.series.synthetic("up", 1.0, 1000, &mut points);
        let names: Vec<String> = ["a", "b", "up"]
            .iter()
            .map(|n| format!("{n} {expected}"))
            .collect();
        assert_eq!(env(&points), names, "{body}");
    }
    let mut points = Vec::new();
    target.series.no_page(2000, &mut points);
    target.series.synthetic("up", 0.0, 2000, &mut points);
    assert_eq!(
        env(&points),
        ["a None", "b None", "up None"],
        "not when the scrape fails"
    );
}

#[test]
fn scope_labels() {
    let mut target = Target::new(rules());
    let mut points = Vec::new();
    let body = "g{otel_scope_name=\"lib\",otel_scope_version=\"2\",otel_scope_schema_url=\"u\",otel_scope_k=\"v\",a=\"b\"} 1\nh 1\n";
    let page = Page::Text(TextFormat::Prometheus, body.as_bytes());
    target.series.page(page, 1000, NOW, &mut points);
    let scope = points[0].series.scope();
    assert_eq!(
        (&*scope.name, &*scope.version, &*scope.schema_url),
        ("lib", "2", "u")
    );
    assert_eq!(scope.attributes.get("k").unwrap().to_text(), "v");
    assert_eq!(show(&points[0]), "g unknown{a=b} 1 @1");
    assert_eq!(&*points[1].series.scope().name, "receiver");
}

/// PROM-51
#[test]
fn a_scraped_nan_is_no_stale_marker() {
    let mut target = Target::new(rules());
    let mut points = Vec::new();
    for body in ["a NaN\n", "a nan\n"] {
        points.clear();
        let page = Page::Text(TextFormat::Prometheus, body.as_bytes());
        target.series.page(page, 1000, NOW, &mut points);
        assert!(!points[0].is_stale());
        let value = points[0].value.as_f64().unwrap();
        assert_eq!(value.to_bits(), weir_prom::exposition::NORMAL_NAN_BITS);
    }
}

#[test]
fn classic_histograms_as_one_sample_each() {
    let mut whole = rules();
    whole.series.classic_as_native = true;
    let mut target = Target::new(whole);
    assert_eq!(target.counts(PAGE), (6, 6, 6));
    assert_eq!(target.counts(PAGE), (6, 6, 0));
    let lines = target.text(PAGE);
    assert!(lines.contains(&"h histogram{} [0.1, 1.0]/[1, 2, 1] n=4 sum=Some(2.5) @3".to_owned()));
}

#[test]
fn failing_pages_do_not_fill_the_cache() {
    let mut target = Target::new(rules());
    target.text("a 1\n");
    for round in 0..5 {
        let mut body: String = (0..900).map(|n| format!("x{round}_{n} 1\n")).collect();
        body.push_str("bad\n");
        let (_, outcome) = target.outcome(&body);
        assert!(outcome.error.is_some());
    }
    assert!(
        target.series.lines() <= 2 * 1000 + 900,
        "{}",
        target.series.lines()
    );
}

#[test]
fn gone_marks_everything() {
    let mut target = Target::new(rules());
    target.text("a 1\n");
    let mut points = Vec::new();
    target.series.gone(9000, &["up"], &mut points);
    let lines: Vec<String> = points.iter().map(show).collect();
    assert_eq!(
        lines,
        ["a unknown{} Empty @9 stale", "up gauge{} Empty @9 stale"]
    );
}

proptest! {
    /// Whatever a target sent before (but for a sum that vanishes alone), a page gives the points that a new target gives for it.
    #[test]
    fn points_do_not_depend_on_earlier_scrapes(pages in prop::collection::vec(prop::collection::vec(
        prop::sample::select(vec![
            "a 1\n", "a{x=\"1\"} 2\n", "b_total 3\n", "b_total{x=\"1\"} 4\n", "# TYPE b_total counter\n",
            "# HELP a text\n", "# TYPE h histogram\n", "h_bucket{le=\"1\"} 1\n", "h_bucket{le=\"+Inf\"} 2\n",
            "h_count 2\nh_sum 3\n", "h_bucket{x=\"1\",le=\"1\"} 1\n", "h_count{x=\"1\"} 2\n",
            "# TYPE s summary\n", "s{quantile=\"0.5\"} 1\n", "s_count 1\n", "target_info{env=\"x\"} 1\n", "bad\n",
        ]), 0..12), 1..6)) {
        let mut target = Target::new(rules());
        let mut metadata = String::new();
        for page in pages {
            let body = page.concat();
            let (lines, outcome) = target.outcome(&body);
            let mut fresh = Target::new(rules());
            fresh.scrape = target.scrape - 1;
            // Metadata stays from scrape to scrape.
            for line in page.iter().filter(|line| line.starts_with('#')) {
                if !metadata.contains(line) { metadata.push_str(line); }
            }
            let mut points = Vec::new();
            fresh.series.page(Page::Text(TextFormat::Prometheus, metadata.as_bytes()), 0, NOW, &mut points);
            let (expected, fresh_outcome) = fresh.outcome(&body);
            let live: Vec<&String> = lines.iter().filter(|line| !line.ends_with("stale")).collect();
            prop_assert_eq!(outcome.error.is_some(), fresh_outcome.error.is_some());
            prop_assert_eq!(outcome.counts.scraped, fresh_outcome.counts.scraped);
            if outcome.error.is_none() {
                prop_assert_eq!(live, expected.iter().collect::<Vec<_>>());
            } else {
                prop_assert!(live.is_empty());
                // Metadata of a page that failed counts up to the bad line only; start over.
                target = Target::new(rules());
                metadata.clear();
            }
        }
    }
}
