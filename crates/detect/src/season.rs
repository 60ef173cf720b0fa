//! The seasonal memory of one series: day, week, noise by hour, recurring spikes.

use crate::table::{Nibbles, Table};
use crate::{Seasonality, recurrence::Recurrence};

/// Quarter hours of the day.
const DAY_SLOTS: usize = 96;
/// Hours of the week.
const WEEK_SLOTS: usize = 168;
const HOURS: usize = 24;
/// No visit open.
pub(crate) const NO_SLOT: u16 = u16::MAX;
/// Units of the hourly noise factors.
const FACTOR_UNIT: f64 = 4096.0;

/// Local wall-clock position within day and week.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calendar {
    second_of_week: u32,
}

impl Calendar {
    /// From seconds of local time since 1970-01-01 00:00.
    pub(crate) fn new(local_s: i64) -> Self {
        Self {
            second_of_week: u32::try_from(local_s.rem_euclid(604_800)).unwrap_or(0),
        }
    }

    pub(crate) fn second_of_day(self) -> u32 {
        self.second_of_week % 86_400
    }

    fn hour(self) -> usize {
        self.second_of_day() as usize / 3600
    }

    fn day_slot(self) -> u16 {
        (self.second_of_day() / 900) as u16
    }

    fn week_slot(self) -> u16 {
        (self.second_of_week / 3600) as u16
    }

    /// The day slot whose centre was last passed, and the way to the next centre (0..1).
    fn day_position(self) -> (usize, f64) {
        let from_first_centre = (self.second_of_day() + 86_400 - 450) % 86_400;
        (
            (from_first_centre / 900) as usize,
            f64::from(from_first_centre % 900) / 900.0,
        )
    }

    fn week_position(self) -> (usize, f64) {
        let from_first_centre = (self.second_of_week + 604_800 - 1800) % 604_800;
        (
            (from_first_centre / 3600) as usize,
            f64::from(from_first_centre % 3600) / 3600.0,
        )
    }
}

/// Running mean over one visit of a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Visit {
    pub(crate) slot: u16,
    pub(crate) count: u32,
    pub(crate) sum: f64,
}

impl Visit {
    fn new() -> Self {
        Self {
            slot: NO_SLOT,
            count: 0,
            sum: 0.0,
        }
    }

    /// Opens `slot`; the mean of the visit that thereby ended, if there was one.
    fn enter(&mut self, slot: u16) -> Option<(usize, f64)> {
        if self.slot == slot {
            return None;
        }
        let ended = (self.slot != NO_SLOT && self.count > 0)
            .then(|| (usize::from(self.slot), self.sum / f64::from(self.count)));
        *self = Self {
            slot,
            count: 0,
            sum: 0.0,
        };
        ended
    }

    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count = self.count.saturating_add(1);
    }
}

/// Seasonal arrays; boxed in the state, made after the first hour of life.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Season {
    pub(crate) day: Table<DAY_SLOTS>,
    pub(crate) day_seen: Nibbles<{ DAY_SLOTS / 2 }>,
    pub(crate) week: Table<WEEK_SLOTS>,
    pub(crate) week_seen: Nibbles<{ WEEK_SLOTS / 2 }>,
    /// Noise of each hour relative to the whole, in units of 1/4096; 0 = not seen.
    pub(crate) noise: [u16; HOURS],
    pub(crate) day_visit: Visit,
    pub(crate) week_visit: Visit,
    /// Sum of absolute residuals over the open hour.
    pub(crate) noise_sum: f64,
    pub(crate) recurrence: Recurrence,
}

/// One sample as the season learns it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeasonSample {
    /// Residual against slow level and season, clipped.
    pub(crate) residual: f64,
    /// Absolute residual of the seasonal forecast, clipped.
    pub(crate) absolute: f64,
    /// 1, less in an alarm.
    pub(crate) weight: f64,
    /// Scale of the seasonal channel, never 0.
    pub(crate) scale: f64,
    /// Age of the series, s.
    pub(crate) age_s: f64,
}

impl Season {
    pub(crate) fn new() -> Self {
        Self {
            day: Table::new(),
            day_seen: Nibbles::new(),
            week: Table::new(),
            week_seen: Nibbles::new(),
            noise: [0; HOURS],
            day_visit: Visit::new(),
            week_visit: Visit::new(),
            noise_sum: 0.0,
            recurrence: Recurrence::new(),
        }
    }

    /// Reads a word of each cache line that the slots now open need.
    pub(crate) fn touch(&self) -> u64 {
        let (day, week) = (self.day_visit.slot, self.week_visit.slot);
        let cell = |cells: &[i16], slot: u16| {
            cells
                .get(usize::from(slot))
                .map_or(0, |cell| u64::from(cell.unsigned_abs()))
        };
        let noise = self
            .noise
            .get(usize::from(week) % HOURS)
            .copied()
            .unwrap_or(0);
        self.day.step.to_bits()
            ^ self.week.step.to_bits()
            ^ self.noise_sum.to_bits()
            ^ cell(&self.day.cells, day)
            ^ cell(&self.week.cells, week)
            ^ u64::from(self.week_seen.get(usize::from(week)) ^ self.recurrence.hour[0])
            ^ u64::from(noise)
            ^ u64::from(self.recurrence.widening.to_bits())
    }

    /// Seasonal value at a time, relative to the level.
    pub(crate) fn value(&self, at: Calendar, seasonality: Seasonality) -> f64 {
        if seasonality == Seasonality::None {
            return 0.0;
        }
        let (slot, part) = at.day_position();
        let day = self.day.between(slot, part);
        if seasonality == Seasonality::Daily {
            return day;
        }
        let (slot, part) = at.week_position();
        let next = if slot + 1 == WEEK_SLOTS { 0 } else { slot + 1 };
        day + self.trusted(slot) * (1.0 - part) + self.trusted(next) * part
    }

    /// The week's correction, trusted the more the more weeks it has seen.
    fn trusted(&self, slot: usize) -> f64 {
        let weeks = f64::from(self.week_seen.get(slot));
        self.week.get(slot) * weeks / (weeks + 1.0)
    }

    /// Difference between the highest and the lowest slot of the day.
    pub(crate) fn range(&self) -> f64 {
        let slots = (0..DAY_SLOTS).map(|slot| self.day.get(slot));
        let (low, high) = slots.fold((0.0_f64, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
        high - low
    }

    /// The weekly correction takes part at this time.
    pub(crate) fn knows_week(&self, at: Calendar) -> bool {
        self.week_seen.get(usize::from(at.week_slot())) > 0
    }

    /// How noisy this hour usually is relative to the whole day, 0.4..3.
    pub(crate) fn noise_factor(&self, at: Calendar) -> f64 {
        match self.noise.get(at.hour()) {
            Some(0) | None => 1.0,
            Some(units) => (f64::from(*units) / FACTOR_UNIT).clamp(0.4, 3.0),
        }
    }

    /// Learns one sample. Means are committed when a slot is left, so that each visit counts once
    /// whatever the sampling interval.
    pub(crate) fn learn(&mut self, at: Calendar, s: &SeasonSample) {
        if let Some((slot, mean)) = self.day_visit.enter(at.day_slot()) {
            let seen = f64::from(self.day_seen.get(slot));
            self.day.add(slot, (1.0 / (seen + 1.5)).max(0.15) * mean);
            self.day_seen.increment(slot);
            if at.day_slot() == 0 {
                self.day.refine();
                self.week.refine();
            }
        }
        let count = self.week_visit.count;
        if let Some((slot, mean)) = self.week_visit.enter(at.week_slot()) {
            let seen = f64::from(self.week_seen.get(slot));
            if s.age_s > 86_400.0 {
                self.week
                    .add(slot, 0.9 * (1.0 / (seen + 1.5)).max(0.25) * mean);
                self.week_seen.increment(slot);
            }
            self.learn_noise(slot % HOURS, self.noise_sum / f64::from(count) / s.scale);
            self.noise_sum = 0.0;
        }
        self.day_visit.add(s.residual * s.weight);
        self.week_visit.add(s.residual * s.weight);
        self.noise_sum += s.absolute;
    }

    fn learn_noise(&mut self, hour: usize, factor: f64) {
        if let Some(units) = self.noise.get_mut(hour) {
            let known = f64::from(*units) / FACTOR_UNIT;
            let next = if *units == 0 {
                factor
            } else {
                known + 0.2 * (factor.min(4.0) - known)
            };
            // at least one unit: 0 means not seen
            *units = (next.min(15.0) * FACTOR_UNIT).round().max(1.0) as u16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_slots_follow_local_time_also_before_1970() {
        let at = Calendar::new(-1);
        assert_eq!((at.hour(), at.day_slot(), at.week_slot()), (23, 95, 167));
        let at = Calendar::new(7 * 86_400 + 1800);
        assert_eq!((at.hour(), at.day_slot(), at.week_slot()), (0, 2, 0));
        assert_eq!(at.week_position(), (0, 0.0));
        assert_eq!(Calendar::new(450).day_position(), (0, 0.0));
        assert_eq!(Calendar::new(0).day_position(), (95, 0.5));
        for extreme in [i64::MIN, i64::MAX] {
            assert!(Calendar::new(extreme).second_of_day() < 86_400);
        }
    }

    /// Feeds twenty days of a profile and compares the forecast with it.
    #[test]
    fn a_daily_profile_is_learned_within_days() {
        let mut season = Season::new();
        let wave = |t: i64| (t.rem_euclid(86_400) as f64 / 86_400.0 * std::f64::consts::TAU).sin();
        for t in (0..20 * 86_400).step_by(60) {
            let at = Calendar::new(t);
            let residual = wave(t) - season.value(at, Seasonality::Auto);
            let sample = SeasonSample {
                residual,
                absolute: residual.abs(),
                weight: 1.0,
                scale: 1.0,
                age_s: t as f64,
            };
            season.learn(at, &sample);
        }
        for t in (0..86_400).step_by(1000) {
            let error = wave(t) - season.value(Calendar::new(t), Seasonality::Auto);
            assert!(error.abs() < 0.05, "{t}: {error}");
        }
        assert_eq!(season.value(Calendar::new(0), Seasonality::None), 0.0);
    }

    #[test]
    fn a_full_season_is_small() {
        assert!(size_of::<Season>() <= 960, "{}", size_of::<Season>());
    }
}
