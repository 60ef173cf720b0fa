//! Memory of spikes that come at the same time of the day or of the hour (cron, backups).

/// Five-minute slots of the day.
const SLOTS: usize = 288;
/// Five-minute slots of the hour.
const HOUR_SLOTS: usize = 12;
const SLOT_S: u32 = 300;
/// Severities above this are not told apart.
const LARGEST: f64 = 30.0;
/// Learning per day of a slot of the day, and per hour of a slot of the hour.
const DAY_GAIN: f64 = 0.3;
const HOUR_GAIN: f64 = 0.15;
/// The band reaches this far beyond the usual peak.
const MARGIN: f64 = 1.3;

const NO_SLOT: u16 = u16::MAX;

/// Running peak severity per slot, in bytes on a square-root scale.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recurrence {
    pub(crate) day: [u8; SLOTS],
    pub(crate) hour: [u8; HOUR_SLOTS],
    /// Slot of the day now open.
    pub(crate) slot: u16,
    /// Worst severity in the open slot; 0 while quiet.
    pub(crate) peak: f32,
    /// Factor by which the band is widened in the open slot, at least 1.
    pub(crate) widening: f32,
}

fn pack(severity: f64) -> u8 {
    ((severity.clamp(0.0, LARGEST) / LARGEST).sqrt() * 255.0).round() as u8
}

fn unpack(byte: u8) -> f64 {
    let root = f64::from(byte) / 255.0;
    root * root * LARGEST
}

fn learn(cell: Option<&mut u8>, peak: f64, gain: f64) {
    if let Some(cell) = cell {
        let known = unpack(*cell);
        *cell = pack(known + gain * (peak - known));
    }
}

impl Recurrence {
    pub(crate) fn new() -> Self {
        Self {
            day: [0; SLOTS],
            hour: [0; HOUR_SLOTS],
            slot: NO_SLOT,
            peak: 0.0,
            widening: 1.0,
        }
    }

    /// Enters the slot of this second of the day; commits the one that was left.
    pub(crate) fn enter(&mut self, second_of_day: u32) {
        let slot = (second_of_day / SLOT_S) as usize % SLOTS;
        if usize::from(self.slot) == slot {
            return;
        }
        if self.slot != NO_SLOT {
            let left = usize::from(self.slot);
            let peak = f64::from(self.peak);
            learn(self.day.get_mut(left), peak, DAY_GAIN);
            learn(self.hour.get_mut(left % HOUR_SLOTS), peak, HOUR_GAIN);
        }
        self.slot = slot as u16;
        self.peak = 0.0;
        self.widening = (MARGIN * self.usual_peak(slot)).max(1.0) as f32;
    }

    /// The usual peak severity of a slot and its neighbours.
    fn usual_peak(&self, slot: usize) -> f64 {
        let around = |cells: &[u8], slot: usize| {
            let n = cells.len();
            [slot % n, (slot + 1) % n, (slot + n - 1) % n]
                .into_iter()
                .filter_map(|i| cells.get(i).copied())
                .max()
                .unwrap_or(0)
        };
        unpack(around(&self.day, slot).max(around(&self.hour, slot)))
    }

    /// Notes the severity of a sample before widening.
    pub(crate) fn note(&mut self, severity: f64) {
        if severity > 1.0 {
            self.peak = self.peak.max(severity.min(LARGEST) as f32);
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
        assert!(fifth * 1.8 > 5.0, "by day 5 it raises no alarm: {fifth}");
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
