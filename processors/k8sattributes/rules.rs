//! What is added, put in a form that is quick to follow.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use weir_kube::Metadata;

use super::config::{Config, FieldRule, From};

/// Pod annotations with this prefix name an attribute.
const OTEL_PREFIX: &str = "resource.opentelemetry.io/";

/// What the configuration asks for.
#[derive(Debug)]
pub(super) struct Rules {
    fields: BTreeSet<String>,
    labels: Vec<MapRule>,
    annotations: Vec<MapRule>,
    pub(super) otel_annotations: bool,
    /// Names of deployments are made of those of replica sets.
    pub(super) derive_deployment: bool,
}

/// A rule for labels or annotations.
#[derive(Debug)]
struct MapRule {
    from: From,
    /// Name of the attribute, or what it is made of; empty for the default.
    tag: String,
    /// Start of default names.
    prefix: String,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    One(String),
    Matching(Regex),
}

impl MapRule {
    fn new(rule: &FieldRule, what: &str) -> Option<Self> {
        let (owner, plural) = match rule.from {
            From::Pod => ("pod", "s"),
            From::Namespace => ("namespace", "s"),
            From::Node => ("node", "s"),
            From::Deployment => ("deployment", ""),
            From::StatefulSet => ("statefulset", ""),
            From::DaemonSet => ("daemonset", ""),
            From::Job => ("job", ""),
        };
        let keys = match rule.key_regex.is_empty() {
            true => Keys::One(rule.key.clone()),
            // Checked with the configuration.
            false => Keys::Matching(rule.pattern().ok()?),
        };
        Some(Self {
            from: rule.from,
            tag: rule.tag_name.clone(),
            prefix: format!("k8s.{owner}.{what}{plural}."),
            keys,
        })
    }

    fn apply(&self, map: &BTreeMap<String, String>, found: &mut BTreeMap<String, String>) {
        let default = |key: &str| format!("{}{key}", self.prefix);
        match &self.keys {
            Keys::One(key) => {
                if let Some(value) = map.get(key) {
                    let name = match self.tag.is_empty() {
                        true => default(key),
                        false => self.tag.clone(),
                    };
                    found.insert(name, value.clone());
                }
            }
            Keys::Matching(pattern) => {
                for (key, value) in map {
                    let Some(groups) = pattern.captures(key) else { continue };
                    let mut name = String::new();
                    match self.tag.is_empty() {
                        true => name = default(key),
                        false => groups.expand(&self.tag, &mut name),
                    }
                    found.insert(name, value.clone());
                }
            }
        }
    }
}

impl Rules {
    pub(super) fn new(config: &Config) -> Self {
        let extract = &config.extract;
        let rules = |rules: &[FieldRule], what| {
            rules.iter().filter_map(|rule| MapRule::new(rule, what)).collect()
        };
        Self {
            fields: extract.metadata.iter().cloned().collect(),
            labels: rules(&extract.labels, "label"),
            annotations: rules(&extract.annotations, "annotation"),
            otel_annotations: extract.otel_annotations,
            derive_deployment: extract.deployment_name_from_replicaset,
        }
    }

    /// Whether an attribute is asked for.
    pub(super) fn wants(&self, field: &str) -> bool {
        self.fields.contains(field)
    }

    /// Whether one of these is asked for.
    pub(super) fn wants_any(&self, fields: &[&str]) -> bool {
        fields.iter().any(|field| self.wants(field))
    }

    /// Whether labels or annotations of these objects are asked for.
    pub(super) fn reads(&self, from: From) -> bool {
        self.labels.iter().chain(&self.annotations).any(|rule| rule.from == from)
    }

    /// Whether annotations of pods are asked for.
    pub(super) fn reads_pod_annotations(&self) -> bool {
        self.otel_annotations || self.annotations.iter().any(|rule| rule.from == From::Pod)
    }

    /// Labels and annotations of an object that are asked for.
    pub(super) fn object(
        &self,
        from: From,
        object: &Metadata,
        found: &mut BTreeMap<String, String>,
    ) {
        for rule in self.labels.iter().filter(|rule| rule.from == from) {
            rule.apply(&object.labels, found);
        }
        for rule in self.annotations.iter().filter(|rule| rule.from == from) {
            rule.apply(&object.annotations, found);
        }
        if from == From::Pod && self.otel_annotations {
            for (key, value) in &object.annotations {
                if let Some(name) = key.strip_prefix(OTEL_PREFIX) {
                    found.insert(name.to_owned(), value.clone());
                }
            }
        }
    }
}
