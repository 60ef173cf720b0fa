//! Why a body was refused, and where.

use std::fmt;

/// How much of the offending line an error shows, in bytes.
const EXCERPT: usize = 120;

/// An error of the text formats, with the number of the line counted from 1.
///
/// One bad line fails the whole scrape (PROM-46), so the message has to say what to change at the
/// target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason} in {excerpt:?}")]
pub struct ParseError {
    /// Line number in the body, from 1.
    pub line: u64,
    /// What is wrong.
    pub reason: Reason,
    /// The start of the line, at most 120 bytes.
    pub excerpt: String,
}

impl ParseError {
    pub(crate) fn new(line: u64, reason: Reason, text: &[u8]) -> Self {
        // blanks before a line may have been read with the block before
        let blanks = text
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        let text = text.get(blanks..).unwrap_or_default();
        let end = memchr::memchr(b'\n', text).unwrap_or(text.len());
        let shown = text.get(..end.min(EXCERPT)).unwrap_or_default();
        Self {
            line,
            reason,
            excerpt: String::from_utf8_lossy(shown).into_owned(),
        }
    }
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The line starts with something that begins neither a name nor a comment.
    ExpectedName,
    /// The text ends within a quoted string.
    UnterminatedString,
    /// A `\` stands before a line end, or a newline or NUL inside a quoted string.
    BadString,
    /// Neither a label name nor `}` where one is needed.
    ExpectedLabelName,
    /// No `=` after a label name.
    ExpectedEqual,
    /// No quoted value after `=`.
    ExpectedLabelValue,
    /// Neither `,` nor `}` after a label (OpenMetrics).
    ExpectedComma,
    /// Labels without a metric name.
    NameMissing,
    /// Two metric names.
    NameTwice,
    /// Nothing where the value belongs.
    ExpectedValue,
    /// Not a number.
    BadValue,
    /// A number too large for a double.
    ValueRange,
    /// Something that is no timestamp after the value.
    BadTimestamp,
    /// Text after the end of the sample.
    TrailingText,
    /// No metric name after `# TYPE`, `# HELP` or `# UNIT`.
    MetadataName,
    /// No text after the name in a metadata line.
    MetadataText,
    /// A type that the format does not know.
    UnknownType,
    /// A help text, label or name that is no valid UTF-8.
    InvalidUtf8,
    /// A unit that is not the last part of the name (OpenMetrics).
    UnitNotSuffix,
    /// No `# EOF` at the end (OpenMetrics).
    MissingEof,
    /// Text after `# EOF` (OpenMetrics).
    AfterEof,
    /// A comment that OpenMetrics does not allow.
    BadComment,
    /// A blank line (OpenMetrics).
    BlankLine,
    /// A carriage return: the lines end in CR LF.
    CarriageReturn,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ExpectedName => "expected a metric name, a comment or a blank line",
            Self::UnterminatedString => "quoted string without an end",
            Self::BadString => "line end or NUL inside a quoted string",
            Self::ExpectedLabelName => "expected a label name or `}`",
            Self::ExpectedEqual => "expected `=` after the label name",
            Self::ExpectedLabelValue => "expected a label value in double quotes",
            Self::ExpectedComma => "expected `,` or `}` after the label",
            Self::NameMissing => "labels without a metric name",
            Self::NameTwice => "metric name given twice",
            Self::ExpectedValue => "expected a value after the metric",
            Self::BadValue => "the value is not a number",
            Self::ValueRange => "the value is too large for a 64-bit float",
            Self::BadTimestamp => "the timestamp is not valid",
            Self::TrailingText => "text after the end of the sample",
            Self::MetadataName => "expected a metric name in the metadata line",
            Self::MetadataText => "expected a text in the metadata line",
            Self::UnknownType => "unknown metric type",
            Self::InvalidUtf8 => "text that is not valid UTF-8",
            Self::UnitNotSuffix => "the unit is not the last part of the metric name",
            Self::MissingEof => "the exposition does not end with `# EOF`",
            Self::AfterEof => "text after `# EOF`",
            Self::BadComment => "OpenMetrics allows only `# TYPE`, `# HELP`, `# UNIT` and `# EOF`",
            Self::BlankLine => "OpenMetrics allows no blank line",
            Self::CarriageReturn => "the line ends in CR LF; only LF is allowed",
        })
    }
}

/// A reason and the position in the block where it was found.
pub(crate) type Fail = (usize, Reason);
