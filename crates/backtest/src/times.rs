//! The timestamps of a series, kept in little memory.

use crate::moment::SECOND;

/// Timestamps in the order of the rows: runs of equal distances, so that a regular series costs
/// nothing and an irregular one 12 bytes a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    runs: Vec<Run>,
    count: u64,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    start_ns: i64,
    step_ns: i64,
    count: u32,
}

impl Run {
    fn last_ns(&self) -> i64 {
        let steps = i64::from(self.count.saturating_sub(1));
        self.start_ns
            .saturating_add(self.step_ns.saturating_mul(steps))
    }
}

impl Times {
    pub(crate) fn push(&mut self, time_ns: i64) {
        self.count += 1;
        if let Some(run) = self.runs.last_mut() {
            let step_ns = time_ns.saturating_sub(run.last_ns());
            if run.count == 1 || step_ns == run.step_ns && run.count < u32::MAX {
                run.step_ns = step_ns;
                run.count += 1;
                return;
            }
        }
        self.runs.push(Run {
            start_ns: time_ns,
            step_ns: 0,
            count: 1,
        });
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> u64 {
        self.count
    }

    pub(crate) fn first_ns(&self) -> Option<i64> {
        self.runs.first().map(|run| run.start_ns)
    }

    pub(crate) fn last_ns(&self) -> Option<i64> {
        self.runs.last().map(Run::last_ns)
    }

    /// All timestamps in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        self.runs.iter().flat_map(|run| {
            (0..i64::from(run.count))
                .map(|i| run.start_ns.saturating_add(run.step_ns.saturating_mul(i)))
        })
    }

    /// The usual distance of two rows, s: the median of those that are positive.
    pub(crate) fn interval_s(&self) -> f64 {
        let mut steps: Vec<(i64, u64)> = Vec::new();
        let mut before: Option<i64> = None;
        for run in &self.runs {
            if let Some(before) = before {
                steps.push((run.start_ns.saturating_sub(before), 1));
            }
            if run.count > 1 {
                steps.push((run.step_ns, u64::from(run.count) - 1));
            }
            before = Some(run.last_ns());
        }
        steps.retain(|(step, _)| *step > 0);
        steps.sort_unstable();
        let total: u64 = steps.iter().map(|(_, count)| count).sum();
        let mut seen = 0;
        for (step, count) in &steps {
            seen += count;
            if seen * 2 >= total {
                return *step as f64 / SECOND as f64;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out(steps in prop::collection::vec(-3i64..4, 0..200)) {
            let mut times = Times::default();
            let mut now = 1_700_000_000;
            let mut all = Vec::new();
            for step in steps {
                now += step;
                all.push(now);
                times.push(now);
            }
            prop_assert_eq!(times.iter().collect::<Vec<_>>(), all.clone());
            prop_assert_eq!(times.len(), all.len() as u64);
            prop_assert_eq!(times.first_ns(), all.first().copied());
            prop_assert_eq!(times.last_ns(), all.last().copied());
        }
    }

    #[test]
    fn a_regular_series_is_one_run_and_its_interval_is_the_median() {
        let mut times = Times::default();
        for i in 0..10_000 {
            times.push(i * 60 * SECOND);
        }
        assert_eq!(times.runs.len(), 1);
        times.push(20_000 * 60 * SECOND);
        times.push(20_000 * 60 * SECOND + SECOND);
        assert!((times.interval_s() - 60.0).abs() < 1e-9);
        assert!(Times::default().interval_s() < 1e-9);
    }
}
