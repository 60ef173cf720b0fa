//! Exemplars: labels to trace and span ids (prometheus-receiver specification, section 9.8).

use weir_model::{AttributesBuilder, Exemplar, ExemplarValue};

use super::nanoseconds;

/// Collects the labels of an exemplar.
#[derive(Debug, Default)]
pub(super) struct ExemplarBuilder {
    trace_id: Box<[u8]>,
    span_id: Box<[u8]>,
    others: AttributesBuilder,
}

impl ExemplarBuilder {
    /// Adds a label. Ids that are hexadecimal become ids: longer ones are cut, shorter ones get
    /// zeros in front. Other labels stay as attributes.
    pub(super) fn label(&mut self, name: &str, value: &str) {
        let id = if name.eq_ignore_ascii_case("trace_id") {
            Some((&mut self.trace_id, 16))
        } else if name.eq_ignore_ascii_case("span_id") {
            Some((&mut self.span_id, 8))
        } else {
            None
        };
        match id.and_then(|(place, length)| Some((place, hexadecimal(value, length)?))) {
            Some((place, bytes)) => *place = bytes,
            None => {
                self.others.set_str(name, value);
            }
        }
    }

    /// The exemplar with its value and time in milliseconds.
    pub(super) fn build(self, value: f64, time_ms: i64) -> Exemplar {
        Exemplar {
            time_ns: nanoseconds(time_ms),
            value: Some(ExemplarValue::Double(value)),
            trace_id: self.trace_id,
            span_id: self.span_id,
            filtered_attributes: self.others.build(),
        }
    }
}

/// Decodes hexadecimal text to exactly so many bytes.
fn hexadecimal(text: &str, length: usize) -> Option<Box<[u8]>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let mut bytes = Vec::with_capacity(length);
    for pair in text.as_bytes().chunks_exact(2) {
        let digits = std::str::from_utf8(pair).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
    }
    bytes.truncate(length);
    let mut padded = vec![0; length - bytes.len()];
    padded.extend_from_slice(&bytes);
    Some(padded.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_decoded_and_other_labels_kept() {
        for (trace, trace_id, attribute) in [
            (
                "0102030405060708090a0b0c0d0e0f10",
                "0102030405060708090a0b0c0d0e0f10",
                None,
            ),
            (
                "0102030405060708090a0b0c0d0e0f1011",
                "0102030405060708090a0b0c0d0e0f10",
                None,
            ),
            ("ff", "000000000000000000000000000000ff", None),
            ("xyz", "", Some("xyz")),
            ("+1", "", Some("+1")),
        ] {
            let mut builder = ExemplarBuilder::default();
            builder.label("Trace_ID", trace);
            builder.label("span_id", "0a0b");
            builder.label("user", "u");
            let exemplar = builder.build(2.5, 1);
            let hex: String = exemplar
                .trace_id
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(hex, trace_id, "{trace}");
            assert_eq!(&*exemplar.span_id, [0, 0, 0, 0, 0, 0, 0x0a, 0x0b]);
            let kept = exemplar
                .filtered_attributes
                .get("Trace_ID")
                .and_then(|v| v.as_str());
            assert_eq!(kept, attribute);
            assert_eq!(
                exemplar
                    .filtered_attributes
                    .get("user")
                    .and_then(|v| v.as_str()),
                Some("u")
            );
            assert_eq!(exemplar.time_ns, 1_000_000);
        }
    }
}
