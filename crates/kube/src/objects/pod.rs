//! Pods, kept in few bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::wire::{ContainerSpec, ContainerStatus};
use super::{Metadata, Owner, Pool, Resource, Slim, Wire};

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
    fn of(wire: Wire) -> Self {
        let Wire {
            mut metadata,
            spec,
            status,
            ..
        } = wire;
        let created = metadata.creation_timestamp.take();
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
            created: created.map(|time| time.0.to_string()).unwrap_or_default(),
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

/// A pod in few bytes: what pods of an owner, and of a node, have in common is kept once. Texts are
/// in JSON lists, which are read again when somebody looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedPod {
    common: Arc<[u8]>,
    place: Arc<[u8]>,
    own: Box<[u8]>,
}

/// What pods of an owner have in common; of a container its name, image, whether it is an init
/// container, its ports, the image that runs.
#[derive(Default, Serialize, Deserialize)]
struct Common(
    String,
    bool,
    BTreeMap<String, String>,
    BTreeMap<String, String>,
    Vec<Owner>,
    Vec<(String, String, bool, Vec<Port>, String)>,
);

/// What pods of a node have in common: its name and its address.
#[derive(Default, Serialize, Deserialize)]
struct Place(String, String);

/// What is a pod's own: name, uid, hostname, ip, phase, ready; created and started in seconds since
/// 1970; id and restarts of containers that have a status.
#[derive(Default, Serialize, Deserialize)]
struct Own([String; 6], [Option<i64>; 2], Vec<Option<(String, i64)>>);

fn seconds(time: &str) -> Option<i64> {
    time.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

fn time(seconds: Option<i64>) -> String {
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map(|time| time.to_string()).unwrap_or_default()
}

impl PackedPod {
    fn pack(pod: Pod, pool: &mut Pool) -> Self {
        let (mut specs, mut statuses) = (Vec::new(), Vec::new());
        for container in pod.containers {
            let Container {
                name,
                image,
                init,
                ports,
                known,
                id,
                image_id,
                restarts,
            } = container;
            specs.push((name, image, init, ports, image_id));
            statuses.push(known.then_some((id, restarts)));
        }
        let Metadata {
            name,
            namespace,
            uid,
            labels,
            annotations,
            owners,
        } = pod.metadata;
        let common = Common(
            namespace,
            pod.host_network,
            labels,
            annotations,
            owners,
            specs,
        );
        let own = Own(
            [name, uid, pod.hostname, pod.ip, pod.phase, pod.ready],
            [seconds(&pod.created), seconds(&pod.started)],
            statuses,
        );
        let place = Place(pod.node, pod.host_ip);
        // Texts and numbers always make JSON.
        let bytes = |value: serde_json::Result<Vec<u8>>| value.unwrap_or_default();
        Self {
            common: pool.share(&bytes(serde_json::to_vec(&common))),
            place: pool.share(&bytes(serde_json::to_vec(&place))),
            own: bytes(serde_json::to_vec(&own)).into(),
        }
    }

    /// A pod that shares nothing.
    pub fn of(pod: Pod) -> Self {
        Self::pack(pod, &mut Pool::default())
    }

    /// The pod.
    pub fn unpack(&self) -> Pod {
        let common: Common = serde_json::from_slice(&self.common).unwrap_or_default();
        let Place(node, host_ip) = serde_json::from_slice(&self.place).unwrap_or_default();
        let own: Own = serde_json::from_slice(&self.own).unwrap_or_default();
        let Common(namespace, host_network, labels, annotations, owners, specs) = common;
        let Own([name, uid, hostname, ip, phase, ready], [created, started], statuses) = own;
        let containers = specs.into_iter().zip(statuses).map(|(spec, status)| {
            let (name, image, init, ports, image_id) = spec;
            let known = status.is_some();
            let (id, restarts) = status.unwrap_or_default();
            Container {
                name,
                image,
                init,
                ports,
                known,
                id,
                image_id,
                restarts,
            }
        });
        Pod {
            metadata: Metadata {
                name,
                namespace,
                uid,
                labels,
                annotations,
                owners,
            },
            created: time(created),
            node,
            hostname,
            host_network,
            ip,
            host_ip,
            phase,
            ready,
            started: time(started),
            containers: containers.collect(),
        }
    }
}

impl Slim for PackedPod {
    fn slim(wire: Wire, _: Resource, pool: &mut Pool) -> Self {
        Self::pack(Pod::of(wire), pool)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const WEB: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-1","namespace":"shop","uid":"u1",
        "creationTimestamp":"2024-05-01T10:00:00Z","labels":{"app":"web"},"annotations":{"a\"b":"\u00e4"},
        "managedFields":[{"manager":"m"}],
        "ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web","uid":"r","controller":true}]},
        "spec":{"nodeName":"n1","containers":[{"name":"app","image":"i:1","ports":[
            {"name":"http","containerPort":80,"protocol":"TCP"}]}],"initContainers":[{"name":"first","image":"f"}]},
        "status":{"phase":"Running","podIP":"10.0.0.1","hostIP":"10.0.1.1","startTime":"2024-05-01T10:00:05Z",
            "conditions":[{"type":"Ready","status":"True"}],
            "containerStatuses":[{"name":"app","containerID":"containerd://x","imageID":"i@sha256:00","restartCount":2}]}}"#;

    #[test]
    fn packing_keeps_all_that_is_read_and_shares_what_pods_have_in_common() {
        let wire: Wire = serde_json::from_str(WEB).unwrap();
        let pod = Pod::of(wire.clone());
        assert_eq!(pod.created, "2024-05-01T10:00:00Z");
        assert_eq!((pod.ready.as_str(), pod.node.as_str()), ("True", "n1"));
        assert_eq!(pod.metadata.annotations["a\"b"], "\u{e4}");
        assert_eq!(pod.containers[0].restarts, 2);
        assert!(pod.containers[1].init && !pod.containers[1].known);
        let mut pool = Pool::default();
        let packed = PackedPod::slim(wire, Resource::Pod, &mut pool);
        assert_eq!(packed.unpack(), pod);
        let other: Wire = serde_json::from_str(&WEB.replace("web-1", "web-2")).unwrap();
        let other = PackedPod::slim(other, Resource::Pod, &mut pool);
        assert!(Arc::ptr_eq(&packed.common, &other.common));
        assert_eq!(other.unpack().metadata.name, "web-2");
    }

    #[test]
    fn what_is_missing_or_null_is_empty() {
        let bare = r#"{"metadata":{"name":"p"},"spec":{"containers":null},"status":null}"#;
        let wire: Wire = serde_json::from_str(bare).unwrap();
        let packed = PackedPod::slim(wire, Resource::Pod, &mut Pool::default());
        let mut expected = Pod::default();
        expected.metadata.name = "p".to_owned();
        assert_eq!(packed.unpack(), expected);
    }
}
