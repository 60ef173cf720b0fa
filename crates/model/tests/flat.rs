//! Flat batches of spans and log records: building, reading, changing, splitting.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use bytes::Bytes;
use weir_model::{
    Attributes, Interner, Logs, LogsBuilder, Resource, Scope, Traces, TracesBuilder, Value,
    ValueRef,
};

fn resource(name: &str) -> Arc<Resource> {
    Arc::new(Resource {
        attributes: Attributes::from_iter([("service.name", name)]),
        ..Resource::default()
    })
}

fn scope() -> Arc<Scope> {
    Arc::new(Scope {
        name: "lib".into(),
        ..Scope::default()
    })
}

/// Three spans of two resources, as bytes.
fn request() -> Bytes {
    let mut builder = TracesBuilder::default();
    for (i, service) in ["cart", "cart", "pay"].into_iter().enumerate() {
        let mut span = builder.push(&resource(service), &scope());
        span.set_ids(&[7; 16], &[i as u8 + 1; 8], &[]);
        span.set_name(&format!("op {i} \u{e4}\u{20ac}"));
        span.set_kind(2);
        span.set_times(1_700_000_000_000_000_000, 1_700_000_000_000_000_321);
        span.set("http.route", ValueRef::Str("/caf\u{e9}"));
        span.set("size", ValueRef::Int(-5));
        span.set("ratio", ValueRef::Double(0.25));
        span.set("ok", ValueRef::Bool(true));
        span.set_value("list", &Value::List(vec![Value::Int(1), Value::from("x")]));
        span.set_value("long", &Value::from("y".repeat(300)));
        span.set_status(2, "bad");
        span.add_event(12, "exception")
            .set("exception.type", ValueRef::Str("E"));
        span.add_link(&[1; 16], &[2; 8], "a=b")
            .set("why", ValueRef::Str("because"));
    }
    let mut out = Vec::new();
    builder.finish().encode_otlp(&mut out);
    out.into()
}

fn names(traces: &Traces) -> Vec<String> {
    traces.spans().map(|s| s.name().to_owned()).collect()
}

fn bytes(traces: &Traces) -> Vec<u8> {
    let mut out = Vec::new();
    traces.encode_otlp(&mut out);
    out
}

#[test]
fn spans_read_as_they_were_built() {
    let interner = Arc::default();
    let traces = Traces::from_otlp(request(), &interner).unwrap();
    assert_eq!(traces.len(), 3);
    let span = traces.spans().nth(1).unwrap();
    assert_eq!(span.name(), "op 1 \u{e4}\u{20ac}");
    assert_eq!(span.trace_id(), [7; 16]);
    assert_eq!(span.span_id(), [2; 8]);
    assert!(span.parent_span_id().is_empty());
    assert_eq!(span.attr("http.route"), Some(ValueRef::Str("/caf\u{e9}")));
    assert_eq!(span.attr("size"), Some(ValueRef::Int(-5)));
    assert_eq!(span.attr("ratio"), Some(ValueRef::Double(0.25)));
    assert_eq!(span.attr("ok"), Some(ValueRef::Bool(true)));
    assert_eq!(
        span.attr("long").and_then(|v| v.as_str()).unwrap().len(),
        300
    );
    assert_eq!(
        span.attr("list").unwrap().to_value(),
        Value::List(vec![Value::Int(1), Value::from("x")])
    );
    assert_eq!((span.status_code(), span.status_message()), (2, "bad"));
    let event = span.events().next().unwrap();
    assert_eq!((event.time_ns(), event.name()), (12, "exception"));
    assert_eq!(
        event.attributes().get("exception.type"),
        Some(ValueRef::Str("E"))
    );
    let link = span.links().next().unwrap();
    assert_eq!((link.trace_id(), link.trace_state()), (&[1; 16][..], "a=b"));
    // Flat spans write the same bytes again, and equal resources are one.
    let mut spans = traces.spans();
    let (a, b) = (spans.next().unwrap(), spans.next().unwrap());
    assert!(Arc::ptr_eq(a.resource(), b.resource()));
    let mut copy = TracesBuilder::default();
    for span in traces.spans() {
        copy.push_copy(span);
    }
    assert_eq!(bytes(&copy.finish()), request());
}

#[test]
fn bytes_stay_until_something_changes() {
    let interner = Arc::default();
    let mut traces = Traces::from_otlp(request(), &interner).unwrap();
    traces.for_each_mut(|span| {
        span.remove("not there");
    });
    assert_eq!(traces.retain(|_| true), 0);
    traces.map_resources(|_| None);
    assert_eq!(traces.wire_chunks().unwrap(), [request()]);
    let shared = traces.clone();
    traces.for_each_mut(|span| {
        if span.as_ref().name().starts_with("op 1") {
            span.set("new", ValueRef::Int(1));
            span.set("size", ValueRef::Int(2));
            assert!(span.remove("ok"));
        }
    });
    assert!(traces.wire_chunks().is_none());
    assert!(shared.wire_chunks().is_some());
    let changed = traces.spans().nth(1).unwrap();
    assert_eq!(changed.attr("new"), Some(ValueRef::Int(1)));
    assert_eq!(changed.attr("size"), Some(ValueRef::Int(2)));
    assert_eq!(changed.attr("ok"), None);
    assert_eq!(changed.attributes().len(), 6);
    for at in [0, 2] {
        assert_eq!(traces.spans().nth(at).unwrap().attributes().len(), 6);
        assert_eq!(traces.spans().nth(at).unwrap().attr("new"), None);
    }
    assert_eq!(shared.spans().nth(1).unwrap().attr("new"), None);
}

#[test]
fn parts_of_a_shared_batch_change_on_their_own() {
    let interner = Arc::default();
    let mut first = Traces::from_otlp(request(), &interner).unwrap();
    let mut rest = first.split_off(1);
    assert_eq!((first.len(), rest.len()), (1, 2));
    rest.for_each_mut(|span| span.set_name("renamed"));
    assert_eq!(names(&first), ["op 0 \u{e4}\u{20ac}"]);
    assert_eq!(names(&rest), ["renamed", "renamed"]);
    first.append(rest);
    assert_eq!(first.len(), 3);
    let before = first.clone();
    assert_eq!(first.retain(|span| span.name() == "renamed"), 1);
    assert_eq!(names(&first), ["renamed", "renamed"]);
    assert_eq!(before.len(), 3);
    // The same, alone.
    drop(before);
    assert_eq!(
        first.retain(
            |span| span.resource().attributes.get("service.name") == Some(ValueRef::Str("pay"))
        ),
        1
    );
    assert_eq!(names(&first), ["renamed"]);
    let tail = first.split_off(5);
    assert!(tail.is_empty() && first.len() == 1);
}

#[test]
fn resources_are_mapped_once_each() {
    let interner: Arc<Interner> = Arc::default();
    let mut traces = Traces::from_otlp(request(), &interner).unwrap();
    traces.append(Traces::from_otlp(request(), &interner).unwrap());
    let mut asked = 0;
    traces.map_resources(|old| {
        asked += 1;
        let name = old.attributes.get("service.name")?.as_str()?;
        (name == "pay").then(|| resource("paid"))
    });
    assert_eq!(asked, 2);
    let services: Vec<_> = traces
        .spans()
        .map(|s| {
            s.resource()
                .attributes
                .get("service.name")
                .unwrap()
                .to_value()
        })
        .collect();
    let expected = ["cart", "cart", "paid", "cart", "cart", "paid"];
    assert_eq!(services, expected.map(Value::from));
}

#[test]
fn log_records_read_as_they_were_built() {
    let interner = Arc::default();
    let mut builder = LogsBuilder::default();
    let mut record = builder.push(&resource("r"), &scope());
    record.set_times(5, 6);
    record.set_severity(17, "ERROR");
    record.set_body_value(&Value::Map(vec![("k\u{e9}".into(), Value::Double(1.5))]));
    record.set("a", ValueRef::Bytes(&[0xff, 0xfe]));
    record.set_trace(&[3; 16], &[4; 8], 1);
    record.set_event_name("event");
    record.set_dropped_attributes(2);
    let mut record = builder.push(&resource("r"), &scope());
    record.set_body(ValueRef::Str("text \u{1f600}"));
    let built = builder.finish();
    let mut out = Vec::new();
    built.encode_otlp(&mut out);
    let logs = Logs::from_otlp(out.into(), &interner).unwrap();
    assert_eq!(logs.len(), 2);
    let record = logs.records().next().unwrap();
    assert_eq!((record.time_ns(), record.observed_ns()), (5, 6));
    assert_eq!(
        (record.severity_number(), record.severity_text()),
        (17, "ERROR")
    );
    let ValueRef::Map(map) = record.body() else {
        panic!("{:?}", record.body());
    };
    assert_eq!(map.get("k\u{e9}"), Some(ValueRef::Double(1.5)));
    assert_eq!(record.attr("a"), Some(ValueRef::Bytes(&[0xff, 0xfe])));
    assert_eq!(record.trace_id(), [3; 16]);
    assert_eq!(record.span_id(), [4; 8]);
    assert_eq!((record.flags(), record.dropped_attributes()), (1, 2));
    assert_eq!(record.event_name(), "event");
    let body = logs.records().nth(1).unwrap().body();
    assert_eq!(body, ValueRef::Str("text \u{1f600}"));
}

#[test]
fn malformed_requests_are_refused_at_the_door() {
    let interner = Arc::default();
    let good = request();
    assert!(Traces::from_otlp(good.slice(..good.len() - 1), &interner).is_err());
    assert!(Traces::from_otlp(Bytes::from_static(&[0x0a, 0x05]), &interner).is_err());
    assert!(
        Traces::from_otlp(Bytes::new(), &interner)
            .unwrap()
            .is_empty()
    );
    assert!(Logs::from_otlp(Bytes::from_static(b"\xff"), &interner).is_err());
}

#[test]
fn a_span_is_written_with_its_status_even_when_that_is_empty() {
    let mut builder = TracesBuilder::default();
    builder
        .push(&Arc::new(Resource::default()), &Arc::new(Scope::default()))
        .set_name("s");
    let mut bytes = Vec::new();
    builder.finish().encode_otlp(&mut bytes);
    assert!(bytes.ends_with(&[0x2a, 1, b's', 0x7a, 0]), "{bytes:?}");
}
