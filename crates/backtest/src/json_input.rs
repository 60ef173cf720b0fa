//! JSON files: Prometheus answers and OTLP, told apart by what is in them.

use std::io::{BufRead, Read};

use serde::de::IgnoredAny;

use crate::input::Tracks;
use crate::otlp;
use crate::problem::Problem;
use crate::prometheus;

/// Longest line, and largest document.
pub(crate) const MOST_BYTES: u64 = 1 << 30;

/// Reads a document, or a document per line.
pub(crate) fn read(mut input: impl BufRead, tracks: &mut Tracks<'_>) -> Result<(), Problem> {
    let place = tracks.place().to_owned();
    let failed = |e: std::io::Error| Problem::new(&place, e.to_string(), "");
    let mut first = Vec::new();
    input
        .by_ref()
        .take(MOST_BYTES)
        .read_until(b'\n', &mut first)
        .map_err(failed)?;
    let mut line = 1;
    while first.trim_ascii().is_empty() && !first.is_empty() {
        first.clear();
        input
            .by_ref()
            .take(MOST_BYTES)
            .read_until(b'\n', &mut first)
            .map_err(failed)?;
        line += 1;
    }
    if serde_json::from_slice::<IgnoredAny>(&first).is_err() {
        // not a document by itself, so all lines are one
        input
            .take(MOST_BYTES)
            .read_to_end(&mut first)
            .map_err(failed)?;
        if first.len() as u64 >= MOST_BYTES {
            return Err(Problem::new(
                &place,
                "a document of more than 1 GiB",
                "split it",
            ));
        }
        return document(&first, &place, tracks);
    }
    let mut text = first;
    loop {
        if !text.trim_ascii().is_empty() {
            document(&text, &format!("{place}:{line}"), tracks)?;
        }
        text.clear();
        line += 1;
        let count = input
            .by_ref()
            .take(MOST_BYTES)
            .read_until(b'\n', &mut text)
            .map_err(failed)?;
        if count == 0 {
            return Ok(());
        }
    }
}

fn document(text: &[u8], place: &str, tracks: &mut Tracks<'_>) -> Result<(), Problem> {
    let has = |word: &[u8]| text.windows(word.len()).take(4096).any(|w| w == word);
    if has(b"resourceMetrics") || has(b"resource_metrics") {
        return otlp::read_json(text, place, tracks);
    }
    prometheus::read(text, place, tracks)
}
