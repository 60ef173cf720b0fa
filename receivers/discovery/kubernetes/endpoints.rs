//! Targets of endpoints and endpoint slices, with what is known of the service and the pods behind
//! them (prometheus-receiver 3.4).

use std::collections::{BTreeMap, BTreeSet};

use weir_kube::{
    Changes, Endpoints, Key, Metadata, PackedPod, Pod, Slice, Slim, TargetRef, Watch, key,
};

use super::super::TargetLabels;
use super::super::config::Role;
use super::labels::{Attached, Meta, join, label_name};
use super::pod::{pod_labels, put_container};
use super::{Scope, View};

/// Says of which service a slice is a part.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// An address with a port.
pub(super) struct Part {
    /// Labels of this endpoint.
    meta: Meta,
    address: String,
    port: Option<i64>,
    protocol: String,
    node: String,
    target: Option<TargetRef>,
}

/// What stands behind a service, in its older or its newer form.
pub(super) trait Behind: Slim {
    const ROLE: Role;
    const KIND: &'static str;
    fn metadata(&self) -> &Metadata;
    /// Name of the service.
    fn service(&self) -> &str;
    /// Labels of all targets.
    fn common(&self) -> Meta;
    /// All addresses with all ports.
    fn parts(&self) -> Vec<Part>;
    /// The objects behind the addresses.
    fn references(&self) -> impl Iterator<Item = &TargetRef>;
}

/// The key of a pod behind an address.
fn pod_key(target: &TargetRef) -> Option<String> {
    (target.kind == "Pod").then(|| key(&target.namespace, &target.name))
}

fn put_target(meta: &mut Meta, prefix: &str, target: Option<&TargetRef>) {
    if let Some(target) = target {
        meta.put(&format!("{prefix}_address_target_kind"), &target.kind);
        meta.put(&format!("{prefix}_address_target_name"), &target.name);
    }
}

impl Behind for Endpoints {
    const ROLE: Role = Role::Endpoints;
    const KIND: &'static str = "endpoints";

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn service(&self) -> &str {
        &self.metadata.name
    }

    fn common(&self) -> Meta {
        let mut meta = Meta::default();
        meta.put("namespace", &self.metadata.namespace);
        meta.put("endpoints_name", &self.metadata.name);
        meta.put_object("endpoints", &self.metadata);
        meta
    }

    fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        for subset in &self.subsets {
            let ready = subset.addresses.iter().map(|address| (address, "true"));
            let unready = subset
                .not_ready_addresses
                .iter()
                .map(|address| (address, "false"));
            for port in &subset.ports {
                for (address, ready) in ready.clone().chain(unready.clone()) {
                    let mut meta = Meta::default();
                    meta.put("endpoint_port_name", &port.name);
                    meta.put("endpoint_port_protocol", &port.protocol);
                    meta.put("endpoint_ready", ready);
                    meta.put("endpoint_hostname", &address.hostname);
                    meta.put("endpoint_node_name", &address.node_name);
                    put_target(&mut meta, "endpoint", address.target_ref.as_ref());
                    parts.push(Part {
                        meta,
                        address: address.ip.clone(),
                        port: port.port,
                        protocol: port.protocol.clone(),
                        node: address.node_name.clone(),
                        target: address.target_ref.clone(),
                    });
                }
            }
        }
        parts
    }

    fn references(&self) -> impl Iterator<Item = &TargetRef> {
        let subsets = self.subsets.iter();
        let addresses = subsets.flat_map(|s| s.addresses.iter().chain(&s.not_ready_addresses));
        addresses.filter_map(|address| address.target_ref.as_ref())
    }
}

impl Behind for Slice {
    const ROLE: Role = Role::EndpointSlice;
    const KIND: &'static str = "endpointslice";

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn service(&self) -> &str {
        self.metadata
            .labels
            .get(SERVICE_LABEL)
            .map_or("", String::as_str)
    }

    fn common(&self) -> Meta {
        let mut meta = Meta::default();
        meta.put("namespace", &self.metadata.namespace);
        meta.put("endpointslice_name", &self.metadata.name);
        meta.put("endpointslice_address_type", &self.address_type);
        meta.put_object("endpointslice", &self.metadata);
        meta
    }

    fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        for port in &self.ports {
            for endpoint in &self.endpoints {
                let mut meta = Meta::default();
                meta.put_some("endpointslice_port", port.port);
                meta.put("endpointslice_port_name", &port.name);
                meta.put("endpointslice_port_protocol", &port.protocol);
                meta.put("endpointslice_port_app_protocol", &port.app_protocol);
                let conditions = endpoint.conditions;
                meta.put_some("endpointslice_endpoint_conditions_ready", conditions.ready);
                meta.put_some(
                    "endpointslice_endpoint_conditions_serving",
                    conditions.serving,
                );
                let ending = conditions.terminating;
                meta.put_some("endpointslice_endpoint_conditions_terminating", ending);
                meta.put_some(
                    "endpointslice_endpoint_hostname",
                    endpoint.hostname.as_ref(),
                );
                meta.put_some(
                    "endpointslice_endpoint_node_name",
                    endpoint.node_name.as_ref(),
                );
                meta.put_some("endpointslice_endpoint_zone", endpoint.zone.as_ref());
                put_target(&mut meta, "endpointslice", endpoint.target_ref.as_ref());
                for (key, value) in &endpoint.deprecated_topology {
                    let key = label_name(key);
                    meta.put(&format!("endpointslice_endpoint_topology_{key}"), value);
                    meta.put(
                        &format!("endpointslice_endpoint_topology_present_{key}"),
                        "true",
                    );
                }
                for address in &endpoint.addresses {
                    parts.push(Part {
                        meta: meta.clone(),
                        address: address.clone(),
                        port: port.port,
                        protocol: port.protocol.clone(),
                        node: endpoint.node_name.clone().unwrap_or_default(),
                        target: endpoint.target_ref.clone(),
                    });
                }
            }
        }
        parts
    }

    fn references(&self) -> impl Iterator<Item = &TargetRef> {
        self.endpoints
            .iter()
            .filter_map(|endpoint| endpoint.target_ref.as_ref())
    }
}

/// Endpoints, services, pods, and what is attached.
pub(super) struct Joined<T> {
    objects: Watch<T>,
    services: Watch<Metadata>,
    pods: Watch<PackedPod>,
    attached: Attached,
}

impl<T: Behind> Joined<T> {
    pub(super) fn new(scope: &Scope<'_>, attached: Attached) -> Self {
        Self {
            objects: scope.watch(T::ROLE),
            services: scope.watch(Role::Service),
            pods: scope.watch(Role::Pod),
            attached,
        }
    }

    fn of_pods(&self, pods: &BTreeSet<Key>) -> BTreeSet<Key> {
        let touched = |object: &T| {
            let mut keys = object.references().filter_map(pod_key);
            keys.any(|key| pods.contains(key.as_str()))
        };
        let all = self.objects.all().into_iter();
        all.filter(|(_, object)| touched(object))
            .map(|(key, _)| key)
            .collect()
    }

    fn of_services(&self, services: &BTreeSet<Key>) -> BTreeSet<Key> {
        let touched = |object: &T| {
            let key = key(&object.metadata().namespace, object.service());
            services.contains(key.as_str())
        };
        let all = self.objects.all().into_iter();
        all.filter(|(_, object)| touched(object))
            .map(|(key, _)| key)
            .collect()
    }
}

impl<T: Behind> View for Joined<T> {
    fn kind(&self) -> &'static str {
        T::KIND
    }

    fn changes(&self) -> Vec<Changes> {
        let mut changes = vec![
            self.objects.changes(),
            self.services.changes(),
            self.pods.changes(),
        ];
        changes.extend(self.attached.changes());
        changes
    }

    fn touched(&self, of: usize, keys: BTreeSet<Key>) -> BTreeSet<Key> {
        match of {
            0 => keys,
            1 => self.of_services(&keys),
            2 => self.of_pods(&keys),
            _ => self.objects.keys(),
        }
    }

    fn targets(&self, at: &str) -> Vec<TargetLabels> {
        let Some(object) = self.objects.get(at) else {
            return Vec::new();
        };
        let namespace = &object.metadata().namespace;
        let mut common = object.common();
        if let Some(service) = self.services.get(&key(namespace, object.service())) {
            common.put("service_name", &service.name);
            common.put_object("service", &service);
        }
        self.attached.put_namespace(&mut common, namespace);
        let mut targets = Vec::new();
        // pods behind the addresses, and their ports that are targets already
        let mut pods: BTreeMap<String, (Pod, Meta, BTreeSet<i64>)> = BTreeMap::new();
        for part in object.parts() {
            let mut meta = common.clone();
            meta.0.extend(part.meta.0);
            let node = match &part.target {
                Some(target) if part.node.is_empty() && target.kind == "Node" => &target.name,
                _ => &part.node,
            };
            self.attached.put_node(&mut meta, node);
            if let Some(key) = part.target.as_ref().and_then(pod_key)
                && let Some(pod) = self.pods.get(&key)
            {
                let (pod, labels, covered) = pods.entry(key).or_insert_with(|| {
                    let pod = pod.unpack();
                    let labels = pod_labels(&pod, &self.attached);
                    (pod, labels, BTreeSet::new())
                });
                meta.0.extend(labels.0.clone());
                if let Some(number) = part.port {
                    covered.insert(number);
                    put_port(&mut meta, pod, number, &part.protocol);
                }
            }
            let address = match part.port {
                Some(port) => join(&part.address, port),
                None => part.address,
            };
            targets.push(meta.at(address));
        }
        for (pod, labels, covered) in pods.values() {
            self.put_other_ports(&common, pod, labels, covered, &mut targets);
        }
        targets
    }
}

impl<T> Joined<T> {
    /// The other ports of a pod are targets too.
    fn put_other_ports(
        &self,
        common: &Meta,
        pod: &Pod,
        labels: &Meta,
        covered: &BTreeSet<i64>,
        targets: &mut Vec<TargetLabels>,
    ) {
        if pod.ip.is_empty() {
            return;
        }
        let ports = pod.containers.iter().flat_map(|container| &container.ports);
        for port in ports.filter(|port| !covered.contains(&port.number)) {
            let mut meta = common.clone();
            meta.0.extend(labels.0.clone());
            self.attached.put_node(&mut meta, &pod.node);
            put_port(&mut meta, pod, port.number, &port.protocol);
            targets.push(meta.at(join(&pod.ip, port.number)));
        }
    }
}

/// Labels of the container that has this port.
fn put_port(meta: &mut Meta, pod: &Pod, number: i64, protocol: &str) {
    for container in &pod.containers {
        if let Some(port) = container.ports.iter().find(|port| port.number == number) {
            put_container(meta, container);
            meta.put("pod_container_port_name", &port.name);
            meta.put("pod_container_port_number", &number.to_string());
            meta.put("pod_container_port_protocol", protocol);
            return;
        }
    }
}
