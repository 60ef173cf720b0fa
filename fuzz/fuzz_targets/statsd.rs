//! StatsD lines: cutting, values, and what follows them.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The parser by itself, without the network that its crate brings.
#[allow(dead_code)]
#[path = "../../receivers/statsd/line.rs"]
mod line;

use line::{Line, LineError, Meaning, Options};

fuzz_target!(|data: &[u8]| {
    let Some((flags, datagram)) = data.split_first() else { return };
    let options = Options { simple_tags: flags & 1 != 0, metric_type: flags & 2 != 0 };
    for text in datagram.split(|byte| *byte == b'\n') {
        let Ok(line) = Line::split(text) else { continue };
        // The pieces are the line.
        let whole = [line.name, b":", line.values, b"|", line.rest].concat();
        assert_eq!(whole, text);
        for value in line.values() {
            match value {
                Ok(value) => assert!(value.number.is_finite()),
                Err(error) => assert!(matches!(error, LineError::Value | LineError::NotFinite)),
            }
        }
        if let Ok(meaning) = Meaning::of(line.rest, options) {
            assert!(0.0 < meaning.sample_rate && meaning.sample_rate <= 1.0);
            assert!((1.0 / meaning.sample_rate).is_finite());
            assert!(meaning.attributes.iter().all(|(key, value)| {
                !key.is_empty() && value.as_str().is_some_and(|v| options.simple_tags || !v.is_empty())
            }));
            assert_eq!(Meaning::of(line.rest, options), Ok(meaning));
        }
    }
});
