//! Targets of nodes, services and ingresses (prometheus-receiver 3.4).

use weir_kube::{Ingress, Node, Service, ServicePort};

use super::super::TargetLabels;
use super::labels::{Attached, Meta, join};

/// Kinds of node addresses, the preferred one first.
const ADDRESSES: [&str; 6] = [
    "InternalIP",
    "InternalDNS",
    "ExternalIP",
    "ExternalDNS",
    "LegacyHostIP",
    "Hostname",
];

/// One target: the kubelet.
pub(super) fn node(node: &Node, _: &Attached) -> Vec<TargetLabels> {
    let name = &node.metadata.name;
    let found = ADDRESSES
        .iter()
        .find_map(|kind| node.addresses.iter().find(|a| a.kind == *kind));
    let Some(address) = found else {
        tracing::warn!("node {name} has no address, so it cannot be scraped");
        return Vec::new();
    };
    let mut meta = Meta::default();
    meta.put("node_name", name);
    meta.put("node_provider_id", &node.provider_id);
    meta.put_object("node", &node.metadata);
    for (kind, status) in &node.conditions {
        let kind = format!("node_condition_{}", kind.to_lowercase());
        meta.put(&kind, &status.to_lowercase());
    }
    // the first of each type counts
    for address in node.addresses.iter().rev() {
        meta.put(&format!("node_address_{}", address.kind), &address.address);
    }
    meta.0.insert("instance".to_owned(), name.clone());
    vec![meta.at(join(&address.address, node.kubelet_port))]
}

/// One target per port: the service's name in the cluster.
pub(super) fn service(service: &Service, attached: &Attached) -> Vec<TargetLabels> {
    let (name, namespace) = (&service.metadata.name, &service.metadata.namespace);
    let mut meta = Meta::default();
    meta.put("namespace", namespace);
    meta.put("service_name", name);
    meta.put_object("service", &service.metadata);
    attached.put_namespace(&mut meta, namespace);
    meta.put("service_type", &service.kind);
    if service.kind == "ExternalName" {
        meta.put("service_external_name", &service.external_name);
    } else {
        meta.put("service_cluster_ip", &service.cluster_ip);
    }
    if service.kind == "LoadBalancer" {
        meta.put("service_loadbalancer_ip", &service.load_balancer_ip);
    }
    let target = |port: &ServicePort| {
        let mut meta = meta.clone();
        meta.put("service_port_name", &port.name);
        meta.put("service_port_number", &port.port.to_string());
        meta.put("service_port_protocol", &port.protocol);
        meta.at(format!("{name}.{namespace}.svc:{}", port.port))
    };
    service.ports.iter().map(target).collect()
}

/// Whether a host of a TLS entry, perhaps with a wildcard as its first label, covers a host.
fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(rest) => host
            .split_once('.')
            .is_some_and(|(first, tail)| !first.is_empty() && tail == rest),
        None => pattern == host,
    }
}

/// One target per rule and path.
pub(super) fn ingress(ingress: &Ingress, attached: &Attached) -> Vec<TargetLabels> {
    let metadata = &ingress.metadata;
    let mut meta = Meta::default();
    meta.put("namespace", &metadata.namespace);
    meta.put("ingress_name", &metadata.name);
    meta.put_object("ingress", metadata);
    attached.put_namespace(&mut meta, &metadata.namespace);
    meta.put("ingress_class_name", &ingress.class);
    let mut targets = Vec::new();
    for rule in &ingress.rules {
        let secure = ingress
            .tls_hosts
            .iter()
            .any(|host| covers(host, &rule.host));
        let mut paths: Vec<&str> = rule.paths.iter().map(String::as_str).collect();
        if paths.is_empty() {
            paths.push("");
        }
        for path in paths {
            let mut meta = meta.clone();
            meta.put("ingress_scheme", if secure { "https" } else { "http" });
            meta.put("ingress_host", &rule.host);
            meta.put("ingress_path", if path.is_empty() { "/" } else { path });
            targets.push(meta.at(rule.host.clone()));
        }
    }
    targets
}
