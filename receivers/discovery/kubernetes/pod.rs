//! Targets of pods: one for each port of a container, one for a container without ports.

use weir_kube::{Container, PackedPod, Pod};

use super::super::TargetLabels;
use super::labels::{Attached, Meta, join};

pub(super) fn targets(pod: &PackedPod, attached: &Attached) -> Vec<TargetLabels> {
    let pod = pod.unpack();
    let mut targets = Vec::new();
    let mut meta = pod_labels(&pod, attached);
    attached.put_namespace(&mut meta, &pod.metadata.namespace);
    // A pod without an address cannot be scraped.
    if pod.ip.is_empty() || !attached.put_node(&mut meta, &pod.node) {
        return targets;
    }
    for container in &pod.containers {
        container_targets(&meta, &pod.ip, container, &mut targets);
    }
    targets
}

/// What all targets of a pod have.
pub(super) fn pod_labels(pod: &Pod, attached: &Attached) -> Meta {
    let mut meta = Meta::default();
    let metadata = &pod.metadata;
    meta.put("namespace", &metadata.namespace);
    meta.put("pod_name", &metadata.name);
    meta.put("pod_uid", &metadata.uid);
    meta.put("pod_ip", &pod.ip);
    meta.put("pod_host_ip", &pod.host_ip);
    meta.put("pod_node_name", &pod.node);
    meta.put("pod_phase", &pod.phase);
    let ready = pod.ready.to_lowercase();
    meta.put(
        "pod_ready",
        if ready.is_empty() { "unknown" } else { &ready },
    );
    meta.put_object("pod", metadata);
    if let Some(owner) = metadata.controller() {
        meta.put("pod_controller_kind", &owner.kind);
        meta.put("pod_controller_name", &owner.name);
    }
    attached.put_owners(&mut meta, pod);
    meta
}

fn container_targets(pod: &Meta, ip: &str, container: &Container, targets: &mut Vec<TargetLabels>) {
    let mut meta = pod.clone();
    put_container(&mut meta, container);
    meta.put("pod_container_id", &container.id);
    if container.ports.is_empty() {
        // The bare address, as it is: relabelling adds the port.
        return targets.push(meta.at(ip.to_owned()));
    }
    for port in &container.ports {
        let mut meta = meta.clone();
        meta.put("pod_container_port_name", &port.name);
        meta.put("pod_container_port_number", &port.number.to_string());
        meta.put("pod_container_port_protocol", &port.protocol);
        targets.push(meta.at(join(ip, port.number)));
    }
}

pub(super) fn put_container(meta: &mut Meta, container: &Container) {
    meta.put("pod_container_name", &container.name);
    meta.put("pod_container_image", &container.image);
    meta.put(
        "pod_container_init",
        if container.init { "true" } else { "false" },
    );
}
