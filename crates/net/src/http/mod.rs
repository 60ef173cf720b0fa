//! HTTP servers and their settings.

mod config;
mod cors;
mod query;
mod server;
#[cfg(test)]
mod tests;

pub(crate) use config::refuse_middlewares;
pub use config::{AuthConfig, HttpServerConfig, Middleware, ServerAuthConfig};
pub use cors::CorsConfig;
pub use query::{decode_form, query_parameter};
pub use server::{HttpHandler, HttpRequest, HttpServer, ServerContext};
