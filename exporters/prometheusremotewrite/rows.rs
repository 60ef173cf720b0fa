//! The samples of a batch, chained by label set, in the order in which the sets first appear.

use weir_prom::write::{NativeHistogram, Sample};

const NONE: u32 = u32::MAX;

/// One sample.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) id: u32,
    next: u32,
    pub(crate) sample: Sample,
    /// Whether it is the first of its label set.
    first: bool,
    /// Points this row is the first line of.
    pub(crate) items: u8,
}

#[derive(Debug, Clone, Copy, Default)]
struct Chain {
    batch: u32,
    last: u32,
}

/// A native histogram.
#[derive(Debug)]
pub(crate) struct NativeRow {
    pub(crate) id: u32,
    pub(crate) time_ms: i64,
    pub(crate) histogram: NativeHistogram,
    pub(crate) items: u8,
}

/// An exemplar with its labels.
#[derive(Debug)]
pub(crate) struct ExemplarRow {
    pub(crate) id: u32,
    pub(crate) sample: Sample,
    pub(crate) labels: Vec<(String, String)>,
}

/// Buffers that are used for one batch after the other.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    rows: Vec<Row>,
    /// By number of the label set.
    chains: Vec<Chain>,
    pub(crate) natives: Vec<NativeRow>,
    pub(crate) exemplars: Vec<ExemplarRow>,
    pub(crate) batch: u32,
}

impl Rows {
    /// Starts a batch.
    pub(crate) fn begin(&mut self) {
        self.rows.clear();
        self.natives.clear();
        self.exemplars.clear();
        self.batch = self.batch.wrapping_add(1);
        if self.batch == 0 {
            self.chains.fill(Chain::default());
            self.batch = 1;
        }
    }

    /// Makes place for numbers below `bound`.
    pub(crate) fn reserve(&mut self, bound: usize) {
        if self.chains.len() < bound {
            self.chains.resize(bound, Chain::default());
        }
    }

    /// Adds a sample.
    #[inline]
    pub(crate) fn push(&mut self, id: u32, sample: Sample, items: u8) {
        if self.chains.len() <= id as usize {
            self.reserve(id as usize + 1);
        }
        let at = u32::try_from(self.rows.len()).unwrap_or(NONE);
        let mut first = false;
        if let Some(chain) = self.chains.get_mut(id as usize) {
            if chain.batch == self.batch {
                if let Some(last) = self.rows.get_mut(chain.last as usize) {
                    last.next = at;
                }
            } else {
                first = true;
                chain.batch = self.batch;
            }
            chain.last = at;
        }
        self.rows.push(Row {
            id,
            next: NONE,
            sample,
            first,
            items,
        });
    }

    /// Number of samples.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is nothing to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.natives.is_empty()
    }

    /// The row at a place, if it is the first of its label set.
    #[inline]
    pub(crate) fn first_at(&self, at: usize) -> Option<&Row> {
        self.rows.get(at).filter(|row| row.first)
    }

    /// Whether it is the only one of its label set.
    #[inline]
    pub(crate) fn is_single(row: &Row) -> bool {
        row.next == NONE
    }

    /// All samples of a chain, by time.
    pub(crate) fn chain<'a>(&'a self, first: &'a Row, out: &mut Vec<Row>) {
        out.clear();
        let mut row = Some(first);
        while let Some(this) = row {
            out.push(*this);
            row = self.rows.get(this.next as usize);
        }
        if !out.is_sorted_by_key(|row| row.sample.timestamp_ms) {
            out.sort_by_key(|row| row.sample.timestamp_ms);
        }
    }

    /// Puts natives and exemplars in the order of their label sets, then of time.
    pub(crate) fn sort(&mut self) {
        self.natives.sort_by_key(|native| (native.id, native.time_ms));
        self.exemplars
            .sort_by_key(|exemplar| (exemplar.id, exemplar.sample.timestamp_ms));
    }

    /// The exemplars of a label set; [`Self::sort`] was called.
    pub(crate) fn exemplars_of(&self, id: u32) -> &[ExemplarRow] {
        let all = &self.exemplars;
        let start = all.partition_point(|exemplar| exemplar.id < id);
        let end = all.partition_point(|exemplar| exemplar.id <= id);
        all.get(start..end).unwrap_or_default()
    }
}
