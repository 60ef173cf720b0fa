//! Clients: connections with TLS and proxies, and the HTTP client.

mod config;
pub(crate) mod connect;
mod cookies;
mod exchange;
mod pool;
pub(crate) mod proxy;
#[cfg(test)]
mod tests;
mod url;
mod whole;

pub use config::{ClientContext, CookiesConfig, HttpClientConfig};
pub use exchange::{ANSWER_CAP, HttpClient, HttpClientOptions, HttpResponse};
pub use proxy::ProxyChoice;
