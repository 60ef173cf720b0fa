//! Keys of the `resourcedetection` processor (processors section 2).

use std::collections::BTreeMap;

use regex::Regex;
use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Validate};

use super::detectors::{self, Table};

/// Detectors of the reference that are not offered here.
const ELSEWHERE: [&str; 22] = [
    "akamai",
    "aks",
    "alibaba_ecs",
    "azure",
    "azurecontainerapps",
    "consul",
    "digitalocean",
    "docker",
    "dynatrace",
    "gcp",
    "heroku",
    "hetzner",
    "ibmcloud_classic",
    "ibmcloud_vpc",
    "kubeadm",
    "nova",
    "openshift",
    "oraclecloud",
    "scaleway",
    "tencent_cvm",
    "upcloud",
    "vultr",
];

/// Configuration of `resourcedetection`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who is asked, in order: of several answers for one attribute the first counts.
    pub detectors: Vec<String>,
    /// Whether what is detected replaces what the resource has.
    #[serde(rename = "override")]
    pub replace: bool,
    /// Longest time of a detection with all its attempts.
    pub timeout: Duration,
    /// Time after which detection is run again; 0 for at the start only.
    pub refresh_interval: Duration,
    /// Whether a platform that is not there is an error.
    pub fail_on_missing_metadata: bool,
    /// A list that once limited what is added; the reference has removed it.
    pub attributes: Option<Vec<String>>,
    /// The operating system.
    pub system: SystemConfig,
    /// The EC2 instance.
    pub ec2: Ec2Config,
    /// The ECS task.
    pub ecs: DetectorConfig,
    /// The EKS cluster.
    pub eks: EksConfig,
    /// The Elastic Beanstalk environment.
    pub elasticbeanstalk: DetectorConfig,
    /// The Lambda function.
    pub lambda: DetectorConfig,
    /// The Kubernetes node and cluster.
    pub k8s_api: KubernetesConfig,
    /// The same under its older name.
    pub k8snode: KubernetesConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            detectors: vec!["env".to_owned()],
            replace: true,
            timeout: Duration::from_millis(5000),
            refresh_interval: Duration::ZERO,
            fail_on_missing_metadata: false,
            attributes: None,
            system: SystemConfig::default(),
            ec2: Ec2Config::default(),
            ecs: DetectorConfig::default(),
            eks: EksConfig::default(),
            elasticbeanstalk: DetectorConfig::default(),
            lambda: DetectorConfig::default(),
            k8s_api: KubernetesConfig::default(),
            k8snode: KubernetesConfig::default(),
        }
    }
}

/// Attributes switched on or off by name.
pub(crate) type Switches = BTreeMap<String, Switch>;

/// Whether an attribute is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switch {
    /// The attribute's default if it is not given.
    pub enabled: Option<bool>,
}

/// Keys of a detector without keys of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectorConfig {
    /// Attributes by name.
    pub resource_attributes: Switches,
}

/// Keys of `system`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SystemConfig {
    /// Where the host's name is looked for, in order.
    pub hostname_sources: Vec<HostnameSource>,
    /// Attributes by name.
    pub resource_attributes: Switches,
}

impl Default for SystemConfig {
    fn default() -> Self {
        Self {
            hostname_sources: vec![HostnameSource::Dns, HostnameSource::Os],
            resource_attributes: Switches::new(),
        }
    }
}

/// A place that knows the host's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HostnameSource {
    /// The full name: the hosts file.
    Dns,
    /// The kernel.
    Os,
    /// The canonical name in the DNS.
    Cname,
    /// The name of the host's address in the DNS.
    Lookup,
}

/// Keys of `ec2`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ec2Config {
    /// Regular expressions; tags of the instance with a matching name become `ec2.tag.<name>`.
    pub tags: Vec<String>,
    /// Whether tags are read from the metadata service in place of the EC2 API.
    pub tags_from_imds: bool,
    /// Attempts of one request in all; 0 for as many as the timeout allows.
    pub max_attempts: u32,
    /// Longest wait between two attempts.
    pub max_backoff: Duration,
    /// Whether it is an error that there is no metadata service.
    pub fail_on_missing_metadata: bool,
    /// Attributes by name.
    pub resource_attributes: Switches,
}

impl Default for Ec2Config {
    fn default() -> Self {
        Self {
            tags: Vec::new(),
            tags_from_imds: false,
            max_attempts: 3,
            max_backoff: Duration::from_millis(20_000),
            fail_on_missing_metadata: false,
            resource_attributes: Switches::new(),
        }
    }
}

impl Ec2Config {
    /// The expressions of `tags`; those that make no sense are reported and left out.
    pub(super) fn tag_names(&self, errors: &mut Errors) -> Vec<Regex> {
        let mut compiled = Vec::with_capacity(self.tags.len());
        for (at, pattern) in self.tags.iter().enumerate() {
            match Regex::new(pattern) {
                Ok(regex) => compiled.push(regex),
                Err(error) => {
                    let text = format!("`{pattern}` is no regular expression: {error}");
                    errors.push(&format!("ec2.tags[{at}]"), text, "");
                }
            }
        }
        compiled
    }
}

/// Keys of `eks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct EksConfig {
    /// Variable with the name of the node, for clusters whose pods cannot reach the metadata service.
    pub node_from_env_var: String,
    /// Attributes by name.
    pub resource_attributes: Switches,
}

/// Keys of `k8s_api`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct KubernetesConfig {
    /// How to talk to the API server.
    pub auth_type: AuthType,
    /// Context of the kubeconfig file; empty for its current one.
    pub context: String,
    /// Variable with the name of the node; empty for `K8S_NODE_NAME`.
    pub node_from_env_var: String,
    /// Attributes by name.
    pub resource_attributes: Switches,
}

impl Default for KubernetesConfig {
    fn default() -> Self {
        Self {
            auth_type: AuthType::ServiceAccount,
            context: String::new(),
            node_from_env_var: String::new(),
            resource_attributes: Switches::new(),
        }
    }
}

/// How to talk to the Kubernetes API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum AuthType {
    /// With the token of the pod's service account.
    #[serde(rename = "serviceAccount")]
    ServiceAccount,
    /// As the kubeconfig file says.
    #[serde(rename = "kubeConfig")]
    KubeConfig,
    /// Without credentials.
    #[serde(rename = "none")]
    None,
}

impl Config {
    /// Attributes of a detector's section and its keys, by section.
    fn sections(&self) -> [(&'static str, &Switches, Table); 8] {
        [
            ("system", &self.system.resource_attributes, detectors::SYSTEM),
            ("ec2", &self.ec2.resource_attributes, detectors::EC2),
            ("ecs", &self.ecs.resource_attributes, detectors::ECS),
            ("eks", &self.eks.resource_attributes, detectors::EKS),
            ("elasticbeanstalk", &self.elasticbeanstalk.resource_attributes, detectors::BEANSTALK),
            ("lambda", &self.lambda.resource_attributes, detectors::LAMBDA),
            ("k8s_api", &self.k8s_api.resource_attributes, detectors::KUBERNETES),
            ("k8snode", &self.k8snode.resource_attributes, detectors::KUBERNETES),
        ]
    }

    fn validate_detectors(&self, errors: &mut Errors) {
        for (at, name) in self.detectors.iter().enumerate() {
            if detectors::NAMES.contains(&name.as_str()) {
                continue;
            }
            let text = match ELSEWHERE.contains(&name.as_str()) {
                true => format!("the detector `{name}` of the reference is not offered here"),
                false => format!("invalid detector key: `{name}`"),
            };
            let hint = format!("offered are {}", detectors::NAMES.join(", "));
            errors.push(&format!("detectors[{at}]"), text, hint);
        }
    }

    fn uses(&self, detector: &str) -> bool {
        self.detectors.iter().any(|name| name == detector)
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        self.validate_detectors(errors);
        if self.attributes.is_some() {
            let hint = "switch single attributes off: `<detector>.resource_attributes.<attribute>.enabled: false`";
            errors.push("attributes", "the key `attributes` is no longer offered", hint);
        }
        if self.timeout.nanos() <= 0 {
            errors.push("timeout", "detection needs time", "such as 5s");
        }
        if self.refresh_interval.nanos() < 0 {
            errors.push("refresh_interval", "refresh_interval must not be negative", "0 switches it off");
        }
        self.ec2.tag_names(errors);
        for (section, switches, table) in self.sections() {
            for name in switches.keys() {
                if !table.iter().any(|(known, _)| known == name) {
                    let known: Vec<&str> = table.iter().map(|(known, _)| *known).collect();
                    errors.push(
                        &format!("{section}.resource_attributes"),
                        format!("the detector `{section}` has no attribute `{name}`"),
                        format!("it has {}", known.join(", ")),
                    );
                }
            }
        }
        let hostname = self.system.hostname_sources.iter();
        for (at, _) in hostname.enumerate().filter(|(_, source)| matches!(source, HostnameSource::Cname | HostnameSource::Lookup)) {
            errors.push(
                &format!("system.hostname_sources[{at}]"),
                "this source asks the DNS, which is not offered",
                "use `dns` (the hosts file) and `os` (the kernel's name)",
            );
        }
        if cfg!(not(feature = "kubernetes")) {
            for name in ["eks", "k8s_api", "k8snode"] {
                if self.uses(name) {
                    errors.push("detectors", format!("`{name}` asks the Kubernetes API, which this build leaves out"), "use a build with the feature `kubernetes`");
                }
            }
        }
    }
}
