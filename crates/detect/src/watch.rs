//! Further watches: a value that stands still, one that moves now and then, a level that creeps.

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

/// Distance between level and slow level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Drift {
    /// Running mean of the absolute distance.
    pub(crate) scale: f64,
    /// Time spent far apart, s.
    pub(crate) outside_s: f32,
}

impl Drift {
    /// Distance in its own standard deviations at which the test fires.
    const FAR: f64 = 5.0;
    /// Least distance in scales of the fast channel.
    const FAST_SCALES: f64 = 2.5;
    const SIGMA: f64 = 1.2533;
    const READY_S: f64 = 8.0 * DAY_S;
    /// A drift that lasted this long is the new normal, s.
    const ACCEPT_S: f64 = 4.0 * HOUR_S;

    pub(crate) fn new() -> Self {
        Self {
            scale: 0.0,
            outside_s: 0.0,
        }
    }

    /// Severity of the distance `apart` between level and slow level.
    pub(crate) fn severity(&self, apart: f64, fast_scale: f64, age: f64, floor: f64) -> f64 {
        if age > Self::READY_S && apart.abs() > Self::FAST_SCALES * fast_scale {
            apart.abs() / (Self::FAR * Self::SIGMA * self.scale.max(floor))
        } else {
            0.0
        }
    }

    /// Learns the distance; the part of it the slow level must give way by.
    pub(crate) fn learn(&mut self, apart: f64, severity: f64, m: &crate::channel::Moment) -> f64 {
        let now = f64::from(self.outside_s);
        let next = if severity > 1.0 {
            now + m.counted
        } else {
            (now - m.counted).max(0.0)
        };
        self.outside_s = next.min(1e9) as f32;
        let mut give_way = 0.0;
        if next > Self::ACCEPT_S {
            give_way = gain(m.counted, HOUR_S) * apart;
            if severity <= 0.5 {
                self.outside_s = 0.0;
            }
        }
        let step = gain(m.counted, 3.0 * DAY_S).max(gain(m.counted, m.age.max(m.counted)));
        let damping = if m.alarm && m.age > 3.0 * DAY_S {
            0.1
        } else {
            1.0
        };
        let cap = if m.age > 2.0 * DAY_S {
            4.0 * Self::SIGMA * self.scale + m.floor
        } else {
            f64::INFINITY
        };
        self.scale += step * damping * (apart.abs().min(cap) - self.scale);
        give_way
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
