//! From a batch of points to rows: the hot path, one look-up per point.

use std::collections::HashMap;
use std::sync::Arc;

use weir_model::{
    Exemplar, ExemplarValue, Histogram, Interner, MetricKind, MetricMeta, Point,
    PointValue, SeriesIndex, SeriesTable, Summary,
};
use weir_prom::exposition::STALE_NAN_BITS;
use weir_prom::write::{NativeHistogram, Sample, native_from_exponential};

use super::labels::{Refused, Rules};
use super::lines::{Complex, Complexes, Entry, HistogramLines, Lines, Maker, SummaryLines};
use super::rows::{ExemplarRow, NativeRow, Rows};
use super::sets::LabelSets;
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
    complexes: Complexes,
    targets: Targets,
    /// Entries that the table does not keep: of series over the intern budget, and of histograms
    /// whose bounds have changed. The next batch begins without them.
    transient: Vec<Entry>,
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
            sets: LabelSets::new(rules.labels.external.iter().map(|(name, _)| name.clone()).collect()),
            rules,
            entries: SeriesTable::default(),
            complexes: Complexes::default(),
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
        self.transient_targets.retain(|place| !targets.release(*place, sets));
        let mut maker = Maker { rules: &self.rules, sets, complexes: &mut self.complexes };
        self.transient.drain(..).for_each(|entry| maker.release(entry));
        self.sets.compact();
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
        let Self { sets, entries, complexes, targets, .. } = self;
        entries.sweep(interner);
        targets.sweep(sets);
        let known = entries.values_mut().map(|entry| *entry);
        complexes.sweep(known.chain(self.transient.iter().copied()));
        sets.sweep(|hold| {
            complexes.for_each(&mut *hold);
            targets.for_each(&mut *hold);
            let known = entries.values_mut().map(|entry| *entry);
            for entry in known.chain(self.transient.iter().copied()) {
                if let Lines::Number(id) | Lines::Native(id) = entry.lines() {
                    hold(id);
                }
            }
        });
    }

    #[inline]
    fn point(&mut self, point: &Point) {
        let Self {
            rules,
            sets,
            rows,
            entries,
            complexes,
            targets,
            transient,
            transient_targets,
            refused,
            metrics,
        } = self;
        let series = &point.series;
        let interned = series.index() != SeriesIndex::NONE;
        let new_target = targets.touch(series.resource(), point.time_ns, |resource| {
            Maker { rules, sets, complexes }.target_info(resource)
        });
        if let (Some(place), false) = (new_target, interned) {
            transient_targets.push(place);
        }
        let entry = entries.get_or_insert_with(series, || {
            let entry = Maker { rules, sets, complexes }.lines(point);
            if !interned {
                transient.push(entry);
            }
            entry
        });
        if let Some(metrics) = metrics {
            let metric = series.metric();
            metrics
                .entry(Arc::as_ptr(metric).addr())
                .or_insert_with(|| metric.clone());
        }
        let result = match entry.lines() {
            Lines::Number(id) => number(rows, id, point, rules.v2),
            Lines::Native(id) => native(rows, id, point),
            Lines::Refused(why) => Err(why),
            Lines::Complex(place) => {
                if complexes.get(place).is_none_or(|lines| !lines.fit(&point.value)) {
                    let now = Maker { rules, sets, complexes }.lines(point);
                    let before = std::mem::replace(entry, now);
                    // Rows of this batch may have the numbers of both.
                    transient.push(if interned { before } else { now });
                }
                match entry.lines() {
                    Lines::Complex(place) => complex(rows, complexes.get(place), point, rules.v2),
                    Lines::Refused(why) => Err(why),
                    _ => Err(Refused::Value),
                }
            }
        };
        if let Err(why) = result {
            let name = || series.metric().name.to_string();
            refused.entry(why.reason()).or_insert_with(|| (why, 0, name())).1 += 1;
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
fn number(rows: &mut Rows, id: u32, point: &Point, v2: bool) -> Result<(), Refused> {
    let value = match &point.value {
        PointValue::Int(value) => *value as f64,
        PointValue::Double(value) => *value,
        PointValue::Empty => 0.0,
        _ => return Err(Refused::Value),
    };
    let sample = Sample {
        value: or_stale(point, value),
        timestamp_ms: milliseconds(point.time_ns),
    };
    // Whether it counts up from a start.
    let cumulative = matches!(point.series.metric().kind, MetricKind::Sum { monotonic: true, .. });
    let start_ns = if cumulative { point.start_ns } else { 0 };
    rows.push(id, sample, start_ns, 1);
    if (v2 || cumulative) && !point.exemplars().is_empty() {
        for exemplar in point.exemplars() {
            rows.exemplars.push(exemplar_row(id, exemplar));
        }
    }
    Ok(())
}

fn complex(
    rows: &mut Rows,
    lines: Option<&Complex>,
    point: &Point,
    v2: bool,
) -> Result<(), Refused> {
    match (lines, &point.value) {
        (Some(Complex::Histogram(lines)), PointValue::Histogram(h)) => {
            histogram(rows, lines, point, h, v2);
            Ok(())
        }
        (Some(Complex::Summary(lines)), PointValue::Summary(s)) => {
            summary(rows, lines, point, s);
            Ok(())
        }
        _ => Err(Refused::Value),
    }
}

fn histogram(rows: &mut Rows, lines: &HistogramLines, point: &Point, h: &Histogram, v2: bool) {
    let timestamp_ms = milliseconds(point.time_ns);
    let mut push = |id: u32, value: f64, items| {
        let sample = Sample {
            value: or_stale(point, value),
            timestamp_ms,
        };
        rows.push(id, sample, point.start_ns, items);
    };
    push(lines.count, h.count as f64, 1);
    if let Some(sum) = h.sum {
        push(lines.sum, sum, 0);
    }
    let mut cumulative = 0_u64;
    for (id, count) in lines.buckets.iter().zip(&h.bucket_counts) {
        cumulative = cumulative.wrapping_add(*count);
        push(*id, cumulative as f64, 0);
    }
    push(lines.infinite, h.count as f64, 0);
    if v2 {
        return;
    }
    for exemplar in point.exemplars() {
        // In the first bucket whose bound is not below the value.
        let value = exemplar_value(exemplar);
        let bucket = lines.bounds.iter().position(|bound| value <= *bound);
        let id = bucket.and_then(|at| lines.buckets.get(at)).unwrap_or(&lines.infinite);
        rows.exemplars.push(exemplar_row(*id, exemplar));
    }
}

fn summary(rows: &mut Rows, lines: &SummaryLines, point: &Point, s: &Summary) {
    let timestamp_ms = milliseconds(point.time_ns);
    let mut push = |id: u32, value: f64, items| {
        let sample = Sample {
            value: or_stale(point, value),
            timestamp_ms,
        };
        rows.push(id, sample, point.start_ns, items);
    };
    push(lines.sum, s.sum, 1);
    push(lines.count, s.count as f64, 0);
    for ((_, id), (_, value)) in lines.quantiles.iter().zip(&s.quantiles) {
        push(*id, *value, 0);
    }
}

fn native(rows: &mut Rows, id: u32, point: &Point) -> Result<(), Refused> {
    let PointValue::ExponentialHistogram(h) = &point.value else {
        return Err(Refused::Value);
    };
    let mut histogram = native_from_exponential(h).map_err(|_| Refused::Scale)?;
    if point.is_stale() {
        histogram = NativeHistogram::stale();
    }
    for exemplar in point.exemplars() {
        rows.exemplars.push(exemplar_row(id, exemplar));
    }
    rows.natives.push(NativeRow {
        id,
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
