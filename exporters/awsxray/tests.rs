//! Documents against the reference's, calls against a scripted service.

mod fakes;
mod golden;
mod lying;
mod send;
