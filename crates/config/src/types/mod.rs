//! Types for values that YAML has no type for.

mod byte_size;
mod duration;
mod loose;
mod secret;
mod string_or_list;

pub use byte_size::ByteSize;
pub use duration::{Duration, DurationError};
pub use loose::Loose;
pub use secret::{REDACTED, Secret};
pub use string_or_list::StringOrList;

/// Newtype names by which the tree's deserializer knows the types that need its help.
pub(crate) mod names {
    pub(crate) const DURATION: &str = "$weir::Duration";
    pub(crate) const LOOSE: &str = "$weir::Loose";
    pub(crate) const NODE: &str = "$weir::Node";
    pub(crate) const SECRET: &str = "$weir::Secret";
    pub(crate) const STRING_OR_LIST: &str = "$weir::StringOrList";
}
