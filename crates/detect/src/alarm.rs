//! The decision stage: which deviations become an alarm, and when it ends.

use crate::{Kind, Outside, Settings};

/// A series that cried this often (decayed count) must cry louder.
const BUDGET: f64 = 1.3;
/// Growth of the threshold per alarm above the budget.
const BUDGET_STEP: f64 = 0.5;
/// Memory of the alarm budget, s.
const BUDGET_TAU_S: f64 = 5.0 * 86_400.0;
/// Of the last 64 samples this many beyond 2 sigma are a burst or a shift.
const INNER_M: u32 = 50;
/// Of the last 16 samples this many outside the seasonal band are a shift.
const SEASONAL_M: u32 = 7;
/// What the first jump of a constant counts for in the peak: its severity is beyond measure.
const UNKNOWN_SEVERITY: f64 = 4.0;
/// Samples outside on one side in a row that make a spike a shift.
const SHIFT_RUN: u32 = 6;

/// What the tests of one sample say. Severities are distances in half widths of the band, 0 on a
/// side that does not count and before a channel is ready.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Evidence {
    /// Severity in the fast channel.
    pub(crate) fast: f64,
    /// Distance in the fast channel relative to the 2-sigma edge.
    pub(crate) fast_inner: f64,
    /// Severity in the seasonal channel.
    pub(crate) slow: f64,
    /// Severity of the mean residual of the seasonal channel.
    pub(crate) lasting: f64,
    /// Severity of grown noise in the fast channel.
    pub(crate) restless: f64,
    /// The value has stood still for too long.
    pub(crate) flat: bool,
    /// The scale is more than rounding: severities mean something.
    pub(crate) scale_known: bool,
    /// The residual of the worse channel is positive.
    pub(crate) above: bool,
}

impl Evidence {
    /// Some test finds this sample abnormal.
    pub(crate) fn abnormal(&self) -> bool {
        self.fast > 1.0 || self.slow > 1.0 || self.lasting > 1.0 || self.restless > 1.0 || self.flat
    }
}

/// What happened to the alarm with one sample.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) started: bool,
    pub(crate) ended: bool,
    pub(crate) score: f64,
}

/// Alarm state of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Alarm {
    /// One bit per sample, newest lowest: beyond 2 sigma in the fast channel.
    pub(crate) inner_bits: u64,
    /// The same: outside the fast band.
    pub(crate) fast_bits: u64,
    /// The same: outside the seasonal band.
    pub(crate) slow_bits: u16,
    /// The same: the residual was positive.
    pub(crate) above_bits: u16,
    /// Decayed count of alarm starts.
    pub(crate) budget: f32,
    /// Running peak severity at alarm starts.
    pub(crate) peak: f32,
    /// Normal samples in a row within an alarm.
    pub(crate) calm: u8,
    pub(crate) on: bool,
    pub(crate) kind: Kind,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        Self {
            inner_bits: 0,
            fast_bits: 0,
            slow_bits: 0,
            above_bits: 0,
            budget: 0.0,
            peak: 0.0,
            calm: 0,
            on: false,
            kind: Kind::Spike,
        }
    }

    /// Forgets the recent samples: they say nothing about the one after a long gap.
    pub(crate) fn forget_recent(&mut self) {
        self.inner_bits = 0;
        self.fast_bits = 0;
        self.slow_bits = 0;
    }

    /// Takes one judged sample into account. `dt` is the elapsed time, s; `may_start` is false in
    /// a silent warm-up; `learn` is false in an excluded time range, which spends no budget.
    pub(crate) fn decide(
        &mut self,
        e: &Evidence,
        settings: &Settings,
        dt: f64,
        may_start: bool,
        learn: bool,
    ) -> Outcome {
        if learn {
            self.budget = (f64::from(self.budget) * (1.0 - crate::gain(dt, BUDGET_TAU_S))) as f32;
        }
        self.remember(e);
        let single = settings.single_sample.max(1.0);
        let threshold = self.threshold(single);
        let louder = threshold / single;
        let tests = self.tests(e, settings, threshold, louder);

        let mut outcome = Outcome {
            score: tests.score,
            ..Outcome::default()
        };
        if self.on {
            self.calm = if e.abnormal() {
                0
            } else {
                self.calm.saturating_add(1)
            };
            if self.calm >= settings.recover_n.max(1) {
                self.on = false;
                outcome.ended = true;
            } else {
                self.reclassify(e);
            }
        }
        if tests.fired && !self.on && may_start {
            self.on = true;
            self.calm = 0;
            outcome.started = !outcome.ended;
            outcome.ended = false;
            self.kind = tests.kind;
            if learn {
                self.budget += 1.0;
                if !e.flat {
                    let largest = if e.scale_known { 1e6 } else { UNKNOWN_SEVERITY };
                    let severity = e.fast.max(e.slow).min(largest) as f32;
                    self.peak += 0.3 * (severity - self.peak);
                }
            }
        }
        if self.on {
            outcome.score = outcome.score.max(0.5);
        }
        outcome
    }

    fn remember(&mut self, e: &Evidence) {
        self.fast_bits = self.fast_bits << 1 | u64::from(e.fast > 1.0);
        self.inner_bits = self.inner_bits << 1 | u64::from(e.fast_inner > 1.0);
        self.slow_bits = self.slow_bits << 1 | u16::from(e.slow > 1.0);
        self.above_bits = self.above_bits << 1 | u16::from(e.above);
    }

    /// The severity a single sample must reach, grown by the alarm budget.
    fn threshold(&self, single: f64) -> f64 {
        let (spent, peak) = (f64::from(self.budget), f64::from(self.peak));
        let grown = single * (1.0 + BUDGET_STEP * (spent - BUDGET).max(0.0));
        grown.max(1.3 * peak * ((spent - 1.0) / 4.0).clamp(0.0, 1.0))
    }

    fn tests(&self, e: &Evidence, settings: &Settings, threshold: f64, louder: f64) -> Tests {
        let n = u32::from(settings.alarm_n.clamp(1, 64));
        let m = u32::from(settings.alarm_m.max(1)).min(n);
        let recent = (self.fast_bits & (u64::MAX >> (64 - n))).count_ones();
        let inner = self.inner_bits.count_ones();
        let slow = self.slow_bits.count_ones();
        let fast_far = e.fast > threshold;
        let fast_often = recent >= m && e.fast > louder;
        let inner_often = inner >= INNER_M && e.fast_inner > louder;
        let slow_far = e.slow > threshold;
        let slow_often = slow >= SEASONAL_M && e.slow > louder;
        let lasting = e.lasting > louder;
        let restless = e.restless > louder;
        let share = |count: u32, of: u32| f64::from(count) / f64::from(of);
        let severity = [
            e.fast / threshold,
            e.slow / threshold,
            e.lasting / louder,
            e.restless / louder,
            if e.fast > 1.0 {
                share(recent, m).min(1.0) * 0.99 * (e.fast / louder).min(1.0)
            } else {
                0.0
            },
            share(inner, INNER_M) * 0.98 * (e.fast_inner / louder).min(1.0),
            if e.slow > 1.0 {
                share(slow, SEASONAL_M) * (e.slow / louder).min(1.0)
            } else {
                0.0
            },
            if e.flat { 1.0 } else { 0.0 },
        ]
        .into_iter()
        .fold(0.0, f64::max);
        let kind = if e.flat {
            Kind::Flat
        } else if fast_often || inner_often || slow_often {
            self.sustained_kind()
        } else if fast_far {
            Kind::Spike
        } else if restless {
            Kind::Burst
        } else if slow_far {
            Kind::Shift
        } else {
            Kind::Drift
        };
        Tests {
            fired: fast_far
                || fast_often
                || inner_often
                || slow_far
                || slow_often
                || lasting
                || restless
                || e.flat,
            score: severity / (1.0 + severity),
            kind,
        }
    }

    /// A shift keeps to one side; a burst has at least a quarter of its samples on the other.
    fn sustained_kind(&self) -> Kind {
        let (above, outside) = self.outside_above();
        if above.min(outside - above) * 4 < outside {
            Kind::Shift
        } else {
            Kind::Burst
        }
    }

    /// Of the last 16 samples: how many were above among those outside, and how many outside. Too
    /// few of them outside, those beyond 2 sigma are counted.
    fn outside_above(&self) -> (u32, u32) {
        let outside = self.fast_bits as u16 | self.slow_bits;
        let recent = if outside.count_ones() >= SHIFT_RUN / 2 {
            outside
        } else {
            outside | self.inner_bits as u16
        };
        ((recent & self.above_bits).count_ones(), recent.count_ones())
    }

    /// A spike that lasts turns into a shift or a burst, and these into each other.
    fn reclassify(&mut self, e: &Evidence) {
        if e.flat {
            self.kind = Kind::Flat;
        } else if matches!(self.kind, Kind::Spike | Kind::Shift | Kind::Burst)
            && e.abnormal()
            && self.outside_above().1 >= SHIFT_RUN
        {
            self.kind = self.sustained_kind();
        }
    }
}

struct Tests {
    fired: bool,
    score: f64,
    kind: Kind,
}

/// Whether a deviation to this side counts.
pub(crate) fn counts(settings: &Settings, side: Outside) -> bool {
    use crate::Direction::{Above, Below, Both};
    match (settings.direction, side) {
        (_, Outside::Inside) => false,
        (Both, _) => true,
        (Above, side) => side == Outside::Above,
        (Below, side) => side == Outside::Below,
    }
}
