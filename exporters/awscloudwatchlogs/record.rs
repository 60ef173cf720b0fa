//! The JSON text of a log record (awsemf, section 14): members in the order of the reference, empty
//! ones left out.

use weir_model::{LogRef, Resource, Scope, ValueRef};

use crate::cloudwatch_logs::json::{embed, write_i64, write_map, write_str, write_u64, write_value};

/// Starts a record's text with what is its own; the end follows as [`Ending`].
pub(super) fn write_start(record: LogRef<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    if record.body() != ValueRef::Empty {
        member("body", out);
        write_value(record.body(), true, out);
    }
    if record.severity_number() != 0 {
        member("severity_number", out);
        write_i64(record.severity_number().into(), out);
    }
    if !record.severity_text().is_empty() {
        member("severity_text", out);
        write_str(record.severity_text(), true, out);
    }
    for (name, number) in [
        ("dropped_attributes_count", record.dropped_attributes()),
        ("flags", record.flags()),
    ] {
        if number != 0 {
            member(name, out);
            write_u64(number.into(), out);
        }
    }
    for (name, id) in [("trace_id", record.trace_id()), ("span_id", record.span_id())] {
        if id.iter().any(|byte| *byte != 0) {
            member(name, out);
            write_hex(id, out);
        }
    }
    let attributes = record.attributes();
    if !attributes.is_empty() {
        member("attributes", out);
        write_map(attributes.iter(), true, out);
    }
}

/// Appends a member's name.
fn member(name: &str, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.extend(DIGITS.get(usize::from(digit)));
        }
    }
    out.push(b'"');
}

/// What all records of a resource and scope end with, ready to be copied into a request.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// The text, with a comma first unless there is no member, escaped for a JSON string.
    embedded: Vec<u8>,
    /// Its length without these escapes.
    len: usize,
}

impl Ending {
    pub(super) fn new(resource: &Resource, scope: &Scope) -> Self {
        let mut text = Vec::new();
        if !scope.name.is_empty() {
            text.extend_from_slice(b",\"scope\":{");
            member("name", &mut text);
            write_str(&scope.name, true, &mut text);
            if !scope.version.is_empty() {
                member("version", &mut text);
                write_str(&scope.version, true, &mut text);
            }
            if !scope.attributes.is_empty() {
                member("attributes", &mut text);
                write_map(scope.attributes.iter(), true, &mut text);
            }
            text.push(b'}');
        }
        if !resource.attributes.is_empty() {
            text.extend_from_slice(b",\"resource\":");
            write_map(resource.attributes.iter(), true, &mut text);
        }
        text.push(b'}');
        let mut embedded = Vec::with_capacity(text.len() + text.len() / 4);
        embed(&text, &mut embedded);
        Self {
            embedded,
            len: text.len(),
        }
    }

    /// Appends a record's start and this ending, escaped for a JSON string; the length of the text
    /// without these escapes.
    pub(super) fn finish(&self, start: &[u8], out: &mut Vec<u8>) -> usize {
        embed(start, out);
        // No comma behind a brace.
        let skip = usize::from(start.ends_with(b"{") && self.embedded.starts_with(b","));
        out.extend_from_slice(self.embedded.get(skip..).unwrap_or(&[]));
        start.len() + self.len - skip
    }
}
