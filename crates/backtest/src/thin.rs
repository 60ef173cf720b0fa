//! Samples to draw: all of a short series, the extremes of a long one.

/// A sample with its band; edges are not numbers where there is no band.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) time_ns: i64,
    pub(crate) value: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    pub(crate) in_alarm: bool,
}

/// Keeps at most about two and a half times `capacity` rows, whatever comes: the least and the
/// largest value of each of up to `capacity` stretches of equally many samples, and samples in
/// alarm as long as there is room for them.
#[derive(Clone, Debug)]
pub(crate) struct Thin {
    capacity: usize,
    /// Samples per stretch.
    stride: u64,
    stretches: Vec<Stretch>,
    /// Samples in the last stretch.
    filled: u64,
    alarms: Vec<Row>,
}

#[derive(Clone, Copy, Debug)]
struct Stretch {
    low: Row,
    high: Row,
}

impl Stretch {
    fn join(&mut self, other: &Self) {
        if other.low.value < self.low.value {
            self.low = other.low;
        }
        if other.high.value > self.high.value {
            self.high = other.high;
        }
    }
}

impl Thin {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(2);
        Self {
            capacity,
            stride: 1,
            stretches: Vec::new(),
            filled: 0,
            alarms: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, row: Row) {
        if row.value.is_nan() {
            return;
        }
        if row.in_alarm && self.stride > 1 && self.alarms.len() < self.capacity / 2 {
            self.alarms.push(row);
        }
        let one = Stretch {
            low: row,
            high: row,
        };
        if self.filled < self.stride
            && let Some(last) = self.stretches.last_mut()
        {
            last.join(&one);
            self.filled += 1;
            return;
        }
        if self.stretches.len() >= self.capacity {
            self.halve();
        }
        self.stretches.push(one);
        self.filled = 1;
    }

    /// Joins neighbouring stretches.
    fn halve(&mut self) {
        let kept_alarms = self.capacity / 2;
        if self.stride == 1 {
            let alarms = self
                .stretches
                .iter()
                .map(|s| s.low)
                .filter(|row| row.in_alarm);
            self.alarms.extend(alarms.take(kept_alarms));
        }
        let joined = self.stretches.chunks(2).filter_map(|pair| {
            let (first, rest) = pair.split_first()?;
            let mut first = *first;
            rest.iter().for_each(|other| first.join(other));
            Some(first)
        });
        self.stretches = joined.collect();
        self.stride *= 2;
    }

    /// The rows in order of time, and how many samples stand behind two of them.
    pub(crate) fn finish(self) -> (Vec<Row>, u64) {
        let mut rows: Vec<Row> = self.alarms;
        for stretch in &self.stretches {
            rows.push(stretch.low);
            rows.push(stretch.high);
        }
        rows.sort_by_key(|row| row.time_ns);
        rows.dedup_by(|a, b| a.time_ns == b.time_ns);
        (rows, self.stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(i: i64, value: f64) -> Row {
        Row {
            time_ns: i,
            value,
            lower: f64::NAN,
            upper: f64::NAN,
            in_alarm: false,
        }
    }

    #[test]
    fn short_series_are_kept_whole() {
        let mut thin = Thin::new(100);
        (0..100).for_each(|i| thin.push(row(i, i as f64)));
        let (rows, stride) = thin.finish();
        assert_eq!((rows.len(), stride), (100, 1));
    }

    #[test]
    fn extremes_and_alarms_survive_and_memory_is_bounded() {
        let mut thin = Thin::new(100);
        for i in 0..100_000 {
            let value = if i == 7_777 { 99.0 } else { (i % 10) as f64 };
            thin.push(Row {
                in_alarm: (50_000..50_030).contains(&i),
                ..row(i, value)
            });
        }
        thin.push(row(100_001, f64::NAN));
        let (rows, stride) = thin.finish();
        assert!(
            rows.len() <= 250 && stride >= 1000,
            "{} {stride}",
            rows.len()
        );
        assert!(rows.iter().any(|r| r.value > 98.0));
        assert_eq!(
            rows.iter()
                .filter(|r| (50_000..50_030).contains(&r.time_ns))
                .count(),
            30
        );
        assert!(rows.is_sorted_by(|a, b| a.time_ns < b.time_ns));
    }
}
