//! The detector over recorded series: what would it have said?
//!
//! Reads CSV, Prometheus and OTLP data as a stream, takes each sample through the same detector as
//! the running pipeline does, and shows the result as verdicts (CSV), a summary, an HTML report,
//! SVG and plots for a terminal. This crate knows no component.

mod csv_input;
mod input;
mod json_input;
mod live;
mod moment;
mod options;
mod otlp;
mod plan;
mod problem;
mod progress;
mod prometheus;
mod report;
mod rule;
mod run;
mod scale;
mod score;
mod slug;
mod summary;
mod svg;
mod terminal;
mod thin;
mod times;
mod track;
mod train;
mod verdicts;

pub use options::Options;
pub use problem::Problem;
pub use run::run;
pub use train::Trainer;
