//! Memory of spikes that come at the same time of the day or of the hour (cron, backups).
//!
//! Two of them: what decides learns from the first spike on, so that what may be a habit raises fewer
//! alarms; what is shown waits for the second, so that one incident leaves no tower in the next
//! day's band.

/// Half-hour slots of the day: daily jobs do not keep to the minute.
const DAY_SLOTS: usize = 48;
const DAY_SLOT_S: u32 = 1800;
/// Five-minute slots of the hour.
const HOUR_SLOTS: usize = 12;
const HOUR_SLOT_S: u32 = 300;
/// Severities above this are not told apart.
const LARGEST: f64 = 30.0;
/// Learning per day of a slot of the day, and per hour of a slot of the hour.
const DAY_GAIN: f64 = 0.3;
const HOUR_GAIN: f64 = 0.15;
/// Learning of what came at least twice.
const SURE_GAIN: f64 = 0.6;
/// The band reaches this far beyond the usual peak.
const MARGIN: f64 = 1.3;

const NO_SLOT: u16 = u16::MAX;

/// Running peak severity per slot, in bytes on a square-root scale.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recurrence {
    pub(crate) day: [u8; DAY_SLOTS],
    pub(crate) hour: [u8; HOUR_SLOTS],
    /// The same, of what came at least twice.
    pub(crate) day_sure: [u8; DAY_SLOTS],
    pub(crate) hour_sure: [u8; HOUR_SLOTS],
    /// Five-minute slot of the day now open.
    pub(crate) slot: u16,
    /// Worst severity in the open slot of the hour, and in the open slot of the day; 0 while quiet.
    pub(crate) hour_peak: f32,
    pub(crate) day_peak: f32,
    /// Factor by which the deciding band is widened in the open slot, at least 1.
    pub(crate) widening: f32,
    /// The same for the band that is shown; at most `widening`.
    pub(crate) shown: f32,
}

fn pack(severity: f64) -> u8 {
    ((severity.clamp(0.0, LARGEST) / LARGEST).sqrt() * 255.0).round() as u8
}

fn unpack(byte: u8) -> f64 {
    let root = f64::from(byte) / 255.0;
    root * root * LARGEST
}

fn learn(cell: Option<&mut u8>, sure: Option<&mut u8>, peak: f32, gain: f64) {
    let (Some(cell), Some(sure)) = (cell, sure) else {
        return;
    };
    let (known, peak) = (unpack(*cell), f64::from(peak));
    // after one visit `known / gain` is the peak of that visit
    let again = peak.min(known / gain);
    let known_sure = unpack(*sure);
    *sure = pack(known_sure + SURE_GAIN * (again - known_sure));
    *cell = pack(known + gain * (peak - known));
}

/// Day slot of a five-minute slot.
fn day_slot(slot: usize) -> usize {
    slot / (DAY_SLOT_S / HOUR_SLOT_S) as usize % DAY_SLOTS
}

/// The usual peak severity: of the half hour of the day, of the five minutes of the hour and
/// their neighbours.
fn usual_peak(day: &[u8; DAY_SLOTS], hour: &[u8; HOUR_SLOTS], slot: usize) -> f64 {
    let around = [slot, slot + 1, slot + HOUR_SLOTS - 1];
    let hours = around.into_iter().filter_map(|i| hour.get(i % HOUR_SLOTS));
    let days = day.get(day_slot(slot));
    unpack(hours.chain(days).copied().max().unwrap_or(0))
}

impl Recurrence {
    pub(crate) fn new() -> Self {
        Self {
            day: [0; DAY_SLOTS],
            hour: [0; HOUR_SLOTS],
            day_sure: [0; DAY_SLOTS],
            hour_sure: [0; HOUR_SLOTS],
            slot: NO_SLOT,
            hour_peak: 0.0,
            day_peak: 0.0,
            widening: 1.0,
            shown: 1.0,
        }
    }

    /// Enters the slot of this second of the day; commits the one that was left.
    pub(crate) fn enter(&mut self, second_of_day: u32) {
        let slot = (second_of_day / HOUR_SLOT_S) as usize;
        let left = usize::from(self.slot);
        if left == slot {
            return;
        }
        if self.slot != NO_SLOT {
            learn(
                self.hour.get_mut(left % HOUR_SLOTS),
                self.hour_sure.get_mut(left % HOUR_SLOTS),
                self.hour_peak,
                HOUR_GAIN,
            );
            if day_slot(left) != day_slot(slot) {
                learn(
                    self.day.get_mut(day_slot(left)),
                    self.day_sure.get_mut(day_slot(left)),
                    self.day_peak,
                    DAY_GAIN,
                );
                self.day_peak = 0.0;
            }
        }
        self.slot = slot as u16;
        self.hour_peak = 0.0;
        let factor = |peak: f64| (MARGIN * peak).max(1.0) as f32;
        self.widening = factor(usual_peak(&self.day, &self.hour, slot));
        self.shown = factor(usual_peak(&self.day_sure, &self.hour_sure, slot)).min(self.widening);
    }

    /// Notes the severity of a sample before widening.
    pub(crate) fn note(&mut self, severity: f64) {
        if severity > 1.0 {
            let severity = severity.min(LARGEST) as f32;
            self.hour_peak = self.hour_peak.max(severity);
            self.day_peak = self.day_peak.max(severity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(memory: &mut Recurrence, severity_at_noon: f64) -> f32 {
        let mut seen = 0.0;
        for second in (0..86_400).step_by(60) {
            memory.enter(second);
            if (43_200..43_500).contains(&second) {
                memory.note(severity_at_noon);
                seen = memory.widening;
            }
        }
        seen
    }

    #[test]
    fn one_strange_noon_does_not_hide_the_next_but_a_habit_does() {
        let mut memory = Recurrence::new();
        day(&mut memory, 5.0);
        let second = day(&mut memory, 5.0);
        assert!(second < 5.0, "the second spike is still outside: {second}");
        day(&mut memory, 5.0);
        day(&mut memory, 5.0);
        let fifth = day(&mut memory, 5.0);
        assert!(fifth * 1.9 > 5.0, "by day 5 it raises no alarm: {fifth}");
        for _ in 0..20 {
            day(&mut memory, 0.0);
        }
        assert!(
            day(&mut memory, 0.0) < 1.1,
            "and a habit that ended is forgotten"
        );
    }

    #[test]
    fn packing_is_monotone_and_close() {
        let mut last = 0;
        for tenth in 0..=300 {
            let severity = f64::from(tenth) / 10.0;
            let byte = pack(severity);
            assert!(byte >= last);
            last = byte;
            assert!((unpack(byte) - severity).abs() <= 0.02 + 0.01 * severity.max(3.0));
        }
        assert_eq!(pack(f64::INFINITY), 255);
    }
}
