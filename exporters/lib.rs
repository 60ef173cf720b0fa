//! Exporters: one folder each, one name in the table below.

weir_core::components!(ExporterEntry: debug);
