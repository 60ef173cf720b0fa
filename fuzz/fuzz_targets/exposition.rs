//! Scrape bodies: the text grammars in one piece and in blocks, the series cache, and protobuf.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_prom::cache::{Lookup, ScrapeCache};
use weir_prom::exposition::protobuf::{
    Family, HistogramForms, NativeSample, ProtoError, ProtoSample, ProtoSeries, ProtoVisitor,
    read_families,
};
use weir_prom::exposition::{Block, ParseError, Scanner, Step, TextFormat};
use weir_prom::labels::LabelSet;

/// Reads a body as a receiver does; the values it found, or why it was refused.
fn read(
    format: TextFormat,
    cache: &mut ScrapeCache<u64>,
    body: &[u8],
    cut: usize,
) -> Result<Vec<u64>, ParseError> {
    let mut scanner = Scanner::new(format);
    let mut set = LabelSet::new();
    let mut values = Vec::new();
    cache.begin();
    let cut = body[..cut.min(body.len())].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let mut start = 0;
    for end in [cut, body.len()] {
        let last = end == body.len();
        let mut block = Block::new(&body[start..end], last);
        loop {
            match scanner.step(&mut block, cache)? {
                Step::Sample(sample) => {
                    values.push(sample.value.to_bits());
                    let exemplar = sample.exemplar.map(|e| scanner.exemplar_labels(&e, |_, _| {}));
                    if let Some(result) = exemplar {
                        let _checked = result;
                    }
                    if sample.known {
                        cache.advance().expect("the expected line is there");
                    } else if cache.look_up(sample.series) == Lookup::New {
                        let _checked = scanner.labels_into(sample.series, &mut set);
                        cache.insert(sample.series, 0).expect("room");
                    }
                }
                Step::Metadata(metadata) => {
                    if metadata.entry.is_none() {
                        cache.advance().expect("the expected line is there");
                    } else if cache.look_up(metadata.line) == Lookup::New {
                        cache.insert(metadata.line, 0).expect("room");
                    }
                }
                Step::NeedMore => break,
                Step::End => {
                    cache.finish(|_| {});
                    return Ok(values);
                }
            }
        }
        start += block.consumed();
        if last {
            unreachable!("the last block ends or fails");
        }
    }
    unreachable!("the last block ends or fails")
}

struct Nothing;

impl ProtoVisitor for Nothing {
    type Error = ProtoError;

    fn family(&mut self, _: &Family<'_>) -> Result<(), ProtoError> {
        Ok(())
    }

    fn sample(&mut self, series: &ProtoSeries<'_>, _: ProtoSample<'_>) -> Result<(), ProtoError> {
        let _checked = series.labels_into(&mut LabelSet::new());
        Ok(())
    }

    fn native(&mut self, series: &ProtoSeries<'_>, _: &NativeSample<'_>) -> Result<(), ProtoError> {
        let _checked = series.labels_into(&mut LabelSet::new());
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    for format in [TextFormat::Prometheus, TextFormat::OpenMetrics] {
        let mut cache = ScrapeCache::new(u64::from(*first));
        let fresh = read(format, &mut cache, body, 0);
        // The same page again takes the short way, and in two blocks, and says the same.
        assert_eq!(read(format, &mut cache, body, usize::from(*first)), fresh);
    }
    let _read = read_families(body, HistogramForms { native: true, classic_too: true }, &mut Nothing);
});
