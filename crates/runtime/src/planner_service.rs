//! Checking the `service` section, and references across the whole configuration.

use std::collections::BTreeMap;

use weir_config::{ComponentId, Diagnostic, Node, decode_and_validate, nearest};
use weir_core::{ComponentKind, Reference, Signal};

use crate::plan::{PlannedPipeline, entries};
use crate::planner::Planner;
use crate::service::ServiceTelemetry;

impl Planner<'_> {
    pub(crate) fn service(
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
    pub(crate) fn cross_references(&mut self, listed: &[ComponentId]) {
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

    pub(crate) fn unused(&mut self) {
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
