//! X-Ray segment documents from spans, equal to those of the reference (awsxray, sections 2 to 6).
//!
//! Pure: no I/O, no configuration, no clock. Documents are written straight from the flat span batch
//! into the request body they travel in ([`Body`], `json`); what a document holds is decided in one
//! file a block: `name`, `http`, `cause` with `stack`, `aws` with `resource`, `sql`, `metadata`. All
//! attributes of a span are looked at once (`keys`).
//!
//! ```
//! # use std::sync::Arc;
//! # use weir_model::{Resource, Scope, TracesBuilder};
//! # use weir_xray::{Body, Settings, Translator};
//! # let mut builder = TracesBuilder::default();
//! # builder.push(&Arc::new(Resource::default()), &Arc::new(Scope::default())).set_name("GET /");
//! # let traces = builder.finish();
//! let (settings, now_seconds) = (Settings::default(), 1_795_364_000);
//! let mut translator = Translator::new(&settings, now_seconds);
//! let (mut body, mut requests) = (Body::default(), Vec::new());
//! for span in traces.spans().enumerate() {
//!     let added = translator.add(span, &mut body, |body| requests.extend(body.finish()));
//!     assert_eq!(added, Ok(()));
//! }
//! requests.extend(body.finish());
//! assert_eq!(requests[0].documents.len(), 1);
//! ```

mod aws;
mod body;
mod cause;
mod escape;
mod http;
mod ids;
mod json;
mod keys;
mod metadata;
mod name;
pub mod read;
mod resource;
mod seconds;
mod segment;
mod sql;
mod stack;
#[cfg(test)]
mod tests;

pub use body::{Body, Document, MAX_DOCUMENT_BYTES, MAX_DOCUMENTS, Request};
pub use segment::{Settings, Skipped, Translator};
