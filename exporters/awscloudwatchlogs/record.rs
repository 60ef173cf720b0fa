//! The JSON text of a log record (awsemf, section 14): members in the order of the reference, empty
//! ones left out.

use weir_model::{LogRef, Resource, Scope, ValueRef};

use crate::cloudwatch_logs::embedded::Embedded;

/// Appends a record's text, escaped for a JSON string; its length without these escapes.
pub(super) fn write(record: LogRef<'_>, ending: &Ending, out: &mut Vec<u8>) -> usize {
    let mut json = Embedded::new(out);
    json.plain(b"{");
    if record.body() != ValueRef::Empty {
        json.member("body");
        json.value(record.body());
    }
    if record.severity_number() != 0 {
        json.member("severity_number");
        json.int(record.severity_number().into());
    }
    if !record.severity_text().is_empty() {
        json.member("severity_text");
        json.text(record.severity_text());
    }
    for (name, number) in [
        ("dropped_attributes_count", record.dropped_attributes()),
        ("flags", record.flags()),
    ] {
        if number != 0 {
            json.member(name);
            json.int(number.into());
        }
    }
    for (name, id) in [
        ("trace_id", record.trace_id()),
        ("span_id", record.span_id()),
    ] {
        if id.iter().any(|byte| *byte != 0) {
            json.member(name);
            write_hex(id, &mut json);
        }
    }
    let attributes = record.attributes();
    if !attributes.is_empty() {
        json.member("attributes");
        json.map(attributes.iter());
    }
    ending.write(&mut json);
    json.len
}

fn write_hex(bytes: &[u8], json: &mut Embedded<'_>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    let mut len = 0;
    for (byte, pair) in bytes.iter().zip(text.chunks_exact_mut(2)) {
        for (digit, place) in [byte >> 4, byte & 15].into_iter().zip(pair) {
            *place = DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0');
        }
        len += 2;
    }
    json.quoted(text.get(..len).unwrap_or(&[]));
}

/// What all records of a resource and scope end with, ready to be copied into a request.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// The text after a brace, escaped for a JSON string.
    text: Vec<u8>,
    /// Its length without these escapes.
    len: usize,
}

impl Ending {
    pub(super) fn new(resource: &Resource, scope: &Scope) -> Self {
        // Begins as if behind the brace of a record that has nothing of its own.
        let mut text = vec![b'{'];
        let mut json = Embedded::new(&mut text);
        if !scope.name.is_empty() {
            json.member("scope");
            json.plain(b"{");
            json.member("name");
            json.text(&scope.name);
            if !scope.version.is_empty() {
                json.member("version");
                json.text(&scope.version);
            }
            if !scope.attributes.is_empty() {
                json.member("attributes");
                json.map(scope.attributes.iter());
            }
            json.plain(b"}");
        }
        if !resource.attributes.is_empty() {
            json.member("resource");
            json.map(resource.attributes.iter());
        }
        json.plain(b"}");
        let len = json.len;
        Self {
            text: text.split_off(1),
            len,
        }
    }

    fn write(&self, json: &mut Embedded<'_>) {
        if json.len > 1 && self.len > 1 {
            json.plain(b",");
        }
        json.ready(&self.text, self.len);
    }
}
