//! The events of one call: records gathered by group and time, then written out by plans.
//!
//! A group usually gets the same metrics in the same order as last time. As long as its records
//! follow the plan of its last event, adding one is a comparison and a store: the plan's metrics are
//! known to be different, so duplicates (EMF-43) need no search.

use std::collections::{HashMap, HashSet};

use weir_model::{Point, Value};

use super::encode::write_tag;
use super::plan::{Plan, PlanKey, Plans};
use super::settings::Settings;
use super::tables::{NONE, Tables};
use crate::cloudwatch_logs::request::{Limits, Request, Stream};

/// Oldest event that the service takes, before now.
const MAX_AGE_MS: i64 = 14 * 86_400_000;
/// Newest event that the service takes, after now.
const MAX_AHEAD_MS: i64 = 2 * 3_600_000;
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
    /// Events that were cut to 256 KiB.
    pub(crate) cut: u64,
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
        let mut time = (i64::MIN, itoa::Buffer::new(), 0);
        for (at, event) in (0..).zip(&self.events) {
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
                match event.loose.as_deref() {
                    Some(loose) if !loose.tags.is_empty() => {
                        let Some(plan) = tagged_plan(key, loose, tables, settings) else {
                            continue;
                        };
                        self.write_event(at, event, &plan, tables, &mut time, sink);
                        continue;
                    }
                    _ => plans.find(key, tables, settings),
                }
            };
            if let Some(group) = tables.groups.get_mut(event.group) {
                group.plan = plan;
            }
            if let Some(plan) = plans.get(plan) {
                self.write_event(at, event, plan, tables, &mut time, sink);
            }
        }
    }

    fn write_event(
        &self,
        at: u32,
        event: &Event,
        plan: &Plan,
        tables: &Tables,
        time: &mut (i64, itoa::Buffer, usize),
        sink: &mut impl Sink,
    ) {
        let values = match event.loose.as_deref() {
            Some(loose) => Some(loose.values.as_slice()),
            None => {
                let start = event.start as usize;
                self.values.get(start..start + event.len as usize)
            }
        };
        let Some(group) = tables.groups.get(event.group) else {
            return;
        };
        let (Some(values), Some(labels)) = (values, tables.labels.get(group.labels)) else {
            return;
        };
        if time.0 != event.time_ms {
            time.0 = event.time_ms;
        }
        let text = time.1.format(event.time_ms);
        time.2 = text.len();
        sink.event(at, group.target, event.time_ms, values.len(), |out| {
            plan.write(labels, values, &self.arena, text.as_bytes(), out)
        });
    }
}

impl Event {
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

fn tagged_plan(key: PlanKey, loose: &Loose, tables: &Tables, settings: &Settings) -> Option<Plan> {
    let tags: Vec<(&str, Vec<u8>)> = loose.tags.iter().map(|(k, v)| (*k, v.clone())).collect();
    Plan::new(key, &tags, tables, settings)
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

/// Where written events go.
pub(crate) trait Sink {
    /// Takes event number `at` with so many `values`; `write` appends it and returns its length.
    fn event(
        &mut self,
        at: u32,
        target: u32,
        time_ms: i64,
        values: usize,
        write: impl FnOnce(&mut Vec<u8>) -> usize,
    );
}

/// Lines of text.
#[derive(Debug, Default)]
pub(crate) struct Lines(pub(crate) Vec<u8>);

impl Sink for Lines {
    fn event(
        &mut self,
        _at: u32,
        _target: u32,
        _time_ms: i64,
        _values: usize,
        write: impl FnOnce(&mut Vec<u8>) -> usize,
    ) {
        write(&mut self.0);
        self.0.push(b'\n');
    }
}

/// Requests by log stream.
#[derive(Debug)]
pub(crate) struct Requests<'a> {
    now_ms: i64,
    targets: &'a super::pool::Pool<super::tables::Target>,
    streams: Vec<Stream>,
    index: HashMap<u32, usize, foldhash::fast::RandomState>,
    last: (u32, usize),
    counts: &'a mut Counts,
}

impl<'a> Requests<'a> {
    /// Requests for events as seen at `now_ms`.
    pub(crate) fn new(
        now_ms: i64,
        targets: &'a super::pool::Pool<super::tables::Target>,
        counts: &'a mut Counts,
    ) -> Self {
        Self {
            now_ms,
            targets,
            streams: Vec::new(),
            index: HashMap::default(),
            last: (NONE, 0),
            counts,
        }
    }

    /// All requests; those of one stream stand in order.
    pub(crate) fn finish(self) -> Vec<Request> {
        let mut requests = Vec::with_capacity(self.streams.len());
        for stream in self.streams {
            self.counts.cut += stream.cut;
            requests.extend(stream.into_requests());
        }
        requests
    }
}

impl Sink for Requests<'_> {
    #[inline]
    fn event(
        &mut self,
        at: u32,
        target: u32,
        time_ms: i64,
        values: usize,
        write: impl FnOnce(&mut Vec<u8>) -> usize,
    ) {
        if time_ms < self.now_ms - MAX_AGE_MS {
            self.counts.too_old += values as u64;
            return;
        }
        if time_ms > self.now_ms + MAX_AHEAD_MS {
            self.counts.too_new += values as u64;
            return;
        }
        if self.last.0 != target {
            let Some(names) = self.targets.get(target) else {
                return;
            };
            let streams = &mut self.streams;
            let number = *self.index.entry(target).or_insert_with(|| {
                streams.push(Stream::new(names.clone(), Limits::default()));
                streams.len() - 1
            });
            self.last = (target, number);
        }
        if let Some(stream) = self.streams.get_mut(self.last.1) {
            stream.push(at, time_ms, write);
        }
    }
}
