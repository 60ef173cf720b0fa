//! The two things that loading needs from outside: environment variables and remote texts.

use std::collections::{BTreeMap, HashMap};

/// Environment variables. Injected, so that tests and `AOT_CONFIG_CONTENT` need no global state.
pub trait Environment {
    /// The value of a variable; `None` if it is not set.
    fn get(&self, name: &str) -> Option<String>;
}

/// The variables of this process; values that are not UTF-8 count as not set.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<String> {
        #[allow(clippy::disallowed_methods, reason = "the one place that may")]
        std::env::var(name).ok()
    }
}

impl Environment for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }
}

impl Environment for HashMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        HashMap::get(self, name).cloned()
    }
}

/// Reads texts from places that need a network, such as `https://host/config.yaml`.
pub trait Fetch {
    /// The schemes it can read, such as `http`.
    fn schemes(&self) -> &[&'static str];

    /// The text behind `location` (with its scheme), or why there is none: for HTTP the status code
    /// must be part of it.
    fn fetch(&self, location: &str) -> Result<String, String>;
}

/// Reads nothing: every remote scheme is unknown.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFetch;

impl Fetch for NoFetch {
    fn schemes(&self) -> &[&'static str] {
        &[]
    }

    fn fetch(&self, _location: &str) -> Result<String, String> {
        Err("remote locations are switched off".to_owned())
    }
}
