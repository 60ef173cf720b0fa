//! Small packed arrays of the seasonal memory.

/// A table of values in 16-bit fixed point under one shared step, a power of two that follows the
/// largest cell: half a day's or a week's profile in a fraction of the size of floats, with an
/// error below 1/4,000 of the largest cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table<const N: usize> {
    /// Value of one unit; 0 while every cell is 0.
    pub(crate) step: f64,
    pub(crate) cells: [i16; N],
}

/// Largest magnitude kept in a cell.
const FULL: f64 = 32_000.0;
/// Larger values are refused: their neighbourhood must stay finite.
const LARGEST: f64 = 1e300;
/// A fresh value is stored at about this magnitude, which leaves room to grow.
const FRESH_BITS: i32 = 12;

impl<const N: usize> Table<N> {
    pub(crate) fn new() -> Self {
        Self {
            step: 0.0,
            cells: [0; N],
        }
    }

    pub(crate) fn get(&self, slot: usize) -> f64 {
        self.cells
            .get(slot)
            .map_or(0.0, |c| f64::from(*c) * self.step)
    }

    /// Straight line between two neighbouring slots, `part` (0..1) of the way from `slot`.
    pub(crate) fn between(&self, slot: usize, part: f64) -> f64 {
        let next = if slot + 1 >= N { 0 } else { slot + 1 };
        let (a, b) = (self.get(slot), self.get(next));
        a + (b - a) * part
    }

    /// Adds `delta` to a slot.
    pub(crate) fn add(&mut self, slot: usize, delta: f64) {
        let value = self.get(slot) + delta;
        // also refuses what is not a number
        let in_range = value.abs() <= LARGEST;
        if !in_range || value == 0.0 && self.step == 0.0 {
            return;
        }
        if self.step == 0.0 {
            self.step = power_of_two(exponent(value) - FRESH_BITS);
            if self.step == 0.0 {
                return;
            }
        }
        if (value / self.step).abs() > FULL {
            let grow = exponent(value / self.step) - 13;
            self.rescale(grow.max(1));
        }
        if let Some(cell) = self.cells.get_mut(slot) {
            // the cast saturates; rescaling above keeps it from having to
            *cell = (value / self.step).round() as i16;
        }
    }

    /// Finer steps once every cell has become small. Called once a day.
    pub(crate) fn refine(&mut self) {
        let largest = self
            .cells
            .iter()
            .map(|c| c.unsigned_abs())
            .max()
            .unwrap_or(0);
        if largest == 0 {
            self.step = 0.0;
        } else if largest < 2048 {
            let spare = i32::try_from(largest.leading_zeros()).unwrap_or(0) - 3;
            self.rescale(-spare.max(1));
        }
    }

    /// Multiplies the step by two to the power of `by`.
    fn rescale(&mut self, by: i32) {
        let step = self.step * power_of_two(by);
        if step == 0.0 || !step.is_finite() {
            return;
        }
        let factor = power_of_two(-by);
        for cell in &mut self.cells {
            *cell = (f64::from(*cell) * factor).round() as i16;
        }
        self.step = step;
    }
}

/// The binary exponent of a value; subnormal numbers count as the smallest normal one.
fn exponent(value: f64) -> i32 {
    let bits = (value.to_bits() >> 52) & 0x7ff;
    i32::try_from(bits).unwrap_or(0) - 1023
}

/// Two to the power of `exponent`, 0 below the normal range, clipped above it.
fn power_of_two(exponent: i32) -> f64 {
    if exponent < -1022 {
        return 0.0;
    }
    let biased = u64::try_from(exponent.min(1023) + 1023).unwrap_or(0);
    f64::from_bits(biased << 52)
}

/// Counters of four bits each, two to a byte, that stop at 15. `B` is the number of bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Nibbles<const B: usize>(pub(crate) [u8; B]);

impl<const B: usize> Nibbles<B> {
    pub(crate) fn new() -> Self {
        Self([0; B])
    }

    pub(crate) fn get(&self, slot: usize) -> u8 {
        self.0
            .get(slot / 2)
            .map_or(0, |b| (b >> (4 * (slot % 2))) & 0xf)
    }

    pub(crate) fn increment(&mut self, slot: usize) {
        if self.get(slot) < 15
            && let Some(byte) = self.0.get_mut(slot / 2)
        {
            *byte += 1 << (4 * (slot % 2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_within_the_step() {
        let mut table = Table::<4>::new();
        table.add(0, 0.001);
        table.add(1, 1000.0);
        table.add(2, -5.0e6);
        assert!((table.get(1) - 1000.0).abs() < 5.0e6 / 8000.0);
        assert!((table.get(2) + 5.0e6).abs() < 5.0e6 / 8000.0);
        assert!((table.between(3, 0.5) - table.get(0) / 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_table_that_shrank_becomes_fine_again() {
        let mut table = Table::<2>::new();
        table.add(0, 1.0e9);
        table.add(1, 4_000_000.0);
        table.add(0, -table.get(0));
        for _ in 0..10 {
            table.refine();
        }
        let before = table.get(1);
        table.add(1, 2000.0);
        assert!(
            (table.get(1) - before - 2000.0).abs() < 600.0,
            "{before} {}",
            table.get(1)
        );
    }

    #[test]
    fn extremes_neither_panic_nor_leave_the_finite_range() {
        for delta in [
            f64::MAX,
            -f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            f64::NAN,
            f64::INFINITY,
        ] {
            let mut table = Table::<2>::new();
            table.add(0, delta);
            table.add(0, delta);
            table.add(1, 1.0);
            table.add(9, 1.0);
            table.refine();
            assert!(
                table.get(0).is_finite() && table.get(1).is_finite(),
                "{delta}"
            );
        }
    }

    #[test]
    fn counters_are_separate_and_stop_at_15() {
        let mut counts = Nibbles::<2>::new();
        for _ in 0..20 {
            counts.increment(1);
        }
        counts.increment(2);
        counts.increment(99);
        assert_eq!([0, 1, 2, 3, 99].map(|s| counts.get(s)), [0, 15, 1, 0, 0]);
    }
}
