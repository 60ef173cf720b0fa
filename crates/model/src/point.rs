//! Data points: a value at a time for an interned series.

use std::sync::Arc;

use crate::attributes::Attributes;
use crate::series::Series;
use crate::value::Value;

/// OTLP data point flag: there is no value (staleness marker).
pub const FLAG_NO_RECORDED_VALUE: u32 = 1;

/// One data point.
#[derive(Clone, Debug)]
pub struct Point {
    /// The stream it belongs to.
    pub series: Arc<Series>,
    /// Start of the aggregation, Unix nanoseconds, 0 if not said.
    pub start_ns: u64,
    /// Time of the value, Unix nanoseconds.
    pub time_ns: u64,
    /// The value.
    pub value: PointValue,
    /// OTLP data point flags.
    pub flags: u32,
    /// Exemplars and tags, for the few points that have them.
    pub extras: Option<Box<Extras>>,
}

impl Point {
    /// A point without flags and extras.
    pub fn new(series: Arc<Series>, start_ns: u64, time_ns: u64, value: PointValue) -> Self {
        Self {
            series,
            start_ns,
            time_ns,
            value,
            flags: 0,
            extras: None,
        }
    }

    /// Whether this is a staleness marker.
    pub fn is_stale(&self) -> bool {
        self.flags & FLAG_NO_RECORDED_VALUE != 0
    }

    /// Adds a tag; see [`Extras::tags`].
    pub fn tag(&mut self, key: &'static str, value: Value) {
        self.extras.get_or_insert_default().tags.push((key, value));
    }

    /// The tags.
    pub fn tags(&self) -> &[(&'static str, Value)] {
        self.extras.as_ref().map_or(&[], |e| &e.tags)
    }

    /// The exemplars.
    pub fn exemplars(&self) -> &[Exemplar] {
        self.extras.as_ref().map_or(&[], |e| &e.exemplars)
    }
}

/// A point's value.
#[derive(Clone, Debug, PartialEq)]
pub enum PointValue {
    /// Number point without a value set.
    Empty,
    /// Integer number point.
    Int(i64),
    /// Double number point.
    Double(f64),
    /// Explicit-bucket histogram.
    Histogram(Box<Histogram>),
    /// Exponential histogram.
    ExponentialHistogram(Box<ExponentialHistogram>),
    /// Summary.
    Summary(Box<Summary>),
}

impl PointValue {
    /// A number point's value as a double.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            PointValue::Int(i) => Some(*i as f64),
            PointValue::Double(d) => Some(*d),
            _ => None,
        }
    }
}

/// Explicit-bucket histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Number of observations.
    pub count: u64,
    /// Sum of observations.
    pub sum: Option<f64>,
    /// Smallest observation.
    pub min: Option<f64>,
    /// Largest observation.
    pub max: Option<f64>,
    /// Count per bucket; one more than bounds, or empty.
    pub bucket_counts: Vec<u64>,
    /// Upper bounds, ascending, inclusive.
    pub explicit_bounds: Vec<f64>,
}

/// Buckets of one side of an exponential histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// Index of the first bucket.
    pub offset: i32,
    /// Counts from the offset on.
    pub counts: Vec<u64>,
}

/// Base-2 exponential histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExponentialHistogram {
    /// Number of observations.
    pub count: u64,
    /// Sum of observations.
    pub sum: Option<f64>,
    /// Smallest observation.
    pub min: Option<f64>,
    /// Largest observation.
    pub max: Option<f64>,
    /// Bucket base is 2^(2^-scale).
    pub scale: i32,
    /// Observations within the zero threshold.
    pub zero_count: u64,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Positive side, if sent.
    pub positive: Option<Buckets>,
    /// Negative side, if sent.
    pub negative: Option<Buckets>,
}

/// Quantiles computed by the sender.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Number of observations.
    pub count: u64,
    /// Sum of observations.
    pub sum: f64,
    /// (quantile 0..=1, value) pairs as sent.
    pub quantiles: Vec<(f64, f64)>,
}

/// What only few points carry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extras {
    /// Exemplars.
    pub exemplars: Vec<Exemplar>,
    /// Tags such as `anomaly.score`. Not labels: they never change the series; exporters write
    /// them in their own way (OTLP: point attributes, EMF: plain fields, remote write: left out).
    pub tags: Vec<(&'static str, Value)>,
}

/// A measurement that stands for many, with its trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exemplar {
    /// Unix nanoseconds.
    pub time_ns: u64,
    /// Value, if sent.
    pub value: Option<ExemplarValue>,
    /// Trace id, empty or 16 bytes.
    pub trace_id: Box<[u8]>,
    /// Span id, empty or 8 bytes.
    pub span_id: Box<[u8]>,
    /// Attributes that aggregation removed.
    pub filtered_attributes: Attributes,
}

/// An exemplar's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ExemplarValue {
    /// Integer.
    Int(i64),
    /// Double.
    Double(f64),
}
