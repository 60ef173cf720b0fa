//! gRPC over HTTP/2: unary calls with messages as bytes, in both directions.
//!
//! The protocol ("gRPC over HTTP2") is small enough to be spoken here directly: a path, a
//! five-byte frame around the message, a status in the trailers. *Measured* against a tonic server
//! with a bytes codec: 20 against 23 microseconds per request of 114 kB, and 20 crates fewer.

mod channel;
mod client;
mod client_config;
mod codec;
mod config;
mod message;
mod server;
mod status;
mod target;
#[cfg(test)]
mod tests;

pub use client::GrpcClient;
pub use client_config::{GrpcClientConfig, KeepaliveClient};
pub use config::{EnforcementPolicy, GrpcServerConfig, KeepaliveServer, KeepaliveServerParameters};
pub use server::{GrpcHandler, GrpcRequest, GrpcServer};
pub use status::{GrpcCode, GrpcStatus};
pub use target::Target;
