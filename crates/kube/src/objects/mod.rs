//! The parts of objects that are kept.

mod network;
mod node;
mod pod;
mod wire;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ApiResource;
use kube::core::GroupVersionKind;
use serde::{Deserialize, Serialize};

pub use network::{
    EndpointPort, Endpoints, Ingress, IngressRule, Service, ServicePort, Slice, SliceEndpoint,
    Subset, TargetRef,
};
pub use node::{Address, Node};
pub use pod::{Container, PackedPod, Pod, Port};
pub(crate) use wire::MetadataWire;
pub use wire::Wire;
use wire::or_default;

/// Kinds of objects that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the kinds are Kubernetes' own")]
pub enum Resource {
    Pod,
    Node,
    Namespace,
    Service,
    Endpoints,
    EndpointSlice,
    Ingress,
    ReplicaSet,
    Deployment,
    StatefulSet,
    DaemonSet,
    Job,
}

impl Resource {
    /// The API group, empty for the core.
    pub fn group(self) -> &'static str {
        match self {
            Self::Pod | Self::Node | Self::Namespace | Self::Service | Self::Endpoints => "",
            Self::EndpointSlice => "discovery.k8s.io",
            Self::Ingress => "networking.k8s.io",
            Self::ReplicaSet | Self::Deployment | Self::StatefulSet | Self::DaemonSet => "apps",
            Self::Job => "batch",
        }
    }

    /// The name in paths and in permissions.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Pod => "pods",
            Self::Node => "nodes",
            Self::Namespace => "namespaces",
            Self::Service => "services",
            Self::Endpoints => "endpoints",
            Self::EndpointSlice => "endpointslices",
            Self::Ingress => "ingresses",
            Self::ReplicaSet => "replicasets",
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
            Self::Job => "jobs",
        }
    }

    pub(crate) fn api(self) -> ApiResource {
        let kind = format!("{self:?}");
        let kind = GroupVersionKind::gvk(self.group(), "v1", &kind);
        ApiResource::from_gvk_with_plural(&kind, self.plural())
    }
}

/// An object in the short form that is kept.
pub trait Slim: PartialEq + Send + Sync + 'static {
    /// Whether only the metadata are asked for.
    const METADATA_ONLY: bool = false;

    /// The short form.
    fn slim(wire: Wire, resource: Resource, pool: &mut Pool) -> Self;
}

/// Bytes that objects of one watch have in common, kept once.
#[derive(Debug, Default)]
pub struct Pool {
    known: HashSet<Arc<[u8]>>,
    /// Size at which those that nobody holds any more are dropped.
    sweep_at: usize,
}

impl Pool {
    /// These bytes, shared with whoever has the same.
    pub fn share(&mut self, bytes: &[u8]) -> Arc<[u8]> {
        if let Some(known) = self.known.get(bytes) {
            return known.clone();
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|bytes| Arc::strong_count(bytes) > 1);
            self.sweep_at = (2 * self.known.len()).max(64);
        }
        let new: Arc<[u8]> = bytes.into();
        self.known.insert(new.clone());
        new
    }
}

/// An object that another belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub struct Owner {
    /// Its kind, such as `ReplicaSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Whether it manages the object.
    pub controller: bool,
}

/// What all objects have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Metadata {
    /// Name.
    pub name: String,
    /// Namespace, empty for objects that have none.
    pub namespace: String,
    /// Uid.
    pub uid: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// What it belongs to.
    pub owners: Vec<Owner>,
}

impl Metadata {
    pub(crate) fn of(metadata: ObjectMeta) -> Self {
        let owners = metadata.owner_references.unwrap_or_default().into_iter();
        Self {
            name: metadata.name.unwrap_or_default(),
            namespace: metadata.namespace.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
            owners: owners
                .map(|owner| Owner {
                    kind: owner.kind,
                    name: owner.name,
                    uid: owner.uid,
                    controller: owner.controller == Some(true),
                })
                .collect(),
        }
    }

    /// The owner that manages the object.
    pub fn controller(&self) -> Option<&Owner> {
        self.owners.iter().find(|owner| owner.controller)
    }

    /// The owner of a kind.
    pub fn owner(&self, kind: &str) -> Option<&Owner> {
        self.owners.iter().find(|owner| owner.kind == kind)
    }
}

impl Slim for Metadata {
    const METADATA_ONLY: bool = true;

    fn slim(wire: Wire, resource: Resource, _: &mut Pool) -> Self {
        let mut metadata = Self::of(wire.metadata);
        if resource == Resource::ReplicaSet {
            // They are many, and only their owners are looked at.
            metadata.labels.clear();
            metadata.annotations.clear();
        }
        metadata
    }
}
