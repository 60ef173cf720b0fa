//! Remote-write messages, protocols 1.0 and 2.0, written by hand straight into a buffer, and the
//! snappy block around them; and the families of the protobuf exposition.
//!
//! Field numbers are those of `prometheus.WriteRequest`, `io.prometheus.write.v2.Request` and
//! `io.prometheus.client.MetricFamily`.

mod families;
mod native;
mod packed;
mod stored;
mod symbols;
mod v1;
mod v2;

pub use families::{Families, HistogramFields, MetricHead};
pub use native::{NativeHistogram, ScaleTooLow, native_from_exponential};
pub use packed::{Fit, PackedV1};
pub use stored::{Copied, StoreFull, StoredLabels, StoredSet};
pub use symbols::{Refs, Symbols};
pub use v1::{MetadataV1, RequestV1, SeriesV1, push_label};
pub use v2::{Mark, MetadataV2, RequestV2, SeriesV2};

use crate::exposition::MetricType;

/// A value at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The value; the bits of a NaN are kept.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
}

/// Number of a type in the metadata of either protocol. Info metrics are 6 and state sets 7 in
/// both.
#[must_use]
pub const fn type_number(kind: MetricType) -> u64 {
    match kind {
        MetricType::Unknown => 0,
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::StateSet => 7,
    }
}

/// The body cannot be compressed: larger than 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is too large for snappy")]
pub struct TooLarge;

/// Compresses bodies with snappy in the block format (PRW-33), and keeps its tables between calls.
#[derive(Debug)]
pub struct SnappyBlock {
    encoder: snap::raw::Encoder,
}

impl Default for SnappyBlock {
    fn default() -> Self {
        Self {
            encoder: snap::raw::Encoder::new(),
        }
    }
}

impl SnappyBlock {
    /// Replaces `out` by the compressed `body`.
    ///
    /// # Errors
    /// If the body has more than 4 GiB.
    pub fn compress(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), TooLarge> {
        let bound = snap::raw::max_compress_len(body.len());
        if bound == 0 {
            return Err(TooLarge);
        }
        out.clear();
        out.resize(bound, 0);
        let length = self.encoder.compress(body, out).map_err(|_| TooLarge)?;
        out.truncate(length);
        Ok(())
    }
}

/// Appends value and time as the fields 1 and 2 of a sample, leaving out zeros.
fn put_sample_fields(out: &mut Vec<u8>, sample: Sample) {
    weir_model::wire::put_fixed64(out, 1, sample.value.to_bits());
    #[expect(
        clippy::cast_sign_loss,
        reason = "int64 is written as its two's complement"
    )]
    weir_model::wire::put_uint(out, 2, sample.timestamp_ms as u64);
}

#[cfg(test)]
mod tests;
