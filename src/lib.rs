//! weir

pub mod cli;
pub mod extra_config;
pub mod feature_gates;
