//! Histograms and summaries, whose lines together make one point.

use std::collections::HashMap;
use std::sync::Arc;

use weir_model::point::FLAG_NO_RECORDED_VALUE;
use weir_model::{Exemplar, Extras, Histogram, MetricKind, Point, PointValue, Series, Summary};

use super::nanoseconds;
use super::slot::{Role, Slot};

/// Value of a bucket or quantile that this scrape has not had: a NaN that no page can hold.
const UNSEEN: u64 = weir_prom::exposition::STALE_NAN_BITS;

/// A histogram or summary of a target.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) series: Arc<Series>,
    /// Bounds or quantiles in the order in which they first came; NaN once the line is gone.
    bounds: Vec<f64>,
    /// Their values in this scrape.
    values: Vec<f64>,
    count: Option<f64>,
    sum: Option<f64>,
    /// Start time in seconds.
    created: f64,
    /// Its count or sum has vanished in this scrape.
    stale: bool,
    /// Time of the first line in this scrape, in milliseconds.
    time_ms: i64,
    /// The scrape that the values belong to.
    scrape: u32,
    /// Lines in the cache that refer to it.
    lines: u32,
    exemplars: Vec<Exemplar>,
}

/// The groups of one target.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: Vec<Option<Group>>,
    free: Vec<u32>,
    /// By the hash of the content of the series, which holds for series over the intern budget, too.
    by_series: HashMap<u64, u32>,
    /// Groups of this scrape, in the order of the page.
    touched: Vec<u32>,
}

/// A line has another time than the lines of its group before it, and is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OtherTime;

impl Groups {
    /// The group of a series, with one more line that refers to it.
    pub(super) fn refer(&mut self, series: &Arc<Series>) -> u32 {
        let hash = series.stable_hash();
        if let Some(id) = self.by_series.get(&hash)
            && let Some(Some(group)) = self.groups.get_mut(*id as usize)
        {
            group.lines += 1;
            return *id;
        }
        let group = Group {
            series: Arc::clone(series),
            bounds: Vec::new(),
            values: Vec::new(),
            count: None,
            sum: None,
            created: 0.0,
            stale: false,
            time_ms: 0,
            scrape: 0,
            lines: 1,
            exemplars: Vec::new(),
        };
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                self.groups.push(None);
                u32::try_from(self.groups.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(place) = self.groups.get_mut(id as usize) {
            *place = Some(group);
        }
        self.by_series.insert(hash, id);
        id
    }

    /// Whether this scrape has had a line of the group.
    pub(super) fn has_begun(&self, id: u32, scrape: u32) -> bool {
        matches!(self.groups.get(id as usize), Some(Some(group)) if group.scrape == scrape)
    }

    /// Whether the slot is one of a group that no other line refers to.
    pub(super) fn is_first_line(&self, slot: &Slot) -> bool {
        let part = matches!(
            slot.role,
            Role::Sum | Role::Count | Role::Bound | Role::Created
        );
        let group = self.groups.get(slot.group as usize);
        part && matches!(group, Some(Some(group)) if group.lines == 1)
    }

    /// The place of a bound in its group; `None` if there are more than 65,535.
    pub(super) fn bound(&mut self, id: u32, bound: f64) -> Option<u16> {
        let group = self.get(id)?;
        let known = group
            .bounds
            .iter()
            .position(|known| known.to_bits() == bound.to_bits());
        let index = known.unwrap_or(group.bounds.len());
        let short = u16::try_from(index).ok()?;
        if known.is_none() {
            group.bounds.push(bound);
            group.values.push(f64::from_bits(UNSEEN));
        }
        Some(short)
    }

    fn get(&mut self, id: u32) -> Option<&mut Group> {
        self.groups.get_mut(id as usize)?.as_mut()
    }

    /// The group, ready for values of this scrape.
    ///
    /// # Errors
    /// If the line has another time than those before it.
    pub(super) fn at(
        &mut self,
        id: u32,
        scrape: u32,
        time_ms: i64,
    ) -> Result<Option<&mut Group>, OtherTime> {
        let Some(Some(group)) = self.groups.get_mut(id as usize) else {
            return Ok(None);
        };
        if group.scrape != scrape {
            group.begin(scrape, time_ms);
            self.touched.push(id);
        }
        if group.time_ms == time_ms {
            Ok(Some(group))
        } else {
            Err(OtherTime)
        }
    }

    /// The count or sum of a group has vanished.
    pub(super) fn mark_stale(&mut self, id: u32, scrape: u32, time_ms: i64) {
        if let Ok(Some(group)) = self.at(id, scrape, time_ms) {
            group.stale = true;
        }
    }

    /// A line that referred to the group is gone; `bound` is its place if it was a bucket.
    pub(super) fn release(&mut self, id: u32, bound: Option<u16>) {
        let Some(group) = self.get(id) else { return };
        group.lines = group.lines.saturating_sub(1);
        if let Some(place) = bound.and_then(|at| group.bounds.get_mut(usize::from(at))) {
            *place = f64::NAN;
        }
        if group.lines > 0 {
            return;
        }
        let hash = group.series.stable_hash();
        if self.by_series.get(&hash) == Some(&id) {
            self.by_series.remove(&hash);
        }
        if let Some(place) = self.groups.get_mut(id as usize) {
            *place = None;
            self.free.push(id);
        }
    }

    /// Adds the points of this scrape, and returns how many could not be made because
    /// a bucket holds no number.
    pub(super) fn points(&mut self, points: &mut Vec<Point>) -> usize {
        let mut invalid = 0;
        for id in std::mem::take(&mut self.touched) {
            let Some(group) = self.get(id) else { continue };
            match group.point() {
                Ok(Some(point)) => points.push(point),
                Ok(None) => {}
                Err(Invalid) => invalid += 1,
            }
        }
        invalid
    }

    /// Forgets the values of a scrape that failed.
    pub(super) fn discard(&mut self) {
        self.touched.clear();
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.groups.iter_mut().flatten()
    }

    /// After the series of groups have changed: finds them by their new content.
    pub(super) fn rebuild_index(&mut self) {
        self.by_series.clear();
        for (id, group) in self.groups.iter().enumerate() {
            if let (Some(group), Ok(id)) = (group, u32::try_from(id)) {
                self.by_series.insert(group.series.stable_hash(), id);
            }
        }
    }

    /// Number of groups.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.groups.len() - self.free.len()
    }
}

/// A bucket of a histogram holds no number.
struct Invalid;

impl Group {
    fn begin(&mut self, scrape: u32, time_ms: i64) {
        self.scrape = scrape;
        self.time_ms = time_ms;
        self.values.fill(f64::from_bits(UNSEEN));
        self.count = None;
        self.sum = None;
        self.created = 0.0;
        self.stale = false;
        self.exemplars.clear();
    }

    pub(super) fn set_sum(&mut self, value: f64) {
        self.sum = Some(value);
    }

    pub(super) fn set_count(&mut self, value: f64) {
        self.count = Some(value);
    }

    pub(super) fn set_created(&mut self, seconds: f64) {
        self.created = seconds;
    }

    pub(super) fn set_bound(&mut self, index: u16, value: f64) {
        if let Some(place) = self.values.get_mut(usize::from(index)) {
            *place = value;
        }
    }

    pub(super) fn add_exemplar(&mut self, exemplar: Exemplar) {
        self.exemplars.push(exemplar);
    }

    /// Bounds and values of this scrape by bound; of a stale group all bounds.
    fn pairs(&self) -> Vec<(f64, f64)> {
        let mut pairs: Vec<(f64, f64)> = self
            .bounds
            .iter()
            .zip(&self.values)
            .filter(|(bound, value)| !bound.is_nan() && (self.stale || value.to_bits() != UNSEEN))
            .map(|(bound, value)| (*bound, *value))
            .collect();
        if !pairs.is_sorted_by(|a, b| a.0 <= b.0) {
            pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        pairs
    }

    fn point(&mut self) -> Result<Option<Point>, Invalid> {
        // Without a count there is no point.
        let count = if self.stale {
            0.0
        } else {
            self.count.unwrap_or(f64::NAN)
        };
        if self.count.is_none() && !self.stale {
            return Ok(None);
        }
        let value = match self.series.metric().kind {
            MetricKind::Summary => PointValue::Summary(Box::new(self.summary(count))),
            _ => PointValue::Histogram(Box::new(self.histogram(count)?)),
        };
        let start_ns = if self.stale {
            0
        } else {
            seconds_to_nanoseconds(self.created)
        };
        let mut point = Point::new(
            Arc::clone(&self.series),
            start_ns,
            nanoseconds(self.time_ms),
            value,
        );
        if self.stale {
            point.flags = FLAG_NO_RECORDED_VALUE;
        } else if !self.exemplars.is_empty() {
            let exemplars = std::mem::take(&mut self.exemplars);
            point.extras = Some(Box::new(Extras {
                exemplars,
                tags: Vec::new(),
            }));
        }
        Ok(Some(point))
    }

    fn summary(&self, count: f64) -> Summary {
        let mut quantiles = self.pairs();
        if self.stale {
            quantiles.iter_mut().for_each(|(_, value)| *value = 0.0);
        }
        let sum = if self.stale {
            0.0
        } else {
            self.sum.unwrap_or(0.0)
        };
        Summary {
            count: whole(count),
            sum,
            quantiles,
        }
    }

    /// Counts per bucket from cumulative ones; the last one holds what the bounds do not.
    fn histogram(&self, count: f64) -> Result<Histogram, Invalid> {
        let mut pairs = self.pairs();
        if pairs
            .last()
            .is_some_and(|(bound, _)| *bound == f64::INFINITY)
        {
            pairs.pop();
        }
        let mut histogram = Histogram {
            bucket_counts: Vec::with_capacity(pairs.len() + 1),
            explicit_bounds: pairs.iter().map(|(bound, _)| *bound).collect(),
            ..Histogram::default()
        };
        if self.stale {
            histogram.bucket_counts.resize(pairs.len() + 1, 0);
            return Ok(histogram);
        }
        let mut before = 0.0;
        for value in pairs.iter().map(|(_, value)| *value).chain([count]) {
            if value.is_nan() {
                return Err(Invalid);
            }
            histogram.bucket_counts.push(increase(before, value));
            before = value;
        }
        histogram.count = whole(count);
        histogram.sum = self.sum;
        Ok(histogram)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are truncated; casts saturate"
)]
fn whole(count: f64) -> u64 {
    count as u64
}

/// What the next bucket holds beyond the one before. Of buckets that fall (a target that is read
/// while it counts) it wraps round, as in the reference: who adds them up again gets those of the
/// page.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "wraps on purpose; counts are truncated; casts saturate"
)]
fn increase(before: f64, value: f64) -> u64 {
    if value < before {
        return (value - before) as i64 as u64;
    }
    whole(value - before)
}

/// Float seconds as nanoseconds; anything that is no time becomes 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "fractions of a nanosecond are cut; casts saturate"
)]
pub(super) fn seconds_to_nanoseconds(seconds: f64) -> u64 {
    if !seconds.is_finite() || seconds <= 0.0 {
        return 0;
    }
    let whole = seconds.trunc();
    (whole as u64)
        .saturating_mul(1_000_000_000)
        .saturating_add(((seconds - whole) * 1e9) as u64)
}
