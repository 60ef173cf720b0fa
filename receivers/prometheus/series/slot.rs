//! What the series cache keeps for a line: 16 bytes.

use std::sync::Arc;

use weir_model::Series;

/// What the sample of a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing: dropped by relabelling.
    Dropped,
    /// A metadata line.
    Metadata,
    /// The value of a gauge or sum.
    Number,
    /// The start time of the counter that `series` is.
    CounterCreated,
    /// Sum of the histogram or summary `group`.
    Sum,
    /// Count of the histogram or summary `group`.
    Count,
    /// Bucket or quantile `index` of `group`.
    Bound,
    /// Start time of the histogram or summary `group`.
    Created,
    /// A native histogram.
    Native,
    /// Attributes for a resource: entry `group` of the target infos.
    TargetInfo,
    /// Counted, but of no use: a bucket without `le`, for example.
    Unusable,
}

/// What a line of the page means.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    /// The series, for numbers, native histograms and the start times of counters.
    pub(super) series: Option<Arc<Series>>,
    /// Number of a group or target info.
    pub(super) group: u32,
    /// Place of a bucket or quantile in its group.
    pub(super) index: u16,
    pub(super) role: Role,
    /// The series was in the last scrape, without a time of its own: when it vanishes, it gets a
    /// stale marker.
    alive: bool,
}

impl Slot {
    /// A slot without a series or group.
    pub(super) fn new(role: Role) -> Self {
        Self {
            series: None,
            group: 0,
            index: 0,
            role,
            alive: false,
        }
    }

    pub(super) fn of_series(role: Role, series: Arc<Series>) -> Self {
        Self {
            series: Some(series),
            ..Self::new(role)
        }
    }

    pub(super) fn of_group(role: Role, group: u32, index: u16) -> Self {
        Self {
            group,
            index,
            ..Self::new(role)
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.alive
    }

    pub(super) fn set_alive(&mut self, alive: bool) {
        self.alive = alive;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory goal per series rests on it.
    #[test]
    fn a_slot_has_sixteen_bytes() {
        assert_eq!(size_of::<Slot>(), 16);
    }
}
