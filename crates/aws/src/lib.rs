//! AWS: where credentials come from, signing, endpoints, and the few calls of CloudWatch Logs and
//! X-Ray that the exporters make.
//!
//! The credential chain is that of the AWS SDKs, written anew and hidden behind
//! [`CredentialsProvider`]; the calls are signed posts of our own, and [`proxy`] signs those of other
//! programs. This crate may read environment variables: they are part of the credential chain's
//! contract.

mod cache;
mod chain;
mod client;
mod clock;
mod connect;
mod credentials;
mod ecs;
mod endpoint;
mod error;
mod imds;
mod instance_tags;
pub mod inventory;
mod logs;
pub mod proxy;
mod region;
mod retry;
mod segment_counts;
mod session;
mod sign;
mod sources;
mod transport;
mod xray;

#[cfg(test)]
mod tests;

pub use chain::{AssumeRole, ChainSettings, credentials_chain, instance_metadata};
pub use client::{AwsClient, Call, ClientIdentity};
pub use clock::ServiceClock;
pub use credentials::{Credentials, CredentialsError, CredentialsProvider};
pub use ecs::{EcsTaskMetadata, MetadataError};
pub use endpoint::{Service, dns_suffix};
pub use error::{AwsError, ErrorKind};
pub use imds::{Ec2Metadata, Patience};
pub use instance_tags::instance_tags;
pub use logs::{CloudWatchLogs, NewGroup, PutLogEventsReply, RejectedLogEvents};
pub use region::resolve_region;
pub use segment_counts::{
    BackendConnectionErrors, SegmentCounts, TelemetryRecord, segment_counts, share_segment_counts,
    telemetry_host,
};
pub use session::AwsSession;
pub use sign::{SignError, Signer, sign_time};
pub use transport::{Transport, TransportError, TransportErrorKind};
pub use xray::{PutTraceSegmentsReply, UnprocessedSegment, XRay};
