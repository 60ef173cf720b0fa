//! The Prometheus text grammar, 0.0.4 and 1.0.0 (prometheus-receiver specification, section 10.1).

use super::error::Fail;
use super::number;
use super::scanner::{
    Block, Expected, Line, Quoting, Scanner, label_name_end, metric_name_end, quoted_end,
    skip_blanks, utf8, value_at,
};
use super::series::Span;
use super::{Metadata, MetadataEntry, MetricType, Reason, Sample};

const NAME: Quoting = Quoting {
    newline: true,
    nul: false,
};
const VALUE: Quoting = Quoting {
    newline: true,
    nul: true,
};

/// Reads the next sample or metadata line.
pub(super) fn line<'a>(
    scanner: &mut Scanner,
    block: &mut Block<'a>,
    expected: &impl Expected,
) -> Result<Line<'a>, Fail> {
    let bytes = block.bytes();
    loop {
        if let Some(end) = block.matches(expected) {
            return known(scanner, block, end);
        }
        let start = skip_blanks(bytes, block.at());
        match bytes.get(start) {
            None if block.is_last() => {
                block.advance_to(start);
                return Ok(Line::Ended);
            }
            None => return Ok(Line::BlockEnd),
            Some(b'\n') => block.advance_to(start + 1),
            Some(0) => return Ok(Line::Ended),
            Some(b'#') => {
                if let Some(metadata) = comment(scanner, block, start)? {
                    return Ok(Line::Metadata(metadata));
                }
            }
            Some(_) if start > block.at() => block.advance_to(start),
            Some(_) => return sample(scanner, block, start),
        }
    }
}

/// A line whose beginning is the expected text.
#[inline]
fn known<'a>(scanner: &mut Scanner, block: &mut Block<'a>, end: usize) -> Result<Line<'a>, Fail> {
    let bytes = block.bytes();
    let start = block.at();
    let series = bytes.get(start..end).unwrap_or_default();
    if series.first() == Some(&b'#') {
        if let Some((MetadataEntry::Type(_, kind), _)) = metadata(bytes, start)? {
            scanner.metric_type = kind;
        }
        block.advance_to((end + 1).min(bytes.len()));
        return Ok(Line::Metadata(Metadata {
            line: series,
            entry: None,
        }));
    }
    let (value, timestamp_ms, next) = tail(bytes, end)?;
    block.advance_to(next);
    Ok(Line::Sample(Sample {
        series,
        known: true,
        value,
        timestamp_ms,
        exemplar: None,
    }))
}

/// Value and timestamp after the series, and the start of the next line.
#[inline]
fn tail(bytes: &[u8], at: usize) -> Result<(f64, Option<i64>, usize), Fail> {
    let at = skip_blanks(bytes, at);
    let (value, end) = value_at(bytes, at, |byte| {
        matches!(byte, b' ' | b'\t' | b'\n' | b'{')
    })?;
    let at = skip_blanks(bytes, end);
    match bytes.get(at) {
        None => return Ok((value, None, at)),
        Some(b'\n') => return Ok((value, None, at + 1)),
        Some(_) => {}
    }
    let mut end = at;
    while bytes.get(end).is_some_and(u8::is_ascii_digit) {
        end += 1;
    }
    let digits = bytes.get(at..end).unwrap_or_default();
    if digits.is_empty() {
        return Err((at, Reason::BadTimestamp));
    }
    let timestamp = number::parse_milliseconds(digits).ok_or((at, Reason::BadTimestamp))?;
    let at = skip_blanks(bytes, end);
    match bytes.get(at) {
        None => Ok((value, Some(timestamp), at)),
        Some(b'\n') => Ok((value, Some(timestamp), at + 1)),
        Some(_) => Err((at, Reason::TrailingText)),
    }
}

/// A comment line: free text is skipped, metadata is read.
fn comment<'a>(
    scanner: &mut Scanner,
    block: &mut Block<'a>,
    start: usize,
) -> Result<Option<Metadata<'a>>, Fail> {
    let bytes = block.bytes();
    let Some((entry, end)) = metadata(bytes, start)? else {
        block.advance_to((line_end(bytes, start) + 1).min(bytes.len()));
        return Ok(None);
    };
    block.advance_to((end + 1).min(bytes.len()));
    if let MetadataEntry::Type(_, kind) = entry {
        scanner.metric_type = kind;
    }
    Ok(Some(Metadata {
        line: bytes.get(start..end).unwrap_or_default(),
        entry: Some(entry),
    }))
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    memchr::memchr(b'\n', bytes.get(from..).unwrap_or_default())
        .map_or(bytes.len(), |length| from + length)
}

/// Reads the comment at `start` and gives what it says and where its line ends; `None` if it is
/// free text.
fn metadata(bytes: &[u8], start: usize) -> Result<Option<(MetadataEntry<'_>, usize)>, Fail> {
    let word = skip_blanks(bytes, start + 1);
    if word == start + 1 {
        return Ok(None);
    }
    let after = word + 4;
    let name = skip_blanks(bytes, after);
    let help = match bytes.get(word..after) {
        Some(b"HELP") => true,
        Some(b"TYPE") => false,
        _ => return Ok(None),
    };
    if name == after {
        return Ok(None);
    }
    let (name, name_end) = metadata_name(bytes, name)?;
    let end = line_end(bytes, name_end);
    // One separator, whatever it is, then the text. A text of blanks only counts as empty.
    let text = if skip_blanks(bytes, name_end) >= end {
        ""
    } else {
        utf8(bytes, (name_end + 1).min(end), end)?
    };
    if help {
        return Ok(Some((MetadataEntry::Help(name, text), end)));
    }
    let kind = match text {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        "summary" => MetricType::Summary,
        "untyped" => MetricType::Unknown,
        _ => return Err((name_end, Reason::UnknownType)),
    };
    Ok(Some((MetadataEntry::Type(name, kind), end)))
}

/// The metric name at `at`, without quotes, and its end.
pub(super) fn metadata_name(bytes: &[u8], at: usize) -> Result<(&str, usize), Fail> {
    if bytes.get(at) == Some(&b'"') {
        let end = quoted_end(bytes, at, NAME)?;
        return Ok((utf8(bytes, at + 1, end - 1)?, end));
    }
    let end = metric_name_end(bytes, at);
    if end == at {
        Err((at, Reason::MetadataName))
    } else {
        Ok((utf8(bytes, at, end)?, end))
    }
}

/// A sample line that has to be read in full.
fn sample<'a>(
    scanner: &mut Scanner,
    block: &mut Block<'a>,
    start: usize,
) -> Result<Line<'a>, Fail> {
    let bytes = block.bytes();
    scanner.labels.clear();
    scanner.name = None;
    let mut end = metric_name_end(bytes, start);
    if end > start {
        scanner.name = Some(Span::new(0, end - start));
    } else if bytes.get(start) != Some(&b'{') {
        return Err((start, Reason::ExpectedName));
    }
    let brace = skip_blanks(bytes, end);
    if bytes.get(brace) == Some(&b'{') {
        end = labels(scanner, bytes, start, brace + 1)?;
    }
    if scanner.name.is_none() {
        return Err((start, Reason::NameMissing));
    }
    let (value, timestamp_ms, next) = tail(bytes, end)?;
    block.advance_to(next);
    let series = bytes.get(start..end).unwrap_or_default();
    Ok(Line::Sample(Sample {
        series,
        known: false,
        value,
        timestamp_ms,
        exemplar: None,
    }))
}

/// Reads the labels from after the `{` to after the `}` and notes where they lie in the series
/// that starts at `start`.
fn labels(scanner: &mut Scanner, bytes: &[u8], start: usize, at: usize) -> Result<usize, Fail> {
    let mut at = skip_blanks(bytes, at);
    loop {
        let (name, quoted, end) = match bytes.get(at) {
            Some(b'}') => return Ok(at + 1),
            Some(b'"') => {
                let end = quoted_end(bytes, at, NAME)?;
                (Span::between(at + 1, end - 1, start), true, end)
            }
            Some(_) => {
                let end = label_name_end(bytes, at);
                if end == at {
                    return Err((at, Reason::ExpectedLabelName));
                }
                (Span::between(at, end, start), false, end)
            }
            None => return Err((at, Reason::ExpectedLabelName)),
        };
        let next = skip_blanks(bytes, end);
        let separator = bytes.get(next).copied();
        if quoted && matches!(separator, Some(b',' | b'}')) {
            // A quoted string by itself is the metric name.
            if scanner.name.replace(name).is_some() {
                return Err((at, Reason::NameTwice));
            }
            if separator == Some(b'}') {
                return Ok(next + 1);
            }
            at = skip_blanks(bytes, next + 1);
            continue;
        }
        if separator != Some(b'=') {
            return Err((next, Reason::ExpectedEqual));
        }
        let value = skip_blanks(bytes, next + 1);
        if bytes.get(value) != Some(&b'"') {
            return Err((value, Reason::ExpectedLabelValue));
        }
        let end = quoted_end(bytes, value, VALUE)?;
        utf8(bytes, value, end)?;
        scanner
            .labels
            .push((name, Span::between(value + 1, end - 1, start)));
        // The comma between labels may be missing, and one may trail.
        at = skip_blanks(bytes, end);
        if bytes.get(at) == Some(&b',') {
            at = skip_blanks(bytes, at + 1);
        }
    }
}
