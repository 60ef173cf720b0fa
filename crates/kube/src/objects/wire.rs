//! What is read of objects, of whatever kind: one type for all kinds, so that the client's code for
//! lists and watches is in the program once. What a kind does not have stays empty.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::Owner;
use super::network::{EndpointPort, ServicePort, SliceEndpoint, Subset};
use super::node::Address;
use super::pod::Port;

/// An object of any kind as the API gives it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Wire {
    #[serde(deserialize_with = "or_default")]
    pub(crate) metadata: WireMetadata,
    #[serde(deserialize_with = "or_default")]
    pub(super) spec: Spec,
    #[serde(deserialize_with = "or_default")]
    pub(super) status: Status,
    /// Of endpoints.
    #[serde(deserialize_with = "or_default")]
    pub(super) subsets: Vec<Subset>,
    /// Of slices, as the next two.
    #[serde(deserialize_with = "or_default")]
    pub(super) address_type: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) endpoints: Vec<SliceEndpoint>,
    #[serde(deserialize_with = "or_default")]
    pub(super) ports: Vec<EndpointPort>,
}

impl Wire {
    /// The version of the object.
    pub(crate) fn version(&self) -> String {
        self.metadata.resource_version.clone()
    }
}

/// `metadata` of an object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct WireMetadata {
    #[serde(deserialize_with = "or_default")]
    pub(crate) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) namespace: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) uid: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) resource_version: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) creation_timestamp: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) owner_references: Vec<Owner>,
}

/// `spec` of pods, services, ingresses and nodes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Spec {
    // Of pods.
    pub(super) node_name: String,
    pub(super) hostname: String,
    pub(super) host_network: bool,
    #[serde(deserialize_with = "or_default")]
    pub(super) containers: Vec<ContainerSpec>,
    #[serde(deserialize_with = "or_default")]
    pub(super) init_containers: Vec<ContainerSpec>,
    // Of services.
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(rename = "clusterIP")]
    pub(super) cluster_ip: String,
    pub(super) external_name: String,
    #[serde(rename = "loadBalancerIP")]
    pub(super) load_balancer_ip: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) ports: Vec<ServicePort>,
    // Of ingresses.
    #[serde(deserialize_with = "or_default")]
    pub(super) ingress_class_name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) tls: Vec<Tls>,
    #[serde(deserialize_with = "or_default")]
    pub(super) rules: Vec<Rule>,
    // Of nodes.
    #[serde(rename = "providerID")]
    pub(super) provider_id: String,
}

/// `status` of pods and nodes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Status {
    #[serde(deserialize_with = "or_default")]
    pub(super) conditions: Vec<Condition>,
    // Of pods.
    pub(super) phase: String,
    #[serde(rename = "podIP")]
    pub(super) pod_ip: String,
    #[serde(rename = "hostIP")]
    pub(super) host_ip: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) start_time: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "or_default")]
    pub(super) init_container_statuses: Vec<ContainerStatus>,
    // Of nodes.
    #[serde(deserialize_with = "or_default")]
    pub(super) addresses: Vec<Address>,
    pub(super) daemon_endpoints: DaemonEndpoints,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerSpec {
    pub(super) name: String,
    pub(super) image: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) ports: Vec<Port>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    #[serde(rename = "containerID")]
    pub(super) container_id: String,
    #[serde(rename = "imageID")]
    pub(super) image_id: String,
    pub(super) restart_count: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct DaemonEndpoints {
    pub(super) kubelet_endpoint: DaemonEndpoint,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DaemonEndpoint {
    #[serde(rename = "Port")]
    pub(super) port: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tls {
    #[serde(deserialize_with = "or_default")]
    pub(super) hosts: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Rule {
    pub(super) host: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) http: Paths,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Paths {
    #[serde(deserialize_with = "or_default")]
    pub(super) paths: Vec<PathRule>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PathRule {
    #[serde(deserialize_with = "or_default")]
    pub(super) path: String,
}

/// `null` counts as left out.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
