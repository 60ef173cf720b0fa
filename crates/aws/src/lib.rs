//! AWS: where credentials come from, signing, endpoints, and the few calls of CloudWatch Logs and
//! X-Ray that the exporters make.
//!
//! The credential chain is that of the AWS SDK, hidden behind [`CredentialsProvider`]; the calls are
//! signed JSON posts of our own. This crate may read environment variables: they are part of the
//! credential chain's contract.

mod cache;
mod chain;
mod client;
mod connect;
mod container;
mod credentials;
mod endpoint;
mod error;
mod logs;
mod region;
mod retry;
mod segment_counts;
mod session;
mod sign;
mod transport;
mod xray;

#[cfg(test)]
mod tests;

pub use chain::{AssumeRole, ChainSettings, credentials_chain, instance_metadata};
pub use client::{AwsClient, Call, ClientIdentity};
pub use credentials::{Credentials, CredentialsError, CredentialsProvider};
pub use endpoint::Service;
pub use error::{AwsError, ErrorKind};
pub use logs::{CloudWatchLogs, NewGroup, PutLogEventsReply, RejectedLogEvents};
pub use region::resolve_region;
pub use segment_counts::{
    BackendConnectionErrors, SegmentCounts, TelemetryRecord, segment_counts, share_segment_counts,
    telemetry_host,
};
pub use session::AwsSession;
pub use sign::{SignError, Signer};
pub use transport::{Transport, TransportError, TransportErrorKind};
pub use xray::{PutTraceSegmentsReply, UnprocessedSegment, XRay};
