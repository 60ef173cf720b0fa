//! The `attributes` processor: changes attributes of spans, log records and data points.
//!
//! A series is changed once and remembered; only what comes from the sender (`from_context`) is
//! looked up batch by batch.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::warn;
use weir_config::{Errors, Validate};
use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Consumer, Data, Flow, Interner, Processor, ProcessorKind,
    Reject, Signal, Signals, Stability, Transform,
};
use weir_model::{ClientMetadata, Mapped, Series, SeriesMapper};

use crate::actions::{self, Action, ActionConfig};
use crate::mapping::map_batch;
use crate::matching::{MatchConfig, Selection};

/// Registration.
pub struct Kind;

impl ProcessorKind for Kind {
    const TYPE: &'static str = "attributes";
    const STABILITY: Stability = Stability::Beta;
    const SIGNALS: Signals = Signals::ALL;
    type Config = Config;

    fn build(
        config: Config,
        cx: BuildCtx,
        _: Arc<dyn Consumer>,
    ) -> BoxFut<'static, Result<Processor, BuildError>> {
        Box::pin(async move {
            Ok(Processor::Transform(Arc::new(AttributesProcessor::new(&config, &cx)?)))
        })
    }
}

/// Configuration of `attributes` (processors section 3).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What to do, in order.
    pub actions: Vec<ActionConfig>,
    /// Works on these only.
    pub include: Option<MatchConfig>,
    /// Works not on these.
    pub exclude: Option<MatchConfig>,
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        if self.actions.is_empty() {
            let text = "missing required field \"actions\": the processor has nothing to do";
            errors.push("actions", text, "give at least one action");
        }
        actions::compile("actions", &self.actions, errors);
        Selection::compile(self.include.as_ref(), self.exclude.as_ref(), errors);
    }
}

struct AttributesProcessor {
    actions: Vec<Action>,
    /// Whether an action depends on the sender: series are not remembered then.
    ask_sender: bool,
    selection: Selection,
    interner: Arc<Interner>,
    mapper: Arc<SeriesMapper>,
}

impl AttributesProcessor {
    fn new(config: &Config, cx: &BuildCtx) -> Result<Self, BuildError> {
        let signal = cx.signal.unwrap_or(Signal::Traces);
        let (include, exclude) = (config.include.as_ref(), config.exclude.as_ref());
        for (place, part) in [("include", include), ("exclude", exclude)] {
            let says_nothing = |c: &&MatchConfig| c.metric_names.is_empty() && c.resources.is_empty();
            if signal == Signal::Metrics && part.filter(says_nothing).is_some() {
                warn!(
                    "otelcol.component.id" = %cx.id, "otelcol.component.kind" = "processor",
                    "`{place}` has neither `metric_names` nor `resources`: it selects no metrics and is left out"
                );
            }
        }
        let mapper = Arc::<SeriesMapper>::default();
        let swept = Arc::downgrade(&mapper);
        cx.housekeeping.add(move |interner| {
            if let Some(mapper) = swept.upgrade() {
                mapper.sweep(interner);
            }
        });
        let actions = actions::compile("actions", &config.actions, &mut Errors::default());
        Ok(Self {
            ask_sender: actions::ask_sender(&actions),
            actions,
            selection: Selection::build(include, exclude, signal)?,
            interner: cx.interner.clone(),
            mapper,
        })
    }

    fn map(&self, series: &Arc<Series>, client: Option<&ClientMetadata>) -> Mapped {
        if !self.selection.takes_series(series) {
            return Mapped::Same;
        }
        let mut labels = series.labels().to_builder();
        actions::apply(&self.actions, &mut labels, client);
        let labels = labels.build();
        if labels == *series.labels() {
            return Mapped::Same;
        }
        let (resource, scope, metric) = (series.resource(), series.scope(), series.metric());
        Mapped::To(self.interner.series(resource, scope, metric, labels))
    }
}

impl Transform for AttributesProcessor {
    fn apply(&self, batch: &mut Batch) -> Result<Flow, Reject> {
        let client = batch.client.clone();
        let client = client.as_deref();
        let mut asking = self.selection.ask();
        match &mut batch.data {
            Data::Metrics(metrics) if self.ask_sender => {
                // For this batch only: another sender's answer is another one.
                map_batch(metrics, |series| self.map(series, client));
            }
            Data::Metrics(metrics) => {
                self.mapper.apply(metrics, 0, |series| self.map(series, None));
            }
            Data::Traces(traces) => traces.for_each_mut(|span| {
                if self.selection.is_everything() || asking.takes_span(span.as_ref()) {
                    actions::apply(&self.actions, span, client);
                }
            }),
            Data::Logs(logs) => logs.for_each_mut(|record| {
                if self.selection.is_everything() || asking.takes_record(record.as_ref()) {
                    actions::apply(&self.actions, record, client);
                }
            }),
        }
        Ok(Flow::Pass)
    }
}
