//! The program as a whole: one process, real sockets on 127.0.0.1, mocks at the other ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines
)]

mod aws;
mod backtest;
mod compatibility;
mod configurations;
mod detector;
mod evil_targets;
mod faults;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod outage;
mod pages;
mod pipeline;
mod process;
mod stop;
