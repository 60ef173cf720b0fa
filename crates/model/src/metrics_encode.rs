//! Points back to OTLP bytes.

use std::sync::Arc;

use crate::point::{Buckets, Exemplar, ExemplarValue, Point, PointValue};
use crate::series::{MetricKind, MetricMeta, Resource, Scope};
use crate::value::encode_key_value;
use crate::wire::{
    self, LEN, put_bytes, put_fixed64, put_fixed64_always, put_key, put_message_always, put_uint,
    put_varint,
};

/// Appends the points as `ResourceMetrics` blocks (field 1 of the request). Neighbouring points
/// of one resource, scope and metric share their blocks; order is kept.
pub(crate) fn encode_points(points: &[Point], out: &mut Vec<u8>) {
    for block in runs(points, |p| p.series.resource()) {
        let Some(first) = block.first() else { continue };
        put_message_always(out, 1, |out| {
            let resource = first.series.resource();
            put_message_always(out, 1, |out| encode_resource(resource, out));
            for scope_block in runs(block, |p| p.series.scope()) {
                encode_scope_metrics(scope_block, out);
            }
            put_bytes(out, 3, resource.schema_url.as_bytes());
        });
    }
}

/// Splits into runs of neighbours whose part is the same shared value.
fn runs<'a, T: 'a>(
    points: &'a [Point],
    part: impl Fn(&Point) -> &Arc<T>,
) -> impl Iterator<Item = &'a [Point]> {
    points.chunk_by(move |a, b| Arc::ptr_eq(part(a), part(b)))
}

fn encode_scope_metrics(points: &[Point], out: &mut Vec<u8>) {
    let Some(first) = points.first() else { return };
    put_message_always(out, 2, |out| {
        let scope = first.series.scope();
        put_message_always(out, 1, |out| encode_scope(scope, out));
        for block in runs(points, |p| p.series.metric()) {
            encode_metric(block, out);
        }
        put_bytes(out, 3, scope.schema_url.as_bytes());
    });
}

pub(crate) fn encode_resource(resource: &Resource, out: &mut Vec<u8>) {
    resource.attributes.encode(1, out);
    put_uint(out, 2, u64::from(resource.dropped_attributes));
}

pub(crate) fn encode_scope(scope: &Scope, out: &mut Vec<u8>) {
    put_bytes(out, 1, scope.name.as_bytes());
    put_bytes(out, 2, scope.version.as_bytes());
    scope.attributes.encode(3, out);
    put_uint(out, 4, u64::from(scope.dropped_attributes));
}

fn encode_metric(points: &[Point], out: &mut Vec<u8>) {
    let Some(first) = points.first() else { return };
    let metric: &MetricMeta = first.series.metric();
    let (field, temporality, monotonic) = match metric.kind {
        MetricKind::Gauge => (5, 0, false),
        MetricKind::Sum {
            temporality,
            monotonic,
        } => (7, temporality.to_otlp(), monotonic),
        MetricKind::Histogram { temporality } => (9, temporality.to_otlp(), false),
        MetricKind::ExponentialHistogram { temporality } => (10, temporality.to_otlp(), false),
        MetricKind::Summary => (11, 0, false),
    };
    put_message_always(out, 2, |out| {
        put_bytes(out, 1, metric.name.as_bytes());
        put_bytes(out, 2, metric.description.as_bytes());
        put_bytes(out, 3, metric.unit.as_bytes());
        put_message_always(out, field, |out| {
            for point in points {
                put_message_always(out, 1, |out| encode_point(field, point, out));
            }
            put_uint(out, 2, temporality);
            put_uint(out, 3, u64::from(monotonic));
        });
        metric.metadata.encode(12, out);
    });
}

fn encode_point(kind: u32, point: &Point, out: &mut Vec<u8>) {
    // Field numbers differ between the point messages; see metrics.proto.
    let (attributes, exemplars, flags) = match kind {
        9 => (9, 8, 10),
        10 => (1, 11, 10),
        _ => (7, 5, 8),
    };
    put_fixed64(out, 2, point.start_ns);
    put_fixed64(out, 3, point.time_ns);
    point.series.labels().encode(attributes, out);
    for (key, value) in point.tags() {
        put_message_always(out, attributes, |out| {
            encode_key_value(key, out, |o| value.encode(o));
        });
    }
    match &point.value {
        PointValue::Empty => {}
        PointValue::Int(i) => put_fixed64_always(out, 6, *i as u64),
        PointValue::Double(d) => put_fixed64_always(out, 4, d.to_bits()),
        PointValue::Histogram(h) => {
            put_fixed64(out, 4, h.count);
            put_double(out, 5, h.sum);
            put_fixed_run(out, 6, h.bucket_counts.iter().copied());
            put_fixed_run(out, 7, h.explicit_bounds.iter().map(|b| b.to_bits()));
            put_double(out, 11, h.min);
            put_double(out, 12, h.max);
        }
        PointValue::ExponentialHistogram(h) => {
            put_fixed64(out, 4, h.count);
            put_double(out, 5, h.sum);
            put_uint(out, 6, u64::from(wire::zigzag(i64::from(h.scale)) as u32));
            put_fixed64(out, 7, h.zero_count);
            put_buckets(out, 8, h.positive.as_ref());
            put_buckets(out, 9, h.negative.as_ref());
            put_double(out, 12, h.min);
            put_double(out, 13, h.max);
            put_fixed64(out, 14, h.zero_threshold.to_bits());
        }
        PointValue::Summary(s) => {
            put_fixed64(out, 4, s.count);
            put_fixed64(out, 5, s.sum.to_bits());
            for (quantile, value) in &s.quantiles {
                put_message_always(out, 6, |out| {
                    put_fixed64(out, 1, quantile.to_bits());
                    put_fixed64(out, 2, value.to_bits());
                });
            }
        }
    }
    if kind != 11 {
        for exemplar in point.exemplars() {
            put_message_always(out, exemplars, |out| encode_exemplar(exemplar, out));
        }
    }
    put_uint(out, flags, u64::from(point.flags));
}

fn put_double(out: &mut Vec<u8>, field: u32, value: Option<f64>) {
    if let Some(value) = value {
        put_fixed64_always(out, field, value.to_bits());
    }
}

fn put_fixed_run(out: &mut Vec<u8>, field: u32, values: impl ExactSizeIterator<Item = u64>) {
    if values.len() > 0 {
        put_key(out, field, LEN);
        put_varint(out, values.len() as u64 * 8);
        for value in values {
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

fn put_buckets(out: &mut Vec<u8>, field: u32, buckets: Option<&Buckets>) {
    let Some(buckets) = buckets else { return };
    put_message_always(out, field, |out| {
        put_uint(
            out,
            1,
            u64::from(wire::zigzag(i64::from(buckets.offset)) as u32),
        );
        if !buckets.counts.is_empty() {
            put_message_always(out, 2, |out| {
                for count in &buckets.counts {
                    put_varint(out, *count);
                }
            });
        }
    });
}

fn encode_exemplar(exemplar: &Exemplar, out: &mut Vec<u8>) {
    put_fixed64(out, 2, exemplar.time_ns);
    match exemplar.value {
        Some(ExemplarValue::Double(d)) => put_fixed64_always(out, 3, d.to_bits()),
        Some(ExemplarValue::Int(i)) => put_fixed64_always(out, 6, i as u64),
        None => {}
    }
    put_bytes(out, 4, &exemplar.span_id);
    put_bytes(out, 5, &exemplar.trace_id);
    exemplar.filtered_attributes.encode(7, out);
}
