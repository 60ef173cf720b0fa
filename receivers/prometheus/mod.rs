//! The `prometheus` receiver.

#[allow(dead_code)]
mod series;
