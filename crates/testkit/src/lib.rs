//! Helps tests: mock servers that remember requests or misbehave by plan, independent checks of AWS
//! signatures and of events in the Embedded Metric Format.
//!
//! A dev-dependency only.

pub mod emf;
pub mod evil;
pub mod faults;
pub mod kubernetes;
pub mod mock;
pub mod points;
pub mod sigv4;

pub use evil::{EVIL_TARGETS, EvilTargets};
pub use faults::{Fault, FaultServer};
pub use kubernetes::KubernetesApi;
pub use mock::{MockServer, Recorded};
