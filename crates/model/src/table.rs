//! Side tables by series: what a component computes once per series.

use std::sync::{Arc, Mutex};

use crate::intern::{Interner, lock};
use crate::metrics::Metrics;
use crate::series::{Series, SeriesIndex};

/// A value per series, owned by a component. Look-up is an index and a compare.
#[derive(Debug)]
pub struct SeriesTable<T> {
    slots: Vec<Slot<T>>,
    /// Where the value of an un-interned series lives until the next such call.
    scratch: Option<T>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for SeriesTable<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            scratch: None,
        }
    }
}

impl<T> SeriesTable<T> {
    /// The value of a series, if it is there.
    #[inline]
    pub fn get(&self, series: &Series) -> Option<&T> {
        let slot = self.slots.get(series.index.slot as usize)?;
        if slot.generation == series.index.generation {
            slot.value.as_ref()
        } else {
            None
        }
    }

    /// The value of a series, made by `make` the first time. For un-interned series (over the
    /// intern budget) it is made each time and kept only until the next such call.
    #[inline]
    pub fn get_or_insert_with(&mut self, series: &Series, make: impl FnOnce() -> T) -> &mut T {
        if series.index == SeriesIndex::NONE {
            return self.scratch.insert(make());
        }
        self.slot(series.index).get_or_insert_with(make)
    }

    /// The place of an interned series, emptied when it belonged to an earlier generation.
    #[inline]
    fn slot(&mut self, index: SeriesIndex) -> &mut Option<T> {
        let at = index.slot as usize;
        if at >= self.slots.len() {
            self.slots.resize_with(at + 1, || Slot {
                generation: 0,
                value: None,
            });
        }
        let slot = &mut self.slots[at];
        if slot.generation != index.generation {
            *slot = Slot {
                generation: index.generation,
                value: None,
            };
        }
        &mut slot.value
    }

    /// Sets the value of an interned series; un-interned ones are not kept.
    pub fn insert(&mut self, series: &Series, value: T) {
        if series.index != SeriesIndex::NONE {
            *self.slot(series.index) = Some(value);
        }
    }

    /// Takes the value of a series out.
    pub fn remove(&mut self, series: &Series) -> Option<T> {
        self.get(series)?;
        self.slot(series.index).take()
    }

    /// Drops the values of series that are no more. Call with the interner's sweep.
    pub fn sweep(&mut self, interner: &Interner) {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            let index = SeriesIndex {
                slot: at as u32,
                generation: slot.generation,
            };
            if slot.value.is_some() && !interner.is_live(index) {
                slot.value = None;
            }
        }
        while self.slots.last().is_some_and(|slot| slot.value.is_none()) {
            self.slots.pop();
        }
    }

    /// Values in the table.
    pub fn len(&self) -> usize {
        self.slots
            .iter()
            .filter(|slot| slot.value.is_some())
            .count()
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.value.is_none())
    }

    /// All values.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| slot.value.as_mut())
    }
}

/// What a label processor makes of a series.
#[derive(Clone, Debug)]
pub enum Mapped {
    /// Nothing changes.
    Same,
    /// Its points are dropped.
    Drop,
    /// Its points belong to this series now.
    To(Arc<Series>),
}

/// Memo of a pure map from series to series, shared by all processors that work on labels.
///
/// `epoch` names the version of what the map depends on (for example Kubernetes metadata): a new
/// epoch forgets old answers.
#[derive(Debug, Default)]
pub struct SeriesMapper {
    memo: Mutex<SeriesTable<(u64, Mapped)>>,
}

impl SeriesMapper {
    /// Maps every point of a batch; returns how many points were dropped.
    ///
    /// A batch that no series of changes is left untouched, its OTLP bytes included.
    pub fn apply(
        &self,
        batch: &mut Metrics,
        epoch: u64,
        map: impl Fn(&Arc<Series>) -> Mapped,
    ) -> usize {
        let mut memo = lock(&self.memo);
        let mut ask = |series: &Arc<Series>| {
            let entry = memo.get_or_insert_with(series, || (epoch, map(series)));
            if entry.0 != epoch {
                *entry = (epoch, map(series));
            }
            entry.1.clone()
        };
        if batch
            .points()
            .all(|p| matches!(ask(&p.series), Mapped::Same))
        {
            return 0;
        }
        let mut points = batch.points_mut();
        let before = points.len();
        points.retain_mut(|point| match ask(&point.series) {
            Mapped::Same => true,
            Mapped::Drop => false,
            Mapped::To(series) => {
                point.series = series;
                true
            }
        });
        before - points.len()
    }

    /// Drops answers about series that are no more.
    pub fn sweep(&self, interner: &Interner) {
        lock(&self.memo).sweep(interner);
    }
}
