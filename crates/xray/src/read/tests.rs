//! Datagrams and documents, one rule a test; that nothing panics and nothing harms its neighbour.
//! The golden cases are with the receiver.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use weir_model::{Interner, SpanRef, Traces, TracesBuilder, ValueRef};

use super::{Outcome, Reader, Refused, datagram_body};
use crate::{Body, Settings, Translator};

const HEADER: &str = "{\"format\": \"json\", \"version\": 1}\n";

fn read(body: &[u8]) -> (Traces, Vec<Outcome>) {
    let (mut builder, mut outcomes) = (TracesBuilder::default(), Vec::new());
    let interner = Interner::default();
    Reader::default().read_body(body, &interner, &mut builder, |outcome| {
        outcomes.push(outcome);
    });
    (builder.finish(), outcomes)
}

/// A segment with these members on top of the needed ones.
fn segment(members: &Json) -> Json {
    let mut segment = json!({
        "name": "app", "id": "1100220033004401", "start_time": 1_700_000_000.5,
        "trace_id": "1-6553f100-0123456789abcdef01234567",
    });
    for (name, value) in members.as_object().unwrap() {
        segment[name] = value.clone();
    }
    segment
}

fn subsegment(members: &Json) -> Json {
    let mut subsegment =
        json!({"name": "sub", "id": "5500660077008801", "start_time": 1_700_000_000});
    for (name, value) in members.as_object().unwrap() {
        subsegment[name] = value.clone();
    }
    subsegment
}

/// The spans of a segment that must be in order.
fn taken(segment: &Json) -> Traces {
    let (traces, outcomes) = read(segment.to_string().as_bytes());
    assert_eq!(
        outcomes,
        [Outcome::Taken {
            spans: traces.len()
        }],
        "{segment}"
    );
    traces
}

fn refused(segment: &Json) -> (usize, Refused) {
    let (traces, outcomes) = read(segment.to_string().as_bytes());
    assert!(traces.is_empty());
    match outcomes.as_slice() {
        [Outcome::Refused { segments, why, .. }] => (*segments, why.clone()),
        other => panic!("{segment}: {other:?}"),
    }
}

fn first(traces: &Traces) -> SpanRef<'_> {
    traces.spans().next().unwrap()
}

fn text<'a>(span: SpanRef<'a>, name: &str) -> &'a str {
    match span.attr(name) {
        Some(ValueRef::Str(text)) => text,
        other => panic!("{name}: {other:?}"),
    }
}

/// AWS-36.
#[test]
fn a_datagram_is_a_header_a_newline_and_a_body() {
    for (datagram, expected) in [
        ("{\"format\": \"json\", \"version\": 1}\nbody", Ok("body")),
        (
            "{\"VERSION\":1,\"Format\":\"JSON\",\"more\":[]} \r\nb\nc",
            Ok("b\nc"),
        ),
        (
            "{\"format\": \"json\", \"version\": 1}",
            Err(Refused::Header),
        ),
        (
            "{\"format\": \"json\", \"version\": 1}\n",
            Err(Refused::Empty),
        ),
        (
            "{\"format\": \"json\", \"version\": 1}\n \r\n",
            Err(Refused::Empty),
        ),
        (
            "{\"format\": \"json\", \"version\": 2}\nb",
            Err(Refused::Header),
        ),
        (
            "{\"format\": \"json\", \"version\": 1.0}\nb",
            Err(Refused::Header),
        ),
        (
            "{\"format\": \"xml\", \"version\": 1}\nb",
            Err(Refused::Header),
        ),
        ("{\"version\": 1}\nb", Err(Refused::Header)),
        ("null\nb", Err(Refused::Header)),
        ("\nb", Err(Refused::Header)),
        ("", Err(Refused::Header)),
    ] {
        let body = datagram_body(datagram.as_bytes());
        assert_eq!(body, expected.map(str::as_bytes), "{datagram:?}");
    }
}

/// AWS-42, AWS-38.
#[test]
fn what_a_segment_must_have() {
    let without = |name: &str| {
        let mut segment = segment(&json!({}));
        segment.as_object_mut().unwrap().remove(name);
        segment
    };
    for name in ["name", "id", "start_time", "trace_id"] {
        assert_eq!(refused(&without(name)), (1, Refused::Missing(name)));
    }
    let inside =
        |members: &Json| segment(&json!({"subsegments": [subsegment(&json!({})), members]}));
    for (segment, expected) in [
        (
            segment(&json!({"id": "110022003300440"})),
            (1, Refused::Id("id")),
        ),
        (
            segment(&json!({"id": "110022003300440g"})),
            (1, Refused::Id("id")),
        ),
        (
            segment(&json!({"parent_id": "12"})),
            (1, Refused::Id("parent_id")),
        ),
        (
            segment(&json!({"trace_id": "1-6553f100-0123456789abcdef0123456"})),
            (1, Refused::Id("trace_id")),
        ),
        // The reference ends here.
        (
            segment(&json!({"trace_id": "1-6553f100-0123456789abcdef0123456789"})),
            (1, Refused::Id("trace_id")),
        ),
        (
            segment(&json!({"trace_id": "\u{e9}\u{e9}"})),
            (1, Refused::Id("trace_id")),
        ),
        (
            segment(&json!({"namespace": "other"})),
            (1, Refused::Namespace("other".into())),
        ),
        (
            segment(&json!({"sql": {"url": "nothing"}})),
            (1, Refused::SqlUrl),
        ),
        // So it does at subsegments without name or time, and at `null`.
        (
            inside(&json!({"id": "5500660077008802", "name": "x"})),
            (3, Refused::Missing("start_time")),
        ),
        (
            inside(&json!({"id": "5500660077008802", "start_time": 1})),
            (3, Refused::Missing("name")),
        ),
        (inside(&Json::Null), (3, Refused::Missing("id"))),
        (
            inside(&subsegment(&json!({"trace_id": "1-2-3"}))),
            (3, Refused::Id("trace_id")),
        ),
        (
            inside(&subsegment(&json!({"namespace": ""}))),
            (3, Refused::Namespace(String::new())),
        ),
    ] {
        assert_eq!(refused(&segment), expected, "{segment}");
    }
    for wrong in [
        json!({"name": 5}),
        json!({"start_time": "now"}),
        json!({"in_progress": "yes"}),
        json!({"http": {"response": {"status": 200.0}}}),
        json!({"annotations": []}),
        json!({"metadata": {"default": [1]}}),
        json!({"cause": 7}),
        json!({"subsegments": {}}),
    ] {
        let (segments, why) = refused(&segment(&wrong));
        assert!(
            segments == 1 && matches!(why, Refused::Json(_)),
            "{wrong}: {why:?}"
        );
    }
}

/// Every refusal has its counter, and a text.
#[test]
fn reasons_are_known_words() {
    let all = [
        Refused::Header,
        Refused::Empty,
        Refused::Json(String::new()),
        Refused::Missing("id"),
        Refused::Id("id"),
        Refused::Namespace(String::new()),
        Refused::SqlUrl,
    ];
    assert_eq!(all.each_ref().map(Refused::reason), Refused::REASONS);
    for why in all {
        assert!(why.to_string().len() > 20, "{why}");
    }
}

/// AWS-38.
#[test]
fn kinds_follow_namespace_client_and_place() {
    let http = json!({"request": {"client_ip": "10.0.0.1"}});
    let alone = json!({"parent_id": "5500660077008801", "type": "SubSegment"});
    let (internal, server, client) = (1, 2, 3);
    let kind = |members: Json| first(&taken(&segment(&members))).kind();
    assert_eq!(kind(json!({})), server);
    assert_eq!(kind(json!({"namespace": "aws"})), server);
    assert_eq!(kind(json!({"parent_id": "5500660077008801"})), server);
    assert_eq!(kind(json!({"type": "subsegment"})), server);
    assert_eq!(kind(alone.clone()), internal);
    for (namespace, served, expected) in [
        (None, false, internal),
        (None, true, server),
        (Some("local"), false, internal),
        (Some("local"), true, server),
        (Some("remote"), false, client),
        (Some("remote"), true, client),
        (Some("aws"), false, client),
    ] {
        let mut members = json!({"namespace": namespace});
        if served {
            members["http"] = http.clone();
        }
        let inside = taken(&segment(&json!({"subsegments": [subsegment(&members)]})));
        assert_eq!(inside.spans().nth(1).unwrap().kind(), expected, "{members}");
        for (name, value) in alone.as_object().unwrap() {
            members[name] = value.clone();
        }
        assert_eq!(kind(members.clone()), expected, "{members}");
    }
}

/// AWS-39.
#[test]
fn subsegments_take_trace_and_parent_from_around_them() {
    let other = "1-00000001-0123456789abcdef01234567";
    let inner =
        subsegment(&json!({"id": "5500660077008802", "parent_id": "nonsense is not read here"}));
    let own = subsegment(&json!({"id": "5500660077008803", "trace_id": other}));
    let middle = subsegment(&json!({"subsegments": [inner]}));
    let traces = taken(&segment(
        &json!({"parent_id": "0000000000000000", "subsegments": [middle, own]}),
    ));
    let ids: Vec<(u8, u8, u8)> = traces
        .spans()
        .map(|span| {
            let parent = span.parent_span_id().last().copied().unwrap_or_default();
            (span.trace_id()[3], *span.span_id().last().unwrap(), parent)
        })
        .collect();
    assert_eq!(
        ids,
        [
            (0, 0x01, 0),
            (0, 0x01, 0x01),
            (0, 0x02, 0x01),
            (1, 0x03, 0x01)
        ]
    );
    let span = first(&traces);
    assert_eq!(span.start_ns(), 1_700_000_000_500_000_000);
    assert_eq!(span.end_ns(), 0);
    assert!(span.parent_span_id().is_empty());
}

/// AWS-40.
#[test]
fn the_resource_tells_where_the_segment_ran() {
    let aws = json!({
        "account_id": "1",
        "cloudwatch_logs": [{"log_group": "g1", "arn": "a1"}, {"log_group": "g2"}, null],
        "ec2": {"availability_zone": "z1", "instance_id": "i", "instance_size": "m", "ami_id": "ami"},
        "ecs": {"container": "c", "container_id": "cid", "availability_zone": "z2"},
        "elastic_beanstalk": {"environment_name": "e", "version_label": "v1", "deployment_id": 32},
        "eks": {"cluster_name": "k", "pod": "p", "container_id": "kid"},
        "xray": {"sdk": "X-Ray for Go", "sdk_version": "1.8"},
    });
    let members = json!({"aws": aws, "service": {"version": "v2"}, "resource_arn": "arn"});
    let traces = taken(&segment(&members));
    let resource = first(&traces).resource().clone();
    let found: Vec<(String, String)> = resource
        .attributes
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_text().into_owned()))
        .collect();
    let expected = [
        ("aws.log.group.arns", "[\"a1\"]"),
        ("aws.log.group.names", "[\"g1\",\"g2\"]"),
        ("aws.xray.resource_arn", "arn"),
        ("cloud.account.id", "1"),
        ("cloud.availability_zone", "z2"),
        ("cloud.provider", "aws"),
        ("container.id", "kid"),
        ("container.name", "c"),
        ("host.id", "i"),
        ("host.image.id", "ami"),
        ("host.type", "m"),
        ("k8s.cluster.name", "k"),
        ("k8s.pod.name", "p"),
        ("service.instance.id", "32"),
        ("service.name", "app"),
        ("service.namespace", "e"),
        ("service.version", "v2"),
        ("telemetry.sdk.language", "Go"),
        ("telemetry.sdk.name", "X-Ray for Go"),
        ("telemetry.sdk.version", "1.8"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(found, expected);
    // With exceptions the language is the one that stacks are written in.
    let cause = json!({"exceptions": [{"id": "aaaaaaaaaaaaaaa1"}]});
    let aws = json!({"xray": {"sdk": "X-Ray for Go"}});
    let traces = taken(&segment(&json!({"aws": aws, "cause": cause})));
    let language = first(&traces)
        .resource()
        .attributes
        .get("telemetry.sdk.language")
        .map(|v| v.to_text().into_owned());
    assert_eq!(language.as_deref(), Some("java"));
}

/// AWS-40: where database and host part.
#[test]
fn sql_urls_are_split_as_in_the_reference() {
    for (url, connection, name) in [
        (
            "jdbc:postgresql://db.example.com:5432/shop",
            "jdbc:postgresql://db.example.com:5432",
            "shop",
        ),
        ("mysql://u@h/db?x=1", "mysql://u@h", "db"),
        ("mysql://h/db/more", "mysql://h", "db/more"),
        ("mysql://h:3306", "mysql:", "//h:3306"),
        ("sqlite:memory", "sqlite:", "memory"),
        ("h:3306/x", "h:", "3306/x"),
    ] {
        let traces = taken(&segment(&json!({"sql": {"url": url}})));
        assert_eq!(
            text(first(&traces), "db.connection_string"),
            connection,
            "{url}"
        );
        assert_eq!(text(first(&traces), "db.name"), name, "{url}");
    }
}

/// AWS-40: what annotations and metadata do to other attributes.
#[test]
fn the_last_of_equal_names_counts() {
    let members = json!({
        "user": "mia",
        "http": {"request": {"method": "GET"}},
        "annotations": {"enduser.id": "bo", "http.method": 1, "aws.xray.metadata.a": "x", "aws.xray.annotations": "y"},
        "metadata": {"a": {"k": null}, "n": null},
    });
    let traces = taken(&segment(&members));
    let span = first(&traces);
    assert_eq!(text(span, "enduser.id"), "bo");
    assert_eq!(span.attr("http.method"), Some(ValueRef::Double(1.0)));
    assert_eq!(text(span, "aws.xray.metadata.a"), "{\"k\":null}");
    assert_eq!(text(span, "aws.xray.metadata.n"), "null");
    assert_eq!(text(span, "aws.xray.annotations"), "y");
    let mut names: Vec<&str> = span.attributes().iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "no name comes twice");
}

#[test]
fn json_is_taken_as_go_takes_it() {
    // Names in capitals, members twice, null for left out.
    let body = r#"{"Name":"first","NAME":"second","id":"1100220033004401","start_time":1,"end_time":null,
        "Trace_ID":"1-6553f100-0123456789abcdef01234567","aws":null,"metadata":{"m":{"n":1e21,"s":"\u2028<"}}}"#;
    let (traces, _) = read(body.as_bytes());
    assert_eq!(first(&traces).name(), "second");
    let metadata = text(first(&traces), "aws.xray.metadata.m");
    assert_eq!(metadata, "{\"n\":1e+21,\"s\":\"\\u2028\\u003c\"}");
    // Half a character: of UTF-8, and of an escaped pair.
    let body = segment(&json!({"name": "NAME"})).to_string();
    let (head, tail) = body.split_once("NAME").unwrap();
    let torn = [head.as_bytes(), b"a\xf0\x9f", tail.as_bytes()].concat();
    assert!(first(&read(&torn).0).name().starts_with("a\u{fffd}"));
    for (escaped, name) in [
        (r"\ud83d\ude00", "\u{1f600}"),
        (r"\ud83d", "\u{fffd}"),
        (r"\ude00x", "\u{fffd}x"),
        (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
        (r"\\ud83d \ud83d", "\\ud83d \u{fffd}"),
    ] {
        let (traces, outcomes) = read(body.replace("NAME", escaped).as_bytes());
        assert_eq!(outcomes, [Outcome::Taken { spans: 1 }], "{escaped}");
        assert_eq!(first(&traces).name(), name, "{escaped}");
    }
}

#[test]
fn several_documents_share_a_datagram_and_bad_ones_harm_nobody() {
    let good = segment(&json!({})).to_string();
    let bad = segment(&json!({"id": "x"})).to_string();
    let reasons = |body: &str| -> Vec<&'static str> {
        let (traces, outcomes) = read(body.as_bytes());
        let taken = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Outcome::Taken { .. }));
        assert_eq!(traces.len(), taken.count());
        let word = |outcome: &Outcome| match outcome {
            Outcome::Taken { .. } => "taken",
            Outcome::Refused { why, .. } => why.reason(),
        };
        outcomes.iter().map(word).collect()
    };
    assert_eq!(
        reasons(&format!("{good}{good} {good}\n{good}\n")),
        ["taken"; 4]
    );
    assert_eq!(
        reasons(&format!("{good}\n{bad}\n{good}")),
        ["taken", "invalid_id", "taken"]
    );
    let broken = format!("{good}\n{{\"name\": \"cut\n{good}\n]\n{good}");
    assert_eq!(
        reasons(&broken),
        ["taken", "invalid_json", "taken", "invalid_json", "taken"]
    );
    assert_eq!(reasons(&format!("[]\n{good}")), ["invalid_json", "taken"]);
    // Nothing but brackets is given up soon.
    assert_eq!(reasons(&"[\n".repeat(30_000)), ["invalid_json"; 8]);
}

#[test]
fn deep_documents_are_refused_and_broad_ones_taken() {
    let deep = |levels: usize| {
        let mut inner = subsegment(&json!({}));
        for _ in 0..levels {
            inner = subsegment(&json!({"subsegments": [inner]}));
        }
        segment(&json!({"subsegments": [inner]}))
    };
    assert_eq!(taken(&deep(50)).len(), 52);
    let mut text = String::new();
    for _ in 0..5_000 {
        text.push_str("{\"subsegments\":[");
    }
    assert!(matches!(
        read(text.as_bytes()).1.as_slice(),
        [Outcome::Refused { .. }]
    ));
    let annotations: Json = (0..8_000)
        .map(|n| (format!("a{n}"), Json::from(n)))
        .collect();
    let traces = taken(&segment(&json!({"annotations": annotations})));
    assert_eq!(first(&traces).attributes().iter().count(), 8_001);
}

/// AWS-41: a document that is read and written again.
#[test]
fn a_document_survives_the_way_to_spans_and_back() {
    let sub = subsegment(&json!({
        "namespace": "remote", "end_time": 1_700_000_000.5,
        "http": {"request": {"method": "POST", "url": "http://api.example.com/x"}, "response": {"status": 201, "content_length": 5}},
        "sql": {"url": "mysql://h:3306/shop", "database_type": "mysql", "user": "u", "sanitized_query": "select 1"},
        "cause": {"exceptions": [{"id": "aaaaaaaaaaaaaaa1", "message": "boom", "type": "Bad",
            "stack": [{"path": "A.java", "line": 3, "label": "run"}]}]},
    }));
    let original = segment(&json!({
        "end_time": 1_700_000_001.5, "user": "mia",
        "annotations": {"text": "v", "number": 2.5, "yes": true},
        "metadata": {"default": {"k": [1, "x"]}, "other": {"n": 1.5}},
        "subsegments": [sub],
    }));
    let traces = taken(&original);
    let settings = Settings::default();
    let mut translator = Translator::new(&settings, 1_700_000_000);
    let (mut body, mut requests) = (Body::default(), Vec::new());
    for span in traces.spans().enumerate() {
        translator
            .add(span, &mut body, |body| requests.extend(body.finish()))
            .unwrap();
    }
    requests.extend(body.finish());
    let sent: Json = serde_json::from_slice(&requests[0].bytes).unwrap();
    let documents: Vec<Json> = sent["TraceSegmentDocuments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|document| serde_json::from_str(document.as_str().unwrap()).unwrap())
        .collect();
    let [root, inner] = documents.as_slice() else {
        panic!("{documents:?}")
    };
    for name in [
        "name",
        "id",
        "trace_id",
        "start_time",
        "end_time",
        "user",
        "annotations",
    ] {
        assert_eq!(root[name], original[name], "{name}");
    }
    assert_eq!(root["metadata"]["other"], json!({"n": 1.5}));
    assert_eq!(root["metadata"]["default"]["k"], json!([1, "x"]));
    let sub = &original["subsegments"][0];
    for name in ["id", "start_time", "end_time", "namespace"] {
        assert_eq!(inner[name], sub[name], "{name}");
    }
    assert_eq!(
        (&inner["parent_id"], &inner["trace_id"]),
        (&original["id"], &original["trace_id"])
    );
    assert_eq!(inner["http"]["response"]["status"], 201);
    assert_eq!(inner["http"]["request"]["url"], "http://api.example.com/x");
    // What the exporter makes of the two parts of the URL is the reference's.
    assert_eq!(inner["sql"]["connection_string"], sub["sql"]["url"]);
    for name in ["database_type", "user", "sanitized_query"] {
        assert_eq!(inner["sql"][name], sub["sql"][name], "{name}");
    }
    let exception = &inner["cause"]["exceptions"][0];
    assert_eq!(
        (&exception["message"], &exception["type"]),
        (&json!("boom"), &json!("Bad"))
    );
}

/// A document with all that a segment may hold.
fn full() -> String {
    let exceptions = json!([{"id": "aaaaaaaaaaaaaaa1", "message": "m", "type": "T", "remote": false, "truncated": 3,
        "skipped": 2, "cause": "aaaaaaaaaaaaaaa2", "stack": [{"path": "A", "line": 12, "label": "run"}, {}]}]);
    let sub = subsegment(
        &json!({"namespace": "aws", "cause": "bbbbbbbbbbbbbbb1", "traced": true,
        "aws": {"operation": "GetItem", "region": "r", "request_id": "R1", "table_name": "t", "retries": 2},
        "sql": {"url": "mysql://h/db", "user": "u"}}),
    );
    segment(&json!({
        "end_time": 1_700_000_001.5e0, "in_progress": false, "user": "u", "resource_arn": "arn",
        "http": {"request": {"method": "GET", "url": "u", "client_ip": "1", "user_agent": "a", "x_forwarded_for": true},
            "response": {"status": 404, "content_length": "7"}},
        "cause": {"working_directory": "/", "paths": ["p"], "exceptions": exceptions},
        "aws": {"xray": {"sdk": "X-Ray for Go"}, "ec2": {"instance_id": "i"}, "cloudwatch_logs": [{"log_group": "g"}]},
        "annotations": {"a": "\u{1f600}", "b": 1, "c": [1]}, "metadata": {"d": {"k": {"n": [1, null, "x"]}}},
        "subsegments": [sub, subsegment(&json!({"id": "5500660077008802"}))],
    }))
    .to_string()
}

/// Spans come from documents that were taken, and from nothing else.
fn consistent(body: &[u8]) -> Result<(), TestCaseError> {
    let (traces, outcomes) = read(body);
    let spans = outcomes.iter().map(|outcome| match outcome {
        Outcome::Taken { spans } => *spans,
        Outcome::Refused { why, .. } => {
            assert!(Refused::REASONS.contains(&why.reason()) && !why.to_string().is_empty());
            0
        }
    });
    prop_assert_eq!(traces.len(), spans.sum::<usize>());
    // What was built can be read and written.
    let mut bytes = Vec::new();
    traces.encode_otlp(&mut bytes);
    prop_assert!(Traces::from_otlp(bytes.into(), &std::sync::Arc::default()).is_ok());
    Ok(())
}

proptest! {
    #[test]
    fn no_datagram_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(datagram_body(&bytes));
        consistent(&bytes)?;
        let datagram = [HEADER.as_bytes(), &bytes].concat();
        if let Ok(body) = datagram_body(&datagram) {
            consistent(body)?;
        }
    }

    #[test]
    fn no_mutated_document_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6),
    ) {
        let mut bytes = full().into_bytes();
        for (at, byte, what) in changes {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                // one byte stays: an empty text has no place to change
                2 if bytes.len() > 1 => drop(bytes.remove(at)),
                2 => {}
                _ => bytes.truncate(at + 1),
            }
        }
        consistent(&bytes)?;
    }

    #[test]
    fn members_of_any_type_do_not_panic(
        name in prop::sample::select(vec!["name", "id", "trace_id", "parent_id", "start_time", "end_time",
            "in_progress", "type", "namespace", "user", "http", "cause", "aws", "sql", "annotations", "metadata",
            "subsegments", "service", "traced"]),
        value in prop::sample::select(vec!["null", "true", "-1", "1e300", "-1e-300", "18446744073709551615", "\"\"",
            "\"1100220033004401\"", "[]", "[null]", "[{}]", "{}", "{\"\":{}}", "{\"request\":null,\"response\":{}}",
            "{\"exceptions\":[{},null]}", "{\"url\":\":a\"}"]),
    ) {
        let mut document = full();
        document.truncate(document.len() - 1);
        consistent(format!("{document},\"{name}\":{value}}}").as_bytes())?;
    }

    #[test]
    fn a_bad_line_costs_no_neighbour(line in "[^\n]{0,80}") {
        let good = segment(&json!({})).to_string();
        // A line may open a text that the next one closes: only what stands behind a newline of its own counts.
        let (_, outcomes) = read(format!("{good}\n{line}\n{good}").as_bytes());
        let taken = outcomes.iter().filter(|outcome| **outcome == Outcome::Taken { spans: 1 }).count();
        prop_assert!(taken >= 2, "{outcomes:?}");
    }
}
