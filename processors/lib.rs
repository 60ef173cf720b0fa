//! Processors: one folder each, one name in the table below.

weir_core::components!(ProcessorEntry: batch, memory_limiter);
