//! Exporters: one folder each, one name in the table below.
//!
//! `cloudwatch_logs`, `otlp_answer` and `prometheus_labels` are shared by two of them each and are no components.

mod cloudwatch_logs;
mod otlp_answer;
mod prometheus_labels;

weir_core::components!(
    ExporterEntry: awscloudwatchlogs, awsemf, awsxray, debug, otlp, otlphttp, prometheus, prometheusremotewrite
);
