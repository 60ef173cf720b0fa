//! Random requests of the generated types.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{LogsRequest, MetricsRequest, TracesRequest, proto};
use proto::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use proto::logs::v1 as l;
use proto::metrics::v1 as m;
use proto::resource::v1::Resource;
use proto::trace::v1 as t;

/// Few distinct texts, so that keys and series repeat; some not ASCII, some long.
pub(super) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-c]{0,2}",
        2 => "\\PC{0,12}",
        1 => "[x-z]{120,140}",
    ]
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        Just(0.0),
        Just(-0.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
    ]
}

pub(super) fn any_value() -> impl Strategy<Value = AnyValue> {
    use any_value::Value as V;
    let leaf = prop_oneof![
        4 => text().prop_map(|s| Some(V::StringValue(s))),
        1 => any::<bool>().prop_map(|b| Some(V::BoolValue(b))),
        1 => any::<i64>().prop_map(|i| Some(V::IntValue(i))),
        1 => (0..3i64).prop_map(|i| Some(V::IntValue(i))),
        1 => double().prop_map(|d| Some(V::DoubleValue(d))),
        1 => vec(any::<u8>(), 0..6).prop_map(|b| Some(V::BytesValue(b))),
        1 => Just(None),
    ]
    .prop_map(|value| AnyValue { value });
    leaf.prop_recursive(3, 12, 3, |inner| {
        let list = vec(inner.clone(), 0..3).prop_map(|values| V::ArrayValue(ArrayValue { values }));
        let entry = (text(), option::weighted(0.9, inner)).prop_map(|(key, value)| KeyValue {
            key,
            value,
            ..KeyValue::default()
        });
        let map = vec(entry, 0..3).prop_map(|values| V::KvlistValue(KeyValueList { values }));
        prop_oneof![list, map].prop_map(|value| AnyValue { value: Some(value) })
    })
}

pub(super) fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let pair = (text(), option::weighted(0.95, any_value()));
    let pair = pair.prop_map(|(key, value)| KeyValue {
        key,
        value,
        ..KeyValue::default()
    });
    vec(pair, 0..4)
}

fn resource() -> impl Strategy<Value = Option<Resource>> {
    let entity = text().prop_map(|text| EntityRef {
        schema_url: text.clone(),
        r#type: text.clone(),
        id_keys: vec![text],
        ..EntityRef::default()
    });
    let resource = (attributes(), 0..3u32, option::weighted(0.1, entity));
    let resource = resource.prop_map(|(attributes, dropped, entity)| Resource {
        attributes,
        dropped_attributes_count: dropped,
        entity_refs: entity.into_iter().collect(),
    });
    option::weighted(0.9, resource)
}

fn scope() -> impl Strategy<Value = Option<InstrumentationScope>> {
    let scope = (text(), text(), attributes(), 0..2u32);
    let scope = scope.prop_map(
        |(name, version, attributes, dropped)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count: dropped,
        },
    );
    option::weighted(0.9, scope)
}

fn id(len: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(any::<u8>(), len),
        1 => Just(Vec::new()),
        1 => vec(any::<u8>(), 0..20),
    ]
}

fn event() -> impl Strategy<Value = t::span::Event> {
    (any::<u64>(), text(), attributes(), 0..2u32).prop_map(|(time, name, attributes, dropped)| {
        t::span::Event {
            time_unix_nano: time,
            name,
            attributes,
            dropped_attributes_count: dropped,
        }
    })
}

fn link() -> impl Strategy<Value = t::span::Link> {
    let link = (id(16), id(8), text(), attributes(), 0..2u32, any::<u32>());
    link.prop_map(
        |(trace_id, span_id, trace_state, attributes, dropped, flags)| t::span::Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count: dropped,
            flags,
        },
    )
}

fn span() -> impl Strategy<Value = t::Span> {
    let status = (text(), -1..4i32).prop_map(|(message, code)| t::Status { message, code });
    let ids = (id(16), id(8), id(8), text(), text());
    let numbers = (any::<u32>(), -2..9i32, any::<u64>(), any::<u64>());
    let dropped = (0..3u32, any::<u32>(), 0..3u32);
    let parts = (attributes(), vec(event(), 0..3), vec(link(), 0..3));
    (ids, numbers, dropped, parts, option::of(status)).prop_map(
        |(ids, numbers, dropped, parts, status)| t::Span {
            trace_id: ids.0,
            span_id: ids.1,
            parent_span_id: ids.2,
            trace_state: ids.3,
            name: ids.4,
            flags: numbers.0,
            kind: numbers.1,
            start_time_unix_nano: numbers.2,
            end_time_unix_nano: numbers.3,
            dropped_attributes_count: dropped.0,
            dropped_events_count: dropped.1,
            dropped_links_count: dropped.2,
            attributes: parts.0,
            events: parts.1,
            links: parts.2,
            status,
        },
    )
}

pub(super) fn traces() -> impl Strategy<Value = TracesRequest> {
    let scoped = (scope(), vec(span(), 0..3), text());
    let scoped = scoped.prop_map(|(scope, spans, schema_url)| t::ScopeSpans {
        scope,
        spans,
        schema_url,
    });
    let block = (resource(), vec(scoped, 0..3), text());
    let block = block.prop_map(|(resource, scope_spans, schema_url)| t::ResourceSpans {
        resource,
        scope_spans,
        schema_url,
    });
    vec(block, 0..3).prop_map(|resource_spans| TracesRequest { resource_spans })
}

fn record() -> impl Strategy<Value = l::LogRecord> {
    let numbers = (any::<u64>(), any::<u64>(), -1..30i32, 0..3u32, any::<u32>());
    let texts = (text(), text(), id(16), id(8));
    (numbers, texts, option::of(any_value()), attributes()).prop_map(
        |(numbers, texts, body, attributes)| l::LogRecord {
            time_unix_nano: numbers.0,
            observed_time_unix_nano: numbers.1,
            severity_number: numbers.2,
            dropped_attributes_count: numbers.3,
            flags: numbers.4,
            severity_text: texts.0,
            event_name: texts.1,
            trace_id: texts.2,
            span_id: texts.3,
            body,
            attributes,
        },
    )
}

pub(super) fn logs() -> impl Strategy<Value = LogsRequest> {
    let scoped = (scope(), vec(record(), 0..3), text());
    let scoped = scoped.prop_map(|(scope, log_records, schema_url)| l::ScopeLogs {
        scope,
        log_records,
        schema_url,
    });
    let block = (resource(), vec(scoped, 0..3), text());
    let block = block.prop_map(|(resource, scope_logs, schema_url)| l::ResourceLogs {
        resource,
        scope_logs,
        schema_url,
    });
    vec(block, 0..3).prop_map(|resource_logs| LogsRequest { resource_logs })
}

fn exemplar() -> impl Strategy<Value = m::Exemplar> {
    use m::exemplar::Value;
    let value = prop_oneof![
        double().prop_map(|d| Some(Value::AsDouble(d))),
        any::<i64>().prop_map(|i| Some(Value::AsInt(i))),
        Just(None),
    ];
    (attributes(), any::<u64>(), id(8), id(16), value).prop_map(
        |(filtered_attributes, time_unix_nano, span_id, trace_id, value)| m::Exemplar {
            filtered_attributes,
            time_unix_nano,
            span_id,
            trace_id,
            value,
        },
    )
}

/// Attributes, start, time, flags and exemplars of a point.
fn common() -> impl Strategy<Value = (Vec<KeyValue>, u64, u64, u32, Vec<m::Exemplar>)> {
    (
        attributes(),
        any::<u64>(),
        any::<u64>(),
        0..3u32,
        vec(exemplar(), 0..2),
    )
}

fn number() -> impl Strategy<Value = m::NumberDataPoint> {
    use m::number_data_point::Value;
    let value = prop_oneof![
        double().prop_map(|d| Some(Value::AsDouble(d))),
        any::<i64>().prop_map(|i| Some(Value::AsInt(i))),
        Just(None),
    ];
    (common(), value).prop_map(|(c, value)| m::NumberDataPoint {
        attributes: c.0,
        start_time_unix_nano: c.1,
        time_unix_nano: c.2,
        flags: c.3,
        exemplars: c.4,
        value,
    })
}

fn stats() -> impl Strategy<Value = (u64, Option<f64>, Option<f64>, Option<f64>)> {
    let maybe = || option::of(double());
    (any::<u64>(), maybe(), maybe(), maybe())
}

fn histogram() -> impl Strategy<Value = m::HistogramDataPoint> {
    let buckets = (vec(any::<u64>(), 0..4), vec(double(), 0..4));
    (common(), stats(), buckets).prop_map(|(c, s, b)| m::HistogramDataPoint {
        attributes: c.0,
        start_time_unix_nano: c.1,
        time_unix_nano: c.2,
        flags: c.3,
        exemplars: c.4,
        count: s.0,
        sum: s.1,
        min: s.2,
        max: s.3,
        bucket_counts: b.0,
        explicit_bounds: b.1,
    })
}

fn exponential() -> impl Strategy<Value = m::ExponentialHistogramDataPoint> {
    use m::exponential_histogram_data_point::Buckets;
    let side = || {
        let side = (any::<i32>(), vec(any::<u64>(), 0..4));
        option::of(side.prop_map(|(offset, bucket_counts)| Buckets {
            offset,
            bucket_counts,
        }))
    };
    let rest = (any::<i32>(), any::<u64>(), double(), side(), side());
    (common(), stats(), rest).prop_map(|(c, s, r)| m::ExponentialHistogramDataPoint {
        attributes: c.0,
        start_time_unix_nano: c.1,
        time_unix_nano: c.2,
        flags: c.3,
        exemplars: c.4,
        count: s.0,
        sum: s.1,
        min: s.2,
        max: s.3,
        scale: r.0,
        zero_count: r.1,
        zero_threshold: r.2,
        positive: r.3,
        negative: r.4,
    })
}

fn summary() -> impl Strategy<Value = m::SummaryDataPoint> {
    use m::summary_data_point::ValueAtQuantile;
    let quantile = (double(), double());
    let quantile = quantile.prop_map(|(quantile, value)| ValueAtQuantile { quantile, value });
    let rest = (any::<u64>(), double(), vec(quantile, 0..3));
    (common(), rest).prop_map(|(c, r)| m::SummaryDataPoint {
        attributes: c.0,
        start_time_unix_nano: c.1,
        time_unix_nano: c.2,
        flags: c.3,
        count: r.0,
        sum: r.1,
        quantile_values: r.2,
    })
}

fn data() -> impl Strategy<Value = Option<m::metric::Data>> {
    use m::metric::Data;
    let temporality = -1..4i32;
    prop_oneof![
        Just(None),
        vec(number(), 0..3).prop_map(|data_points| Some(Data::Gauge(m::Gauge { data_points }))),
        (vec(number(), 0..3), temporality.clone(), any::<bool>()).prop_map(|(points, t, mono)| {
            Some(Data::Sum(m::Sum {
                data_points: points,
                aggregation_temporality: t,
                is_monotonic: mono,
            }))
        }),
        (vec(histogram(), 0..3), temporality.clone()).prop_map(|(points, t)| {
            Some(Data::Histogram(m::Histogram {
                data_points: points,
                aggregation_temporality: t,
            }))
        }),
        (vec(exponential(), 0..3), temporality).prop_map(|(points, t)| {
            Some(Data::ExponentialHistogram(m::ExponentialHistogram {
                data_points: points,
                aggregation_temporality: t,
            }))
        }),
        vec(summary(), 0..3)
            .prop_map(|data_points| Some(Data::Summary(m::Summary { data_points }))),
    ]
}

pub(super) fn metrics() -> impl Strategy<Value = MetricsRequest> {
    let metric = (text(), text(), text(), attributes(), data());
    let metric = metric.prop_map(|(name, description, unit, metadata, data)| m::Metric {
        name,
        description,
        unit,
        metadata,
        data,
    });
    let scoped = (scope(), vec(metric, 0..3), text());
    let scoped = scoped.prop_map(|(scope, metrics, schema_url)| m::ScopeMetrics {
        scope,
        metrics,
        schema_url,
    });
    let block = (resource(), vec(scoped, 0..3), text());
    let block = block.prop_map(|(resource, scope_metrics, schema_url)| m::ResourceMetrics {
        resource,
        scope_metrics,
        schema_url,
    });
    vec(block, 0..3).prop_map(|resource_metrics| MetricsRequest { resource_metrics })
}
