//! The parts of objects that are kept.

mod bytes;
mod network;
mod node;
mod packed;
mod pod;
mod wire;

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use network::{
    EndpointPort, Endpoints, Ingress, IngressRule, Service, ServicePort, Slice, SliceEndpoint,
    Subset, TargetRef,
};
pub use node::{Address, Node};
pub use packed::PackedPod;
pub use pod::{Container, Pod, Port};
pub use wire::Wire;
use wire::{WireMetadata, or_default};

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

    /// The path of these objects in a namespace, or of all.
    pub(crate) fn path(self, namespace: Option<&str>) -> String {
        let root = match self.group() {
            "" => "/api/v1".to_owned(),
            group => format!("/apis/{group}/v1"),
        };
        match namespace {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{}", self.plural()),
            None => format!("{root}/{}", self.plural()),
        }
    }
}

/// An object in the short form that is kept.
pub trait Slim: PartialEq + Send + Sync + 'static {
    /// Whether only the metadata are asked for.
    const METADATA_ONLY: bool = false;

    /// The short form.
    fn slim(wire: Wire, resource: Resource, pool: &mut Pool) -> Self;
}

/// Bytes that several objects have, behind one address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Shared(Arc<Box<[u8]>>);

impl Shared {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Shared {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Bytes that objects of one watch have in common, kept once.
#[derive(Debug, Default)]
pub struct Pool {
    known: HashSet<Shared>,
    /// Size at which those that nobody holds any more are dropped.
    sweep_at: usize,
}

impl Pool {
    /// These bytes, shared with whoever has the same.
    fn share(&mut self, bytes: &[u8]) -> Shared {
        if let Some(known) = self.known.get(bytes) {
            return known.clone();
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|bytes| Arc::strong_count(&bytes.0) > 1);
            self.sweep_at = (2 * self.known.len()).max(64);
        }
        let new = Shared(Arc::new(bytes.into()));
        self.known.insert(new.clone());
        new
    }
}

/// A time in the one form that RFC 3339 has of it in seconds; empty if it is none.
fn rfc3339(time: &str) -> String {
    let time = time.parse::<Timestamp>();
    time.map(|time| time.to_string()).unwrap_or_default()
}

/// An object that another belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(default)]
pub struct Owner {
    /// Its kind, such as `ReplicaSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Whether it manages the object.
    #[serde(deserialize_with = "or_default")]
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
    fn of(metadata: WireMetadata) -> Self {
        let WireMetadata {
            name,
            namespace,
            uid,
            labels,
            annotations,
            owner_references,
            ..
        } = metadata;
        Self {
            name,
            namespace,
            uid,
            labels,
            annotations,
            owners: owner_references,
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
