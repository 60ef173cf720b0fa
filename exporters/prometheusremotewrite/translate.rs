//! From a batch of points to rows: the hot path, one look-up per point.

use std::collections::HashMap;
use std::sync::Arc;

use weir_model::{
    Exemplar, ExemplarValue, ExponentialHistogram, Histogram, Interner, MetricMeta, Point,
    PointValue, SeriesIndex, SeriesTable, Summary,
};
use weir_prom::exposition::STALE_NAN_BITS;
use weir_prom::write::{NativeHistogram, Sample, native_from_exponential};

use super::labels::{Refused, Rules};
use super::lines::{Entry, HistogramLines, Lines, Maker, NumberLine, SummaryLines};
use super::rows::{ExemplarRow, NativeRow, Rows};
use super::sets::{LabelSets, Line};
use super::targets::Targets;

/// Longest text of all labels of an exemplar, in characters.
const EXEMPLAR_RUNES: usize = 128;

/// Turns batches into rows; keeps what was computed per series.
#[derive(Debug)]
pub(crate) struct Translator {
    pub(crate) rules: Rules,
    pub(crate) sets: LabelSets,
    pub(crate) rows: Rows,
    entries: SeriesTable<Entry>,
    targets: Targets,
    /// Numbers of label sets that no table entry keeps (series over the intern budget).
    transient: Vec<u32>,
    /// Places of their resources.
    transient_targets: Vec<u32>,
    /// Points of the batch that are not sent, by reason, with the name of one metric.
    refused: HashMap<&'static str, (Refused, u64, String)>,
    /// Metrics of the batch, when their metadata is wanted.
    pub(crate) metrics: Option<HashMap<usize, Arc<MetricMeta>>>,
}

impl Translator {
    pub(crate) fn new(rules: Rules, metadata: bool) -> Self {
        Self {
            rows: Rows::new(rules.v2),
            rules,
            sets: LabelSets::default(),
            entries: SeriesTable::default(),
            targets: Targets::default(),
            transient: Vec::new(),
            transient_targets: Vec::new(),
            refused: HashMap::new(),
            metrics: metadata.then(HashMap::new),
        }
    }

    /// Starts a batch.
    pub(crate) fn begin(&mut self) {
        self.rows.begin();
        self.refused.clear();
        if let Some(metrics) = &mut self.metrics {
            metrics.clear();
        }
        let (sets, targets) = (&mut self.sets, &mut self.targets);
        self.transient_targets.retain(|place| !targets.release(*place));
        self.transient.retain(|id| !sets.release(*id));
        self.rows.reserve(self.sets.bound());
    }

    /// Adds points.
    pub(crate) fn add(&mut self, points: &[Point]) {
        for point in points {
            self.point(point);
        }
    }

    /// Ends what one request brought: `target_info` of its resources.
    pub(crate) fn end_request(&mut self) {
        for (id, newest_ns) in self.targets.end_request() {
            let sample = Sample {
                value: 1.0,
                timestamp_ms: milliseconds(newest_ns),
            };
            self.rows.push(id, sample, 0, 0);
        }
    }

    /// Ends the batch: `target_info`, order. Returns the points that are not sent.
    pub(crate) fn finish(&mut self) -> Vec<(Refused, u64, String)> {
        self.end_request();
        self.rows.sort();
        self.refused.drain().map(|(_, refused)| refused).collect()
    }

    /// Forgets series, resources and label sets that are no more.
    pub(crate) fn sweep(&mut self, interner: &Interner) {
        self.entries.sweep(interner);
        self.targets.sweep();
        self.sets.sweep();
    }

    #[inline]
    fn point(&mut self, point: &Point) {
        let Self {
            rules,
            sets,
            rows,
            entries,
            targets,
            transient,
            transient_targets,
            refused,
            metrics,
        } = self;
        let interned = point.series.index() != SeriesIndex::NONE;
        let entry = entries.get_or_insert_with(&point.series, || {
            let mut maker = Maker { rules, sets };
            let target = targets.place(point.series.resource(), &mut maker);
            let lines = maker.lines(point);
            if !interned {
                lines.for_each(|line| transient.push(line.id));
                transient_targets.push(target);
            }
            Entry { target, lines }
        });
        targets.touch(entry.target, point.time_ns);
        if let Some(metrics) = metrics {
            let metric = point.series.metric();
            metrics
                .entry(Arc::as_ptr(metric).addr())
                .or_insert_with(|| metric.clone());
        }
        let result = match (&mut entry.lines, &point.value) {
            (Lines::Number(line), value) => number(rows, line, point, value),
            (Lines::Refused(why), _) => Err(*why),
            (lines, value) => {
                if !lines.fit(value) {
                    *lines = Maker { rules, sets }.lines(point);
                }
                complex(rows, lines, point, rules.v2)
            }
        };
        if let Err(why) = result {
            let name = || point.series.metric().name.to_string();
            refused.entry(why.reason()).or_insert_with(|| (why, 0, name())).1 += 1;
        }
    }
}

impl Lines {
    /// Whether bounds and quantiles are those of the lines.
    fn fit(&self, value: &PointValue) -> bool {
        match (self, value) {
            (Lines::Histogram(lines), PointValue::Histogram(h)) => lines.bounds == h.explicit_bounds,
            (Lines::Summary(lines), PointValue::Summary(s)) => {
                lines.quantiles.len() == s.quantiles.len()
                    && lines.quantiles.iter().zip(&s.quantiles).all(|(a, b)| a.0 == b.0)
            }
            _ => true,
        }
    }

    fn for_each(&self, mut f: impl FnMut(&Line)) {
        match self {
            Lines::Refused(_) => {}
            Lines::Number(NumberLine { line, .. }) | Lines::Native(line) => f(line),
            Lines::Histogram(lines) => {
                lines.buckets.iter().for_each(&mut f);
                [&lines.sum, &lines.count, &lines.infinite].into_iter().for_each(f);
            }
            Lines::Summary(lines) => {
                lines.quantiles.iter().for_each(|(_, line)| f(line));
                [&lines.sum, &lines.count].into_iter().for_each(f);
            }
        }
    }
}

/// Unix nanoseconds as milliseconds, cut.
fn milliseconds(ns: u64) -> i64 {
    i64::try_from(ns / 1_000_000).unwrap_or(i64::MAX)
}

/// The value, or the marker of staleness.
#[inline]
fn or_stale(point: &Point, value: f64) -> f64 {
    if point.is_stale() {
        f64::from_bits(STALE_NAN_BITS)
    } else {
        value
    }
}

#[inline]
fn number(
    rows: &mut Rows,
    line: &NumberLine,
    point: &Point,
    value: &PointValue,
) -> Result<(), Refused> {
    let value = match value {
        PointValue::Int(value) => *value as f64,
        PointValue::Double(value) => *value,
        PointValue::Empty => 0.0,
        _ => return Err(Refused::Value),
    };
    let sample = Sample {
        value: or_stale(point, value),
        timestamp_ms: milliseconds(point.time_ns),
    };
    let start_ns = if line.cumulative { point.start_ns } else { 0 };
    rows.push(line.line.id, sample, start_ns, 1);
    if line.exemplars && !point.exemplars().is_empty() {
        for exemplar in point.exemplars() {
            rows.exemplars.push(exemplar_row(line.line.id, exemplar));
        }
    }
    Ok(())
}

fn complex(rows: &mut Rows, lines: &Lines, point: &Point, v2: bool) -> Result<(), Refused> {
    match (lines, &point.value) {
        (Lines::Histogram(lines), PointValue::Histogram(h)) => {
            histogram(rows, lines, point, h, v2);
            Ok(())
        }
        (Lines::Summary(lines), PointValue::Summary(s)) => {
            summary(rows, lines, point, s);
            Ok(())
        }
        (Lines::Native(line), PointValue::ExponentialHistogram(h)) => native(rows, line, point, h),
        (Lines::Refused(why), _) => Err(*why),
        _ => Err(Refused::Value),
    }
}

fn histogram(rows: &mut Rows, lines: &HistogramLines, point: &Point, h: &Histogram, v2: bool) {
    let timestamp_ms = milliseconds(point.time_ns);
    let mut push = |line: &Line, value: f64, items| {
        let sample = Sample {
            value: or_stale(point, value),
            timestamp_ms,
        };
        rows.push(line.id, sample, point.start_ns, items);
    };
    push(&lines.count, h.count as f64, 1);
    if let Some(sum) = h.sum {
        push(&lines.sum, sum, 0);
    }
    let mut cumulative = 0_u64;
    for (line, count) in lines.buckets.iter().zip(&h.bucket_counts) {
        cumulative = cumulative.saturating_add(*count);
        push(line, cumulative as f64, 0);
    }
    push(&lines.infinite, h.count as f64, 0);
    if v2 {
        return;
    }
    for exemplar in point.exemplars() {
        // In the first bucket whose bound is not below the value.
        let value = exemplar_value(exemplar);
        let bucket = lines.bounds.iter().position(|bound| value <= *bound);
        let line = bucket.and_then(|at| lines.buckets.get(at)).unwrap_or(&lines.infinite);
        rows.exemplars.push(exemplar_row(line.id, exemplar));
    }
}

fn summary(rows: &mut Rows, lines: &SummaryLines, point: &Point, s: &Summary) {
    let timestamp_ms = milliseconds(point.time_ns);
    let mut push = |line: &Line, value: f64, items| {
        let sample = Sample {
            value: or_stale(point, value),
            timestamp_ms,
        };
        rows.push(line.id, sample, point.start_ns, items);
    };
    push(&lines.sum, s.sum, 1);
    push(&lines.count, s.count as f64, 0);
    for ((_, line), (_, value)) in lines.quantiles.iter().zip(&s.quantiles) {
        push(line, *value, 0);
    }
}

fn native(
    rows: &mut Rows,
    line: &Line,
    point: &Point,
    h: &ExponentialHistogram,
) -> Result<(), Refused> {
    let mut histogram = native_from_exponential(h).map_err(|_| Refused::Scale)?;
    if point.is_stale() {
        histogram = NativeHistogram::stale();
    }
    for exemplar in point.exemplars() {
        rows.exemplars.push(exemplar_row(line.id, exemplar));
    }
    rows.natives.push(NativeRow {
        id: line.id,
        time_ms: milliseconds(point.time_ns),
        start_ms: milliseconds(point.start_ns).min(milliseconds(point.time_ns)),
        histogram,
        items: 1,
    });
    Ok(())
}

fn exemplar_value(exemplar: &Exemplar) -> f64 {
    match exemplar.value {
        Some(ExemplarValue::Int(value)) => value as f64,
        Some(ExemplarValue::Double(value)) => value,
        None => 0.0,
    }
}

/// Trace and span come first; the other attributes go with them unless all is too long.
fn exemplar_row(id: u32, exemplar: &Exemplar) -> ExemplarRow {
    let mut labels: Vec<(String, String)> = Vec::new();
    for (name, bytes) in [("trace_id", &exemplar.trace_id), ("span_id", &exemplar.span_id)] {
        if bytes.iter().any(|byte| *byte != 0) {
            labels.push((name.to_owned(), hex(bytes)));
        }
    }
    let attributes: Vec<(String, String)> = exemplar
        .filtered_attributes
        .iter()
        .map(|(key, value)| (key.to_owned(), value.to_text().into_owned()))
        .collect();
    let runes = |labels: &[(String, String)]| -> usize {
        labels.iter().map(|(k, v)| k.chars().count() + v.chars().count()).sum()
    };
    if runes(&labels) + runes(&attributes) <= EXEMPLAR_RUNES {
        labels.extend(attributes);
    }
    ExemplarRow {
        id,
        sample: Sample {
            value: exemplar_value(exemplar),
            timestamp_ms: milliseconds(exemplar.time_ns),
        },
        labels,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
