//! Statistic sets: what histograms and summaries become (EMF-23).

use super::encode::{write_f64, write_u64};

/// A statistic set in the reference's member order (EMF-23).
pub(crate) struct Statistics {
    /// Largest value.
    pub(crate) max: f64,
    /// Smallest value.
    pub(crate) min: f64,
    /// Observations.
    pub(crate) count: u64,
    /// Their sum.
    pub(crate) sum: f64,
}

impl Statistics {
    /// Appends the object.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        self.write_members(out);
        out.push(b'}');
    }

    /// Appends the members, for an object that has others before them.
    pub(crate) fn write_members(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"Max\":");
        write_f64(self.max, out);
        out.extend_from_slice(b",\"Min\":");
        write_f64(self.min, out);
        out.extend_from_slice(b",\"Count\":");
        write_u64(self.count, out);
        out.extend_from_slice(b",\"Sum\":");
        write_f64(self.sum, out);
    }
}
