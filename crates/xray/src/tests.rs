//! Tests of whole documents, by what they need.

mod documents;
mod random;
mod rows;
mod schema;
mod support;
