//! Receivers: one folder each, one name in the table below.

mod prometheus;

weir_core::components!(ReceiverEntry: otlp);
