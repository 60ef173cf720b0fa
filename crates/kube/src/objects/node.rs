//! Nodes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ApiResource;
use kube::core::DynamicResourceScope;
use serde::Deserialize;

use super::{Metadata, Pool, Resource, Slim, or_default, wire};

/// A node with its addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Name, labels.
    pub metadata: Metadata,
    /// `spec.providerID`.
    pub provider_id: String,
    /// Addresses in the order of the API.
    pub addresses: Vec<Address>,
    /// Type and status of its conditions.
    pub conditions: Vec<(String, String)>,
    /// Port of the kubelet.
    pub kubelet_port: i64,
}

/// An address of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Address {
    /// `InternalIP`, `Hostname` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// The address.
    pub address: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
}

wire!(
    /// A node as the API gives it.
    NodeWire, metadata only: false { spec: Spec, status: Status }
);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(rename = "providerID")]
    provider_id: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    #[serde(deserialize_with = "or_default")]
    addresses: Vec<Address>,
    #[serde(deserialize_with = "or_default")]
    conditions: Vec<Condition>,
    daemon_endpoints: DaemonEndpoints,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DaemonEndpoints {
    kubelet_endpoint: DaemonEndpoint,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct DaemonEndpoint {
    #[serde(rename = "Port")]
    port: i64,
}

impl Slim for Node {
    type Wire = NodeWire;

    fn slim(wire: NodeWire, _: Resource, _: &mut Pool) -> Self {
        let conditions = wire.status.conditions.into_iter();
        Self {
            metadata: Metadata::of(wire.metadata),
            provider_id: wire.spec.provider_id,
            addresses: wire.status.addresses,
            conditions: conditions
                .map(|condition| (condition.kind, condition.status))
                .collect(),
            kubelet_port: wire.status.daemon_endpoints.kubelet_endpoint.port,
        }
    }
}
