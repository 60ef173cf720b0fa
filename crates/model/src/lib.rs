//! The data model: interned metric series and points, flat spans and log records, and untouched
//! OTLP bytes beside either until somebody changes something.
//!
//! A metric stream repeats the same label sets for ever, so whatever is a pure function of a label
//! set is computed once: see [`Series`], [`SeriesTable`], [`SeriesMapper`]. Spans and log records
//! are unique, so they stay records of offsets over the bytes they came in.
//! This crate knows no component, no configuration and no I/O.

pub mod attributes;
pub mod batch;
mod blocks;
mod canonical;
mod check;
pub mod error;
mod fill;
mod flat;
pub mod intern;
mod json_read;
mod json_write;
mod log_refs;
pub mod logs;
mod logs_otlp;
pub mod metrics;
mod metrics_decode;
mod metrics_encode;
mod metrics_points;
mod metrics_validate;
#[cfg(feature = "oracle")]
pub mod oracle;
#[cfg(test)]
mod oracle_tests;
pub mod point;
mod raw;
mod schema;
pub mod series;
mod span_mut;
mod span_ref;
mod store;
pub mod table;
pub mod text;
pub mod traces;
mod traces_decode;
mod traces_encode;
pub mod value;
pub mod wire;

pub use attributes::{AttributeSource, Attributes, AttributesBuilder};
pub use batch::{Batch, Charge, ClientMetadata, Data, Ledger, Signal};
pub use error::DecodeError;
pub use intern::{InternStats, Interner};
pub use logs::{LogMut, LogRef, Logs, LogsBuilder};
pub use metrics::Metrics;
pub use point::{
    Buckets, Exemplar, ExemplarValue, ExponentialHistogram, Extras, Histogram, Point, PointValue,
    Summary,
};
pub use series::{MetricKind, MetricMeta, Resource, Scope, Series, SeriesIndex, Temporality};
pub use table::{Mapped, SeriesMapper, SeriesTable};
pub use traces::{
    AttributesMut, AttributesRef, EventRef, LinkRef, SpanMut, SpanRef, Traces, TracesBuilder,
};
pub use value::{ListRef, MapRef, Value, ValueRef};
