//! OTLP/JSON against the generated types' serde, and the rules one by one.

use proptest::prelude::*;
use prost::Message as _;

use super::{cases, generate, interner, normal};
use crate::oracle;
use crate::{DecodeError, Logs, Metrics, Traces, ValueRef};

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn traces_survive_json(mut request in generate::traces()) {
        for span in request
            .resource_spans
            .iter_mut()
            .flat_map(|r| &mut r.scope_spans)
            .flat_map(|s| &mut s.spans)
        {
            span.trace_id.resize(16, 1);
            span.span_id.resize(8, 1);
            span.parent_span_id.resize(8, 1);
            for link in &mut span.links {
                link.trace_id.clear();
                link.span_id.resize(8, 2);
            }
        }
        let traces = oracle::traces_from(&request, &interner()).unwrap();
        let json = traces.to_json();
        let again = Traces::from_json(&json, &interner()).unwrap();
        let text = String::from_utf8_lossy(&json);
        prop_assert_eq!(
            normal::traces(&oracle::traces_to(&again)),
            normal::traces(&request),
            "{}", text
        );
    }

    #[test]
    fn logs_survive_json(mut request in generate::logs()) {
        for record in request
            .resource_logs
            .iter_mut()
            .flat_map(|r| &mut r.scope_logs)
            .flat_map(|s| &mut s.log_records)
        {
            record.trace_id.resize(16, 1);
            record.span_id.clear();
        }
        let logs = oracle::logs_from(&request, &interner()).unwrap();
        let again = Logs::from_json(&logs.to_json(), &interner()).unwrap();
        prop_assert_eq!(normal::logs(&oracle::logs_to(&again)), normal::logs(&request));
    }

    #[test]
    fn metrics_survive_json(mut request in generate::metrics()) {
        clean(&mut request);
        let metrics = oracle::metrics_from(&request, &interner()).unwrap();
        let again = Metrics::from_json(&metrics.to_json(), &interner()).unwrap();
        prop_assert_eq!(
            normal::metrics(&oracle::metrics_to(&again)),
            normal::metrics(&request)
        );
    }

    #[test]
    fn any_json_is_read_or_refused(text in "[\\[\\]{}:,\"a-zA-Z0-9. \\\\-]{0,40}") {
        drop(Traces::from_json(text.as_bytes(), &interner()));
        drop(Metrics::from_json(format!("{{\"resourceMetrics\":{text}}}").as_bytes(), &interner()));
    }
}

/// Ids of legal length, and the one NaN that JSON knows.
fn clean(request: &mut super::MetricsRequest) {
    use oracle::proto::metrics::v1::metric::Data;
    let exemplars = |list: &mut Vec<oracle::proto::metrics::v1::Exemplar>| {
        for exemplar in list {
            exemplar.trace_id.resize(16, 1);
            exemplar.span_id.resize(8, 1);
        }
    };
    for metric in request
        .resource_metrics
        .iter_mut()
        .flat_map(|r| &mut r.scope_metrics)
        .flat_map(|s| &mut s.metrics)
    {
        match &mut metric.data {
            Some(Data::Gauge(d)) => d
                .data_points
                .iter_mut()
                .for_each(|p| exemplars(&mut p.exemplars)),
            Some(Data::Sum(d)) => d
                .data_points
                .iter_mut()
                .for_each(|p| exemplars(&mut p.exemplars)),
            Some(Data::Histogram(d)) => {
                d.data_points
                    .iter_mut()
                    .for_each(|p| exemplars(&mut p.exemplars));
            }
            Some(Data::ExponentialHistogram(d)) => {
                d.data_points
                    .iter_mut()
                    .for_each(|p| exemplars(&mut p.exemplars));
            }
            _ => {}
        }
    }
}

/// One span with these fields.
fn span(fields: &str) -> Result<Traces, DecodeError> {
    let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#);
    Traces::from_json(json.as_bytes(), &interner())
}

#[test]
fn both_spellings_of_names_and_numbers_are_read() {
    let json = br#"{"resource_spans":[{"resource":{"attributes":[{"key":"a","value":{"int_value":7}}]},
      "scope_spans":[{"spans":[{"trace_id":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174",
      "start_time_unix_nano":"1544712660000000000","endTimeUnixNano":1544712661000000000,
      "kind":"SPAN_KIND_SERVER","status":{"code":2},"unknown":{"x":[1,{"y":null}]},
      "attributes":[{"key":"d","value":{"doubleValue":"-Infinity"}},{"key":"e","value":null},
       {"key":"f","value":{"bytesValue":"_-8"}},{"key":"g","value":{"doubleValue":3}}],
      "events":null,"droppedLinksCount":"4","flags":257}]}]}]}"#;
    let traces = Traces::from_json(json, &interner()).unwrap();
    let span = traces.spans().next().unwrap();
    assert_eq!(span.resource().attributes.get("a"), Some(ValueRef::Int(7)));
    assert_eq!(span.trace_id()[..2], [0x5b, 0x8e]);
    assert_eq!(span.span_id()[7], 0x74);
    assert_eq!(span.start_ns(), 1_544_712_660_000_000_000);
    assert_eq!(span.end_ns(), 1_544_712_661_000_000_000);
    assert_eq!((span.kind(), span.status_code(), span.flags()), (2, 2, 257));
    assert_eq!(span.dropped(), (0, 0, 4));
    assert_eq!(span.attr("d"), Some(ValueRef::Double(f64::NEG_INFINITY)));
    assert_eq!(span.attr("e"), Some(ValueRef::Empty));
    assert_eq!(span.attr("f"), Some(ValueRef::Bytes(&[0xff, 0xef])));
    assert_eq!(span.attr("g"), Some(ValueRef::Double(3.0)));
}

#[test]
fn what_cannot_be_read_is_named() {
    for (fields, says) in [
        (
            r#""traceId":"zz8efff798038103d269b633813fc60c""#,
            "spans[0].traceId: expected 32 hex",
        ),
        (r#""traceId":"5b8e""#, "32 hex"),
        (r#""spanId":"5b8""#, "16 hex"),
        (r#""spanId":7"#, "16 hex"),
        (r#""kind":"SERVER""#, "kind: expected an enum"),
        (
            r#""startTimeUnixNano":-1"#,
            "startTimeUnixNano: expected an unsigned 64-bit",
        ),
        (r#""startTimeUnixNano":"1e5x""#, "unsigned 64-bit"),
        (r#""flags":4294967296"#, "unsigned 32-bit"),
        (r#""name":1"#, "a string"),
        (r#""attributes":{}"#, "attributes: expected an array"),
        (r#""attributes":[1]"#, "attributes[0]: expected an object"),
        (
            r#""attributes":[{},{"value":{"bytesValue":"*"}}]"#,
            "attributes[1].value.bytesValue",
        ),
        (r#""status":[]"#, "status: expected an object"),
    ] {
        let error = span(fields).unwrap_err().to_string();
        assert!(error.contains(says), "{fields}: {error}");
    }
    for text in [
        "",
        "[]",
        "null",
        "{} {}",
        "{\"resourceSpans\":[",
        "{\"a\":\u{1}}",
    ] {
        assert!(
            Traces::from_json(text.as_bytes(), &interner()).is_err(),
            "{text}"
        );
    }
    assert!(Traces::from_json(b"\xff", &interner()).is_err());
    assert!(span("").is_ok() && span(r#""traceId":"""#).is_ok());
}

#[test]
fn deep_json_is_refused_and_not_followed() {
    let deep = 50_000;
    let open = r#"{"arrayValue":{"values":["#.repeat(deep);
    let close = "]}}".repeat(deep);
    assert!(span(&format!(r#""attributes":[{{"value":{open}{close}}}]"#)).is_err());
    let open = "[".repeat(deep);
    let close = "]".repeat(deep);
    // What nobody knows is stepped over without recursion.
    assert!(span(&format!(r#""unknown":{open}{close}"#)).is_ok());
    assert!(span(&format!(r#""attributes":{open}{close}"#)).is_err());
}

#[test]
fn json_leaves_defaults_out() {
    let traces = span(
        r#""name":"x\u00e9<","kind":0,"droppedEventsCount":3,"status":{"code":1},
        "attributes":[{"key":"i","value":{"intValue":"-5"}},{"key":"z","value":{"boolValue":false}}]"#,
    );
    let json = String::from_utf8(traces.unwrap().to_json()).unwrap();
    assert_eq!(
        json,
        "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"name\":\"x\u{e9}\\u003c\",\
         \"attributes\":[{\"key\":\"i\",\"value\":{\"intValue\":\"-5\"}},\
         {\"key\":\"z\",\"value\":{\"boolValue\":false}}],\
         \"droppedEventsCount\":3,\"status\":{\"code\":1}}]}]}]}"
    );
}

#[test]
fn the_generated_serde_reads_what_we_write() {
    let json = br#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"k","value":{"stringValue":"v"}}]},
      "scopeMetrics":[{"scope":{"name":"s"},"metrics":[{"name":"h","unit":"s","histogram":{
      "aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"12","count":"3","sum":1.5,
      "bucketCounts":["1","2"],"explicitBounds":[0.5],"exemplars":[{"timeUnixNano":"4","asDouble":0.25,
      "spanId":"0001020304050607","traceId":"000102030405060708090a0b0c0d0e0f"}]}]}}]}]}]}"#;
    let metrics = Metrics::from_json(json, &interner()).unwrap();
    let theirs: super::MetricsRequest = serde_json::from_slice(&metrics.to_json()).unwrap();
    let ours = oracle::metrics_to(&metrics);
    assert_eq!(normal::metrics(&theirs), normal::metrics(&ours));
    assert!(theirs.encoded_len() > 0);
}
