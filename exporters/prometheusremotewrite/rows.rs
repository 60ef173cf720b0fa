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

/// A native histogram.
#[derive(Debug)]
pub(crate) struct NativeRow {
    pub(crate) id: u32,
    pub(crate) time_ms: i64,
    pub(crate) start_ms: i64,
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

/// A sample and the start of its counter in milliseconds, 0 if it has none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) sample: Sample,
    pub(crate) start_ms: i64,
    pub(crate) items: u8,
}

/// Buffers that are used for one batch after the other.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    rows: Vec<Row>,
    /// Starts of the rows' counters, if they are to be sent; else empty.
    starts: Vec<i64>,
    keep_starts: bool,
    /// By number of the label set, its last row. What is left of an earlier batch does no harm: the
    /// row there now is of another set.
    last: Vec<u32>,
    pub(crate) natives: Vec<NativeRow>,
    pub(crate) exemplars: Vec<ExemplarRow>,
}

impl Rows {
    /// Rows that keep start times, which protocol 2.0 has.
    pub(crate) fn new(keep_starts: bool) -> Self {
        Self {
            keep_starts,
            ..Self::default()
        }
    }

    /// Starts a batch.
    pub(crate) fn begin(&mut self) {
        self.rows.clear();
        self.starts.clear();
        self.natives.clear();
        self.exemplars.clear();
    }

    /// Makes place for numbers below `bound`.
    pub(crate) fn reserve(&mut self, bound: usize) {
        if self.last.len() < bound {
            self.last.resize(bound, NONE);
        }
    }

    /// Adds a sample. `start_ns` is when its counter started, 0 if it has no start.
    #[inline]
    pub(crate) fn push(&mut self, id: u32, sample: Sample, start_ns: u64, items: u8) {
        if self.keep_starts {
            let start_ms = i64::try_from(start_ns / 1_000_000).unwrap_or(i64::MAX);
            self.starts.push(start_ms.min(sample.timestamp_ms));
        }
        if self.last.len() <= id as usize {
            self.reserve(id as usize + 1);
        }
        let at = u32::try_from(self.rows.len()).unwrap_or(NONE);
        let mut first = true;
        if let Some(last) = self.last.get_mut(id as usize) {
            if let Some(row) = self.rows.get_mut(*last as usize).filter(|row| row.id == id) {
                row.next = at;
                first = false;
            }
            *last = at;
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

    /// All samples of the chain that begins at a place, by time.
    pub(crate) fn chain(&self, first: usize, out: &mut Vec<Placed>) {
        out.clear();
        let mut at = first;
        while let Some(row) = self.rows.get(at) {
            out.push(Placed {
                sample: row.sample,
                start_ms: self.starts.get(at).copied().unwrap_or(0),
                items: row.items,
            });
            at = row.next as usize;
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
        if all.is_empty() {
            return &[];
        }
        let start = all.partition_point(|exemplar| exemplar.id < id);
        let end = all.partition_point(|exemplar| exemplar.id <= id);
        all.get(start..end).unwrap_or_default()
    }
}
