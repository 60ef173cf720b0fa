//! What can go wrong on the network, in words that say where and what to change.

use std::io;
use std::time::Duration;

use crate::compress::{DecodeError, EncodeError};

/// A failure of a listener, a connection or a request. Never holds header values or credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// A setting cannot be used; the text says which and what to write instead.
    #[error("{0}")]
    Config(String),
    /// The address cannot be listened on.
    #[error("listen {network} {address}: {what}: {why}")]
    Listen {
        /// `tcp`, `udp`, `unix` or `unixgram`.
        network: &'static str,
        /// The address as configured.
        address: String,
        /// The call that failed: `bind`, `lookup`.
        what: &'static str,
        /// The system's words.
        why: String,
    },
    /// The host name has no address.
    #[error("cannot resolve {host}: {why}; check the name and the DNS of this machine")]
    Resolve {
        /// Host name.
        host: String,
        /// The resolver's words.
        why: String,
    },
    /// No connection came about.
    #[error("cannot connect to {peer}: {why}")]
    Connect {
        /// `host:port`.
        peer: String,
        /// The system's words.
        why: String,
    },
    /// The TLS handshake failed.
    #[error("TLS handshake with {peer} failed: {why}")]
    Tls {
        /// `host:port`.
        peer: String,
        /// The library's words, and the cure where it is known.
        why: String,
    },
    /// The proxy refused or failed.
    #[error("proxy {proxy} failed: {why}")]
    Proxy {
        /// `host:port` of the proxy.
        proxy: String,
        /// Why.
        why: String,
    },
    /// No answer in time.
    #[error("no answer from {peer} within {after:?}; if it is only slow, raise `timeout`")]
    Timeout {
        /// `host:port`.
        peer: String,
        /// The limit.
        after: Duration,
    },
    /// The connection broke in the middle of a request.
    #[error("request to {peer} failed: {why}")]
    Transport {
        /// `host:port`.
        peer: String,
        /// Why.
        why: String,
    },
    /// The answer is longer than the caller takes.
    #[error("the answer of {peer} is larger than {limit} bytes")]
    BodyTooLarge {
        /// `host:port`.
        peer: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The memory budget of the process has no room for the answer.
    #[error("the answer of {peer} does not fit into the memory budget")]
    NoMemory {
        /// `host:port`.
        peer: String,
    },
    /// The answer's body cannot be decompressed.
    #[error("answer of {peer}: {source}")]
    Decode {
        /// `host:port`.
        peer: String,
        /// Why.
        source: DecodeError,
    },
    /// Too many redirects, or one to a forbidden place.
    #[error("redirect from {peer} not followed: {why}")]
    Redirect {
        /// `host:port` that sent the redirect.
        peer: String,
        /// Why.
        why: String,
    },
    /// The authenticator could not sign the request.
    #[error("cannot authenticate the request: {message}")]
    Auth {
        /// The authenticator's words.
        message: String,
        /// Whether trying again may help.
        retryable: bool,
    },
    /// The body could not be compressed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl NetError {
    /// Whether the same request may succeed later without a change of configuration.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            NetError::Config(_) | NetError::Encode(_) | NetError::Redirect { .. } => false,
            NetError::Auth { retryable, .. } => *retryable,
            _ => true,
        }
    }

    /// A short word for the `reason` label of counters.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            NetError::Config(_) => "config",
            NetError::Listen { .. } => "listen",
            NetError::Resolve { .. } => "resolve",
            NetError::Connect { .. } => "connect",
            NetError::Tls { .. } => "tls",
            NetError::Proxy { .. } => "proxy",
            NetError::Timeout { .. } => "timeout",
            NetError::Transport { .. } => "transport",
            NetError::BodyTooLarge { .. } => "body_too_large",
            NetError::NoMemory { .. } => "memory",
            NetError::Decode { .. } => "decode",
            NetError::Redirect { .. } => "redirect",
            NetError::Auth { .. } => "auth",
            NetError::Encode(_) => "encode",
        }
    }
}

/// The operating system's words without the error number, as other tools print them.
pub(crate) fn describe(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::AddrInUse => "address already in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "cannot assign requested address".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::TimedOut => "timed out".to_owned(),
        _ => e.to_string(),
    }
}

/// All messages of an error and of what caused it, without repeating.
pub(crate) fn chain(e: &(dyn std::error::Error + 'static)) -> String {
    let mut text = e.to_string();
    let mut next = e.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}
