//! The whole configuration, checked: every component decoded, every reference resolved.
//!
//! Nothing is opened and nothing stops at the first error: all of them come back together
//! (config-and-cli section 7, CFG-26..45).

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};

use weir_config::{ComponentId, Diagnostic, Diagnostics, Node};
use weir_core::{Checked, ComponentKind, Registry, Signal};

use crate::planner::Planner;
use crate::service::ServiceTelemetry;

/// What can be configured: the components here, and what is known of others.
#[derive(Clone, Copy)]
pub struct Catalog {
    /// Components of this build.
    pub registry: Registry,
    /// Components of the reference that this build does not offer, by section.
    pub elsewhere: &'static [(ComponentKind, &'static [&'static str])],
    /// Components that were removed or renamed, and what to use.
    pub removed: &'static [(ComponentKind, &'static str, &'static str)],
}

/// A component's place and configuration.
pub struct Planned {
    /// Id as written.
    pub id: ComponentId,
    /// Index in its family's table.
    pub entry: usize,
    /// The configuration's node; each instance decodes its own typed copy.
    pub node: Node,
    /// With all defaults, secrets masked.
    pub print: weir_core::registry::Json,
    /// Whether a pipeline or the service uses it.
    pub used: bool,
}

/// One pipeline.
#[derive(Clone, Debug)]
pub struct PlannedPipeline {
    /// Id as written, such as `metrics/app`.
    pub id: String,
    /// Its signal.
    pub signal: Signal,
    /// Receiver ids.
    pub receivers: Vec<ComponentId>,
    /// Processor ids, in order.
    pub processors: Vec<ComponentId>,
    /// Exporter ids.
    pub exporters: Vec<ComponentId>,
}

/// A configuration that can be built.
pub struct Plan {
    /// Components by section and id.
    pub components: BTreeMap<(ComponentKind, ComponentId), Planned>,
    /// Pipelines in order.
    pub pipelines: Vec<PlannedPipeline>,
    /// `service.extensions` in order.
    pub extensions: Vec<ComponentId>,
    /// `service.telemetry`.
    pub telemetry: ServiceTelemetry,
    /// What is doubtful.
    pub warnings: Vec<Diagnostic>,
}

/// Entry of any family, as far as checking needs it.
pub(crate) struct AnyEntry {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) signals: weir_core::Signals,
    pub(crate) check: fn(&Node, &str) -> Result<Checked, Vec<Diagnostic>>,
}

pub(crate) fn entries(registry: &Registry, kind: ComponentKind) -> Vec<AnyEntry> {
    macro_rules! list {
        ($table:expr) => {
            $table
                .iter()
                .map(|e| AnyEntry {
                    name: e.name,
                    aliases: e.aliases,
                    signals: e.signals,
                    check: e.check,
                })
                .collect()
        };
    }
    match kind {
        ComponentKind::Receiver => list!(registry.receivers),
        ComponentKind::Processor => list!(registry.processors),
        ComponentKind::Exporter => list!(registry.exporters),
        ComponentKind::Extension => list!(registry.extensions),
    }
}

const KINDS: [ComponentKind; 4] = [
    ComponentKind::Receiver,
    ComponentKind::Processor,
    ComponentKind::Exporter,
    ComponentKind::Extension,
];

/// Checks the resolved tree.
pub fn plan(root: &Node, catalog: &Catalog) -> Result<Plan, Diagnostics> {
    let mut planner = Planner {
        catalog,
        found: Vec::new(),
        components: BTreeMap::new(),
        declared: BTreeSet::new(),
        references: Vec::new(),
    };
    planner.top_level(root);
    for kind in KINDS {
        planner.section(root, kind);
    }
    let service = root.get("service").filter(|s| !s.is_null());
    let (pipelines, extensions, telemetry) = planner.service(root, service);
    planner.cross_references(&extensions);
    planner.unused();
    let (errors, warnings): (Vec<_>, Vec<_>) =
        planner.found.into_iter().partition(Diagnostic::is_error);
    if !errors.is_empty() {
        let mut all = Diagnostics(errors);
        all.0.extend(warnings);
        all.sort();
        return Err(all);
    }
    Ok(Plan {
        components: planner.components,
        pipelines,
        extensions,
        telemetry,
        warnings,
    })
}

impl Planned {
    /// A fresh typed configuration for one instance.
    pub(crate) fn config(
        &self,
        registry: &Registry,
        kind: ComponentKind,
    ) -> Result<Box<dyn Any + Send + Sync>, weir_core::BuildError> {
        let path = format!("{}.{}", kind.section(), self.id);
        let table = entries(registry, kind);
        let entry = table
            .get(self.entry)
            .ok_or_else(|| weir_core::BuildError(format!("{path}: no such type")))?;
        (entry.check)(&self.node, &path)
            .map(|checked| checked.config)
            .map_err(|found| weir_core::BuildError(Diagnostics(found).to_string()))
    }
}
