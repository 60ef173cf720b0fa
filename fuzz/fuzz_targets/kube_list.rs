//! A list of the Kubernetes API in parts: any bytes, cut at any places, give the items and the
//! metadata that the list read at once gives, or an error as it does.
#![no_main]

use std::cell::Cell;

use libfuzzer_sys::fuzz_target;
use serde::de::Error as _;
use serde_json::{Map, Value};

// The scanner by itself, without the client that its crate brings.
#[path = "../../crates/kube/src/list.rs"]
mod list;

use list::{Items, ListMetadata};

/// The list read at once.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Plain {
    metadata: ListMetadata,
    items: Option<Vec<Map<String, Value>>>,
}

type Read = Result<(Vec<Map<String, Value>>, ListMetadata), serde_json::Error>;

/// `None` if it nests deeper than can be read at once; an item by itself has two levels less.
fn at_once(body: &[u8]) -> Option<Read> {
    match serde_json::from_slice::<Plain>(body) {
        // A struct is read from an array as well.
        Ok(_) if !body.trim_ascii_start().starts_with(b"{") => {
            Some(Err(serde_json::Error::custom("not an object")))
        }
        Ok(plain) => Some(Ok((plain.items.unwrap_or_default(), plain.metadata))),
        Err(error) if error.to_string().contains("recursion limit") => None,
        Err(error) => Some(Err(error)),
    }
}

/// The list in parts, each as long as the next of `lengths` says, over and over.
fn in_parts(body: &[u8], lengths: &[u8]) -> Read {
    let (mut items, mut found) = (Items::default(), Vec::new());
    let longest = Cell::new(0);
    let mut take = |item: &[u8]| {
        longest.set(item.len().max(longest.get()));
        found.push(serde_json::from_slice(item)?);
        Ok(())
    };
    let (mut left, mut lengths) = (body, lengths.iter().cycle());
    while !left.is_empty() {
        let length = lengths.next().map_or(left.len(), |length| usize::from(*length) + 1);
        let (part, after) = left.split_at(length.min(left.len()));
        items.push(part, &mut take)?;
        left = after;
    }
    let metadata = items.end()?;
    assert!(longest.get() <= body.len());
    Ok((found, metadata))
}

fn has(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len()).any(|part| part == text)
}

// How many lengths of parts, these, and the list.
fuzz_target!(|data: &[u8]| {
    let Some((count, after)) = data.split_first() else { return };
    let (lengths, body) = after.split_at(usize::from(count % 8).min(after.len()));
    let parts = in_parts(body, lengths);
    let byte_by_byte = in_parts(body, &[0]);
    match (&parts, &byte_by_byte) {
        (Ok(parts), Ok(bytes)) => assert_eq!(parts, bytes),
        (Err(parts), Err(bytes)) => assert_eq!(parts.to_string(), bytes.to_string()),
        differ => panic!("by parts and by bytes: {differ:?}"),
    }
    match (at_once(body), parts) {
        (None, _) | (Some(Err(_)), Err(_)) => {}
        (Some(Ok(whole)), Ok(parts)) => assert_eq!(whole, parts),
        // The name of the items with escapes, which no server writes, is refused.
        (Some(Ok((items, _))), Err(_)) if !items.is_empty() && has(body, b"\\u00") => {}
        (Some(whole), parts) => panic!("at once {whole:?}, in parts {parts:?}"),
    }
});
