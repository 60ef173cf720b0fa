//! The program as a library, so that tests and benches can start a whole collector in-process.

pub mod backtest;
pub mod cli;
pub mod components;
pub mod demo;
pub mod extra_config;
pub mod feature_gates;
pub mod fetch;
pub mod inspect;
pub mod logging;
pub mod pages;
pub mod run;
pub mod scrape;
pub mod state;
