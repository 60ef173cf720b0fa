//! Building the graph: extensions, exporters, then each pipeline from its end, then receivers.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_core::{
    BuildCtx, BuildError, ComponentId, ComponentKind, Consumer, Extension, Extensions, Outputs,
    Processor, Receiver, Signal, Stage,
};

use crate::chain::{Chain, Link};
use crate::collector::Environment;
use crate::fanout::FanOut;
use crate::plan::{Plan, PlannedPipeline};

/// Everything built, in start order.
pub(crate) struct Graph {
    pub(crate) extensions: Vec<(ComponentId, Arc<dyn Extension>)>,
    pub(crate) exporters: Vec<(ComponentId, Signal, Arc<dyn Stage>)>,
    /// Stages of each pipeline, upstream first.
    pub(crate) stages: Vec<(ComponentId, Arc<dyn Stage>)>,
    pub(crate) transforms: Vec<Arc<dyn weir_core::Transform>>,
    pub(crate) receivers: Vec<(ComponentId, Box<dyn Receiver>, Outputs)>,
}

struct Builder<'a> {
    plan: &'a Plan,
    environment: &'a Environment,
    built: Extensions,
    graph: Graph,
    exporters: BTreeMap<(ComponentId, Signal), Arc<dyn Stage>>,
}

/// Builds all that the plan's pipelines use. Nothing is opened.
pub(crate) async fn build(plan: &Plan, environment: &Environment) -> Result<Graph, BuildError> {
    let graph = Graph {
        extensions: Vec::new(),
        exporters: Vec::new(),
        stages: Vec::new(),
        transforms: Vec::new(),
        receivers: Vec::new(),
    };
    let mut builder = Builder {
        plan,
        environment,
        built: Extensions::default(),
        graph,
        exporters: BTreeMap::new(),
    };
    builder.extensions().await?;
    let mut entries: BTreeMap<(ComponentId, Signal), Vec<Arc<dyn Consumer>>> = BTreeMap::new();
    for pipeline in &plan.pipelines {
        let entry = builder.pipeline(pipeline).await?;
        for receiver in &pipeline.receivers {
            entries
                .entry((receiver.clone(), pipeline.signal))
                .or_default()
                .push(entry.clone());
        }
    }
    builder.receivers(entries).await?;
    Ok(builder.graph)
}

fn in_component(kind: ComponentKind, id: &ComponentId, error: &BuildError) -> BuildError {
    BuildError(format!(
        "failed to build {} \"{id}\": {error}",
        kind.as_str()
    ))
}

impl Builder<'_> {
    fn context(&self, kind: ComponentKind, id: &ComponentId, signal: Option<Signal>) -> BuildCtx {
        let environment = self.environment;
        BuildCtx {
            id: id.clone(),
            kind,
            signal,
            telemetry: environment.telemetry.clone(),
            clock: environment.clock.clone(),
            interner: environment.interner.clone(),
            extensions: self.built.clone(),
            tasks: environment.tasks.clone(),
            ledger: environment.ledger.clone(),
            housekeeping: environment.housekeeping.clone(),
            data_dir: environment.data_dir.clone(),
            build_info: environment.build_info,
            gates: environment.gates.clone(),
        }
    }

    fn config(
        &self,
        kind: ComponentKind,
        id: &ComponentId,
    ) -> Result<(usize, Box<dyn std::any::Any + Send + Sync>), BuildError> {
        let planned = self
            .plan
            .components
            .get(&(kind, id.clone()))
            .ok_or_else(|| BuildError(format!("{} \"{id}\" is not configured", kind.as_str())))?;
        Ok((
            planned.entry,
            planned.config(&self.environment.registry, kind)?,
        ))
    }

    async fn extensions(&mut self) -> Result<(), BuildError> {
        let kind = ComponentKind::Extension;
        let mut map = BTreeMap::new();
        for id in &self.plan.extensions {
            let (at, config) = self.config(kind, id)?;
            let Some(entry) = self.environment.registry.extensions.get(at) else {
                continue;
            };
            let built = (entry.build)(config, self.context(kind, id, None)).await;
            let extension = built.map_err(|e| in_component(kind, id, &e))?;
            map.insert(id.clone(), extension.clone());
            self.graph.extensions.push((id.clone(), extension));
        }
        self.built = Extensions::new(map);
        Ok(())
    }

    async fn exporter(
        &mut self,
        id: &ComponentId,
        signal: Signal,
    ) -> Result<Arc<dyn Stage>, BuildError> {
        let key = (id.clone(), signal);
        if let Some(stage) = self.exporters.get(&key) {
            return Ok(stage.clone());
        }
        let kind = ComponentKind::Exporter;
        let (at, config) = self.config(kind, id)?;
        let entry = self.environment.registry.exporters.get(at);
        let entry = entry.ok_or_else(|| BuildError(format!("exporter \"{id}\" has no type")))?;
        let built = (entry.build)(config, self.context(kind, id, Some(signal))).await;
        let stage = built.map_err(|e| in_component(kind, id, &e))?;
        self.graph
            .exporters
            .push((id.clone(), signal, stage.clone()));
        self.exporters.insert(key, stage.clone());
        Ok(stage)
    }

    /// Builds one pipeline from its end; returns where receivers hand batches in.
    async fn pipeline(
        &mut self,
        pipeline: &PlannedPipeline,
    ) -> Result<Arc<dyn Consumer>, BuildError> {
        let signal = pipeline.signal;
        let mut ends: Vec<Arc<dyn Consumer>> = Vec::new();
        for id in &pipeline.exporters {
            ends.push(self.exporter(id, signal).await?);
        }
        let mut next = FanOut::of(ends);
        // Transforms that will be fused in front of `next`.
        let mut links: Vec<Link> = Vec::new();
        let mut stages = Vec::new();
        let kind = ComponentKind::Processor;
        for id in pipeline.processors.iter().rev() {
            let (at, config) = self.config(kind, id)?;
            let entry = self.environment.registry.processors.get(at);
            let entry =
                entry.ok_or_else(|| BuildError(format!("processor \"{id}\" has no type")))?;
            let behind = Chain::before(links.clone(), next.clone());
            let built = (entry.build)(config, self.context(kind, id, Some(signal)), behind).await;
            match built.map_err(|e| in_component(kind, id, &e))? {
                Processor::Transform(transform) => {
                    self.graph.transforms.push(transform.clone());
                    links.insert(
                        0,
                        Link::new(transform, &self.environment.telemetry, id.as_str(), signal),
                    );
                }
                Processor::Stage(stage) => {
                    links.clear();
                    stages.push((id.clone(), stage.clone()));
                    next = stage;
                }
            }
        }
        stages.reverse();
        self.graph.stages.extend(stages);
        Ok(Chain::before(links, next))
    }

    async fn receivers(
        &mut self,
        mut entries: BTreeMap<(ComponentId, Signal), Vec<Arc<dyn Consumer>>>,
    ) -> Result<(), BuildError> {
        let kind = ComponentKind::Receiver;
        let mut outputs: BTreeMap<ComponentId, Outputs> = BTreeMap::new();
        while let Some(((id, signal), consumers)) = entries.pop_first() {
            outputs
                .entry(id)
                .or_default()
                .set(signal, FanOut::of(consumers));
        }
        for (id, output) in outputs {
            let (at, config) = self.config(kind, &id)?;
            let entry = self.environment.registry.receivers.get(at);
            let entry =
                entry.ok_or_else(|| BuildError(format!("receiver \"{id}\" has no type")))?;
            let built = (entry.build)(config, self.context(kind, &id, None)).await;
            let receiver = built.map_err(|e| in_component(kind, &id, &e))?;
            self.graph.receivers.push((id, receiver, output));
        }
        Ok(())
    }
}
