//! The events of one call: records gathered by group and time, then written out by plans.
//!
//! A group usually gets the same metrics in the same order as last time. As long as its records
//! follow the plan of its last event, adding one is a comparison and a store: the plan's metrics are
//! known to be different, so duplicates (EMF-43) need no search.

use std::collections::{HashMap, HashSet};

use weir_model::{Point, Value};

use super::encode::{write_i64, write_tag};
use super::limits::{MAX_METRICS, MAX_VALUE};
use super::plan::{Plan, PlanKey, Plans};
use super::settings::Settings;
use super::sink::Sink;
use super::tables::{LabelSet, NONE, Tables};

/// Metrics of an event up to which duplicates are searched one by one.
const SEARCHED: usize = 32;

/// One value on its way into an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    /// Group.
    pub(crate) group: u32,
    /// Time, Unix milliseconds.
    pub(crate) time_ms: i64,
    /// Place among the records of one data point; records of different places never share an event.
    pub(crate) batch_index: u32,
    /// Metric.
    pub(crate) metric: u32,
    /// Range in the arena.
    pub(crate) value: (u32, u32),
    /// Whether the resource has `receiver` = `prometheus`.
    pub(crate) prometheus: bool,
}

#[derive(Debug)]
struct Event {
    group: u32,
    time_ms: i64,
    prometheus: bool,
    /// Plan that the records follow so far.
    plan: u32,
    /// First value, in `values`, and how many there are.
    start: u32,
    len: u32,
    /// Records of an event that left its plan, or has none.
    loose: Option<Box<Loose>>,
}

/// Metrics and values of an event without a plan.
#[derive(Debug, Default)]
struct Loose {
    metrics: Vec<u32>,
    values: Vec<(u32, u32)>,
    /// Numbers of the metrics' names, once there are many.
    names: HashSet<u32, foldhash::fast::RandomState>,
    tags: Vec<(&'static str, Vec<u8>)>,
}

/// What was left out, in data points or events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Points without a recorded value.
    pub(crate) stale: u64,
    /// Points with NaN or an infinity.
    pub(crate) not_finite: u64,
    /// Values whose metric the event has already.
    pub(crate) duplicate: u64,
    /// Cumulative points of streams for which there was no room.
    pub(crate) no_room: u64,
    /// Values in events older than 14 days.
    pub(crate) too_old: u64,
    /// Values in events more than two hours ahead.
    pub(crate) too_new: u64,
    /// Cumulative values that a later one of their stream overtook.
    pub(crate) overtaken: u64,
    /// Events that were cut to 256 KiB.
    pub(crate) cut: u64,
    /// Events that lost long label values, or were split, to fit in 256 KiB.
    pub(crate) reduced: u64,
    /// Values that fit in no event.
    pub(crate) too_large: u64,
    /// Layouts of events made without names that CloudWatch would not take.
    pub(crate) trimmed: u64,
}

/// Events of the call under way.
#[derive(Debug, Default)]
pub(crate) struct Events {
    call: u32,
    events: Vec<Event>,
    values: Vec<(u32, u32)>,
    /// Text of all values.
    pub(crate) arena: Vec<u8>,
    /// Events by group, time and batch index, for groups with several.
    others: HashMap<(u32, i64, u32), u32, foldhash::fast::RandomState>,
}

impl Events {
    /// Forgets the events of the last call.
    pub(crate) fn begin(&mut self) {
        self.call = self.call.wrapping_add(1).max(1);
        self.events.clear();
        self.values.clear();
        self.arena.clear();
        self.others.clear();
        // A single huge batch must not keep its memory for ever.
        self.arena.shrink_to(4 << 20);
        self.events.shrink_to(64 << 10);
        self.values.shrink_to(256 << 10);
    }

    /// Adds a value; gives the event's number, or nothing for a duplicate.
    #[inline]
    pub(crate) fn add(
        &mut self,
        record: Record,
        tables: &mut Tables,
        plans: &Plans,
    ) -> Option<u32> {
        let at = self.event_of(&record, tables, plans)?;
        let event = self.events.get_mut(at as usize)?;
        if event.loose.is_none() {
            let plan = plans.get(event.plan)?;
            if plan.key.metrics.get(event.len as usize) == Some(&record.metric) {
                *self.values.get_mut((event.start + event.len) as usize)? = record.value;
                event.len += 1;
                return Some(at);
            }
            let name = tables.metrics.get(record.metric)?.name;
            let so_far = event.len as usize;
            if so_far <= SEARCHED && plan.names.get(..so_far)?.contains(&name) {
                return None;
            }
            let values = self
                .values
                .get(event.start as usize..event.start as usize + so_far)?;
            event.loose = Some(Box::new(Loose {
                metrics: plan.key.metrics.get(..so_far)?.to_vec(),
                values: values.to_vec(),
                ..Loose::default()
            }));
        }
        let loose = event.loose.as_deref_mut()?;
        loose.add(record.metric, record.value, tables).then_some(at)
    }

    /// Adds a value in an event of its own, so that its tags stay beside it.
    pub(crate) fn add_tagged(&mut self, record: Record, point: &Point) -> Option<u32> {
        let at = u32::try_from(self.events.len()).ok()?;
        let json = |value: &Value| {
            let mut json = Vec::new();
            write_tag(value, &mut json);
            json
        };
        self.events.push(Event {
            group: record.group,
            time_ms: record.time_ms,
            prometheus: record.prometheus,
            plan: NONE,
            start: 0,
            len: 0,
            loose: Some(Box::new(Loose {
                metrics: vec![record.metric],
                values: vec![record.value],
                tags: point
                    .tags()
                    .iter()
                    .map(|(key, value)| (*key, json(value)))
                    .collect(),
                ..Loose::default()
            })),
        });
        Some(at)
    }

    /// The event that a record belongs to, made if there is none.
    #[inline]
    fn event_of(&mut self, record: &Record, tables: &mut Tables, plans: &Plans) -> Option<u32> {
        let group = tables.groups.get_mut(record.group)?;
        let known = group.call == self.call;
        if record.batch_index == 0 {
            if known && group.time_ms == record.time_ms {
                return Some(group.event);
            }
            if !known {
                let at = self.open(record, group.plan, plans)?;
                (group.call, group.event, group.time_ms) = (self.call, at, record.time_ms);
                return Some(at);
            }
        }
        let key = (record.group, record.time_ms, record.batch_index);
        if known {
            self.others
                .insert((record.group, group.time_ms, 0), group.event);
        }
        let at = match self.others.get(&key) {
            Some(at) => *at,
            None => {
                let at = self.open(record, group.plan, plans)?;
                self.others.insert(key, at);
                at
            }
        };
        if record.batch_index == 0 {
            (group.call, group.event, group.time_ms) = (self.call, at, record.time_ms);
        }
        Some(at)
    }

    /// Opens an event that is expected to follow a plan.
    fn open(&mut self, record: &Record, plan: u32, plans: &Plans) -> Option<u32> {
        let at = u32::try_from(self.events.len()).ok()?;
        let start = u32::try_from(self.values.len()).ok()?;
        let expected = plans
            .get(plan)
            .filter(|plan| plan.key.prometheus.is_some() == record.prometheus);
        if let Some(plan) = expected {
            let end = self.values.len() + plan.key.metrics.len();
            self.values.resize(end, (0, 0));
        }
        self.events.push(Event {
            group: record.group,
            time_ms: record.time_ms,
            prometheus: record.prometheus,
            plan: if expected.is_some() { plan } else { NONE },
            start,
            len: 0,
            loose: if expected.is_some() {
                None
            } else {
                Some(Box::default())
            },
        });
        Some(at)
    }

    /// Writes all events. `sink` gets them in order.
    pub(crate) fn write(
        &mut self,
        tables: &mut Tables,
        plans: &mut Plans,
        settings: &Settings,
        sink: &mut impl Sink,
    ) {
        let mut time = (i64::MIN, Vec::new());
        for (at, event) in (0..).zip(&self.events) {
            if time.0 != event.time_ms {
                time.0 = event.time_ms;
                time.1.clear();
                write_i64(event.time_ms, &mut time.1);
            }
            let whole_plan = event.loose.is_none()
                && plans
                    .get(event.plan)
                    .is_some_and(|plan| plan.names.len() == event.len as usize);
            let plan = if whole_plan {
                event.plan
            } else {
                let Some(key) = event.key(tables, plans) else {
                    continue;
                };
                if event.tags().is_empty() {
                    plans.find(key, tables, settings)
                } else {
                    if let Some(plan) = Plan::new(key, event.tags(), tables, settings) {
                        let values = event.values(&self.values);
                        let job = Job::new(at, event, &self.arena, tables, settings, &time.1);
                        job.write(&plan, values, sink);
                    }
                    continue;
                }
            };
            if let Some(group) = tables.groups.get_mut(event.group) {
                group.plan = plan;
            }
            let Some(plan) = plans.get(plan) else {
                continue;
            };
            let values = event.values(&self.values);
            if plan.parts.is_empty() {
                let job = Job::new(at, event, &self.arena, tables, settings, &time.1);
                job.write(plan, values, sink);
                continue;
            }
            for (part, values) in plan.parts.iter().zip(values.chunks(MAX_METRICS)) {
                if let Some(plan) = plans.get(*part) {
                    let job = Job::new(at, event, &self.arena, tables, settings, &time.1);
                    job.write(plan, values, sink);
                }
            }
        }
    }
}

/// The values of one event as they are written.
#[derive(Clone, Copy)]
struct Job<'a> {
    at: u32,
    event: &'a Event,
    arena: &'a [u8],
    tables: &'a Tables,
    settings: &'a Settings,
    time: &'a [u8],
}

impl<'a> Job<'a> {
    fn new(
        at: u32,
        event: &'a Event,
        arena: &'a [u8],
        tables: &'a Tables,
        settings: &'a Settings,
        time: &'a [u8],
    ) -> Self {
        Self {
            at,
            event,
            arena,
            tables,
            settings,
            time,
        }
    }

    /// Writes the event; if it is too large, what fits of it.
    #[inline]
    fn write(&self, plan: &Plan, values: &[(u32, u32)], sink: &mut impl Sink) {
        let Some(group) = self.tables.groups.get(self.event.group) else {
            return;
        };
        let Some(labels) = self.tables.labels.get(group.labels) else {
            return;
        };
        if !self.send(plan, labels, values, group.target, sink) {
            self.write_smaller(plan, labels, values, group.target, sink);
        }
    }

    #[inline]
    fn send(
        &self,
        plan: &Plan,
        labels: &LabelSet,
        values: &[(u32, u32)],
        target: u32,
        sink: &mut impl Sink,
    ) -> bool {
        sink.event(self.at, target, self.event.time_ms, values.len(), |out| {
            plan.write(labels, values, self.arena, self.time, out)
        })
    }

    /// First long label values are cut, then the metrics are shared out among several events.
    #[cold]
    fn write_smaller(
        &self,
        plan: &Plan,
        labels: &LabelSet,
        values: &[(u32, u32)],
        target: u32,
        sink: &mut impl Sink,
    ) {
        let shortened = labels.shortened(plan.labels(), MAX_VALUE);
        let labels = match &shortened {
            Some(labels) => {
                if self.send(plan, labels, values, target, sink) {
                    return sink.reduced(1, 0);
                }
                labels
            }
            None => labels,
        };
        let half = values.len() / 2;
        if half == 0 {
            return sink.reduced(0, values.len() as u64);
        }
        let (first, second) = (values.get(..half), values.get(half..));
        let (before, after) = plan.key.metrics.split_at(half.min(plan.key.metrics.len()));
        for (metrics, values) in [(before, first), (after, second)] {
            let key = PlanKey {
                metrics: metrics.into(),
                ..plan.key
            };
            let plan = Plan::new(key, self.event.tags(), self.tables, self.settings);
            let (Some(plan), Some(values)) = (plan, values) else {
                continue;
            };
            if !self.send(&plan, labels, values, target, sink) {
                self.write_smaller(&plan, labels, values, target, sink);
            }
        }
        sink.reduced(1, 0);
    }
}

impl Event {
    /// Ranges of its values in the arena; `all` are those of events with a plan.
    #[inline]
    fn values<'a>(&'a self, all: &'a [(u32, u32)]) -> &'a [(u32, u32)] {
        match self.loose.as_deref() {
            Some(loose) => &loose.values,
            None => {
                let start = self.start as usize;
                all.get(start..start + self.len as usize).unwrap_or(&[])
            }
        }
    }

    /// Further members, of this event only.
    fn tags(&self) -> &[(&'static str, Vec<u8>)] {
        self.loose.as_deref().map_or(&[], |loose| &loose.tags)
    }

    /// The key of the plan this event needs.
    fn key(&self, tables: &Tables, plans: &Plans) -> Option<PlanKey> {
        let group = tables.groups.get(self.group)?;
        let metrics = match self.loose.as_deref() {
            Some(loose) => loose.metrics.as_slice(),
            None => plans.get(self.plan)?.key.metrics.get(..self.len as usize)?,
        };
        Some(PlanKey {
            shape: tables.labels.get(group.labels)?.shape,
            namespace: group.namespace,
            prometheus: self.prometheus.then_some(group.kind),
            metrics: metrics.into(),
        })
    }
}

impl Loose {
    /// Adds a value unless the metric's name is there already.
    fn add(&mut self, metric: u32, value: (u32, u32), tables: &Tables) -> bool {
        let name_of = |metric: u32| tables.metrics.get(metric).map_or(NONE, |m| m.name);
        let name = name_of(metric);
        if self.metrics.len() <= SEARCHED {
            if self.metrics.iter().any(|other| name_of(*other) == name) {
                return false;
            }
        } else {
            if self.names.is_empty() {
                self.names
                    .extend(self.metrics.iter().map(|other| name_of(*other)));
            }
            if !self.names.insert(name) {
                return false;
            }
        }
        self.metrics.push(metric);
        self.values.push(value);
        true
    }
}
