//! What EMF text has beyond plain JSON: labels that hold JSON, tags, quantiles (spec 10.5, EMF-49).
//!
//! All text that is kept (labels, literals of event plans) is escaped once, when it is made, so that
//! an event is put together in the request body by copying.

use serde_json::Value as Json;

use crate::cloudwatch_logs::json::{f64_text, write_value};

pub(super) use crate::cloudwatch_logs::json::{
    embed, extract, extracted_len, label_text, write_f64, write_i64, write_str, write_u64,
};

/// JSON text in a label, as the JSON value it stands for (EMF-48): keys sorted, numbers as doubles.
/// `None` if it is not JSON.
pub(crate) fn parse_json_text(text: &str) -> Option<Vec<u8>> {
    let value: Json = serde_json::from_str(text).ok()?;
    let mut out = Vec::new();
    write_json(&value, &mut out);
    Some(out)
}

fn write_json(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Null => out.extend_from_slice(b"null"),
        Json::Bool(true) => out.extend_from_slice(b"true"),
        Json::Bool(false) => out.extend_from_slice(b"false"),
        Json::Number(number) => write_f64(number.as_f64().unwrap_or(0.0), out),
        Json::String(text) => write_str(text, true, out),
        Json::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_json(item, out);
            }
            out.push(b']');
        }
        Json::Object(entries) => {
            // Sorted here: whether serde_json's map is sorted depends on other crates' features.
            let sorted: std::collections::BTreeMap<&String, &Json> = entries.iter().collect();
            out.push(b'{');
            for (i, (key, item)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_str(key, true, out);
                out.push(b':');
                write_json(item, out);
            }
            out.push(b'}');
        }
    }
}

/// A tag's value as JSON.
pub(crate) fn write_tag(value: &weir_model::Value, out: &mut Vec<u8>) {
    let start = out.len();
    if !value.with_ref(|v| write_value(v, false, out)) {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

/// A quantile as label text: shortest digits, an exponent of at least two digits below 1e-4 and from
/// 1e6 on (EMF-30).
pub(crate) fn quantile_text(value: f64) -> String {
    if !value.is_finite() {
        return f64_text(value);
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    match exponent.parse::<i32>() {
        Ok(power) if value != 0.0 && !(-4..6).contains(&power) => {
            let sign = if power < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", power.abs())
        }
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn into_text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn quantiles_read_as_go_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (0.999, "0.999"),
            (1.0, "1"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1e6, "1e+06"),
            (100_000.0, "100000"),
        ] {
            assert_eq!(quantile_text(value), text);
        }
    }

    #[test]
    fn json_labels_become_json() {
        let parsed = |text| parse_json_text(text).map(into_text);
        assert_eq!(
            parsed("{\"b\":1.50,\"a\":[null,true]}").unwrap(),
            "{\"a\":[null,true],\"b\":1.5}"
        );
        assert_eq!(
            parsed("12345678901234567890").unwrap(),
            "12345678901234567000"
        );
        assert_eq!(parsed("null").unwrap(), "null");
        assert_eq!(parsed("{not json"), None);
    }
}
