//! The `resourcedetection` processor: adds to resources what is known of where the process runs.
//!
//! Detectors are asked when the processor is built, once for all pipelines of an id. A metric's
//! resource is part of its series, which is changed once and remembered; of spans and log records
//! each resource of a batch is changed once.

mod config;
mod detection;
mod detectors;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod shared;
#[cfg(test)]
mod tests;
mod world;

use std::sync::Arc;

use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Consumer, Data, Flow, Interner, Processor, ProcessorKind,
    Reject, Signals, Stability, Transform,
};
use weir_model::{Mapped, Resource, Series, SeriesMapper};

pub use config::Config;
use detection::Found;
use shared::Shared;
use world::{Machine, World};

/// Registration.
pub struct Kind;

impl ProcessorKind for Kind {
    const TYPE: &'static str = "resource_detection";
    const ALIASES: &'static [&'static str] = &["resourcedetection"];
    const STABILITY: Stability = Stability::Beta;
    const SIGNALS: Signals = Signals::ALL;
    type Config = Config;

    fn build(
        config: Config,
        cx: BuildCtx,
        _: Arc<dyn Consumer>,
    ) -> BoxFut<'static, Result<Processor, BuildError>> {
        Box::pin(async move {
            let shared = Shared::of(&config, &cx, || {
                let ec2 = &config.ec2;
                Arc::new(Machine::new(ec2.max_attempts, ec2.max_backoff.to_std())) as Arc<dyn World>
            });
            shared.detect().await.map_err(BuildError)?;
            Ok(Processor::Transform(Arc::new(ResourceDetection::new(&config, &cx, shared))))
        })
    }
}

struct ResourceDetection {
    /// Whether what is detected replaces what the resource has.
    replace: bool,
    shared: Arc<Shared>,
    interner: Arc<Interner>,
    mapper: Arc<SeriesMapper>,
}

impl ResourceDetection {
    fn new(config: &Config, cx: &BuildCtx, shared: Arc<Shared>) -> Self {
        let mapper = Arc::<SeriesMapper>::default();
        let swept = Arc::downgrade(&mapper);
        cx.housekeeping.add(move |interner| {
            if let Some(mapper) = swept.upgrade() {
                mapper.sweep(interner);
            }
        });
        Self {
            replace: config.replace,
            shared,
            interner: cx.interner.clone(),
            mapper,
        }
    }

    /// The resource with what was detected; `None` if that changes nothing.
    fn resource(&self, found: &Found, resource: &Resource) -> Option<Arc<Resource>> {
        let mut attributes = resource.attributes.to_builder();
        for (key, value) in &found.attributes {
            if self.replace || attributes.get(key).is_none() {
                attributes.set_value(key, value);
            }
        }
        let attributes = attributes.build();
        // Of two schemas the resource's own stays.
        let schema_url = match resource.schema_url.is_empty() {
            true => found.schema_url.into(),
            false => resource.schema_url.clone(),
        };
        if attributes == resource.attributes && schema_url == resource.schema_url {
            return None;
        }
        Some(self.interner.resource(Resource {
            attributes,
            schema_url,
            ..resource.clone()
        }))
    }

    fn map(&self, found: &Found, series: &Arc<Series>) -> Mapped {
        match self.resource(found, series.resource()) {
            None => Mapped::Same,
            Some(resource) => {
                let labels = series.labels().clone();
                let (scope, metric) = (series.scope(), series.metric());
                Mapped::To(self.interner.series(&resource, scope, metric, labels))
            }
        }
    }
}

impl Transform for ResourceDetection {
    fn apply(&self, batch: &mut Batch) -> Result<Flow, Reject> {
        let (found, epoch) = self.shared.current();
        match &mut batch.data {
            Data::Metrics(metrics) => {
                self.mapper.apply(metrics, epoch, |series| self.map(&found, series));
            }
            Data::Traces(traces) => traces.map_resources(|resource| self.resource(&found, resource)),
            Data::Logs(logs) => logs.map_resources(|resource| self.resource(&found, resource)),
        }
        Ok(Flow::Pass)
    }
}
