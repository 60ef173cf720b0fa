//! Protocol 2.0: `io.prometheus.write.v2.Request`.

use weir_model::wire;

use super::{NativeHistogram, Refs, Sample, Symbols, put_sample_fields, type_number};
use crate::exposition::MetricType;

/// A request under construction. One [`Symbols`] must be used for all of it.
#[derive(Debug, Default)]
pub struct RequestV2 {
    series: Vec<u8>,
    /// Symbols used, in the order of their numbers from 1 on.
    order: Vec<u32>,
    /// Bytes that the symbols take in the message.
    symbol_bytes: usize,
    scratch: Vec<u8>,
}

/// Where a request stood, to take back what came after.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    series: usize,
    symbols: usize,
    symbol_bytes: usize,
}

/// Description of the metric of a series.
#[derive(Debug, Clone, Copy, Default)]
pub struct MetadataV2<'a> {
    /// Its type.
    pub kind: MetricType,
    /// What it means.
    pub help: &'a str,
    /// Its unit in words.
    pub unit: &'a str,
}

impl RequestV2 {
    /// Starts a request; the buffers of the one before are kept.
    pub fn begin(&mut self, symbols: &mut Symbols) {
        symbols.begin_request();
        self.series.clear();
        self.order.clear();
        self.symbol_bytes = 0;
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Length of the message so far, in bytes, with its symbols.
    #[must_use]
    pub fn len(&self) -> usize {
        // The empty symbol takes two bytes.
        self.series.len() + self.symbol_bytes + 2
    }

    /// Where the request stands.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark {
            series: self.series.len(),
            symbols: self.order.len(),
            symbol_bytes: self.symbol_bytes,
        }
    }

    /// Takes back what was added since.
    pub fn rewind(&mut self, symbols: &mut Symbols, mark: Mark) {
        self.series.truncate(mark.series);
        symbols.forget_from(&mut self.order, mark.symbols);
        self.symbol_bytes = mark.symbol_bytes;
    }

    /// Adds a series with what `write` adds to it.
    pub fn push_series(
        &mut self,
        symbols: &mut Symbols,
        labels: &Refs,
        metadata: &MetadataV2<'_>,
        write: impl FnOnce(&mut SeriesV2<'_>),
    ) {
        let symbols_before = self.order.len();
        self.scratch.clear();
        for number in labels.numbers() {
            let place = symbols.in_request(*number, &mut self.order);
            wire::put_varint(&mut self.scratch, u64::from(place));
        }
        let (refs, order) = (&self.scratch, &mut self.order);
        wire::put_message_always(&mut self.series, 5, |out| {
            wire::put_bytes(out, 1, refs);
            write(&mut SeriesV2 {
                out,
                symbols,
                order,
            });
            wire::put_message_always(out, 5, |out| {
                let mut place = |text: &str| {
                    if text.is_empty() {
                        return 0;
                    }
                    let number = symbols.number(text);
                    u64::from(symbols.in_request(number, order))
                };
                let (help, unit) = (place(metadata.help), place(metadata.unit));
                wire::put_uint(out, 1, type_number(metadata.kind));
                wire::put_uint(out, 3, help);
                wire::put_uint(out, 4, unit);
            });
        });
        for number in self.order.iter().skip(symbols_before) {
            let length = symbols.text(*number).len();
            self.symbol_bytes += 1 + wire::varint_len(length as u64) + length;
        }
    }

    /// Appends the message: the symbols, then the series.
    pub fn finish(&self, symbols: &Symbols, out: &mut Vec<u8>) {
        out.reserve(self.len());
        wire::put_bytes_always(out, 4, b"");
        for number in &self.order {
            wire::put_bytes_always(out, 4, symbols.text(*number).as_bytes());
        }
        out.extend_from_slice(&self.series);
    }
}

/// A series under construction. Samples have to be in the order of their times.
#[derive(Debug)]
pub struct SeriesV2<'a> {
    out: &'a mut Vec<u8>,
    symbols: &'a mut Symbols,
    order: &'a mut Vec<u32>,
}

impl SeriesV2<'_> {
    /// Adds a sample; `start_ms` is the start of a counter in milliseconds, 0 if not known.
    pub fn sample(&mut self, sample: Sample, start_ms: i64) {
        wire::put_message_always(self.out, 2, |out| {
            put_sample_fields(out, sample);
            #[expect(
                clippy::cast_sign_loss,
                reason = "int64 is written as its two's complement"
            )]
            wire::put_uint(out, 3, start_ms as u64);
        });
    }

    /// Adds a native histogram; `start_ms` as for a sample.
    pub fn histogram(&mut self, histogram: &NativeHistogram, timestamp_ms: i64, start_ms: i64) {
        wire::put_message_always(self.out, 3, |out| {
            histogram.encode(timestamp_ms, out);
            #[expect(
                clippy::cast_sign_loss,
                reason = "int64 is written as its two's complement"
            )]
            wire::put_uint(out, 17, start_ms as u64);
        });
    }

    /// Adds an exemplar.
    pub fn exemplar<'l>(
        &mut self,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
        sample: Sample,
    ) {
        let mut refs = Vec::new();
        for text in labels.into_iter().flat_map(|(name, value)| [name, value]) {
            let number = self.symbols.number(text);
            let place = self.symbols.in_request(number, self.order);
            wire::put_varint(&mut refs, u64::from(place));
        }
        wire::put_message_always(self.out, 4, |out| {
            wire::put_bytes(out, 1, &refs);
            wire::put_fixed64(out, 2, sample.value.to_bits());
            #[expect(
                clippy::cast_sign_loss,
                reason = "int64 is written as its two's complement"
            )]
            wire::put_uint(out, 3, sample.timestamp_ms as u64);
        });
    }
}
