//! What the reference sends for the same configuration and input (`testdata/`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use weir_config::{Environment, NoFetch, decode_and_validate, load};
use weir_model::{Interner, Metrics};

use super::super::config::Config;
use super::super::settings::Settings;
use super::super::translate::Translator;
use super::input::{T0_MS, fill_placeholders};

pub(super) const NOW_MS: i64 = T0_MS + 600_000;
pub(super) const STREAM: &str = "otel-stream-<uuid>";

/// Cases that are about what happens on the way; their events are tested with `push`.
const ABOUT_SENDING: [&str; 2] = ["037-fault-invalid-parameter", "107-rejected-events-info"];

/// The case that the reference gets wrong in the sending, whatever the configuration says.
const SENT_TWICE: &str = "039-no-sequence-token";

struct Files(String);

impl Environment for Files {
    fn get(&self, _: &str) -> Option<String> {
        Some(self.0.clone())
    }
}

/// The exporter's part of a case's configuration.
pub(super) fn config(text: &str) -> Config {
    let mut text = text.to_owned();
    while let Some((before, rest)) = text.split_once("{{") {
        let (_, after) = rest.split_once("}}").unwrap();
        text = format!("{before}4321{after}");
    }
    let loaded = load(&["env:TEXT".to_owned()], &[], &Files(text), &NoFetch).unwrap();
    let node = loaded.root.at(&["exporters", "awsemf"]).unwrap();
    decode_and_validate(node, "exporters.awsemf").unwrap().value
}

/// Events of a request or of lines, in the form of the expected ones.
pub(super) fn events(output: &super::super::translate::Output) -> Vec<Json> {
    let mut found = Vec::new();
    for request in &output.requests {
        let body: Json = serde_json::from_slice(&request.body).unwrap();
        let listed = body["logEvents"].as_array().unwrap();
        assert_eq!(listed.len(), request.events.len());
        for event in listed {
            found.push(json!({
                "body": message(event["message"].as_str().unwrap()),
                "group": body["logGroupName"],
                "stream": body["logStreamName"],
                "timestamp": event["timestamp"],
            }));
        }
    }
    for line in output
        .lines
        .split(|byte| *byte == b'\n')
        .filter(|l| !l.is_empty())
    {
        found.push(message(std::str::from_utf8(line).unwrap()));
    }
    found
}

fn message(text: &str) -> Json {
    let Ok(mut body) = serde_json::from_str::<Json>(text) else {
        let end = &text[text.len() - 14..];
        return json!({"not_json": {"bytes": text.len(), "ends": end}});
    };
    for at in ["/_aws/CloudWatchMetrics", "/CloudWatchMetrics"] {
        if let Some(measurements) = body.pointer_mut(at) {
            sort_measurements(measurements);
        }
    }
    body
}

fn sort(list: &mut Json) {
    list.as_array_mut().unwrap().sort_by_key(Json::to_string);
}

pub(super) fn sort_measurements(measurements: &mut Json) {
    for measurement in measurements.as_array_mut().unwrap() {
        for set in measurement["Dimensions"].as_array_mut().unwrap() {
            sort(set);
        }
        sort(&mut measurement["Dimensions"]);
        sort(&mut measurement["Metrics"]);
    }
    sort(measurements);
}

/// An expected value with its instants as numbers.
fn resolve(expected: &Json) -> Json {
    match expected {
        Json::String(text) if text == "<now>" => Json::from(NOW_MS),
        Json::String(text) if text.starts_with("T0") => {
            let offset: i64 = text[2..text.len() - 2].parse().unwrap();
            Json::from(T0_MS + offset)
        }
        Json::String(text) if text.starts_with('<') && text.contains('*') => {
            let (what, count) = text[1..text.len() - 1].split_once('*').unwrap();
            what.repeat(count.parse().unwrap()).into()
        }
        Json::Array(items) => items.iter().map(resolve).collect(),
        Json::Object(entries) => entries
            .iter()
            .map(|(key, value)| (key.clone(), resolve(value)))
            .collect(),
        other => other.clone(),
    }
}

/// Equal, numbers with a relative tolerance of 1e-9; a time may be text (version 0).
pub(super) fn same(expected: &Json, found: &Json) -> bool {
    match (expected, found) {
        (Json::Number(a), Json::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
        }
        (Json::Number(a), Json::String(b)) => a.to_string() == *b,
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// `enforce_limits` off must give what the reference gives; on, what `expected-alt.json` holds where
/// it is there.
fn run(folder: &Path, enforce_limits: bool) -> Result<(), String> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let parse = |name: &str| serde_json::from_str::<Json>(&read(name)).unwrap();
    let config = Config {
        enforce_limits,
        ..config(&read("config.yaml"))
    };
    let settings = Settings::new(config, STREAM.to_owned());
    let now_ns = NOW_MS as u64 * 1_000_000;
    let mut translator = Translator::new(Arc::new(settings), now_ns);
    let interner = Arc::new(Interner::default());
    let mut found = Vec::new();
    for step in parse("input.json")["steps"].as_array().unwrap() {
        let body = fill_placeholders(&step["body"]).to_string();
        let batch = Metrics::from_json(body.as_bytes(), &interner).unwrap();
        found.extend(events(&translator.translate(&batch, now_ns)));
    }
    let ours = folder.join("expected-alt.json").exists()
        && (enforce_limits || folder.ends_with(SENT_TWICE));
    let expected = parse(if ours {
        "expected-alt.json"
    } else {
        "expected.json"
    });
    let list = match expected["emf"].get("stdout") {
        Some(lines) => lines,
        None => &expected["emf"]["events"],
    };
    let mut left = found.clone();
    for event in list.as_array().unwrap() {
        let mut event = resolve(event);
        for at in [
            "/body/_aws/CloudWatchMetrics",
            "/body/CloudWatchMetrics",
            "/_aws/CloudWatchMetrics",
        ] {
            if let Some(measurements) = event.pointer_mut(at) {
                sort_measurements(measurements);
            }
        }
        match left.iter().position(|found| same(&event, found)) {
            Some(at) => drop(left.remove(at)),
            None => return Err(format!("missing {event:#}\nfound {found:#?}")),
        }
    }
    if left.is_empty() {
        Ok(())
    } else {
        Err(format!("too many: {left:#?}"))
    }
}

fn run_all(enforce_limits: bool) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("awsemf/testdata");
    let mut folders: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    folders.sort();
    let mut failures = Vec::new();
    let mut passed = 0;
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap();
        if ABOUT_SENDING.contains(&name) {
            continue;
        }
        match run(&folder, enforce_limits) {
            Ok(()) => passed += 1,
            Err(why) => failures.push(format!("{name}: {why}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(passed, 46);
}

#[test]
fn events_equal_those_of_the_reference() {
    run_all(false);
}

#[test]
fn events_within_the_limits_differ_only_where_it_was_decided() {
    run_all(true);
}
