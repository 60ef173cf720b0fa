//! Calls against a service played by the test, on paused time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod caching;
mod calls;
mod fakes;
mod services;
mod signing;
