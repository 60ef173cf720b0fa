//! `http:` and `https:` configuration sources.

pub use weir_config::NoFetch as Http;
