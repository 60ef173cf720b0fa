//! Calibrated tails: where the 2-sigma and 3-sigma edges of the residuals really lie.

/// Share of a normal distribution beyond 2 standard deviations on one side.
const BEYOND_2: f64 = 0.022_75;
/// The same for 3 standard deviations.
const BEYOND_3: f64 = 0.001_35;
/// Shrinkage of the outer edge per sample times `BEYOND_3`, and its growth per exceedance.
const OUTER_STEP: f64 = 0.03;
/// At most this many exceedances of one window count: a burst must not blow up the tail.
const WINDOW_CAP: u8 = 5 * EIGHTHS as u8;
/// Units in which exceedances are counted: in an alarm each counts less.
const EIGHTHS: f64 = 8.0;
const INNER_RANGE: (f64, f64) = (1.2, 8.0);
const OUTER_MIN: f64 = 2.2;
const OUTER_MAX: f64 = 40.0;
/// The outer edge is at least this many times the inner one.
const OUTER_OVER_INNER: f64 = 1.15;

/// Samples over which exceedances of the shown edge are remembered.
const EXCESS_MEMORY: f64 = 1500.0;
/// Each exceedance too many makes the shown edge grow faster by this factor, up to `FASTEST`.
const EXCESS_SPEED: f32 = 1.5;
const FASTEST: f32 = 8.0;
/// Below this excess hardly a sample was outside for long: the shown edge shrinks faster.
const FEW: f32 = -1.2;
const FASTER_SHRINK: f64 = 3.0;
/// The shown edge is at most this many times the deciding one.
const SHOWN_OVER_OUTER: f32 = 3.0;
/// Widening of the shown edges over the square root of the samples learned.
const INNER_YOUNG: f64 = 1.0;
const OUTER_YOUNG: f64 = 5.0;

/// How fast the tails of a channel learn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TailPace {
    /// Added to the count of samples in the early gain `1.5 / (n + offset)`.
    pub(crate) offset: f64,
    /// Largest gain of the inner edge.
    pub(crate) fastest: f64,
    /// Smallest gain of the inner edge.
    pub(crate) slowest: f64,
    /// Length of a window of exceedances, s.
    pub(crate) window_s: f64,
}

/// A factor for the edge that decides and for the one that is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Both {
    pub(crate) deciding: f64,
    pub(crate) shown: f64,
}

/// One side: distances from the forecast in units of the scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Side {
    /// Distance exceeded by 2.275 % of the samples.
    pub(crate) inner: f32,
    /// Distance exceeded by 0.135 % of the samples, for decisions: it follows slowly, so that one
    /// incident does not hide the next.
    pub(crate) outer: f32,
    /// Exceedances of the outer edge in the current window, in eighths.
    pub(crate) exceeded: u8,
    /// The same distance as the band shows it: it follows the faster, the more samples were
    /// outside lately.
    pub(crate) shown: f32,
    /// Exceedances of the shown edge in the current window, in eighths.
    pub(crate) shown_exceeded: u8,
    /// Decaying count of exceedances of the shown edge beyond what is expected.
    pub(crate) excess: f32,
}

impl Side {
    const START: Self = Self {
        inner: 2.6,
        outer: 4.6,
        exceeded: 0,
        shown: 4.6,
        shown_exceeded: 0,
        excess: 0.0,
    };

    /// The edge of the band at `stddevs` standard deviations. `young` widens it while few samples
    /// were learned: two edges from few samples lie too close.
    pub(crate) fn shown_at(&self, stddevs: f64, young: f64) -> f64 {
        let inner = f64::from(self.inner) * (1.0 + INNER_YOUNG * young);
        let outer = f64::from(self.shown) * (1.0 + OUTER_YOUNG * young);
        at(inner, outer, stddevs)
    }

    /// The distance that decides at `stddevs` standard deviations.
    pub(crate) fn decision_at(&self, stddevs: f64) -> f64 {
        at(f64::from(self.inner), f64::from(self.outer), stddevs)
    }

    fn learn(&mut self, z: f64, widening: Both, gain: f64, weight: Both) {
        let (lo, hi) = INNER_RANGE;
        let inner = f64::from(self.inner);
        let hit = if z > inner { 1.0 } else { 0.0 };
        self.inner = (inner + gain * inner * (hit - BEYOND_2)).clamp(lo, hi) as f32;
        let eighths = (weight.deciding * EIGHTHS) as u8;
        if z > f64::from(self.outer) * widening.deciding {
            self.exceeded = self.exceeded.saturating_add(eighths);
        }
        if z > f64::from(self.shown) * widening.shown {
            self.shown_exceeded = self
                .shown_exceeded
                .saturating_add((weight.shown * EIGHTHS) as u8);
        }
        let shrink = (1.0 - OUTER_STEP * BEYOND_3) as f32;
        self.outer *= shrink;
        let faster = if self.excess < FEW {
            FASTER_SHRINK
        } else {
            1.0
        };
        self.shown *= (1.0 - OUTER_STEP * BEYOND_3 * faster) as f32;
        self.excess -= (BEYOND_3 + f64::from(self.excess) / EXCESS_MEMORY) as f32;
    }

    fn close_window(&mut self) {
        let step = OUTER_STEP as f32;
        let count = |eighths: u8| f32::from(eighths.min(WINDOW_CAP)) / EIGHTHS as f32;
        self.outer *= 1.0 + step * count(self.exceeded);
        let hits = count(self.shown_exceeded);
        self.excess += hits;
        let faster = (1.0 + EXCESS_SPEED * (self.excess - 1.0)).clamp(1.0, FASTEST);
        self.shown *= 1.0 + step * faster * hits;
        self.exceeded = 0;
        self.shown_exceeded = 0;
    }

    fn bound(&mut self) {
        let least = (OUTER_OVER_INNER * f64::from(self.inner)).max(OUTER_MIN);
        self.outer = f64::from(self.outer).clamp(least, OUTER_MAX) as f32;
        self.shown = self.shown.clamp(self.outer, SHOWN_OVER_OUTER * self.outer);
    }
}

/// Linear through the edges at 2 and 3 standard deviations, and through 0 below the inner one.
fn at(inner: f64, outer: f64, stddevs: f64) -> f64 {
    if stddevs >= 2.0 {
        inner + (outer - inner) * (stddevs - 2.0)
    } else {
        inner * stddevs / 2.0
    }
}

/// Both tails of a channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tails {
    pub(crate) above: Side,
    pub(crate) below: Side,
    /// Time in the current window of exceedances, s.
    pub(crate) window_s: f32,
    /// Samples learned from, saturating.
    pub(crate) learned: u16,
}

impl Tails {
    pub(crate) fn new() -> Self {
        Self {
            above: Side::START,
            below: Side::START,
            window_s: 0.0,
            learned: 0,
        }
    }

    /// One over the square root of the samples learned; see [`Side::shown_at`].
    pub(crate) fn young(&self) -> f64 {
        1.0 / f64::from(self.learned.max(1)).sqrt()
    }

    /// The side a residual lies on.
    pub(crate) fn side(&self, residual: f64) -> &Side {
        if residual > 0.0 {
            &self.above
        } else {
            &self.below
        }
    }

    /// Learns from one residual `z`, in units of the scale. `widening` are the factors by which a
    /// recurring spike widens the deciding and the shown band now; `weight` is below 1 in an alarm.
    pub(crate) fn learn(&mut self, z: f64, widening: Both, weight: Both, dt: f64, pace: &TailPace) {
        let early = 1.5 / (f64::from(self.learned) + pace.offset);
        let gain = early.max(pace.slowest).min(pace.fastest) * weight.deciding;
        self.learned = self.learned.saturating_add(1);
        self.window_s += dt as f32;
        self.above.learn(z, widening, gain, weight);
        self.below.learn(-z, widening, gain, weight);
        if f64::from(self.window_s) > pace.window_s {
            self.above.close_window();
            self.below.close_window();
            self.window_s = 0.0;
        }
        self.above.bound();
        self.below.bound();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: TailPace = TailPace {
        offset: 10.0,
        fastest: 0.2,
        slowest: 0.02,
        window_s: 600.0,
    };

    const ONE: Both = Both {
        deciding: 1.0,
        shown: 1.0,
    };
    const ALARM: Both = Both {
        deciding: 0.25,
        shown: 0.0,
    };

    /// Quantiles of a two-sided exponential distribution with mean absolute value 1, visited in a
    /// fixed shuffled order: heavier tails than normal.
    fn laplace(i: u64) -> f64 {
        let u = (i.wrapping_mul(2_654_435_761) % 100_000) as f64 / 100_000.0 + 5e-6;
        if u < 0.5 {
            (2.0 * u).ln()
        } else {
            -(2.0 * (1.0 - u)).ln()
        }
    }

    #[test]
    fn edges_settle_where_the_tail_probabilities_are_normal() {
        let mut tails = Tails::new();
        for i in 0..200_000 {
            tails.learn(laplace(i), ONE, ONE, 60.0, &PACE);
        }
        // exact: -ln(2 * 0.02275) = 3.09 and -ln(2 * 0.00135) = 5.91
        assert!(
            (f64::from(tails.above.inner) - 3.09).abs() < 0.4,
            "{tails:?}"
        );
        assert!(
            (f64::from(tails.below.outer) - 5.91).abs() < 1.2,
            "{tails:?}"
        );
    }

    #[test]
    fn a_burst_cannot_blow_up_the_outer_edge() {
        let mut tails = Tails::new();
        for i in 0..20_000 {
            tails.learn(laplace(i), ONE, ONE, 60.0, &PACE);
        }
        let before = tails;
        for _ in 0..60 {
            tails.learn(100.0, ONE, ALARM, 1.0, &PACE);
        }
        tails.learn(0.0, ONE, ONE, 600.0, &PACE);
        assert!(
            tails.above.outer < before.above.outer * 1.7,
            "{before:?} {tails:?}"
        );
        assert!(tails.below.outer <= before.below.outer);
    }

    #[test]
    fn edges_are_ordered_for_every_number_of_deviations() {
        let tails = Tails::new();
        let mut last = 0.0;
        for step in 1..60 {
            let at = tails.above.shown_at(f64::from(step) / 4.0, tails.young());
            assert!(at > last);
            last = at;
        }
    }
}
