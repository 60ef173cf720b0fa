//! Mapping series where the answer holds for one batch only.

use std::collections::HashMap;
use std::sync::Arc;

use weir_model::{Mapped, Metrics, Series};

/// Maps every point of a batch, asking once per series of it. A batch that no series of changes is
/// left untouched, its bytes included. `SeriesMapper` is the way for answers that last.
pub(crate) fn map_batch(metrics: &mut Metrics, map: impl Fn(&Arc<Series>) -> Mapped) {
    // By address; the series is kept beside its answer, so that no other can get the address.
    let mut answers: HashMap<*const Series, (Arc<Series>, Mapped), foldhash::fast::RandomState> =
        HashMap::default();
    let mut changed = false;
    for point in metrics.points() {
        let answer = answers
            .entry(Arc::as_ptr(&point.series))
            .or_insert_with(|| (point.series.clone(), map(&point.series)));
        changed |= !matches!(answer.1, Mapped::Same);
    }
    if !changed {
        return;
    }
    metrics.points_mut().retain_mut(|point| {
        match answers.get(&Arc::as_ptr(&point.series)) {
            Some((_, Mapped::Drop)) => return false,
            Some((_, Mapped::To(series))) => point.series = series.clone(),
            Some((_, Mapped::Same)) | None => {}
        }
        true
    });
}
