//! The state of a scan and what both text grammars share.

use super::error::Fail;
use super::number::{self, NumberError};
use super::series::Span;
use super::{Metadata, MetricType, ParseError, Reason, Sample, Step, open_metrics, text};
use crate::cache::ScrapeCache;

/// Which text grammar a body follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// Prometheus text, 0.0.4 and 1.0.0.
    Prometheus,
    /// OpenMetrics, 0.0.1 and 1.0.0.
    OpenMetrics,
}

/// A piece of a body and the place in it.
///
/// All but the last block must end with a line end, so that only a quoted string can reach over
/// the end of a block.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    bytes: &'a [u8],
    at: usize,
    last: bool,
}

impl<'a> Block<'a> {
    /// A piece of the body; `last` says that nothing follows.
    #[must_use]
    pub fn new(bytes: &'a [u8], last: bool) -> Self {
        Self { bytes, at: 0, last }
    }

    /// How many bytes are done. The rest has to be given again with the next block.
    #[must_use]
    pub fn consumed(&self) -> usize {
        self.at
    }
}

/// Knows which line should come next.
pub trait Expected {
    /// The length of that line if `text` begins with it.
    fn length_in(&self, text: &[u8]) -> Option<usize>;
}

/// Nothing is expected: every line is looked at.
impl Expected for () {
    fn length_in(&self, _text: &[u8]) -> Option<usize> {
        None
    }
}

impl<T> Expected for ScrapeCache<T> {
    #[inline]
    fn length_in(&self, text: &[u8]) -> Option<usize> {
        self.matches(text)
    }
}

/// Whether a scan goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Lines,
    /// `# EOF` was read, and nothing may follow.
    AfterEof,
    /// All that follows is ignored (a NUL at the start of a line).
    Ended,
}

/// Reads the lines of one body.
#[derive(Debug)]
pub struct Scanner {
    format: TextFormat,
    state: State,
    /// Line ends in the blocks that are done.
    lines_before: u64,
    /// The type that the last `# TYPE` line gave.
    pub(super) metric_type: MetricType,
    /// Where the name of the last unknown sample lies in its series text.
    pub(super) name: Option<Span>,
    /// Where its labels lie.
    pub(super) labels: Vec<(Span, Span)>,
    /// Where the labels of the last exemplar lie in its line.
    pub(super) exemplar: Vec<(Span, Span)>,
}

impl Scanner {
    /// A scanner for a new body.
    #[must_use]
    pub fn new(format: TextFormat) -> Self {
        Self {
            format,
            state: State::Lines,
            lines_before: 0,
            metric_type: MetricType::Unknown,
            name: None,
            labels: Vec::new(),
            exemplar: Vec::new(),
        }
    }

    /// Starts over with another body and keeps the buffers.
    pub fn restart(&mut self, format: TextFormat) {
        self.format = format;
        self.state = State::Lines;
        self.lines_before = 0;
        self.metric_type = MetricType::Unknown;
    }

    /// The grammar.
    #[must_use]
    pub fn format(&self) -> TextFormat {
        self.format
    }

    /// Reads on to the next sample or metadata line.
    ///
    /// `expected` is what knows the line that should come next, such as the series cache: if it
    /// does come, it is not looked at up to its value.
    ///
    /// # Errors
    /// If the body is not of the format. Nothing of a body that fails may be used.
    pub fn step<'a>(
        &mut self,
        block: &mut Block<'a>,
        expected: &impl Expected,
    ) -> Result<Step<'a>, ParseError> {
        let result = match (self.state, self.format) {
            (State::Ended, _) => {
                block.at = block.bytes.len();
                Ok(Line::Ended)
            }
            (State::AfterEof, _) => after_eof(block),
            (State::Lines, TextFormat::Prometheus) => text::line(self, block, expected),
            (State::Lines, TextFormat::OpenMetrics) => open_metrics::line(self, block, expected),
        };
        match result {
            Ok(Line::Sample(sample)) => Ok(Step::Sample(sample)),
            Ok(Line::Metadata(metadata)) => Ok(Step::Metadata(metadata)),
            Ok(Line::Eof) => {
                self.state = State::AfterEof;
                self.step(block, expected)
            }
            Ok(Line::Ended) => {
                self.state = State::Ended;
                Ok(if block.last {
                    Step::End
                } else {
                    self.need_more(block)
                })
            }
            Ok(Line::BlockEnd) => Ok(self.need_more(block)),
            Err((_, Reason::UnterminatedString)) if !block.last => Ok(self.need_more(block)),
            Err((at, reason)) => Err(self.error(block, at, reason)),
        }
    }

    fn need_more(&mut self, block: &Block<'_>) -> Step<'static> {
        self.lines_before += count_lines(block.bytes.get(..block.at).unwrap_or_default());
        Step::NeedMore
    }

    /// An error about the line that the step just gave, for reasons that the scanner cannot see,
    /// such as an invalid name.
    #[must_use]
    pub fn line_of(&self, block: &Block<'_>) -> u64 {
        let done = block
            .bytes
            .get(..block.at.saturating_sub(1))
            .unwrap_or_default();
        self.lines_before + count_lines(done) + 1
    }

    fn error(&self, block: &Block<'_>, at: usize, reason: Reason) -> ParseError {
        let before = block.bytes.get(..at).unwrap_or(block.bytes);
        let line = self.lines_before + count_lines(before) + 1;
        let start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
        let text = block.bytes.get(start..).unwrap_or_default();
        let end = memchr::memchr(b'\n', text).unwrap_or(text.len());
        let crlf = end > 0 && text.get(end - 1) == Some(&b'\r');
        let reason = match reason {
            Reason::BadValue
            | Reason::BadTimestamp
            | Reason::TrailingText
            | Reason::UnknownType
                if crlf =>
            {
                Reason::CarriageReturn
            }
            other => other,
        };
        ParseError::new(line, reason, text)
    }
}

/// What a grammar made of a line.
pub(super) enum Line<'a> {
    Sample(Sample<'a>),
    Metadata(Metadata<'a>),
    /// `# EOF`
    Eof,
    /// The rest of the body is to be ignored.
    Ended,
    /// No line left in the block.
    BlockEnd,
}

fn after_eof<'a>(block: &mut Block<'a>) -> Result<Line<'a>, Fail> {
    if block.at < block.bytes.len() {
        Err((block.at, Reason::AfterEof))
    } else if block.last {
        Ok(Line::Ended)
    } else {
        Ok(Line::BlockEnd)
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

impl<'a> Block<'a> {
    /// All bytes of the block.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_last(&self) -> bool {
        self.last
    }

    /// The lines before `at` are done.
    pub(super) fn advance_to(&mut self, at: usize) {
        self.at = at;
    }

    /// If the expected line stands at the current place: where its series ends.
    #[inline]
    pub(super) fn matches(&self, expected: &impl Expected) -> Option<usize> {
        let rest = self.bytes.get(self.at..)?;
        let length = expected.length_in(rest)?;
        let metadata = rest.first() == Some(&b'#');
        let end = self.at + length;
        if !metadata && rest.get(length.checked_sub(1)?) == Some(&b'}') {
            return Some(end);
        }
        match self.bytes.get(end) {
            // A metadata line ends with its line; a bare name with a blank that no `{` follows.
            None | Some(b'\n') => Some(end),
            Some(b' ' | b'\t') if !metadata => {
                let next = skip_blanks(self.bytes, end);
                (self.bytes.get(next) != Some(&b'{')).then_some(end)
            }
            Some(_) => None,
        }
    }
}

/// The first place from `at` on that is neither a space nor a tab.
#[inline]
pub(super) fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    at
}

/// The end of the metric name at `at`; `at` itself if there is none.
#[inline]
pub(super) fn metric_name_end(bytes: &[u8], at: usize) -> usize {
    if bytes.get(at).is_some_and(u8::is_ascii_digit) {
        return at;
    }
    word_end(bytes, at, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':')
    })
}

/// The end of the label name at `at`; `at` itself if there is none.
#[inline]
pub(super) fn label_name_end(bytes: &[u8], at: usize) -> usize {
    if bytes.get(at).is_some_and(u8::is_ascii_digit) {
        return at;
    }
    word_end(bytes, at, |byte| {
        byte.is_ascii_alphanumeric() || byte == b'_'
    })
}

#[inline]
fn word_end(bytes: &[u8], mut at: usize, part: impl Fn(u8) -> bool) -> usize {
    while bytes.get(at).is_some_and(|byte| part(*byte)) {
        at += 1;
    }
    at
}

/// What may stand inside a quoted string besides its escapes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Quoting {
    /// Raw line ends are allowed.
    pub(super) newline: bool,
    /// NUL is allowed.
    pub(super) nul: bool,
}

/// The place after the closing quote of the string that starts with a quote at `at`.
pub(super) fn quoted_end(bytes: &[u8], at: usize, quoting: Quoting) -> Result<usize, Fail> {
    let mut from = at + 1;
    loop {
        let rest = bytes.get(from..).unwrap_or_default();
        let Some(found) = memchr::memchr2(b'"', b'\\', rest) else {
            return Err((at, unterminated(rest, quoting)));
        };
        let before = rest.get(..found).unwrap_or_default();
        if !quoting.newline && memchr::memchr(b'\n', before).is_some() {
            return Err((at, Reason::BadString));
        }
        if !quoting.nul && memchr::memchr(0, before).is_some() {
            return Err((at, Reason::BadString));
        }
        if rest.get(found) == Some(&b'"') {
            return Ok(from + found + 1);
        }
        match rest.get(found + 1) {
            None => return Err((at, Reason::UnterminatedString)),
            Some(b'\n') => return Err((at, Reason::BadString)),
            Some(_) => from += found + 2,
        }
    }
}

fn unterminated(rest: &[u8], quoting: Quoting) -> Reason {
    if !quoting.newline && memchr::memchr(b'\n', rest).is_some() {
        Reason::BadString
    } else {
        Reason::UnterminatedString
    }
}

/// The float at `at`, which ends where `ends` says, and its end.
#[inline]
pub(super) fn value_at(
    bytes: &[u8],
    at: usize,
    ends: impl Fn(u8) -> bool,
) -> Result<(f64, usize), Fail> {
    if let Some((value, length)) = bytes.get(at..).and_then(number::leading_decimal) {
        let end = at + length;
        if bytes.get(end).is_none_or(|byte| ends(*byte)) {
            return Ok((value, end));
        }
    }
    let mut end = at;
    while bytes.get(end).is_some_and(|byte| !ends(*byte)) {
        end += 1;
    }
    let token = bytes.get(at..end).unwrap_or_default();
    if token.is_empty() {
        return Err((at, Reason::ExpectedValue));
    }
    match number::parse_float(token) {
        Ok(value) => Ok((value, end)),
        Err(NumberError::Range) => Err((at, Reason::ValueRange)),
        Err(NumberError::Syntax) => Err((at, Reason::BadValue)),
    }
}

/// The bytes as text.
pub(super) fn utf8(bytes: &[u8], from: usize, to: usize) -> Result<&str, Fail> {
    let slice = bytes.get(from..to).unwrap_or_default();
    std::str::from_utf8(slice).map_err(|_| (from, Reason::InvalidUtf8))
}
