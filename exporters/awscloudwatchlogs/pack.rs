//! Log records to requests.

use std::hash::Hash;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{Equivalent, HashMap};
use weir_model::{LogRef, Logs, Resource, Scope};

use super::config::Config;
use super::names;
use super::record::{Ending, write};
use crate::cloudwatch_logs::json::{escape, label_text};
use crate::cloudwatch_logs::request::{Limits, MAX_AGE_MS, MAX_AHEAD_MS, Request, Stream, Target};

/// What a batch becomes.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// Requests by log stream, in order; their events are numbered by record.
    pub(super) streams: Vec<Vec<Request>>,
    /// What is not sent.
    pub(super) left_out: LeftOut,
    /// Events that were cut because they were too large.
    pub(super) cut: u64,
}

/// Records that CloudWatch Logs would refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Older than 14 days.
    pub(super) too_old: u64,
    /// More than two hours ahead.
    pub(super) too_new: u64,
    /// Without text (`raw_log`).
    pub(super) empty: u64,
}

/// A log stream by name, to look it up.
#[derive(Clone, Copy, Hash)]
struct Named<'n> {
    group: &'n str,
    stream: &'n str,
}

impl Equivalent<Target> for Named<'_> {
    fn equivalent(&self, target: &Target) -> bool {
        *self.group == *target.group && *self.stream == *target.stream
    }
}

/// Where records of a resource go, and how those of a scope in it end.
struct Context<'b> {
    resource: &'b Arc<Resource>,
    scope: &'b Arc<Scope>,
    group: String,
    stream: String,
    /// Number of that stream, once something went there.
    number: Option<usize>,
    ending: Ending,
}

/// Packs one batch.
struct Packer<'c> {
    config: &'c Config,
    limits: Limits,
    now_ms: i64,
    streams: Vec<Stream>,
    numbers: HashMap<Target, usize, RandomState>,
    left_out: LeftOut,
    cut: u64,
}

/// The requests for a batch that is sent at `now_ms` (Unix milliseconds).
pub(super) fn pack(logs: &Logs, config: &Config, now_ms: i64) -> Packed {
    let mut packer = Packer {
        config,
        limits: config.limits(),
        now_ms,
        streams: Vec::new(),
        numbers: HashMap::default(),
        left_out: LeftOut::default(),
        cut: 0,
    };
    let mut context: Option<Context<'_>> = None;
    for (number, record) in (0u32..).zip(logs.records()) {
        let known = context.as_mut().filter(|context| context.is_of(record));
        let context = match known {
            Some(context) => context,
            None => {
                let next = packer.context(record, context.take());
                context.insert(next)
            }
        };
        packer.add(number, record, context);
    }
    packer.finish()
}

impl Context<'_> {
    fn is_of(&self, record: LogRef<'_>) -> bool {
        Arc::ptr_eq(self.resource, record.resource()) && Arc::ptr_eq(self.scope, record.scope())
    }
}

impl Packer<'_> {
    fn context<'b>(&self, record: LogRef<'b>, before: Option<Context<'b>>) -> Context<'b> {
        let (resource, scope) = (record.resource(), record.scope());
        let ending = if self.config.raw_log {
            Ending::default()
        } else {
            Ending::new(resource, scope)
        };
        match before.filter(|before| Arc::ptr_eq(before.resource, resource)) {
            Some(before) => Context {
                scope,
                ending,
                ..before
            },
            None => Context {
                resource,
                scope,
                group: names::fill(&self.config.log_group_name, &resource.attributes),
                stream: names::fill(&self.config.log_stream_name, &resource.attributes),
                number: None,
                ending,
            },
        }
    }

    fn add(&mut self, number: u32, record: LogRef<'_>, context: &mut Context<'_>) {
        let time_ms = match i64::try_from(record.time_ns() / 1_000_000) {
            Ok(time_ms) if time_ms > 0 => time_ms,
            // The time of observation is not looked at, as in the reference.
            _ => self.now_ms,
        };
        if time_ms < self.now_ms - MAX_AGE_MS {
            self.left_out.too_old += 1;
        } else if time_ms > self.now_ms + MAX_AHEAD_MS {
            self.left_out.too_new += 1;
        } else if self.config.raw_log {
            self.add_raw(number, time_ms, record, context);
        } else {
            let stream = self.own_stream(context);
            if let Some(stream) = self.streams.get_mut(stream) {
                stream.push(number, time_ms, |out| write(record, &context.ending, out));
            }
        }
    }

    /// Adds the body as it is.
    fn add_raw(&mut self, number: u32, time_ms: i64, record: LogRef<'_>, context: &mut Context<'_>) {
        let text = label_text(record.body());
        if text.is_empty() {
            self.left_out.empty += 1;
            return;
        }
        let stream = match names::asked_for(&text) {
            Some((group, stream)) => self.stream(Named {
                group: &group,
                stream: stream.as_deref().unwrap_or(&context.stream),
            }),
            None => self.own_stream(context),
        };
        let short = self.limits.cut(&text);
        self.cut += u64::from(short.is_some());
        let text = short.as_deref().unwrap_or(&text);
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.push(number, time_ms, |out| {
                escape(text, false, out);
                text.len()
            });
        }
    }

    /// Number of the stream that the configuration names.
    fn own_stream(&mut self, context: &mut Context<'_>) -> usize {
        if let Some(number) = context.number {
            return number;
        }
        let number = self.stream(Named {
            group: &context.group,
            stream: &context.stream,
        });
        context.number = Some(number);
        number
    }

    fn stream(&mut self, named: Named<'_>) -> usize {
        if let Some(number) = self.numbers.get(&named) {
            return *number;
        }
        let target = Target {
            group: named.group.into(),
            stream: named.stream.into(),
        };
        let number = self.streams.len();
        self.streams.push(Stream::new(target.clone(), self.limits));
        self.numbers.insert(target, number);
        number
    }

    fn finish(self) -> Packed {
        let cut_by_stream: u64 = self.streams.iter().map(|stream| stream.cut).sum();
        Packed {
            cut: self.cut + cut_by_stream,
            left_out: self.left_out,
            streams: self.streams.into_iter().map(Stream::into_requests).collect(),
        }
    }
}
