//! Further watches: a value that stands still, one that moves now and then, a distance that lasts.

use crate::gain;

const HOUR_S: f64 = 3600.0;
const DAY_S: f64 = 86_400.0;

/// Runs of equal values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Flatline {
    pub(crate) last: f64,
    /// Samples in the current run.
    pub(crate) run: u32,
    /// Longest normal run, slowly forgotten.
    pub(crate) longest: f32,
    /// Changes of value seen, saturating.
    pub(crate) changes: u8,
}

impl Flatline {
    /// A run is never suspicious below this many samples and this long.
    const LEAST_RUN: f64 = 8.0;
    const LEAST_S: f64 = 600.0;
    /// A suspicious run this long is the new normal, s.
    const ACCEPT_S: f64 = 6.0 * HOUR_S;
    /// A series that changed less often may be a constant.
    const LEAST_CHANGES: u8 = 10;

    pub(crate) fn new(value: f64) -> Self {
        Self {
            last: value,
            run: 1,
            longest: 1.0,
            changes: 0,
        }
    }

    /// Counts a value; true while it has stood still for far longer than it ever did.
    pub(crate) fn observe(&mut self, value: f64, interval: f64, age: f64, learn: bool) -> bool {
        if value == self.last {
            self.run = self.run.saturating_add(u32::from(learn));
        } else if learn {
            self.longest = (self.longest * 0.9995).max(self.run as f32);
            self.changes = self.changes.saturating_add(1);
            self.run = 1;
            self.last = value;
        } else {
            return false;
        }
        let run = f64::from(self.run);
        let suspicious = Self::LEAST_RUN
            .max(4.0 * f64::from(self.longest))
            .max(Self::LEAST_S / interval);
        let normal_again = suspicious + Self::ACCEPT_S / interval;
        age > HOUR_S
            && self.changes >= Self::LEAST_CHANGES
            && run > suspicious
            && run < normal_again
    }
}

/// Series that stand still most of the time and jump now and then (errors, batch jobs). A robust
/// scale takes the jumps for outliers and shrinks to nothing; this is the scale it must not go
/// below: the mean size of a jump, spread over all samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Jumps {
    /// Running mean size of a jump.
    pub(crate) size: f64,
    /// Running share of samples that differ from the one before.
    pub(crate) share: f32,
}

impl Jumps {
    const SHARE_TAU_S: f64 = DAY_S;
    /// Least weight of a new jump.
    const SIZE_GAIN: f64 = 0.05;

    pub(crate) fn new() -> Self {
        Self {
            size: 0.0,
            share: 0.0,
        }
    }

    /// Least scale; 0 for a series that moves with more than three of eight samples.
    pub(crate) fn floor(&self) -> f64 {
        let share = f64::from(self.share);
        share * self.size * (1.5 - 4.0 * share).clamp(0.0, 1.0)
    }

    pub(crate) fn learn(&mut self, jump: f64, seen: u32, counted: f64, interval: f64) {
        let early = 1.0 / (f64::from(seen) + 1.0);
        let moved = if jump > 0.0 { 1.0 } else { 0.0 };
        let share = f64::from(self.share);
        let step = gain(counted, Self::SHARE_TAU_S.max(200.0 * interval)).max(early);
        self.share = (share + step * (moved - share)) as f32;
        if jump > 0.0 {
            let jumps_seen = (share * f64::from(seen)).max(0.0);
            let step = (1.0 / (jumps_seen + 1.0)).max(Self::SIZE_GAIN);
            let clipped = if self.size > 0.0 {
                jump.min(6.0 * self.size)
            } else {
                jump
            };
            self.size += step * (clipped - self.size);
        }
    }
}

/// Time spent outside, s: it falls twice as fast inside.
pub(crate) fn time_outside(before_s: f32, outside: bool, counted_s: f64) -> f32 {
    let before = f64::from(before_s);
    let now = if outside {
        before + counted_s
    } else {
        (before - 2.0 * counted_s).max(0.0)
    };
    now.min(1e9) as f32
}

/// The same of a test that is far outside beyond 1. It begins anew when what had been accepted as the
/// new normal is near.
fn time_far(before_s: f32, far: f64, accepted: bool, counted_s: f64) -> f32 {
    if far < 0.5 && accepted {
        return 0.0;
    }
    time_outside(before_s, far > 1.0, counted_s)
}

/// Mean residual of the seasonal channel over the last half hour or so: what lasts and is too small
/// for a single sample (drifts, small shifts, a missing peak).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lasting {
    /// Running mean of the residual.
    pub(crate) mean: f64,
    /// Running mean of its absolute value.
    pub(crate) scale: f64,
    /// Time spent far away, falling twice as fast inside, s.
    pub(crate) outside_s: f32,
}

impl Lasting {
    const TAU_S: f64 = 1800.0;
    const TAU_INTERVALS: f64 = 12.0;
    /// Distance in scales at which the test fires.
    const FAR: f64 = 6.0;
    /// Least distance in scales of the seasonal channel.
    const LEAST: f64 = 1.0;
    /// Residuals are clipped at this many scales.
    const CLIP: f64 = 4.0;
    /// A distance that lasted this long is the new normal, s.
    const ACCEPT_S: f32 = 3.0 * 3600.0;

    pub(crate) fn new() -> Self {
        Self {
            mean: 0.0,
            scale: 0.0,
            outside_s: 0.0,
        }
    }

    /// The distance is the new normal: the level follows until it is there.
    pub(crate) fn accepted(&self) -> bool {
        self.outside_s > Self::ACCEPT_S
    }

    /// The seasonal channel has accepted a new normal.
    pub(crate) fn accept(&mut self) {
        self.outside_s = self.outside_s.max(2.0 * Self::ACCEPT_S);
    }

    /// The level moved by this much towards the values.
    pub(crate) fn follow(&mut self, step: f64) {
        self.mean -= step;
    }

    /// Severity of the mean; `residual_scale` is the scale of the residuals it is made of. 0 while
    /// the level follows.
    pub(crate) fn severity(&self, residual_scale: f64) -> f64 {
        if self.accepted() {
            0.0
        } else {
            self.distance(residual_scale)
        }
    }

    fn distance(&self, residual_scale: f64) -> f64 {
        self.mean.abs() / (Self::FAR * self.scale).max(Self::LEAST * residual_scale)
    }

    /// Learns a residual; `scale` is that of the residuals.
    pub(crate) fn learn(&mut self, residual: f64, scale: f64, m: &crate::channel::Moment) {
        let far = self.distance(scale);
        self.outside_s = time_far(self.outside_s, far, self.accepted(), m.counted);
        let limit = Self::CLIP * scale;
        let tau = Self::TAU_S.max(Self::TAU_INTERVALS * m.interval);
        let step = gain(m.counted, tau);
        self.mean += step * (residual.clamp(-limit, limit) - self.mean);
        let settled = m.age > 2.0 * DAY_S;
        let now = if settled {
            self.mean.abs().min(4.0 * self.scale + m.floor)
        } else {
            self.mean.abs()
        };
        let step = gain(m.counted, 3.0 * DAY_S).max(gain(m.counted, m.age.max(m.counted)));
        let damping = if m.alarm && settled { 0.1 } else { 1.0 };
        self.scale += step * damping * (now - self.scale);
    }
}

/// Mean size of the fast channel's errors over the last samples, in units of its scale: noise that
/// grew, also where no sample is far outside by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Restless {
    /// Running mean of the absolute residual over the scale.
    pub(crate) mean: f32,
    /// Running mean of its absolute distance from 1.
    pub(crate) spread: f32,
    /// Time spent far away, falling twice as fast inside, s.
    pub(crate) outside_s: f32,
}

impl Restless {
    /// Samples over which the mean runs.
    const TAU_INTERVALS: f64 = 15.0;
    /// Distance in spreads at which the test fires, and the least distance.
    const FAR: f64 = 7.5;
    const LEAST: f64 = 1.2;
    /// Residuals are clipped at this many scales: two samples are no burst.
    const CLIP: f64 = 5.0;
    /// Noise that lasted this long is the new normal, s.
    const ACCEPT_S: f32 = 3.0 * 3600.0;

    pub(crate) fn new() -> Self {
        Self {
            mean: 1.0,
            spread: 0.0,
            outside_s: 0.0,
        }
    }

    /// The noise is the new normal: the scale follows until it is there.
    pub(crate) fn accepted(&self) -> bool {
        self.outside_s > Self::ACCEPT_S
    }

    /// Severity, with the sample of this distance (in scales).
    pub(crate) fn severity(&self, z: f64, m: &crate::channel::Moment) -> f64 {
        if self.accepted() {
            0.0
        } else {
            self.distance(self.next(z, m))
        }
    }

    fn distance(&self, mean: f64) -> f64 {
        (mean - 1.0) / (Self::FAR * f64::from(self.spread)).max(Self::LEAST)
    }

    fn next(&self, z: f64, m: &crate::channel::Moment) -> f64 {
        let mean = f64::from(self.mean);
        let step = gain(m.counted, Self::TAU_INTERVALS * m.interval);
        mean + step * (z.abs().min(Self::CLIP) - mean)
    }

    /// Learns a sample of this distance.
    pub(crate) fn learn(&mut self, z: f64, m: &crate::channel::Moment) {
        let mean = self.next(z, m);
        self.mean = mean as f32;
        let far = self.distance(mean);
        self.outside_s = time_far(self.outside_s, far, self.accepted(), m.counted);
        let spread = f64::from(self.spread);
        let settled = m.seen > 400;
        let now = if settled {
            (mean - 1.0).abs().min(4.0 * spread)
        } else {
            (mean - 1.0).abs()
        };
        let step = gain(m.counted, (3.0 * DAY_S).max(400.0 * m.interval))
            .max(1.0 / (f64::from(m.seen) + 1.0));
        let damping = if m.alarm && settled { 0.1 } else { 1.0 };
        self.spread = (spread + step * damping * (now - spread)) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_far_longer_than_ever_is_flat_until_it_is_the_new_normal() {
        let mut flat = Flatline::new(0.0);
        for i in 0..200 {
            assert!(!flat.observe(f64::from(i % 7), 60.0, 7200.0, true));
        }
        let first = (0..1000).position(|_| flat.observe(3.0, 60.0, 7200.0, true));
        // ten minutes, one of which had passed
        assert_eq!(first, Some(9));
        let flagged = (0..1000)
            .filter(|_| flat.observe(3.0, 60.0, 7200.0, true))
            .count();
        assert_eq!(flagged, 358, "flagged until six hours have passed");
    }

    #[test]
    fn counts_that_are_often_zero_may_stay_zero_for_a_while() {
        let mut flat = Flatline::new(0.0);
        for i in 0..2000_u32 {
            flat.observe(
                f64::from(u8::from(i.is_multiple_of(50))),
                60.0,
                7200.0,
                true,
            );
        }
        assert!((0..140).all(|_| !flat.observe(0.0, 60.0, 7200.0, true)));
    }

    #[test]
    fn nothing_is_counted_outside_learning() {
        let mut flat = Flatline::new(1.0);
        for _ in 0..1000 {
            assert!(!flat.observe(1.0, 60.0, 7200.0, false));
        }
        assert_eq!(flat.run, 1);
    }
}
