//! How a finding looks on a terminal.

use std::fmt;

use crate::diagnostic::{Diagnostic, Severity};
use crate::mask::shown_line;
use crate::source::Span;

/// Longer lines are cut; the place itself stays visible.
const WIDEST: usize = 160;

/// Writes
///
/// ```text
/// error: unknown key `metric_name_selector`
///   --> config.yaml:31:9   exporters.awsemf/app.metric_declarations[0]
///    |
/// 31 |         metric_name_selector: [latency]
///    |         ^^^^^^^^^^^^^^^^^^^^ did you mean `metric_name_selectors`?
///    = help: ...
/// ```
pub(crate) fn write(diagnostic: &Diagnostic, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    write!(f, "{severity}: {}", diagnostic.message)?;
    let mut margin = 2;
    let mut label = diagnostic.label.as_deref();
    match &diagnostic.span {
        Some(span) => {
            write!(f, "\n  --> {span}")?;
            if !diagnostic.path.is_empty() {
                write!(f, "   {}", diagnostic.path)?;
            }
            if let Some(line) = shown_line(span, &diagnostic.path) {
                margin = span.line.to_string().len();
                excerpt(f, span, &line, label.take(), margin)?;
            }
        }
        None if !diagnostic.path.is_empty() => write!(f, "\n  --> {}", diagnostic.path)?,
        None => {}
    }
    for text in label.into_iter().chain(diagnostic.hint.as_deref()) {
        write!(f, "\n{:margin$} = help: {text}", "")?;
    }
    Ok(())
}

/// The line and the carets under its range.
fn excerpt(
    f: &mut fmt::Formatter<'_>,
    span: &Span,
    line: &str,
    label: Option<&str>,
    margin: usize,
) -> fmt::Result {
    let column = usize::try_from(span.column).unwrap_or(1).max(1);
    let length = line.chars().count();
    // A masked line may be shorter than the place in it.
    let from = (column - 1).min(length);
    let first_line = span.text().lines().next().unwrap_or("").trim_end();
    let width = first_line.chars().count().min(length - from).max(1);
    let skipped = if from + width > WIDEST {
        from.saturating_sub(WIDEST / 4)
    } else {
        0
    };
    let visible: String = line.chars().skip(skipped).take(WIDEST).map(plain).collect();
    let width = width.min(WIDEST);
    write!(f, "\n{:margin$} |", "")?;
    write!(f, "\n{} | {}", span.line, visible.trim_end())?;
    write!(
        f,
        "\n{:margin$} | {:indent$}{:^>width$}",
        "",
        "",
        "",
        indent = from - skipped
    )?;
    match label {
        Some(label) => write!(f, " {label}"),
        None => Ok(()),
    }
}

/// Control characters would disturb the terminal and the carets.
fn plain(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}
