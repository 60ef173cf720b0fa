//! Native histograms: from OTLP exponential ones, and on the wire (prometheusremotewrite
//! specification, section 3.6).

use weir_model::wire;
use weir_model::{Buckets, ExponentialHistogram};

/// Finest resolution of a native histogram.
const MAX_SCHEMA: i32 = 8;

/// Coarsest resolution of a native histogram.
const MIN_SCHEMA: i32 = -4;

/// Width of the zero bucket if the sender does not say.
const DEFAULT_ZERO_THRESHOLD: f64 = 1e-128;

/// More empty buckets than this start a new span; fewer are written as zeros.
const MAX_GAP: usize = 2;

/// A histogram with integer counts and exponential buckets.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NativeHistogram {
    /// Number of observations; for a stale marker the bits of the stale NaN.
    pub count: u64,
    /// Sum of observations; for a stale marker the stale NaN.
    pub sum: f64,
    /// Resolution: bucket bounds grow by `2^(2^-schema)`.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// Spans of the negative side: distance to the span before (or to 0), and length.
    pub negative_spans: Vec<(i32, u32)>,
    /// Count of each bucket less that of the one before.
    pub negative_deltas: Vec<i64>,
    /// Spans of the positive side.
    pub positive_spans: Vec<(i32, u32)>,
    /// Count of each bucket less that of the one before.
    pub positive_deltas: Vec<i64>,
}

/// The scale of an exponential histogram is below -4, so it cannot be written as a native one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("scale {0} of the exponential histogram is below -4, the coarsest of a native histogram")]
pub struct ScaleTooLow(pub i32);

/// The native form of an exponential histogram. Scales above 8 are merged down to 8.
///
/// # Errors
/// If the scale is below -4.
pub fn native_from_exponential(
    histogram: &ExponentialHistogram,
) -> Result<NativeHistogram, ScaleTooLow> {
    if histogram.scale < MIN_SCHEMA {
        return Err(ScaleTooLow(histogram.scale));
    }
    let schema = histogram.scale.min(MAX_SCHEMA);
    let shift = u32::try_from(histogram.scale - schema).unwrap_or(0).min(31);
    let (positive_spans, positive_deltas) = spans(histogram.positive.as_ref(), shift);
    let (negative_spans, negative_deltas) = spans(histogram.negative.as_ref(), shift);
    let zero_threshold = if histogram.zero_threshold == 0.0 {
        DEFAULT_ZERO_THRESHOLD
    } else {
        histogram.zero_threshold
    };
    Ok(NativeHistogram {
        count: histogram.count,
        sum: histogram.sum.unwrap_or(0.0),
        schema,
        zero_threshold,
        zero_count: histogram.zero_count,
        negative_spans,
        negative_deltas,
        positive_spans,
        positive_deltas,
    })
}

/// Merged buckets by index, in order, without leading and trailing empty ones.
fn merged(buckets: &Buckets, shift: u32) -> Vec<(i64, u64)> {
    let mut merged: Vec<(i64, u64)> = Vec::new();
    for (at, count) in buckets.counts.iter().enumerate() {
        if *count == 0 {
            continue;
        }
        let index = i64::from(buckets.offset).saturating_add(i64::try_from(at).unwrap_or(i64::MAX));
        // Native buckets are known by their upper bound, OTLP ones by their lower one.
        let index = (index >> shift) + 1;
        match merged.last_mut() {
            Some((last, sum)) if *last == index => *sum = sum.saturating_add(*count),
            _ => merged.push((index, *count)),
        }
    }
    merged
}

fn spans(buckets: Option<&Buckets>, shift: u32) -> (Vec<(i32, u32)>, Vec<i64>) {
    let mut spans: Vec<(i32, u32)> = Vec::new();
    let mut deltas = Vec::new();
    let mut before = 0u64;
    let mut next = 0i64;
    for (index, count) in buckets
        .map(|buckets| merged(buckets, shift))
        .unwrap_or_default()
    {
        let gap = index - next;
        let small = usize::try_from(gap).is_ok_and(|gap| gap <= MAX_GAP);
        match spans.last_mut() {
            Some((_, length)) if small => {
                for _ in 0..gap {
                    deltas.push(difference(0, before));
                    before = 0;
                    *length += 1;
                }
                *length += 1;
            }
            _ => spans.push((i32::try_from(gap).unwrap_or(i32::MAX), 1)),
        }
        deltas.push(difference(count, before));
        before = count;
        next = index + 1;
    }
    (spans, deltas)
}

/// `count - before` as the signed number that the wire has.
#[expect(
    clippy::cast_possible_wrap,
    reason = "the wire has the difference in two's complement"
)]
const fn difference(count: u64, before: u64) -> i64 {
    count.wrapping_sub(before) as i64
}

impl NativeHistogram {
    /// The marker that a native histogram is stale: sum and count carry the bits of the stale NaN
    /// (PRW-25).
    #[must_use]
    pub fn stale() -> Self {
        let bits = crate::exposition::STALE_NAN_BITS;
        Self {
            count: bits,
            sum: f64::from_bits(bits),
            ..Self::default()
        }
    }

    /// Appends the fields of a `Histogram` message, the same in both protocols.
    pub(super) fn encode(&self, timestamp_ms: i64, out: &mut Vec<u8>) {
        // Members of a `oneof` are written even if zero.
        wire::put_key(out, 1, wire::VARINT);
        wire::put_varint(out, self.count);
        wire::put_fixed64(out, 3, self.sum.to_bits());
        wire::put_uint(out, 4, wire::zigzag(i64::from(self.schema)));
        wire::put_fixed64(out, 5, self.zero_threshold.to_bits());
        wire::put_key(out, 6, wire::VARINT);
        wire::put_varint(out, self.zero_count);
        put_side(out, (8, 9), &self.negative_spans, &self.negative_deltas);
        put_side(out, (11, 12), &self.positive_spans, &self.positive_deltas);
        #[expect(
            clippy::cast_sign_loss,
            reason = "int64 is written as its two's complement"
        )]
        wire::put_uint(out, 15, timestamp_ms as u64);
    }
}

fn put_side(out: &mut Vec<u8>, fields: (u32, u32), spans: &[(i32, u32)], deltas: &[i64]) {
    for (offset, length) in spans {
        wire::put_message_always(out, fields.0, |out| {
            wire::put_uint(out, 1, wire::zigzag(i64::from(*offset)));
            wire::put_uint(out, 2, u64::from(*length));
        });
    }
    if !deltas.is_empty() {
        wire::put_message_always(out, fields.1, |out| {
            for delta in deltas {
                wire::put_varint(out, wire::zigzag(*delta));
            }
        });
    }
}
