//! The Kubernetes API as discovery and processors use it: list and watch, kept in slim caches.
//!
//! One [`Cluster`] for each way to reach the API, one [`Watch`] for each distinct query of it: all
//! jobs and pipelines of a graph share them. Only the parts of objects that somebody reads are kept.

mod access;
mod ask;
mod cluster;
mod explain;
mod list;
mod objects;
mod source;
mod watch;

pub use access::{Access, Server};
pub use ask::Found;
pub use cluster::{Cluster, Query};
pub use objects::{
    Address, Container, EndpointPort, Endpoints, Ingress, IngressRule, Metadata, Node, Owner,
    PackedPod, Pod, Port, Resource, Service, ServicePort, Slice, SliceEndpoint, Slim, Subset,
    TargetRef, Wire,
};
pub use watch::{Changes, Key, Watch, any, key};
