//! Helps tests: mock servers that remember requests, an independent check of AWS signatures.
//!
//! A dev-dependency only.

pub mod mock;
pub mod points;
pub mod sigv4;

pub use mock::{MockServer, Recorded};
