//! A list of texts or of expressions, of which any is to match.

use std::collections::HashSet;

use regex::RegexSet;
use weir_prom::relabel::{re2, translate};

/// Texts to be equal to, or expressions to be found in (anywhere, unless anchored).
#[derive(Debug)]
pub(crate) enum Texts {
    Strict(HashSet<String, foldhash::fast::RandomState>),
    Regexp(RegexSet),
}

impl Texts {
    /// Compiles a list; an expression that is none comes back with its place.
    pub(crate) fn new<'a>(
        list: impl Iterator<Item = &'a str> + Clone,
        regexp: bool,
    ) -> Result<Self, (usize, String)> {
        if !regexp {
            return Ok(Self::Strict(list.map(str::to_owned).collect()));
        }
        // One by one first: the set does not tell which of them is wrong.
        for (at, pattern) in list.clone().enumerate() {
            re2(pattern).map_err(|error| (at, error))?;
        }
        RegexSet::new(list.map(translate))
            .map(Self::Regexp)
            .map_err(|error| (0, error.to_string()))
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Strict(texts) => texts.contains(text),
            Self::Regexp(set) => set.is_match(text),
        }
    }
}
