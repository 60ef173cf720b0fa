//! From data points to events (spec 3 to 7): what to leave out, deltas, groups.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use weir_model::{Histogram, Interner, Metrics, Point, PointValue, SeriesTable, Summary, touch};

use super::config::Destination;
use super::context::{Context, Converted, Receipt};
use super::delta::{Deltas, Step, Totals};
use super::encode::{embed, write_f64, write_u64};
use super::events::{Counts, Events, Record};
use super::exponential;
use super::plan::Plans;
use super::series::Entry;
use super::settings::Settings;
use super::sink::{Lines, Requests, Room};
use super::statistics::Statistics;
use super::tables::{LabelSet, Marks, NONE, Tables};
use crate::cloudwatch_logs::request::Request;

/// Time between the looks for streams that have ended.
const EXPIRY_TICK_NS: u64 = 300 * 1_000_000_000;

/// Bytes of tables from which on unused parts are looked for without waiting for the next sweep.
const MIN_TRIM_BYTES: usize = 32 << 20;

/// Points whose memory is asked for together.
const TOGETHER: usize = 32;

/// What a batch became.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Requests; those of one stream follow each other.
    pub(crate) requests: Vec<Request>,
    /// Events as lines, for standard output.
    pub(crate) lines: Vec<u8>,
    /// What was left out.
    pub(crate) counts: Counts,
    /// The way back from events to points.
    pub(crate) receipt: Receipt,
}

/// Fill of the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fill {
    /// Cumulative streams followed.
    pub(crate) streams: usize,
    /// Bytes of label sets, groups and plans.
    pub(crate) bytes: usize,
}

/// The state of an exporter between batches.
#[derive(Debug)]
pub(crate) struct Translator {
    pub(super) settings: Arc<Settings>,
    pub(super) entries: SeriesTable<Entry>,
    pub(super) tables: Tables,
    plans: Plans,
    events: Events,
    pub(super) sums: Deltas<f64>,
    pub(super) totals: Deltas<Totals>,
    /// `_sum` and `_count` metrics by summary metric.
    pub(super) detailed: HashMap<u32, (u32, u32), RandomState>,
    /// Groups with a quantile label by group without and bits of the quantile.
    pub(super) quantiles: HashMap<(u32, u64), u32, RandomState>,
    pub(super) seeds: [foldhash::quality::RandomState; 2],
    scratch: Vec<u8>,
    started_ns: u64,
    ticks: u64,
    trim_from: usize,
    /// What the last batch needed.
    room: Room,
    converted: (usize, usize),
}

impl Translator {
    /// An empty state; `now_ns` is the start of the expiry ticks.
    pub(crate) fn new(settings: Arc<Settings>, now_ns: u64) -> Self {
        let reorders = settings.config.reorders();
        Self {
            settings,
            entries: SeriesTable::default(),
            tables: Tables::default(),
            plans: Plans::default(),
            events: Events::default(),
            sums: Deltas::new(reorders),
            totals: Deltas::new(reorders),
            detailed: HashMap::default(),
            quantiles: HashMap::default(),
            seeds: Default::default(),
            scratch: Vec::new(),
            started_ns: now_ns,
            ticks: 0,
            trim_from: MIN_TRIM_BYTES,
            room: Room::default(),
            converted: (0, 0),
        }
    }

    /// Translates a batch at `now_ns` (Unix).
    pub(crate) fn translate(&mut self, batch: &Metrics, now_ns: u64) -> Output {
        self.expire(now_ns);
        self.events.begin();
        let now_ms = (now_ns / 1_000_000) as i64;
        let mut cx = Context::new(now_ms, batch.len(), self.converted);
        let mut at = 0;
        for some in batch.slices().flat_map(|points| points.chunks(TOGETHER)) {
            self.warm_up(some);
            for point in some {
                cx.enter(&point.series);
                self.point(at, point, &mut cx);
                at += 1;
            }
        }
        self.converted = (cx.receipt.sums.len(), cx.receipt.totals.len());
        let mut output = Output {
            counts: cx.counts,
            receipt: cx.receipt,
            ..Output::default()
        };
        self.write(cx.now_ms, &mut output);
        output.counts.trimmed = std::mem::take(&mut self.plans.trimmed);
        self.trim();
        output
    }

    /// Reads a little of what each of these points needs: their waits for main memory go on at the
    /// same time then, and not one after the other.
    fn warm_up(&self, points: &[Point]) {
        let entries = || points.iter().filter_map(|point| self.entries.get(&point.series));
        touch(entries().map(|entry| entry.slot));
        let labels = |group: u32| self.tables.groups.get(group).map_or(0, |group| group.labels);
        let bases = |entry: &Entry| self.sums.touch(entry.slot) ^ labels(entry.group);
        touch(entries().map(bases));
        let text = |entry: &Entry| self.tables.labels.get(labels(entry.group)).map_or(0, LabelSet::touch);
        touch(entries().map(text));
    }

    fn write(&mut self, now_ms: i64, output: &mut Output) {
        let settings = self.settings.clone();
        match settings.destination {
            Destination::Nowhere => {}
            Destination::Stdout => {
                let mut lines = Lines::default();
                self.events
                    .write(&mut self.tables, &mut self.plans, &settings, &mut lines);
                output.lines = lines.0;
            }
            Destination::CloudWatch => {
                // The sink reads the targets while groups note their plans.
                let targets = std::mem::take(&mut self.tables.targets);
                let cuts = !settings.limits;
                let counts = &mut output.counts;
                let mut requests = Requests::new(now_ms, &targets, cuts, self.room, counts);
                self.events
                    .write(&mut self.tables, &mut self.plans, &settings, &mut requests);
                output.requests = requests.finish();
                self.room = Room::of(&output.requests);
                self.tables.targets = targets;
            }
        }
    }

    /// One data point.
    #[inline]
    fn point(&mut self, at: u32, point: &Point, cx: &mut Context<'_>) {
        if point.is_stale() {
            cx.counts.stale += 1;
            return;
        }
        match &point.value {
            PointValue::Int(_) | PointValue::Double(_) | PointValue::Empty => {
                self.number(at, point, cx);
            }
            PointValue::Histogram(histogram) => self.histogram(at, point, histogram, cx),
            PointValue::ExponentialHistogram(histogram) => {
                let edges = [histogram.min, histogram.max, histogram.sum];
                let splits = if edges.iter().flatten().all(|v| v.is_finite()) {
                    exponential::split(histogram)
                } else {
                    None
                };
                let Some(splits) = splits else {
                    cx.counts.not_finite += 1;
                    return;
                };
                let Some(entry) = self.entry(&point.series, cx) else {
                    return;
                };
                let group = self.place(entry, cx);
                for (batch_index, split) in (0..).zip(splits) {
                    let value = self.text(|out| split.write(out));
                    self.record(at, point, group, batch_index, entry.metric, value, cx);
                }
            }
            PointValue::Summary(summary) => self.summary(at, point, summary, cx),
        }
    }

    #[inline]
    fn number(&mut self, at: u32, point: &Point, cx: &mut Context<'_>) {
        let mut value = point.value.as_f64().unwrap_or(0.0);
        if !value.is_finite() {
            cx.counts.not_finite += 1;
            return;
        }
        let Some(entry) = self.entry(&point.series, cx) else {
            return;
        };
        if entry.slot != NONE {
            let retain = self.settings.config.retain_initial_value_of_delta_metric;
            match self.sums.step(entry.slot, value, point.time_ns, retain) {
                Step::First => return,
                Step::Overtaken => return cx.counts.overtaken += 1,
                Step::Delta(delta) => value = delta,
            }
            cx.receipt.sums.push(Converted {
                point: at,
                slot: entry.slot,
                delta: value,
            });
        }
        let start = self.events.arena.len() as u32;
        write_f64(value, &mut self.events.arena);
        let end = self.events.arena.len() as u32;
        let group = self.place(entry, cx);
        self.record(at, point, group, 0, entry.metric, (start, end), cx);
    }

    fn histogram(&mut self, at: u32, point: &Point, histogram: &Histogram, cx: &mut Context<'_>) {
        let value = Statistics {
            max: histogram.max.unwrap_or(0.0),
            min: histogram.min.unwrap_or(0.0),
            count: histogram.count,
            sum: histogram.sum.unwrap_or(0.0),
        };
        if !(value.max.is_finite() && value.min.is_finite() && value.sum.is_finite()) {
            cx.counts.not_finite += 1;
            return;
        }
        let Some(entry) = self.entry(&point.series, cx) else {
            return;
        };
        let value = self.text(|out| value.write(out));
        let group = self.place(entry, cx);
        self.record(at, point, group, 0, entry.metric, value, cx);
    }

    fn summary(&mut self, at: u32, point: &Point, summary: &Summary, cx: &mut Context<'_>) {
        let quantiles = &summary.quantiles;
        let finite = quantiles
            .iter()
            .all(|(q, v)| q.is_finite() && v.is_finite());
        if !(finite && summary.sum.is_finite()) {
            cx.counts.not_finite += 1;
            return;
        }
        let Some(entry) = self.entry(&point.series, cx) else {
            return;
        };
        let mut totals = Totals {
            count: summary.count,
            sum: summary.sum,
        };
        if entry.slot != NONE {
            let retain = self.settings.config.retain_initial_value_of_delta_metric;
            match self.totals.step(entry.slot, totals, point.time_ns, retain) {
                Step::First => return,
                Step::Overtaken => return cx.counts.overtaken += 1,
                Step::Delta(delta) => totals = delta,
            }
            cx.receipt.totals.push(Converted {
                point: at,
                slot: entry.slot,
                delta: totals,
            });
        }
        if self.settings.config.detailed_metrics {
            return self.detailed_summary(at, point, quantiles, totals, entry, cx);
        }
        let value = Statistics {
            max: quantiles.last().map_or(0.0, |(_, value)| *value),
            min: quantiles.first().map_or(0.0, |(_, value)| *value),
            count: totals.count,
            sum: totals.sum,
        };
        let value = self.text(|out| value.write(out));
        let group = self.place(entry, cx);
        self.record(at, point, group, 0, entry.metric, value, cx);
    }

    /// A summary as metrics of their own: sum, count, and one value for each quantile (EMF-30).
    fn detailed_summary(
        &mut self,
        at: u32,
        point: &Point,
        quantiles: &[(f64, f64)],
        totals: Totals,
        entry: Entry,
        cx: &mut Context<'_>,
    ) {
        let (sum, count) = self.sum_and_count(entry.metric, &point.series);
        let group = self.place(entry, cx);
        let value = self.text(|out| write_f64(totals.sum, out));
        self.record(at, point, group, 0, sum, value, cx);
        let value = self.text(|out| write_u64(totals.count, out));
        self.record(at, point, group, 1, count, value, cx);
        for (batch_index, (quantile, value)) in (2..).zip(quantiles) {
            let group = self.quantile_group(group, *quantile, &point.series, cx);
            let value = self.text(|out| write_f64(*value, out));
            self.record(at, point, group, batch_index, entry.metric, value, cx);
        }
    }

    /// Writes a value into the arena, embedded where events are.
    fn text(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> (u32, u32) {
        let arena = &mut self.events.arena;
        let start = arena.len() as u32;
        if self.settings.embedded {
            self.scratch.clear();
            write(&mut self.scratch);
            embed(&self.scratch, arena);
        } else {
            write(arena);
        }
        (start, arena.len() as u32)
    }

    #[inline]
    #[allow(
        clippy::too_many_arguments,
        reason = "the parts of a record, on the hot path"
    )]
    fn record(
        &mut self,
        at: u32,
        point: &Point,
        group: u32,
        batch_index: u32,
        metric: u32,
        value: (u32, u32),
        cx: &mut Context<'_>,
    ) {
        let record = Record {
            group,
            time_ms: cx.time_ms(point),
            batch_index,
            metric,
            value,
            prometheus: cx.prometheus,
        };
        let event = if point.tags().is_empty() {
            self.events.add(record, &mut self.tables, &self.plans)
        } else {
            self.events.add_tagged(record, point)
        };
        match event {
            Some(event) => cx.receipt.records.push((at, event)),
            None => cx.counts.duplicate += 1,
        }
    }

    /// Gives back the deltas of points that were not delivered. `points` are sorted.
    pub(crate) fn credit(&mut self, receipt: &Receipt, points: &[u32]) {
        for converted in &receipt.sums {
            if points.binary_search(&converted.point).is_ok() {
                self.sums.credit(converted.slot, converted.delta);
            }
        }
        for converted in &receipt.totals {
            if points.binary_search(&converted.point).is_ok() {
                self.totals.credit(converted.slot, converted.delta);
            }
        }
    }

    /// Forgets streams that have ended, at the ticks at which the reference does (EMF-21): looked at
    /// when the next batch comes, because nobody can tell the difference before.
    fn expire(&mut self, now_ns: u64) {
        let ticks = now_ns.saturating_sub(self.started_ns) / EXPIRY_TICK_NS;
        if ticks > self.ticks {
            self.ticks = ticks;
            let tick_ns = self.started_ns + ticks * EXPIRY_TICK_NS;
            self.sums.expire(tick_ns);
            self.totals.expire(tick_ns);
        }
    }

    /// Drops what belongs to series that are no more. Called about once a minute.
    pub(crate) fn sweep(&mut self, interner: &Interner, now_ns: u64) {
        self.expire(now_ns);
        self.entries.sweep(interner);
        self.collect();
    }

    /// Series that pass un-interned leave groups behind that nobody refers to; they must not wait
    /// for the sweep when they are many.
    fn trim(&mut self) {
        if self.tables.bytes() > self.trim_from {
            self.collect();
        }
        if self.plans.is_full() {
            self.plans.clear(&mut self.tables);
        }
    }

    /// Drops what no series refers to.
    fn collect(&mut self) {
        let mut groups = Marks::new(self.tables.groups.slots());
        let mut metrics = Marks::new(self.tables.metrics.slots());
        let mut sums = Marks::new(self.sums.slots());
        let mut totals = Marks::new(self.totals.slots());
        for entry in self.entries.values_mut() {
            groups.set(entry.group);
            metrics.set(entry.metric);
            if entry.totals { &mut totals } else { &mut sums }.set(entry.slot);
        }
        self.quantiles.retain(|(base, _), group| {
            let keep = groups.has(*base);
            if keep {
                groups.set(*group);
            }
            keep
        });
        self.detailed.retain(|base, (sum, count)| {
            let keep = metrics.has(*base);
            if keep {
                metrics.set(*sum);
                metrics.set(*count);
            }
            keep
        });
        self.sums.release(|slot| sums.has(slot));
        self.totals.release(|slot| totals.has(slot));
        if self.tables.retain(&groups, &metrics) {
            self.plans.clear(&mut self.tables);
        }
        self.trim_from = (self.tables.bytes() * 2).max(MIN_TRIM_BYTES);
    }

    /// Fill of the tables.
    pub(crate) fn fill(&self) -> Fill {
        Fill {
            streams: self.sums.len() + self.totals.len(),
            bytes: self.tables.bytes() + self.plans.bytes(),
        }
    }
}
