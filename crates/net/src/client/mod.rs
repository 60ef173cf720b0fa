//! Clients: connections with TLS and proxies, and the HTTP client.

mod config;
pub(crate) mod connect;
mod cookies;
mod http;
mod pool;
pub(crate) mod proxy;
mod url;
#[cfg(test)]
mod tests;

pub use config::{ClientContext, CookiesConfig, HttpClientConfig};
pub use http::{ANSWER_CAP, HttpClient, HttpClientOptions, HttpResponse};
pub use proxy::ProxyChoice;
