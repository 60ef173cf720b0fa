//! Exporters: one folder each, one name in the table below.
//!
//! `otlp_answer` is shared by two of them and is no component.

mod otlp_answer;

weir_core::components!(
    ExporterEntry: awsemf, awsxray, debug, otlp, otlphttp, prometheusremotewrite
);
