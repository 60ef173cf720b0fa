//! Configuration: from YAML texts to typed values, with places in every error.
//!
//! The way of a value: [`load`] reads the sources named on the command line into one tree of
//! [`Node`]s each (YAML that knows where it was written), merges them and resolves `${...}`;
//! [`decode`] turns a part of the tree into a serde type and finds all unknown keys and wrong types
//! at once; [`Validate`] adds what types cannot say. All of them report [`Diagnostic`]s.
//!
//! The crate knows no component, prints nothing, opens no socket, and reads environment variables
//! through [`Environment`] only.

mod decode;
mod diagnostic;
mod environment;
mod expand;
mod id;
mod load;
mod location;
mod mask;
mod merge;
mod nearest;
mod node;
mod render;
mod source;
mod types;
mod validate;
mod yaml;

pub use decode::{DecodeOptions, Decoded, decode, decode_and_validate, decode_with, present};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use environment::{Environment, Fetch, NoFetch, ProcessEnvironment};
pub use id::{ComponentId, IdError};
pub use load::{Loaded, load};
pub use mask::{is_secret_key, without_credentials};
pub use nearest::nearest;
pub use node::{Entry, Node, Value};
pub use source::{Origin, Source, Span};
pub use types::{ByteSize, Duration, DurationError, Loose, REDACTED, Secret, StringOrList};
pub use validate::{Errors, Validate};
pub use yaml::parse_yaml;
