//! A list as the API sends it, taken apart while it comes: one item at a time is held, not a page.

use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny};

/// No object is that large: the API's store takes 1.5 MiB.
const LARGEST: usize = 16 << 20;

/// What stands in a list beside its items, and how many of those there are.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rest {
    metadata: ListMetadata,
    items: Option<Vec<IgnoredAny>>,
}

/// `metadata` of a list.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ListMetadata {
    /// The version of what was listed.
    pub(crate) resource_version: Option<String>,
    /// Asks for the next page.
    #[serde(rename = "continue")]
    pub(crate) next: Option<String>,
}

/// Takes the items out of a list. It looks at strings and brackets only; whether an item is JSON is
/// for its reader to say, and the list with `{}` in place of its items is read at the end: what that
/// has in other numbers or in another form was no list of objects.
#[derive(Debug, Default)]
pub(crate) struct Items {
    /// The item under way; empty between two.
    item: Vec<u8>,
    /// All but the items, of which `{}` is left.
    rest: Vec<u8>,
    /// Items so far.
    taken: usize,
    /// Open brackets.
    depth: usize,
    /// Within the list of items.
    within: bool,
    in_string: bool,
    escaped: bool,
}

impl Items {
    /// Takes more of the body; `take` gets the bytes of each item that is complete.
    ///
    /// # Errors
    /// What `take` says, and an item that is too large.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), serde_json::Error>,
    ) -> Result<(), serde_json::Error> {
        for &byte in bytes {
            let item = self.in_item(byte);
            let to = if item { &mut self.item } else { &mut self.rest };
            if to.len() >= LARGEST {
                return Err(serde_json::Error::custom("an object of more than 16 MiB"));
            }
            to.push(byte);
            self.follow(byte);
            if item && self.depth == 2 {
                let taken = take(&self.item);
                self.item.clear();
                taken?;
                self.rest.extend_from_slice(b"{}");
                self.taken += 1;
            }
        }
        Ok(())
    }

    /// Whether a byte is of an item: those are objects, so that a bracket begins one.
    fn in_item(&self, byte: u8) -> bool {
        !self.item.is_empty() || (self.within && self.depth == 2 && byte == b'{')
    }

    fn follow(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                self.depth += 1;
                self.within |= self.depth == 2 && byte == b'[' && self.at_items();
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.within &= self.depth >= 2;
            }
            _ => {}
        }
    }

    /// Whether the bracket that was just written begins the list of items. The name with escapes is
    /// not seen: items that follow it are refused at the end.
    fn at_items(&self) -> bool {
        let before = self.rest.strip_suffix(b"[").map(<[u8]>::trim_ascii_end);
        let before = before
            .and_then(|rest| rest.strip_suffix(b":"))
            .map(<[u8]>::trim_ascii_end);
        let before = before.and_then(|rest| rest.strip_suffix(b"\"items\""));
        before.is_some_and(|rest| {
            rest.trim_ascii_end().ends_with(b"{") || rest.trim_ascii_end().ends_with(b",")
        })
    }

    /// The end of the body.
    ///
    /// # Errors
    /// The body was no list, or was cut off.
    pub(crate) fn end(self) -> Result<ListMetadata, serde_json::Error> {
        // A struct would be read from an array as well.
        if !self.rest.trim_ascii_start().starts_with(b"{") {
            return Err(serde_json::Error::custom("a list is an object"));
        }
        // An item that was cut off is a bracket that is missing here as well.
        let rest: Rest = serde_json::from_slice(&self.rest)?;
        if rest.items.map_or(0, |items| items.len()) != self.taken {
            return Err(serde_json::Error::custom("items of a list are objects"));
        }
        Ok(rest.metadata)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::Value;

    use super::*;

    const LISTS: [&str; 7] = [
        r#"{"kind":"PodList","metadata":{"resourceVersion":"7","continue":"c"},"items":[{"a":1},{"b":[{"items":[{}]}]}]}"#,
        r#"{"items":[],"metadata":{"resourceVersion":"7"}}"#,
        r#"{"items":null}"#,
        r#"{ "items" : [ {"a":"}]{[\"\\"} , {"b":"\\\\"} ] , "metadata" : {"continue":null} }"#,
        r#"{"x":{"items":[{"no":1}]},"y":[{"items":[{}]}],"x\"items":[1,2],"items":[{"a":{"b":{"c":"\u00e4, \"items\":["}}}]}"#,
        r#"{"y":"{\"items\":[","items":[{}],"metadata":{"resourceVersion":"9"}}"#,
        "{\n \"items\"\n:\n[\n{\"a\":\n1}\n,\n{}\n]\n}\n",
    ];

    fn in_parts(list: &str, size: usize) -> (Vec<Value>, Result<ListMetadata, serde_json::Error>) {
        let (mut items, mut found) = (Items::default(), Vec::new());
        for part in list.as_bytes().chunks(size) {
            let take = |item: &[u8]| {
                found.push(serde_json::from_slice(item)?);
                Ok(())
            };
            items.push(part, take).unwrap();
        }
        (found, items.end())
    }

    #[test]
    fn a_list_in_parts_of_any_size_is_the_list_read_at_once() {
        for list in LISTS {
            let whole: Value = serde_json::from_str(list).unwrap();
            let expected = whole["items"].as_array().cloned().unwrap_or_default();
            let rest: Rest = serde_json::from_value(whole).unwrap();
            for size in 1..=list.len() {
                let (found, metadata) = in_parts(list, size);
                assert_eq!(found, expected, "{list} by {size}");
                assert_eq!(metadata.unwrap(), rest.metadata, "{list} by {size}");
            }
        }
    }

    #[test]
    fn a_list_that_is_cut_off_is_an_error() {
        for list in LISTS {
            let list = list.trim_end();
            for end in 0..list.len() {
                let start = list.get(..end).unwrap_or_default();
                assert!(in_parts(start, 5).1.is_err(), "{start}");
            }
        }
    }

    /// What is no list of objects, and would lose items in silence if it were taken for one.
    #[test]
    fn what_the_whole_would_not_be_read_from_is_an_error() {
        for list in [
            "[]",
            r#"[{"resourceVersion":"7"}]"#,
            r#"{"items":{}}"#,
            r#"{"items":[1]}"#,
            r#"{"items":[null]}"#,
            r#"{"items":[[{}]]}"#,
            r#"{"items":[{"a":1},2]}"#,
            r#"{"items":[1{"a":1}]}"#,
            r#"{"items":[{"a":1} {"b":2}]}"#,
            r#"{"items":[{"a":1},]}"#,
            r#"{"items":[,{"a":1}]}"#,
            r#"{"items":[{"a":1}],"items":[{"b":1}]}"#,
            r#"{"items":null,"items":[{"b":1}]}"#,
            r#"{"\u0069tems":[{"a":1}]}"#,
        ] {
            assert!(in_parts(list, 3).1.is_err(), "{list}");
        }
    }

    #[test]
    fn an_item_that_is_not_json_ends_the_list() {
        let take = |item: &[u8]| serde_json::from_slice::<Value>(item).map(drop);
        assert!(
            Items::default()
                .push(br#"{"items":[{"a":1},{"a":}]}"#, take)
                .is_err()
        );
    }

    /// Of items that were handed on, no more than their places is kept.
    #[test]
    fn items_are_not_kept() {
        let mut items = Items::default();
        items.push(br#"{"items":[{}"#, |_| Ok(())).unwrap();
        let item = format!(r#",{{"a":"{}"}}"#, "x".repeat(1000));
        for _ in 0..1000 {
            items.push(item.as_bytes(), |_| Ok(())).unwrap();
        }
        assert_eq!(
            items.rest.len(),
            r#"{"items":[{}"#.len() + 1000 * ",{}".len()
        );
        assert!(items.item.capacity() < 2 * 1024);
    }

    #[test]
    fn an_item_without_end_is_not_kept() {
        let mut items = Items::default();
        items.push(br#"{"items":[{"a":""#, |_| Ok(())).unwrap();
        let part = [b'a'; 1 << 20];
        let refused = (0..32).any(|_| items.push(&part, |_| Ok(())).is_err());
        assert!(refused && items.item.len() <= LARGEST);
    }
}
