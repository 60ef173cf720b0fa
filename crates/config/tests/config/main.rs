//! Tests of the configuration crate from outside, by the rows (CFG-nn) of the reference's behaviour.
// Tables of cases are long on purpose.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines
)]

mod decode;
mod expand;
mod load;
mod render;
mod samples;
mod yaml;

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_config::{Diagnostics, Loaded, NoFetch, Node, Origin, Source, load, parse_yaml};

/// The tree of a text.
fn tree(text: &str) -> Node {
    parse_yaml(&Source::new("test.yaml", text, Origin::Document)).unwrap()
}

/// The tree as JSON, which is easy to compare and shows types.
fn json(node: &Node) -> String {
    serde_json::to_string(node).unwrap()
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Loads inline texts, each as one source, with variables.
fn load_texts(texts: &[&str], env: &[(&str, &str)]) -> Result<Loaded, Diagnostics> {
    let locations: Vec<String> = texts.iter().map(|text| format!("yaml:{text}")).collect();
    load(&locations, &[], &variables(env), &NoFetch)
}

/// A source of this text, for errors.
fn source(text: &str) -> Arc<Source> {
    Source::new("test.yaml", text, Origin::Document)
}
