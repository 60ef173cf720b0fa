//! The protobuf exposition: length-delimited `io.prometheus.client.MetricFamily` messages, field
//! numbers of client_model's `metrics.proto`.
//!
//! The messages are proto2: a field that is zero is written nevertheless, since readers tell one
//! that is not there from zero, and repeated numbers are not packed. For what both can write, the
//! bytes are those of client_golang.

use weir_model::wire;

use super::{NativeHistogram, push_label};
use crate::exposition::MetricType;
use crate::exposition::protobuf::{Family, ProtoExemplar};

/// A page under construction.
#[derive(Debug, Default)]
pub struct Families {
    out: Vec<u8>,
    /// Where the length of the last family belongs, and its unit, which comes after its metrics.
    open: Option<(usize, String)>,
    kind: MetricType,
}

/// What all metrics of a family have.
#[derive(Debug, Clone, Copy, Default)]
pub struct MetricHead<'a> {
    /// Labels as [`push_label`] writes them, sorted by name.
    pub labels: &'a [u8],
    /// Explicit time in milliseconds since the epoch.
    pub timestamp_ms: Option<u64>,
}

/// A histogram under construction. Its parts are to be given in the order of the methods.
#[derive(Debug)]
pub struct HistogramFields<'a> {
    out: &'a mut Vec<u8>,
}

impl Families {
    /// Begins a family, which gets the metrics that follow.
    pub fn begin(&mut self, family: &Family<'_>) {
        self.end();
        self.open = Some((self.out.len(), family.unit.to_owned()));
        self.kind = family.kind;
        let out = &mut self.out;
        out.push(0);
        wire::put_bytes_always(out, 1, family.name.as_bytes());
        wire::put_bytes_always(out, 2, family.help.as_bytes());
        let number = match family.kind {
            MetricType::Counter => 0,
            MetricType::Gauge | MetricType::Info | MetricType::StateSet => 1,
            MetricType::Summary => 2,
            MetricType::Unknown => 3,
            MetricType::Histogram => 4,
            MetricType::GaugeHistogram => 5,
        };
        put_varint_field(out, 3, number);
    }

    fn end(&mut self) {
        if let Some((at, unit)) = self.open.take() {
            wire::put_bytes(&mut self.out, 5, unit.as_bytes());
            wire::patch_length(&mut self.out, at);
        }
    }

    /// Adds a counter, gauge or untyped value, by the type of the family. Only counters have an
    /// exemplar and a time at which they began.
    pub fn number(
        &mut self,
        head: MetricHead<'_>,
        value: f64,
        exemplar: Option<&ProtoExemplar<'_>>,
        created_ns: u64,
    ) {
        let (field, counter) = match self.kind {
            MetricType::Counter => (3, true),
            MetricType::Unknown => (5, false),
            _ => (2, false),
        };
        wire::put_message_always(&mut self.out, 4, |out| {
            out.extend_from_slice(head.labels);
            wire::put_message_always(out, field, |out| {
                wire::put_fixed64_always(out, 1, value.to_bits());
                if counter {
                    put_exemplar(out, 2, exemplar);
                    put_created(out, 3, created_ns);
                }
            });
            put_time(out, head);
        });
    }

    /// Adds a summary.
    pub fn summary(
        &mut self,
        head: MetricHead<'_>,
        count: u64,
        sum: f64,
        quantiles: &[(f64, f64)],
        created_ns: u64,
    ) {
        wire::put_message_always(&mut self.out, 4, |out| {
            out.extend_from_slice(head.labels);
            wire::put_message_always(out, 4, |out| {
                put_varint_field(out, 1, count);
                wire::put_fixed64_always(out, 2, sum.to_bits());
                for (quantile, value) in quantiles {
                    wire::put_message_always(out, 3, |out| {
                        wire::put_fixed64_always(out, 1, quantile.to_bits());
                        wire::put_fixed64_always(out, 2, value.to_bits());
                    });
                }
                put_created(out, 4, created_ns);
            });
            put_time(out, head);
        });
    }

    /// Adds a histogram with what `write` adds to it.
    pub fn histogram(
        &mut self,
        head: MetricHead<'_>,
        write: impl FnOnce(&mut HistogramFields<'_>),
    ) {
        wire::put_message_always(&mut self.out, 4, |out| {
            out.extend_from_slice(head.labels);
            put_time(out, head);
            wire::put_message_always(out, 7, |out| write(&mut HistogramFields { out }));
        });
    }

    /// The page.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.end();
        self.out
    }
}

impl HistogramFields<'_> {
    /// Number and sum of all observations.
    pub fn total(&mut self, count: u64, sum: f64) {
        put_varint_field(self.out, 1, count);
        wire::put_fixed64_always(self.out, 2, sum.to_bits());
    }

    /// A bucket of the classic form: the observations up to a bound.
    pub fn bucket(&mut self, count: u64, bound: f64, exemplar: Option<&ProtoExemplar<'_>>) {
        wire::put_message_always(self.out, 3, |out| {
            put_varint_field(out, 1, count);
            wire::put_fixed64_always(out, 2, bound.to_bits());
            put_exemplar(out, 3, exemplar);
        });
    }

    /// The native form, in place of the two before.
    pub fn native(&mut self, histogram: &NativeHistogram) {
        self.total(histogram.count, histogram.sum);
        let out = &mut *self.out;
        put_varint_field(out, 5, wire::zigzag(i64::from(histogram.schema)));
        wire::put_fixed64_always(out, 6, histogram.zero_threshold.to_bits());
        put_varint_field(out, 7, histogram.zero_count);
        let negative = (&histogram.negative_spans, &histogram.negative_deltas);
        let positive = (&histogram.positive_spans, &histogram.positive_deltas);
        for (field, (spans, deltas)) in [(9, negative), (12, positive)] {
            for (offset, length) in spans {
                wire::put_message_always(out, field, |out| {
                    put_varint_field(out, 1, wire::zigzag(i64::from(*offset)));
                    put_varint_field(out, 2, u64::from(*length));
                });
            }
            for delta in deltas {
                put_varint_field(out, field + 1, wire::zigzag(*delta));
            }
        }
    }

    /// When it began, in nanoseconds since the epoch.
    pub fn created(&mut self, created_ns: u64) {
        put_created(self.out, 15, created_ns);
    }

    /// An exemplar of the native form. Readers want it to have a time.
    pub fn exemplar(&mut self, exemplar: &ProtoExemplar<'_>) {
        put_exemplar(self.out, 16, Some(exemplar));
    }
}

fn put_varint_field(out: &mut Vec<u8>, field: u32, value: u64) {
    wire::put_key(out, field, wire::VARINT);
    wire::put_varint(out, value);
}

fn put_time(out: &mut Vec<u8>, head: MetricHead<'_>) {
    if let Some(time) = head.timestamp_ms {
        put_varint_field(out, 6, time);
    }
}

fn put_exemplar(out: &mut Vec<u8>, field: u32, exemplar: Option<&ProtoExemplar<'_>>) {
    let Some(exemplar) = exemplar else { return };
    wire::put_message_always(out, field, |out| {
        for (name, value) in &exemplar.labels {
            push_label(out, name, value);
        }
        wire::put_fixed64_always(out, 2, exemplar.value.to_bits());
        if let Some(time) = exemplar.timestamp_ms {
            let (seconds, ms) = (time.div_euclid(1000), time.rem_euclid(1000));
            put_timestamp(
                out,
                3,
                seconds.cast_unsigned(),
                ms.cast_unsigned() * 1_000_000,
            );
        }
    });
}

/// Left out before the first second of the epoch: then nobody said when it began.
fn put_created(out: &mut Vec<u8>, field: u32, time_ns: u64) {
    let (seconds, nanos) = (time_ns / 1_000_000_000, time_ns % 1_000_000_000);
    if seconds > 0 {
        put_timestamp(out, field, seconds, nanos);
    }
}

/// `google.protobuf.Timestamp`, which is proto3.
fn put_timestamp(out: &mut Vec<u8>, field: u32, seconds: u64, nanos: u64) {
    wire::put_message_always(out, field, |out| {
        wire::put_uint(out, 1, seconds);
        wire::put_uint(out, 2, nanos);
    });
}

#[cfg(test)]
mod tests;
