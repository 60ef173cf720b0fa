//! The `resource` processor: changes the attributes of resources.
//!
//! A metric's resource is part of its series, which is changed once and remembered; of spans and
//! log records each resource of a batch is changed once. Only what comes from the sender
//! (`from_context`) is looked up batch by batch.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_config::{Errors, Validate};
use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Consumer, Data, Flow, Interner, Processor, ProcessorKind,
    Reject, Signals, Stability, Transform,
};
use weir_model::{ClientMetadata, Mapped, Resource, Series, SeriesMapper};

use crate::actions::{self, Action, ActionConfig};
use crate::mapping::map_batch;

/// Registration.
pub struct Kind;

impl ProcessorKind for Kind {
    const TYPE: &'static str = "resource";
    const STABILITY: Stability = Stability::Beta;
    const SIGNALS: Signals = Signals::ALL;
    type Config = Config;

    fn build(
        config: Config,
        cx: BuildCtx,
        _: Arc<dyn Consumer>,
    ) -> BoxFut<'static, Result<Processor, BuildError>> {
        Box::pin(async move {
            Ok(Processor::Transform(Arc::new(ResourceProcessor::new(&config, &cx))))
        })
    }
}

/// Configuration of `resource` (processors section 3).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What to do, in order.
    pub attributes: Vec<ActionConfig>,
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        if self.attributes.is_empty() {
            let text = "missing required field \"attributes\": the processor has nothing to do";
            errors.push("attributes", text, "give at least one action");
        }
        actions::compile("attributes", &self.attributes, errors);
    }
}

struct ResourceProcessor {
    actions: Vec<Action>,
    /// Whether an action depends on the sender: series are not remembered then.
    ask_sender: bool,
    interner: Arc<Interner>,
    mapper: Arc<SeriesMapper>,
}

impl ResourceProcessor {
    fn new(config: &Config, cx: &BuildCtx) -> Self {
        let mapper = Arc::<SeriesMapper>::default();
        let swept = Arc::downgrade(&mapper);
        cx.housekeeping.add(move |interner| {
            if let Some(mapper) = swept.upgrade() {
                mapper.sweep(interner);
            }
        });
        let actions = actions::compile("attributes", &config.attributes, &mut Errors::default());
        Self {
            ask_sender: actions::ask_sender(&actions),
            actions,
            interner: cx.interner.clone(),
            mapper,
        }
    }

    /// The resource after the actions; `None` if they change nothing.
    fn resource(
        &self,
        resource: &Resource,
        client: Option<&ClientMetadata>,
    ) -> Option<Arc<Resource>> {
        let mut attributes = resource.attributes.to_builder();
        actions::apply(&self.actions, &mut attributes, client);
        let attributes = attributes.build();
        if attributes == resource.attributes {
            return None;
        }
        Some(self.interner.resource(Resource {
            attributes,
            ..resource.clone()
        }))
    }

    fn map(&self, series: &Arc<Series>, client: Option<&ClientMetadata>) -> Mapped {
        match self.resource(series.resource(), client) {
            None => Mapped::Same,
            Some(resource) => {
                let labels = series.labels().clone();
                let (scope, metric) = (series.scope(), series.metric());
                Mapped::To(self.interner.series(&resource, scope, metric, labels))
            }
        }
    }
}

impl Transform for ResourceProcessor {
    fn apply(&self, batch: &mut Batch) -> Result<Flow, Reject> {
        let client = batch.client.clone();
        let client = client.as_deref();
        match &mut batch.data {
            Data::Metrics(metrics) if self.ask_sender => {
                // For this batch only: another sender's answer is another one.
                map_batch(metrics, |series| self.map(series, client));
            }
            Data::Metrics(metrics) => {
                self.mapper.apply(metrics, 0, |series| self.map(series, None));
            }
            Data::Traces(traces) => {
                traces.map_resources(|resource| self.resource(resource, client));
            }
            Data::Logs(logs) => logs.map_resources(|resource| self.resource(resource, client)),
        }
        Ok(Flow::Pass)
    }
}
