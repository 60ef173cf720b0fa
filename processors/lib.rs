//! Processors: one folder each, one name in the table below.

weir_core::components!(ProcessorEntry: anomaly, batch, memory_limiter);
