//! The sum of two values of one series: what a delta adds to the values before it.

use crate::point::{Buckets, ExponentialHistogram, Histogram, PointValue};

/// Buckets on either side of a sum of exponential histograms, unless a summand has more: with more
/// the scale is lowered (the limit of the OpenTelemetry SDKs).
const MAX_BUCKETS: usize = 160;

/// Why two values have no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAddable {
    /// One is a number, the other a histogram, or one of them is a summary or empty.
    #[error("the values are of different types")]
    Types,
    /// The histograms have other bounds.
    #[error("the histograms have different bounds")]
    Bounds,
}

impl PointValue {
    /// Adds `more`, which came after, to this value.
    ///
    /// # Errors
    /// If there is no sum; the value is left as it was.
    pub fn accumulate(&mut self, more: &PointValue) -> Result<(), NotAddable> {
        match (&mut *self, more) {
            (PointValue::Int(total), PointValue::Int(more)) => {
                *total = total.saturating_add(*more);
            }
            (PointValue::Double(total), PointValue::Double(more)) => *total += more,
            (PointValue::Double(total), PointValue::Int(more)) => *total += *more as f64,
            (PointValue::Int(total), PointValue::Double(more)) => {
                *self = PointValue::Double(*total as f64 + more);
            }
            (PointValue::Histogram(total), PointValue::Histogram(more)) => {
                return explicit(total, more);
            }
            (PointValue::ExponentialHistogram(total), PointValue::ExponentialHistogram(more)) => {
                exponential(total, more);
            }
            _ => return Err(NotAddable::Types),
        }
        Ok(())
    }
}

fn explicit(total: &mut Histogram, more: &Histogram) -> Result<(), NotAddable> {
    if total.explicit_bounds != more.explicit_bounds
        || total.bucket_counts.len() != more.bucket_counts.len()
    {
        return Err(NotAddable::Bounds);
    }
    for (total, more) in total.bucket_counts.iter_mut().zip(&more.bucket_counts) {
        *total = total.saturating_add(*more);
    }
    total.count = total.count.saturating_add(more.count);
    total.sum = both(total.sum, more.sum, |a, b| a + b);
    total.min = both(total.min, more.min, f64::min);
    total.max = both(total.max, more.max, f64::max);
    Ok(())
}

/// A statistic that one of two does not have cannot be known of both.
fn both(a: Option<f64>, b: Option<f64>, join: impl Fn(f64, f64) -> f64) -> Option<f64> {
    Some(join(a?, b?))
}

fn exponential(total: &mut ExponentialHistogram, more: &ExponentialHistogram) {
    // A side without observations says nothing about minimum and maximum.
    if total.count == 0 {
        (total.min, total.max) = (more.min, more.max);
    } else if more.count > 0 {
        total.min = both(total.min, more.min, f64::min);
        total.max = both(total.max, more.max, f64::max);
    }
    let threshold = total.zero_threshold.max(more.zero_threshold);
    let mut zeros = total.zero_count.saturating_add(more.zero_count);
    let mut sides = [
        (&total.positive, &more.positive),
        (&total.negative, &more.negative),
    ]
    .map(|(a, b)| {
        let mut side = Side::default();
        for (histogram, buckets) in [(&*total, a), (more, b)] {
            zeros = zeros.saturating_add(side.take(histogram, buckets.as_ref(), threshold));
        }
        side
    });
    let scale = sides
        .iter()
        .fold(total.scale.min(more.scale), |scale, side| {
            scale.min(side.scale_to_fit(scale))
        });
    let [positive, negative] = &mut sides;
    total.positive = positive.buckets(scale);
    total.negative = negative.buckets(scale);
    total.scale = scale;
    total.zero_threshold = threshold;
    total.zero_count = zeros;
    total.count = total.count.saturating_add(more.count);
    total.sum = both(total.sum, more.sum, |a, b| a + b);
}

/// Filled buckets of one side of both: scale, index, count.
#[derive(Default)]
struct Side {
    filled: Vec<(i32, i64, u64)>,
    present: bool,
    longest: usize,
}

impl Side {
    /// Takes the buckets of one summand; returns the observations that now count as zero.
    fn take(
        &mut self,
        histogram: &ExponentialHistogram,
        buckets: Option<&Buckets>,
        threshold: f64,
    ) -> u64 {
        let Some(buckets) = buckets else { return 0 };
        self.present = true;
        self.longest = self.longest.max(buckets.counts.len());
        let widened = threshold > histogram.zero_threshold;
        let limit = threshold.log2() * f64::from(histogram.scale).exp2();
        let mut zeros = 0_u64;
        for (index, count) in (i64::from(buckets.offset)..).zip(&buckets.counts) {
            if *count == 0 {
                continue;
            }
            // Buckets that end at or below the threshold are inside the wider zero bucket.
            if widened && (index + 1) as f64 <= limit {
                zeros = zeros.saturating_add(*count);
            } else {
                self.filled.push((histogram.scale, index, *count));
            }
        }
        zeros
    }

    /// First and last index at a scale.
    fn range(&self, scale: i32) -> Option<(i64, i64)> {
        let indices = || self.filled.iter().map(|bucket| at_scale(bucket, scale));
        Some((indices().min()?, indices().max()?))
    }

    /// The highest scale up to `scale` at which the buckets are not too many.
    fn scale_to_fit(&self, mut scale: i32) -> i32 {
        let most = self.longest.max(MAX_BUCKETS) as i64;
        while let Some((first, last)) = self.range(scale)
            && last - first >= most
        {
            scale -= 1;
        }
        scale
    }

    /// The sum of both at a scale.
    fn buckets(&self, scale: i32) -> Option<Buckets> {
        let Some((first, last)) = self.range(scale) else {
            return self.present.then(Buckets::default);
        };
        let mut counts = vec![0_u64; usize::try_from(last - first + 1).unwrap_or(0)];
        for bucket in &self.filled {
            let at = usize::try_from(at_scale(bucket, scale) - first).unwrap_or(usize::MAX);
            if let Some(count) = counts.get_mut(at) {
                *count = count.saturating_add(bucket.2);
            }
        }
        // Indices of the wire have 32 bits, and merging only brings them nearer to zero.
        let offset = i32::try_from(first).unwrap_or(i32::MAX);
        Some(Buckets { offset, counts })
    }
}

/// The index of a bucket at a scale that is not above its own.
fn at_scale((scale, index, _): &(i32, i64, u64), to: i32) -> i64 {
    let bits = (i64::from(*scale) - i64::from(to)).clamp(0, 63);
    index >> bits
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_of_either_kind_add_up() {
        for (mut total, more, sum) in [
            (PointValue::Int(2), PointValue::Int(3), PointValue::Int(5)),
            (
                PointValue::Int(i64::MAX),
                PointValue::Int(3),
                PointValue::Int(i64::MAX),
            ),
            (
                PointValue::Int(2),
                PointValue::Double(0.5),
                PointValue::Double(2.5),
            ),
            (
                PointValue::Double(0.5),
                PointValue::Int(2),
                PointValue::Double(2.5),
            ),
            (
                PointValue::Double(0.5),
                PointValue::Double(2.0),
                PointValue::Double(2.5),
            ),
        ] {
            total.accumulate(&more).unwrap();
            assert_eq!(total, sum);
        }
        let mut number = PointValue::Int(1);
        assert_eq!(
            number.accumulate(&PointValue::Empty),
            Err(NotAddable::Types)
        );
        assert_eq!(number, PointValue::Int(1));
    }

    #[test]
    fn histograms_add_up_when_their_bounds_are_equal() {
        let one = |bounds: &[f64], min| Histogram {
            count: 3,
            sum: Some(1.5),
            min,
            max: Some(9.0),
            bucket_counts: vec![1, 2],
            explicit_bounds: bounds.to_vec(),
        };
        let mut total = PointValue::Histogram(Box::new(one(&[1.0], Some(-1.0))));
        let more = PointValue::Histogram(Box::new(one(&[1.0], None)));
        total.accumulate(&more).unwrap();
        let sum = Histogram {
            count: 6,
            sum: Some(3.0),
            min: None,
            max: Some(9.0),
            bucket_counts: vec![2, 4],
            explicit_bounds: vec![1.0],
        };
        assert_eq!(total, PointValue::Histogram(Box::new(sum.clone())));
        let other = PointValue::Histogram(Box::new(one(&[2.0], None)));
        assert_eq!(total.accumulate(&other), Err(NotAddable::Bounds));
        assert_eq!(total, PointValue::Histogram(Box::new(sum)));
    }

    #[test]
    fn a_wider_zero_bucket_takes_the_buckets_below_it() {
        let mut total = ExponentialHistogram {
            count: 6,
            scale: 0,
            // (1, 2], (2, 4], (4, 8]
            positive: Some(Buckets {
                offset: 0,
                counts: vec![1, 2, 3],
            }),
            ..ExponentialHistogram::default()
        };
        let more = ExponentialHistogram {
            count: 1,
            scale: 0,
            zero_count: 1,
            zero_threshold: 4.0,
            ..ExponentialHistogram::default()
        };
        exponential(&mut total, &more);
        assert_eq!((total.zero_count, total.count), (4, 7));
        assert_eq!(
            total.positive,
            Some(Buckets {
                offset: 2,
                counts: vec![3]
            })
        );
        assert_eq!(total.negative, None);
    }

    fn side() -> impl Strategy<Value = Option<Buckets>> {
        let buckets = (-2000..2000_i32, proptest::collection::vec(0..9_u64, 0..200))
            .prop_map(|(offset, counts)| Buckets { offset, counts });
        proptest::option::of(buckets)
    }

    fn any_histogram() -> impl Strategy<Value = ExponentialHistogram> {
        (-4..20_i32, side(), side(), 0..9_u64).prop_map(
            |(scale, positive, negative, zero_count)| {
                let counts = |side: &Option<Buckets>| {
                    side.iter().flat_map(|s| s.counts.clone()).sum::<u64>()
                };
                ExponentialHistogram {
                    count: counts(&positive) + counts(&negative) + zero_count,
                    sum: Some(1.0),
                    scale,
                    zero_count,
                    positive,
                    negative,
                    ..ExponentialHistogram::default()
                }
            },
        )
    }

    /// The buckets that are not empty, at a scale.
    fn by_index(
        histograms: &[&ExponentialHistogram],
        positive: bool,
        scale: i32,
    ) -> BTreeMap<i64, u64> {
        let mut all = BTreeMap::new();
        for histogram in histograms {
            let side = if positive {
                &histogram.positive
            } else {
                &histogram.negative
            };
            let Some(side) = side else { continue };
            for (index, count) in (i64::from(side.offset)..).zip(&side.counts) {
                if *count > 0 {
                    *all.entry(index >> (histogram.scale - scale)).or_insert(0) += count;
                }
            }
        }
        all
    }

    proptest! {
        /// Against buckets in a map; no observation is lost, and buckets stay bounded.
        #[test]
        fn exponential_histograms_add_up_bucket_by_bucket(a in any_histogram(), b in any_histogram()) {
            let mut total = PointValue::ExponentialHistogram(Box::new(a.clone()));
            total.accumulate(&PointValue::ExponentialHistogram(Box::new(b.clone()))).unwrap();
            let PointValue::ExponentialHistogram(total) = total else { unreachable!() };
            prop_assert!(total.scale <= a.scale.min(b.scale));
            prop_assert_eq!(total.count, a.count + b.count);
            prop_assert_eq!(total.zero_count, a.zero_count + b.zero_count);
            prop_assert_eq!(total.sum, Some(2.0));
            for positive in [true, false] {
                let summed = by_index(&[&total], positive, total.scale);
                prop_assert_eq!(summed, by_index(&[&a, &b], positive, total.scale));
                let side = if positive { &total.positive } else { &total.negative };
                prop_assert!(side.as_ref().is_none_or(|side| side.counts.len() <= 200));
            }
        }
    }
}
