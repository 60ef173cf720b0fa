#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde::{Deserialize, Serialize};
use serde_json::json;
use weir_config::Validate;
use weir_core::Data;
use weir_model::Interner;

use super::*;
use crate::testing::{attributes, batch, decode};

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    include: Option<MatchConfig>,
    exclude: Option<MatchConfig>,
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        Selection::compile(self.include.as_ref(), self.exclude.as_ref(), errors);
    }
}

fn selection(yaml: &str, signal: Signal) -> Result<Selection, String> {
    let config: Config = decode(yaml)?;
    Selection::build(config.include.as_ref(), config.exclude.as_ref(), signal)
        .map_err(|error| error.to_string())
}

/// Names of the spans that take part, of five spans of two services.
fn spans(yaml: &str) -> Vec<String> {
    let span = |name: &str, kind: i32, k: serde_json::Value| json!({"name": name, "kind": kind, "attributes": attributes(&k)});
    let request = json!({"resourceSpans": [
        {"resource": {"attributes": attributes(&json!({"service.name": "auth-1", "env": "prod"}))},
         "scopeSpans": [{"scope": {"name": "tracer", "version": "1.0"}, "spans": [
            span("GET /a", 2, json!({"k": "v", "n": 5})),
            span("GET /b", 3, json!({"k": "w"})),
            span("db", 1, json!({"k": "v"})),
         ]}]},
        {"resource": {}, "scopeSpans": [{"scope": {"name": "lib2", "version": "2.0"}, "spans": [
            span("GET /c", 2, json!({"k": "v", "l": ["v"]})),
            span("job", 4, json!({})),
         ]}]},
    ]});
    let batch = batch(Signal::Traces, &request, &Arc::new(Interner::default()));
    let Data::Traces(traces) = &batch.data else {
        panic!("no traces")
    };
    let selection = selection(yaml, Signal::Traces).unwrap_or_else(|error| panic!("{error}"));
    let mut asking = selection.ask();
    let taken = traces.spans().filter(|span| asking.takes_span(*span));
    taken.map(|span| span.name().to_owned()).collect()
}

#[test]
fn properties_of_spans_are_all_to_hold_and_any_of_their_entries() {
    for (properties, expected) in [
        (
            "match_type: regexp, services: ['^auth'], span_names: [GET, db]",
            "GET /a,GET /b,db",
        ),
        ("match_type: strict, span_names: [job, db]", "db,job"),
        ("match_type: strict, services: [auth]", ""),
        // A resource without a service has a name of its own, which expressions may match.
        (
            "match_type: regexp, services: ['.+']",
            "GET /a,GET /b,db,GET /c,job",
        ),
        (
            "match_type: strict, span_kinds: [SPAN_KIND_SERVER, SPAN_KIND_PRODUCER]",
            "GET /a,GET /c,job",
        ),
        (
            "match_type: strict, libraries: [{name: lib2, version: '2.0'}]",
            "GET /c,job",
        ),
        (
            "match_type: strict, libraries: [{name: lib2, version: '1.0'}]",
            "",
        ),
        (
            "match_type: strict, libraries: [{name: lib2}]",
            "GET /c,job",
        ),
        (
            "match_type: regexp, resources: [{key: env, value: 'pr.d'}]",
            "GET /a,GET /b,db",
        ),
        (
            "match_type: strict, attributes: [{key: k, value: v}, {key: n}]",
            "GET /a",
        ),
        (
            "match_type: strict, attributes: [{key: n, value: 5}]",
            "GET /a",
        ),
        ("match_type: strict, attributes: [{key: n, value: '5'}]", ""),
        (
            "match_type: regexp, attributes: [{key: n, value: '^5$'}]",
            "GET /a",
        ),
        (
            "match_type: strict, attributes: [{key: l, value: [v]}]",
            "GET /c",
        ),
        ("match_type: regexp, attributes: [{key: l, value: v}]", ""),
    ] {
        let include = format!("include: {{{properties}}}\n");
        assert_eq!(spans(&include).join(","), expected, "{properties}");
        let all = ["GET /a", "GET /b", "db", "GET /c", "job"];
        let others: Vec<&str> = all
            .into_iter()
            .filter(|n| !expected.split(',').any(|e| e == *n))
            .collect();
        let exclude = format!("exclude: {{{properties}}}\n");
        assert_eq!(spans(&exclude), others, "excluding {properties}");
    }
}

#[test]
fn exclude_takes_away_from_include() {
    let yaml = "include: {match_type: regexp, services: ['^auth']}\n\
                exclude: {match_type: strict, attributes: [{key: k, value: w}]}\n";
    assert_eq!(spans(yaml), ["GET /a", "db"]);
}

/// Bodies of the log records that take part.
fn records(yaml: &str) -> Vec<String> {
    let request = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"body": {"stringValue": "user logged in"}, "severityNumber": 9, "severityText": "INFO"},
        {"body": {"stringValue": "boom"}, "severityNumber": 17, "severityText": "ERROR"},
        {"body": {"kvlistValue": {"values": attributes(&json!({"m": "x"}))}}, "severityNumber": 13},
        {"body": {"stringValue": "no severity"}},
    ]}]}]});
    let batch = batch(Signal::Logs, &request, &Arc::new(Interner::default()));
    let Data::Logs(logs) = &batch.data else {
        panic!("no logs")
    };
    let selection = selection(yaml, Signal::Logs).unwrap_or_else(|error| panic!("{error}"));
    let mut asking = selection.ask();
    let taken = logs.records().filter(|record| asking.takes_record(*record));
    taken
        .map(|record| record.body().to_text().into_owned())
        .collect()
}

#[test]
fn log_records_match_by_body_and_severity() {
    let map = "{\"m\":\"x\"}";
    for (properties, expected) in [
        (
            "match_type: regexp, log_bodies: ['log+ed', '^bo']",
            vec!["user logged in", "boom"],
        ),
        ("match_type: strict, log_bodies: [boom]", vec!["boom"]),
        (
            "match_type: strict, log_severity_texts: [ERROR, WARN]",
            vec!["boom"],
        ),
        (
            "match_type: strict, log_severity_number: {min: 13}",
            vec!["boom", map],
        ),
        (
            "match_type: strict, log_severity_number: {min: 13, match_undefined: true}",
            vec!["boom", map, "no severity"],
        ),
    ] {
        assert_eq!(
            records(&format!("include: {{{properties}}}\n")),
            expected,
            "{properties}"
        );
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (yaml, says) in [
        ("include: {span_names: [a]}", "`match_type` is missing"),
        ("include: {match_type: exact, span_names: [a]}", "exact"),
        ("include: {match_type: strict}", "no property"),
        (
            "exclude: {match_type: regexp, span_names: [a, '(']}",
            "exclude.span_names[1]",
        ),
        (
            "include: {match_type: regexp, attributes: [{key: a, value: 5}]}",
            "must be a text",
        ),
        (
            "include: {match_type: strict, attributes: [{value: 5}]}",
            "`key` is missing",
        ),
        (
            "include: {match_type: regexp, libraries: [{name: '['}]}",
            "libraries[0].name",
        ),
    ] {
        let error = selection(yaml, Signal::Traces).unwrap_err();
        assert!(error.contains(says), "{yaml}: {error}");
    }
}

#[test]
fn properties_of_another_signal_are_refused() {
    let logs = "include: {match_type: strict, log_bodies: [a]}";
    let error = selection(logs, Signal::Traces).unwrap_err();
    assert!(
        error.contains("log_bodies") && error.contains("traces"),
        "{error}"
    );
    let spans = "exclude: {match_type: strict, span_names: [a]}";
    let error = selection(spans, Signal::Logs).unwrap_err();
    assert!(error.contains("exclude.span_names"), "{error}");
    let metrics = "include: {match_type: strict, metric_names: [a]}";
    let error = selection(metrics, Signal::Logs).unwrap_err();
    assert!(error.contains("log_bodies"), "{error}");
    assert!(selection(metrics, Signal::Metrics).is_ok());
}
