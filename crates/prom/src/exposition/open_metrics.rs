//! The OpenMetrics text grammar as Prometheus reads it (prometheus-receiver specification,
//! section 10.2): exactly one space between tokens, and `# EOF` at the end.

use super::error::Fail;
use super::scanner::{
    Block, Expected, Line, Quoting, Scanner, label_name_end, metric_name_end, quoted_end, utf8,
    value_at,
};
use super::series::Span;
use super::text::metadata_name;
use super::{Exemplar, Metadata, MetadataEntry, MetricType, Reason, Sample};

const NAME: Quoting = Quoting {
    newline: true,
    nul: false,
};
const VALUE: Quoting = Quoting {
    newline: false,
    nul: true,
};
const EXEMPLAR: Quoting = Quoting {
    newline: false,
    nul: false,
};

/// Reads the next sample or metadata line.
pub(super) fn line<'a>(
    scanner: &mut Scanner,
    block: &mut Block<'a>,
    expected: &impl Expected,
) -> Result<Line<'a>, Fail> {
    let bytes = block.bytes();
    let start = block.at();
    if let Some(end) = block.matches(expected) {
        if bytes.get(start) == Some(&b'#') {
            return metadata(scanner, block, true);
        }
        return finish(scanner, block, end, true);
    }
    match bytes.get(start) {
        None if block.is_last() => Err((start, Reason::MissingEof)),
        None => Ok(Line::BlockEnd),
        Some(b'#') => metadata(scanner, block, false),
        Some(b'\n') => Err((start, Reason::BlankLine)),
        Some(_) => {
            let end = series(scanner, bytes, start)?;
            finish(scanner, block, end, false)
        }
    }
}

/// Reads name and labels of the sample at `start` and gives their end.
fn series(scanner: &mut Scanner, bytes: &[u8], start: usize) -> Result<usize, Fail> {
    scanner.labels.clear();
    scanner.name = None;
    let mut end = metric_name_end(bytes, start);
    if end > start {
        scanner.name = Some(Span::new(0, end - start));
    } else if bytes.get(start) != Some(&b'{') {
        return Err((start, Reason::ExpectedName));
    }
    if bytes.get(end) == Some(&b'{') {
        let mut name = scanner.name.take();
        let mut spans = std::mem::take(&mut scanner.labels);
        let result = labels(bytes, start, end + 1, VALUE, &mut spans, Some(&mut name));
        scanner.labels = spans;
        scanner.name = name;
        end = result?;
    }
    if scanner.name.is_none() {
        return Err((start, Reason::NameMissing));
    }
    Ok(end)
}

/// Reads labels from after the `{` to after the `}`, with positions relative to `base`. `name` is
/// where a quoted metric name goes; exemplars may not have one.
fn labels(
    bytes: &[u8],
    base: usize,
    mut at: usize,
    quoting: Quoting,
    spans: &mut Vec<(Span, Span)>,
    mut metric: Option<&mut Option<Span>>,
) -> Result<usize, Fail> {
    loop {
        let (name, quoted, end) = match bytes.get(at) {
            Some(b'}') => return Ok(at + 1),
            Some(b'"') => {
                let quoting = if metric.is_some() { NAME } else { quoting };
                let end = quoted_end(bytes, at, quoting)?;
                (Span::between(at + 1, end - 1, base), true, end)
            }
            Some(_) => {
                let end = label_name_end(bytes, at);
                if end == at {
                    return Err((at, Reason::ExpectedLabelName));
                }
                (Span::between(at, end, base), false, end)
            }
            None => return Err((at, Reason::ExpectedLabelName)),
        };
        let separator = bytes.get(end).copied();
        if quoted && matches!(separator, Some(b',' | b'}')) {
            let Some(metric) = metric.as_deref_mut() else {
                return Err((at, Reason::ExpectedLabelName));
            };
            if metric.replace(name).is_some() {
                return Err((at, Reason::NameTwice));
            }
            if separator == Some(b'}') {
                return Ok(end + 1);
            }
            at = end + 1;
            continue;
        }
        if separator != Some(b'=') {
            return Err((end, Reason::ExpectedEqual));
        }
        if bytes.get(end + 1) != Some(&b'"') {
            return Err((end + 1, Reason::ExpectedLabelValue));
        }
        let value = end + 1;
        let end = quoted_end(bytes, value, quoting)?;
        utf8(bytes, value, end)?;
        spans.push((name, Span::between(value + 1, end - 1, base)));
        match bytes.get(end) {
            Some(b',') => at = end + 1,
            Some(b'}') => return Ok(end + 1),
            _ => return Err((end, Reason::ExpectedComma)),
        }
    }
}

/// Reads the rest of a sample line, whose series ends at `end`.
fn finish<'a>(
    scanner: &mut Scanner,
    block: &mut Block<'a>,
    end: usize,
    known: bool,
) -> Result<Line<'a>, Fail> {
    let bytes = block.bytes();
    let start = block.at();
    let (value, mut at) = float(bytes, end)?;
    let mut timestamp_ms = None;
    if !starts_exemplar(bytes, at) && bytes.get(at) == Some(&b' ') {
        let (milliseconds, end) = timestamp(bytes, at)?;
        timestamp_ms = Some(milliseconds);
        at = end;
    }
    let mut exemplar = None;
    if starts_exemplar(bytes, at) {
        let (found, end) = read_exemplar(scanner, bytes, start, at)?;
        exemplar = Some(found);
        at = end;
    }
    match bytes.get(at) {
        Some(b'\n') => block.advance_to(at + 1),
        None => return Err((at, Reason::MissingEof)),
        Some(_) => return Err((at, Reason::TrailingText)),
    }
    let series = bytes.get(start..end).unwrap_or_default();
    Ok(Line::Sample(Sample {
        series,
        known,
        value,
        timestamp_ms,
        exemplar,
    }))
}

fn starts_exemplar(bytes: &[u8], at: usize) -> bool {
    bytes
        .get(at..)
        .is_some_and(|rest| rest.starts_with(b" # {"))
}

/// The float after the space at `at`, and its end.
#[inline]
fn float(bytes: &[u8], at: usize) -> Result<(f64, usize), Fail> {
    if bytes.get(at) != Some(&b' ') {
        return Err((at, Reason::ExpectedValue));
    }
    value_at(bytes, at + 1, |byte| matches!(byte, b' ' | b'\n'))
}

/// The time after the space at `at`: float seconds, given as whole milliseconds.
fn timestamp(bytes: &[u8], at: usize) -> Result<(i64, usize), Fail> {
    let (seconds, end) = float(bytes, at).map_err(|(at, _)| (at, Reason::BadTimestamp))?;
    if !seconds.is_finite() {
        return Err((at, Reason::BadTimestamp));
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "truncation is the rule; casts saturate"
    )]
    let milliseconds = (seconds * 1000.0) as i64;
    Ok((milliseconds, end))
}

fn read_exemplar<'a>(
    scanner: &mut Scanner,
    bytes: &'a [u8],
    start: usize,
    at: usize,
) -> Result<(Exemplar<'a>, usize), Fail> {
    scanner.exemplar.clear();
    let end = labels(bytes, start, at + 4, EXEMPLAR, &mut scanner.exemplar, None)?;
    let (value, end) = float(bytes, end)?;
    let (timestamp_ms, end) = if bytes.get(end) == Some(&b' ') {
        let (milliseconds, end) = timestamp(bytes, end)?;
        (Some(milliseconds), end)
    } else {
        (None, end)
    };
    let line = bytes.get(start..end).unwrap_or_default();
    Ok((
        Exemplar {
            line,
            value,
            timestamp_ms,
        },
        end,
    ))
}

/// A line that starts with `#`. If it is `known`, only a type is read again.
fn metadata<'a>(
    scanner: &mut Scanner,
    block: &mut Block<'a>,
    known: bool,
) -> Result<Line<'a>, Fail> {
    let bytes = block.bytes();
    let start = block.at();
    let rest = bytes.get(start..).unwrap_or_default();
    if let Some(after) = rest.strip_prefix(b"# EOF") {
        block.advance_to(start + 5 + usize::from(after.first() == Some(&b'\n')));
        return Ok(Line::Eof);
    }
    let word = rest.get(..7).unwrap_or_default();
    if !matches!(word, b"# HELP " | b"# TYPE " | b"# UNIT ") {
        return Err((start, Reason::BadComment));
    }
    let (name, name_end) = metadata_name(bytes, start + 7)?;
    if bytes.get(name_end) != Some(&b' ') {
        return Err((name_end, Reason::MetadataText));
    }
    let after = bytes.get(name_end..).unwrap_or_default();
    let Some(length) = memchr::memchr(b'\n', after) else {
        return Err((name_end, Reason::MetadataText));
    };
    let end = name_end + length;
    let text = utf8(bytes, name_end + 1, end)?;
    let entry = match word {
        b"# HELP " => MetadataEntry::Help(name, text),
        b"# TYPE " => {
            scanner.metric_type = metric_type(text).ok_or((name_end, Reason::UnknownType))?;
            MetadataEntry::Type(name, scanner.metric_type)
        }
        _ => {
            let suffix = name
                .strip_suffix(text)
                .is_some_and(|head| head.ends_with('_'));
            if !text.is_empty() && !suffix {
                return Err((name_end, Reason::UnitNotSuffix));
            }
            MetadataEntry::Unit(name, text)
        }
    };
    block.advance_to(end + 1);
    let line = bytes.get(start..end).unwrap_or_default();
    Ok(Line::Metadata(Metadata {
        line,
        entry: (!known).then_some(entry),
    }))
}

fn metric_type(word: &str) -> Option<MetricType> {
    Some(match word {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        "gaugehistogram" => MetricType::GaugeHistogram,
        "summary" => MetricType::Summary,
        "info" => MetricType::Info,
        "stateset" => MetricType::StateSet,
        "unknown" => MetricType::Unknown,
        _ => return None,
    })
}
