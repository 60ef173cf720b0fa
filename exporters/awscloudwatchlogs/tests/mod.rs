//! Tests against the golden cases and a service that answers as told.

mod configuration;
mod faults;
mod golden;
mod harness;
mod records;
mod sending;
