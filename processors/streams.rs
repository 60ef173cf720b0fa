//! What is remembered of streams, by series, for processors that turn one temporality into the other.
//!
//! Whether a series is converted, and into which one, is found out once.

use std::sync::Arc;

use weir_model::{Interner, MetricMeta, Series, SeriesTable};

/// Streams by series; `S` is what is remembered of a series' streams.
pub(crate) struct Streams<S> {
    table: SeriesTable<Entry<S>>,
    count: usize,
}

enum Entry<S> {
    /// Passes as it is.
    Pass,
    Convert(Box<Tracked<S>>),
}

/// A series that is converted.
pub(crate) struct Tracked<S> {
    /// Held, so that the intern table does not forget it before we do.
    series: Arc<Series>,
    /// The same with the other temporality.
    pub(crate) target: Arc<Series>,
    pub(crate) state: S,
}

impl<S> Default for Streams<S> {
    fn default() -> Self {
        Self {
            table: SeriesTable::default(),
            count: 0,
        }
    }
}

impl<S: Default> Streams<S> {
    /// Streams remembered.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// What is remembered of a series, and the number of all streams, which the caller keeps; nothing
    /// for a series that passes as it is. `convert` gives the metric that a new series' metric becomes.
    pub(crate) fn find(
        &mut self,
        series: &Arc<Series>,
        interner: &Interner,
        convert: impl FnOnce(&MetricMeta) -> Option<MetricMeta>,
    ) -> Option<(&mut Tracked<S>, &mut usize)> {
        let entry = self.table.get_or_insert_with(series, || {
            let Some(metric) = convert(series.metric()) else {
                return Entry::Pass;
            };
            let metric = interner.metric(metric);
            let (resource, scope, labels) = (series.resource(), series.scope(), series.labels());
            Entry::Convert(Box::new(Tracked {
                series: series.clone(),
                target: interner.series(resource, scope, &metric, labels.clone()),
                state: S::default(),
            }))
        });
        match entry {
            Entry::Pass => None,
            Entry::Convert(tracked) => Some((tracked, &mut self.count)),
        }
    }

    /// Forgets streams: `forget` takes those that are over and gives their number and whether none is left.
    pub(crate) fn forget(&mut self, mut forget: impl FnMut(&mut S) -> (usize, bool)) {
        let mut idle = Vec::new();
        for entry in self.table.values_mut() {
            let Entry::Convert(tracked) = entry else {
                continue;
            };
            let (gone, is_empty) = forget(&mut tracked.state);
            self.count -= gone;
            if is_empty {
                idle.push(tracked.series.clone());
            }
        }
        for series in idle {
            self.table.remove(&series);
        }
    }

    /// Drops what belongs to series that are no more.
    pub(crate) fn sweep(&mut self, interner: &Interner) {
        self.table.sweep(interner);
    }
}
