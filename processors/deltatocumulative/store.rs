//! What is remembered of each stream: the sum so far.

use std::sync::Arc;
use std::time::Duration;

use weir_model::{
    Interner, MetricKind, MetricMeta, Point, PointValue, Series, SeriesIndex, SeriesTable,
    Temporality,
};

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
pub(super) struct Store {
    table: SeriesTable<Entry>,
    streams: usize,
}

enum Entry {
    /// Passes as it is.
    Pass,
    Convert(Box<Tracked>),
}

struct Tracked {
    /// Held, so that the intern table does not forget it before we do.
    series: Arc<Series>,
    /// The same with cumulative temporality.
    cumulative: Arc<Series>,
    stream: Option<Stream>,
}

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

impl Entry {
    fn new(series: &Arc<Series>, rules: &Rules) -> Self {
        let Some(metric) = cumulative_of(series.metric()) else { return Self::Pass };
        let metric = rules.interner.metric(metric);
        let (resource, scope, labels) = (series.resource(), series.scope(), series.labels());
        Self::Convert(Box::new(Tracked {
            series: series.clone(),
            cumulative: rules.interner.series(resource, scope, &metric, labels.clone()),
            stream: None,
        }))
    }
}

impl Store {
    /// Streams remembered.
    pub(super) fn len(&self) -> usize {
        self.streams
    }

    /// Whether points of a series pass as they are.
    pub(super) fn passes(&mut self, series: &Arc<Series>, rules: &Rules) -> bool {
        let entry = self.table.get_or_insert_with(series, || Entry::new(series, rules));
        matches!(entry, Entry::Pass)
    }

    /// Makes a point the sum of all points of its stream so far.
    pub(super) fn convert(
        &mut self,
        point: &mut Point,
        rules: &Rules,
        now: Duration,
    ) -> Result<(), Dropped> {
        let series = &point.series;
        let entry = self.table.get_or_insert_with(series, || Entry::new(series, rules));
        let Entry::Convert(tracked) = entry else { return Ok(()) };
        if series.index() == SeriesIndex::NONE {
            return Err(Dropped::Limit);
        }
        let cumulative = tracked.cumulative.clone();
        if point.is_stale() {
            // The sender ends the stream; so do we.
            if tracked.stream.take().is_some() {
                self.streams -= 1;
            }
            point.series = cumulative;
            return Ok(());
        }
        if !fits(point.series.metric().kind, &point.value) {
            return Err(Dropped::Value);
        }
        match &mut tracked.stream {
            Some(stream) if now.saturating_sub(stream.seen) > rules.max_stale => {
                *stream = Stream::beginning_with(point, now);
            }
            Some(stream) => stream.add(point, now)?,
            none => {
                if self.streams >= rules.capacity {
                    return Err(Dropped::Limit);
                }
                self.streams += 1;
                *none = Some(Stream::beginning_with(point, now));
            }
        }
        point.series = cumulative;
        Ok(())
    }

    /// Forgets streams without a point for too long.
    pub(super) fn forget(&mut self, now: Duration, max_stale: Duration) {
        let mut idle = Vec::new();
        for entry in self.table.values_mut() {
            let Entry::Convert(tracked) = entry else { continue };
            let over = |stream: &mut Stream| now.saturating_sub(stream.seen) > max_stale;
            if tracked.stream.take_if(over).is_some() {
                self.streams -= 1;
            }
            if tracked.stream.is_none() {
                idle.push(tracked.series.clone());
            }
        }
        for series in idle {
            self.table.remove(&series);
        }
    }

    /// Drops what belongs to series that are no more.
    pub(super) fn sweep(&mut self, interner: &Interner) {
        self.table.sweep(interner);
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
