//! Documents against the reference's, calls against a scripted service.

mod golden;
mod send;
