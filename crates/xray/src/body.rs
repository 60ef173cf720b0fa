//! Request bodies of `PutTraceSegments`: up to 50 documents each (XR-47).

use std::ops::Range;

use crate::json::{Detail, DocumentWriter};

/// Most documents of one request (service limit).
pub const MAX_DOCUMENTS: usize = 50;
/// Most bytes of one document (service limit).
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

const HEAD: &[u8] = b"{\"TraceSegmentDocuments\":[";
const TAIL: &[u8] = b"]}";

/// A request body that is being filled.
#[derive(Debug, Default)]
pub struct Body {
    bytes: Vec<u8>,
    documents: Vec<Document>,
}

/// One document in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Which span of the batch it was made of, counted from 0.
    pub span: usize,
    /// Segment id as text, empty if the segment has none.
    pub id: Option<[u8; 8]>,
    /// Where it stands, quotes included.
    pub range: Range<usize>,
}

/// A finished body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// JSON.
    pub bytes: Vec<u8>,
    /// What is in it.
    pub documents: Vec<Document>,
}

/// A document over the service's limit, even in its shortest form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Body {
    /// Adds a document. `write` is called again with less detail if the document is too large. The
    /// values it could not print are returned.
    pub(crate) fn add(
        &mut self,
        (span, id): (usize, Option<[u8; 8]>),
        mut write: impl FnMut(&mut DocumentWriter<'_>),
    ) -> Result<u64, TooLarge> {
        let before = self.bytes.len();
        for detail in [Detail::FULL, Detail::SHORT_TEXTS, Detail::NO_METADATA] {
            self.bytes.truncate(before);
            self.bytes
                .extend_from_slice(if before == 0 { HEAD } else { b"," });
            let start = self.bytes.len();
            self.bytes.push(b'"');
            let mut writer = DocumentWriter::new(&mut self.bytes, detail);
            write(&mut writer);
            let unprintable = writer.unprintable;
            // The reference's encoder ends each document with a line feed (XR-06).
            self.bytes.extend_from_slice(b"\\n\"");
            let range = start..self.bytes.len();
            if self.is_within_limit(range.clone()) {
                self.documents.push(Document { span, id, range });
                return Ok(unprintable);
            }
        }
        self.bytes.truncate(before);
        Err(TooLarge)
    }

    fn is_within_limit(&self, range: Range<usize>) -> bool {
        // The escaped form is the longer one: mostly it fits already.
        range.len() <= MAX_DOCUMENT_BYTES
            || self
                .bytes
                .get(range)
                .is_none_or(|text| unescaped_len(text) <= MAX_DOCUMENT_BYTES)
    }

    /// Whether no more documents fit.
    pub fn is_full(&self) -> bool {
        self.documents.len() >= MAX_DOCUMENTS
    }

    /// The finished body, if there is a document in it; the next one starts empty.
    pub fn finish(&mut self) -> Option<Request> {
        if self.documents.is_empty() {
            return None;
        }
        // The next body will be about as large.
        let room = self.bytes.len() + self.bytes.len() / 8;
        let mut bytes = std::mem::replace(&mut self.bytes, Vec::with_capacity(room));
        bytes.extend_from_slice(TAIL);
        let documents = std::mem::replace(&mut self.documents, Vec::with_capacity(MAX_DOCUMENTS));
        Some(Request { bytes, documents })
    }
}

impl Request {
    /// Places of the documents with this segment id: none or one, more if spans share an id.
    pub fn places_of(&self, id: &str) -> impl Iterator<Item = usize> + use<'_> {
        let id = u64::from_str_radix(id, 16).ok().map(u64::to_be_bytes);
        let documents = self.documents.iter().enumerate();
        documents.filter_map(move |(place, document)| {
            (id.is_some() && document.id == id).then_some(place)
        })
    }

    /// A request with these documents of this one again.
    pub fn only(&self, documents: &[usize]) -> Request {
        let mut body = Body::default();
        for document in documents.iter().filter_map(|at| self.documents.get(*at)) {
            let head = if body.bytes.is_empty() { HEAD } else { b"," };
            body.bytes.extend_from_slice(head);
            let start = body.bytes.len();
            let text = self.bytes.get(document.range.clone()).unwrap_or(&[]);
            body.bytes.extend_from_slice(text);
            body.documents.push(Document {
                range: start..body.bytes.len(),
                ..document.clone()
            });
        }
        body.finish().unwrap_or(Request {
            bytes: [HEAD, TAIL].concat(),
            documents: Vec::new(),
        })
    }
}

/// Length of a JSON string's text; all escapes are one character of one byte.
fn unescaped_len(quoted: &[u8]) -> usize {
    let mut bytes = quoted.iter();
    let mut len = 0;
    while let Some(byte) = bytes.next() {
        if *byte == b'\\' {
            bytes.next();
        }
        len += 1;
    }
    // Without the quotes.
    len - 2
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn texts(request: &Request) -> Vec<String> {
        let body: serde_json::Value = serde_json::from_slice(&request.bytes).unwrap();
        let documents = body["TraceSegmentDocuments"].as_array().unwrap().iter();
        documents.map(|d| d.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn documents_are_strings_that_end_with_a_line_feed() {
        let mut body = Body::default();
        assert_eq!(body.finish(), None);
        for text in ["a", "b\"\\\n"] {
            body.add((0, None), |w| {
                w.text(text);
                w.take_comma();
            })
            .unwrap();
        }
        let request = body.finish().unwrap();
        assert_eq!(texts(&request), ["\"a\"\n", "\"b\\\"\\\\\\n\"\n"]);
        assert_eq!(texts(&request.only(&[1])), ["\"b\\\"\\\\\\n\"\n"]);
        assert_eq!(texts(&request.only(&[7])), [""; 0]);
        assert_eq!(body.finish(), None);
    }

    #[test]
    fn a_large_document_is_written_again_shorter_and_given_up_last() {
        let mut body = Body::default();
        let quotes = "\"".repeat(40_000);
        body.add((0, None), |w| {
            w.long_text(&quotes);
            w.take_comma();
        })
        .unwrap();
        // 40,000 quotes are 80,000 bytes in the document.
        let request = body.finish().unwrap();
        assert_eq!(texts(&request)[0].len(), 2 * 2048 + 3);
        let fits = "x".repeat(MAX_DOCUMENT_BYTES - 3);
        let add = |body: &mut Body, text: &str| {
            body.add((0, None), |w| {
                w.text(text);
                w.take_comma();
            })
        };
        assert_eq!(add(&mut body, &fits), Ok(0));
        assert_eq!(texts(&body.finish().unwrap())[0].len(), MAX_DOCUMENT_BYTES);
        assert_eq!(add(&mut body, &(fits + "x")), Err(TooLarge));
        assert_eq!(body.finish(), None);
    }
}
