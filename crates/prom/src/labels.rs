//! A set of labels that is built, changed by relabelling, and emptied again without giving its
//! memory back, so that resolving one series after the other does not allocate.

use std::fmt;

/// Name of the label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";

/// One label. An empty value means that the label is not there, except in a set that was just
/// parsed, where `honor_labels` needs to see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Label {
    name: String,
    value: String,
}

/// Labels sorted by name, each name once.
#[derive(Default)]
pub struct LabelSet {
    /// The first `live` are the set; the rest keep their buffers for later use.
    labels: Vec<Label>,
    live: usize,
}

impl LabelSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Removes all labels and keeps the buffers.
    pub fn clear(&mut self) {
        self.live = 0;
    }

    /// Number of labels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there is no label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    fn live(&self) -> &[Label] {
        self.labels.get(..self.live).unwrap_or_default()
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.live()
            .binary_search_by(|label| label.name.as_str().cmp(name))
    }

    /// The value of a label; the empty string if it is missing, as in Prometheus.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.position(name)
            .ok()
            .and_then(|at| self.live().get(at))
            .map_or("", |label| &label.value)
    }

    /// Whether the label is there, be its value empty or not.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.position(name).is_ok()
    }

    /// The labels in the order of their names (bytes).
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.live()
            .iter()
            .map(|label| (label.name.as_str(), label.value.as_str()))
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            self.remove(name);
        } else {
            self.insert(name, value);
        }
    }

    /// Sets a label even to the empty value. Returns whether the name was there before.
    pub fn insert(&mut self, name: &str, value: &str) -> bool {
        let (at, known) = match self.position(name) {
            Ok(at) => (at, true),
            Err(at) => {
                self.open_at(at);
                (at, false)
            }
        };
        if let Some(label) = self.labels.get_mut(at) {
            if !known {
                label.name.clear();
                label.name.push_str(name);
            }
            label.value.clear();
            label.value.push_str(value);
        }
        known
    }

    /// Makes room for a label at `at`, using a spare one if there is any.
    fn open_at(&mut self, at: usize) {
        if self.live == self.labels.len() {
            self.labels.push(Label::default());
        }
        self.live += 1;
        if let Some(tail) = self.labels.get_mut(at..self.live) {
            tail.rotate_right(1);
        }
    }

    /// Removes a label.
    pub fn remove(&mut self, name: &str) {
        if let Ok(at) = self.position(name) {
            if let Some(tail) = self.labels.get_mut(at..self.live) {
                tail.rotate_left(1);
            }
            self.live -= 1;
        }
    }

    /// Keeps the labels of which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        let mut kept = 0;
        for at in 0..self.live {
            if self
                .labels
                .get(at)
                .is_some_and(|label| keep(&label.name, &label.value))
            {
                self.labels.swap(kept, at);
                kept += 1;
            }
        }
        self.live = kept;
    }

    /// Removes labels with empty values.
    pub fn drop_empty(&mut self) {
        self.retain(|_, value| !value.is_empty());
    }
}

impl Clone for LabelSet {
    fn clone(&self) -> Self {
        Self {
            labels: self.live().to_vec(),
            live: self.live,
        }
    }
}

impl PartialEq for LabelSet {
    fn eq(&self, other: &Self) -> bool {
        self.live() == other.live()
    }
}

impl Eq for LabelSet {}

impl fmt::Debug for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The set in the notation of the exposition format: `{a="b", c="d"}`.
impl fmt::Display for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (at, (name, value)) in self.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for LabelSet {
    /// Later labels of the same name replace earlier ones; empty values are left out.
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(labels: I) -> Self {
        let mut set = Self::new();
        for (name, value) in labels {
            set.set(name, value);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Clone)]
    enum Operation {
        Set(String, String),
        Remove(String),
        RetainOdd,
    }

    fn operation() -> impl Strategy<Value = Operation> {
        prop_oneof![
            4 => ("[a-f]{1,2}", "[xy]{0,2}").prop_map(|(n, v)| Operation::Set(n, v)),
            2 => "[a-f]{1,2}".prop_map(Operation::Remove),
            1 => Just(Operation::RetainOdd),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(operations in prop::collection::vec(operation(), 0..60)) {
            let mut set = LabelSet::new();
            let mut map: BTreeMap<String, String> = BTreeMap::new();
            for operation in operations {
                match operation {
                    Operation::Set(name, value) => {
                        set.set(&name, &value);
                        if value.is_empty() { map.remove(&name); } else { map.insert(name, value); }
                    }
                    Operation::Remove(name) => { set.remove(&name); map.remove(&name); }
                    Operation::RetainOdd => {
                        set.retain(|name, _| name.len() % 2 == 1);
                        map.retain(|name, _| name.len() % 2 == 1);
                    }
                }
                let listed: Vec<_> = set.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
                let expected: Vec<_> = map.clone().into_iter().collect();
                prop_assert_eq!(listed, expected);
            }
        }
    }

    #[test]
    fn display_is_exposition_like() {
        let set: LabelSet = [("b", "2"), ("a", "say \"x\"")].into_iter().collect();
        assert_eq!(set.to_string(), r#"{a="say \"x\"", b="2"}"#);
        assert_eq!(set.get("missing"), "");
    }
}
