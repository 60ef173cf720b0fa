//! Time as the samples of one series show it: order, interval, age, gaps.

/// Beyond this a sample after a gap is not judged, s.
const LONG_GAP_S: f64 = 3600.0;
/// Intervals that make a pause a gap.
const GAP_INTERVALS: f64 = 10.0;
/// Late samples in a row, in order among themselves, after which the clock is taken to have been
/// set back.
const LATE_RUN: u8 = 30;

/// Time since the sample before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Elapsed time, s; more than 0.
    pub(crate) dt: f64,
    /// Elapsed time limited to ten intervals, s: one sample after a pause is still one sample.
    pub(crate) counted: f64,
    /// Nothing was learned for so long that the recent past says nothing about this sample.
    pub(crate) after_gap: bool,
}

/// What the timestamp of a sample means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arrival {
    /// The first sample of the series.
    First,
    /// Not newer than the sample before.
    Late,
    /// In order.
    InOrder(Step),
}

/// The pace of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    /// Time of the newest sample, ns since 1970.
    pub(crate) last_ns: i64,
    /// Time of the last late sample, if `late > 0`.
    pub(crate) late_ns: i64,
    /// Learned lifetime, s; gaps count.
    pub(crate) age_s: f64,
    /// Running estimate of the sampling interval, s.
    pub(crate) interval_s: f64,
    /// Time observed without learning since the last learned sample, s.
    pub(crate) unlearned_s: f64,
    /// Samples learned, saturating.
    pub(crate) seen: u32,
    pub(crate) late: u8,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            last_ns: 0,
            late_ns: 0,
            age_s: 0.0,
            interval_s: 0.0,
            unlearned_s: 0.0,
            seen: 0,
            late: 0,
        }
    }

    /// Places a sample in time.
    pub(crate) fn arrive(&mut self, time_ns: i64, learn: bool) -> Arrival {
        if self.seen == 0 {
            if learn {
                self.last_ns = time_ns;
                self.seen = 1;
            }
            return Arrival::First;
        }
        let elapsed_ns = time_ns.saturating_sub(self.last_ns);
        if elapsed_ns <= 0 && !self.clock_was_set_back(time_ns) {
            return Arrival::Late;
        }
        self.late = 0;
        self.last_ns = time_ns;
        let dt = if elapsed_ns > 0 {
            elapsed_ns as f64 / 1e9
        } else {
            self.interval_s.max(1e-9)
        };
        self.follow_interval(dt);
        let since_learned = dt + self.unlearned_s;
        if learn {
            self.age_s += since_learned;
            self.unlearned_s = 0.0;
            self.seen = self.seen.saturating_add(1);
        } else {
            self.unlearned_s = since_learned;
        }
        let pause = GAP_INTERVALS * self.interval_s;
        Arrival::InOrder(Step {
            dt,
            counted: dt.min(pause),
            after_gap: learn && since_learned > pause.max(LONG_GAP_S),
        })
    }

    /// Counts late samples that are in order among themselves.
    fn clock_was_set_back(&mut self, time_ns: i64) -> bool {
        let follows = self.late > 0 && time_ns > self.late_ns;
        self.late = if follows { self.late + 1 } else { 1 };
        self.late_ns = time_ns;
        self.late >= LATE_RUN
    }

    /// Moves the estimate towards `dt`: at once while young, then by at most 5 % of itself.
    fn follow_interval(&mut self, dt: f64) {
        if self.interval_s <= 0.0 {
            self.interval_s = dt;
            return;
        }
        let gain = if self.seen < 16 { 0.5 } else { 0.1 };
        self.interval_s *= 1.0 + gain * (dt / self.interval_s - 1.0).clamp(-0.5, 0.5);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn feed(pace: &mut Pace, times: impl IntoIterator<Item = i64>) -> Vec<Arrival> {
        times.into_iter().map(|t| pace.arrive(t, true)).collect()
    }

    #[test]
    fn a_change_of_interval_is_followed() {
        let mut pace = Pace::new();
        feed(&mut pace, (0..100).map(|i| i * 60 * SECOND));
        assert!((pace.interval_s - 60.0).abs() < 1e-9);
        feed(&mut pace, (1..200).map(|i| (5940 + i * 10) * SECOND));
        assert!((pace.interval_s - 10.0).abs() < 0.1, "{}", pace.interval_s);
    }

    #[test]
    fn one_gap_at_the_start_or_later_does_not_matter_for_long() {
        let mut pace = Pace::new();
        let times = std::iter::once(0).chain((0..60).map(|i| (7200 + i * 60) * SECOND));
        feed(&mut pace, times);
        assert!((pace.interval_s - 60.0).abs() < 6.0, "{}", pace.interval_s);
        let after = feed(&mut pace, [(7200 + 3600 + 3601) * SECOND]);
        assert!(
            matches!(
                after[0],
                Arrival::InOrder(Step {
                    after_gap: true,
                    ..
                })
            ),
            "{after:?}"
        );
    }

    #[test]
    fn late_and_duplicate_samples_are_refused_until_the_clock_is_known_to_have_moved() {
        let mut pace = Pace::new();
        feed(&mut pace, (0..50).map(|i| i * 60 * SECOND));
        let late = feed(&mut pace, [2940 * SECOND, 60 * SECOND, i64::MIN]);
        assert!(late.iter().all(|a| matches!(a, Arrival::Late)), "{late:?}");
        let set_back = feed(&mut pace, (1..40).map(|i| (i * 60 - 100_000) * SECOND));
        let accepted = set_back
            .iter()
            .filter(|a| matches!(a, Arrival::InOrder(_)))
            .count();
        // the first of them followed the last late one, so the 29th is the one believed
        assert_eq!(accepted, 11);
    }

    #[test]
    fn extreme_times_stay_finite() {
        let mut pace = Pace::new();
        feed(
            &mut pace,
            [i64::MIN, i64::MIN + 1, 0, i64::MAX - 1, i64::MAX],
        );
        assert!(pace.age_s.is_finite() && pace.interval_s > 0.0 && pace.interval_s.is_finite());
    }
}
