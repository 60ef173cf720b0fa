//! The command on small inputs, from arguments to files.
#![allow(clippy::expect_used, reason = "a test")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use clap::Parser;
use weir_backtest::Options;
use weir_core::{Clock, ManualClock};

const MINUTE: i64 = 60;
const START: i64 = 1_741_000_000;

/// Runs the command; the summary, or what went wrong.
fn run(arguments: &[&str]) -> Result<String, String> {
    let all = ["weir backtest"].iter().chain(arguments);
    let options = Options::try_parse_from(all).map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(0));
    let done = weir_backtest::run(&options, &clock, None, &mut out);
    let summary = String::from_utf8(out).expect("text");
    match done {
        Ok(()) => Ok(summary),
        Err(problems) => Err(problems.iter().map(|p| format!("{p}\n")).collect()),
    }
}

/// Four days of minutes with a daily wave, and an incident of half an hour at the end of the third.
fn value(minute: i64) -> f64 {
    let wave = (minute as f64 / 1440.0 * std::f64::consts::TAU).sin();
    // noise without a library: the digits of a multiplicative generator
    let noise = (minute.wrapping_mul(7919).wrapping_mul(minute + 3) % 1000) as f64 / 1000.0;
    let incident = if incident(minute) { 40.0 } else { 0.0 };
    50.0 + 10.0 * wave + noise + incident
}

fn incident(minute: i64) -> bool {
    (5000..5030).contains(&minute)
}

fn csv() -> String {
    let mut text = String::from("timestamp,value,label\n");
    for minute in 0..5760 {
        let time = START + minute * MINUTE;
        let label = u8::from(incident(minute));
        text.push_str(&format!("{time},{:.3},{label}\n", value(minute)));
    }
    text
}

fn folder() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("text").to_owned();
    (folder, path)
}

fn write(root: &str, name: &str, text: &[u8]) -> String {
    let path = Path::new(root).join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    fs::write(&path, text).expect("a file");
    path.to_str().expect("text").to_owned()
}

#[test]
fn the_incident_is_found_and_scored() {
    let (_folder, root) = folder();
    let file = write(&root, "cpu.csv", csv().as_bytes());
    let summary = run(&[
        &file,
        "--threshold",
        "above=80",
        "--threshold",
        "above=200",
        "--sweep",
        "band=2,3",
    ]);
    let summary = summary.expect("a summary");
    let cells = |name: &str, at: usize| -> Vec<String> {
        let line = summary.lines().find(|l| l.starts_with(name));
        let cells = line.into_iter().flat_map(str::split_whitespace).skip(at);
        cells.take(3).map(str::to_owned).collect()
    };
    // found, missed, false; how many alarms are false is the detector's own business
    assert_eq!(
        cells("cpu ", 7).get(..2),
        Some(&["1", "0"].map(str::to_owned)[..]),
        "{summary}"
    );
    assert_eq!(cells("> 80", 5), ["1", "0", "0"], "{summary}");
    assert_eq!(cells("> 200", 5), ["0", "1", "0"], "{summary}");
    assert!(
        summary.contains("band 2") && summary.contains("5,760 samples"),
        "{summary}"
    );
}

#[test]
fn verdicts_have_a_row_for_each_sample() {
    let (_folder, root) = folder();
    write(&root, "in/a/cpu.csv", csv().as_bytes());
    let out = format!("{root}/out");
    run(&[&format!("{root}/in"), "--output", &out]).expect("a summary");
    let verdicts = fs::read_to_string(format!("{out}/a/cpu.csv")).expect("verdicts");
    let mut lines = verdicts.lines();
    let header = "timestamp,value,score,is_anomaly,lower,upper,onset_score,lower_k2,upper_k2";
    assert_eq!(lines.next(), Some(header));
    let rows: Vec<Vec<&str>> = lines.map(|l| l.split(',').collect()).collect();
    assert_eq!(rows.len(), 5760);
    assert!(rows.iter().all(|r| r.len() == 9));
    let number = |row: &[&str], at: usize| row.get(at).and_then(|c| c.parse::<f64>().ok());
    let mut alarms = 0;
    for (minute, row) in (0..).zip(&rows) {
        assert_eq!(number(row, 0), Some((START + minute * MINUTE) as f64));
        alarms += u32::from(incident(minute) && row.get(3) == Some(&"1"));
        if minute > 60 {
            let (lower, upper) = (number(row, 4), number(row, 5));
            let (inner_lower, inner_upper) = (number(row, 7), number(row, 8));
            assert!(lower <= inner_lower && inner_lower <= inner_upper && inner_upper <= upper);
        }
    }
    assert!(alarms >= 25, "{alarms}");
}

#[test]
fn the_same_series_in_every_form_gives_the_same_verdicts() {
    let (_folder, root) = folder();
    let times = (0..3000).map(|minute| (START + minute * MINUTE, value(minute)));
    let pairs: Vec<(i64, f64)> = times.collect();
    let csv: String = pairs.iter().map(|(t, v)| format!("{t},{v}\n")).collect();
    let matrix: Vec<String> = pairs
        .iter()
        .map(|(t, v)| format!("[{t},\"{v}\"]"))
        .collect();
    let prometheus = format!(
        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{{\"metric\":\
         {{\"__name__\":\"cpu\",\"host\":\"a\"}},\"values\":[{}]}}]}}}}",
        matrix.join(",")
    );
    let otlp: String = pairs
        .iter()
        .map(|(t, v)| {
            format!(
                "{{\"resourceMetrics\":[{{\"scopeMetrics\":[{{\"metrics\":[{{\"name\":\"cpu\",\
                 \"gauge\":{{\"dataPoints\":[{{\"timeUnixNano\":\"{t}000000000\",\"asDouble\":{v}}}]\
                 }}}}]}}]}}]}}\n"
            )
        })
        .collect();
    let inputs = [
        write(&root, "plain.csv", csv.as_bytes()),
        write(&root, "matrix.json", prometheus.as_bytes()),
        write(&root, "points.jsonl", otlp.as_bytes()),
    ];
    let out = format!("{root}/out");
    let mut arguments: Vec<&str> = inputs.iter().map(String::as_str).collect();
    arguments.extend(["--output", out.as_str()]);
    run(&arguments).expect("a summary");
    let only = |folder: &str| {
        let mut files = fs::read_dir(format!("{out}/{folder}")).expect("a folder");
        fs::read_to_string(files.next().expect("a file").expect("an entry").path()).expect("text")
    };
    let plain = fs::read_to_string(format!("{out}/plain.csv")).expect("verdicts");
    assert_eq!(plain.lines().count(), 3001);
    assert!(only("matrix") == plain, "Prometheus differs from CSV");
    assert!(only("points") == plain, "OTLP differs from CSV");
}

#[test]
fn counters_are_judged_by_rate() {
    let (_folder, root) = folder();
    let mut total = 0.0;
    let mut text = String::from("timestamp,value\n");
    for minute in 0..200 {
        total += 600.0;
        text.push_str(&format!("{},{total}\n", START + minute * MINUTE));
    }
    let file = write(&root, "requests.csv", text.as_bytes());
    let out = format!("{root}/out");
    run(&[&file, "--type", "counter", "--output", &out]).expect("a summary");
    let verdicts = fs::read_to_string(format!("{out}/requests.csv")).expect("verdicts");
    assert!(
        verdicts
            .lines()
            .skip(2)
            .all(|l| l.split(',').nth(1) == Some("10")),
        "{verdicts}"
    );
}

#[test]
fn report_and_svg_hold_the_series_and_escape_its_name() {
    let (_folder, root) = folder();
    let file = write(&root, "<img onerror=1>&.csv", csv().as_bytes());
    let (report, svg) = (format!("{root}/r.html"), format!("{root}/svg"));
    run(&[
        &file,
        "--report",
        &report,
        "--svg",
        &svg,
        "--threshold",
        "above=70",
    ])
    .expect("a summary");
    let page = fs::read_to_string(report).expect("a page");
    assert!(!page.contains("<img") && page.contains("\\u003cimg onerror=1>&"));
    assert!(!page.contains("{{") && page.contains("Leon Sorokin"));
    let foreign = page
        .matches("http")
        .filter(|_| page.contains("src=\"http"))
        .count();
    assert_eq!(foreign, 0);
    let drawing = fs::read_to_string(format!("{svg}/<img onerror=1>&.svg")).expect("a drawing");
    assert!(drawing.starts_with("<svg ") && drawing.trim_end().ends_with("</svg>"));
    assert!(drawing.contains("&lt;img onerror=1&gt;&amp;") && !drawing.contains("<img"));
    for class in ["band", "value", "alarm", "incident", "limit", "dot"] {
        assert!(drawing.contains(&format!("class=\"{class}\"")), "{class}");
    }
}

#[test]
fn programs_get_json() {
    let (_folder, root) = folder();
    let file = write(&root, "cpu.csv", csv().as_bytes());
    let json = format!("{root}/out/summary.json");
    run(&[&file, "--json", &json, "--threshold", "above=80"]).expect("a summary");
    let text = fs::read(json).expect("a file");
    let summary: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let at = |path: &str| summary.pointer(path).cloned().unwrap_or_default();
    assert_eq!(at("/rules/1/name"), "> 80");
    assert_eq!(at("/rules/1/found"), 1);
    assert_eq!(at("/series/0/samples"), 5760);
    assert!(at("/series/0/alarm_list/0/start").is_number());
    assert!(at("/series/0/points").is_null());
}

#[test]
fn the_plot_fits_the_terminal() {
    let (_folder, root) = folder();
    let file = write(&root, "cpu.csv", csv().as_bytes());
    let text = run(&[&file, "--plot"]).expect("a plot");
    let plot = text.split("\n\n").last().unwrap_or_default();
    assert!(
        plot.contains('\u{2591}') && plot.contains('\u{2580}'),
        "{plot}"
    );
    assert!(plot.lines().count() >= 18, "{plot}");
    assert!(!plot.contains('\u{1b}'), "colours without a terminal");
}

#[test]
fn what_can_be_read_is_summed_up_although_something_cannot() {
    let (_folder, root) = folder();
    write(&root, "good.csv", csv().as_bytes());
    write(&root, "bad.csv", b"timestamp,value\n1,2\nx,3\n");
    write(
        &root,
        "worse.json",
        b"{\"status\":\"error\",\"error\":\"no such query\"}",
    );
    let problems = run(&[&root]).expect_err("problems");
    assert!(
        problems.contains("bad.csv:3: `x` is not a timestamp\n  help: "),
        "{problems}"
    );
    assert!(
        problems.contains("worse.json:1: Prometheus says: no such query"),
        "{problems}"
    );
    let skipping = run(&[&format!("{root}/bad.csv"), "--skip-bad-rows"]).expect("a summary");
    assert!(
        skipping.contains("1 rows that could not be read were left out"),
        "{skipping}"
    );
}

#[test]
fn protobuf_is_read_whole_or_behind_lengths() {
    use weir_model::{Attributes, Resource, Scope, Temporality};
    use weir_model::{Interner, MetricKind, MetricMeta, Metrics, Point, PointValue};
    let interner = Arc::new(Interner::default());
    let (resource, scope) = (
        interner.resource(Resource::default()),
        interner.scope(Scope::default()),
    );
    let kind = MetricKind::Sum {
        temporality: Temporality::Cumulative,
        monotonic: true,
    };
    let metric = interner.metric(MetricMeta::new("requests", kind));
    let series = interner.series(&resource, &scope, &metric, Attributes::default());
    let request = |from: u64, to: u64| {
        let points = (from..to).map(|i| {
            let time = (START as u64 + i * 60) * 1_000_000_000;
            Point::new(
                series.clone(),
                1,
                time,
                PointValue::Double(i as f64 * 120.0),
            )
        });
        let mut bytes = Vec::new();
        Metrics::from_points(points.collect()).encode_otlp(&mut bytes);
        bytes
    };
    let mut framed = Vec::new();
    for part in [request(0, 50), request(50, 100)] {
        framed.extend_from_slice(&u32::try_from(part.len()).expect("small").to_be_bytes());
        framed.extend_from_slice(&part);
    }
    let (_folder, root) = folder();
    let whole = write(&root, "whole.pb", &request(0, 100));
    let lengths = write(&root, "lengths.pb", &framed);
    let cut = write(
        &root,
        "cut.pb",
        framed.get(..framed.len() - 1).expect("bytes"),
    );
    let summary = run(&[&whole, &lengths]).expect("a summary");
    assert_eq!(summary.matches("requests rate").count(), 2, "{summary}");
    // a hundred points give 99 rates each
    assert!(summary.contains("198 samples"), "{summary}");
    assert!(run(&[&cut]).is_err_and(|e| e.contains("ends within the request")));
}
