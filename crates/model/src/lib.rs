//! The data model: interned metric series and points, flat spans and log records, and untouched
//! OTLP bytes beside either until somebody changes something.
//!
//! A metric stream repeats the same label sets for ever, so whatever is a pure function of a label
//! set is computed once: see [`Series`], [`SeriesTable`], [`SeriesMapper`]. Spans and log records
//! are unique, so they stay records of offsets over the bytes they came in.
//! This crate knows no component, no configuration and no I/O. The decisions about order, duplicates
//! and what is dropped are in docs/ARCHITECTURE.md, "Data model".
//!
//! | you want to | use |
//! |---|---|
//! | take a request | [`Metrics::from_otlp`], [`Traces::from_json`] and their like |
//! | read | [`Metrics::points`], [`Traces::spans`], [`Logs::records`] |
//! | compute something once per series | [`SeriesTable`] |
//! | change labels, or drop series by them | [`SeriesMapper`] |
//! | change points | [`Metrics::points_mut`] |
//! | change spans or log records | [`Traces::for_each_mut`], [`Logs::for_each_mut`] |
//! | change or drop by resource | [`Traces::map_resources`], [`Logs::map_resources`] |
//! | make data | [`Interner::series`] with [`Metrics::from_points`], [`TracesBuilder`], [`LogsBuilder`] |
//! | send | `wire_chunks` when nothing changed, else `encode_otlp` or `to_json` |
//!
//! ```
//! # use std::sync::Arc;
//! use weir_model::{Attributes, Interner, MetricKind, MetricMeta, Metrics, Point, PointValue};
//! use weir_model::{Resource, Scope, SeriesTable};
//!
//! let interner = Interner::default();
//! let resource = interner.resource(Resource::default());
//! let scope = interner.scope(Scope::default());
//! let metric = interner.metric(MetricMeta::new("queue.depth", MetricKind::Gauge));
//! let labels = Attributes::from_iter([("queue", "orders")]);
//! let series = interner.series(&resource, &scope, &metric, labels);
//! let batch = Metrics::from_points(vec![
//!     Point::new(series.clone(), 0, 1_000, PointValue::Int(3)),
//!     Point::new(series, 0, 2_000, PointValue::Int(4)),
//! ]);
//!
//! let mut names: SeriesTable<String> = SeriesTable::default();
//! let mut made = 0;
//! for point in batch.points() {
//!     names.get_or_insert_with(&point.series, || {
//!         made += 1;
//!         point.series.metric().name.replace('.', "_")
//!     });
//! }
//! assert_eq!((batch.len(), made), (2, 1));
//! ```

mod accumulate;
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
mod touch;
pub mod traces;
mod traces_decode;
mod traces_encode;
pub mod value;
pub mod wire;

pub use accumulate::NotAddable;
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
pub use touch::touch;
pub use traces::{
    AttributesMut, AttributesRef, EventRef, LinkRef, SpanMut, SpanRef, Traces, TracesBuilder,
};
pub use value::{ListRef, MapRef, Value, ValueRef};
