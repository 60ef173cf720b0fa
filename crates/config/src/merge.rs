//! Lays one tree over another, and turns keys with `::` into nesting.

use crate::node::{Entry, Node, Value};

/// Lays `over` on `base`: maps merge key by key, everything else is replaced (CFG-01, CFG-02), also by
/// null (CFG-03); an empty map changes nothing (CFG-04).
pub(crate) fn merge(base: &mut Node, over: Node) {
    match (&mut base.value, over.value) {
        (Value::Map(entries), Value::Map(more)) => {
            for entry in more {
                merge_entry(entries, entry);
            }
        }
        (_, value) => *base = Node { value, ..over },
    }
}

fn merge_entry(entries: &mut Vec<Entry>, entry: Entry) {
    match entries.iter_mut().find(|known| known.key == entry.key) {
        Some(known) => merge(&mut known.value, entry.value),
        None => entries.push(entry),
    }
}

/// Levels at which the reference reads `a::b: v` as `a: {b: v}`: the whole, its sections, and the
/// components in them (CFG-67). Further in, `::` belongs to the key (a header or label may have it).
const NESTED_LEVELS: usize = 3;

/// Turns `a::b: v` into `a: {b: v}` near the top of the tree.
pub(crate) fn nest_keys(node: &mut Node) {
    nest_level(node, NESTED_LEVELS);
}

fn nest_level(node: &mut Node, levels: usize) {
    let Value::Map(entries) = &mut node.value else {
        return;
    };
    if levels == 0 {
        return;
    }
    if entries.iter().any(|entry| entry.key.contains("::")) {
        let mut nested = Vec::with_capacity(entries.len());
        for entry in std::mem::take(entries) {
            let Entry { key, value } = entry;
            let path: Vec<&str> = key.split("::").collect();
            merge_entry(&mut nested, nest(&path, value));
        }
        *entries = nested;
    }
    for entry in entries {
        nest_level(&mut entry.value, levels - 1);
    }
}

/// `value` under the keys of `path`, the first outermost.
pub(crate) fn nest(path: &[&str], value: Node) -> Entry {
    let (last, outer) = path.split_last().unwrap_or((&"", &[]));
    let mut entry = Entry {
        key: (*last).to_owned(),
        value,
    };
    for key in outer.iter().rev() {
        let place = entry.value.place().clone();
        let mut map = Node::new(Value::Map(vec![entry]), place.clone());
        map.key_span = Some(place);
        entry = Entry {
            key: (*key).to_owned(),
            value: map,
        };
    }
    entry
}
