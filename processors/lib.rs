//! Processors: one folder each, one name in the table below.
//!
//! `actions`, `mapping`, `matching` and `streams` are shared by several of them and are no components.

mod actions;
#[cfg(test)]
mod golden;
mod mapping;
mod matching;
mod streams;
#[cfg(test)]
mod testing;

weir_core::components!(ProcessorEntry: anomaly, attributes, batch, cumulativetodelta, deltatocumulative, deltatorate, filter, #[cfg(feature = "kubernetes")] k8sattributes, memory_limiter, metricsgeneration, metricstransform, resource, resourcedetection);
