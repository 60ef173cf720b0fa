//! What a series adds up between two flushes.

use weir_model::{Histogram, PointValue, Summary};

use super::exponential::Exponential;

/// A series' values since the last flush.
#[derive(Debug, Default)]
pub(super) enum Values {
    /// Nothing yet.
    #[default]
    None,
    /// Sum of counter lines, each cut to a whole number.
    Whole(i64),
    /// Sum of counter lines.
    Fraction(f64),
    /// A gauge and when it was last set, Unix nanoseconds.
    Gauge { value: f64, set_ns: u64 },
    /// Every value with its weight.
    Samples(Vec<(f64, f64)>),
    /// Counts between fixed bounds.
    Explicit(Box<Explicit>),
    /// Counts in buckets that adapt.
    Exponential(Box<Exponential>),
}

/// An explicit-bucket histogram being filled.
#[derive(Debug, Default)]
pub(super) struct Explicit {
    counts: Vec<u64>,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Explicit {
    /// Adds `count` measurements of a value between these bounds.
    pub(super) fn add(&mut self, bounds: &[f64], value: f64, count: u64) {
        if count == 0 {
            return;
        }
        self.counts.resize(bounds.len() + 1, 0);
        // Upper bounds are inclusive.
        let at = bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.counts.get_mut(at) {
            *bucket = bucket.saturating_add(count);
        }
        (self.min, self.max) = match self.count {
            0 => (value, value),
            _ => (self.min.min(value), self.max.max(value)),
        };
        self.count = self.count.saturating_add(count);
        self.sum += value * count as f64;
    }

    fn into_value(self, bounds: &[f64]) -> Histogram {
        Histogram {
            count: self.count,
            sum: Some(self.sum),
            min: Some(self.min),
            max: Some(self.max),
            bucket_counts: self.counts,
            explicit_bounds: bounds.to_vec(),
        }
    }
}

impl Values {
    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Samples(samples) => samples.capacity() * size_of::<(f64, f64)>(),
            Self::Explicit(explicit) => size_of::<Explicit>() + explicit.counts.capacity() * 8,
            Self::Exponential(exponential) => exponential.heap_bytes(),
            _ => 0,
        }
    }

    /// The value of a point, and for gauges when it was set. `None` if there is nothing.
    pub(super) fn into_point(
        self,
        percentiles: &[f64],
        bounds: &[f64],
    ) -> Option<(PointValue, Option<u64>)> {
        Some(match self {
            Self::None => return None,
            Self::Whole(sum) => (PointValue::Int(sum), None),
            Self::Fraction(sum) => (PointValue::Double(sum), None),
            Self::Gauge { value, set_ns } => (PointValue::Double(value), Some(set_ns)),
            Self::Samples(samples) => {
                let summary = summary(samples, percentiles);
                (PointValue::Summary(Box::new(summary)), None)
            }
            Self::Explicit(explicit) => {
                let histogram = explicit.into_value(bounds);
                (PointValue::Histogram(Box::new(histogram)), None)
            }
            Self::Exponential(exponential) => {
                let histogram = exponential.into_value();
                (PointValue::ExponentialHistogram(Box::new(histogram)), None)
            }
        })
    }
}

/// Count, sum and percentiles of weighted samples. A percentile is the smallest value at which its
/// share of the whole weight is reached; no interpolation.
fn summary(mut samples: Vec<(f64, f64)>, percentiles: &[f64]) -> Summary {
    samples.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let weight: f64 = samples.iter().map(|(_, weight)| weight).sum();
    let value_at = |share: f64| {
        let wanted = share * weight;
        let mut passed = 0.0;
        let reached = samples.iter().find(|(_, weight)| {
            passed += weight;
            passed >= wanted
        });
        // Rounding may leave the whole a little short.
        reached.or(samples.last()).map_or(0.0, |(value, _)| *value)
    };
    Summary {
        count: weight as u64,
        sum: samples.iter().map(|(value, weight)| value * weight).sum(),
        quantiles: percentiles
            .iter()
            .map(|percentile| (percentile / 100.0, value_at(percentile / 100.0)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_sent() {
        let samples = (1..=20).map(|n| (f64::from(21 - n), 1.0)).collect();
        let of_twenty = summary(samples, &[0.0, 10.0, 50.0, 95.0, 99.9, 100.0]);
        let values: Vec<f64> = of_twenty.quantiles.iter().map(|(_, v)| *v).collect();
        assert_eq!(values, [1.0, 2.0, 10.0, 19.0, 20.0, 20.0]);
        assert_eq!((of_twenty.count, of_twenty.sum), (20, 210.0));
        // A sample rate of a quarter makes a value count four times.
        let weighted = summary(vec![(1.0, 1.0), (9.0, 4.0)], &[20.0, 21.0]);
        assert_eq!((weighted.count, weighted.sum), (5, 37.0));
        assert_eq!(weighted.quantiles, [(0.2, 1.0), (0.21, 9.0)]);
    }

    #[test]
    fn bounds_are_inclusive() {
        let bounds = [1.0, 10.0, 100.0];
        let mut histogram = Explicit::default();
        for value in [0.5, 1.0, 5.0, 9.0, 10.0, 11.0, 500.0] {
            histogram.add(&bounds, value, 1);
        }
        let value = histogram.into_value(&bounds);
        assert_eq!(value.bucket_counts, [2, 3, 1, 1]);
        assert_eq!((value.count, value.sum), (7, Some(536.5)));
        assert_eq!((value.min, value.max), (Some(0.5), Some(500.0)));
    }
}
