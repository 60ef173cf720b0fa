//! Nodes.

use serde::Deserialize;

use super::{Metadata, Pool, Resource, Slim, Wire};

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

impl Slim for Node {
    fn slim(wire: Wire, _: Resource, _: &mut Pool) -> Self {
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
