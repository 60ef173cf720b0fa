//! Receivers: one folder each, one name in the table below.

weir_core::components!(ReceiverEntry: awsecscontainermetrics, awsxray, otlp, prometheus, statsd);
