//! What series share, kept once: label sets, shapes, metrics, places, and the groups made of them.
//!
//! A *shape* is what a label set is without its values; event plans (see `plan`) depend on shapes,
//! so that thousands of label sets share one plan.

use std::hash::{Hash, Hasher};

use weir_model::MetricMeta;

use super::encode::{embed, extract, extracted_len, parse_json_text, write_str};
use super::labels::Labels;
use super::pool::{Footprint, Pool};
use super::settings::Settings;
pub(crate) use crate::cloudwatch_logs::request::Target;

/// A number that stands for no value.
pub(crate) const NONE: u32 = u32::MAX;

/// Label names and what else of the labels decides about an event's metadata.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    /// Names of the fields, sorted.
    pub(crate) names: Box<[Box<str>]>,
    /// `StorageResolution` of the metrics, seconds.
    pub(crate) resolution: i64,
    /// Declarations whose label matchers accept the labels.
    pub(crate) accepting: Option<Box<[u16]>>,
}

impl Footprint for Shape {
    fn footprint(&self) -> usize {
        let names: usize = self
            .names
            .iter()
            .map(|n| n.len() + size_of::<Box<str>>())
            .sum();
        size_of::<Self>() + names + self.accepting.as_ref().map_or(0, |a| a.len() * 2)
    }
}

/// The values of a shape's names, as JSON ready to be copied.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct LabelSet {
    /// The shape.
    pub(crate) shape: u32,
    /// Bytes by which `text` is longer than the JSON itself, because it is embedded.
    pub(crate) escapes: u32,
    /// For each name the end of its value in the text (u32, little endian), then the text.
    data: Box<[u8]>,
}

impl Footprint for LabelSet {
    fn footprint(&self) -> usize {
        size_of::<Self>() + self.data.len()
    }
}

impl LabelSet {
    fn new(shape: u32, values: &[Vec<u8>], embedded: bool) -> Self {
        let mut text = Vec::new();
        let mut data = Vec::with_capacity(values.len() * 4);
        for value in values {
            if embedded {
                embed(value, &mut text);
            } else {
                text.extend_from_slice(value);
            }
            let end = u32::try_from(text.len()).unwrap_or(u32::MAX);
            data.extend_from_slice(&end.to_le_bytes());
        }
        let escapes = if embedded {
            text.len() - extracted_len(&text)
        } else {
            0
        };
        data.extend_from_slice(&text);
        Self {
            shape,
            escapes: u32::try_from(escapes).unwrap_or(u32::MAX),
            data: data.into(),
        }
    }

    /// Reads a byte of each of its first lines of memory.
    pub(crate) fn touch(&self) -> u8 {
        self.data.iter().step_by(64).take(4).fold(0, |seen, byte| seen ^ byte)
    }

    /// The same with each text of more than `most` characters cut to so many; nothing if there is
    /// none. Only for embedded sets.
    #[cold]
    pub(crate) fn shortened(&self, names: usize, most: usize) -> Option<Self> {
        let mut changed = false;
        let values: Vec<Vec<u8>> = (0..names)
            .map(|at| {
                let json = extract(self.value(at, names));
                let text = Some(&json).filter(|json| json.len() > most);
                let Some(text) = text.and_then(|j| serde_json::from_slice::<String>(j).ok()) else {
                    return json;
                };
                let Some((end, _)) = text.char_indices().nth(most) else {
                    return json;
                };
                changed = true;
                let mut json = Vec::new();
                write_str(text.get(..end).unwrap_or(""), true, &mut json);
                json
            })
            .collect();
        changed.then(|| Self::new(self.shape, &values, true))
    }

    /// The value of name `at`, out of `names`.
    #[inline]
    pub(crate) fn value(&self, at: usize, names: usize) -> &[u8] {
        let end = |at: usize| {
            let bytes = self.data.get(at * 4..at * 4 + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize + names * 4)
        };
        let start = match at.checked_sub(1) {
            Some(before) => end(before),
            None => Some(names * 4),
        };
        let range = start
            .zip(end(at))
            .and_then(|(start, end)| self.data.get(start..end));
        range.unwrap_or(&[])
    }
}

/// A metric as it appears in events.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct MetricDefinition {
    /// Number of its name, by which duplicates are told.
    pub(crate) name: u32,
    /// CloudWatch unit.
    pub(crate) unit: Box<str>,
    /// `StorageResolution`, seconds; 0: that of the labels.
    pub(crate) resolution: i64,
}

impl Footprint for MetricDefinition {
    fn footprint(&self) -> usize {
        size_of::<Self>() + self.unit.len()
    }
}

impl Footprint for Box<str> {
    fn footprint(&self) -> usize {
        size_of::<Self>() + self.len()
    }
}

impl Footprint for Target {
    fn footprint(&self) -> usize {
        size_of::<Self>() + self.group.len() + self.stream.len()
    }
}

/// OTLP metric types; they never share an event (EMF-42).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Gauge.
    Gauge,
    /// Sum of any temporality.
    Sum,
    /// Explicit-bucket histogram.
    Histogram,
    /// Exponential histogram.
    Exponential,
    /// Summary.
    Summary,
}

impl Kind {
    /// `prom_metric_type` (EMF-45).
    pub(crate) fn prometheus(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Sum => "counter",
            Self::Histogram => "histogram",
            Self::Exponential => "",
            Self::Summary => "summary",
        }
    }
}

/// Points that share events, whatever their time: labels, namespace, place and type.
#[derive(Debug)]
pub(crate) struct Group {
    /// Label set.
    pub(crate) labels: u32,
    /// Namespace (a name).
    pub(crate) namespace: u32,
    /// Log stream.
    pub(crate) target: u32,
    /// Type.
    pub(crate) kind: Kind,
    /// The plan its last event had.
    pub(crate) plan: u32,
    /// The call in which it last had an event, that event and its time.
    pub(crate) call: u32,
    /// Event in that call.
    pub(crate) event: u32,
    /// Time of the event, Unix milliseconds.
    pub(crate) time_ms: i64,
}

impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        (self.labels, self.namespace, self.target, self.kind)
            == (other.labels, other.namespace, other.target, other.kind)
    }
}

impl Eq for Group {}

impl Hash for Group {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.labels, self.namespace, self.target, self.kind).hash(state);
    }
}

impl Footprint for Group {
    fn footprint(&self) -> usize {
        size_of::<Self>()
    }
}

/// All shared values.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// Shapes.
    pub(crate) shapes: Pool<Shape>,
    /// Label sets.
    pub(crate) labels: Pool<LabelSet>,
    /// Names of metrics and namespaces.
    pub(crate) names: Pool<Box<str>>,
    /// Metrics.
    pub(crate) metrics: Pool<MetricDefinition>,
    /// Log streams.
    pub(crate) targets: Pool<Target>,
    /// Groups.
    pub(crate) groups: Pool<Group>,
}

impl Tables {
    /// The number of a label set.
    pub(crate) fn label_set(&mut self, labels: &Labels, settings: &Settings) -> u32 {
        let shape = self.shapes.intern(Shape {
            names: labels.fields().map(|(name, _)| name.into()).collect(),
            resolution: labels.resolution().unwrap_or(60),
            accepting: settings.declarations.accepting(|name| {
                labels
                    .fields()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| value)
            }),
        });
        let values: Vec<Vec<u8>> = labels
            .fields()
            .map(|(name, value)| field_json(name, value, settings))
            .collect();
        self.labels
            .intern(LabelSet::new(shape, &values, settings.embedded))
    }

    /// The number of a metric that is called `name` in events; unit and resolution are those that
    /// the settings have for `meta`.
    pub(crate) fn metric(&mut self, name: &str, meta: &MetricMeta, settings: &Settings) -> u32 {
        let name = self.names.intern(name.into());
        self.metrics.intern(MetricDefinition {
            name,
            unit: settings.unit(&meta.name, &meta.unit).into(),
            resolution: settings.resolution(&meta.name),
        })
    }

    /// The number of a group.
    pub(crate) fn group(&mut self, labels: u32, namespace: u32, target: u32, kind: Kind) -> u32 {
        self.groups.intern(Group {
            labels,
            namespace,
            target,
            kind,
            plan: NONE,
            call: 0,
            event: NONE,
            time_ms: 0,
        })
    }

    /// Bytes all values keep alive.
    pub(crate) fn bytes(&self) -> usize {
        self.shapes.bytes()
            + self.labels.bytes()
            + self.names.bytes()
            + self.metrics.bytes()
            + self.targets.bytes()
            + self.groups.bytes()
    }

    /// Drops groups and metrics that are not marked and what only they used. Returns whether
    /// something went that plans refer to.
    pub(crate) fn retain(&mut self, groups: &Marks, metrics: &Marks) -> bool {
        self.groups.retain(|at| groups.has(at));
        self.metrics.retain(|at| metrics.has(at));
        let mut labels = Marks::new(self.labels.slots());
        let mut names = Marks::new(self.names.slots());
        let mut targets = Marks::new(self.targets.slots());
        let mut shapes = Marks::new(self.shapes.slots());
        for (_, group) in self.groups.iter() {
            labels.set(group.labels);
            names.set(group.namespace);
            targets.set(group.target);
        }
        for (_, metric) in self.metrics.iter() {
            names.set(metric.name);
        }
        self.labels.retain(|at| labels.has(at));
        for (_, set) in self.labels.iter() {
            shapes.set(set.shape);
        }
        let before = self.shapes.len() + self.names.len() + self.metrics.len();
        self.shapes.retain(|at| shapes.has(at));
        self.names.retain(|at| names.has(at));
        self.targets.retain(|at| targets.has(at));
        let after = self.shapes.len() + self.names.len() + self.metrics.len();
        before != after
    }
}

/// A label's value as a member of the event: text, or the JSON it holds (EMF-48).
fn field_json(name: &str, value: &str, settings: &Settings) -> Vec<u8> {
    if settings.json_labels.contains(name)
        && let Some(json) = parse_json_text(value)
    {
        return json;
    }
    let mut json = Vec::with_capacity(value.len() + 2);
    write_str(value, true, &mut json);
    json
}

/// A set of numbers.
#[derive(Debug)]
pub(crate) struct Marks(Vec<bool>);

impl Marks {
    /// An empty set of numbers below `slots`.
    pub(crate) fn new(slots: usize) -> Self {
        Self(vec![false; slots])
    }

    /// Adds a number.
    pub(crate) fn set(&mut self, at: u32) {
        if let Some(mark) = self.0.get_mut(at as usize) {
            *mark = true;
        }
    }

    /// Whether a number is in it.
    pub(crate) fn has(&self, at: u32) -> bool {
        self.0.get(at as usize).copied().unwrap_or(false)
    }
}
