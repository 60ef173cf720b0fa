//! What the table holds: known lines, series, senders.

use std::net::SocketAddr;
use std::sync::Arc;

use weir_model::{MetricMeta, Point, Series};

use super::config::{Observers, Rules};
use super::exponential::Exponential;
use super::line::{Line, StatsdType};
use super::values::Values;

/// Lines without their values, that are known.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) hash: u64,
    pub(super) sender: u32,
    pub(super) slot: u32,
    /// Length of the name at the start of `key`.
    pub(super) name: u32,
    /// The interval that used it last.
    pub(super) used: u32,
    /// Name and what follows the value.
    pub(super) key: Box<[u8]>,
    pub(super) sample_rate: f64,
}

/// What lines of a series do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    Counter,
    Gauge,
    /// Each value is a point of its own.
    Each,
    Samples,
    /// With the bounds at this place of the observer's list.
    Explicit(usize),
    Exponential,
    Disabled,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) hash: u64,
    pub(super) sender: u32,
    pub(super) used: u32,
    pub(super) statsd_type: StatsdType,
    pub(super) plan: Plan,
    /// Said by the lines themselves; 0 if not.
    pub(super) time_ns: u64,
    pub(super) series: Arc<Series>,
    pub(super) values: Values,
}

#[derive(Debug)]
pub(super) struct Sender {
    pub(super) address: Option<SocketAddr>,
    pub(super) used: u32,
    /// Points that wait for the flush.
    pub(super) points: Vec<Point>,
}

/// A known line besides its key: the entry and its share of the table.
pub(super) const RAW_BYTES: usize = size_of::<Raw>() + 16;
/// A sender: place, entry in the map.
pub(super) const SENDER_BYTES: usize = size_of::<Option<Sender>>() + size_of::<Option<SocketAddr>>() + 24;

impl Raw {
    pub(super) fn is(&self, sender: u32, line: &Line<'_>) -> bool {
        let name = self.name as usize;
        self.sender == sender
            && name == line.name.len()
            && self.key.len() == name + line.rest.len()
            && self.key.starts_with(line.name)
            && self.key.ends_with(line.rest)
    }
}

impl Slot {
    /// Bytes it keeps alive, with its metric.
    pub(super) fn bytes(&self) -> usize {
        let metric = size_of::<MetricMeta>() + self.series.metric().name.len();
        size_of::<Option<Self>>() + self.series.footprint() + metric + 16
    }
}

impl Rules {
    pub(super) fn observers(&self, statsd_type: StatsdType) -> &Observers {
        match statsd_type {
            StatsdType::Histogram | StatsdType::Distribution => &self.histograms,
            _ => &self.timers,
        }
    }
}

impl Values {
    /// Adds a measurement that stands for `weight` of them.
    pub(super) fn observe(&mut self, plan: Plan, observers: &Observers, number: f64, weight: f64) {
        if matches!(self, Self::None) {
            *self = match plan {
                Plan::Samples => Self::Samples(Vec::new()),
                Plan::Explicit(_) => Self::Explicit(Box::default()),
                _ => Self::Exponential(Box::new(Exponential::new(observers.max_size))),
            };
        }
        match (self, plan) {
            (Self::Samples(samples), _) => samples.push((number, weight)),
            (Self::Explicit(explicit), Plan::Explicit(at)) => {
                if let Some((_, bounds)) = observers.explicit.get(at) {
                    explicit.add(bounds, number, weight as u64);
                }
            }
            (Self::Exponential(exponential), _) => exponential.add(number, weight as u64),
            _ => {}
        }
    }
}

/// Puts something into a free place; its index.
pub(super) fn place<T>(places: &mut Vec<Option<T>>, free: &mut Vec<u32>, item: Option<T>) -> u32 {
    if let Some(at) = free.pop()
        && let Some(place) = places.get_mut(at as usize)
    {
        *place = item;
        return at;
    }
    places.push(item);
    (places.len() - 1) as u32
}

pub(super) fn hash_of(slots: &[Option<Slot>], at: u32) -> u64 {
    slots.get(at as usize).and_then(Option::as_ref).map_or(0, |slot| slot.hash)
}
