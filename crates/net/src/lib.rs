//! The network side of weir: HTTP and gRPC servers and clients, TLS, content encodings, listening
//! addresses.
//!
//! Nothing here knows a signal, a pipeline or a component. This is the only crate that names
//! rustls and hyper, and the only one that opens sockets for telemetry.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests end with their runtime")
)]

pub mod address;
mod client;
pub mod compress;
pub mod datagram;
mod delegate;
pub mod dns;
mod error;
pub mod grpc;
mod headers;
pub mod http;
mod kernel_drops;
mod server;
pub mod tls;

pub use client::{
    ANSWER_CAP, ClientContext, CookiesConfig, HttpClient, HttpClientConfig, HttpClientOptions,
    HttpResponse, ProxyChoice,
};
pub use error::NetError;
pub use headers::Headers;
pub use kernel_drops::dropped_datagrams;
pub use server::{BodyError, ConnectionLimits, DEFAULT_MAX_CONNECTIONS};
pub use tls::install_default_provider;
