//! From the page of a target to data points, by way of its series cache.

mod exemplar;
mod family;
mod groups;
mod pass;
mod protobuf;
mod resolve;
mod resources;
mod slot;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;

use weir_model::point::FLAG_NO_RECORDED_VALUE;
use weir_model::{Interner, Point, PointValue, Scope, Series};
use weir_prom::cache::ScrapeCache;
use weir_prom::exposition::protobuf::{HistogramForms, ProtoError};
use weir_prom::exposition::{ParseError, Scanner, TextFormat};
use weir_prom::labels::LabelSet;

use family::Families;
use groups::Groups;
use resolve::Resolver;
use resources::Resources;
use slot::{Role, Slot};

#[cfg(test)]
pub(crate) use family::Family;
pub(crate) use family::FamilyTable;
pub(crate) use resolve::{Limits, SeriesError, SeriesRules};
pub(crate) use resources::DiscoveredAttributes;

/// Entries beside twice those of the last good scrape that failed scrapes may leave in a cache.
const SPARE_LINES: usize = 1000;

/// Samples whose time lies further ahead than this are dropped, in milliseconds.
const MAX_AHEAD_MS: i64 = 10 * 60 * 1000;

/// How a job treats the samples of its targets.
#[derive(Debug, Clone)]
pub(crate) struct PageRules {
    pub(crate) series: SeriesRules,
    pub(crate) honor_timestamps: bool,
    pub(crate) track_timestamps_staleness: bool,
    pub(crate) forms: HistogramForms,
    /// Buckets of a native histogram; 0 is no limit.
    pub(crate) native_buckets: u64,
    /// Finest resolution of a native histogram.
    pub(crate) max_schema: i32,
}

/// The body of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Page<'a> {
    Text(TextFormat, &'a [u8]),
    Protobuf(&'a [u8]),
}

/// Why nothing of a page is used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum PageError {
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error(transparent)]
    Protobuf(#[from] ProtoError),
    #[error("line {line}: {error}")]
    Line { line: u64, error: SeriesError },
    #[error(transparent)]
    Series(#[from] SeriesError),
    #[error("sample_limit exceeded: {0} samples after relabelling")]
    SampleLimit(u64),
    #[error("native_histogram_bucket_limit exceeded: {0} buckets at the coarsest resolution")]
    BucketLimit(usize),
}

/// What a scrape counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Samples of the page, up to where it failed.
    pub(crate) scraped: u64,
    /// Those that relabelling did not drop.
    pub(crate) after_relabelling: u64,
    /// Series that were not known.
    pub(crate) added: u64,
}

/// Samples that were left out, for a warning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// The series came twice.
    pub(crate) repeated: u64,
    /// The time lies more than ten minutes ahead.
    pub(crate) ahead: u64,
    /// The time differs from that of the other lines of the histogram or summary.
    pub(crate) other_time: u64,
    /// No `le` or `quantile`, or more than 65,535 of them.
    pub(crate) unusable: u64,
    /// Histograms with a bucket that holds no number.
    pub(crate) invalid: u64,
}

impl LeftOut {
    /// Whether anything was left out.
    pub(crate) fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// The outcome of a scrape that brought a page.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) counts: Counts,
    pub(crate) left_out: LeftOut,
    /// Why the page was refused; the points are then stale markers only.
    pub(crate) error: Option<PageError>,
}

/// The series of one target over its scrapes.
#[derive(Debug)]
pub(crate) struct TargetSeries {
    rules: Arc<PageRules>,
    interner: Arc<Interner>,
    /// Public labels of the target.
    labels: LabelSet,
    cache: ScrapeCache<Slot>,
    scanner: Scanner,
    families: Families,
    resources: Resources,
    groups: Groups,
    scope: Arc<Scope>,
    /// Number of the scrape, from 1.
    scrape: u32,
    /// Lines after the last good scrape.
    good_lines: usize,
    /// The last scrape brought no page that could be used, so that resources have no attributes
    /// of `target_info`.
    without_page: bool,
    /// Lines have the same labels after relabelling: the last of them is sent.
    has_equal: bool,
    /// Lines may have a meaning that metadata has changed since: the next page is resolved anew.
    outdated: bool,
    /// Points of the last scrape, to make room at once.
    last_points: usize,
    scratch: LabelSet,
}

impl TargetSeries {
    /// The series of a target with these public labels.
    pub(crate) fn new(
        rules: Arc<PageRules>,
        interner: Arc<Interner>,
        labels: LabelSet,
        discovered: DiscoveredAttributes,
        seed: u64,
    ) -> Self {
        let (name, version) = &rules.series.scope;
        let scope = Scope {
            name: name.as_str().into(),
            version: version.as_str().into(),
            ..Scope::default()
        };
        Self {
            families: Families::new(rules.series.trim_suffixes),
            scope: interner.scope(scope),
            rules,
            interner,
            labels,
            cache: ScrapeCache::new(seed),
            scanner: Scanner::new(TextFormat::Prometheus),
            resources: Resources::new(discovered),
            groups: Groups::default(),
            scrape: 0,
            good_lines: 0,
            without_page: false,
            has_equal: false,
            outdated: false,
            last_points: 0,
            scratch: LabelSet::new(),
        }
    }

    /// Lines in the cache.
    pub(crate) fn lines(&self) -> usize {
        self.cache.len()
    }

    /// What the metadata lines of the target say.
    pub(crate) fn families(&self) -> FamilyTable {
        self.families.table()
    }

    /// Histograms and summaries.
    #[cfg(test)]
    fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Memory of the cache in bytes, without the series themselves.
    pub(crate) fn cache_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Room for the points of a scrape.
    pub(crate) fn points(&self) -> Vec<Point> {
        Vec::with_capacity(self.last_points + self.last_points / 16 + 8)
    }

    /// Takes in a page: adds the points of its samples, and stale markers for the series that it no
    /// longer has. `time_ms` is the time of the scrape, `now_ms` that of the clock.
    pub(crate) fn page(
        &mut self,
        page: Page<'_>,
        time_ms: i64,
        now_ms: i64,
        points: &mut Vec<Point>,
    ) -> Outcome {
        let limit_ms = now_ms.saturating_add(MAX_AHEAD_MS);
        let first = points.len();
        let mut result = self.read(page, (time_ms, limit_ms), points, self.outdated);
        if matches!(result.error, Some(pass::Stopped::MetadataChanged)) {
            self.outdated = true;
            points.truncate(first);
            result = self.read(page, (time_ms, limit_ms), points, true);
        }
        let error = match result.error {
            None => None,
            Some(pass::Stopped::Failed(error)) => Some(error),
            // Names in use change their meaning at most once a page; the second pass goes on.
            Some(pass::Stopped::MetadataChanged) => None,
        };
        let mut left_out = result.left_out;
        self.without_page = error.is_some();
        self.outdated &= self.without_page;
        if self.without_page {
            points.truncate(first);
            self.groups.discard();
            self.page_failed(&result.missed, time_ms, points);
        } else {
            left_out.invalid = self.page_done(&result.missed, time_ms, points, first) as u64;
        }
        self.last_points = points.len();
        Outcome {
            counts: result.counts,
            left_out,
            error,
        }
    }

    /// A scrape that brought no page, or an empty one: all series turn stale.
    pub(crate) fn no_page(&mut self, time_ms: i64, points: &mut Vec<Point>) {
        self.without_page = true;
        self.begin_scrape();
        self.page_failed(&[], time_ms, points);
    }

    /// The target is gone: stale markers for its series and the synthetic ones in `synthetic`.
    pub(crate) fn gone(&mut self, time_ms: i64, synthetic: &[&str], points: &mut Vec<Point>) {
        self.no_page(time_ms, points);
        for name in synthetic {
            let series = self.synthetic_series(name);
            points.push(stale_point(series, time_ms, PointValue::Empty));
        }
    }

    /// Adds a synthetic series of the scrape that just ended.
    pub(crate) fn synthetic(
        &mut self,
        name: &str,
        value: f64,
        time_ms: i64,
        points: &mut Vec<Point>,
    ) {
        let series = self.synthetic_series(name);
        points.push(Point::new(
            series,
            0,
            nanoseconds(time_ms),
            PointValue::Double(value),
        ));
    }

    fn synthetic_series(&mut self, name: &str) -> Arc<Series> {
        let plain = self.without_page;
        let series = self.resolver().synthetic(name);
        if plain {
            self.resources.plain(&series, &self.interner)
        } else {
            series
        }
    }

    fn resolver(&mut self) -> Resolver<'_> {
        Resolver {
            rules: &self.rules.series,
            target: &self.labels,
            families: &mut self.families,
            resources: &mut self.resources,
            groups: &mut self.groups,
            scope: &self.scope,
            interner: &self.interner,
        }
    }

    fn begin_scrape(&mut self) {
        // The number 0 means "never" in groups.
        self.scrape = self.scrape.wrapping_add(1).max(1);
        self.groups.discard();
        self.cache.begin();
    }

    /// The page was read to its end: series that it no longer has turn stale, and the points of
    /// histograms and summaries are made. Returns how many of those are invalid.
    fn page_done(
        &mut self,
        missed: &[Slot],
        time_ms: i64,
        points: &mut Vec<Point>,
        first: usize,
    ) -> usize {
        let mut vanished = Vec::new();
        let lines = self.cache.len();
        self.cache.finish(|slot| vanished.push(slot));
        let changed = !vanished.is_empty() || lines != self.good_lines;
        self.good_lines = self.cache.len();
        let had_equal = self.has_equal;
        if changed && (self.rules.series.may_make_equal() || had_equal) {
            let present = self.find_equal();
            // A series that another line still has does not turn stale.
            vanished.iter_mut().for_each(|slot| {
                if number_hash(slot).is_some_and(|hash| present.contains(&hash)) {
                    slot.set_alive(false);
                }
            });
        }
        if had_equal || self.has_equal {
            keep_last(points, first);
        }
        for slot in vanished.iter().chain(missed) {
            self.stale(slot, time_ms, points);
        }
        let invalid = self.groups.points(points);
        for slot in &vanished {
            self.release(slot);
        }
        if self.resources.are_outdated() {
            self.update_resources(points);
        }
        invalid
    }

    /// The scrape failed: series that it has not had before it failed turn stale.
    fn page_failed(&mut self, missed: &[Slot], time_ms: i64, points: &mut Vec<Point>) {
        let mut missed = missed.to_vec();
        let mut released = Vec::new();
        if self.cache.len() > 2 * self.good_lines + SPARE_LINES {
            self.cache.finish(|slot| released.push(slot));
            self.good_lines = self.cache.len();
        } else {
            self.cache.abandon(|slot| {
                if slot.is_alive() {
                    missed.push(slot.clone());
                    slot.set_alive(false);
                }
            });
        }
        let first = points.len();
        for slot in missed.iter().chain(&released) {
            self.stale(slot, time_ms, points);
        }
        self.groups.points(points);
        for slot in &released {
            self.release(slot);
        }
        for point in points.iter_mut().skip(first) {
            point.series = self.resources.plain(&point.series, &self.interner);
        }
    }

    /// Adds the stale marker of a line, or marks its group.
    fn stale(&mut self, slot: &Slot, time_ms: i64, points: &mut Vec<Point>) {
        if !slot.is_alive() {
            return;
        }
        match (slot.role, &slot.series) {
            (Role::Sum | Role::Count, _) => {
                self.groups.mark_stale(slot.group, self.scrape, time_ms);
            }
            (Role::Number, Some(series)) => {
                points.push(stale_point(Arc::clone(series), time_ms, PointValue::Empty));
            }
            (Role::Native, Some(series)) => {
                let empty = PointValue::ExponentialHistogram(Box::default());
                points.push(stale_point(Arc::clone(series), time_ms, empty));
            }
            _ => {}
        }
    }

    /// A line is gone from the cache: so is what only it referred to.
    fn release(&mut self, slot: &Slot) {
        match slot.role {
            Role::Sum | Role::Count | Role::Created => self.groups.release(slot.group, None),
            Role::Bound => self.groups.release(slot.group, Some(slot.index)),
            Role::TargetInfo => self.resources.remove_info(slot.group, &self.interner),
            _ => {}
        }
    }

    /// Finds out whether lines have the same labels after relabelling. Returns the series present.
    fn find_equal(&mut self) -> HashSet<u64> {
        let mut present = HashSet::new();
        self.has_equal = false;
        for hash in self.cache.values_mut().filter_map(|slot| number_hash(slot)) {
            self.has_equal |= !present.insert(hash);
        }
        present
    }

    /// Gives series whose resource got or lost attributes of `target_info` the new one.
    fn update_resources(&mut self, points: &mut [Point]) {
        let (resources, interner) = (&self.resources, &self.interner);
        for slot in self.cache.values_mut() {
            if let Some(series) = &mut slot.series
                && let Some(updated) = resources.updated(series, interner)
            {
                *series = updated;
            }
        }
        for group in self.groups.iter_mut() {
            if let Some(updated) = resources.updated(&group.series, interner) {
                group.series = updated;
            }
        }
        for point in points {
            if let Some(updated) = resources.updated(&point.series, interner) {
                point.series = updated;
            }
        }
        self.groups.rebuild_index();
        self.resources.all_updated();
    }
}

/// Of points of the same series, from `first` on, only the last stays.
fn keep_last(points: &mut Vec<Point>, first: usize) {
    let mut seen = HashSet::new();
    let mut kept = points.split_off(first.min(points.len()));
    kept.reverse();
    kept.retain(|point| seen.insert(point.series.stable_hash()));
    kept.reverse();
    points.append(&mut kept);
}

/// Hash of the series of a gauge or sum.
fn number_hash(slot: &Slot) -> Option<u64> {
    let series = slot.series.as_ref().filter(|_| slot.role == Role::Number)?;
    Some(series.stable_hash())
}

fn stale_point(series: Arc<Series>, time_ms: i64, value: PointValue) -> Point {
    let mut point = Point::new(series, 0, nanoseconds(time_ms), value);
    point.flags = FLAG_NO_RECORDED_VALUE;
    point
}

/// Milliseconds since the epoch as nanoseconds; times before it become 0.
fn nanoseconds(milliseconds: i64) -> u64 {
    u64::try_from(milliseconds)
        .unwrap_or(0)
        .saturating_mul(1_000_000)
}
