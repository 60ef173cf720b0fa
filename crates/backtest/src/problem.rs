//! What is wrong with an input, where, and what helps.

use std::fmt;
use std::path::Path;

/// An error a user can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A file, a file with a line (`a.csv:17`), a URL or an argument.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// What helps; may be empty.
    pub cure: String,
}

impl Problem {
    /// A problem with a cure.
    pub fn new(place: impl Into<String>, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
            cure: cure.into(),
        }
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(path: &Path, error: &std::io::Error) -> Self {
        Self::new(path.display().to_string(), error.to_string(), "")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        if self.cure.is_empty() {
            return Ok(());
        }
        write!(f, "\n  help: {}", self.cure)
    }
}

impl std::error::Error for Problem {}
