//! Exponential histograms that find their own scale: the finest at which all values fit into the
//! allowed number of buckets (OpenTelemetry metrics data model, "Exponential Histogram").

use std::collections::VecDeque;

use weir_model::{Buckets, ExponentialHistogram};

/// Buckets of each side unless configured.
pub(super) const DEFAULT_MAX_SIZE: i32 = 160;
/// Below this not all doubles fit at the coarsest scale.
pub(super) const SMALLEST_MAX_SIZE: i32 = 2;
/// Most buckets that may be configured.
pub(super) const LARGEST_MAX_SIZE: i32 = 16_384;

/// The finest scale: bucket numbers of all doubles still fit 31 bits.
const MAX_SCALE: i32 = 20;
/// The coarsest: all normal doubles are in two buckets.
const MIN_SCALE: i32 = -10;

const SIGNIFICAND_BITS: u32 = 52;
const EXPONENT_BIAS: i32 = 1023;

/// A histogram being filled.
#[derive(Clone, Debug)]
pub(super) struct Exponential {
    max_size: i32,
    scale: i32,
    count: u64,
    zero_count: u64,
    sum: f64,
    min: f64,
    max: f64,
    positive: Side,
    negative: Side,
}

/// Counts of neighbouring buckets, without gaps.
#[derive(Clone, Debug, Default)]
struct Side {
    first: i32,
    counts: VecDeque<u64>,
}

impl Exponential {
    pub(super) fn new(max_size: i32) -> Self {
        Self {
            max_size: max_size.clamp(SMALLEST_MAX_SIZE, LARGEST_MAX_SIZE),
            scale: MAX_SCALE,
            count: 0,
            zero_count: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            positive: Side::default(),
            negative: Side::default(),
        }
    }

    /// Bytes on the heap, with its own.
    pub(super) fn heap_bytes(&self) -> usize {
        let buckets = self.positive.counts.capacity() + self.negative.counts.capacity();
        size_of::<Self>() + buckets * size_of::<u64>()
    }

    /// Adds `count` measurements of a finite value.
    pub(super) fn add(&mut self, value: f64, count: u64) {
        if count == 0 || !value.is_finite() {
            return;
        }
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.count = self.count.saturating_add(count);
        if value == 0.0 {
            self.zero_count = self.zero_count.saturating_add(count);
            return;
        }
        self.sum += value * count as f64;
        let magnitude = value.abs();
        let mut index = bucket_of(magnitude, self.scale);
        let half = if value > 0.0 { &self.positive } else { &self.negative };
        let by = half.steps_to_fit(index, self.max_size).min(self.scale - MIN_SCALE);
        if by > 0 {
            self.scale -= by;
            self.positive.merge_neighbours(by);
            self.negative.merge_neighbours(by);
            index = bucket_of(magnitude, self.scale);
        }
        let half = if value > 0.0 { &mut self.positive } else { &mut self.negative };
        half.add(index, count);
    }

    /// The histogram as a point's value.
    pub(super) fn into_value(self) -> ExponentialHistogram {
        let all_zero = self.count == self.zero_count;
        let filled = |value| (self.count > 0).then_some(value);
        ExponentialHistogram {
            count: self.count,
            sum: Some(self.sum),
            min: filled(self.min),
            max: filled(self.max),
            scale: if all_zero { 0 } else { self.scale },
            zero_count: self.zero_count,
            zero_threshold: 0.0,
            positive: self.positive.into_buckets(),
            negative: self.negative.into_buckets(),
        }
    }
}

impl Side {
    /// How often the scale must be halved until `index` fits beside what is there.
    fn steps_to_fit(&self, index: i32, max_size: i32) -> i32 {
        if self.counts.is_empty() {
            return 0;
        }
        let last = self.first.saturating_add(self.counts.len() as i32 - 1);
        let (mut low, mut high) = (self.first.min(index), last.max(index));
        let mut steps = 0;
        while i64::from(high) - i64::from(low) >= i64::from(max_size) {
            low >>= 1;
            high >>= 1;
            steps += 1;
        }
        steps
    }

    fn merge_neighbours(&mut self, by: i32) {
        if self.counts.is_empty() {
            return;
        }
        let merged = self.first >> by;
        let mut counts: VecDeque<u64> = VecDeque::new();
        for (index, count) in (self.first..).zip(&self.counts) {
            let at = usize::try_from((index >> by) - merged).unwrap_or_default();
            if at >= counts.len() {
                counts.resize(at + 1, 0);
            }
            if let Some(bucket) = counts.get_mut(at) {
                *bucket = bucket.saturating_add(*count);
            }
        }
        (self.first, self.counts) = (merged, counts);
    }

    /// Counts in a bucket that fits.
    fn add(&mut self, index: i32, count: u64) {
        if self.counts.is_empty() {
            self.first = index;
        }
        while index < self.first {
            self.counts.push_front(0);
            self.first -= 1;
        }
        let at = usize::try_from(index - self.first).unwrap_or_default();
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        if let Some(bucket) = self.counts.get_mut(at) {
            *bucket = bucket.saturating_add(count);
        }
    }

    fn into_buckets(self) -> Option<Buckets> {
        (!self.counts.is_empty()).then(|| Buckets {
            offset: self.first,
            counts: self.counts.into(),
        })
    }
}

/// The bucket of a positive value: (base^index, base^(index + 1)], base = 2^(2^-scale).
fn bucket_of(value: f64, scale: i32) -> i32 {
    if value < f64::MIN_POSITIVE {
        // Subnormal numbers count as the smallest normal one.
        return bucket_of(f64::MIN_POSITIVE, scale);
    }
    let bits = value.to_bits();
    // The value is normal: the biased exponent has 11 bits.
    let exponent = (bits >> SIGNIFICAND_BITS) as i32 - EXPONENT_BIAS;
    let power_of_two = bits & ((1 << SIGNIFICAND_BITS) - 1) == 0;
    if scale <= 0 {
        return (exponent - i32::from(power_of_two)) >> -scale;
    }
    if power_of_two {
        return (exponent << scale) - 1;
    }
    let per_power = f64::from(1 << scale);
    // Rounding may lead out of the power of two that the value is in.
    let index = (value.ln() * (std::f64::consts::LOG2_E * per_power)).floor() as i32;
    index.clamp(exponent << scale, ((exponent + 1) << scale) - 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn filled(max_size: i32, values: &[f64]) -> ExponentialHistogram {
        let mut histogram = Exponential::new(max_size);
        for value in values {
            histogram.add(*value, 1);
        }
        histogram.into_value()
    }

    #[test]
    fn one_value_has_the_finest_scale() {
        let one = filled(160, &[7.0]);
        let buckets = one.positive.unwrap();
        assert_eq!((one.scale, buckets.offset, buckets.counts), (20, 2_943_724, vec![1]));
        let zeros = filled(160, &[0.0, 0.0]);
        assert_eq!((zeros.scale, zeros.zero_count, zeros.positive), (0, 2, None));
    }

    #[test]
    fn the_scale_falls_until_all_values_fit() {
        let all = filled(2, &[f64::MIN_POSITIVE, f64::MAX, 5e-324, 1.0]);
        assert_eq!((all.scale, all.positive.unwrap().counts), (-10, vec![3, 1]));
        let powers = filled(4, &[1.0, 2.0, 4.0, 8.0]);
        let buckets = powers.positive.unwrap();
        assert_eq!((powers.scale, buckets.offset, buckets.counts), (0, -1, vec![1, 1, 1, 1]));
    }

    proptest! {
        /// Each value lies in the bucket that counts it, and nothing is lost.
        #[test]
        fn values_lie_in_their_buckets(
            exponents in prop::collection::vec((-1000.0..1000.0f64, any::<bool>()), 1..60),
            max_size in 2..64i32,
        ) {
            let values: Vec<f64> = exponents
                .iter()
                .map(|(e, minus)| if *minus { -e.exp2() } else { e.exp2() })
                .collect();
            let histogram = filled(max_size, &values);
            prop_assert_eq!(histogram.count, values.len() as u64);
            for (side, sign) in [(&histogram.positive, 1.0), (&histogram.negative, -1.0)] {
                let own: Vec<f64> = values.iter().map(|v| v * sign).filter(|v| *v > 0.0).collect();
                let Some(side) = side else {
                    prop_assert!(own.is_empty());
                    continue;
                };
                prop_assert!(side.counts.len() <= max_size as usize);
                let width = f64::from(-histogram.scale).exp2();
                for (at, count) in side.counts.iter().enumerate() {
                    let low = f64::from(side.offset + at as i32) * width;
                    let inside = |v: &&f64| {
                        let place = v.log2();
                        low - 1e-9 < place && place <= low + width + 1e-9
                    };
                    prop_assert!(own.iter().filter(inside).count() as u64 >= *count);
                }
                prop_assert_eq!(side.counts.iter().sum::<u64>(), own.len() as u64);
            }
        }
    }
}
