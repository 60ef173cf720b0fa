//! Spans from X-Ray segment documents: the way back (sigv4auth-and-aws-client, section 6).
//!
//! A program with an X-Ray SDK sends datagrams: a header line, then documents. [`datagram_body`] checks
//! the header, [`Reader::read_body`] turns each document with all its subsegments into spans. A
//! document is taken whole or not at all, and a refused one costs its neighbours nothing.

mod document;
mod json;
mod resource;
mod spans;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;
use weir_model::{Interner, TracesBuilder};

use document::{Document, Header};
pub use spans::Reader;

/// After so many unreadable pieces the rest of a body is one more of them, so that a body made of
/// nothing else is not searched again and again.
const MAX_BROKEN: usize = 8;

/// Why a datagram or a document was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The first line is not `{"format": "json", "version": 1}`.
    Header,
    /// Nothing follows the header.
    Empty,
    /// No JSON, or a member of another type than it should have.
    Json(String),
    /// A member that every segment needs is not there.
    Missing(&'static str),
    /// An id or trace id that is none.
    Id(&'static str),
    /// A namespace other than `aws`, `remote` and `local`.
    Namespace(String),
    /// `sql.url` names no database.
    SqlUrl,
}

impl Refused {
    /// A short stable word, for the `reason` label of counters.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Header => "invalid_header",
            Self::Empty => "empty",
            Self::Json(_) => "invalid_json",
            Self::Missing(_) => "missing_field",
            Self::Id(_) => "invalid_id",
            Self::Namespace(_) => "unexpected_namespace",
            Self::SqlUrl => "invalid_sql_url",
        }
    }

    /// All words of [`Self::reason`].
    pub const REASONS: [&'static str; 7] = [
        "invalid_header",
        "empty",
        "invalid_json",
        "missing_field",
        "invalid_id",
        "unexpected_namespace",
        "invalid_sql_url",
    ];
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str(
                "the datagram does not begin with the line {\"format\": \"json\", \"version\": 1}: \
                 only programs with an X-Ray SDK may send to this port",
            ),
            Self::Empty => f.write_str("no segment document follows the header"),
            Self::Json(why) => write!(f, "the segment document cannot be read: {why}"),
            Self::Missing(name) => write!(f, "segment \"{name}\" is missing"),
            Self::Id(name) => write!(
                f,
                "segment \"{name}\" has a wrong form: ids have 16 hexadecimal digits, trace ids the form \
                 1-<8 digits>-<24 digits>"
            ),
            Self::Namespace(name) => write!(
                f,
                "unexpected namespace: {name:?}; it may be \"aws\", \"remote\" or \"local\""
            ),
            Self::SqlUrl => f.write_str(
                "no database name in \"sql.url\"; its form is protocol://host:port/database",
            ),
        }
    }
}

/// What became of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It became so many spans: one for the segment, one for each subsegment.
    Taken {
        /// Segment and subsegments.
        spans: usize,
    },
    /// It was left out.
    Refused {
        /// Segment and subsegments, or 1 where that cannot be told.
        segments: usize,
        /// Whether it was readable as a segment, as X-Ray's telemetry counts it.
        readable: bool,
        /// Why.
        why: Refused,
    },
}

/// The documents behind the header of a datagram.
///
/// # Errors
/// [`Refused::Header`] and [`Refused::Empty`].
pub fn datagram_body(datagram: &[u8]) -> Result<&[u8], Refused> {
    let mut parts = datagram.splitn(2, |byte| *byte == b'\n');
    let (Some(header), Some(body)) = (parts.next(), parts.next()) else {
        return Err(Refused::Header);
    };
    let header: Header<'_> = serde_json::from_slice(header).map_err(|_| Refused::Header)?;
    if !header.is_known() {
        return Err(Refused::Header);
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Refused::Empty);
    }
    Ok(body)
}

impl Reader {
    /// Reads all documents of a body into `builder`; `outcome` hears of each in order.
    ///
    /// The reference takes one document a datagram; here several may follow each other, with or
    /// without white space between them.
    pub fn read_body(
        &self,
        body: &[u8],
        interner: &Interner,
        builder: &mut TracesBuilder,
        mut outcome: impl FnMut(Outcome),
    ) {
        let text = String::from_utf8_lossy(body);
        let whole = self.read(&text, interner, builder);
        if !matches!(
            whole,
            Outcome::Refused {
                readable: false,
                ..
            }
        ) {
            return outcome(whole);
        }
        let pieces = split(&text);
        if pieces.len() < 2 {
            return outcome(whole);
        }
        for piece in pieces {
            outcome(match piece {
                Ok(document) => self.read(document, interner, builder),
                Err(why) => unreadable(why),
            });
        }
    }

    /// Reads one document.
    fn read(&self, text: &str, interner: &Interner, builder: &mut TracesBuilder) -> Outcome {
        let error = match serde_json::from_str::<Document<'_>>(text) {
            Ok(document) => return self.take(&document, interner, builder),
            Err(error) => error,
        };
        if let Some(repaired) = without_lone_surrogates(text)
            && let Ok(document) = serde_json::from_str::<Document<'_>>(&repaired)
        {
            return self.take(&document, interner, builder);
        }
        unreadable(error.to_string())
    }
}

fn unreadable(why: String) -> Outcome {
    Outcome::Refused {
        segments: 1,
        readable: false,
        why: Refused::Json(why),
    }
}

/// The documents of a body, and why the pieces between them are none. Behind a broken piece reading
/// goes on at the next line.
fn split(text: &str) -> Vec<Result<&str, String>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut broken = 0;
    while !rest.trim_ascii_start().is_empty() {
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let error = loop {
            match stream.next() {
                Some(Ok(document)) => pieces.push(Ok(document.get())),
                Some(Err(error)) => break error.to_string(),
                None => return pieces,
            }
        };
        let behind = rest.get(stream.byte_offset()..).unwrap_or_default();
        pieces.push(Err(error));
        broken += 1;
        // What is read behind must not begin where it began before.
        let Some((_, next)) = behind.trim_ascii_start().split_once('\n') else {
            break;
        };
        if broken == MAX_BROKEN {
            break;
        }
        rest = next;
    }
    pieces
}

/// The text with `\ud800` to `\udfff` without their other half replaced by `\ufffd`, as Go's decoder
/// reads them; `None` when there are none. SDKs send them where they cut a text between the halves.
fn without_lone_surrogates(text: &str) -> Option<Cow<'_, str>> {
    let mut repaired = String::new();
    let mut copied = 0;
    let mut at = 0;
    let bytes = text.as_bytes();
    while let Some(&byte) = bytes.get(at) {
        if byte != b'\\' {
            at += 1;
            continue;
        }
        match (surrogate(bytes, at), surrogate(bytes, at + 6)) {
            (Some(Half::High), Some(Half::Low)) => at += 12,
            (Some(_), _) => {
                repaired.push_str(text.get(copied..at)?);
                repaired.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            (None, _) => at += 2,
        }
    }
    if copied == 0 {
        return None;
    }
    repaired.push_str(text.get(copied..)?);
    Some(repaired.into())
}

enum Half {
    High,
    Low,
}

/// Which half of a surrogate pair the escape at this place stands for.
fn surrogate(bytes: &[u8], at: usize) -> Option<Half> {
    let escape = bytes.get(at..at + 6)?;
    if escape.get(..2)? != b"\\u" {
        return None;
    }
    let digits = std::str::from_utf8(escape.get(2..)?).ok()?;
    match u32::from_str_radix(digits, 16).ok()? {
        0xd800..=0xdbff => Some(Half::High),
        0xdc00..=0xdfff => Some(Half::Low),
        _ => None,
    }
}
