//! Making one point of several with the same labels and time.

use std::collections::HashMap;

use weir_model::{
    Attributes, Buckets, ExponentialHistogram, Histogram, MetricKind, Point, PointValue,
    Temporality,
};

use super::config::Aggregation;
use super::memo::Metric;

/// What points have in common to be merged: labels, time, start time (delta only), and for
/// histograms what keeps their buckets apart.
type Key = (Attributes, u64, u64, Vec<u64>);

fn key(point: &Point) -> Key {
    use MetricKind::{ExponentialHistogram, Histogram, Sum};
    const DELTA: Temporality = Temporality::Delta;
    let start = match point.series.metric().kind {
        Sum { temporality: DELTA, .. }
        | Histogram { temporality: DELTA }
        | ExponentialHistogram { temporality: DELTA } => point.start_ns,
        _ => 0,
    };
    let mut shape = Vec::new();
    let offset = |side: &Option<Buckets>| side.as_ref().map_or(0, |side| side.offset as u64);
    match &point.value {
        PointValue::Histogram(value) => {
            shape.extend(value.explicit_bounds.iter().map(|bound| bound.to_bits()));
            shape.extend([u64::from(value.min.is_some()), u64::from(value.max.is_some())]);
            shape.push(u64::from(point.flags));
        }
        PointValue::ExponentialHistogram(value) => {
            shape.extend([value.scale as u64, u64::from(value.min.is_some()), u64::from(value.max.is_some())]);
            shape.extend([u64::from(point.flags), offset(&value.positive), offset(&value.negative)]);
        }
        _ => {}
    }
    (point.series.labels().clone(), point.time_ns, start, shape)
}

/// Merges the points of a metric; summaries stay as they are.
pub(super) fn merge(points: &mut Metric, how: Option<Aggregation>) {
    if points.iter().any(|point| matches!(point.value, PointValue::Summary(_))) {
        return;
    }
    let mut places: HashMap<Key, usize, foldhash::fast::RandomState> = HashMap::default();
    let mut groups: Vec<Vec<Point>> = Vec::new();
    for point in points.drain(..) {
        let at = *places.entry(key(&point)).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.push(point),
            None => groups.push(vec![point]),
        }
    }
    points.extend(groups.into_iter().filter_map(|group| one_of(group, how)));
}

fn one_of(group: Vec<Point>, how: Option<Aggregation>) -> Option<Point> {
    let mut rest = group.into_iter();
    let mut first = rest.next()?;
    let rest = rest.as_slice();
    if rest.is_empty() {
        return Some(first);
    }
    if let Some(start) = rest.iter().map(|point| point.start_ns).min() {
        first.start_ns = first.start_ns.min(start);
    }
    match &mut first.value {
        PointValue::Int(value) => *value = ints(*value, rest, how),
        PointValue::Double(value) => *value = doubles(*value, rest, how),
        PointValue::Histogram(value) => {
            for point in rest {
                if let PointValue::Histogram(other) = &point.value {
                    add_histogram(value, other);
                }
            }
        }
        PointValue::ExponentialHistogram(value) => {
            for point in rest {
                if let PointValue::ExponentialHistogram(other) = &point.value {
                    add_exponential(value, other);
                }
            }
        }
        PointValue::Summary(_) | PointValue::Empty => {}
    }
    let exemplars = rest.iter().flat_map(|point| point.exemplars().iter().cloned());
    let exemplars: Vec<_> = exemplars.collect();
    if !exemplars.is_empty() && matches!(first.value, PointValue::Histogram(_) | PointValue::ExponentialHistogram(_)) {
        first.extras.get_or_insert_default().exemplars.extend(exemplars);
    }
    Some(first)
}

fn ints(first: i64, rest: &[Point], how: Option<Aggregation>) -> i64 {
    let number = |point: &Point| match point.value {
        PointValue::Int(value) => value,
        PointValue::Double(value) => value as i64,
        _ => 0,
    };
    let all = || std::iter::once(first).chain(rest.iter().map(number));
    let count = i64::try_from(rest.len() + 1).unwrap_or(i64::MAX);
    let sum = || all().fold(0, i64::wrapping_add);
    match how {
        None => first,
        Some(Aggregation::Sum) => sum(),
        Some(Aggregation::Mean) => sum() / count,
        Some(Aggregation::Min) => all().min().unwrap_or(first),
        Some(Aggregation::Max) => all().max().unwrap_or(first),
        Some(Aggregation::Count) => count,
        Some(Aggregation::Median) => {
            let mut sorted: Vec<i64> = all().collect();
            sorted.sort_unstable();
            let (low, high) = middle(&sorted).unwrap_or((first, first));
            if low == high { low } else { low.wrapping_add(high) / 2 }
        }
    }
}

fn doubles(first: f64, rest: &[Point], how: Option<Aggregation>) -> f64 {
    let all = || std::iter::once(first).chain(rest.iter().map(|p| p.value.as_f64().unwrap_or(0.0)));
    let count = (rest.len() + 1) as f64;
    let not_a_number = || all().any(f64::is_nan);
    match how {
        None => first,
        Some(Aggregation::Sum) => all().sum(),
        Some(Aggregation::Mean) => all().sum::<f64>() / count,
        Some(Aggregation::Min | Aggregation::Max) if not_a_number() => f64::NAN,
        Some(Aggregation::Min) => all().fold(first, f64::min),
        Some(Aggregation::Max) => all().fold(first, f64::max),
        Some(Aggregation::Count) => count,
        Some(Aggregation::Median) => {
            let mut sorted: Vec<f64> = all().collect();
            // Not-a-numbers first, as the reference sorts.
            sorted.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b)));
            let (low, high) = middle(&sorted).unwrap_or((first, first));
            if low == high { low } else { (low + high) / 2.0 }
        }
    }
}

/// The middle of a sorted list: the middle one twice, or the two round the middle.
fn middle<T: Copy>(sorted: &[T]) -> Option<(T, T)> {
    let high = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some((high, high));
    }
    Some((*sorted.get((sorted.len() / 2).checked_sub(1)?)?, high))
}

fn add_sum(sum: &mut Option<f64>, other: Option<f64>) {
    if let Some(other) = other {
        *sum = Some(sum.unwrap_or(0.0) + other);
    }
}

/// The smaller of two minima, where both are known.
fn least(min: &mut Option<f64>, other: Option<f64>) {
    *min = min.map(|min| other.map_or(min, |other| min.min(other)));
}

fn greatest(max: &mut Option<f64>, other: Option<f64>) {
    *max = max.map(|max| other.map_or(max, |other| max.max(other)));
}

fn add_counts(counts: &mut Vec<u64>, other: &[u64]) {
    if counts.len() < other.len() {
        counts.resize(other.len(), 0);
    }
    for (count, other) in counts.iter_mut().zip(other) {
        *count = count.wrapping_add(*other);
    }
}

fn add_histogram(value: &mut Histogram, other: &Histogram) {
    if other.count == 0 {
        return;
    }
    value.count = value.count.wrapping_add(other.count);
    add_sum(&mut value.sum, other.sum);
    least(&mut value.min, other.min);
    greatest(&mut value.max, other.max);
    add_counts(&mut value.bucket_counts, &other.bucket_counts);
}

fn add_exponential(value: &mut ExponentialHistogram, other: &ExponentialHistogram) {
    if other.count == 0 {
        return;
    }
    value.count = value.count.wrapping_add(other.count);
    value.zero_count = value.zero_count.wrapping_add(other.zero_count);
    add_sum(&mut value.sum, other.sum);
    least(&mut value.min, other.min);
    greatest(&mut value.max, other.max);
    for (side, other) in
        [(&mut value.positive, &other.positive), (&mut value.negative, &other.negative)]
    {
        match (side.as_mut(), other) {
            // Equal offsets: they are part of the key.
            (Some(side), Some(other)) => add_counts(&mut side.counts, &other.counts),
            (None, Some(other)) => *side = Some(other.clone()),
            (_, None) => {}
        }
    }
}
