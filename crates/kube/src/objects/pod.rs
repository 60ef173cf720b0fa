//! Pods.

use serde::{Deserialize, Serialize};

use super::wire::{ContainerSpec, ContainerStatus};
use super::{Metadata, Wire, rfc3339};

/// What is known of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pod {
    /// Name, labels, owners.
    pub metadata: Metadata,
    /// When it was created, in RFC 3339.
    pub created: String,
    /// Its node.
    pub node: String,
    /// `spec.hostname`.
    pub hostname: String,
    /// Whether it has the addresses of its node.
    pub host_network: bool,
    /// Its address, empty as long as it has none.
    pub ip: String,
    /// Address of its node.
    pub host_ip: String,
    /// `Pending`, `Running` and so on.
    pub phase: String,
    /// Status of the condition `Ready`: `True`, `False`, `Unknown`; empty without one.
    pub ready: String,
    /// When it was started, in RFC 3339.
    pub started: String,
    /// Containers, the init containers last.
    pub containers: Vec<Container>,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Container {
    /// Name.
    pub name: String,
    /// Image as the pod asks for it.
    pub image: String,
    /// Whether it runs before the others.
    pub init: bool,
    /// Ports.
    pub ports: Vec<Port>,
    /// Whether it has a status.
    pub known: bool,
    /// Id with the name of the runtime in front, such as `containerd://...`.
    pub id: String,
    /// Image that runs, with its digest.
    pub image_id: String,
    /// How often it was started again.
    pub restarts: i64,
}

/// A port of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Port {
    /// Name.
    pub name: String,
    /// Number.
    #[serde(rename = "containerPort")]
    pub number: i64,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

impl Pod {
    pub(super) fn of(wire: Wire) -> Self {
        let Wire {
            mut metadata,
            spec,
            status,
            ..
        } = wire;
        let created = std::mem::take(&mut metadata.creation_timestamp);
        let containers = |specs: Vec<ContainerSpec>, statuses: Vec<ContainerStatus>, init| {
            specs.into_iter().map(move |spec| {
                let status = statuses.iter().find(|status| status.name == spec.name);
                let known = status.is_some();
                let status = status.cloned().unwrap_or_default();
                Container {
                    name: spec.name,
                    image: spec.image,
                    init,
                    ports: spec.ports,
                    known,
                    id: status.container_id,
                    image_id: status.image_id,
                    restarts: status.restart_count,
                }
            })
        };
        let ready = status
            .conditions
            .into_iter()
            .find(|condition| condition.kind == "Ready");
        Self {
            created: rfc3339(&created),
            node: spec.node_name,
            hostname: spec.hostname,
            host_network: spec.host_network,
            ip: status.pod_ip,
            host_ip: status.host_ip,
            phase: status.phase,
            ready: ready.map(|condition| condition.status).unwrap_or_default(),
            started: status.start_time,
            containers: containers(spec.containers, status.container_statuses, false)
                .chain(containers(
                    spec.init_containers,
                    status.init_container_statuses,
                    true,
                ))
                .collect(),
            metadata: Metadata::of(metadata),
        }
    }
}
