//! Exponential histograms as lists of values and counts (spec 7.4, EMF-24..26, EMF-63).

use weir_model::{Buckets, ExponentialHistogram};

use super::encode::write_f64;
use super::statistics::Statistics;

/// Entries of one event (CloudWatch takes at most so many values per metric).
const MAX_ENTRIES: usize = 100;

/// Some buckets of a data point: what one event gets.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Split {
    /// Middle and count of each bucket that is not empty.
    pub(crate) entries: Vec<(f64, u64)>,
    /// Largest value.
    pub(crate) max: f64,
    /// Smallest value.
    pub(crate) min: f64,
    /// Observations.
    pub(crate) count: u64,
    /// Sum; only the first split has it.
    pub(crate) sum: f64,
}

impl Split {
    /// Appends the object in the reference's member order.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"Values\":[");
        for (i, (value, _)) in self.entries.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_f64(*value, out);
        }
        out.extend_from_slice(b"],\"Counts\":[");
        for (i, (_, count)) in self.entries.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            // Counts are doubles in the reference.
            write_f64(*count as f64, out);
        }
        out.extend_from_slice(b"],");
        let totals = Statistics {
            max: self.max,
            min: self.min,
            count: self.count,
            sum: self.sum,
        };
        totals.write_members(out);
        out.push(b'}');
    }
}

/// A bucket as it is visited: bounds (away from the sign), count.
#[derive(Clone, Copy)]
struct Bucket {
    low: f64,
    high: f64,
    count: u64,
}

/// Splits a data point into events of at most 100 buckets. `None` if a bucket's bound is infinite:
/// the reference then refuses the whole batch, here only the point is left out.
pub(crate) fn split(point: &ExponentialHistogram) -> Option<Vec<Split>> {
    let base = (-f64::from(point.scale)).exp2().exp2();
    let counts = |side: &'_ Option<Buckets>| side.as_ref().map_or(0, |b| b.counts.len());
    let (positive, negative) = (counts(&point.positive), counts(&point.negative));
    let zero = usize::from(point.zero_count > 0);
    let total = positive + zero + negative;
    let bucket = |at: usize| -> Bucket {
        if at < positive {
            side_bucket(&point.positive, positive - 1 - at, base)
        } else if at < positive + zero {
            Bucket {
                low: 0.0,
                high: 0.0,
                count: point.zero_count,
            }
        } else {
            let bucket = side_bucket(&point.negative, at - positive - zero, base);
            Bucket {
                low: -bucket.high,
                high: -bucket.low,
                count: bucket.count,
            }
        }
    };
    let mut splits: Vec<Split> = Vec::new();
    let mut cursor = 0;
    while cursor < total {
        let first = cursor == 0;
        let capacity = MAX_ENTRIES.min(total - cursor);
        let mut split = Split {
            sum: if first { point.sum.unwrap_or(0.0) } else { 0.0 },
            ..Split::default()
        };
        while cursor < total && split.entries.len() < capacity {
            let next = bucket(cursor);
            cursor += 1;
            if next.count == 0 {
                continue;
            }
            if !(next.low.is_finite() && next.high.is_finite()) {
                return None;
            }
            if split.entries.is_empty() {
                split.max = next.high;
            }
            split.min = next.low;
            split.count = split.count.saturating_add(next.count);
            split
                .entries
                .push(((next.low + next.high) / 2.0, next.count));
        }
        if first {
            split.max = point.max.unwrap_or(0.0);
        }
        if !split.entries.is_empty() {
            splits.push(split);
        }
    }
    if splits.is_empty() {
        splits.push(Split {
            entries: Vec::new(),
            max: point.max.unwrap_or(0.0),
            min: point.min.unwrap_or(0.0),
            count: point.count,
            sum: point.sum.unwrap_or(0.0),
        });
    }
    if let Some(last) = splits.last_mut() {
        last.min = point.min.unwrap_or(0.0);
    }
    let finite = |s: &Split| s.entries.iter().all(|(value, _)| value.is_finite());
    splits.iter().all(finite).then_some(splits)
}

/// Bucket `at` of one side, as if it were the positive one.
fn side_bucket(side: &Option<Buckets>, at: usize, base: f64) -> Bucket {
    let Some(buckets) = side else {
        return Bucket {
            low: 0.0,
            high: 0.0,
            count: 0,
        };
    };
    let count = buckets.counts.get(at).copied().unwrap_or(0);
    if count == 0 {
        return Bucket {
            low: 0.0,
            high: 0.0,
            count,
        };
    }
    let index = i64::from(buckets.offset) + i64::try_from(at).unwrap_or(i64::MAX);
    Bucket {
        low: power(base, index),
        high: power(base, index + 1),
        count,
    }
}

/// `base` to a whole power by repeated squaring of mantissa and exponent apart, as the reference's
/// run-time library does it: its results differ from a correctly rounded power in the last digits.
fn power(base: f64, index: i64) -> f64 {
    if !base.is_finite() || index == 0 {
        return if index == 0 { 1.0 } else { f64::INFINITY };
    }
    if index == 1 {
        return base;
    }
    if index == -1 {
        return 1.0 / base;
    }
    let (mut square, mut square_exponent) = frexp(base);
    let (mut result, mut exponent) = (1.0, 0i64);
    let mut left = index.unsigned_abs();
    while left != 0 {
        if !(-4096..=4096).contains(&square_exponent) {
            exponent += square_exponent;
            break;
        }
        if left & 1 == 1 {
            result *= square;
            exponent += square_exponent;
        }
        square *= square;
        square_exponent *= 2;
        if square < 0.5 {
            square += square;
            square_exponent -= 1;
        }
        left >>= 1;
    }
    if index < 0 {
        result = 1.0 / result;
        exponent = -exponent;
    }
    ldexp(result, exponent)
}

/// Mantissa in [0.5, 1) and exponent of a positive normal number.
fn frexp(value: f64) -> (f64, i64) {
    let bits = value.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i64 - 1022;
    (f64::from_bits(bits & !(0x7ff << 52) | 1022 << 52), exponent)
}

/// `mantissa` (between 0.25 and 4) times two to the `exponent`.
fn ldexp(mantissa: f64, exponent: i64) -> f64 {
    if exponent > 1030 {
        return f64::INFINITY;
    }
    if exponent < -1080 {
        return 0.0;
    }
    // In steps that are exact; the last one rounds when the result is subnormal.
    let half = exponent / 2;
    mantissa * two_to(half) * two_to(exponent - half)
}

/// Two to the `exponent`, for exponents of normal numbers.
fn two_to(exponent: i64) -> f64 {
    f64::from_bits(((exponent + 1023).clamp(1, 2046) as u64) << 52)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn buckets(offset: i32, counts: &[u64]) -> Option<Buckets> {
        Some(Buckets {
            offset,
            counts: counts.to_vec(),
        })
    }

    #[test]
    fn buckets_come_from_high_to_low_with_the_middle_of_their_bounds() {
        let point = ExponentialHistogram {
            count: 10,
            sum: Some(30.0),
            min: Some(-4.0),
            max: Some(17.0),
            zero_count: 1,
            positive: buckets(0, &[1, 0, 2, 1, 1]),
            negative: buckets(1, &[3, 1]),
            ..Default::default()
        };
        let splits = split(&point).unwrap();
        let mut out = Vec::new();
        splits[0].write(&mut out);
        assert_eq!(splits.len(), 1);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"Values\":[24,12,6,1.5,0,-3,-6],\"Counts\":[1,1,2,1,1,3,1],\
             \"Max\":17,\"Min\":-4,\"Count\":10,\"Sum\":30}"
        );
    }

    #[test]
    fn more_than_a_hundred_buckets_are_split_and_stitched() {
        let point = ExponentialHistogram {
            count: 150,
            sum: Some(99.0),
            min: Some(1.0),
            max: Some(5.0),
            scale: 6,
            positive: buckets(0, &[1; 150]),
            ..Default::default()
        };
        let splits = split(&point).unwrap();
        let sizes: Vec<usize> = splits.iter().map(|s| s.entries.len()).collect();
        assert_eq!(sizes, [100, 50]);
        assert_eq!((splits[0].sum, splits[1].sum), (99.0, 0.0));
        assert_eq!((splits[0].max, splits[1].min), (5.0, 1.0));
        assert_eq!(splits[0].min, 1.7186192981224755);
        assert_eq!(splits[1].max, 1.7186192981224755);
        assert_eq!((splits[0].count, splits[1].count), (100, 50));
    }

    #[test]
    fn without_filled_buckets_the_totals_stay() {
        let point = ExponentialHistogram {
            count: 3,
            sum: Some(2.0),
            positive: buckets(0, &[0, 0]),
            ..Default::default()
        };
        let splits = split(&point).unwrap();
        assert_eq!(splits.len(), 1);
        assert_eq!((splits[0].count, splits[0].sum), (3, 2.0));
        assert!(splits[0].entries.is_empty());
    }

    #[test]
    fn an_infinite_bound_costs_only_the_point() {
        let point = ExponentialHistogram {
            scale: -10,
            positive: buckets(0, &[0, 1]),
            ..Default::default()
        };
        assert_eq!(split(&point), None);
        let point = ExponentialHistogram {
            scale: i32::MIN,
            positive: buckets(i32::MAX, &[1]),
            ..Default::default()
        };
        assert_eq!(split(&point), None);
    }

    proptest! {
        #[test]
        fn powers_are_near_the_rounded_ones(scale in 0i32..12, index in -2000i64..2000) {
            let base = 2f64.powf(2f64.powi(-scale));
            let exact = 2f64.powf(index as f64 * 2f64.powi(-scale));
            let ours = power(base, index);
            if exact.is_finite() && exact > 1e-300 {
                prop_assert!((ours - exact).abs() <= exact * 1e-11, "{ours} {exact}");
            }
        }

        #[test]
        fn every_observation_is_in_one_split(
            scale in -3i32..8,
            offset in -300i32..300,
            positive in prop::collection::vec(0u64..4, 0..300),
            negative in prop::collection::vec(0u64..4, 0..300),
            zero in 0u64..3,
        ) {
            let count: u64 = positive.iter().sum::<u64>() + negative.iter().sum::<u64>() + zero;
            let point = ExponentialHistogram {
                count,
                scale,
                zero_count: zero,
                positive: buckets(offset, &positive),
                negative: buckets(offset, &negative),
                ..Default::default()
            };
            if let Some(splits) = split(&point) {
                prop_assert_eq!(splits.iter().map(|s| s.count).sum::<u64>(), count);
                prop_assert!(splits.iter().all(|s| s.entries.len() <= MAX_ENTRIES));
                let values: Vec<f64> =
                    splits.iter().flat_map(|s| &s.entries).map(|(v, _)| *v).collect();
                prop_assert!(values.is_sorted_by(|a, b| a >= b));
            }
        }
    }
}
