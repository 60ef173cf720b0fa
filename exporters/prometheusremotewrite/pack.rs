//! From rows to compressed requests, split by size (specification section 4).

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_prom::write::{
    Fit, MetadataV1, MetadataV2, PackedV1, RequestV2, SnappyBlock, Symbols, push_label,
};

use super::labels::Described;
use super::rows::{ExemplarRow, NativeRow, Placed, Rows};
use super::translate::Translator;

/// Symbols may hold so many bytes before they start over.
const SYMBOL_BYTES: usize = 64 << 20;

/// What a request holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Points, each in the request with its first line.
    pub(crate) items: usize,
    pub(crate) series: u64,
    pub(crate) samples: u64,
    pub(crate) histograms: u64,
    pub(crate) exemplars: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.items += other.items;
        self.series += other.series;
        self.samples += other.samples;
        self.histograms += other.histograms;
        self.exemplars += other.exemplars;
    }
}

/// A request ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    pub(crate) body: Bytes,
    pub(crate) counts: Counts,
}

/// Writes requests; keeps its buffers.
#[derive(Debug)]
pub(crate) struct Packer {
    /// A request is closed before it reaches this size.
    max_bytes: usize,
    v1: PackedV1,
    v2: RequestV2,
    symbols: Symbols,
    snappy: SnappyBlock,
    plain: Vec<u8>,
    compressed: Vec<u8>,
    chain: Vec<Placed>,
    labels: Vec<u8>,
    counts: Counts,
    /// How far the rows and natives of the batch are written.
    at_row: usize,
    at_native: usize,
}

/// One series of a request.
struct Series<'a> {
    id: u32,
    samples: &'a [Placed],
    natives: &'a [NativeRow],
    exemplars: &'a [ExemplarRow],
}

impl Series<'_> {
    fn counts(&self) -> Counts {
        Counts {
            items: self.samples.iter().map(|row| usize::from(row.items)).sum::<usize>()
                + self.natives.iter().map(|row| usize::from(row.items)).sum::<usize>(),
            series: 1,
            samples: self.samples.len() as u64,
            histograms: self.natives.len() as u64,
            exemplars: self.exemplars.len() as u64,
        }
    }
}

impl Packer {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            v1: PackedV1::default(),
            v2: RequestV2::default(),
            symbols: Symbols::new(),
            snappy: SnappyBlock::default(),
            plain: Vec::new(),
            compressed: Vec::new(),
            chain: Vec::new(),
            labels: Vec::new(),
            counts: Counts::default(),
            at_row: 0,
            at_native: 0,
        }
    }

    /// Starts a batch.
    pub(crate) fn begin(&mut self) {
        if self.symbols.bytes() > SYMBOL_BYTES {
            self.symbols.clear();
        }
        self.at_row = 0;
        self.at_native = 0;
        self.reset();
    }

    fn reset(&mut self) {
        self.v1.begin(self.max_bytes);
        self.v2.begin(&mut self.symbols);
        self.counts = Counts::default();
    }

    /// The next request of the batch; `None` when all is written.
    pub(crate) fn next(&mut self, translator: &mut Translator) -> Option<Packed> {
        let v2 = translator.rules.v2;
        self.reset();
        let mut chain = std::mem::take(&mut self.chain);
        let full = self.write_rows(translator, v2, &mut chain)
            || self.write_natives(translator, v2);
        self.chain = chain;
        if self.counts == Counts::default() && !full {
            return None;
        }
        self.compress(v2)
    }

    /// Writes series of samples until the request is full; whether it is.
    fn write_rows(&mut self, translator: &mut Translator, v2: bool, chain: &mut Vec<Placed>) -> bool {
        while self.at_row < translator.rows.len() {
            let Translator { rows, sets, .. } = translator;
            let Some(first) = rows.first_at(self.at_row) else {
                self.at_row += 1;
                continue;
            };
            let exemplars = rows.exemplars_of(first.id);
            if !v2 && exemplars.is_empty() && Rows::is_single(first) {
                // Nearly all series: one sample, nothing else.
                sets.write(first.id, &mut self.labels);
                let fit = self.v1.push_sample(&self.labels, first.sample);
                if fit == Fit::Full {
                    return true;
                }
                self.counts.items += usize::from(first.items);
                self.counts.series += 1;
                self.counts.samples += 1;
            } else {
                rows.chain(self.at_row, chain);
                let series = Series {
                    id: first.id,
                    samples: chain,
                    natives: &[],
                    exemplars,
                };
                if self.push(&series, sets, v2) {
                    return true;
                }
            }
            self.at_row += 1;
        }
        false
    }

    /// Writes series of native histograms until the request is full; whether it is.
    fn write_natives(&mut self, translator: &mut Translator, v2: bool) -> bool {
        let Translator { rows, sets, .. } = translator;
        while let Some(first) = rows.natives.get(self.at_native) {
            let rest = rows.natives.get(self.at_native..).unwrap_or_default();
            let length = rest.partition_point(|native| native.id == first.id);
            let series = Series {
                id: first.id,
                samples: &[],
                natives: rest.get(..length).unwrap_or_default(),
                exemplars: rows.exemplars_of(first.id),
            };
            if self.push(&series, sets, v2) {
                return true;
            }
            self.at_native += length.max(1);
        }
        false
    }

    /// Adds a series; whether it did not fit.
    fn push(&mut self, series: &Series<'_>, sets: &mut super::sets::LabelSets, v2: bool) -> bool {
        let overflows = if v2 {
            let mark = self.v2.mark();
            let before = self.v2.len();
            self.push_v2(series, sets);
            let full = self.v2.len() >= self.max_bytes && before > EMPTY_V2;
            if full {
                self.v2.rewind(&mut self.symbols, mark);
            }
            full
        } else {
            sets.write(series.id, &mut self.labels);
            push_v1(&mut self.v1, series, &self.labels) == Fit::Full
        };
        if !overflows {
            self.counts += series.counts();
        }
        overflows
    }

    fn push_v2(&mut self, series: &Series<'_>, sets: &mut super::sets::LabelSets) {
        let Some((refs, described)) = sets.resolved(series.id, &mut self.symbols) else {
            return;
        };
        let metadata = described.map_or_else(MetadataV2::default, |d| MetadataV2 {
            kind: d.kind,
            help: &d.help,
            unit: &d.unit,
        });
        self.v2.push_series(&mut self.symbols, refs, &metadata, |out| {
            for row in series.samples {
                out.sample(row.sample, row.start_ms);
            }
            for native in series.natives {
                out.histogram(&native.histogram, native.time_ms, native.start_ms);
            }
            for exemplar in series.exemplars {
                let labels = exemplar.labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
                out.exemplar(labels, exemplar.sample);
            }
        });
    }

    /// Requests of metadata (protocol 1.0), split the same way.
    pub(crate) fn metadata(&mut self, entries: &BTreeMap<String, Described>) -> Vec<Packed> {
        let mut packed = Vec::new();
        self.reset();
        for (name, described) in entries {
            let entry = MetadataV1 {
                name,
                kind: described.kind,
                help: &described.help,
                unit: &described.unit,
            };
            if self.v1.push_metadata(&entry) == Fit::Full {
                packed.extend(self.compress(false));
                self.reset();
                // One alone is taken whatever its size.
                let _added = self.v1.push_metadata(&entry);
            }
        }
        if !self.v1.is_empty() {
            packed.extend(self.compress(false));
        }
        packed
    }

    fn compress(&mut self, v2: bool) -> Option<Packed> {
        // A request is far below the 4 GiB that snappy takes.
        let body = if v2 {
            self.plain.clear();
            self.v2.finish(&self.symbols, &mut self.plain);
            self.snappy.compress(&self.plain, &mut self.compressed).ok()?;
            self.compressed.as_slice()
        } else {
            self.v1.finish().ok()?
        };
        Some(Packed {
            body: Bytes::copy_from_slice(body),
            counts: self.counts,
        })
    }
}

/// Length of a 2.0 request without series: the empty symbol.
const EMPTY_V2: usize = 2;

fn push_v1(request: &mut PackedV1, series: &Series<'_>, labels: &[u8]) -> Fit {
    request.push_series(labels, |out| {
        for row in series.samples {
            out.sample(row.sample);
        }
        for exemplar in series.exemplars {
            let mut labels = Vec::new();
            for (name, value) in &exemplar.labels {
                push_label(&mut labels, name, value);
            }
            out.exemplar(&labels, exemplar.sample);
        }
        for native in series.natives {
            out.histogram(&native.histogram, native.time_ms);
        }
    })
}
