//! From counters to rates.

/// Late points in a row after which the clock is taken to have been set back.
const LATE_RUN: u8 = 30;

/// Where one point of a counter stands relative to the point before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Interval {
    /// Time since the point before, s; the counter ran on.
    Elapsed(f64),
    /// First point, a new start time: nothing to compare with.
    Restarted,
    /// Not newer than the point before: ignore it.
    Late,
}

/// Order and restarts of a cumulative or delta stream: times only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    pub(crate) start_ns: i64,
    pub(crate) last_ns: i64,
    pub(crate) late: u8,
    pub(crate) seen: bool,
}

impl Stream {
    /// Places a point. `start_ns` is its start time (0 = not known), `time_ns` its time, both ns
    /// since 1970.
    pub fn arrive(&mut self, start_ns: i64, time_ns: i64) -> Interval {
        let elapsed_ns = time_ns.saturating_sub(self.last_ns);
        if self.seen && elapsed_ns <= 0 {
            self.late = self.late.saturating_add(1);
            if self.late < LATE_RUN {
                return Interval::Late;
            }
        }
        let restarted = !self.seen || elapsed_ns <= 0 || start_ns != self.start_ns;
        *self = Self {
            start_ns,
            last_ns: time_ns,
            late: 0,
            seen: true,
        };
        if restarted {
            Interval::Restarted
        } else {
            Interval::Elapsed(elapsed_ns as f64 / 1e9)
        }
    }
}

/// Turns the points of one sum into rates per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    pub(crate) stream: Stream,
    pub(crate) last: f64,
}

impl Rate {
    /// A stream of which no point is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a word of it, so that it is in the caches when it is needed.
    #[must_use]
    pub fn touch(&self) -> u64 {
        self.last.to_bits() ^ self.stream.last_ns.cast_unsigned()
    }

    /// The rate a cumulative point shows since the point before. `None` for the first point, a
    /// reset (the value fell, or the start time changed), a late or duplicate point, and a value
    /// that is not finite (skipped: the next point is compared with the one before it).
    pub fn cumulative(&mut self, start_ns: i64, time_ns: i64, value: f64) -> Option<f64> {
        if !value.is_finite() {
            return None;
        }
        let interval = self.stream.arrive(start_ns, time_ns);
        if interval == Interval::Late {
            return None;
        }
        let increase = value - self.last;
        self.last = value;
        match interval {
            Interval::Elapsed(seconds) if increase >= 0.0 => finite(increase / seconds),
            _ => None,
        }
    }

    /// The rate of a delta point: its value over its own interval, or over the time since the
    /// point before when the start time is not known. `None` when neither is known, for a late or
    /// duplicate point, and for a value that is not finite.
    pub fn delta(&mut self, start_ns: i64, time_ns: i64, value: f64) -> Option<f64> {
        if !value.is_finite() {
            return None;
        }
        let seconds = delta_interval(&mut self.stream, start_ns, time_ns)?;
        finite(value / seconds)
    }
}

/// Length of the interval a delta point covers, s.
pub(crate) fn delta_interval(stream: &mut Stream, start_ns: i64, time_ns: i64) -> Option<f64> {
    let interval = stream.arrive(0, time_ns);
    if interval == Interval::Late {
        return None;
    }
    let own_ns = time_ns.saturating_sub(start_ns);
    if start_ns > 0 && own_ns > 0 {
        return Some(own_ns as f64 / 1e9);
    }
    match interval {
        Interval::Elapsed(seconds) => Some(seconds),
        Interval::Restarted | Interval::Late => None,
    }
}

fn finite(rate: f64) -> Option<f64> {
    rate.is_finite().then_some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn resets_storms_and_gaps() {
        let mut rate = Rate::new();
        assert_eq!(rate.cumulative(1, 60 * S, 100.0), None, "the first point");
        assert_eq!(rate.cumulative(1, 120 * S, 160.0), Some(1.0));
        assert_eq!(rate.cumulative(1, 180 * S, 10.0), None, "the value fell");
        assert_eq!(rate.cumulative(1, 240 * S, 70.0), Some(1.0));
        assert_eq!(rate.cumulative(2, 300 * S, 500.0), None, "a new start time");
        assert_eq!(
            rate.cumulative(2, 3900 * S, 4100.0),
            Some(1.0),
            "over a gap"
        );
        for i in 0..10 {
            let at = (4000 + i * 60) * S;
            assert_eq!(
                rate.cumulative(10 + i, at, 5.0),
                None,
                "every point restarts"
            );
        }
    }

    #[test]
    fn odd_points_are_ignored() {
        let mut rate = Rate::new();
        rate.cumulative(0, 60 * S, 0.0);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(rate.cumulative(0, 90 * S, value), None);
        }
        assert_eq!(rate.cumulative(0, 30 * S, 1e9), None, "late");
        assert_eq!(rate.cumulative(0, 60 * S, 1e9), None, "duplicate");
        assert_eq!(rate.cumulative(0, 120 * S, 60.0), Some(1.0));
        assert_eq!(
            rate.cumulative(0, i64::MAX, f64::MAX).map(f64::is_finite),
            Some(true)
        );
        assert_eq!(rate.cumulative(0, i64::MIN, 1.0), None);
    }

    #[test]
    fn a_clock_set_back_is_followed() {
        let mut rate = Rate::new();
        rate.cumulative(0, 1_000_000 * S, 0.0);
        let rates: Vec<_> = (1..40)
            .filter_map(|i| rate.cumulative(0, i * 60 * S, i as f64 * 60.0))
            .collect();
        assert_eq!(rates, vec![1.0; 9]);
    }

    #[test]
    fn deltas_use_their_own_interval_first() {
        let mut rate = Rate::new();
        assert_eq!(rate.delta(60 * S, 120 * S, 120.0), Some(2.0));
        assert_eq!(rate.delta(0, 150 * S, 60.0), Some(2.0));
        assert_eq!(rate.delta(150 * S, 150 * S, 60.0), None);
        assert_eq!(Rate::new().delta(0, 60 * S, 60.0), None);
    }
}
