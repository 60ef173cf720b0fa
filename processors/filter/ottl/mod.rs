//! The condition language of the reference (OTTL, processors section 5), and the older one of
//! `expr` match types: both become the same tree.

mod eval;
mod functions;
mod lex;
mod parse;
mod paths;
#[cfg(test)]
mod tests;

use std::fmt;

use weir_model::{LogRef, MetricMeta, Point, Resource, Scope, SpanRef};

pub(super) use parse::parse;

/// Where conditions stand: which paths may be used, and which may leave their first word out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    /// Resources of any signal.
    Resource,
    /// Spans.
    Span,
    /// Metrics.
    Metric,
    /// Data points.
    DataPoint,
    /// Log records.
    Log,
}

/// How a condition is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// OTTL; paths may leave out the word of their context.
    Short,
    /// OTTL; paths begin with the word of their context.
    Prefixed,
    /// The older language of `match_type: expr`.
    Expr,
}

/// What is wrong with a condition, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// Byte offset in the condition.
    pub(super) at: usize,
    /// What is wrong.
    pub(super) message: String,
    /// What to write instead; may be empty.
    pub(super) cure: String,
}

impl SyntaxError {
    fn new(at: usize, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { at, message: message.into(), cure: cure.into() }
    }

    /// The error with the condition and the place in it, in characters from 1.
    pub(super) fn describe(&self, text: &str) -> String {
        let before = text.get(..self.at).unwrap_or(text);
        let column = before.chars().count() + 1;
        format!("{} at character {column} of the condition `{text}`", self.message)
    }
}

/// What a condition is asked about.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) resource: &'a Resource,
    pub(super) scope: Option<&'a Scope>,
    pub(super) subject: Subject<'a>,
}

/// The item itself.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    /// The resource is all there is.
    Resource,
    Span(SpanRef<'a>),
    Log(LogRef<'a>),
    /// A metric with its points.
    Metric(&'a MetricMeta, &'a [&'a Point]),
    /// What a data point has of its series.
    Series(&'a weir_model::Series),
    Point(&'a Point),
}

/// A failure while a condition is worked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunError(pub(super) String);

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How much of a scene a condition needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    /// Resource and scope.
    Resource,
    /// The series.
    Series,
    /// The item.
    Item,
    /// All points of a metric.
    Points,
}

/// A compiled condition.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) text: String,
    pub(super) needs: Needs,
    root: eval::Expr,
}

impl Condition {
    /// Whether the condition holds.
    pub(super) fn holds(&self, scene: &Scene<'_>) -> Result<bool, RunError> {
        eval::truth(&self.root, scene)
    }
}

/// The number of a severity by its name, such as `INFO` or `WARN3`.
pub(super) fn severity(name: &str) -> Option<i64> {
    paths::severity(name)
}
