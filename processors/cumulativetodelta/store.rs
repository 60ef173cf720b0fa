//! What is remembered of each stream.

use std::sync::Arc;
use std::time::Duration;

use weir_model::{
    Interner, MetricKind, MetricMeta, Point, PointValue, Series, SeriesIndex, Temporality,
};

use super::config::{Choices, InitialValue};
use super::difference::{Refused, difference};
use crate::streams::Streams;

/// Why a point was dropped; in the order of [`REASONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    Initial,
    Reset,
    Buckets,
    OutOfOrder,
    NoValue,
    Limit,
}

/// The `reason` label of each [`Dropped`].
pub(super) const REASONS: [&str; 6] =
    ["initial", "reset", "bucket_mismatch", "out_of_order", "no_value", "limit"];

/// What stays the same for the life of the processor.
pub(super) struct Rules {
    pub(super) choices: Choices,
    pub(super) initial: InitialValue,
    /// When the processor began, Unix ns.
    pub(super) began_ns: u64,
    /// Most streams.
    pub(super) capacity: usize,
    pub(super) interner: Arc<Interner>,
}

/// Streams by series. A series has several if senders start at different times.
#[derive(Default)]
pub(super) struct Store(Streams<Vec<Stream>>);

struct Stream {
    start_ns: u64,
    time_ns: u64,
    /// When its last point came, on the monotonic clock.
    seen: Duration,
    value: PointValue,
}

/// The metric with delta temporality, if it has the cumulative one.
fn delta_of(metric: &MetricMeta) -> Option<MetricMeta> {
    const CUMULATIVE: Temporality = Temporality::Cumulative;
    let temporality = Temporality::Delta;
    let kind = match metric.kind {
        MetricKind::Sum { temporality: CUMULATIVE, monotonic: true } => {
            MetricKind::Sum { temporality, monotonic: true }
        }
        MetricKind::Histogram { temporality: CUMULATIVE } => MetricKind::Histogram { temporality },
        MetricKind::ExponentialHistogram { temporality: CUMULATIVE } => {
            MetricKind::ExponentialHistogram { temporality }
        }
        _ => return None,
    };
    Some(MetricMeta { kind, ..metric.clone() })
}

impl Rules {
    /// The metric with delta temporality, if it is one to be converted.
    fn delta_of(&self, metric: &MetricMeta) -> Option<MetricMeta> {
        delta_of(metric).filter(|metric| self.choices.takes(metric))
    }
}

impl Store {
    /// Streams remembered.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether points of a series pass as they are.
    pub(super) fn passes(&mut self, series: &Arc<Series>, rules: &Rules) -> bool {
        self.0.find(series, &rules.interner, |metric| rules.delta_of(metric)).is_none()
    }

    /// Makes a point its difference to the one before.
    pub(super) fn convert(
        &mut self,
        point: &mut Point,
        rules: &Rules,
        now: Duration,
    ) -> Result<(), Dropped> {
        let convert = |metric: &MetricMeta| rules.delta_of(metric);
        let found = self.0.find(&point.series, &rules.interner, convert);
        let Some((tracked, streams)) = found else { return Ok(()) };
        if point.series.index() == SeriesIndex::NONE {
            return Err(Dropped::Limit);
        }
        if point.is_stale() || matches!(point.value, PointValue::Empty) {
            return Err(Dropped::NoValue);
        }
        if matches!(point.value, PointValue::Double(value) if value.is_nan()) {
            point.series = tracked.target.clone();
            return Ok(());
        }
        let same = |stream: &&mut Stream| {
            stream.start_ns == point.start_ns
                && std::mem::discriminant(&stream.value) == std::mem::discriminant(&point.value)
        };
        let Some(stream) = tracked.state.iter_mut().find(same) else {
            if *streams >= rules.capacity {
                return Err(Dropped::Limit);
            }
            *streams += 1;
            tracked.state.push(Stream {
                start_ns: point.start_ns,
                time_ns: point.time_ns,
                seen: now,
                value: point.value.clone(),
            });
            point.series = tracked.target.clone();
            return first(point, rules);
        };
        stream.seen = now;
        next(stream, point)?;
        point.series = tracked.target.clone();
        Ok(())
    }

    /// Forgets streams without a point for `staleness`.
    pub(super) fn forget(&mut self, now: Duration, staleness: Duration) {
        self.0.forget(|streams| {
            let before = streams.len();
            streams.retain(|stream| now.saturating_sub(stream.seen) <= staleness);
            (before - streams.len(), streams.is_empty())
        });
    }

    /// Drops what belongs to series that are no more.
    pub(super) fn sweep(&mut self, interner: &Interner) {
        self.0.sweep(interner);
    }
}

/// The first point of a stream.
fn first(point: &mut Point, rules: &Rules) -> Result<(), Dropped> {
    match rules.initial {
        InitialValue::Drop => return Err(Dropped::Initial),
        InitialValue::Auto
            if point.start_ns < rules.began_ns || point.start_ns == point.time_ns =>
        {
            return Err(Dropped::Initial);
        }
        InitialValue::Auto => {}
        InitialValue::Keep => point.start_ns = 0,
    }
    match &mut point.value {
        PointValue::Histogram(value) => (value.min, value.max) = (None, None),
        PointValue::ExponentialHistogram(value) => (value.min, value.max) = (None, None),
        _ => {}
    }
    Ok(())
}

/// A further point of a stream.
fn next(stream: &mut Stream, point: &mut Point) -> Result<(), Dropped> {
    // Points without a time have no order.
    if point.time_ns <= stream.time_ns && point.time_ns != 0 {
        return Err(Dropped::OutOfOrder);
    }
    match difference(&mut stream.value, &mut point.value) {
        Ok(()) => {
            point.start_ns = std::mem::replace(&mut stream.time_ns, point.time_ns);
            Ok(())
        }
        Err(Refused::Reset { rebase: false }) => Err(Dropped::Reset),
        Err(Refused::NoValue) => Err(Dropped::NoValue),
        Err(why) => {
            std::mem::swap(&mut stream.value, &mut point.value);
            stream.time_ns = point.time_ns;
            let buckets = why == Refused::Buckets;
            Err(if buckets { Dropped::Buckets } else { Dropped::Reset })
        }
    }
}
