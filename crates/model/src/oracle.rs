//! Conversions from and to the generated OTLP types (feature `oracle`).
//!
//! The generated types are the other opinion: what they read from bytes and what this crate reads
//! must be the same. They also serve tests and tools where speed does not matter. Values are
//! converted through the public accessors, field by field, not through bytes.

pub use opentelemetry_proto::tonic as proto;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::resource::v1 as resource;
use opentelemetry_proto::tonic::trace::v1 as trace;
use prost::Message as _;

use std::sync::Arc;

use crate::point::{Buckets, Exemplar, ExemplarValue, Point, PointValue};
use crate::series::{MetricKind, Temporality};
use crate::{
    AttributeSource, DecodeError, Interner, LogRef, Logs, Metrics, Resource, Scope, SpanRef,
    Traces, ValueRef,
};

/// A batch of these spans.
pub fn traces_from(
    request: &ExportTraceServiceRequest,
    interner: &Arc<Interner>,
) -> Result<Traces, DecodeError> {
    Traces::from_otlp(request.encode_to_vec().into(), interner)
}

/// A batch of these records.
pub fn logs_from(
    request: &ExportLogsServiceRequest,
    interner: &Arc<Interner>,
) -> Result<Logs, DecodeError> {
    Logs::from_otlp(request.encode_to_vec().into(), interner)
}

/// A batch of these points.
pub fn metrics_from(
    request: &ExportMetricsServiceRequest,
    interner: &Arc<Interner>,
) -> Result<Metrics, DecodeError> {
    Metrics::from_otlp(request.encode_to_vec().into(), interner)
}

/// The request of a batch, each span in blocks of its own.
pub fn traces_to(traces: &Traces) -> ExportTraceServiceRequest {
    let block = |span: SpanRef<'_>| trace::ResourceSpans {
        resource: Some(resource(span.resource())),
        schema_url: span.resource().schema_url.to_string(),
        scope_spans: vec![trace::ScopeSpans {
            scope: Some(scope(span.scope())),
            schema_url: span.scope().schema_url.to_string(),
            spans: vec![self::span(span)],
        }],
    };
    ExportTraceServiceRequest {
        resource_spans: traces.spans().map(block).collect(),
    }
}

/// The request of a batch, each record in blocks of its own.
pub fn logs_to(logs: &Logs) -> ExportLogsServiceRequest {
    let block = |record: LogRef<'_>| logs::ResourceLogs {
        resource: Some(resource(record.resource())),
        schema_url: record.resource().schema_url.to_string(),
        scope_logs: vec![logs::ScopeLogs {
            scope: Some(scope(record.scope())),
            schema_url: record.scope().schema_url.to_string(),
            log_records: vec![self::record(record)],
        }],
    };
    ExportLogsServiceRequest {
        resource_logs: logs.records().map(block).collect(),
    }
}

/// The request of a batch, each point in blocks of its own.
pub fn metrics_to(metrics: &Metrics) -> ExportMetricsServiceRequest {
    let block = |point: &Point| metrics::ResourceMetrics {
        resource: Some(resource(point.series.resource())),
        schema_url: point.series.resource().schema_url.to_string(),
        scope_metrics: vec![metrics::ScopeMetrics {
            scope: Some(scope(point.series.scope())),
            schema_url: point.series.scope().schema_url.to_string(),
            metrics: vec![metric(point)],
        }],
    };
    ExportMetricsServiceRequest {
        resource_metrics: metrics.points().map(block).collect(),
    }
}

/// A value; an empty one is a value message without a value.
pub fn value(value: ValueRef<'_>) -> AnyValue {
    use any_value::Value as V;
    let value = match value {
        ValueRef::Empty => None,
        ValueRef::Str(s) => Some(V::StringValue(s.to_owned())),
        ValueRef::Bool(b) => Some(V::BoolValue(b)),
        ValueRef::Int(i) => Some(V::IntValue(i)),
        ValueRef::Double(d) => Some(V::DoubleValue(d)),
        ValueRef::Bytes(b) => Some(V::BytesValue(b.to_vec())),
        ValueRef::List(list) => Some(V::ArrayValue(ArrayValue {
            values: list.iter().map(self::value).collect(),
        })),
        ValueRef::Map(map) => Some(V::KvlistValue(KeyValueList {
            values: map.iter().map(|(k, v)| pair(k, v)).collect(),
        })),
    };
    AnyValue { value }
}

fn pair(key: &str, value: ValueRef<'_>) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(self::value(value)),
        ..KeyValue::default()
    }
}

fn attributes(source: &dyn AttributeSource) -> Vec<KeyValue> {
    let mut out = Vec::new();
    source.for_each(&mut |key, value| out.push(pair(key, value)));
    out
}

fn resource(resource: &Resource) -> resource::Resource {
    resource::Resource {
        attributes: attributes(&resource.attributes),
        dropped_attributes_count: resource.dropped_attributes,
        entity_refs: Vec::new(),
    }
}

fn scope(scope: &Scope) -> InstrumentationScope {
    InstrumentationScope {
        name: scope.name.to_string(),
        version: scope.version.to_string(),
        attributes: attributes(&scope.attributes),
        dropped_attributes_count: scope.dropped_attributes,
    }
}

/// A span. A status that says nothing is left out.
pub fn span(span: SpanRef<'_>) -> trace::Span {
    let (attributes_left, events_left, links_left) = span.dropped();
    let status = trace::Status {
        message: span.status_message().to_owned(),
        code: span.status_code(),
    };
    trace::Span {
        trace_id: span.trace_id().to_vec(),
        span_id: span.span_id().to_vec(),
        trace_state: span.trace_state().to_owned(),
        parent_span_id: span.parent_span_id().to_vec(),
        flags: span.flags(),
        name: span.name().to_owned(),
        kind: span.kind(),
        start_time_unix_nano: span.start_ns(),
        end_time_unix_nano: span.end_ns(),
        attributes: attributes(&span.attributes()),
        dropped_attributes_count: attributes_left,
        events: span
            .events()
            .map(|event| trace::span::Event {
                time_unix_nano: event.time_ns(),
                name: event.name().to_owned(),
                attributes: attributes(&event.attributes()),
                dropped_attributes_count: event.dropped_attributes(),
            })
            .collect(),
        dropped_events_count: events_left,
        links: span
            .links()
            .map(|link| trace::span::Link {
                trace_id: link.trace_id().to_vec(),
                span_id: link.span_id().to_vec(),
                trace_state: link.trace_state().to_owned(),
                attributes: attributes(&link.attributes()),
                dropped_attributes_count: link.dropped_attributes(),
                flags: link.flags(),
            })
            .collect(),
        dropped_links_count: links_left,
        status: (status != trace::Status::default()).then_some(status),
    }
}

/// A log record. A body without a value is left out.
pub fn record(record: LogRef<'_>) -> logs::LogRecord {
    let body = value(record.body());
    logs::LogRecord {
        time_unix_nano: record.time_ns(),
        observed_time_unix_nano: record.observed_ns(),
        severity_number: record.severity_number(),
        severity_text: record.severity_text().to_owned(),
        body: body.value.is_some().then_some(body),
        attributes: attributes(&record.attributes()),
        dropped_attributes_count: record.dropped_attributes(),
        flags: record.flags(),
        trace_id: record.trace_id().to_vec(),
        span_id: record.span_id().to_vec(),
        event_name: record.event_name().to_owned(),
    }
}

fn temporality(temporality: Temporality) -> i32 {
    temporality.to_otlp() as i32
}

/// A metric with this point alone.
pub fn metric(point: &Point) -> metrics::Metric {
    use metrics::metric::Data;
    let meta = point.series.metric();
    let data = match meta.kind {
        MetricKind::Gauge => Data::Gauge(metrics::Gauge {
            data_points: vec![number(point)],
        }),
        MetricKind::Sum {
            temporality: t,
            monotonic,
        } => Data::Sum(metrics::Sum {
            data_points: vec![number(point)],
            aggregation_temporality: temporality(t),
            is_monotonic: monotonic,
        }),
        MetricKind::Histogram { temporality: t } => Data::Histogram(metrics::Histogram {
            data_points: histogram(point).into_iter().collect(),
            aggregation_temporality: temporality(t),
        }),
        MetricKind::ExponentialHistogram { temporality: t } => {
            Data::ExponentialHistogram(metrics::ExponentialHistogram {
                data_points: exponential(point).into_iter().collect(),
                aggregation_temporality: temporality(t),
            })
        }
        MetricKind::Summary => Data::Summary(metrics::Summary {
            data_points: summary(point).into_iter().collect(),
        }),
    };
    metrics::Metric {
        name: meta.name.to_string(),
        description: meta.description.to_string(),
        unit: meta.unit.to_string(),
        metadata: attributes(&meta.metadata),
        data: Some(data),
    }
}

/// Labels, then tags.
fn point_attributes(point: &Point) -> Vec<KeyValue> {
    let mut out = attributes(point.series.labels());
    for (key, tag) in point.tags() {
        out.push(tag.with_ref(|v| pair(key, v)));
    }
    out
}

fn exemplars(point: &Point) -> Vec<metrics::Exemplar> {
    let convert = |exemplar: &Exemplar| metrics::Exemplar {
        filtered_attributes: attributes(&exemplar.filtered_attributes),
        time_unix_nano: exemplar.time_ns,
        span_id: exemplar.span_id.to_vec(),
        trace_id: exemplar.trace_id.to_vec(),
        value: exemplar.value.map(|value| match value {
            ExemplarValue::Int(i) => metrics::exemplar::Value::AsInt(i),
            ExemplarValue::Double(d) => metrics::exemplar::Value::AsDouble(d),
        }),
    };
    point.exemplars().iter().map(convert).collect()
}

fn number(point: &Point) -> metrics::NumberDataPoint {
    use metrics::number_data_point::Value;
    metrics::NumberDataPoint {
        attributes: point_attributes(point),
        start_time_unix_nano: point.start_ns,
        time_unix_nano: point.time_ns,
        exemplars: exemplars(point),
        flags: point.flags,
        value: match point.value {
            PointValue::Int(i) => Some(Value::AsInt(i)),
            PointValue::Double(d) => Some(Value::AsDouble(d)),
            _ => None,
        },
    }
}

fn histogram(point: &Point) -> Option<metrics::HistogramDataPoint> {
    let PointValue::Histogram(h) = &point.value else {
        return None;
    };
    Some(metrics::HistogramDataPoint {
        attributes: point_attributes(point),
        start_time_unix_nano: point.start_ns,
        time_unix_nano: point.time_ns,
        count: h.count,
        sum: h.sum,
        bucket_counts: h.bucket_counts.clone(),
        explicit_bounds: h.explicit_bounds.clone(),
        exemplars: exemplars(point),
        flags: point.flags,
        min: h.min,
        max: h.max,
    })
}

fn exponential(point: &Point) -> Option<metrics::ExponentialHistogramDataPoint> {
    let PointValue::ExponentialHistogram(h) = &point.value else {
        return None;
    };
    let side = |buckets: &Option<Buckets>| {
        let convert = |b: &Buckets| metrics::exponential_histogram_data_point::Buckets {
            offset: b.offset,
            bucket_counts: b.counts.clone(),
        };
        buckets.as_ref().map(convert)
    };
    Some(metrics::ExponentialHistogramDataPoint {
        attributes: point_attributes(point),
        start_time_unix_nano: point.start_ns,
        time_unix_nano: point.time_ns,
        count: h.count,
        sum: h.sum,
        scale: h.scale,
        zero_count: h.zero_count,
        positive: side(&h.positive),
        negative: side(&h.negative),
        flags: point.flags,
        exemplars: exemplars(point),
        min: h.min,
        max: h.max,
        zero_threshold: h.zero_threshold,
    })
}

fn summary(point: &Point) -> Option<metrics::SummaryDataPoint> {
    let PointValue::Summary(s) = &point.value else {
        return None;
    };
    let quantile = |(quantile, value): &(f64, f64)| metrics::summary_data_point::ValueAtQuantile {
        quantile: *quantile,
        value: *value,
    };
    Some(metrics::SummaryDataPoint {
        attributes: point_attributes(point),
        start_time_unix_nano: point.start_ns,
        time_unix_nano: point.time_ns,
        count: s.count,
        sum: s.sum,
        quantile_values: s.quantiles.iter().map(quantile).collect(),
        flags: point.flags,
    })
}
