//! Receivers: one folder each, one name in the table below.
//!
//! `discovery` finds targets for those that scrape and is no component.

mod discovery;

weir_core::components!(ReceiverEntry: awsecscontainermetrics, awsxray, otlp, prometheus, statsd);
