//! Parts of the configuration whose strings may be written as numbers.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::names;

/// A value in which numbers and booleans fit string fields by their text, however deep: the rule
/// of configurations that have one of their own, such as that of Prometheus (`regex: 8080`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Loose<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Loose<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Reader<T> {
            type Value = Loose<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                inner: D,
            ) -> Result<Loose<T>, D::Error> {
                T::deserialize(inner).map(Loose)
            }
        }

        // The tree's deserializer knows the name; others just go on.
        deserializer.deserialize_newtype_struct(names::LOOSE, Reader(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Origin, Source, decode, parse_yaml};

    #[derive(Debug, Deserialize, PartialEq, Default)]
    #[serde(default)]
    struct Outer {
        loose: Loose<BTreeMap<String, Vec<String>>>,
        strict: String,
    }

    #[test]
    fn numbers_are_texts_inside_and_errors_outside() {
        let text = "loose:\n  a: [8080, 1.10, true, x]\nstrict: ok\n";
        let node = parse_yaml(&Source::new("t.yaml", text, Origin::Document)).unwrap();
        let outer: Outer = decode(&node, "").unwrap();
        assert_eq!(outer.loose.0["a"], ["8080", "1.10", "true", "x"]);

        let text = "loose:\n  a: [1]\nstrict: 5\n";
        let node = parse_yaml(&Source::new("t.yaml", text, Origin::Document)).unwrap();
        let errors = decode::<Outer>(&node, "").unwrap_err();
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].path, "strict");
    }
}
