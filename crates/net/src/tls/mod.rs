//! TLS by rustls with the ring provider, chosen here and nowhere else.

mod client;
mod config;
mod material;
mod server;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;

pub use client::client_config;
pub use config::{TlsClientConfig, TlsServerConfig, Tpm};
pub use server::server_config;

/// Makes ring the provider of libraries that take the process-wide one (the Kubernetes and AWS
/// clients). Called first in `main`; again does nothing.
pub fn install_default_provider() {
    // An error says only that one is installed already.
    let _already = rustls::crypto::ring::default_provider().install_default();
}

/// The provider, passed explicitly to every configuration of this crate.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER
        .get_or_init(|| Arc::new(rustls::crypto::ring::default_provider()))
        .clone()
}
