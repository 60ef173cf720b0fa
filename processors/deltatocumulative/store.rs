//! What is remembered of each stream: the sum so far.

use std::sync::Arc;
use std::time::Duration;

use weir_model::{
    Interner, MetricKind, MetricMeta, Point, PointValue, Series, SeriesIndex, Temporality,
};

use crate::streams::Streams;

/// Why a point was dropped; in the order of [`REASONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// Not after the point before.
    OutOfOrder,
    /// It began before the stream did.
    OlderStart,
    /// There are too many streams.
    Limit,
    /// The value does not fit the metric's type.
    Value,
}

/// The `error` label of each [`Dropped`].
pub(super) const REASONS: [&str; 4] = ["out_of_order", "older_start", "limit", "wrong_value"];

/// What stays the same for the life of the processor.
pub(super) struct Rules {
    /// Most streams.
    pub(super) capacity: usize,
    /// A stream without a point for so long is over.
    pub(super) max_stale: Duration,
    pub(super) interner: Arc<Interner>,
}

/// Streams by series.
#[derive(Default)]
pub(super) struct Store(Streams<Option<Stream>>);

struct Stream {
    start_ns: u64,
    time_ns: u64,
    /// When its last point came, on the monotonic clock.
    seen: Duration,
    total: PointValue,
}

/// The metric with cumulative temporality, if it is one to be converted.
fn cumulative_of(metric: &MetricMeta) -> Option<MetricMeta> {
    const DELTA: Temporality = Temporality::Delta;
    let temporality = Temporality::Cumulative;
    let kind = match metric.kind {
        MetricKind::Sum { temporality: DELTA, monotonic } => {
            MetricKind::Sum { temporality, monotonic }
        }
        MetricKind::Histogram { temporality: DELTA } => MetricKind::Histogram { temporality },
        MetricKind::ExponentialHistogram { temporality: DELTA } => {
            MetricKind::ExponentialHistogram { temporality }
        }
        _ => return None,
    };
    Some(MetricMeta { kind, ..metric.clone() })
}

/// Whether a value is one of the metric's type.
fn fits(kind: MetricKind, value: &PointValue) -> bool {
    match kind {
        MetricKind::Sum { .. } => value.as_f64().is_some(),
        MetricKind::Histogram { .. } => matches!(value, PointValue::Histogram(_)),
        MetricKind::ExponentialHistogram { .. } => {
            matches!(value, PointValue::ExponentialHistogram(_))
        }
        MetricKind::Gauge | MetricKind::Summary => false,
    }
}

impl Store {
    /// Streams remembered.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether points of a series pass as they are.
    pub(super) fn passes(&mut self, series: &Arc<Series>, rules: &Rules) -> bool {
        self.0.find(series, &rules.interner, cumulative_of).is_none()
    }

    /// Makes a point the sum of all points of its stream so far; whether it is one to be converted.
    pub(super) fn convert(
        &mut self,
        point: &mut Point,
        rules: &Rules,
        now: Duration,
    ) -> Result<bool, Dropped> {
        let found = self.0.find(&point.series, &rules.interner, cumulative_of);
        let Some((tracked, streams)) = found else { return Ok(false) };
        if point.series.index() == SeriesIndex::NONE {
            return Err(Dropped::Limit);
        }
        let cumulative = tracked.target.clone();
        if point.is_stale() {
            // The sender ends the stream; so do we.
            if tracked.state.take().is_some() {
                *streams -= 1;
            }
            point.series = cumulative;
            return Ok(true);
        }
        if !fits(point.series.metric().kind, &point.value) {
            return Err(Dropped::Value);
        }
        match &mut tracked.state {
            Some(stream) if now.saturating_sub(stream.seen) > rules.max_stale => {
                *stream = Stream::beginning_with(point, now);
            }
            Some(stream) => stream.add(point, now)?,
            none => {
                if *streams >= rules.capacity {
                    return Err(Dropped::Limit);
                }
                *streams += 1;
                *none = Some(Stream::beginning_with(point, now));
            }
        }
        point.series = cumulative;
        Ok(true)
    }

    /// Forgets streams without a point for too long.
    pub(super) fn forget(&mut self, now: Duration, max_stale: Duration) {
        self.0.forget(|stream| {
            let over = |stream: &mut Stream| now.saturating_sub(stream.seen) > max_stale;
            let gone = stream.take_if(over).is_some();
            (usize::from(gone), stream.is_none())
        });
    }

    /// Drops what belongs to series that are no more.
    pub(super) fn sweep(&mut self, interner: &Interner) {
        self.0.sweep(interner);
    }
}

impl Stream {
    fn beginning_with(point: &Point, now: Duration) -> Self {
        Self {
            start_ns: point.start_ns,
            time_ns: point.time_ns,
            seen: now,
            total: point.value.clone(),
        }
    }

    /// A further point, which becomes the sum.
    fn add(&mut self, point: &mut Point, now: Duration) -> Result<(), Dropped> {
        if point.start_ns != 0 && point.start_ns < self.start_ns {
            return Err(Dropped::OlderStart);
        }
        // Points without a time have no order.
        if point.time_ns != 0 && point.time_ns <= self.time_ns {
            return Err(Dropped::OutOfOrder);
        }
        if self.total.accumulate(&point.value).is_err() {
            // Other bounds, or another type of number than before: it counts something new.
            *self = Self::beginning_with(point, now);
            return Ok(());
        }
        self.time_ns = point.time_ns;
        self.seen = now;
        point.start_ns = self.start_ns;
        point.value = self.total.clone();
        Ok(())
    }
}
