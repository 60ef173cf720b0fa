//! Keys of the discovery mechanisms (prometheus-receiver 3.2, 3.4).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_aws::inventory::InventoryKeys;
use weir_config::{Duration, Errors, Secret, Validate};
use weir_net::dns::RecordKind;

use super::client::{http_url, with_client_keys};

/// An entry of `static_configs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StaticConfig {
    /// Addresses, `host:port`.
    pub(crate) targets: Vec<String>,
    /// Labels of all of them.
    pub(crate) labels: BTreeMap<String, String>,
}

/// An entry of `file_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FileSdConfig {
    /// Paths; at most one `*` group, in the last part; `.json`, `.yml` or `.yaml`.
    pub(crate) files: Vec<String>,
    /// How often the files are read.
    pub(crate) refresh_interval: Duration,
}

impl Default for FileSdConfig {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            refresh_interval: Duration::from_mins(5),
        }
    }
}

impl Validate for FileSdConfig {
    fn validate(&self, errors: &mut Errors) {
        if self.files.is_empty() {
            errors.push(
                "files",
                "file service discovery config must contain at least one path name",
                "",
            );
        }
        for (i, file) in self.files.iter().enumerate() {
            let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
            let ending = [".json", ".yml", ".yaml"]
                .iter()
                .any(|end| name.ends_with(end));
            if !ending || folder.contains('*') || name.matches('*').count() > 1 {
                let text = format!("path name `{file}` is not valid for file discovery");
                let hint = "use .json, .yml or .yaml, with at most one * in the last part";
                errors.push(&format!("files[{i}]"), text, hint);
            }
        }
    }
}

with_client_keys! {
    /// An entry of `http_sd_configs`.
    pub(crate) struct HttpSdConfig {
        /// Where the target groups are.
        url: String = String::new(),
        /// How often they are asked for.
        refresh_interval: Duration = Duration::from_mins(1),
    }
}

impl Validate for HttpSdConfig {
    fn validate(&self, errors: &mut Errors) {
        errors.nested("", &self.client());
        if self.url.is_empty() {
            errors.push(
                "url",
                "URL is missing",
                "for example http://localhost:8080/targets",
            );
        } else if http_url(&self.url).is_none() {
            errors.push(
                "url",
                "URL scheme must be 'http' or 'https', with a host",
                "",
            );
        }
    }
}

/// An entry of `dns_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DnsSdConfig {
    /// Names to look up.
    pub(crate) names: Vec<String>,
    /// `SRV`, `A`, `AAAA`, `MX` or `NS`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Port of the targets; SRV records have their own.
    pub(crate) port: u16,
    /// How often they are looked up.
    pub(crate) refresh_interval: Duration,
}

impl Default for DnsSdConfig {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            kind: "SRV".to_owned(),
            port: 0,
            refresh_interval: Duration::from_secs(30),
        }
    }
}

impl DnsSdConfig {
    /// The kind of record.
    pub(crate) fn record_kind(&self) -> Option<RecordKind> {
        Some(match self.kind.to_ascii_uppercase().as_str() {
            "SRV" => RecordKind::Srv,
            "A" => RecordKind::A,
            "AAAA" => RecordKind::Aaaa,
            "MX" => RecordKind::Mx,
            "NS" => RecordKind::Ns,
            _ => return None,
        })
    }
}

impl Validate for DnsSdConfig {
    fn validate(&self, errors: &mut Errors) {
        if self.names.is_empty() {
            let text = "DNS-SD config must contain at least one SRV record name";
            errors.push("names", text, "");
        }
        match self.record_kind() {
            None => {
                let text = format!("invalid DNS-SD records type {}", self.kind);
                errors.push("type", text, "use SRV, A, AAAA, MX or NS");
            }
            Some(RecordKind::Srv) => {}
            Some(_) if self.port == 0 => {
                let text = "a port is required in DNS-SD configs for all record types except SRV";
                errors.push("port", text, "");
            }
            Some(_) => {}
        }
    }
}

/// A filter of `ec2_sd_configs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ec2Filter {
    /// Name, as in the API's `DescribeInstances`.
    pub(crate) name: String,
    /// Values, one of which is to fit.
    pub(crate) values: Vec<String>,
}

/// An entry of a discovery that asks a service of AWS: the keys of the client, those of AWS, and its own.
macro_rules! with_aws_keys {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field:ident: $kind:ty = $default:expr,)*
        }
    ) => {
        with_client_keys! {
            $(#[$meta])*
            $visibility struct $name {
                /// URL of the service in place of the region's.
                endpoint: String = String::new(),
                /// Region; that of the environment or the instance if empty.
                region: String = String::new(),
                /// Access key; the usual sources if empty.
                access_key: String = String::new(),
                /// Its secret.
                secret_key: Secret<String> = Secret::default(),
                /// Profile of the shared files.
                profile: String = String::new(),
                /// Role to assume.
                role_arn: String = String::new(),
                /// External id of the role.
                external_id: String = String::new(),
                $($(#[$field_meta])* $field: $kind = $default,)*
            }
        }

        impl $name {
            /// The keys of AWS.
            pub(super) fn inventory_keys(&self) -> InventoryKeys {
                InventoryKeys {
                    region: self.region.clone(),
                    access_key: self.access_key.clone(),
                    secret_key: self.secret_key.clone(),
                    profile: self.profile.clone(),
                    role_arn: self.role_arn.clone(),
                    external_id: self.external_id.clone(),
                }
            }

            /// Checks the keys of the client and those of AWS.
            fn check_access(&self, errors: &mut Errors) {
                errors.nested("", &self.client());
                let secret = self.secret_key.expose();
                check_aws(&self.endpoint, &self.access_key, secret, errors);
            }
        }
    };
}

with_aws_keys! {
    /// An entry of `ec2_sd_configs`.
    pub(crate) struct Ec2SdConfig {
        /// How often instances are asked for.
        refresh_interval: Duration = Duration::from_mins(1),
        /// Port of the targets.
        port: u16 = 80,
        /// Which instances.
        filters: Vec<Ec2Filter> = Vec::new(),
    }
}

with_aws_keys! {
    /// An entry of `ecs_sd_configs`.
    pub(crate) struct EcsSdConfig {
        /// How often tasks are asked for.
        refresh_interval: Duration = Duration::from_mins(1),
        /// Port of the targets.
        port: u16 = 80,
        /// Names or ARNs of clusters; all if empty.
        clusters: Vec<String> = Vec::new(),
        /// Requests at a time.
        request_concurrency: usize = 20,
    }
}

impl Validate for Ec2SdConfig {
    fn validate(&self, errors: &mut Errors) {
        self.check_access(errors);
        for (i, filter) in self.filters.iter().enumerate() {
            if filter.values.is_empty() {
                let text = "EC2 SD configuration filter values cannot be empty";
                errors.push(&format!("filters[{i}].values"), text, "");
            }
        }
    }
}

impl Validate for EcsSdConfig {
    fn validate(&self, errors: &mut Errors) {
        self.check_access(errors);
        if self.request_concurrency == 0 {
            let text = "must be at least 1";
            errors.push("request_concurrency", text, "the default is 20");
        }
    }
}

fn check_aws(endpoint: &str, key: &str, secret: &str, errors: &mut Errors) {
    if !endpoint.is_empty() && http_url(endpoint).is_none() {
        let text = format!("`{endpoint}` is not the URL of a service");
        errors.push("endpoint", text, "write it as https://host");
    }
    if key.is_empty() != secret.is_empty() {
        let text = "access_key and secret_key belong together";
        errors.warn("access_key", text, "without both, neither is used");
    }
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Pods.
    Pod,
    /// Nodes.
    Node,
    /// Services.
    Service,
    /// Endpoints.
    Endpoints,
    /// Endpoint slices.
    EndpointSlice,
    /// Ingresses.
    Ingress,
}

/// `namespaces` of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Namespaces {
    /// Only these; all if empty.
    pub(crate) names: Vec<String>,
    /// Also the one this program runs in.
    pub(crate) own_namespace: bool,
}

/// An entry of `selectors`: filters that the API server applies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Selector {
    /// Role it is for.
    pub(crate) role: Option<Role>,
    /// Label selector.
    pub(crate) label: String,
    /// Field selector, such as `spec.nodeName=node-1`.
    pub(crate) field: String,
}

/// `attach_metadata` of an entry: each needs a watch of these objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AttachMetadata {
    /// Labels and annotations of the node; pods on an unknown node have no targets.
    pub(crate) node: bool,
    /// Labels and annotations of the namespace.
    pub(crate) namespace: bool,
    /// Name of the deployment behind a pod.
    pub(crate) deployment: bool,
    /// Name of the job behind a pod; it needs no watch.
    pub(crate) job: bool,
    /// Name of the cron job behind a pod.
    pub(crate) cronjob: bool,
}

with_client_keys! {
    /// An entry of `kubernetes_sd_configs`.
    pub(crate) struct KubernetesSdConfig {
        /// What is watched; must be set.
        role: Option<Role> = None,
        /// Address of the API server; inside a cluster it is found by itself.
        api_server: String = String::new(),
        /// A kubeconfig file instead.
        kubeconfig_file: String = String::new(),
        /// Which namespaces.
        namespaces: Namespaces = Namespaces::default(),
        /// Filters.
        selectors: Vec<Selector> = Vec::new(),
        /// Labels of other objects.
        attach_metadata: AttachMetadata = AttachMetadata::default(),
    }
}

impl KubernetesSdConfig {
    /// The keys of the HTTP client: they go with `api_server`, and not all of them are offered.
    fn check_client(&self, errors: &mut Errors) {
        let client = self.client();
        errors.nested("", &client);
        if self.api_server.is_empty() && client != Self::default().client() {
            let text = "to use custom HTTP client configuration please provide the 'api_server' URL explicitly";
            errors.push(
                "api_server",
                text,
                "give it, or remove the keys of the HTTP client",
            );
        }
        let kind = client
            .authorization
            .as_ref()
            .map_or("", |found| found.kind.trim());
        let proxy = !client.proxy_url.is_empty() || client.proxy_from_environment;
        for (given, key) in [
            (client.oauth2.is_some(), "oauth2"),
            (!client.headers.is_empty(), "http_headers"),
            (proxy, "proxy_url"),
            (
                !kind.is_empty() && !kind.eq_ignore_ascii_case("bearer"),
                "authorization.type",
            ),
        ] {
            if given {
                let text = "known, but not offered for the Kubernetes API";
                errors.push(
                    key,
                    text,
                    "use a bearer token, basic_auth, a client certificate or a kubeconfig file",
                );
            }
        }
    }
}

impl Validate for KubernetesSdConfig {
    fn validate(&self, errors: &mut Errors) {
        self.check_client(errors);
        if self.role.is_none() {
            let text =
                "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)";
            errors.push("role", text, "add role: pod");
        }
        if !self.api_server.is_empty() && !self.kubeconfig_file.is_empty() {
            let text = "cannot use 'kubeconfig_file' and 'api_server' simultaneously";
            errors.push("kubeconfig_file", text, "remove one of them");
        }
        if self.namespaces.own_namespace
            && !(self.api_server.is_empty() && self.kubeconfig_file.is_empty())
        {
            let text = "cannot use 'own_namespace' with 'api_server' or 'kubeconfig_file'";
            errors.push("namespaces.own_namespace", text, "");
        }
        if !self.api_server.is_empty() && http::Uri::try_from(&self.api_server).is_err() {
            errors.push(
                "api_server",
                "not a URL",
                "for example https://10.0.0.1:6443",
            );
        }
        let mut seen = Vec::new();
        for (i, selector) in self.selectors.iter().enumerate() {
            let path = format!("selectors[{i}].role");
            let (allowed, names): (&[Role], _) = match self.role.unwrap_or(Role::Pod) {
                Role::Pod => (&[Role::Pod, Role::Node], "pod, node"),
                Role::Node => (&[Role::Node], "node"),
                Role::Service => (&[Role::Service], "service"),
                Role::Ingress => (&[Role::Ingress], "ingress"),
                Role::Endpoints => (
                    &[Role::Pod, Role::Service, Role::Endpoints],
                    "pod, service, endpoints",
                ),
                Role::EndpointSlice => (
                    &[Role::Pod, Role::Service, Role::EndpointSlice],
                    "pod, service, endpointslice",
                ),
            };
            if !selector.role.is_some_and(|role| allowed.contains(&role)) {
                let role = format!("{:?}", self.role.unwrap_or(Role::Pod)).to_lowercase();
                let text = format!("{role} role supports only {names} selectors");
                errors.push(&path, text, "");
            }
            if seen.contains(&selector.role) {
                errors.push(
                    &path,
                    "duplicated selector role",
                    "give one selector per role",
                );
            }
            seen.push(selector.role);
        }
    }
}
