//! Checking sections and components of the configuration.

use std::collections::{BTreeMap, BTreeSet};

use weir_config::{ComponentId, Diagnostic, Node, nearest};
use weir_core::{ComponentKind, Reference};

use crate::plan::{AnyEntry, Catalog, Planned, entries};

/// What has been found so far.
pub(crate) struct Planner<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) found: Vec<Diagnostic>,
    pub(crate) components: BTreeMap<(ComponentKind, ComponentId), Planned>,
    /// Everything declared, whether or not it could be decoded.
    pub(crate) declared: BTreeSet<(ComponentKind, ComponentId)>,
    /// Who refers to what, with the place.
    pub(crate) references: Vec<(ComponentKind, ComponentId, Reference)>,
}

impl Planner<'_> {
    pub(crate) fn error(&mut self, node: &Node, path: &str, message: String, hint: String) {
        self.found.push(
            Diagnostic::error(message)
                .at(node.place())
                .in_path(path)
                .hint(hint),
        );
    }

    pub(crate) fn top_level(&mut self, root: &Node) {
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

    pub(crate) fn section(&mut self, root: &Node, kind: ComponentKind) {
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
}
