//! Tests of the pure part: golden cases, the plain way to the same events, retries.

mod configuration;
mod delivery;
mod golden;
mod input;
mod limits;
mod plain;
mod rows;
mod sending;
mod state;
mod valid;
