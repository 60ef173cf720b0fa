//! How requests travel.

use std::fmt::Debug;

use bytes::Bytes;
use weir_core::BoxFut;

/// Sends one HTTP request. Implemented over `weir-net`, and by tests.
pub trait Transport: Send + Sync + Debug {
    /// The answer with its whole body (bounded), or why there is none.
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFut<'_, Result<http::Response<Bytes>, TransportError>>;
}

/// Kinds of transport failures, as X-Ray's telemetry counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportErrorKind {
    /// No answer within the time.
    Timeout,
    /// The host name is not known.
    UnknownHost,
    /// Anything else.
    Other,
}

/// There was no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TransportError {
    /// What happened.
    pub message: String,
    /// Its kind.
    pub kind: TransportErrorKind,
}
