//! The layers as a pipeline sees them, on paused time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ahead;
mod conservation;
mod fakes;
mod queueing;
mod retrying;
mod settings;
