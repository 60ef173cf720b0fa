//! From the text of a series to its labels: done once per series, not once per sample.

use std::borrow::Cow;

use super::scanner::Scanner;
use super::{Exemplar, MetricType, number};
use crate::float;
use crate::labels::{LabelSet, METRIC_NAME};

/// A piece of a series text or line, in bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    start: usize,
    end: usize,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The bytes `from..to` of a block, relative to `base`.
    pub(super) fn between(from: usize, to: usize, base: usize) -> Self {
        Self {
            start: from - base,
            end: to - base,
        }
    }

    fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// Which metric and label names are allowed (`metric_name_validation_scheme`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameScheme {
    /// Any text that is not empty.
    #[default]
    Utf8,
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*` for metrics, the same without colons for labels.
    Legacy,
}

impl NameScheme {
    /// Whether a metric may have this name.
    #[must_use]
    pub fn allows_metric(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => {
                super::scanner::metric_name_end(name.as_bytes(), 0) == name.len()
                    && !name.is_empty()
            }
        }
    }

    /// Whether a label may have this name.
    #[must_use]
    pub fn allows_label(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => {
                super::scanner::label_name_end(name.as_bytes(), 0) == name.len() && !name.is_empty()
            }
        }
    }
}

/// Why the labels of a series cannot be used; the whole scrape fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSeries {
    /// A label name appears twice.
    #[error("label `{0}` is given twice")]
    DuplicateLabel(String),
    /// A name or value is not UTF-8.
    #[error("label name or value is not valid UTF-8")]
    Utf8,
}

impl Scanner {
    /// Decodes the labels of the sample that the last step gave as unknown, with the metric name
    /// as `__name__`. Empty values stay in the set.
    ///
    /// `le` of a histogram and `quantile` of a summary, by the last `# TYPE` line, get the
    /// OpenMetrics form of their number.
    ///
    /// # Errors
    /// If a label is given twice or is not UTF-8.
    pub fn labels_into(&self, series: &[u8], set: &mut LabelSet) -> Result<(), InvalidSeries> {
        set.clear();
        let name = self.name.map(|span| span.of(series)).unwrap_or_default();
        set.insert(METRIC_NAME, &decode(name)?);
        for (name, value) in &self.labels {
            let name = decode(name.of(series))?;
            let value = decode(value.of(series))?;
            let value = normalised(self.metric_type, &name, value);
            if set.insert(&name, &value) {
                return Err(InvalidSeries::DuplicateLabel(name.into_owned()));
            }
        }
        Ok(())
    }

    /// The type that the last `# TYPE` line gave.
    #[must_use]
    pub fn metric_type(&self) -> MetricType {
        self.metric_type
    }

    /// Decodes the labels of the exemplar that the last step gave.
    ///
    /// # Errors
    /// If a label is not UTF-8.
    pub fn exemplar_labels(
        &self,
        exemplar: &Exemplar<'_>,
        mut visit: impl FnMut(&str, &str),
    ) -> Result<(), InvalidSeries> {
        for (name, value) in &self.exemplar {
            visit(
                &decode(name.of(exemplar.line))?,
                &decode(value.of(exemplar.line))?,
            );
        }
        Ok(())
    }
}

fn decode(text: &[u8]) -> Result<Cow<'_, str>, InvalidSeries> {
    let text = std::str::from_utf8(text).map_err(|_| InvalidSeries::Utf8)?;
    Ok(unescape(text, true))
}

/// Undoes `\\`, `\n` and, if `quotes`, `\"`. Other backslashes stay as they are.
pub(super) fn unescape(text: &str, quotes: bool) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let (decoded, next) = match after.chars().next() {
            Some('\\') => ('\\', 1),
            Some('n') => ('\n', 1),
            Some('"') if quotes => ('"', 1),
            _ => ('\\', 0),
        };
        out.push(decoded);
        rest = after.get(next..).unwrap_or_default();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn normalised<'a>(kind: MetricType, name: &str, value: Cow<'a, str>) -> Cow<'a, str> {
    let numeric = match kind {
        MetricType::Histogram => name == "le",
        MetricType::Summary => name == "quantile",
        _ => false,
    };
    if !numeric {
        return value;
    }
    match number::parse_float(value.as_bytes()) {
        Ok(number) => Cow::Owned(float::open_metrics(number)),
        Err(_) => value,
    }
}
