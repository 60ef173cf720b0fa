//! Our reading of OTLP against prost's: generated requests, requests with legal oddities, and
//! requests with damaged bytes must get the same verdict and mean the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod generate;
mod json;
mod mutate;
mod normal;

use std::sync::Arc;

use proptest::prelude::*;
use prost::Message as _;

use crate::oracle::{self, proto};
use crate::schema;
use crate::{Interner, Logs, Metrics, Traces};

use proto::collector::logs::v1::ExportLogsServiceRequest as LogsRequest;
use proto::collector::metrics::v1::ExportMetricsServiceRequest as MetricsRequest;
use proto::collector::trace::v1::ExportTraceServiceRequest as TracesRequest;

thread_local! {
    /// One interner for all cases, so that look-ups hit, miss and mix.
    static INTERNER: Arc<Interner> = Arc::default();
}

fn interner() -> Arc<Interner> {
    INTERNER.with(Arc::clone)
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        cases: count,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Reads the bytes both ways and compares verdict, content, and content after writing again.
fn check_traces(bytes: &[u8]) -> bool {
    // Checked first and read later, or read at once: no difference.
    interner().set_read(true);
    let at_once = compare_traces(bytes);
    interner().set_read(false);
    assert_eq!(compare_traces(bytes), at_once);
    at_once
}

fn compare_traces(bytes: &[u8]) -> bool {
    let ours = Traces::from_otlp(bytes.to_vec().into(), &interner());
    let theirs = TracesRequest::decode(bytes);
    assert_eq!(ours.is_ok(), theirs.is_ok(), "{ours:?}\n{theirs:?}");
    let (Ok(ours), Ok(theirs)) = (ours, theirs) else {
        return false;
    };
    let expected = normal::traces(&theirs);
    assert_eq!(normal::traces(&oracle::traces_to(&ours)), expected);
    assert_eq!(ours.len(), expected.len());
    // Written anew, from flat records.
    let mut copy = crate::TracesBuilder::default();
    for span in ours.spans() {
        copy.push_copy(span);
    }
    let mut again = Vec::new();
    copy.finish().encode_otlp(&mut again);
    let again = TracesRequest::decode(again.as_slice()).unwrap();
    assert_eq!(normal::traces(&again), expected);
    true
}

fn check_logs(bytes: &[u8]) -> bool {
    // Checked first and read later, or read at once: no difference.
    interner().set_read(true);
    let at_once = compare_logs(bytes);
    interner().set_read(false);
    assert_eq!(compare_logs(bytes), at_once);
    at_once
}

fn compare_logs(bytes: &[u8]) -> bool {
    let ours = Logs::from_otlp(bytes.to_vec().into(), &interner());
    let theirs = LogsRequest::decode(bytes);
    assert_eq!(ours.is_ok(), theirs.is_ok(), "{ours:?}\n{theirs:?}");
    let (Ok(ours), Ok(theirs)) = (ours, theirs) else {
        return false;
    };
    let expected = normal::logs(&theirs);
    assert_eq!(normal::logs(&oracle::logs_to(&ours)), expected);
    assert_eq!(ours.len(), expected.len());
    let mut copy = crate::LogsBuilder::default();
    for record in ours.records() {
        copy.push_copy(record);
    }
    let mut again = Vec::new();
    copy.finish().encode_otlp(&mut again);
    let again = LogsRequest::decode(again.as_slice()).unwrap();
    assert_eq!(normal::logs(&again), expected);
    true
}

fn check_metrics(bytes: &[u8]) -> bool {
    // Checked first and read later, or read at once: no difference.
    interner().set_read(true);
    let at_once = compare_metrics(bytes);
    interner().set_read(false);
    assert_eq!(compare_metrics(bytes), at_once);
    at_once
}

fn compare_metrics(bytes: &[u8]) -> bool {
    let ours = Metrics::from_otlp(bytes.to_vec().into(), &interner());
    let theirs = MetricsRequest::decode(bytes);
    assert_eq!(ours.is_ok(), theirs.is_ok(), "{ours:?}\n{theirs:?}");
    let (Ok(ours), Ok(theirs)) = (ours, theirs) else {
        return false;
    };
    let expected = normal::metrics(&theirs);
    assert_eq!(normal::metrics(&oracle::metrics_to(&ours)), expected);
    assert_eq!(ours.len(), expected.len());
    let copy = Metrics::from_points(ours.into_points());
    let mut again = Vec::new();
    copy.encode_otlp(&mut again);
    let again = MetricsRequest::decode(again.as_slice()).unwrap();
    assert_eq!(normal::metrics(&again), expected);
    true
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn generated_traces_mean_the_same(request in generate::traces()) {
        prop_assert!(check_traces(&request.encode_to_vec()));
    }

    #[test]
    fn generated_logs_mean_the_same(request in generate::logs()) {
        prop_assert!(check_logs(&request.encode_to_vec()));
    }

    #[test]
    fn generated_metrics_mean_the_same(request in generate::metrics()) {
        prop_assert!(check_metrics(&request.encode_to_vec()));
    }

    /// Repeated and reordered fields, split messages, unknown fields and groups, long varints.
    #[test]
    fn oddly_encoded_traces_mean_the_same(request in generate::traces(), seed: u64) {
        let bytes = mutate::oddly(&request.encode_to_vec(), &schema::TRACES, seed);
        prop_assert!(check_traces(&bytes));
    }

    #[test]
    fn oddly_encoded_logs_mean_the_same(request in generate::logs(), seed: u64) {
        let bytes = mutate::oddly(&request.encode_to_vec(), &schema::LOGS, seed);
        prop_assert!(check_logs(&bytes));
    }

    #[test]
    fn oddly_encoded_metrics_mean_the_same(request in generate::metrics(), seed: u64) {
        let bytes = mutate::oddly(&request.encode_to_vec(), &schema::METRICS, seed);
        prop_assert!(check_metrics(&bytes));
    }

    #[test]
    fn damaged_traces_get_the_same_verdict(request in generate::traces(), harm in mutate::harm()) {
        check_traces(&mutate::apply(request.encode_to_vec(), &harm));
    }

    #[test]
    fn damaged_logs_get_the_same_verdict(request in generate::logs(), harm in mutate::harm()) {
        check_logs(&mutate::apply(request.encode_to_vec(), &harm));
    }

    #[test]
    fn damaged_metrics_get_the_same_verdict(request in generate::metrics(), harm in mutate::harm()) {
        check_metrics(&mutate::apply(request.encode_to_vec(), &harm));
    }
}

/// Bodies nested `levels` deep: at which depth does it end?
fn nested(levels: usize, unknown: bool) -> Vec<u8> {
    use crate::wire::{END_GROUP, START_GROUP, put_key, put_message_always};
    // AnyValue { array_value { values [ AnyValue ... ] } }: two messages per level.
    let mut body = Vec::new();
    if unknown {
        put_key(&mut body, 99, START_GROUP);
        put_key(&mut body, 99, END_GROUP);
    }
    for level in 0..levels {
        let mut outer = Vec::new();
        let field = if level % 2 == 0 { 1 } else { 5 };
        put_message_always(&mut outer, field, |out| out.extend_from_slice(&body));
        body = outer;
    }
    body
}

#[test]
fn nesting_ends_where_prost_ends_it() {
    use crate::wire::put_message_always;
    for unknown in [false, true] {
        let mut verdicts = Vec::new();
        for levels in (80..104).step_by(2) {
            let value = nested(levels, unknown);
            let mut bytes = Vec::new();
            // Request, resource block, resource, attribute, value.
            put_message_always(&mut bytes, 1, |out| {
                put_message_always(out, 1, |out| {
                    put_message_always(out, 1, |out| {
                        put_message_always(out, 2, |out| out.extend_from_slice(&value));
                    });
                });
            });
            verdicts.push(check_traces(&bytes) && check_metrics(&bytes) && check_logs(&bytes));
        }
        assert!(verdicts.contains(&true) && verdicts.contains(&false));
    }
    // One unknown field, and one unknown group, at each depth of a chain of groups.
    for depth in 95..105 {
        let mut bytes = vec![0x9b, 0x06];
        bytes = bytes.repeat(depth);
        bytes.extend([0x08, 0x01]);
        bytes.extend([0x9c, 0x06].repeat(depth));
        check_traces(&bytes);
    }
}
