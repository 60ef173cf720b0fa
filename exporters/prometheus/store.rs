//! The last value of every series, in the order of the page.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use weir_model::{
    Exemplar, Interner, MetricKind, Point, PointValue, Series, SeriesTable, Temporality,
};
use weir_prom::exposition::MetricType;

use super::names::{Names, text};
use crate::prometheus_labels::{Described, LabelRules, is_service, join};

/// Why a point is not on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// No name can be made of the metric or one of its attributes.
    Name,
    /// The value does not fit the type of the metric.
    Value,
    /// The temporality cannot be shown: not said, or a delta of something that can fall.
    Temporality,
    /// Another metric of the same name has another type.
    Type,
    /// There are too many series.
    Limit,
    /// A later point is there already.
    Late,
    /// The scale of an exponential histogram is coarser than any of a native one.
    Scale,
    /// The buckets of an exponential histogram do not add up to its count.
    Counts,
}

impl Dropped {
    /// The `reason` label of drop counters.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Name => "unusable_name",
            Self::Value => "wrong_value",
            Self::Temporality => "not_cumulative",
            Self::Type => "type_conflict",
            Self::Limit => "limit",
            Self::Late => "late",
            Self::Scale => "scale_too_low",
            Self::Counts => "inconsistent_counts",
        }
    }

    /// What to do about it; empty for what needs nothing done.
    pub(super) fn explain(self) -> &'static str {
        match self {
            Self::Name => "no Prometheus name can be made of the metric or one of its attributes",
            Self::Value => "the value does not fit the type of the metric",
            Self::Temporality => {
                "differences of something that can fall, and points that do not say what they \
                 count from, cannot be shown: let the SDK send cumulative ones"
            }
            Self::Type => "another metric of the same name has another type",
            Self::Limit => "there are too many series; raise `max_series` or drop labels",
            Self::Late => "",
            Self::Scale => "exponential histograms with a scale below -4 have no native form",
            Self::Counts => {
                "the buckets of an exponential histogram do not add up to its count; Prometheus \
                 would refuse the whole page"
            }
        }
    }
}

/// Place of a series on the page. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    family: Arc<str>,
    labels: Arc<str>,
}

/// A family of series.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) names: Names,
    pub(super) described: Described,
    series: usize,
}

/// A series and its last value.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) key: Key,
    /// The labels without quoted names, where that makes a difference.
    pub(super) plain: Option<Arc<str>>,
    pub(super) target: Option<Arc<str>>,
    pub(super) value: PointValue,
    pub(super) exemplars: Vec<Exemplar>,
    pub(super) start_ns: u64,
    pub(super) time_ns: u64,
    /// Whether it was counted that a page is without the value.
    pub(super) left_out: Cell<bool>,
    /// When its last point came, on the monotonic clock.
    seen: Duration,
}

impl Slot {
    /// The labels, with or without quoted names.
    pub(super) fn labels(&self, quoted: bool) -> &str {
        match &self.plain {
            Some(plain) if !quoted => plain,
            _ => &self.key.labels,
        }
    }
}

/// What is computed once per series.
#[derive(Debug)]
enum Entry {
    Dropped(Dropped),
    Line(Box<Line>),
}

#[derive(Debug)]
struct Line {
    key: Key,
    names: Names,
    plain: Option<Arc<str>>,
    target: Option<Arc<str>>,
    kind: MetricType,
    /// Whether points are added to those before.
    delta: bool,
    /// Where its slot was last time.
    at: usize,
}

/// All series.
#[derive(Debug)]
pub(super) struct Store {
    rules: LabelRules,
    capacity: usize,
    expiration: Option<Duration>,
    entries: SeriesTable<Entry>,
    families: HashMap<Arc<str>, Family>,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    order: BTreeMap<Key, usize>,
    /// Texts that many series share: labels of resources.
    shared: HashMap<Arc<str>, Arc<str>>,
}

impl Store {
    pub(super) fn new(rules: LabelRules, capacity: usize, expiration: Option<Duration>) -> Self {
        Self {
            rules,
            capacity,
            expiration,
            entries: SeriesTable::default(),
            families: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            order: BTreeMap::new(),
            shared: HashMap::new(),
        }
    }

    /// Series on the page.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Takes a point in.
    pub(super) fn put(&mut self, point: &Point, now: Duration) -> Result<(), Dropped> {
        let (rules, shared) = (&self.rules, &mut self.shared);
        let entry = self
            .entries
            .get_or_insert_with(&point.series, || Entry::new(&point.series, rules, shared));
        let line = match entry {
            Entry::Dropped(why) => return Err(*why),
            Entry::Line(line) => line,
        };
        if !fits(point.series.metric().kind, &point.value) && !point.is_stale() {
            return Err(Dropped::Value);
        }
        let here = |slot: &Option<Slot>| {
            slot.as_ref().is_some_and(|slot| Arc::ptr_eq(&slot.key.labels, &line.key.labels))
        };
        if !self.slots.get(line.at).is_some_and(here) {
            match self.order.get(&line.key) {
                Some(at) => {
                    let family = self.families.get(&line.key.family);
                    if family.is_some_and(|family| family.described.kind != line.kind) {
                        return Err(Dropped::Type);
                    }
                    line.at = *at;
                }
                None if point.is_stale() => return Ok(()),
                None => {
                    let line = &**line;
                    let described = || self.rules.described(point.series.metric());
                    if self.order.len() >= self.capacity {
                        return Err(Dropped::Limit);
                    }
                    let at = insert(&mut self.slots, &mut self.free, &mut self.families, line, described)?;
                    self.order.insert(line.key.clone(), at);
                    self.update(at, point, now, false);
                    return Ok(());
                }
            }
        }
        let (at, delta) = (line.at, line.delta);
        if point.is_stale() {
            self.remove(at);
            return Ok(());
        }
        self.next(at, point, now, delta)
    }

    /// A further point of a series.
    fn next(&mut self, at: usize, point: &Point, now: Duration, delta: bool) -> Result<(), Dropped> {
        let Some(Some(slot)) = self.slots.get_mut(at) else { return Ok(()) };
        if point.time_ns < slot.time_ns {
            return Err(Dropped::Late);
        }
        // A difference that begins before the last one ended counts something anew.
        let goes_on = delta && (point.start_ns == 0 || point.start_ns >= slot.time_ns);
        let added = goes_on && slot.value.accumulate(&point.value).is_ok();
        self.update(at, point, now, added);
        Ok(())
    }

    fn update(&mut self, at: usize, point: &Point, now: Duration, added: bool) {
        let Some(Some(slot)) = self.slots.get_mut(at) else { return };
        if !added {
            slot.value = point.value.clone();
            slot.start_ns = point.start_ns;
        }
        slot.time_ns = point.time_ns;
        slot.left_out.set(false);
        slot.seen = now;
        slot.exemplars.clear();
        slot.exemplars.extend_from_slice(point.exemplars());
    }

    fn remove(&mut self, at: usize) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::take) else { return };
        self.free.push(at);
        self.order.remove(&slot.key);
        if let Some(family) = self.families.get_mut(&slot.key.family) {
            family.series -= 1;
            if family.series == 0 {
                self.families.remove(&slot.key.family);
            }
        }
    }

    fn is_over(&self, slot: &Slot, now: Duration) -> bool {
        self.expiration.is_some_and(|after| now.saturating_sub(slot.seen) > after)
    }

    /// Forgets series without a point for too long, and what is known of series that are no more.
    pub(super) fn sweep(&mut self, now: Duration, interner: &Interner) {
        let over: Vec<usize> = (0..self.slots.len())
            .filter(|at| {
                let slot = self.slots.get(*at).and_then(Option::as_ref);
                slot.is_some_and(|slot| self.is_over(slot, now))
            })
            .collect();
        for at in over {
            self.remove(at);
        }
        self.entries.sweep(interner);
        self.shared.retain(|_, text| Arc::strong_count(text) > 2);
    }

    /// Up to `count` series that are to be shown, after the one with this key; each with its
    /// family. `None` when there are no more.
    pub(super) fn after(
        &self,
        last: Option<&Key>,
        count: usize,
        now: Duration,
        mut show: impl FnMut(&Family, &Slot),
    ) -> Option<Key> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut end = None;
        for (key, at) in self.order.range((from, Bound::Unbounded)).take(count) {
            end = Some(key);
            let Some(Some(slot)) = self.slots.get(*at) else { continue };
            if let Some(family) = self.families.get(&key.family)
                && !self.is_over(slot, now)
            {
                show(family, slot);
            }
        }
        end.cloned()
    }

    /// Name and help of the series that tell the attributes of resources.
    pub(super) fn target_info(&self) -> Family {
        Family {
            names: Names::new(self.rules.target_info_name()),
            described: Described {
                kind: MetricType::Gauge,
                unit: String::new(),
                help: "Target metadata".to_owned(),
            },
            series: 0,
        }
    }
}

/// Makes a slot without a value.
fn insert(
    slots: &mut Vec<Option<Slot>>,
    free: &mut Vec<usize>,
    families: &mut HashMap<Arc<str>, Family>,
    line: &Line,
    described: impl Fn() -> Described,
) -> Result<usize, Dropped> {
    let family = families.entry(line.key.family.clone()).or_insert_with(|| Family {
        names: line.names.clone(),
        described: described(),
        series: 0,
    });
    if family.described.kind != line.kind {
        return Err(Dropped::Type);
    }
    family.series += 1;
    let slot = Some(Slot {
        key: line.key.clone(),
        plain: line.plain.clone(),
        target: line.target.clone(),
        value: PointValue::Empty,
        exemplars: Vec::new(),
        start_ns: 0,
        time_ns: 0,
        left_out: Cell::new(false),
        seen: Duration::ZERO,
    });
    let at = free.pop().unwrap_or(slots.len());
    match slots.get_mut(at) {
        Some(place) => *place = slot,
        None => slots.push(slot),
    }
    Ok(at)
}

/// Whether a value is one of the metric's type.
fn fits(kind: MetricKind, value: &PointValue) -> bool {
    match kind {
        MetricKind::Gauge | MetricKind::Sum { .. } => value.as_f64().is_some(),
        MetricKind::Histogram { .. } => matches!(value, PointValue::Histogram(_)),
        MetricKind::ExponentialHistogram { .. } => {
            matches!(value, PointValue::ExponentialHistogram(_))
        }
        MetricKind::Summary => matches!(value, PointValue::Summary(_)),
    }
}

/// Whether points are differences that can be added up, if they can be shown at all.
fn is_delta(kind: MetricKind) -> Result<bool, Dropped> {
    let (temporality, grows) = match kind {
        MetricKind::Gauge | MetricKind::Summary => return Ok(false),
        MetricKind::Sum { temporality, monotonic } => (temporality, monotonic),
        MetricKind::Histogram { temporality } | MetricKind::ExponentialHistogram { temporality } => {
            (temporality, true)
        }
    };
    match temporality {
        Temporality::Cumulative => Ok(false),
        Temporality::Delta if grows => Ok(true),
        _ => Err(Dropped::Temporality),
    }
}

impl Entry {
    fn new(series: &Series, rules: &LabelRules, shared: &mut HashMap<Arc<str>, Arc<str>>) -> Self {
        Self::line(series, rules, shared).unwrap_or_else(Entry::Dropped)
    }

    fn line(
        series: &Series,
        rules: &LabelRules,
        shared: &mut HashMap<Arc<str>, Arc<str>>,
    ) -> Result<Self, Dropped> {
        let metric = series.metric();
        let delta = is_delta(metric.kind)?;
        let family = rules.family(metric).map_err(|_| Dropped::Name)?;
        let labels = rules.labels(series).map_err(|_| Dropped::Name)?;
        let mut share = |text: String| -> Arc<str> {
            let text: Arc<str> = text.into();
            shared.entry(text.clone()).or_insert(text).clone()
        };
        let names = Names::new(family);
        let (quoted, plain) = text(&labels);
        Ok(Self::Line(Box::new(Line {
            key: Key {
                family: share(names.quoted().to_owned()),
                labels: quoted.into(),
            },
            plain: plain.map(Into::into),
            target: target(series, rules).map(share),
            names,
            kind: rules.described(metric).kind,
            delta,
            at: usize::MAX,
        })))
    }
}

/// Labels of the resource's `target_info`. It needs a job and an instance, and something to say.
fn target(series: &Series, rules: &LabelRules) -> Option<String> {
    let resource = series.resource();
    let mut labels = crate::prometheus_labels::Labels::new();
    for (key, value) in resource.attributes.iter() {
        let value = value.to_text();
        if !is_service(key) && !value.is_empty() {
            join(&mut labels, rules.namer.label(key).ok()?, &value);
        }
    }
    if labels.is_empty() {
        return None;
    }
    rules.put_target(resource, &mut labels);
    let identified = labels.contains_key("job") && labels.contains_key("instance");
    // Names of resource attributes are shown in the form that everybody can read.
    identified.then(|| {
        let (quoted, plain) = text(&labels);
        plain.unwrap_or(quoted)
    })
}
