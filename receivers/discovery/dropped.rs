//! What the rules of a job drop of what discovery finds: counted, and the first ones kept to be shown.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::TargetLabels;

/// The dropped targets of a job, by the sources that they come from.
#[derive(Debug)]
pub(crate) struct DroppedTargets {
    most_kept: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sources: BTreeMap<String, Dropped>,
    count: usize,
    kept: usize,
}

/// Those of one source.
#[derive(Debug, Default)]
struct Dropped {
    count: usize,
    kept: Vec<TargetLabels>,
}

impl DroppedTargets {
    /// None yet. The labels of so many are kept at most; the others are counted.
    pub(crate) fn new(most_kept: usize) -> Self {
        Self {
            most_kept,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These of a source are dropped now, in place of those before.
    pub(super) fn set(&self, source: &str, mut targets: Vec<TargetLabels>) {
        let mut state = self.lock();
        if let Some(before) = state.sources.remove(source) {
            state.count -= before.count;
            state.kept -= before.kept.len();
        }
        let count = targets.len();
        if count == 0 {
            return;
        }
        targets.truncate(self.most_kept.saturating_sub(state.kept));
        targets.shrink_to_fit();
        state.count += count;
        state.kept += targets.len();
        let dropped = Dropped {
            count,
            kept: targets,
        };
        state.sources.insert(source.to_owned(), dropped);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().count
    }

    /// The labels of those that are kept.
    pub(crate) fn kept(&self) -> Vec<TargetLabels> {
        let state = self.lock();
        state
            .sources
            .values()
            .flat_map(|dropped| dropped.kept.iter().cloned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(of: &str, count: usize) -> Vec<TargetLabels> {
        (0..count)
            .map(|i| vec![("__address__".to_owned(), format!("{of}:{i}"))])
            .collect()
    }

    #[test]
    fn all_are_counted_and_the_first_ones_kept() {
        let dropped = DroppedTargets::new(3);
        dropped.set("a", targets("a", 2));
        dropped.set("b", targets("b", 5));
        assert_eq!((dropped.count(), dropped.kept().len()), (7, 3));
        dropped.set("a", Vec::new());
        assert_eq!((dropped.count(), dropped.kept()), (5, targets("b", 1)));
        dropped.set("c", targets("c", 1));
        dropped.set("b", targets("b", 1));
        assert_eq!((dropped.count(), dropped.kept().len()), (2, 2));
        dropped.set("b", Vec::new());
        dropped.set("c", Vec::new());
        assert_eq!((dropped.count(), dropped.kept().len()), (0, 0));
        assert!(dropped.lock().sources.is_empty());
    }
}
