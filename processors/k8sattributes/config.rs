//! Keys of `k8sattributes` (processors 1.1).

use std::collections::BTreeMap;

use regex::Regex;
use serde::{Deserialize, Serialize};
use weir_config::{Duration, Environment as _, Errors, ProcessEnvironment, Validate};

/// Attributes that `extract.metadata` may name, and whether they are added by default.
pub(super) const FIELDS: [(&str, bool); 31] = [
    ("container.id", false),
    ("container.image.name", true),
    ("container.image.repo_digests", false),
    ("container.image.tag", true),
    ("container.image.tags", false),
    ("k8s.cluster.uid", false),
    ("k8s.container.name", false),
    ("k8s.cronjob.name", false),
    ("k8s.cronjob.uid", false),
    ("k8s.daemonset.name", false),
    ("k8s.daemonset.uid", false),
    ("k8s.deployment.name", true),
    ("k8s.deployment.uid", false),
    ("k8s.job.name", false),
    ("k8s.job.uid", false),
    ("k8s.namespace.name", true),
    ("k8s.node.name", true),
    ("k8s.node.uid", false),
    ("k8s.pod.hostname", false),
    ("k8s.pod.ip", false),
    ("k8s.pod.name", true),
    ("k8s.pod.start_time", true),
    ("k8s.pod.uid", true),
    ("k8s.replicaset.name", false),
    ("k8s.replicaset.uid", false),
    ("k8s.statefulset.name", false),
    ("k8s.statefulset.uid", false),
    ("service.instance.id", false),
    ("service.name", false),
    ("service.namespace", false),
    ("service.version", false),
];

/// Most sources of one association rule.
const SOURCES: usize = 4;

/// How the API is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) enum AuthType {
    /// From a pod, as its service account.
    #[default]
    #[serde(rename = "serviceAccount")]
    ServiceAccount,
    /// By a kubeconfig file.
    #[serde(rename = "kubeConfig")]
    KubeConfig,
    /// From a pod, without a token.
    #[serde(rename = "none")]
    None,
    /// From a pod, over TLS without a token.
    #[serde(rename = "tls")]
    Tls,
}

/// Configuration of `k8sattributes`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub(super) auth_type: AuthType,
    /// Context of the kubeconfig file; the current one if empty.
    pub(super) context: String,
    /// Accepted: watches are few, and failures wait longer each time.
    pub(super) kube_api_qps: f64,
    /// Accepted, as `kube_api_qps`.
    pub(super) kube_api_burst: u32,
    /// Only add `k8s.pod.ip` of the sender; the API is not used.
    pub(super) passthrough: bool,
    /// What is added.
    pub(super) extract: Extract,
    /// Which pods are watched.
    pub(super) filter: Filter,
    /// How the pod of a resource is found.
    pub(super) pod_association: Vec<Association>,
    /// Pods that are left out.
    pub(super) exclude: Exclude,
    /// The start waits for the first listing.
    pub(super) wait_for_metadata: bool,
    /// And fails after this time.
    pub(super) wait_for_metadata_timeout: Duration,
    /// Accepted: what a watch tells is complete, nothing is read again.
    pub(super) watch_sync_period: Duration,
    /// Deleted pods are known so long.
    pub(super) pod_delete_grace_period: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            auth_type: AuthType::default(),
            context: String::new(),
            kube_api_qps: 5.0,
            kube_api_burst: 10,
            passthrough: false,
            extract: Extract::default(),
            filter: Filter::default(),
            pod_association: Vec::new(),
            exclude: Exclude::default(),
            wait_for_metadata: false,
            wait_for_metadata_timeout: Duration::from_secs(10),
            watch_sync_period: Duration::from_mins(5),
            pod_delete_grace_period: Duration::from_secs(120),
        }
    }
}

/// `extract`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Extract {
    /// Attributes.
    pub(super) metadata: Vec<String>,
    /// Labels of objects.
    pub(super) labels: Vec<FieldRule>,
    /// Annotations of objects.
    pub(super) annotations: Vec<FieldRule>,
    /// Pod annotations `resource.opentelemetry.io/X` become attributes `X`.
    pub(super) otel_annotations: bool,
    /// The name of a deployment is that of its replica set without the hash.
    pub(super) deployment_name_from_replicaset: bool,
}

impl Default for Extract {
    fn default() -> Self {
        let defaults = FIELDS.iter().filter(|(_, on)| *on);
        Self {
            metadata: defaults.map(|(name, _)| (*name).to_owned()).collect(),
            labels: Vec::new(),
            annotations: Vec::new(),
            otel_annotations: false,
            deployment_name_from_replicaset: true,
        }
    }
}

/// What a label or annotation belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "kinds of Kubernetes")]
pub(super) enum From {
    #[default]
    Pod,
    Namespace,
    Node,
    Deployment,
    StatefulSet,
    DaemonSet,
    Job,
}

/// An entry of `extract.labels` or `extract.annotations`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FieldRule {
    /// Name of the attribute; one made of the key if empty.
    pub(super) tag_name: String,
    /// Name of the label or annotation.
    pub(super) key: String,
    /// Or an expression for it, anchored at both ends.
    pub(super) key_regex: String,
    /// Whose it is.
    pub(super) from: From,
}

impl FieldRule {
    /// The expression.
    pub(super) fn pattern(&self) -> Result<Regex, regex::Error> {
        Regex::new(&format!("^(?:{})$", self.key_regex))
    }
}

/// `filter`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Filter {
    /// Only pods of this node.
    pub(super) node: String,
    /// Only pods of the node that this environment variable names.
    pub(super) node_from_env_var: String,
    /// Only pods of this namespace.
    pub(super) namespace: String,
    /// By fields.
    pub(super) fields: Vec<Condition>,
    /// By labels.
    pub(super) labels: Vec<Condition>,
}

impl Filter {
    /// The node that is asked for, empty for all.
    pub(super) fn node(&self) -> String {
        match self.node_from_env_var.is_empty() {
            true => self.node.clone(),
            false => ProcessEnvironment.get(&self.node_from_env_var).unwrap_or_default(),
        }
    }
}

/// How a condition compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Op {
    #[default]
    Equals,
    NotEquals,
    Exists,
    DoesNotExist,
}

/// An entry of `filter.fields` or `filter.labels`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Condition {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) op: Op,
}

impl Condition {
    /// As a term of a selector.
    pub(super) fn term(&self) -> String {
        let Self { key, value, op } = self;
        match op {
            Op::Equals => format!("{key}={value}"),
            Op::NotEquals => format!("{key}!={value}"),
            Op::Exists => key.clone(),
            Op::DoesNotExist => format!("!{key}"),
        }
    }
}

/// A rule of `pod_association`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Association {
    /// All of them must be there.
    pub(super) sources: Vec<AssociationSource>,
}

/// Where a part of an identifier is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SourceFrom {
    /// An attribute of the resource.
    #[default]
    ResourceAttribute,
    /// The address of the sender.
    Connection,
}

/// An entry of `sources`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AssociationSource {
    pub(super) from: SourceFrom,
    /// Name of the attribute.
    pub(super) name: String,
}

/// `exclude`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Exclude {
    /// By name.
    pub(super) pods: Vec<ExcludedPod>,
}

/// An entry of `exclude.pods`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExcludedPod {
    /// An expression, not anchored.
    pub(super) name: String,
}

impl Exclude {
    /// The expressions; those for the agents of Jaeger if none is given.
    pub(super) fn patterns(&self) -> Vec<Regex> {
        let mut names: Vec<&str> = self.pods.iter().map(|pod| pod.name.as_str()).collect();
        if names.is_empty() {
            names = vec!["jaeger-agent", "jaeger-collector"];
        }
        names.iter().filter_map(|name| Regex::new(name).ok()).collect()
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        for (i, name) in self.extract.metadata.iter().enumerate() {
            if !FIELDS.iter().any(|(known, _)| known == name) {
                let text = format!("\"{name}\" is not a supported metadata field");
                errors.push(&format!("extract.metadata[{i}]"), text, "see the README for all names");
            }
        }
        let lists = BTreeMap::from([
            ("extract.labels", &self.extract.labels),
            ("extract.annotations", &self.extract.annotations),
        ]);
        for (list, rules) in lists {
            for (i, rule) in rules.iter().enumerate() {
                rule.check(&format!("{list}[{i}]"), errors);
            }
        }
        for (i, rule) in self.pod_association.iter().enumerate() {
            rule.check(&format!("pod_association[{i}]"), errors);
        }
        for (i, pod) in self.exclude.pods.iter().enumerate() {
            if let Err(error) = Regex::new(&pod.name) {
                errors.push(&format!("exclude.pods[{i}].name"), error.to_string(), "");
            }
        }
        for (i, condition) in self.filter.fields.iter().enumerate() {
            if matches!(condition.op, Op::Exists | Op::DoesNotExist) {
                let text = "fields can be compared by equals and not-equals only";
                errors.push(&format!("filter.fields[{i}].op"), text, "");
            }
        }
        let variable = &self.filter.node_from_env_var;
        if !variable.is_empty() && ProcessEnvironment.get(variable).is_none() {
            let text = format!("`node_from_env_var` is configured but envvar \"{variable}\" is not set");
            let hint = "set it from spec.nodeName by the downward API";
            errors.push("filter.node_from_env_var", text, hint);
        }
    }
}

impl FieldRule {
    fn check(&self, path: &str, errors: &mut Errors) {
        match (self.key.is_empty(), self.key_regex.is_empty()) {
            (false, false) => {
                let text = format!(
                    "out of key and key_regex only one may be given, here key: {} and key_regex: {}",
                    self.key, self.key_regex
                );
                errors.push(&format!("{path}.key_regex"), text, "remove one of them");
            }
            (true, true) => {
                errors.push(path, "neither key nor key_regex is given", "give one of them");
            }
            _ => {}
        }
        if let Err(error) = self.pattern() {
            errors.push(&format!("{path}.key_regex"), error.to_string(), "");
        }
    }
}

impl Association {
    fn check(&self, path: &str, errors: &mut Errors) {
        if self.sources.len() > SOURCES {
            let text = format!("too many association sources, the limit is {SOURCES}");
            errors.push(&format!("{path}.sources"), text, "");
        }
        for (i, source) in self.sources.iter().enumerate() {
            if source.from == SourceFrom::ResourceAttribute && source.name.is_empty() {
                let text = "the attribute has no name";
                errors.push(&format!("{path}.sources[{i}].name"), text, "for example k8s.pod.uid");
            }
        }
    }
}
