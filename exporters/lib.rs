//! Exporters: one folder each, one name in the table below.
//!
//! `cloudwatch_logs` and `otlp_answer` are shared by two of them each and are no components.

mod cloudwatch_logs;
mod otlp_answer;

weir_core::components!(
    ExporterEntry: awscloudwatchlogs, awsemf, awsxray, debug, otlp, otlphttp, prometheusremotewrite
);
