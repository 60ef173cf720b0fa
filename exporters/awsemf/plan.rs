//! The text of an event with holes for what changes: made once for each combination of label
//! names and metrics, filled in by copying.

use std::collections::{BTreeMap, HashMap};

use super::declarations::Measurement;
use super::encode::{embed, write_i64, write_str};
use super::limits::{self, MAX_METRICS};
use super::settings::{Settings, Version};
use super::tables::{Kind, LabelSet, NONE, Shape, Tables};

/// Bytes of plans kept; beyond, all are forgotten and made anew as needed.
const MAX_BYTES: usize = 16 << 20;

/// What a plan is made for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PlanKey {
    /// Label names and metadata.
    pub(crate) shape: u32,
    /// Namespace.
    pub(crate) namespace: u32,
    /// Metric type, where it is written (`receiver` is `prometheus`).
    pub(crate) prometheus: Option<Kind>,
    /// The metrics in order.
    pub(crate) metrics: Box<[u32]>,
}

/// What stands between two pieces of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hole {
    /// The value of a label.
    Label(u32),
    /// The value of a metric.
    Value(u32),
    /// The time, Unix milliseconds.
    Time,
    /// Nothing: the end.
    End,
}

/// An event with holes.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What it is for.
    pub(crate) key: PlanKey,
    /// Numbers of the metrics' names; all different.
    pub(crate) names: Box<[u32]>,
    text: Box<[u8]>,
    /// Ends of the pieces of text, and the holes behind them.
    pieces: Box<[(u32, Hole)]>,
    /// Number of label names.
    labels: usize,
    /// Bytes by which the text is longer than the JSON itself.
    escapes: usize,
    /// Whether every label is written; a metric may have taken the place of one.
    whole: bool,
    /// Plans of the events to write instead, each with the next 100 metrics; usually none.
    pub(crate) parts: Box<[u32]>,
    /// Whether a measurement has more metrics than an event may have.
    is_too_long: bool,
    /// Whether names were left out of the metadata because CloudWatch would not take them.
    trimmed: bool,
}

/// A member of an event.
enum Member {
    Label(u32),
    Value(u32),
    Json(Vec<u8>),
    Metadata,
    TextTime,
}

impl Plan {
    /// Makes the plan of an event. `tags` are further members, for this event only.
    pub(crate) fn new(
        key: PlanKey,
        tags: &[(&str, Vec<u8>)],
        tables: &Tables,
        settings: &Settings,
    ) -> Option<Self> {
        let shape = tables.shapes.get(key.shape)?;
        let names: Option<Box<[u32]>> = key
            .metrics
            .iter()
            .map(|m| Some(tables.metrics.get(*m)?.name))
            .collect();
        let names = names?;
        let metrics: Option<Vec<&str>> = names
            .iter()
            .map(|n| tables.names.get(*n).map(|name| &**name))
            .collect();
        let metrics = metrics?;
        let labels: Vec<&str> = shape.names.iter().map(|n| &**n).collect();
        let mut measurements = match settings.version {
            Version::Unknown => Vec::new(),
            _ => settings
                .declarations
                .measurements(&labels, shape.accepting.as_deref(), &metrics),
        };
        let mut trimmed = false;
        if settings.limits {
            trimmed = limits::hold(&mut measurements, &metrics, &key, settings.version);
        }
        let longest = measurements.iter().map(|m| m.metrics.len()).max();
        let members = members(
            &labels,
            &metrics,
            &key,
            tags,
            settings.version,
            !measurements.is_empty(),
        );
        let written = members
            .values()
            .filter(|m| matches!(m, Member::Label(_)))
            .count();
        let metadata = metadata(&measurements, &metrics, &key, shape, tables, settings);
        let mut writer = Writer::new(settings.embedded);
        for (at, (name, member)) in members.iter().enumerate() {
            writer.json(if at == 0 { b"{" } else { b"," });
            writer.string(name);
            writer.json(b":");
            match member {
                Member::Label(at) => writer.hole(Hole::Label(*at)),
                Member::Value(at) => writer.hole(Hole::Value(*at)),
                Member::Json(json) => writer.json(json),
                Member::TextTime => {
                    writer.json(b"\"");
                    writer.hole(Hole::Time);
                    writer.json(b"\"");
                }
                Member::Metadata if settings.version == Version::Zero => writer.json(&metadata),
                Member::Metadata => {
                    writer.json(b"{\"CloudWatchMetrics\":");
                    writer.json(&metadata);
                    writer.json(b",\"Timestamp\":");
                    writer.hole(Hole::Time);
                    writer.json(b"}");
                }
            }
        }
        writer.json(if members.is_empty() { b"{}" } else { b"}" });
        writer.hole(Hole::End);
        Some(Self {
            names,
            labels: labels.len(),
            whole: written == labels.len(),
            escapes: writer.escapes,
            text: writer.text.into(),
            pieces: writer.pieces.into(),
            key,
            parts: Box::default(),
            is_too_long: settings.limits && longest > Some(MAX_METRICS),
            trimmed,
        })
    }

    /// Number of label names.
    pub(crate) fn labels(&self) -> usize {
        self.labels
    }

    /// Appends the event; `values` are ranges in `arena`, by the plan's order of metrics. Returns the
    /// length of the JSON, which is less than what is appended when that is embedded.
    #[inline]
    pub(crate) fn write(
        &self,
        labels: &LabelSet,
        values: &[(u32, u32)],
        arena: &[u8],
        time: &[u8],
        out: &mut Vec<u8>,
    ) -> usize {
        let start = out.len();
        let mut from = 0;
        for (end, hole) in &self.pieces {
            let end = *end as usize;
            out.extend_from_slice(self.text.get(from..end).unwrap_or(&[]));
            from = end;
            match hole {
                Hole::Label(at) => {
                    out.extend_from_slice(labels.value(*at as usize, self.labels));
                }
                Hole::Value(at) => {
                    let range = values.get(*at as usize).copied().unwrap_or_default();
                    let value = arena.get(range.0 as usize..range.1 as usize);
                    // Values hold quotes only in the names of statistics, which `embed` took care of.
                    out.extend_from_slice(value.unwrap_or(b"0"));
                }
                Hole::Time => out.extend_from_slice(time),
                Hole::End => {}
            }
        }
        let written = out.len() - start;
        if self.whole && self.names.len() == values.len() {
            written - self.escapes - labels.escapes as usize - value_escapes(values, arena)
        } else {
            super::encode::extracted_len(out.get(start..).unwrap_or(&[]))
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.text.len()
            + self.pieces.len() * size_of::<(u32, Hole)>()
            + self.names.len() * 8
            + self.parts.len() * 4
    }
}

/// The members of an event by name; what comes later takes the place of what was there (10.1).
fn members<'a>(
    labels: &[&'a str],
    metrics: &[&'a str],
    key: &PlanKey,
    tags: &[(&'a str, Vec<u8>)],
    version: Version,
    measured: bool,
) -> BTreeMap<&'a str, Member> {
    let mut members = BTreeMap::new();
    for (name, json) in tags {
        members.insert(*name, Member::Json(json.clone()));
    }
    for (at, name) in (0..).zip(labels) {
        members.insert(*name, Member::Label(at));
    }
    for (at, name) in (0..).zip(metrics) {
        members.insert(*name, Member::Value(at));
    }
    if let Some(kind) = key.prometheus {
        let mut json = Vec::new();
        write_str(kind.prometheus(), true, &mut json);
        members.insert("prom_metric_type", Member::Json(json));
    }
    match version {
        Version::Zero => {
            members.insert("Timestamp", Member::TextTime);
            if measured {
                members.insert("Version", Member::Json(b"\"0\"".to_vec()));
                members.insert("CloudWatchMetrics", Member::Metadata);
            }
        }
        Version::One if measured => {
            members.insert("Version", Member::Json(b"\"1\"".to_vec()));
            members.insert("_aws", Member::Metadata);
        }
        Version::One | Version::Unknown => {}
    }
    members
}

/// The list of measurements.
fn metadata(
    measurements: &[Measurement<'_>],
    metrics: &[&str],
    key: &PlanKey,
    shape: &Shape,
    tables: &Tables,
    settings: &Settings,
) -> Vec<u8> {
    let mut namespace = tables.names.get(key.namespace).map_or("", |name| &**name);
    if settings.limits {
        namespace = limits::namespace(namespace);
    }
    let mut out = Vec::new();
    out.push(b'[');
    for (i, measurement) in measurements.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"Namespace\":");
        write_str(namespace, true, &mut out);
        out.extend_from_slice(b",\"Dimensions\":[");
        for (i, set) in measurement.dimensions.iter().enumerate() {
            out.extend_from_slice(if i > 0 { b",[" } else { b"[" });
            for (i, name) in set.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_str(name, true, &mut out);
            }
            out.push(b']');
        }
        out.extend_from_slice(b"],\"Metrics\":[");
        for (i, at) in measurement.metrics.iter().enumerate() {
            out.extend_from_slice(if i > 0 { b",{\"Name\":" } else { b"{\"Name\":" });
            write_str(metrics.get(*at).copied().unwrap_or(""), true, &mut out);
            out.extend_from_slice(b",\"Unit\":");
            let metric = key.metrics.get(*at).and_then(|m| tables.metrics.get(*m));
            write_str(metric.map_or("", |m| &*m.unit), true, &mut out);
            out.extend_from_slice(b",\"StorageResolution\":");
            let resolution = metric.map_or(0, |m| m.resolution);
            let seconds = if resolution == 0 { shape.resolution } else { resolution };
            write_i64(seconds, &mut out);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }
    out.push(b']');
    out
}

/// Bytes that embedding added to values. Numbers have none; statistics have quotes.
fn value_escapes(values: &[(u32, u32)], arena: &[u8]) -> usize {
    let mut escapes = 0;
    for (start, end) in values {
        // No number is that long, so that the usual value is not looked at.
        if end - start > 24 {
            let value = arena.get(*start as usize..*end as usize).unwrap_or(&[]);
            escapes += value.iter().filter(|byte| **byte == b'\\').count();
        }
    }
    escapes
}

/// Collects text and holes.
struct Writer {
    text: Vec<u8>,
    pieces: Vec<(u32, Hole)>,
    embedded: bool,
    escapes: usize,
}

impl Writer {
    fn new(embedded: bool) -> Self {
        Self {
            text: Vec::new(),
            pieces: Vec::new(),
            embedded,
            escapes: 0,
        }
    }

    fn json(&mut self, json: &[u8]) {
        let start = self.text.len();
        if self.embedded {
            embed(json, &mut self.text);
        } else {
            self.text.extend_from_slice(json);
        }
        self.escapes += self.text.len() - start - json.len();
    }

    fn string(&mut self, text: &str) {
        let mut json = Vec::with_capacity(text.len() + 2);
        write_str(text, true, &mut json);
        self.json(&json);
    }

    fn hole(&mut self, hole: Hole) {
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.pieces.push((end, hole));
    }
}

/// All plans.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    plans: Vec<Plan>,
    index: HashMap<PlanKey, u32, foldhash::fast::RandomState>,
    bytes: usize,
    /// Plans made that leave out names CloudWatch would not take.
    pub(crate) trimmed: u64,
}

impl Plans {
    /// The number of the plan for a key; [`NONE`] if it cannot be made.
    pub(crate) fn find(&mut self, key: PlanKey, tables: &Tables, settings: &Settings) -> u32 {
        if let Some(at) = self.index.get(&key) {
            return *at;
        }
        let Some(mut plan) = Plan::new(key.clone(), &[], tables, settings) else {
            return NONE;
        };
        if plan.is_too_long {
            let parts = key.metrics.chunks(MAX_METRICS).map(|metrics| {
                let part = PlanKey {
                    metrics: metrics.into(),
                    ..key
                };
                self.find(part, tables, settings)
            });
            plan.parts = parts.collect();
            (plan.text, plan.pieces) = Default::default();
        }
        let at = u32::try_from(self.plans.len()).unwrap_or(NONE);
        self.bytes += plan.bytes() + key.metrics.len() * 4 + size_of::<PlanKey>();
        self.trimmed += u64::from(plan.trimmed);
        self.plans.push(plan);
        self.index.insert(key, at);
        at
    }

    /// The plan with this number.
    #[inline]
    pub(crate) fn get(&self, at: u32) -> Option<&Plan> {
        self.plans.get(at as usize)
    }

    /// Forgets all plans.
    pub(crate) fn clear(&mut self, tables: &mut Tables) {
        self.plans.clear();
        self.index.clear();
        self.bytes = 0;
        for group in tables.groups.values_mut() {
            group.plan = NONE;
        }
    }

    /// Whether they take more room than they should. Only forgotten between calls, because events
    /// under way rely on their plans.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes > MAX_BYTES
    }

    /// Bytes the plans keep alive.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}
