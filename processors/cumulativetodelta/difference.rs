//! What was added between two cumulative values.

use weir_model::{Buckets, ExponentialHistogram, Histogram, PointValue};

/// Why there is no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The value fell: it began anew.
    Reset {
        /// Whether the new value is what the next one is compared with. The reference keeps the
        /// old one for histograms.
        rebase: bool,
    },
    /// The buckets are others than before.
    Buckets,
    /// The point has no value, or one of another type than its metric.
    NoValue,
}

const REBASED: Refused = Refused::Reset { rebase: true };
const KEPT: Refused = Refused::Reset { rebase: false };

/// Puts the difference into `now` and the value of `now` into `before`. With an error `before`
/// is left as it is, and `now` keeps its value, less a sum that is not a number.
pub(super) fn difference(before: &mut PointValue, now: &mut PointValue) -> Result<(), Refused> {
    match (&mut *before, &mut *now) {
        (PointValue::Int(before), PointValue::Int(now)) => {
            if *now < *before {
                return Err(REBASED);
            }
            let delta = now.wrapping_sub(*before);
            *before = std::mem::replace(now, delta);
            return Ok(());
        }
        (PointValue::Double(before), PointValue::Double(now)) => {
            if *now < *before {
                return Err(REBASED);
            }
            let delta = *now - *before;
            *before = std::mem::replace(now, delta);
            return Ok(());
        }
        // The difference is written over the old value, which then goes out: nothing is allocated.
        (PointValue::Histogram(before), PointValue::Histogram(now)) => histogram(before, now)?,
        (PointValue::ExponentialHistogram(before), PointValue::ExponentialHistogram(now)) => {
            exponential(before, now)?;
        }
        _ => return Err(Refused::NoValue),
    }
    std::mem::swap(before, now);
    Ok(())
}

/// The difference of two sums; a sum that is not a number counts as unchanged.
fn sums(before: &mut Option<f64>, now: &mut Option<f64>) {
    let base = before.unwrap_or(0.0);
    if now.is_some_and(f64::is_nan) {
        *now = Some(base);
    }
    *before = now.map(|sum| sum - base);
}

fn histogram(before: &mut Histogram, now: &mut Histogram) -> Result<(), Refused> {
    if before.bucket_counts.len() != now.bucket_counts.len()
        || before.explicit_bounds != now.explicit_bounds
    {
        return Err(Refused::Buckets);
    }
    if now.count < before.count {
        return Err(KEPT);
    }
    let mut pairs = before.bucket_counts.iter().zip(&now.bucket_counts);
    if pairs.any(|(before, now)| now < before) {
        return Err(REBASED);
    }
    for (before, now) in before.bucket_counts.iter_mut().zip(&now.bucket_counts) {
        *before = now - *before;
    }
    before.count = now.count - before.count;
    sums(&mut before.sum, &mut now.sum);
    (before.min, before.max) = (None, None);
    Ok(())
}

fn exponential(
    before: &mut ExponentialHistogram,
    now: &mut ExponentialHistogram,
) -> Result<(), Refused> {
    // Merging only ever widens the zero bucket and lowers the scale.
    if now.count < before.count
        || now.zero_threshold < before.zero_threshold
        || now.scale > before.scale
    {
        return Err(KEPT);
    }
    let positive = side(before.positive.as_ref(), now.positive.as_ref(), before, now)?;
    let negative = side(before.negative.as_ref(), now.negative.as_ref(), before, now)?;
    let zeros = before.zero_count.saturating_add(positive.1).saturating_add(negative.1);
    before.zero_count = now.zero_count.checked_sub(zeros).ok_or(REBASED)?;
    (before.positive, before.negative) = (positive.0, negative.0);
    before.count = now.count - before.count;
    sums(&mut before.sum, &mut now.sum);
    (before.scale, before.zero_threshold) = (now.scale, now.zero_threshold);
    (before.min, before.max) = (None, None);
    Ok(())
}

/// The difference of one side at the new scale, and how many old observations now count as zero.
fn side(
    old: Option<&Buckets>,
    new: Option<&Buckets>,
    before: &ExponentialHistogram,
    now: &ExponentialHistogram,
) -> Result<(Option<Buckets>, u64), Refused> {
    let mut delta = new.cloned();
    let mut zeros = 0u64;
    let bits = (i64::from(before.scale) - i64::from(now.scale)).clamp(0, 63);
    // Buckets that end at or below this index went into the zero bucket.
    let widened = now.zero_threshold > before.zero_threshold;
    let limit = now.zero_threshold.log2() * f64::from(before.scale).exp2();
    let counts = old.map_or(&[][..], |old| &old.counts);
    let offset = i64::from(old.map_or(0, |old| old.offset));
    for (index, count) in (offset..).zip(counts).filter(|(_, count)| **count > 0) {
        if widened && (index + 1) as f64 <= limit {
            zeros = zeros.saturating_add(*count);
            continue;
        }
        let place = delta.as_mut().and_then(|delta| {
            let at = (index >> bits) - i64::from(delta.offset);
            delta.counts.get_mut(usize::try_from(at).ok()?)
        });
        // A bucket that was filled and is not any more: counting began anew.
        let place = place.ok_or(REBASED)?;
        *place = place.checked_sub(*count).ok_or(REBASED)?;
    }
    if let Some(delta) = &mut delta {
        trim(delta);
    }
    Ok((delta, zeros))
}

/// Leaves off empty buckets at both ends.
fn trim(buckets: &mut Buckets) {
    let filled = buckets.counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
    buckets.counts.truncate(filled);
    let empty = buckets.counts.iter().take_while(|count| **count == 0).count();
    buckets.counts.drain(..empty);
    if buckets.counts.is_empty() {
        buckets.offset = 0;
    } else {
        buckets.offset = buckets.offset.saturating_add(i32::try_from(empty).unwrap_or(i32::MAX));
    }
}
