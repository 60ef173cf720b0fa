//! The Prometheus side of weir: exposition formats, the series cache of a scrape target,
//! relabelling, name rules between OTLP and Prometheus, and the remote-write encoders.
//!
//! Pure functions and state; no I/O, no clock, and nothing here knows a component.

pub mod cache;
pub mod exposition;
pub mod float;
pub mod labels;
pub mod naming;
pub mod relabel;
pub mod selector;
pub mod write;
