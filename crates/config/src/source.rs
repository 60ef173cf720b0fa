//! Where a value was written: the text of a source and places in it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// How a source came to be; decides whether its text may be shown in an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A document named by a location (`--config`): lines are shown, secrets masked.
    Document,
    /// An argument such as `--set a.b=c`: shown, with the value masked under secret keys.
    Argument,
    /// The content behind a `${...}` reference: never shown, because people keep secrets there.
    Reference,
}

/// One text that configuration was read from.
pub struct Source {
    name: String,
    text: String,
    origin: Origin,
}

impl Source {
    /// Keeps `text` under `name` (a path, a location or `--set`), which leads every place in errors.
    pub fn new(name: impl Into<String>, text: impl Into<String>, origin: Origin) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            text: text.into(),
            origin,
        })
    }

    /// The name shown before `:line:column`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How the source came to be.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Line `number` (from 1) without its line break; `None` past the end.
    pub fn line(&self, number: u32) -> Option<&str> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.text.lines().nth(index)
    }
}

/// The text is left out: it may hold secrets.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("origin", &self.origin)
            .finish()
    }
}

/// A range of bytes in a source, with the line and column (both from 1) where it starts.
#[derive(Clone)]
pub struct Span {
    /// The text the range belongs to.
    pub source: Arc<Source>,
    /// Line of the first byte, from 1.
    pub line: u32,
    /// Column of the first byte in characters, from 1.
    pub column: u32,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// The start of a source, for errors about the source as a whole.
    pub fn start_of(source: &Arc<Source>) -> Self {
        Self {
            source: Arc::clone(source),
            line: 1,
            column: 1,
            start: 0,
            end: 0,
        }
    }

    /// The same place without the text, so that nobody can show it.
    #[must_use]
    pub fn without_text(&self) -> Self {
        let source = Source::new(self.source.name(), "", Origin::Reference);
        Self {
            source,
            ..self.clone()
        }
    }

    /// The byte range.
    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The text in the range; empty if the range does not fit the source.
    pub fn text(&self) -> &str {
        self.source.text().get(self.range()).unwrap_or("")
    }
}

/// `name:line:column`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.name(), self.line, self.column)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({}..{})", self.start, self.end)
    }
}
