//! Series maps that are worked out once per series.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_model::{Attributes, Interner, Mapped, MetricMeta, Point, Series, SeriesTable};

/// Points of one metric: same resource, scope, name, unit and type.
pub(super) type Metric = Vec<Point>;

/// Answers by series.
#[derive(Debug)]
pub(super) struct Memo<T>(Mutex<SeriesTable<T>>);

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Memo<T> {
    pub(super) fn lock(&self) -> MutexGuard<'_, SeriesTable<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memo<Mapped> {
    /// Maps the series of every point.
    pub(super) fn apply(&self, points: &mut Metric, map: impl Fn(&Arc<Series>) -> Mapped) {
        let mut memo = self.lock();
        points.retain_mut(|point| {
            match memo.get_or_insert_with(&point.series, || map(&point.series)).clone() {
                Mapped::Same => true,
                Mapped::Drop => false,
                Mapped::To(series) => {
                    point.series = series;
                    true
                }
            }
        });
    }
}

/// The series with other labels.
pub(super) fn relabelled(interner: &Interner, series: &Series, labels: Attributes) -> Mapped {
    if labels == *series.labels() {
        return Mapped::Same;
    }
    let (resource, scope, metric) = (series.resource(), series.scope(), series.metric());
    Mapped::To(interner.series(resource, scope, metric, labels))
}

/// The series under another name.
pub(super) fn renamed(interner: &Interner, series: &Series, name: &str) -> Mapped {
    let metric = series.metric();
    if *metric.name == *name {
        return Mapped::Same;
    }
    let metric = interner.metric(MetricMeta { name: name.into(), ..(**metric).clone() });
    let (resource, scope) = (series.resource(), series.scope());
    Mapped::To(interner.series(resource, scope, &metric, series.labels().clone()))
}
