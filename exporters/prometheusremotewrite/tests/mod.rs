//! The exporter against golden cases, a plain translation and a server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod check;
mod configuration;
mod decode;
mod golden;
mod log;
mod rows;
mod rules;
mod sending;
mod tables;
