//! Pods, kept in few bytes.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::bytes::{Reader, Writer};
use super::{Container, Metadata, Owner, Pod, Pool, Port, Resource, Shared, Slim, Wire};

type Map = BTreeMap<String, String>;

/// Phases of a pod, and states of its condition `Ready`, by number.
const PHASES: [&str; 6] = ["", "Pending", "Running", "Succeeded", "Failed", "Unknown"];
const READY: [&str; 4] = ["", "True", "False", "Unknown"];
/// What stands before the id of a container, by number.
const RUNTIMES: [&str; 4] = ["", "containerd://", "cri-o://", "docker://"];

/// A pod in few bytes: what pods of an owner, and of a node, have in common is kept once. It is
/// read again when somebody looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedPod {
    common: Shared,
    place: Shared,
    /// In this order: name, uid, hostname, ip, phase, ready; created, started; id and restarts of
    /// containers that have a status; labels and annotations that tell of this pod only.
    own: Box<[u8]>,
}

/// What pods of an owner have in common; of a container its name, image, whether it is an init
/// container, its ports, the image that runs.
#[derive(Default, Serialize, Deserialize)]
struct Common(
    String,
    bool,
    Map,
    Map,
    Vec<Owner>,
    Vec<(String, String, bool, Vec<Port>, String)>,
);

/// What pods of a node have in common: its name and its address.
#[derive(Default, Serialize, Deserialize)]
struct Place(String, String);

fn seconds(time: &str) -> Option<i64> {
    time.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

fn time(seconds: Option<i64>) -> String {
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map(|time| time.to_string()).unwrap_or_default()
}

/// Start of the names of an owner's pods.
fn name_start(owners: &[Owner]) -> String {
    let owner = owners.iter().find(|owner| owner.controller);
    owner.map_or_else(String::new, |owner| format!("{}-", owner.name))
}

/// Whether a label or annotation is the pod's own, as others of its owner cannot have it: stateful
/// sets write the pod's name and number, networks its address and the id of its sandbox.
fn tells_of_one(metadata: &Metadata, ip: &str) -> impl Fn(&str, &str) -> bool + use<> {
    let number = metadata
        .name
        .rsplit_once('-')
        .map(|(_, end)| end.to_owned());
    let number = number.filter(|end| end.bytes().all(|byte| byte.is_ascii_digit()));
    let inside = [metadata.name.clone(), metadata.uid.clone(), ip.to_owned()];
    move |key, value| {
        let named = inside
            .iter()
            .any(|text| text.len() > 1 && value.contains(text.as_str()));
        named || number.as_deref() == Some(value) || key.ends_with("/containerID")
    }
}

/// Moves what is the pod's own out of a map.
fn split(map: Map, own: impl Fn(&str, &str) -> bool) -> (Map, Map) {
    map.into_iter().partition(|(key, value)| own(key, value))
}

impl PackedPod {
    fn pack(pod: Pod, pool: &mut Pool) -> Self {
        let Pod { metadata, ip, .. } = pod;
        let own = tells_of_one(&metadata, &ip);
        let Metadata {
            name,
            namespace,
            uid,
            labels,
            annotations,
            owners,
        } = metadata;
        let (own_labels, labels) = split(labels, &own);
        let (own_annotations, annotations) = split(annotations, &own);
        let mut out = Writer::default();
        out.after(&name_start(&owners), &name);
        out.uid(&uid);
        out.text(&pod.hostname);
        out.ip(&ip);
        out.known(&PHASES, &pod.phase);
        out.known(&READY, &pod.ready);
        let (created, started) = (seconds(&pod.created), seconds(&pod.started));
        out.some(created);
        out.some(started.map(|started| started.wrapping_sub(created.unwrap_or_default())));
        let mut specs = Vec::new();
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
            out.some(known.then_some(restarts));
            if known {
                out.id(&RUNTIMES, &id);
            }
        }
        for map in [own_labels, own_annotations] {
            out.map(&map);
        }
        let common = Common(
            namespace,
            pod.host_network,
            labels,
            annotations,
            owners,
            specs,
        );
        let place = Place(pod.node, pod.host_ip);
        // Texts and numbers always make JSON.
        let bytes = |value: serde_json::Result<Vec<u8>>| value.unwrap_or_default();
        Self {
            common: pool.share(&bytes(serde_json::to_vec(&common))),
            place: pool.share(&bytes(serde_json::to_vec(&place))),
            own: out.done(),
        }
    }

    /// A pod that shares nothing.
    pub fn of(pod: Pod) -> Self {
        Self::pack(pod, &mut Pool::default())
    }

    /// The pod.
    pub fn unpack(&self) -> Pod {
        let common: Common = serde_json::from_slice(self.common.bytes()).unwrap_or_default();
        let Place(node, host_ip) = serde_json::from_slice(self.place.bytes()).unwrap_or_default();
        let Common(namespace, host_network, mut labels, mut annotations, owners, specs) = common;
        let mut own = Reader::of(&self.own);
        let name = own.after(&name_start(&owners));
        let (uid, hostname, ip) = (own.uid(), own.text(), own.ip());
        let (phase, ready) = (own.known(&PHASES), own.known(&READY));
        let created = own.some();
        let started = own
            .some()
            .map(|since| since.wrapping_add(created.unwrap_or_default()));
        let containers = specs
            .into_iter()
            .map(|(name, image, init, ports, image_id)| {
                let restarts = own.some();
                let known = restarts.is_some();
                let id = if known {
                    own.id(&RUNTIMES)
                } else {
                    String::new()
                };
                let restarts = restarts.unwrap_or_default();
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
        let containers = containers.collect();
        own.map(&mut labels);
        own.map(&mut annotations);
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
            containers,
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
    use std::sync::Arc;

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
        assert!(Arc::ptr_eq(&packed.common.0, &other.common.0));
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
    #[test]
    fn pods_of_a_stateful_set_share_all_but_what_tells_of_one() {
        let pod = |i: usize| {
            let mut metadata = Metadata {
                name: format!("db-{i}"),
                uid: format!("0b3f5a1c-1c2d-4e5f-8a9b-0c1d2e3f4a{i:02}"),
                ..Metadata::default()
            };
            metadata.owners.push(Owner {
                name: "db".to_owned(),
                controller: true,
                ..Owner::default()
            });
            let (name, number) = (metadata.name.clone(), i.to_string());
            let ip = format!("10.0.0.{i}");
            for (key, value) in [
                ("app", "db"),
                ("apps.kubernetes.io/pod-index", &number),
                ("statefulset.kubernetes.io/pod-name", &name),
            ] {
                metadata.labels.insert(key.to_owned(), value.to_owned());
            }
            for (key, value) in [
                ("checksum/config", "c".repeat(64)),
                ("cni.projectcalico.org/containerID", format!("{i:064x}")),
                ("cni.projectcalico.org/podIP", format!("{ip}/32")),
            ] {
                metadata.annotations.insert(key.to_owned(), value);
            }
            Pod {
                metadata,
                ip,
                phase: "Running".to_owned(),
                ..Pod::default()
            }
        };
        let mut pool = Pool::default();
        let packed: Vec<PackedPod> = (0..20)
            .map(|i| PackedPod::pack(pod(i), &mut pool))
            .collect();
        for (i, packed_pod) in packed.iter().enumerate() {
            assert_eq!(packed_pod.unpack(), pod(i));
            assert!(
                Arc::ptr_eq(&packed_pod.common.0, &packed[0].common.0),
                "{i}"
            );
        }
    }

    #[test]
    fn a_pod_of_a_deployment_has_few_bytes_of_its_own() {
        let wire: Wire = serde_json::from_str(WEB).unwrap();
        let mut pod = Pod::of(wire);
        pod.metadata.name = "web-5d4f7c9b8d-x2k4p".to_owned();
        pod.metadata.owners[0].name = "web-5d4f7c9b8d".to_owned();
        pod.metadata.uid = "0b3f5a1c-1c2d-4e5f-8a9b-0c1d2e3f4a5b".to_owned();
        pod.containers[0].id = format!("containerd://{:064x}", 7);
        let packed = PackedPod::of(pod.clone());
        assert_eq!(packed.unpack(), pod);
        assert_eq!(packed.own.len(), 74);
    }
}
