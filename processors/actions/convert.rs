//! The actions `convert` and `hash`: a value from a value.

use sha2::{Digest as _, Sha256};
use weir_model::{Value, ValueRef};

/// Target of `convert`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conversion {
    Int,
    Double,
    Text,
}

impl Conversion {
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "int" => Some(Self::Int),
            "double" => Some(Self::Double),
            "string" => Some(Self::Text),
            _ => None,
        }
    }

    /// The value in the other type; `None` when it stays as it is.
    pub(super) fn apply(self, value: ValueRef<'_>) -> Option<Value> {
        match self {
            Self::Int => match value {
                ValueRef::Str(text) => text.parse().ok().map(Value::Int),
                ValueRef::Bool(flag) => Some(Value::Int(flag.into())),
                // The fraction is cut off; what lies outside becomes the nearest integer there is.
                ValueRef::Double(number) => Some(Value::Int(number as i64)),
                _ => None,
            },
            Self::Double => match value {
                ValueRef::Str(text) => double(text).map(Value::Double),
                ValueRef::Bool(flag) => Some(Value::Double(flag.into())),
                ValueRef::Int(number) => Some(Value::Double(number as f64)),
                _ => None,
            },
            Self::Text => match value {
                ValueRef::Str(_) => None,
                _ => Some(Value::Str(value.to_text().into_owned())),
            },
        }
    }
}

/// A number in decimal notation; one too large for a double is none, as in the reference.
fn double(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    let overflow = number.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit());
    (!overflow).then_some(number)
}

/// SHA-256 in hex: of the bytes of a text, the eight little-endian bytes of a number, the one byte
/// of a boolean. Other types, and empty texts, give an empty text (processors section 9).
pub(super) fn hash(value: ValueRef<'_>) -> String {
    let digest = |bytes: &[u8]| -> String {
        if bytes.is_empty() {
            return String::new();
        }
        let sum = Sha256::digest(bytes);
        sum.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    match value {
        ValueRef::Str(text) => digest(text.as_bytes()),
        ValueRef::Int(number) => digest(&number.to_le_bytes()),
        ValueRef::Double(number) => digest(&number.to_le_bytes()),
        ValueRef::Bool(flag) => digest(&[flag.into()]),
        ValueRef::Empty | ValueRef::Bytes(_) | ValueRef::List(_) | ValueRef::Map(_) => {
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_each_type_convert_as_observed_on_the_reference() {
        use ValueRef::{Bool, Double, Int, Str};
        let int = |value| Conversion::Int.apply(value);
        assert_eq!(int(Str("12")), Some(Value::Int(12)));
        assert_eq!(int(Str("-4")), Some(Value::Int(-4)));
        for kept in ["x1", "1.9", " 3", "1e3", ""] {
            assert_eq!(int(Str(kept)), None, "{kept}");
        }
        assert_eq!(int(Double(7.9)), Some(Value::Int(7)));
        assert_eq!(int(Double(-7.9)), Some(Value::Int(-7)));
        assert_eq!(int(Bool(true)), Some(Value::Int(1)));
        assert_eq!(int(Int(5)), None);

        let double = |value| Conversion::Double.apply(value);
        assert_eq!(double(Str("1e3")), Some(Value::Double(1000.0)));
        assert_eq!(double(Str("1.9")), Some(Value::Double(1.9)));
        for kept in ["x1", " 3", "1e999"] {
            assert_eq!(double(Str(kept)), None, "{kept}");
        }
        assert_eq!(double(Int(7)), Some(Value::Double(7.0)));
        assert_eq!(double(Bool(false)), Some(Value::Double(0.0)));

        let text = |value| Conversion::Text.apply(value);
        assert_eq!(text(Double(7.0)), Some(Value::from("7")));
        assert_eq!(text(Double(1e15)), Some(Value::from("1000000000000000")));
        assert_eq!(text(Bool(true)), Some(Value::from("true")));
        assert_eq!(text(Str("x")), None);
        let list = Value::List(vec![Value::Int(1)]);
        assert_eq!(
            list.with_ref(|list| Conversion::Text.apply(list)),
            Some(Value::from("[1]"))
        );
        assert_eq!(list.with_ref(|list| Conversion::Int.apply(list)), None);
    }

    #[test]
    fn hashes_are_those_of_the_reference() {
        for (value, hex) in [
            (
                ValueRef::Str("abc"),
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                ValueRef::Int(7),
                "aae89fc0f03e2959ae4d701a80cc3915918c950b159f6abb6c92c1433b1a8534",
            ),
            (
                ValueRef::Double(1.5),
                "e163f8cb0f7067a7fc78ca859a77f849aea3214f38fb75b884e4a16be725c905",
            ),
            (
                ValueRef::Bool(true),
                "4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a",
            ),
            (ValueRef::Empty, ""),
        ] {
            assert_eq!(hash(value), hex);
        }
    }
}
