//! OTLP requests in protobuf, all three signals: the verdict of the generated types, and the same
//! number of items whether bytes are checked first and read later or read at once. What was
//! accepted is written again from records and must be accepted again.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use weir_model::oracle;
use weir_model::oracle::proto::collector::logs::v1::ExportLogsServiceRequest;
use weir_model::oracle::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use weir_model::oracle::proto::collector::trace::v1::ExportTraceServiceRequest;
use weir_model::{Interner, Logs, LogsBuilder, Metrics, Traces, TracesBuilder};

/// A small budget, so that look-ups run over it too.
fn interner() -> Arc<Interner> {
    Arc::new(Interner::new(64 << 10))
}

fn traces(data: &[u8]) {
    let interner = interner();
    let read = || Traces::from_otlp(data.to_vec().into(), &interner);
    let theirs = <ExportTraceServiceRequest as prost::Message>::decode(data);
    let ours = read();
    assert_eq!(ours.is_ok(), theirs.is_ok());
    let Ok(ours) = ours else { return };
    // Reading the spans makes the interner read later requests at once.
    let items = oracle::traces_to(&ours).resource_spans.len();
    assert_eq!(items, ours.len());
    assert_eq!(read().map(|t| t.len()), Ok(items));
    let mut builder = TracesBuilder::default();
    for span in ours.spans() {
        builder.push_copy(span);
    }
    let mut out = Vec::new();
    builder.finish().encode_otlp(&mut out);
    assert_eq!(
        Traces::from_otlp(out.into(), &interner).map(|t| t.len()),
        Ok(items)
    );
}

fn logs(data: &[u8]) {
    let interner = interner();
    let read = || Logs::from_otlp(data.to_vec().into(), &interner);
    let theirs = <ExportLogsServiceRequest as prost::Message>::decode(data);
    let ours = read();
    assert_eq!(ours.is_ok(), theirs.is_ok());
    let Ok(ours) = ours else { return };
    let items = oracle::logs_to(&ours).resource_logs.len();
    assert_eq!(items, ours.len());
    assert_eq!(read().map(|l| l.len()), Ok(items));
    let mut builder = LogsBuilder::default();
    for record in ours.records() {
        builder.push_copy(record);
    }
    let mut out = Vec::new();
    builder.finish().encode_otlp(&mut out);
    assert_eq!(
        Logs::from_otlp(out.into(), &interner).map(|l| l.len()),
        Ok(items)
    );
}

fn metrics(data: &[u8]) {
    let interner = interner();
    let read = || Metrics::from_otlp(data.to_vec().into(), &interner);
    let theirs = <ExportMetricsServiceRequest as prost::Message>::decode(data);
    let ours = read();
    assert_eq!(ours.is_ok(), theirs.is_ok());
    let Ok(ours) = ours else { return };
    let items = oracle::metrics_to(&ours).resource_metrics.len();
    assert_eq!(items, ours.len());
    assert_eq!(read().map(|m| m.len()), Ok(items));
    let mut out = Vec::new();
    Metrics::from_points(ours.into_points()).encode_otlp(&mut out);
    assert_eq!(
        Metrics::from_otlp(out.into(), &interner).map(|m| m.len()),
        Ok(items)
    );
}

fuzz_target!(|data: &[u8]| {
    traces(data);
    logs(data);
    metrics(data);
});
