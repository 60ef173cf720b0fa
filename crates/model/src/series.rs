//! What a metric stream is: resource, scope, metric and labels, shared and immutable.

use std::sync::Arc;

use crate::attributes::Attributes;
use crate::intern::IndexPool;

/// The producing entity (OTLP `Resource` and the schema URL beside it).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resource {
    /// Resource attributes.
    pub attributes: Attributes,
    /// Attributes the sender left out.
    pub dropped_attributes: u32,
    /// Schema URL of the resource block.
    pub schema_url: Box<str>,
}

/// The instrumentation scope and the schema URL beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Library name.
    pub name: Box<str>,
    /// Library version.
    pub version: Box<str>,
    /// Scope attributes.
    pub attributes: Attributes,
    /// Attributes the sender left out.
    pub dropped_attributes: u32,
    /// Schema URL of the scope block.
    pub schema_url: Box<str>,
}

/// Aggregation temporality of sums and histograms. Senders may leave it unspecified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Temporality {
    /// Not said.
    #[default]
    Unspecified,
    /// Since the last report.
    Delta,
    /// Since the start time.
    Cumulative,
}

impl Temporality {
    /// From the OTLP enum; unknown values count as unspecified.
    pub fn from_otlp(value: i32) -> Self {
        match value {
            1 => Self::Delta,
            2 => Self::Cumulative,
            _ => Self::Unspecified,
        }
    }
    /// As the OTLP enum.
    pub fn to_otlp(self) -> u64 {
        match self {
            Self::Unspecified => 0,
            Self::Delta => 1,
            Self::Cumulative => 2,
        }
    }
}

/// Type of a metric's points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Last value.
    Gauge,
    /// Sum of measurements.
    Sum {
        /// Delta or cumulative.
        temporality: Temporality,
        /// Only ever grows.
        monotonic: bool,
    },
    /// Explicit-bucket histogram.
    Histogram {
        /// Delta or cumulative.
        temporality: Temporality,
    },
    /// Base-2 exponential histogram.
    ExponentialHistogram {
        /// Delta or cumulative.
        temporality: Temporality,
    },
    /// Quantiles computed by the sender.
    Summary,
}

/// What all points of a metric share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MetricMeta {
    /// Metric name.
    pub name: Box<str>,
    /// UCUM unit.
    pub unit: Box<str>,
    /// Free text.
    pub description: Box<str>,
    /// Type, temporality, monotonicity.
    pub kind: MetricKind,
    /// OTLP `Metric.metadata` (for example `prometheus.type`).
    pub metadata: Attributes,
}

impl MetricMeta {
    /// A metric with a name and a type, the rest empty.
    pub fn new(name: &str, kind: MetricKind) -> Self {
        Self {
            name: name.into(),
            unit: "".into(),
            description: "".into(),
            kind,
            metadata: Attributes::default(),
        }
    }
}

/// Place of a series in side tables: dense, reused only with a new generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeriesIndex {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl SeriesIndex {
    /// A series that passed over the intern budget: it has no place in side tables.
    pub const NONE: SeriesIndex = SeriesIndex {
        slot: u32::MAX,
        generation: 0,
    };
}

/// Where series come from: what all series of a resource and scope share.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) resource: Arc<Resource>,
    pub(crate) scope: Arc<Scope>,
    /// Takes indices back when series die.
    pub(crate) pool: Arc<IndexPool>,
}

impl Origin {
    /// Whether these are its very resource and scope, not only equal ones.
    pub(crate) fn is_of(&self, resource: &Arc<Resource>, scope: &Arc<Scope>) -> bool {
        Arc::ptr_eq(&self.resource, resource) && Arc::ptr_eq(&self.scope, scope)
    }
}

/// One metric stream. Canonical: equal content is the same `Arc` while it is interned.
///
/// There may be millions: 48 bytes, 64 with the counts of the `Arc`. Equal labels of different
/// metrics and targets are one allocation.
#[derive(Debug)]
pub struct Series {
    pub(crate) origin: Arc<Origin>,
    pub(crate) metric: Arc<MetricMeta>,
    pub(crate) labels: Attributes,
    pub(crate) index: SeriesIndex,
    pub(crate) hash: u64,
}

impl Series {
    /// The resource.
    pub fn resource(&self) -> &Arc<Resource> {
        &self.origin.resource
    }
    /// The instrumentation scope.
    pub fn scope(&self) -> &Arc<Scope> {
        &self.origin.scope
    }
    /// Name, unit, type.
    pub fn metric(&self) -> &Arc<MetricMeta> {
        &self.metric
    }
    /// Data point attributes.
    pub fn labels(&self) -> &Attributes {
        &self.labels
    }
    /// Place in side tables.
    pub fn index(&self) -> SeriesIndex {
        self.index
    }
    /// Hash of the content, the same after a restart and on another machine (xxh3-64).
    pub fn stable_hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn same_content(
        &self,
        resource: &Resource,
        scope: &Scope,
        metric: &MetricMeta,
        labels: &Attributes,
    ) -> bool {
        self.labels == *labels
            && *self.metric == *metric
            && *self.origin.resource == *resource
            && *self.origin.scope == *scope
    }

    /// Bytes this series keeps alive: its fixed part and its labels, as if it alone had them.
    pub fn footprint(&self) -> usize {
        Self::FIXED_BYTES + self.labels.as_bytes().len()
    }

    /// Bytes of a series without its labels: with the counts of the `Arc`, the place in the table
    /// and the generation of the index.
    pub(crate) const FIXED_BYTES: usize = size_of::<Series>() + 5 * size_of::<usize>();
}

impl Drop for Series {
    fn drop(&mut self) {
        if self.index != SeriesIndex::NONE {
            self.origin.pool.release(self.index);
        }
    }
}

/// xxh3-64 over the parts of a series, each with its length, so that parts cannot run together.
pub(crate) fn content_hash(
    resource: &Resource,
    scope: &Scope,
    metric: &MetricMeta,
    labels: &Attributes,
) -> u64 {
    let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(resource.attributes.as_bytes());
    part(resource.schema_url.as_bytes());
    part(scope.name.as_bytes());
    part(scope.version.as_bytes());
    part(scope.attributes.as_bytes());
    part(scope.schema_url.as_bytes());
    part(metric.name.as_bytes());
    part(metric.unit.as_bytes());
    let (kind, temporality, monotonic) = match metric.kind {
        MetricKind::Gauge => (0u8, Temporality::Unspecified, false),
        MetricKind::Sum {
            temporality,
            monotonic,
        } => (1, temporality, monotonic),
        MetricKind::Histogram { temporality } => (2, temporality, false),
        MetricKind::ExponentialHistogram { temporality } => (3, temporality, false),
        MetricKind::Summary => (4, Temporality::Unspecified, false),
    };
    part(&[kind, temporality.to_otlp() as u8, u8::from(monotonic)]);
    part(labels.as_bytes());
    hasher.digest()
}
