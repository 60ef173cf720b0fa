//! Where written events go: lines of text, or requests by log stream (spec 12.1, 12.2).

use std::collections::HashMap;

use super::events::Counts;
use super::pool::Pool;
use super::tables::{NONE, Target};
use crate::cloudwatch_logs::request::{Limits, MAX_AGE_MS, MAX_AHEAD_MS, Request, Stream};

/// Where written events go.
pub(crate) trait Sink {
    /// Takes event number `at` with so many `values`; `write` appends it and returns its length.
    /// Returns false for an event that it does not take because it is too large.
    fn event(
        &mut self,
        at: u32,
        target: u32,
        time_ms: i64,
        values: usize,
        write: impl FnOnce(&mut Vec<u8>) -> usize,
    ) -> bool;

    /// So many events were made smaller, their values among them; so many values found no room.
    fn reduced(&mut self, events: u64, lost: u64);
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
    ) -> bool {
        write(&mut self.0);
        self.0.push(b'\n');
        true
    }

    fn reduced(&mut self, _events: u64, _lost: u64) {}
}

/// Requests by log stream.
#[derive(Debug)]
pub(crate) struct Requests<'a> {
    now_ms: i64,
    targets: &'a Pool<Target>,
    /// Whether events that are too large are cut, as in the reference.
    cuts: bool,
    streams: Vec<Stream>,
    index: HashMap<u32, usize, foldhash::fast::RandomState>,
    last: (u32, usize),
    room: Room,
    counts: &'a mut Counts,
}

/// Size of a stream's part of a call, so that the next call need not grow into it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Room {
    /// Bytes of requests.
    bytes: usize,
    /// Events.
    events: usize,
}

impl Room {
    /// What each stream had of these requests.
    pub(crate) fn of(requests: &[Request]) -> Self {
        let mut streams = 0;
        let mut last = None;
        for request in requests {
            if last != Some(&request.target) {
                streams += 1;
                last = Some(&request.target);
            }
        }
        let mean = |total: usize| total.checked_div(streams).unwrap_or(0);
        let bytes: usize = requests.iter().map(|r| r.body.len()).sum();
        Self {
            // A little more: values are longer one time than another.
            bytes: mean(bytes + bytes / 16),
            events: mean(requests.iter().map(|r| r.events.len()).sum()),
        }
    }
}

impl<'a> Requests<'a> {
    /// Requests for events as seen at `now_ms`.
    pub(crate) fn new(
        now_ms: i64,
        targets: &'a Pool<Target>,
        cuts: bool,
        room: Room,
        counts: &'a mut Counts,
    ) -> Self {
        Self {
            now_ms,
            targets,
            cuts,
            streams: Vec::new(),
            index: HashMap::default(),
            last: (NONE, 0),
            room,
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
    ) -> bool {
        if time_ms < self.now_ms - MAX_AGE_MS {
            self.counts.too_old += values as u64;
            return true;
        }
        if time_ms > self.now_ms + MAX_AHEAD_MS {
            self.counts.too_new += values as u64;
            return true;
        }
        if self.last.0 != target {
            let Some(names) = self.targets.get(target) else {
                return true;
            };
            let streams = &mut self.streams;
            let number = *self.index.entry(target).or_insert_with(|| {
                let mut stream = Stream::new(names.clone(), Limits::default());
                stream.reserve(self.room.bytes, self.room.events);
                streams.push(stream);
                streams.len() - 1
            });
            self.last = (target, number);
        }
        let Some(stream) = self.streams.get_mut(self.last.1) else {
            return true;
        };
        if self.cuts {
            stream.push(at, time_ms, write);
            return true;
        }
        stream.push_whole(at, time_ms, write)
    }

    fn reduced(&mut self, events: u64, lost: u64) {
        self.counts.reduced += events;
        self.counts.too_large += lost;
    }
}
