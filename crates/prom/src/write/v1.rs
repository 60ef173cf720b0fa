//! Protocol 1.0: `prometheus.WriteRequest`.

use weir_model::wire;

use super::{NativeHistogram, Sample, put_sample_fields, type_number};
use crate::exposition::MetricType;

/// Appends a label as a `labels` field of a series or exemplar. The labels of a series must be
/// given sorted by name; the bytes can be kept and used for every request.
pub fn push_label(out: &mut Vec<u8>, name: &str, value: &str) {
    let field = |text: &str| {
        if text.is_empty() {
            0
        } else {
            1 + wire::varint_len(text.len() as u64) + text.len()
        }
    };
    wire::put_key(out, 1, wire::LEN);
    wire::put_varint(out, (field(name) + field(value)) as u64);
    wire::put_bytes(out, 1, name.as_bytes());
    wire::put_bytes(out, 2, value.as_bytes());
}

/// A request under construction.
#[derive(Debug, Default)]
pub struct RequestV1 {
    body: Vec<u8>,
}

impl RequestV1 {
    /// An empty request.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The message so far.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// Length of the message so far, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// Starts over and keeps the buffer.
    pub fn clear(&mut self) {
        self.body.clear();
    }

    /// Takes back what was added since the message had this length.
    pub fn truncate(&mut self, len: usize) {
        self.body.truncate(len);
    }

    /// Adds a series with one sample: what nearly all of them are.
    pub fn push_sample(&mut self, labels: &[u8], sample: Sample) {
        #[expect(
            clippy::cast_sign_loss,
            reason = "int64 is written as its two's complement"
        )]
        let time = sample.timestamp_ms as u64;
        let value_len = if sample.value.to_bits() == 0 { 0 } else { 9 };
        let time_len = if time == 0 {
            0
        } else {
            1 + wire::varint_len(time)
        };
        let sample_len = value_len + time_len;
        // The sample's length is below 128.
        wire::put_key(&mut self.body, 1, wire::LEN);
        wire::put_varint(&mut self.body, (labels.len() + 2 + sample_len) as u64);
        self.body.extend_from_slice(labels);
        wire::put_key(&mut self.body, 2, wire::LEN);
        wire::put_varint(&mut self.body, sample_len as u64);
        put_sample_fields(&mut self.body, sample);
    }

    /// Adds a series with what `write` adds to it. `labels` come from [`push_label`].
    pub fn push_series(&mut self, labels: &[u8], write: impl FnOnce(&mut SeriesV1<'_>)) {
        wire::put_message_always(&mut self.body, 1, |out| {
            out.extend_from_slice(labels);
            write(&mut SeriesV1 { out });
        });
    }

    /// Adds a description of a metric.
    pub fn push_metadata(&mut self, metadata: &MetadataV1<'_>) {
        wire::put_message_always(&mut self.body, 3, |out| {
            wire::put_uint(out, 1, type_number(metadata.kind));
            wire::put_bytes(out, 2, metadata.name.as_bytes());
            wire::put_bytes(out, 4, metadata.help.as_bytes());
            wire::put_bytes(out, 5, metadata.unit.as_bytes());
        });
    }
}

/// Description of a metric.
#[derive(Debug, Clone, Copy)]
pub struct MetadataV1<'a> {
    /// Name of the family.
    pub name: &'a str,
    /// Its type.
    pub kind: MetricType,
    /// What it means.
    pub help: &'a str,
    /// Its unit in words.
    pub unit: &'a str,
}

/// A series under construction. Samples have to be in the order of their times.
#[derive(Debug)]
pub struct SeriesV1<'a> {
    pub(super) out: &'a mut Vec<u8>,
}

impl SeriesV1<'_> {
    /// Adds a sample.
    pub fn sample(&mut self, sample: Sample) {
        wire::put_message_always(self.out, 2, |out| put_sample_fields(out, sample));
    }

    /// Adds an exemplar; `labels` come from [`push_label`].
    pub fn exemplar(&mut self, labels: &[u8], sample: Sample) {
        wire::put_message_always(self.out, 3, |out| {
            out.extend_from_slice(labels);
            wire::put_fixed64(out, 2, sample.value.to_bits());
            #[expect(
                clippy::cast_sign_loss,
                reason = "int64 is written as its two's complement"
            )]
            wire::put_uint(out, 3, sample.timestamp_ms as u64);
        });
    }

    /// Adds a native histogram.
    pub fn histogram(&mut self, histogram: &NativeHistogram, timestamp_ms: i64) {
        wire::put_message_always(self.out, 4, |out| histogram.encode(timestamp_ms, out));
    }
}
