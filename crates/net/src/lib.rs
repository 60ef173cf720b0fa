//! The network side of weir: HTTP and gRPC servers and clients, TLS, content encodings, listening
//! addresses.
//!
//! Nothing here knows a signal, a pipeline or a component. This is the only crate that names
//! rustls, hyper and reqwest, and the only one that opens sockets for telemetry.
#![forbid(unsafe_code)]

pub mod compress;
