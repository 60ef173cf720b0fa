//! Receivers: one folder each, one name in the table below.

weir_core::components!(ReceiverEntry: awsxray, otlp, prometheus, statsd);
