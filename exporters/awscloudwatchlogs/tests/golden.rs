//! What the reference sends for the same configuration and input (`testdata/`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use weir_core::{Batch, Reject};
use weir_model::{Interner, Logs};

use super::super::config::Config;
use super::harness::{Harness, NOW_MS, decode};
use crate::cloudwatch_logs::fake::{Answer, FakeLogs, Rule};

/// The time that `{{ns:+0s}}` stands for.
const T0_MS: i64 = NOW_MS - 600_000;
/// Cases of configurations that are refused.
const REFUSED: [&str; 2] = ["010-placeholder-unknown", "011-bad-retention"];

/// Fills `{{ns:...}}` and `{{pad:...}}`; any other name becomes a port.
fn fill(text: &str) -> String {
    let Some((before, rest)) = text.split_once("{{") else {
        return text.to_owned();
    };
    let (inner, after) = rest.split_once("}}").unwrap();
    let filled = match inner.split(':').collect::<Vec<_>>().as_slice() {
        ["ns", offset] => ((T0_MS + offset_ms(offset)) * 1_000_000).to_string(),
        ["pad", count, what] => what.repeat(count.parse().unwrap()),
        _ => "4321".to_owned(),
    };
    format!("{before}{filled}{}", fill(after))
}

fn offset_ms(text: &str) -> i64 {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let unit = match &text[digits.len()..] {
        "s" => 1_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        other => unreachable!("unit {other}"),
    };
    digits.trim_start_matches('+').parse::<i64>().unwrap() * unit
}

/// Sets up what the case says about the backend.
fn prepare(service: &FakeLogs, input: &Json) {
    let none = Vec::new();
    let faults = input.pointer("/backends/cwlogs/faults").and_then(Json::as_array);
    for fault in faults.unwrap_or(&none) {
        let nth = fault["nth"].as_u64();
        service.rule(Rule {
            action: fault["action"].as_str().unwrap().to_owned(),
            stream: None,
            skip: nth.map_or(0, |nth| nth as usize - 1),
            times: nth.map_or(usize::MAX, |_| 1),
            answer: Answer::Status(
                fault["status"].as_u64().unwrap() as u16,
                fault["body"].as_str().unwrap().to_owned(),
            ),
        });
    }
}

/// The status a sender is answered with when there is no queue.
fn status(result: &Result<(), Reject>) -> u16 {
    match result {
        Ok(()) => 200,
        Err(reject) if reject.is_retryable() || reject.why().grpc_code == Some(14) => 503,
        Err(_) => 500,
    }
}

/// What the service took, in the form of the expected output.
fn found(service: &FakeLogs, raw: bool) -> (Vec<Json>, Json) {
    let mut events = Vec::new();
    for event in service.events.lock().unwrap().iter() {
        let time = match event.time_ms - T0_MS {
            600_000 => "<now>".to_owned(),
            offset => format!("T0+{offset}ms"),
        };
        let mut found = json!({
            "group": event.group,
            "stream": event.stream,
            "timestamp": time,
        });
        match serde_json::from_str::<Json>(&event.message) {
            Ok(body @ Json::Object(_)) if !raw => found["body"] = body,
            _ => found["message"] = Json::from(shortened(&event.message)),
        }
        events.push(found);
    }
    events.sort_by_key(Json::to_string);
    let mut groups = BTreeMap::new();
    for (name, group) in service.groups.lock().unwrap().iter() {
        let mut shown = json!({"streams": group.streams});
        if let Some(days) = group.retention_days {
            shown["retention_days"] = days.into();
        }
        if !group.tags.is_null() {
            shown["tags"] = group.tags.clone();
        }
        groups.insert(name.clone(), shown);
    }
    (events, json!(groups))
}

/// Long runs of `p` as the expected output shows them.
fn shortened(text: &str) -> String {
    match text.find("ppp") {
        Some(at) => format!("{}<p*{}>", &text[..at], text.len() - at),
        None => text.to_owned(),
    }
}

async fn run(folder: &Path) -> Result<(), String> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or("{}".to_owned());
    let parse = |name: &str| serde_json::from_str::<Json>(&read(name)).unwrap();
    let decoded = decode(&fill(&read("config.yaml")));
    let alternative = folder.join("expected-alt.json").exists();
    let expected = parse(if alternative { "expected-alt.json" } else { "expected.json" });
    let (input, meta) = (parse("input.json"), parse("meta.json"));
    if expected["started"] == false {
        return decoded.map_or(Ok(()), |_| Err("was not refused".to_owned()));
    }
    let config: Config = decoded.unwrap().0;
    let harness = Harness::new(config);
    prepare(&harness.service, &input);
    let interner = Arc::new(Interner::default());
    let mut answers = Vec::new();
    for step in input["steps"].as_array().unwrap() {
        let body = fill(&step["body"].to_string());
        let logs = Logs::from_json(body.as_bytes(), &interner).unwrap();
        let result = harness.export(&mut Batch::logs(logs)).await;
        answers.push(json!({"status": status(&result)}));
    }
    let (events, groups) = found(&harness.service, meta["raw_messages"] == true);
    let mut listed = expected["cwlogs"]["events"].as_array().unwrap().clone();
    listed.sort_by_key(Json::to_string);
    let mut pairs = vec![
        (Json::from(listed), Json::from(events)),
        (expected["cwlogs"]["groups"].clone(), groups),
    ];
    if meta["compare_answers"] == true {
        pairs.push((expected["answers"].clone(), Json::from(answers)));
    }
    if meta["compare_batches"] == true {
        let mut batches = harness.service.batches.lock().unwrap().clone();
        batches.sort_unstable();
        pairs.push((expected["cwlogs"]["batches"].clone(), json!(batches)));
    }
    for (expected, found) in pairs {
        if !same(&expected, &found) {
            return Err(format!("expected {expected:#}\nfound {found:#}"));
        }
    }
    Ok(())
}

/// Equal, numbers by value.
fn same(expected: &Json, found: &Json) -> bool {
    match (expected, found) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

#[tokio::test(start_paused = true)]
async fn events_equal_those_of_the_reference() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("awscloudwatchlogs/testdata");
    let folders = std::fs::read_dir(root).unwrap();
    let mut folders: Vec<_> = folders.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let mut failures = Vec::new();
    for folder in &folders {
        if let Err(why) = run(folder).await {
            failures.push(format!("{}: {why}", folder.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(folders.len(), 18);
}

#[test]
fn refused_configurations_say_why() {
    for (case, words) in REFUSED.iter().zip(["Nothing", "retention"]) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("awscloudwatchlogs/testdata");
        let text = std::fs::read_to_string(root.join(case).join("config.yaml")).unwrap();
        let errors = decode(&fill(&text)).unwrap_err();
        assert!(errors.iter().any(|error| error.contains(words)), "{errors:?}");
    }
}
