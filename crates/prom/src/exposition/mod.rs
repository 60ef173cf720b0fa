//! The exposition formats: Prometheus text 0.0.4 and 1.0.0, OpenMetrics 0.0.1 and 1.0.0, and
//! protobuf.
//!
//! The text scanner accepts and refuses exactly what the parser of Prometheus does (PROM-69 to
//! PROM-72): it checks syntax, not semantics. It reads a body in blocks, gives out slices of it,
//! and does not allocate per sample. What a line *means* is decoded only when the series cache
//! does not know it: see [`crate::cache`].

mod error;
mod number;
mod open_metrics;
pub mod protobuf;
mod protocol;
mod scanner;
mod series;
mod text;

pub use error::{ParseError, Reason};
pub use number::{NORMAL_NAN_BITS, STALE_NAN_BITS};
pub use protocol::{
    EscapingScheme, MediaType, ScrapeProtocol, UnknownProtocol, accept_header, media_type,
};
pub use scanner::{Block, Expected, Scanner, TextFormat};
pub use series::{InvalidSeries, NameScheme};

/// Type of a metric family as the exposition formats name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MetricType {
    /// A value that only grows, apart from resets.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// A classic or native histogram.
    Histogram,
    /// A histogram whose counts may fall.
    GaugeHistogram,
    /// Quantiles, sum and count.
    Summary,
    /// Labels with the value 1.
    Info,
    /// A set of booleans.
    StateSet,
    /// No type given, or `untyped`.
    #[default]
    Unknown,
}

impl MetricType {
    /// The word for it, as in the OTLP metadata `prometheus.type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::Unknown => "unknown",
        }
    }
}

/// What the scanner found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step<'a> {
    /// A sample line.
    Sample(Sample<'a>),
    /// A `# TYPE`, `# HELP` or `# UNIT` line.
    Metadata(Metadata<'a>),
    /// The block ends within a line: give the rest of it again, with more behind it.
    NeedMore,
    /// The exposition is complete.
    End,
}

/// A sample line. If it is not `known`, the scanner holds its labels until the next step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    /// Name and labels as written: the key of the series cache.
    pub series: &'a [u8],
    /// Whether the line is the one that was expected; then its labels were not looked at.
    pub known: bool,
    /// The value; a NaN has the bits [`NORMAL_NAN_BITS`].
    pub value: f64,
    /// Explicit time in milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    /// The exemplar of an OpenMetrics line; its labels are with the scanner until the next step.
    pub exemplar: Option<Exemplar<'a>>,
}

/// Value and time of an exemplar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar<'a> {
    /// The line, which the label spans of the scanner refer to.
    pub(crate) line: &'a [u8],
    /// The value.
    pub value: f64,
    /// Its time in milliseconds since the epoch, if given.
    pub timestamp_ms: Option<i64>,
}

/// A metadata line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metadata<'a> {
    /// The line without its end: the key of the series cache.
    pub line: &'a [u8],
    /// What it says; `None` if the line is the expected one.
    pub entry: Option<MetadataEntry<'a>>,
}

/// What a metadata line says about a family. Names and texts are as written; see
/// [`unescape_help`] and [`Scanner::format`] for the escapes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetadataEntry<'a> {
    /// `# TYPE name word`
    Type(&'a str, MetricType),
    /// `# HELP name text`
    Help(&'a str, &'a str),
    /// `# UNIT name unit`
    Unit(&'a str, &'a str),
}

/// Undoes the escapes of a help text: `\\` and `\n`, and in OpenMetrics also `\"`. Other
/// backslashes stay.
#[must_use]
pub fn unescape_help(text: &str, format: TextFormat) -> std::borrow::Cow<'_, str> {
    series::unescape(text, format == TextFormat::OpenMetrics)
}

#[cfg(test)]
mod tests;
