//! Helps tests: mock servers that remember requests or misbehave by plan, an independent check of AWS signatures.
//!
//! A dev-dependency only.

pub mod faults;
pub mod mock;
pub mod points;
pub mod sigv4;

pub use faults::{Fault, FaultServer};
pub use mock::{MockServer, Recorded};
