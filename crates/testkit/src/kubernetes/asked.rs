//! What is asked of the API, and which objects that is.

use serde_json::{Value, json};

/// A request as the API understands it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// `get`, `list` or `watch`.
    pub verb: String,
    /// Such as `pods`.
    pub resource: String,
    /// Namespace, empty for all.
    pub namespace: String,
    /// Field selector.
    pub fields: String,
    /// Label selector.
    pub labels: String,
    /// Whether only metadata are wanted.
    pub metadata_only: bool,
    /// The header `Authorization`.
    pub authorization: String,
    pub(super) version: String,
    pub(super) limit: usize,
    pub(super) from: usize,
    pub(super) bookmarks: bool,
}

impl Asked {
    pub(super) fn of(target: &str, accept: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let rest = match parts.first() {
            Some(&"api") => parts.get(2..),
            _ => parts.get(3..),
        };
        let mut asked = Self {
            verb: "list".into(),
            ..Self::default()
        };
        match rest.unwrap_or_default() {
            ["namespaces", namespace, resource] => {
                (asked.namespace, asked.resource) = ((*namespace).into(), (*resource).into());
            }
            [resource] => asked.resource = (*resource).into(),
            _ => asked.verb = "get".into(),
        }
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value);
            match key {
                "watch" if value == "true" || value == "1" => asked.verb = "watch".into(),
                "fieldSelector" => asked.fields = value,
                "labelSelector" => asked.labels = value,
                "resourceVersion" => asked.version = value,
                "limit" => asked.limit = value.parse().unwrap_or_default(),
                "continue" => asked.from = value.parse().unwrap_or_default(),
                "allowWatchBookmarks" => asked.bookmarks = value == "true",
                _ => {}
            }
        }
        asked.metadata_only = accept.contains("as=PartialObjectMetadata");
        asked
    }

    pub(super) fn wants(&self, object: &Value) -> bool {
        let here =
            self.namespace.is_empty() || self.namespace == text(object, "metadata.namespace");
        let terms = |selector: &str| -> Vec<String> {
            selector
                .split(',')
                .filter(|term| !term.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let field = |term: &String| match term.split_once("!=") {
            Some((path, value)) => text(object, path) != value,
            None => {
                let (path, value) = term.split_once('=').unwrap_or((term, ""));
                text(object, path) == value.trim_start_matches('=')
            }
        };
        let label = |term: &String| {
            let get = |key: &str| object["metadata"]["labels"][key].as_str();
            if let Some(key) = term.strip_prefix('!') {
                get(key).is_none()
            } else if let Some((key, value)) = term.split_once("!=") {
                get(key) != Some(value)
            } else if let Some((key, value)) = term.split_once('=') {
                get(key) == Some(value.trim_start_matches('='))
            } else {
                get(term).is_some()
            }
        };
        here && terms(&self.fields).iter().all(field) && terms(&self.labels).iter().all(label)
    }

    pub(super) fn shape(&self, object: &Value) -> Value {
        match self.metadata_only {
            true => json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": object["metadata"]}),
            false => object.clone(),
        }
    }
}

fn decoded(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                let hex = String::from_utf8(hex).unwrap_or_default();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap_or(b'?'));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// The text at a path of an object, empty if there is none.
pub(super) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    let found = path.split('.').fold(object, |value, part| &value[part]);
    found.as_str().unwrap_or_default()
}
