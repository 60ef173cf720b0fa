//! From distributions (explicit and exponential histograms) to rate, mean and quantiles.

use crate::rate::{Interval, Stream, delta_interval};

/// Fewer observations than this say too little about a quantile.
pub const QUANTILE_MIN_COUNT: u64 = 20;

/// What one distribution point adds to the one before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Increase {
    /// Observations per second.
    pub rate: f64,
    /// Mean of the observations; `None` without a sum or without an observation.
    pub mean: Option<f64>,
}

/// Count and sum of one distribution stream.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distribution {
    pub(crate) stream: Stream,
    pub(crate) count: u64,
    pub(crate) sum: f64,
}

impl Distribution {
    /// A stream of which no point is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The increase a cumulative point shows. `None` for the first point, a reset (the count fell,
    /// or the start time changed) and a late or duplicate point.
    pub fn cumulative(
        &mut self,
        start_ns: i64,
        time_ns: i64,
        count: u64,
        sum: Option<f64>,
    ) -> Option<Increase> {
        let interval = self.stream.arrive(start_ns, time_ns);
        if interval == Interval::Late {
            return None;
        }
        let added = count.checked_sub(self.count);
        // a sum that is missing once makes the next difference unknown, too
        let sum = sum.unwrap_or(f64::NAN);
        let added_sum = sum - self.sum;
        (self.count, self.sum) = (count, sum);
        match (interval, added) {
            (Interval::Elapsed(seconds), Some(added)) => Some(increase(added, added_sum, seconds)),
            _ => None,
        }
    }

    /// Whether the newest point taken is of this time.
    #[must_use]
    pub fn is_newest(&self, time_ns: i64) -> bool {
        self.stream.seen && self.stream.last_ns == time_ns
    }

    /// The increase a delta point stands for; see [`crate::Rate::delta`] for its interval.
    pub fn delta(
        &mut self,
        start_ns: i64,
        time_ns: i64,
        count: u64,
        sum: Option<f64>,
    ) -> Option<Increase> {
        let seconds = delta_interval(&mut self.stream, start_ns, time_ns)?;
        Some(increase(count, sum.unwrap_or(f64::NAN), seconds))
    }
}

fn increase(count: u64, sum: f64, seconds: f64) -> Increase {
    let mean = sum / count as f64;
    Increase {
        rate: count as f64 / seconds,
        mean: (count > 0 && mean.is_finite()).then_some(mean),
    }
}

/// Replaces `previous` by `current` and leaves the bucket-wise increase in `into`. `None` when the
/// number of buckets changed or a bucket fell (a reset); `into` is then without meaning.
pub fn bucket_increase(
    current: &[u64],
    previous: &mut Vec<u64>,
    into: &mut Vec<u64>,
) -> Option<()> {
    into.clear();
    if current.len() == previous.len() {
        let added = current.iter().zip(previous.iter());
        into.extend(added.filter_map(|(now, before)| now.checked_sub(*before)));
    }
    previous.clear();
    previous.extend_from_slice(current);
    (into.len() == current.len()).then_some(())
}

/// The `q`-quantile (0..=1) of an explicit histogram by linear interpolation inside the bucket.
/// `bounds` are the upper edges, `counts` has one more entry (the last bucket is open and answers
/// its lower edge; the first, open to below, its upper edge unless that is positive: then it starts
/// at 0). `None` with fewer than [`QUANTILE_MIN_COUNT`] observations or without bounds.
#[must_use]
pub fn explicit_quantile(bounds: &[f64], counts: &[u64], q: f64) -> Option<f64> {
    let mut rank = rank(counts.iter().copied(), q)?;
    let largest = *bounds.last()?;
    for (i, count) in counts.iter().enumerate() {
        let count = *count as f64;
        if rank > count || count == 0.0 {
            rank -= count;
            continue;
        }
        let Some(upper) = bounds.get(i).copied() else {
            return number(largest);
        };
        let lower = match i.checked_sub(1).and_then(|below| bounds.get(below)) {
            Some(lower) => *lower,
            None if upper > 0.0 => 0.0,
            None => return number(upper),
        };
        return number(lower + (upper - lower) * rank / count);
    }
    number(largest)
}

/// One side of an exponential histogram: bucket `i` of `counts` holds magnitudes in
/// `(base^(offset + i), base^(offset + i + 1)]`, base = 2^(2^-scale).
#[derive(Clone, Copy, Debug, Default)]
pub struct ExponentialBuckets<'a> {
    /// Index of the first bucket.
    pub offset: i32,
    /// Observations per bucket.
    pub counts: &'a [u64],
}

impl ExponentialBuckets<'_> {
    /// Magnitude `part` (0..1) of the way through bucket `i`, on a logarithmic scale.
    fn magnitude(&self, scale: i32, i: usize, part: f64) -> f64 {
        let index = f64::from(self.offset) + i as f64 + part;
        (index * (-f64::from(scale)).exp2()).exp2()
    }
}

/// The `q`-quantile of an exponential histogram, geometrically interpolated inside the bucket; 0
/// for the zero bucket. `None` with fewer than [`QUANTILE_MIN_COUNT`] observations.
#[must_use]
pub fn exponential_quantile(
    scale: i32,
    zero_count: u64,
    positive: ExponentialBuckets<'_>,
    negative: ExponentialBuckets<'_>,
    q: f64,
) -> Option<f64> {
    let all = negative
        .counts
        .iter()
        .chain(Some(&zero_count))
        .chain(positive.counts);
    let mut rank = rank(all.copied(), q)?;
    for (i, count) in negative.counts.iter().enumerate().rev() {
        let count = *count as f64;
        if rank <= count && count > 0.0 {
            return number(-negative.magnitude(scale, i, 1.0 - rank / count));
        }
        rank -= count;
    }
    if rank <= zero_count as f64 {
        return Some(0.0);
    }
    rank -= zero_count as f64;
    let mut last = None;
    for (i, count) in positive.counts.iter().enumerate() {
        let count = *count as f64;
        if count > 0.0 {
            last = number(positive.magnitude(scale, i, (rank / count).clamp(0.0, 1.0)));
            if rank <= count {
                break;
            }
        }
        rank -= count;
    }
    last
}

/// Observations up to the quantile; `None` when there are too few of them.
fn rank(counts: impl Iterator<Item = u64>, q: f64) -> Option<f64> {
    let total = counts.fold(0, u64::saturating_add);
    (total >= QUANTILE_MIN_COUNT && (0.0..=1.0).contains(&q)).then_some(total as f64 * q)
}

fn number(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn rate_and_mean_from_cumulative_and_delta_points() {
        let mut d = Distribution::new();
        assert_eq!(d.cumulative(1, 60 * S, 10, Some(5.0)), None);
        let both = Some(Increase {
            rate: 1.0,
            mean: Some(2.0),
        });
        assert_eq!(d.cumulative(1, 120 * S, 70, Some(125.0)), both);
        let none_new = Some(Increase {
            rate: 0.0,
            mean: None,
        });
        assert_eq!(d.cumulative(1, 180 * S, 70, Some(125.0)), none_new);
        assert_eq!(d.cumulative(1, 240 * S, 3, Some(1.0)), None, "reset");
        assert_eq!(d.cumulative(2, 300 * S, 9, Some(1.0)), None, "new start");
        assert_eq!(d.cumulative(2, 300 * S, 90, Some(1.0)), None, "duplicate");
        let no_sum = Some(Increase {
            rate: 1.0,
            mean: None,
        });
        assert_eq!(d.cumulative(2, 360 * S, 69, None), no_sum);
        assert_eq!(
            Distribution::new().delta(60 * S, 120 * S, 60, Some(120.0)),
            both
        );
    }

    #[test]
    fn explicit_quantiles_interpolate() {
        let bounds = [1.0, 2.0, 4.0];
        assert_eq!(explicit_quantile(&bounds, &[10, 20, 10, 0], 0.5), Some(1.5));
        assert_eq!(
            explicit_quantile(&bounds, &[10, 20, 10, 0], 0.25),
            Some(1.0)
        );
        assert_eq!(explicit_quantile(&bounds, &[10, 20, 10, 0], 1.0), Some(4.0));
        assert_eq!(
            explicit_quantile(&bounds, &[0, 0, 0, 30], 0.5),
            Some(4.0),
            "the open end"
        );
        assert_eq!(
            explicit_quantile(&[-1.0], &[30, 0], 0.5),
            Some(-1.0),
            "the open start"
        );
        assert_eq!(
            explicit_quantile(&bounds, &[5, 5, 5, 4], 0.5),
            None,
            "too few"
        );
        assert_eq!(explicit_quantile(&[], &[30], 0.5), None);
        assert_eq!(
            explicit_quantile(&[f64::NAN, f64::INFINITY], &[9, 9, 9], 0.5),
            None
        );
    }

    #[test]
    fn exponential_quantiles_cover_both_signs() {
        let positive = ExponentialBuckets {
            offset: 0,
            counts: &[10, 10],
        };
        let negative = ExponentialBuckets {
            offset: 1,
            counts: &[10],
        };
        let q = |q| exponential_quantile(0, 10, positive, negative, q);
        // -4..-2: 10, zero: 10, 1..2: 10, 2..4: 10
        assert_eq!(q(0.0), Some(-4.0));
        assert_eq!(q(0.25), Some(-2.0));
        assert_eq!(q(0.4), Some(0.0));
        assert_eq!(q(0.75), Some(2.0));
        assert_eq!(q(1.0), Some(4.0));
        assert_eq!(q(2.0), None);
        let wide = ExponentialBuckets {
            offset: i32::MAX,
            counts: &[u64::MAX, u64::MAX],
        };
        for scale in [i32::MIN, -10, 20, i32::MAX] {
            let value = exponential_quantile(scale, 0, wide, wide, 0.9);
            assert!(value.is_none_or(f64::is_finite));
        }
    }

    #[test]
    fn bucket_increases_notice_resets_and_new_layouts() {
        let (mut previous, mut into) = (vec![1, 2], Vec::new());
        assert_eq!(bucket_increase(&[4, 2], &mut previous, &mut into), Some(()));
        assert_eq!(into, [3, 0]);
        assert_eq!(bucket_increase(&[4, 1], &mut previous, &mut into), None);
        assert_eq!(bucket_increase(&[4, 1, 1], &mut previous, &mut into), None);
        assert_eq!(
            bucket_increase(&[5, 1, 1], &mut previous, &mut into),
            Some(())
        );
    }
}
