//! The series that are being added up.
//!
//! Two look-ups, as at every edge of the program: the bytes of a line without its value, under its
//! sender, give the series at once; only a line that is new to the table has its tags read, sorted and
//! looked up by content, so that lines which differ in the order of tags or in the sample rate add
//! up together. Series that two intervals did not use are forgotten.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::Arc;

use hashbrown::HashTable;
use weir_model::{
    Interner, MetricKind, MetricMeta, Point, PointValue, Resource, Scope, Temporality,
};

use super::config::{Observer, Rules};
use super::entries::{Plan, RAW_BYTES, Raw, SENDER_BYTES, Sender, Slot, hash_of, place};
use super::line::{Line, LineError, Meaning, Options, StatsdType, Value};
use super::values::Values;

/// Intervals without a line after which a series is forgotten.
const IDLE: u32 = 2;

/// How much the table may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) series: usize,
    pub(super) bytes: usize,
}

/// What one sender's lines came to.
#[derive(Debug)]
pub(super) struct Flushed {
    /// Who sent them, if the transport tells.
    pub(super) sender: Option<SocketAddr>,
    pub(super) points: Vec<Point>,
}

/// The table.
#[derive(Debug)]
pub(super) struct Table {
    rules: Rules,
    limits: Limits,
    interner: Arc<Interner>,
    resource: Arc<Resource>,
    scope: Arc<Scope>,
    state: foldhash::fast::RandomState,
    raws: HashTable<Raw>,
    /// Places in `slots` by content.
    contents: HashTable<u32>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    senders: HashMap<Option<SocketAddr>, u32>,
    sender_slots: Vec<Option<Sender>>,
    free_senders: Vec<u32>,
    /// Slots with values since the last flush, in the order of their first value.
    touched: Vec<u32>,
    interval: u32,
    started_ns: u64,
    /// Bytes of what stays from interval to interval.
    kept_bytes: usize,
    /// Bytes of values and points that go with the next flush.
    value_bytes: usize,
    /// Of these, points that could go at any time.
    point_bytes: usize,
}

impl Table {
    pub(super) fn new(
        rules: Rules,
        limits: Limits,
        interner: Arc<Interner>,
        scope: Scope,
        now_ns: u64,
    ) -> Self {
        Self {
            rules,
            limits,
            resource: interner.resource(Resource::default()),
            scope: interner.scope(scope),
            interner,
            state: foldhash::fast::RandomState::default(),
            raws: HashTable::new(),
            contents: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            senders: HashMap::new(),
            sender_slots: Vec::new(),
            free_senders: Vec::new(),
            touched: Vec::new(),
            interval: 0,
            started_ns: now_ns,
            kept_bytes: 0,
            value_bytes: 0,
            point_bytes: 0,
        }
    }

    /// Series in the table.
    pub(super) fn series(&self) -> usize {
        self.contents.len()
    }

    /// Bytes that the table holds, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.kept_bytes + self.value_bytes
    }

    /// Whether so much waits that single points should be handed on before the interval is over.
    pub(super) fn is_filling(&self) -> bool {
        self.point_bytes > self.limits.bytes / 4
    }

    fn is_full(&self) -> bool {
        self.bytes() >= self.limits.bytes
    }

    /// The place of a sender; `None` while there is no memory for a new one.
    pub(super) fn sender(&mut self, address: Option<SocketAddr>) -> Option<u32> {
        if let Some(at) = self.senders.get(&address).copied() {
            if let Some(Some(sender)) = self.sender_slots.get_mut(at as usize) {
                sender.used = self.interval;
            }
            return Some(at);
        }
        if self.is_full() {
            return None;
        }
        let sender = Some(Sender {
            address,
            used: self.interval,
            points: Vec::new(),
        });
        let at = place(&mut self.sender_slots, &mut self.free_senders, sender);
        self.senders.insert(address, at);
        self.kept_bytes += SENDER_BYTES;
        Some(at)
    }

    /// Takes a line of a sender, without its line end.
    ///
    /// # Errors
    /// Why the line, or one of its values, does not count.
    pub(super) fn take(&mut self, sender: u32, line: &[u8], now_ns: u64) -> Result<(), LineError> {
        let line = Line::split(line)?;
        let hash = self.hash_of_line(sender, &line);
        let interval = self.interval;
        let known = self.raws.find_mut(hash, |raw| raw.is(sender, &line)).map(|raw| {
            raw.used = interval;
            (raw.slot, raw.sample_rate)
        });
        let (slot, sample_rate) = match known {
            Some(known) => known,
            None => self.resolve(sender, &line, hash)?,
        };
        // Whatever its values are worth: a series must not go before a line that names it.
        if let Some(Some(slot)) = self.slots.get_mut(slot as usize) {
            slot.used = interval;
        }
        let mut result = Ok(());
        for value in line.values() {
            let added = value.and_then(|value| self.add(slot, value, sample_rate, now_ns));
            result = result.and(added);
        }
        result
    }

    fn hash_of_line(&self, sender: u32, line: &Line<'_>) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write_u32(sender);
        hasher.write(line.name);
        hasher.write_usize(line.name.len());
        hasher.write(line.rest);
        hasher.finish()
    }

    /// Finds or makes the series of a line that is not known yet.
    fn resolve(
        &mut self,
        sender: u32,
        line: &Line<'_>,
        hash: u64,
    ) -> Result<(u32, f64), LineError> {
        let name = std::str::from_utf8(line.name).map_err(|_| LineError::Utf8)?;
        let options = Options {
            simple_tags: self.rules.simple_tags,
            metric_type: self.rules.metric_type,
        };
        let meaning = Meaning::of(line.rest, options)?;
        let (sample_rate, timed) = (meaning.sample_rate, meaning.time_ns != 0);
        let slot = self.slot(sender, name, meaning)?;
        // Lines with a time of their own do not come again.
        if !timed && !self.is_full() {
            let key = [line.name, line.rest].concat().into_boxed_slice();
            self.kept_bytes += RAW_BYTES + key.len();
            let raw = Raw {
                hash,
                sender,
                slot,
                name: line.name.len() as u32,
                used: self.interval,
                key,
                sample_rate,
            };
            self.raws.insert_unique(hash, raw, |raw| raw.hash);
        }
        Ok((slot, sample_rate))
    }

    /// The place of a series with this content.
    fn slot(&mut self, sender: u32, name: &str, meaning: Meaning) -> Result<u32, LineError> {
        let Meaning {
            statsd_type,
            attributes,
            time_ns,
            ..
        } = meaning;
        let content = (sender, statsd_type, time_ns, name, attributes.as_bytes());
        let hash = self.state.hash_one(content);
        let slots = &self.slots;
        let same = |at: &u32| {
            slots.get(*at as usize).and_then(Option::as_ref).is_some_and(|slot| {
                slot.sender == sender
                    && slot.statsd_type == statsd_type
                    && slot.time_ns == time_ns
                    && *slot.series.metric().name == *name
                    && *slot.series.labels() == attributes
            })
        };
        if let Some(at) = self.contents.find(hash, same) {
            return Ok(*at);
        }
        let (plan, kind) = self.plan(statsd_type, name);
        if plan == Plan::Disabled {
            return Err(LineError::Disabled);
        }
        if self.contents.len() >= self.limits.series {
            return Err(LineError::SeriesLimit);
        }
        if self.is_full() {
            return Err(LineError::MemoryLimit);
        }
        let metric = self.interner.metric(MetricMeta::new(name, kind));
        let series = self.interner.series(&self.resource, &self.scope, &metric, attributes);
        let slot = Slot {
            hash,
            sender,
            used: self.interval,
            statsd_type,
            plan,
            time_ns,
            series,
            values: Values::None,
        };
        self.kept_bytes += slot.bytes();
        let at = place(&mut self.slots, &mut self.free, Some(slot));
        let slots = &self.slots;
        self.contents.insert_unique(hash, at, |at| hash_of(slots, *at));
        Ok(at)
    }

    fn plan(&self, statsd_type: StatsdType, name: &str) -> (Plan, MetricKind) {
        let temporality = Temporality::Delta;
        let observers = match statsd_type {
            StatsdType::Counter => {
                let monotonic = self.rules.monotonic;
                let kind = MetricKind::Sum {
                    temporality,
                    monotonic,
                };
                return (Plan::Counter, kind);
            }
            StatsdType::Gauge => return (Plan::Gauge, MetricKind::Gauge),
            _ => self.rules.observers(statsd_type),
        };
        match observers.observer {
            Observer::Disabled => (Plan::Disabled, MetricKind::Gauge),
            Observer::Gauge => (Plan::Each, MetricKind::Gauge),
            Observer::Summary => (Plan::Samples, MetricKind::Summary),
            Observer::Histogram => {
                let explicit = &observers.explicit;
                match explicit.iter().position(|(pattern, _)| pattern.is_match(name)) {
                    Some(at) => (Plan::Explicit(at), MetricKind::Histogram { temporality }),
                    None => {
                        let kind = MetricKind::ExponentialHistogram { temporality };
                        (Plan::Exponential, kind)
                    }
                }
            }
        }
    }

    /// Adds a value to a series.
    fn add(
        &mut self,
        at: u32,
        value: Value,
        sample_rate: f64,
        now_ns: u64,
    ) -> Result<(), LineError> {
        let full = self.is_full();
        let Some(Some(slot)) = self.slots.get_mut(at as usize) else {
            return Err(LineError::SeriesLimit);
        };
        let first = matches!(slot.values, Values::None);
        let number = value.number;
        if !(number / sample_rate).is_finite() {
            return Err(LineError::NotFinite);
        }
        match slot.plan {
            Plan::Counter => {
                let by = number / sample_rate;
                slot.values = match slot.values {
                    Values::Whole(sum) => Values::Whole(sum.saturating_add(by as i64)),
                    Values::Fraction(sum) => Values::Fraction(sum + by),
                    _ if self.rules.fractions => Values::Fraction(by),
                    _ => Values::Whole(by as i64),
                };
            }
            Plan::Gauge => {
                slot.values = match slot.values {
                    // The time stays that of the value which was set, as in the reference.
                    Values::Gauge { value: old, set_ns } if value.signed => Values::Gauge {
                        value: old + number,
                        set_ns,
                    },
                    _ => Values::Gauge {
                        value: number,
                        set_ns: now_ns,
                    },
                };
            }
            // The rest takes memory for each value.
            _ if full => return Err(LineError::MemoryLimit),
            Plan::Each => {
                let point = Point::new(slot.series.clone(), 0, now_ns, PointValue::Double(number));
                if let Some(Some(sender)) = self.sender_slots.get_mut(slot.sender as usize) {
                    sender.points.push(point);
                    self.value_bytes += size_of::<Point>();
                    self.point_bytes += size_of::<Point>();
                }
                return Ok(());
            }
            Plan::Samples | Plan::Explicit(_) | Plan::Exponential => {
                let before = slot.values.heap_bytes();
                let observers = self.rules.observers(slot.statsd_type);
                slot.values.observe(slot.plan, observers, number, 1.0 / sample_rate);
                self.value_bytes += slot.values.heap_bytes().saturating_sub(before);
            }
            Plan::Disabled => return Err(LineError::Disabled),
        }
        if first {
            self.touched.push(at);
        }
        Ok(())
    }

    /// Points that need no more adding up, before the interval is over.
    pub(super) fn take_points(&mut self) -> Vec<Flushed> {
        self.value_bytes = self.value_bytes.saturating_sub(self.point_bytes);
        self.point_bytes = 0;
        let mut flushed = Vec::new();
        for sender in self.sender_slots.iter_mut().flatten() {
            if !sender.points.is_empty() {
                flushed.push(Flushed {
                    sender: sender.address,
                    points: std::mem::take(&mut sender.points),
                });
            }
        }
        flushed
    }

    /// Ends the interval: everything that was added up, by sender.
    pub(super) fn flush(&mut self, now_ns: u64) -> Vec<Flushed> {
        for at in std::mem::take(&mut self.touched) {
            let Some(Some(slot)) = self.slots.get_mut(at as usize) else {
                continue;
            };
            let observers = self.rules.observers(slot.statsd_type);
            let bounds: &[f64] = match slot.plan {
                Plan::Explicit(at) => observers.explicit.get(at).map_or(&[], |(_, bounds)| bounds),
                _ => &[],
            };
            let values = std::mem::take(&mut slot.values);
            let Some((value, set_ns)) = values.into_point(&observers.percentiles, bounds) else {
                continue;
            };
            let time_ns = match slot.time_ns {
                0 => set_ns.unwrap_or(now_ns),
                said => said,
            };
            // A gauge has no start; what is said to be of before the interval starts then.
            let start_ns = set_ns.map_or(self.started_ns.min(time_ns), |_| 0);
            if let Some(Some(sender)) = self.sender_slots.get_mut(slot.sender as usize) {
                sender.points.push(Point::new(slot.series.clone(), start_ns, time_ns, value));
            }
        }
        let flushed = self.take_points();
        self.value_bytes = 0;
        self.started_ns = now_ns;
        self.interval = self.interval.wrapping_add(1);
        self.forget_idle();
        flushed
    }

    /// Forgets lines, series and senders that the last intervals did not use. A line is never used
    /// without its series and its sender, so that none of them outlives those it names.
    fn forget_idle(&mut self) {
        let interval = self.interval;
        let idle = |used: u32| interval.wrapping_sub(used) > IDLE;
        let mut freed = 0;
        self.raws.retain(|raw| {
            if idle(raw.used) {
                freed += RAW_BYTES + raw.key.len();
            }
            !idle(raw.used)
        });
        for (at, place) in self.slots.iter_mut().enumerate() {
            // A time of its own makes a series that does not come again.
            let gone = |slot: &Slot| idle(slot.used) || slot.time_ns != 0;
            if let Some(slot) = place.take_if(|slot| gone(slot)) {
                freed += slot.bytes();
                self.free.push(at as u32);
                if let Ok(entry) = self.contents.find_entry(slot.hash, |other| *other == at as u32)
                {
                    entry.remove();
                }
            }
        }
        for (at, place) in self.sender_slots.iter_mut().enumerate() {
            if let Some(sender) = place.take_if(|sender| idle(sender.used)) {
                freed += SENDER_BYTES;
                self.senders.remove(&sender.address);
                self.free_senders.push(at as u32);
            }
        }
        self.kept_bytes = self.kept_bytes.saturating_sub(freed);
        self.shrink();
    }

    /// Gives memory back after a burst of series.
    fn shrink(&mut self) {
        if self.raws.capacity() > 1024 && self.raws.len() < self.raws.capacity() / 4 {
            self.raws.shrink_to(self.raws.len() * 2, |raw| raw.hash);
        }
        if self.contents.capacity() > 1024 && self.contents.len() < self.contents.capacity() / 4 {
            let slots = &self.slots;
            self.contents.shrink_to(self.contents.len() * 2, |at| hash_of(slots, *at));
        }
        if self.contents.is_empty() {
            (self.slots, self.free) = (Vec::new(), Vec::new());
        }
        if self.senders.is_empty() {
            (self.sender_slots, self.free_senders) = (Vec::new(), Vec::new());
        }
    }
}
