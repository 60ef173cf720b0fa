//! Axes for plots: from numbers and times to places, and round numbers for the ticks.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::moment::SECOND;
use crate::thin::Row;

/// Room above and below the values, as a share of their span.
const PADDING: f64 = 0.08;
/// The band is shown as far as this share of the span of the values beyond them.
const BAND_ROOM: f64 = 0.5;

/// A stretch of numbers on a stretch of places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// Where `from` and `to` go.
    pub(crate) place: (f64, f64),
}

impl Scale {
    pub(crate) fn at(&self, value: f64) -> f64 {
        let share = (value - self.from) / (self.to - self.from);
        self.place.0 + (self.place.1 - self.place.0) * share
    }

    /// At most `count` round numbers on the scale.
    pub(crate) fn ticks(&self, count: usize) -> Vec<f64> {
        let span = self.to - self.from;
        let rough = span / count.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power);
        let step = step
            .into_iter()
            .find(|s| *s >= rough * (1.0 - 1e-9))
            .unwrap_or(rough);
        if !step.is_finite() || step <= 0.0 {
            return Vec::new();
        }
        let first = (self.from / step).ceil();
        // the count is bounded whatever rounding does
        let numbers = (0..=count as u32).map(|i| (first + f64::from(i)) * step);
        numbers.filter(|v| *v <= self.to + step * 1e-9).collect()
    }
}

/// The span of values to show: all values, and the band as far as it does not dwarf them.
pub(crate) fn value_range(rows: &[Row], limits: &[f64]) -> (f64, f64) {
    let bounds = |values: &mut dyn Iterator<Item = f64>| {
        let finite = values.filter(|v| v.is_finite());
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| {
            (a.min(v), b.max(v))
        })
    };
    let (low, high) = bounds(&mut rows.iter().map(|r| r.value));
    if low > high {
        return (0.0, 1.0);
    }
    let room = (high - low) * BAND_ROOM;
    let near = |v: &f64| *v >= low - room && *v <= high + room;
    let edges = rows.iter().flat_map(|r| [r.lower, r.upper]);
    let shown = edges
        .chain(limits.iter().copied())
        .filter(near)
        .chain([low, high]);
    let (low, high) = bounds(&mut shown.into_iter());
    let padding = (high - low) * PADDING;
    if padding > 0.0 && padding.is_finite() {
        return (low - padding, high + padding);
    }
    // a constant
    let around = low.abs().max(1.0) * 0.1;
    (low - around, high + around)
}

/// A number in few characters: `1.2k`, `0.05`, `3.4e-7`.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    let (scaled, unit) = match size {
        s if s >= 1e15 || s > 0.0 && s < 1e-4 => return format!("{value:.2e}"),
        s if s >= 1e12 => (value / 1e12, "T"),
        s if s >= 1e9 => (value / 1e9, "G"),
        s if s >= 1e6 => (value / 1e6, "M"),
        s if s >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        s if s >= 100.0 => 0,
        s if s >= 10.0 => 1,
        s if s >= 1.0 => 2,
        _ => 4,
    };
    let text = format!("{scaled:.digits$}");
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text}{unit}")
}

/// Distances of time ticks, s.
const TIME_STEPS: [i64; 20] = [
    1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
    1_209_600, 2_592_000, 7_776_000, 15_552_000, 31_536_000,
];

/// At most `count` round times (UTC) between two, with what to write there.
pub(crate) fn time_ticks(from_ns: i64, to_ns: i64, count: usize) -> Vec<(i64, String)> {
    let (from, to) = (from_ns.div_euclid(SECOND), to_ns.div_euclid(SECOND));
    let span = to.saturating_sub(from);
    let most = i64::try_from(count.max(1)).unwrap_or(1);
    let Some(step) = TIME_STEPS.into_iter().find(|s| span / s <= most) else {
        return Vec::new();
    };
    let form = if step < 60 {
        "%H:%M:%S"
    } else if step < 43_200 && span < 2 * 86_400 {
        "%H:%M"
    } else if step < 86_400 {
        "%b %d %H:%M"
    } else if step < 2_592_000 {
        "%b %d"
    } else {
        "%Y-%m-%d"
    };
    let first = from.div_euclid(step) + i64::from(from.rem_euclid(step) > 0);
    let times = (0..=most)
        .map(|i| (first + i) * step)
        .take_while(|t| *t <= to);
    let written = |t: i64| {
        let time = Timestamp::from_second(t).ok()?.to_zoned(TimeZone::UTC);
        Some((t.checked_mul(SECOND)?, time.strftime(form).to_string()))
    };
    times.filter_map(written).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let scale = Scale {
            from: 0.3,
            to: 9.7,
            place: (100.0, 0.0),
        };
        assert_eq!(scale.ticks(5), [2.0, 4.0, 6.0, 8.0]);
        assert!((scale.at(5.0) - 50.0).abs() < 1e-9);
        let empty = Scale {
            from: 1.0,
            to: 1.0,
            place: (0.0, 1.0),
        };
        assert!(empty.ticks(5).len() <= 6);
        let hours = time_ticks(1_700_000_000 * SECOND, 1_700_020_000 * SECOND, 6);
        let texts: Vec<&str> = hours.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["23:00", "00:00", "01:00", "02:00", "03:00"]);
        assert!(time_ticks(i64::MIN, i64::MAX, 5).len() <= 6);
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (1234.0, "1234"),
            (12_345.0, "12.3k"),
            (0.05, "0.05"),
            (-2.5e9, "-2.5G"),
            (1e-7, "1.00e-7"),
            (100.0, "100"),
            (20.0, "20"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn a_wide_band_does_not_dwarf_the_values() {
        let row = |value: f64, edge: f64| Row {
            time_ns: 0,
            value,
            lower: -edge,
            upper: edge,
            in_alarm: false,
        };
        let (low, high) = value_range(&[row(1.0, 1e9), row(2.0, 2.2)], &[1e6]);
        assert!(low > 0.5 && high < 2.5, "{low} {high}");
        let (low, high) = value_range(&[row(5.0, f64::NAN)], &[]);
        assert!(low < 5.0 && high > 5.0);
        assert_eq!(value_range(&[], &[]), (0.0, 1.0));
    }
}
