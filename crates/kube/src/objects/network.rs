//! Services, endpoints, endpoint slices and ingresses.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Metadata, Pool, Resource, Slim, Wire, or_default};

/// A service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Name, labels.
    pub metadata: Metadata,
    /// `ClusterIP`, `ExternalName` and so on.
    pub kind: String,
    /// Its address in the cluster.
    pub cluster_ip: String,
    /// The name that an `ExternalName` stands for.
    pub external_name: String,
    /// The address that was asked for a load balancer.
    pub load_balancer_ip: String,
    /// Ports.
    pub ports: Vec<ServicePort>,
}

/// A port of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ServicePort {
    /// Name.
    pub name: String,
    /// Number.
    pub port: i64,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

impl Slim for Service {
    fn slim(wire: Wire, _: Resource, _: &mut Pool) -> Self {
        Self {
            metadata: Metadata::of(wire.metadata),
            kind: wire.spec.kind,
            cluster_ip: wire.spec.cluster_ip,
            external_name: wire.spec.external_name,
            load_balancer_ip: wire.spec.load_balancer_ip,
            ports: wire.spec.ports,
        }
    }
}

/// The addresses behind a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Name, which is that of the service, labels.
    pub metadata: Metadata,
    /// Addresses and ports.
    pub subsets: Vec<Subset>,
}

/// Addresses that have the same ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Subset {
    /// Addresses that are ready.
    #[serde(deserialize_with = "or_default")]
    pub addresses: Vec<EndpointAddress>,
    /// Those that are not.
    #[serde(deserialize_with = "or_default")]
    pub not_ready_addresses: Vec<EndpointAddress>,
    /// Ports.
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<EndpointPort>,
}

/// An address of endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EndpointAddress {
    /// The address.
    pub ip: String,
    /// Name of the host.
    pub hostname: String,
    /// Its node.
    pub node_name: String,
    /// The object behind it.
    pub target_ref: Option<TargetRef>,
}

/// The object behind an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TargetRef {
    /// Its kind, such as `Pod`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// A port of endpoints or slices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EndpointPort {
    /// Name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Number; slices may leave it out.
    pub port: Option<i64>,
    /// `TCP`, `UDP` or `SCTP`.
    #[serde(deserialize_with = "or_default")]
    pub protocol: String,
    /// The protocol on top, such as `http`.
    #[serde(deserialize_with = "or_default")]
    pub app_protocol: String,
}

impl Slim for Endpoints {
    fn slim(wire: Wire, _: Resource, _: &mut Pool) -> Self {
        Self {
            metadata: Metadata::of(wire.metadata),
            subsets: wire.subsets,
        }
    }
}

/// A part of the addresses behind a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Name, labels: `kubernetes.io/service-name` names the service.
    pub metadata: Metadata,
    /// `IPv4`, `IPv6` or `FQDN`.
    pub address_type: String,
    /// Addresses.
    pub endpoints: Vec<SliceEndpoint>,
    /// Ports of all of them.
    pub ports: Vec<EndpointPort>,
}

/// An endpoint of a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SliceEndpoint {
    /// Its addresses.
    #[serde(deserialize_with = "or_default")]
    pub addresses: Vec<String>,
    /// What is known of its state.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Conditions,
    /// Name of the host.
    pub hostname: Option<String>,
    /// Its node.
    pub node_name: Option<String>,
    /// Its zone.
    pub zone: Option<String>,
    /// The object behind it.
    pub target_ref: Option<TargetRef>,
    /// Where it is, in the older form.
    #[serde(deserialize_with = "or_default")]
    pub deprecated_topology: BTreeMap<String, String>,
}

/// The state of an endpoint of a slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// It takes new connections.
    pub ready: Option<bool>,
    /// It serves those that it has.
    pub serving: Option<bool>,
    /// It is about to end.
    pub terminating: Option<bool>,
}

impl Slim for Slice {
    fn slim(wire: Wire, _: Resource, _: &mut Pool) -> Self {
        Self {
            metadata: Metadata::of(wire.metadata),
            address_type: wire.address_type,
            endpoints: wire.endpoints,
            ports: wire.ports,
        }
    }
}

/// An ingress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ingress {
    /// Name, labels.
    pub metadata: Metadata,
    /// Class.
    pub class: String,
    /// Hosts that have certificates.
    pub tls_hosts: Vec<String>,
    /// Hosts and paths.
    pub rules: Vec<IngressRule>,
}

/// A host of an ingress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IngressRule {
    /// The host.
    pub host: String,
    /// Its paths.
    pub paths: Vec<String>,
}

impl Slim for Ingress {
    fn slim(wire: Wire, _: Resource, _: &mut Pool) -> Self {
        let rules = wire.spec.rules.into_iter().map(|rule| IngressRule {
            host: rule.host,
            paths: rule.http.paths.into_iter().map(|path| path.path).collect(),
        });
        Self {
            metadata: Metadata::of(wire.metadata),
            class: wire.spec.ingress_class_name,
            tls_hosts: wire
                .spec
                .tls
                .into_iter()
                .flat_map(|tls| tls.hosts)
                .collect(),
            rules: rules.collect(),
        }
    }
}
