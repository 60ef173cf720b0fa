//! Documents equal to the reference's: the conformance cases that need no network.
//!
//! `testdata/<case>/` has the configuration, the OTLP/JSON input and what the reference sent, or in
//! `expected-alt.json` what we send on purpose where it crashes.
//! Instants stand there as `T0+1.5s`, ids the reference made up as `<generated-1>`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use regex::{Captures, Regex};
use serde_json::Value as Json;
use weir_config::{Origin, Source, decode_and_validate, parse_yaml};
use weir_model::Traces;
use weir_xray::{Body, Request, Settings, Skipped, Translator};

use super::super::config::Config;
use super::super::settings;

/// The instant that placeholders are relative to, Unix seconds.
const T0: i64 = 1_795_364_000;

/// The case whose outcome is not the pure translation: a refused call (`tests/send.rs`).
const ELSEWHERE: &str = "035-fault-400";
/// The case that switches a feature gate.
const EPOCH_CHECKED: &str = "027-trace-id-epoch-checked";
const SKIP_AGE: &str = "exporter.awsxray.skiptimestampvalidation";

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("awsxray/testdata")
}

fn read(case: &str, file: &str) -> String {
    let path = testdata().join(case).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The exporter's part of a case's configuration.
fn config(case: &str) -> Config {
    let text = fill(&read(case, "config.yaml"));
    let source = Source::new("config.yaml", text, Origin::Document);
    let tree = parse_yaml(&source).unwrap();
    let exporters = tree.get("exporters").unwrap();
    let node = exporters.get("awsxray").unwrap();
    decode_and_validate::<Config>(node, "exporters.awsxray")
        .unwrap()
        .value
}

#[test]
fn documents_equal_those_of_the_reference() {
    let mut names: Vec<String> = std::fs::read_dir(testdata())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ELSEWHERE)
        .collect();
    names.sort();
    assert_eq!(names.len(), 35);
    let failures: Vec<String> = names.iter().filter_map(|name| differs(name)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Runs a case; what differs, if anything.
fn differs(case: &str) -> Option<String> {
    let gates = [(SKIP_AGE, case != EPOCH_CHECKED)];
    let settings = settings(&config(case), &gates.into_iter().collect());
    let input: Json = serde_json::from_str(&fill(&read(case, "input.json"))).unwrap();
    let mut made = Vec::new();
    let mut batches = Vec::new();
    for step in input["steps"].as_array().unwrap() {
        let sent = translate(&step["body"], &settings);
        batches.extend(sent.iter().map(|documents| Json::from(documents.len())));
        made.extend(sent.into_iter().flatten());
    }
    // What we decided to do otherwise stands beside what the reference does.
    let decided = testdata().join(case).join("expected-alt.json");
    let file = if decided.exists() {
        "expected-alt.json"
    } else {
        "expected.json"
    };
    let expected: Json = serde_json::from_str(&read(case, file)).unwrap();
    let expected = &expected["xray"];
    if let Some(sizes) = expected["batches"].as_array() {
        batches.sort_by_key(|size| size.as_u64());
        assert_eq!(*sizes, batches, "{case}");
    }
    let wanted: Vec<Json> = expected["documents"]
        .as_array()
        .unwrap()
        .iter()
        .map(with_instants)
        .collect();
    if matches(&wanted, &made, &mut HashMap::new()) {
        return None;
    }
    let list = |documents: &[Json]| {
        let mut lines: Vec<String> = documents.iter().map(Json::to_string).collect();
        lines.sort();
        lines.join("\n  ")
    };
    Some(format!(
        "{case}: wanted\n  {}\ngot\n  {}",
        list(&wanted),
        list(&made)
    ))
}

/// Puts instants in the place of their names.
fn with_instants(value: &Json) -> Json {
    match value {
        Json::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), with_instants(value)))
            .collect(),
        Json::Array(items) => items.iter().map(with_instants).collect(),
        Json::String(text) => {
            if let Some(seconds) = instant(text) {
                return Json::from(seconds);
            }
            let id = text
                .strip_prefix("1-[")
                .and_then(|rest| rest.split_once(']'));
            if let Some((name, rest)) = id {
                let seconds = instant(name).unwrap_or_else(|| name.parse().unwrap());
                return format!("1-{:08x}{rest}", seconds as u32).into();
            }
            text.clone().into()
        }
        other => other.clone(),
    }
}

fn instant(name: &str) -> Option<f64> {
    let offset = name.strip_prefix("T0")?.strip_suffix('s')?;
    Some(T0 as f64 + offset.parse::<f64>().ok()?)
}

/// Whether the documents are the wanted ones in any order, each made-up id standing for one name.
fn matches(wanted: &[Json], made: &[Json], names: &mut HashMap<String, String>) -> bool {
    let Some((first, rest)) = wanted.split_first() else {
        return made.is_empty();
    };
    made.iter().enumerate().any(|(at, candidate)| {
        let mut tried = names.clone();
        if !equal(first, candidate, &mut tried) {
            return false;
        }
        let mut left = made.to_vec();
        left.swap_remove(at);
        let found = matches(rest, &left, &mut tried);
        if found {
            *names = tried;
        }
        found
    })
}

fn equal(wanted: &Json, made: &Json, names: &mut HashMap<String, String>) -> bool {
    match (wanted, made) {
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, value)| b.get(key).is_some_and(|other| equal(value, other, names)))
        }
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b, names))
        }
        (Json::Number(a), Json::Number(b)) if a.is_f64() || b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            a == b || (a - b).abs() <= 1e-9 * a.abs()
        }
        (Json::String(a), Json::String(b)) if a.starts_with("<generated-") => {
            let is_new = !names.contains_key(a);
            let is_taken = is_new && names.values().any(|other| other == b);
            let name = names.entry(a.clone()).or_insert_with(|| b.clone());
            b.len() == 16 && !is_taken && name == b
        }
        (a, b) => a == b,
    }
}

/// The documents of a request, by call.
fn translate(request: &Json, settings: &Settings) -> Vec<Vec<Json>> {
    let traces = Traces::from_json(request.to_string().as_bytes(), &Arc::default()).unwrap();
    let mut translator = Translator::new(settings, T0);
    let (mut body, mut requests) = (Body::default(), Vec::new());
    for span in traces.spans().enumerate() {
        let added = translator.add(span, &mut body, |body| requests.extend(body.finish()));
        if let Err(why) = added {
            assert_eq!(why, Skipped::InvalidTraceId);
        }
    }
    requests.extend(body.finish());
    let documents = |request: &Request| -> Vec<Json> {
        let body: Json = serde_json::from_slice(&request.bytes).unwrap();
        let texts = body["TraceSegmentDocuments"].as_array().unwrap().iter();
        let parse = |text: &Json| serde_json::from_str(text.as_str().unwrap()).unwrap();
        texts.map(parse).collect()
    };
    requests.iter().map(documents).collect()
}

/// Fills the conformance kit's placeholders.
fn fill(template: &str) -> String {
    let nanos = |text: &str| -> i64 {
        let unit = text.trim_start_matches(|c: char| "+-.".contains(c) || c.is_ascii_digit());
        let number: f64 = text.strip_suffix(unit).unwrap().parse().unwrap();
        let scale = match unit {
            "ms" => 1e6,
            "s" => 1e9,
            "h" => 3600e9,
            "d" => 86400e9,
            _ => panic!("unit of {text}"),
        };
        (number * scale) as i64
    };
    let replace = |text: &str, pattern: &str, f: &dyn Fn(&Captures<'_>) -> String| {
        let pattern = Regex::new(pattern).unwrap();
        pattern
            .replace_all(text, |c: &Captures<'_>| f(c))
            .into_owned()
    };
    let text = replace(template, r"\{\{ns:([^}]*)\}\}", &|c| {
        (T0 * 1_000_000_000 + nanos(&c[1])).to_string()
    });
    let text = replace(&text, r"\{\{tid(?:@([^:]*))?:([0-9a-f]*)\}\}", &|c| {
        let offset = c.get(1).map_or(0, |offset| nanos(offset.as_str()));
        format!("{:08x}{}", T0 + offset / 1_000_000_000, &c[2])
    });
    let text = replace(&text, r"\{\{pad:(\d+):(.)\}\}", &|c| {
        c[2].repeat(c[1].parse().unwrap())
    });
    replace(
        &text,
        r"\{\{(?:otlp_http|otlp_grpc|health|xray)\}\}",
        &|_| "1".to_owned(),
    )
}
