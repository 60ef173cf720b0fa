//! From a checked configuration to a running graph: plan, build, start, stop.
//!
//! The runtime moves [`weir_core::Batch`] values and never looks into them. It knows components
//! only through the [`weir_core::Registry`].

pub mod chain;
pub mod collector;
pub mod fanout;
mod graph;
pub mod plan;
mod planner;
mod planner_service;
pub mod service;

pub use chain::Chain;
pub use collector::{Collector, Environment};
pub use fanout::FanOut;
pub use plan::{Catalog, Plan, Planned, PlannedPipeline, plan};
pub use service::{LogsTelemetry, MetricsLevel, MetricsTelemetry, ServiceTelemetry};
