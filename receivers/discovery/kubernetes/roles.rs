//! Targets of nodes, services and ingresses (prometheus-receiver 3.4).

use kube::core::DynamicObject;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::TargetLabels;
use super::{Condition, Meta, join};

/// A part of an object; what is missing has its default.
pub(super) fn part<T: DeserializeOwned + Default>(object: &DynamicObject, name: &str) -> T {
    let part = object.data.get(name).cloned().unwrap_or_default();
    serde_json::from_value(part).unwrap_or_default()
}

/// Name and namespace.
fn name(object: &DynamicObject) -> (&str, &str) {
    (
        object.metadata.name.as_deref().unwrap_or_default(),
        object.metadata.namespace.as_deref().unwrap_or_default(),
    )
}

/// Kinds of node addresses, the preferred one first.
const ADDRESSES: [&str; 6] = [
    "InternalIP",
    "InternalDNS",
    "ExternalIP",
    "ExternalDNS",
    "LegacyHostIP",
    "Hostname",
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    #[serde(rename = "providerID")]
    provider_id: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct NodeStatus {
    addresses: Vec<NodeAddress>,
    conditions: Vec<Condition>,
    daemon_endpoints: DaemonEndpoints,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeAddress {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DaemonEndpoints {
    kubelet_endpoint: DaemonEndpoint,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DaemonEndpoint {
    #[serde(rename = "Port")]
    port: u32,
}

/// One target: the kubelet.
pub(super) fn node(object: &DynamicObject) -> Vec<TargetLabels> {
    let status: NodeStatus = part(object, "status");
    let (name, _) = name(object);
    let found = ADDRESSES
        .iter()
        .find_map(|kind| status.addresses.iter().find(|a| a.kind == *kind));
    let Some(address) = found else {
        tracing::warn!("node {name} has no address, so it cannot be scraped");
        return Vec::new();
    };
    let mut meta = Meta::default();
    meta.put("node_name", name);
    meta.put(
        "node_provider_id",
        &part::<NodeSpec>(object, "spec").provider_id,
    );
    meta.put_object("node", &object.metadata);
    for condition in &status.conditions {
        let kind = format!("node_condition_{}", condition.kind.to_lowercase());
        meta.put(&kind, &condition.status.to_lowercase());
    }
    // the first of each type counts
    for address in status.addresses.iter().rev() {
        meta.put(&format!("node_address_{}", address.kind), &address.address);
    }
    let port = status.daemon_endpoints.kubelet_endpoint.port;
    meta.0.insert("instance".to_owned(), name.to_owned());
    vec![meta.at(join(&address.address, port))]
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServiceSpec {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    external_name: String,
    #[serde(rename = "loadBalancerIP")]
    load_balancer_ip: String,
    ports: Vec<ServicePort>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServicePort {
    name: String,
    port: u32,
    protocol: String,
}

/// What targets of endpoints know of their service.
pub(super) fn service_labels(object: &DynamicObject, meta: &mut Meta) {
    meta.put("service_name", name(object).0);
    meta.put_object("service", &object.metadata);
}

/// One target per port: the service's name in the cluster.
pub(super) fn service(object: &DynamicObject) -> Vec<TargetLabels> {
    let spec: ServiceSpec = part(object, "spec");
    let (name, namespace) = name(object);
    let mut meta = Meta::default();
    meta.put("namespace", namespace);
    service_labels(object, &mut meta);
    meta.put("service_type", &spec.kind);
    if spec.kind == "ExternalName" {
        meta.put("service_external_name", &spec.external_name);
    } else {
        meta.put("service_cluster_ip", &spec.cluster_ip);
    }
    if spec.kind == "LoadBalancer" {
        meta.put("service_loadbalancer_ip", &spec.load_balancer_ip);
    }
    let target = |port: &ServicePort| {
        let mut meta = meta.clone();
        meta.put("service_port_name", &port.name);
        meta.put("service_port_number", &port.port.to_string());
        meta.put("service_port_protocol", &port.protocol);
        meta.at(format!("{name}.{namespace}.svc:{}", port.port))
    };
    spec.ports.iter().map(target).collect()
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct IngressSpec {
    ingress_class_name: String,
    tls: Vec<Tls>,
    rules: Vec<Rule>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tls {
    hosts: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rule {
    host: String,
    http: Paths,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Paths {
    paths: Vec<PathRule>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PathRule {
    path: String,
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
pub(super) fn ingress(object: &DynamicObject) -> Vec<TargetLabels> {
    let spec: IngressSpec = part(object, "spec");
    let (name, namespace) = name(object);
    let mut meta = Meta::default();
    meta.put("namespace", namespace);
    meta.put("ingress_name", name);
    meta.put_object("ingress", &object.metadata);
    meta.put("ingress_class_name", &spec.ingress_class_name);
    let mut targets = Vec::new();
    for rule in &spec.rules {
        let mut hosts = spec.tls.iter().flat_map(|tls| &tls.hosts);
        let secure = hosts.any(|host| covers(host, &rule.host));
        let mut paths: Vec<&str> = rule.http.paths.iter().map(|p| p.path.as_str()).collect();
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn labels(targets: &[TargetLabels], i: usize, name: &str) -> Option<String> {
        let found = targets[i].iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone())
    }

    fn object(text: &str) -> DynamicObject {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_node_is_its_kubelet_at_the_preferred_address() {
        let found = node(&object(
            r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n"},"spec":{"providerID":"aws:///x"},"status":{
            "addresses":[{"type":"Hostname","address":"h"},{"type":"InternalIP","address":"fd00::1"},{"type":"InternalIP","address":"fd00::2"}],
            "conditions":[{"type":"Ready","status":"True"}],"daemonEndpoints":{"kubeletEndpoint":{"Port":10250}}}}"#,
        ));
        assert_eq!(labels(&found, 0, "__address__").unwrap(), "[fd00::1]:10250");
        assert_eq!(labels(&found, 0, "instance").unwrap(), "n");
        let meta = |name: &str| labels(&found, 0, &format!("__meta_kubernetes_{name}"));
        assert_eq!(meta("node_condition_ready").unwrap(), "true");
        assert_eq!(meta("node_address_InternalIP").unwrap(), "fd00::1");
        assert_eq!(meta("node_provider_id").unwrap(), "aws:///x");
        assert!(
            node(&object(
                r#"{"kind":"Node","apiVersion":"v1","metadata":{"name":"n"}}"#
            ))
            .is_empty()
        );
    }

    #[test]
    fn an_ingress_is_a_target_per_path_and_secure_where_tls_covers_it() {
        let found = ingress(&object(
            r#"{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"i","namespace":"d"},"spec":{
            "tls":[{"hosts":["*.a.test"]}],"rules":[{"host":"x.a.test","http":{"paths":[{"path":"/p"},{}]}},{"host":"x.y.a.test"}]}}"#,
        ));
        let meta =
            |i: usize, name: &str| labels(&found, i, &format!("__meta_kubernetes_{name}")).unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(
            (
                meta(0, "ingress_path").as_str(),
                meta(1, "ingress_path").as_str()
            ),
            ("/p", "/")
        );
        assert_eq!(
            (
                meta(0, "ingress_scheme").as_str(),
                meta(2, "ingress_scheme").as_str()
            ),
            ("https", "http")
        );
        assert_eq!(labels(&found, 2, "__address__").unwrap(), "x.y.a.test");
    }
}
