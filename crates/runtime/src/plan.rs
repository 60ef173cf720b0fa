//! The whole configuration, checked: every component decoded, every reference resolved.
//!
//! Nothing is opened and nothing stops at the first error: all of them come back together
//! (config-and-cli §7, CFG-26..45).

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};

use weir_config::{ComponentId, Diagnostic, Diagnostics, Node, decode_and_validate, nearest};
use weir_core::{Checked, ComponentKind, Reference, Registry, Signal};

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
    name: &'static str,
    aliases: &'static [&'static str],
    pub(crate) signals: weir_core::Signals,
    check: fn(&Node, &str) -> Result<Checked, Vec<Diagnostic>>,
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

struct Planner<'a> {
    catalog: &'a Catalog,
    found: Vec<Diagnostic>,
    components: BTreeMap<(ComponentKind, ComponentId), Planned>,
    /// Everything declared, whether or not it could be decoded.
    declared: BTreeSet<(ComponentKind, ComponentId)>,
    /// Who refers to what, with the place.
    references: Vec<(ComponentKind, ComponentId, Reference)>,
}

impl Planner<'_> {
    fn error(&mut self, node: &Node, path: &str, message: String, hint: String) {
        self.found.push(
            Diagnostic::error(message)
                .at(node.place())
                .in_path(path)
                .hint(hint),
        );
    }

    fn top_level(&mut self, root: &Node) {
        let known = [
            "receivers",
            "processors",
            "exporters",
            "extensions",
            "connectors",
            "service",
        ];
        if root.entries().is_empty() {
            self.error(root, "", "empty configuration file".into(), String::new());
            return;
        }
        for entry in root.entries() {
            if !known.contains(&entry.key.as_str()) {
                let hint = nearest(&entry.key, known).map_or_else(
                    || format!("known sections: {}", known.join(", ")),
                    |n| format!("did you mean `{n}`?"),
                );
                self.error(
                    &entry.value,
                    &entry.key,
                    format!("unknown section `{}`", entry.key),
                    hint,
                );
            }
        }
        for (section, what) in [("receivers", "receiver"), ("exporters", "exporter")] {
            if root.get(section).is_none_or(|s| s.entries().is_empty()) {
                let place = root.get(section).unwrap_or(root).clone();
                let message = format!("no {what} configuration specified in config");
                self.error(
                    &place,
                    section,
                    message,
                    format!("add at least one {what} under `{section}:`"),
                );
            }
        }
        if let Some(connectors) = root.get("connectors") {
            for entry in connectors.entries() {
                let path = format!("connectors.{}", entry.key);
                let message = format!("unknown connector type `{}`", entry.key);
                self.error(
                    &entry.value,
                    &path,
                    message,
                    "no connectors are offered, as in the reference".into(),
                );
            }
        }
    }

    fn section(&mut self, root: &Node, kind: ComponentKind) {
        let Some(section) = root.get(kind.section()) else {
            return;
        };
        if !section.is_null() && section.as_map().is_none() {
            let message = format!(
                "`{}` must be a map of components, not {}",
                kind.section(),
                section.kind()
            );
            self.error(section, kind.section(), message, String::new());
        }
        let table = entries(&self.catalog.registry, kind);
        for entry in section.entries() {
            self.component(kind, &table, &entry.key, &entry.value);
        }
    }

    fn component(&mut self, kind: ComponentKind, table: &[AnyEntry], key: &str, node: &Node) {
        let path = format!("{}.{key}", kind.section());
        let id = match ComponentId::parse(key) {
            Ok(id) => id,
            Err(error) => return self.error(node, &path, error.to_string(), String::new()),
        };
        if !self.declared.insert((kind, id.clone())) {
            let message = format!("{} `{id}` is declared twice", kind.as_str());
            return self.error(node, &path, message, "remove one of them".into());
        }
        let found = table
            .iter()
            .position(|e| e.name == id.kind() || e.aliases.contains(&id.kind()));
        let Some((at, entry)) = found.and_then(|at| Some((at, table.get(at)?))) else {
            return self.unknown_type(kind, table, &id, node, &path);
        };
        if entry.name != id.kind() {
            let text = format!(
                "\"{}\" alias is deprecated; use \"{}\" instead",
                id.kind(),
                entry.name
            );
            self.found
                .push(Diagnostic::warning(text).at(node.place()).in_path(&path));
        }
        match (entry.check)(node, &path) {
            Ok(checked) => {
                self.found.extend(checked.warnings);
                for reference in checked.references {
                    self.references.push((kind, id.clone(), reference));
                }
                let planned = Planned {
                    id: id.clone(),
                    entry: at,
                    node: node.clone(),
                    print: checked.print,
                    used: false,
                };
                self.components.insert((kind, id), planned);
            }
            Err(found) => self.found.extend(found),
        }
    }

    fn unknown_type(
        &mut self,
        kind: ComponentKind,
        table: &[AnyEntry],
        id: &ComponentId,
        node: &Node,
        path: &str,
    ) {
        let what = kind.as_str();
        if let Some((_, _, hint)) = self
            .catalog
            .removed
            .iter()
            .find(|(k, n, _)| *k == kind && *n == id.kind())
        {
            let message = format!("the {what} `{}` was removed", id.kind());
            return self.error(node, path, message, (*hint).to_owned());
        }
        let mut names: Vec<&str> = table.iter().map(|e| e.name).collect();
        names.sort_unstable();
        let elsewhere = self
            .catalog
            .elsewhere
            .iter()
            .filter(|(k, _)| *k == kind)
            .flat_map(|(_, names)| *names);
        let known = format!("valid {}: {}", kind.section(), names.join(", "));
        if elsewhere.into_iter().any(|name| *name == id.kind()) {
            let message = format!(
                "{what} `{}` exists in the reference but is not offered yet",
                id.kind()
            );
            return self.error(node, path, message, known);
        }
        let hint = match nearest(id.kind(), names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? {known}"),
            None => known,
        };
        self.error(
            node,
            path,
            format!("unknown {what} type `{}`", id.kind()),
            hint,
        );
    }

    fn service(
        &mut self,
        root: &Node,
        service: Option<&Node>,
    ) -> (Vec<PlannedPipeline>, Vec<ComponentId>, ServiceTelemetry) {
        let Some(service) = service else {
            let hint = "add `service: {pipelines: {...}}`".to_owned();
            self.error(
                root,
                "service",
                "service must have at least one pipeline".into(),
                hint,
            );
            return Default::default();
        };
        let known = ["extensions", "pipelines", "telemetry"];
        for entry in service.entries() {
            if !known.contains(&entry.key.as_str()) {
                let hint = nearest(&entry.key, known).map_or_else(
                    || format!("known keys: {}", known.join(", ")),
                    |n| format!("did you mean `{n}`?"),
                );
                let path = format!("service.{}", entry.key);
                self.error(
                    &entry.value,
                    &path,
                    format!("unknown key `{}`", entry.key),
                    hint,
                );
            }
        }
        let telemetry = service.get("telemetry").map(|node| {
            match decode_and_validate::<ServiceTelemetry>(node, "service.telemetry") {
                Ok(decoded) => {
                    self.found.extend(decoded.warnings);
                    decoded.value
                }
                Err(found) => {
                    self.found.extend(found);
                    ServiceTelemetry::default()
                }
            }
        });
        let extensions = self.extension_list(service);
        let pipelines = service.get("pipelines").filter(|p| !p.entries().is_empty());
        if pipelines.is_none() {
            let hint = "add a pipeline under `service.pipelines`".to_owned();
            self.error(
                service,
                "service.pipelines",
                "service must have at least one pipeline".into(),
                hint,
            );
        }
        let pipelines = pipelines.map(Node::entries).unwrap_or_default();
        let pipelines = pipelines
            .iter()
            .filter_map(|e| self.pipeline(&e.key, &e.value))
            .collect();
        (pipelines, extensions, telemetry.unwrap_or_default())
    }

    fn extension_list(&mut self, service: &Node) -> Vec<ComponentId> {
        let mut list = Vec::new();
        let Some(node) = service.get("extensions").filter(|n| !n.is_null()) else {
            return list;
        };
        for (id, place) in self.ids(node, "service.extensions") {
            if self.resolve(
                ComponentKind::Extension,
                &id,
                &place,
                "service::extensions",
                "service.extensions",
            ) && !list.contains(&id)
            {
                list.push(id);
            }
        }
        list
    }

    /// Ids of a list node (or of `a,b`), with their places.
    fn ids(&mut self, node: &Node, path: &str) -> Vec<(ComponentId, Node)> {
        let texts: Vec<(String, Node)> = match (node.as_list(), node.as_str()) {
            (Some(items), _) => items
                .iter()
                .map(|n| (n.scalar_text().unwrap_or_default().into_owned(), n.clone()))
                .collect(),
            (None, Some(text)) => text
                .split(',')
                .map(|t| (t.to_owned(), node.clone()))
                .collect(),
            (None, None) if node.is_null() => Vec::new(),
            (None, None) => {
                let message = format!("expected a list of component ids, got {}", node.kind());
                self.error(node, path, message, String::new());
                Vec::new()
            }
        };
        let mut ids = Vec::new();
        for (text, place) in texts {
            match ComponentId::parse(&text) {
                Ok(id) => ids.push((id, place)),
                Err(error) => self.error(&place, path, error.to_string(), String::new()),
            }
        }
        ids
    }

    /// Whether a reference leads somewhere; marks what it leads to as used.
    fn resolve(
        &mut self,
        kind: ComponentKind,
        id: &ComponentId,
        place: &Node,
        from: &str,
        path: &str,
    ) -> bool {
        if let Some(planned) = self.components.get_mut(&(kind, id.clone())) {
            planned.used = true;
            return true;
        }
        let key = (kind, id.clone());
        if !self.declared.contains(&key) {
            let what = kind.as_str();
            let message = format!("{from}: references {what} \"{id}\" which is not configured");
            let declared = self
                .declared
                .iter()
                .filter(|(k, _)| *k == kind)
                .map(|(_, id)| id.as_str());
            let hint = match nearest(id.as_str(), declared) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("declare `{id}` under `{}:`", kind.section()),
            };
            self.error(place, path, message, hint);
        }
        false
    }

    fn pipeline(&mut self, name: &str, node: &Node) -> Option<PlannedPipeline> {
        let path = format!("service.pipelines.{name}");
        let id = match ComponentId::parse(name) {
            Ok(id) => id,
            Err(error) => {
                self.error(node, &path, error.to_string(), String::new());
                return None;
            }
        };
        let Some(signal) = Signal::ALL.into_iter().find(|s| s.as_str() == id.kind()) else {
            let hint = nearest(id.kind(), ["traces", "metrics", "logs"]).map_or_else(
                || "use traces, metrics or logs".into(),
                |near| format!("did you mean `{near}`?"),
            );
            self.error(
                node,
                &path,
                format!("unknown pipeline signal `{}`", id.kind()),
                hint,
            );
            return None;
        };
        let known = ["receivers", "processors", "exporters"];
        for entry in node.entries() {
            if !known.contains(&entry.key.as_str()) {
                let hint = nearest(&entry.key, known)
                    .map_or_else(String::new, |n| format!("did you mean `{n}`?"));
                let path = format!("{path}.{}", entry.key);
                self.error(
                    &entry.value,
                    &path,
                    format!("unknown key `{}`", entry.key),
                    hint,
                );
            }
        }
        let receivers = self.members(node, &path, name, ComponentKind::Receiver, signal);
        let processors = self.members(node, &path, name, ComponentKind::Processor, signal);
        let exporters = self.members(node, &path, name, ComponentKind::Exporter, signal);
        Some(PlannedPipeline {
            id: id.to_string(),
            signal,
            receivers,
            processors,
            exporters,
        })
    }

    fn members(
        &mut self,
        node: &Node,
        path: &str,
        name: &str,
        kind: ComponentKind,
        signal: Signal,
    ) -> Vec<ComponentId> {
        let what = kind.as_str();
        let path = format!("{path}.{}", kind.section());
        let from = format!("service::pipelines::{name}");
        let empty = Node::empty_map(node.place().clone());
        let list = node.get(kind.section()).unwrap_or(&empty);
        let ids = if list.as_map().is_some() {
            Vec::new()
        } else {
            self.ids(list, &path)
        };
        if ids.is_empty() && kind != ComponentKind::Processor {
            self.error(
                node,
                &path,
                format!("{from}: must have at least one {what}"),
                String::new(),
            );
        }
        let table = entries(&self.catalog.registry, kind);
        let mut members: Vec<ComponentId> = Vec::new();
        for (id, place) in ids {
            if members.contains(&id) {
                if kind == ComponentKind::Processor {
                    let message = format!("{from}: references processor \"{id}\" multiple times");
                    self.error(&place, &path, message, "list it once".into());
                }
                continue;
            }
            if !self.resolve(kind, &id, &place, &from, &path) {
                continue;
            }
            let planned = self.components.get(&(kind, id.clone()));
            let entry = planned.and_then(|p| table.get(p.entry));
            if entry.is_some_and(|e| !e.signals.contains(signal)) {
                let message = format!(
                    "failed to create \"{id}\" {what} for data type \"{signal}\": telemetry type is not supported"
                );
                self.error(
                    &place,
                    &path,
                    message,
                    format!("remove `{id}` from pipeline `{name}`"),
                );
                continue;
            }
            members.push(id);
        }
        members
    }

    /// Authenticators and storages must be declared and listed; no two listeners on one port.
    fn cross_references(&mut self, listed: &[ComponentId]) {
        let mut listeners: BTreeMap<String, String> = BTreeMap::new();
        for (kind, id, reference) in std::mem::take(&mut self.references) {
            let path = format!("{}.{id}", kind.section());
            // What no pipeline uses is never built, so it may refer to what is not there.
            let Some(planned) = self.components.get(&(kind, id)).filter(|p| p.used) else {
                continue;
            };
            let node = planned.node.clone();
            match reference {
                Reference::Extension { id, role, key } => {
                    if listed.contains(&id) {
                        continue;
                    }
                    let declared = self
                        .declared
                        .contains(&(ComponentKind::Extension, id.clone()));
                    let place = place_of(&node, key).clone();
                    let hint = if declared {
                        format!("list it: `service: {{extensions: [{id}]}}`")
                    } else {
                        format!(
                            "add these lines:\n  extensions:\n    {id}:\n  service:\n    extensions: [{id}]"
                        )
                    };
                    let message = if declared {
                        format!(
                            "{role} `{id}` is declared but not listed under `service.extensions`"
                        )
                    } else {
                        format!("{role} `{id}` not found")
                    };
                    self.error(&place, &format!("{path}.{key}"), message, hint);
                }
                Reference::Listen { address, key } => {
                    let here = format!("{path}.{key}");
                    let free = address.ends_with(":0");
                    if let Some(other) = listeners.insert(address.clone(), here.clone())
                        && !free
                    {
                        let place = place_of(&node, key).clone();
                        let message =
                            format!("address `{address}` is used twice, also by `{other}`");
                        self.error(
                            &place,
                            &here,
                            message,
                            "give one of them another port".into(),
                        );
                    }
                }
            }
        }
    }

    fn unused(&mut self) {
        for ((kind, id), planned) in &self.components {
            if !planned.used {
                let text = format!("{} `{id}` is declared but not used", kind.as_str());
                let path = format!("{}.{id}", kind.section());
                self.found.push(
                    Diagnostic::warning(text)
                        .at(planned.node.place())
                        .in_path(path),
                );
            }
        }
    }
}

/// The node at a dotted key path, or as deep as it goes.
fn place_of<'a>(node: &'a Node, key: &str) -> &'a Node {
    key.split('.')
        .fold(node, |node, part| node.get(part).unwrap_or(node))
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
