//! Faults that end, and those that stay: what the band and the alarms do afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{DAY, HOUR, MINUTE, Noise, START, Series, alarms, coverage, daily};
use proptest::prelude::*;
use weir_detect::{Direction, Kind, Settings, State, Verdict, utc_seconds};

/// What a fault adds, from noise.
type Fault = fn(f64) -> f64;

fn usual(noise: &mut Noise) -> impl FnMut(i64) -> f64 + '_ {
    |t| 100.0 + 30.0 * daily(t) + 2.0 * noise.normal()
}

fn width(verdicts: &[Verdict]) -> f64 {
    let sum: f64 = verdicts.iter().map(|v| v.upper - v.lower).sum();
    sum / verdicts.len() as f64
}

#[test]
fn a_permanent_step_is_absorbed_within_three_hours_and_the_band_is_right_within_twelve() {
    for (seed, step) in [(1, 25.0), (2, -25.0), (3, 60.0), (4, 200.0), (5, 14.0)] {
        let mut noise = Noise::new(seed);
        let mut series = Series::new(Settings::default());
        let from = START + 10 * DAY + 7 * HOUR;
        series.feed((START, from, MINUTE), usual(&mut noise));
        let mut stepped = |t: i64| step + usual(&mut noise)(t);
        let first = series.feed((from, from + 3 * HOUR + 5 * MINUTE, MINUTE), &mut stepped);
        assert!(alarms(&first) > 0, "{step}");
        assert!(!series.state.in_alarm(), "{step}: not absorbed");
        let next = from + 3 * HOUR + 5 * MINUTE;
        let rest = series.feed((next, from + 12 * HOUR, MINUTE), &mut stepped);
        let later = series.feed((from + 12 * HOUR, from + 36 * HOUR, MINUTE), &mut stepped);
        assert!(coverage(&later) > 0.93, "{step}: {}", coverage(&later));
        let again = alarms(&rest) + alarms(&later);
        assert!(again <= 1, "{step}: {again} further alarms");
    }
}

#[test]
fn the_band_is_narrow_again_half_a_day_after_a_fault_and_on_the_days_after() {
    let faults: [(&str, i64, Fault); 5] = [
        ("spike", 10 * MINUTE, |_| 80.0),
        ("dip", 40 * MINUTE, |_| -40.0),
        ("shift", 2 * HOUR, |_| 25.0),
        ("large shift", 2 * HOUR, |_| 100.0),
        ("burst", 2 * HOUR, |noise| 14.0 * noise),
    ];
    for (name, length, fault) in faults {
        let mut noise = Noise::new(3);
        let mut series = Series::new(Settings::default());
        let from = START + 14 * DAY + 9 * HOUR;
        let before = series.feed((START, from, MINUTE), usual(&mut noise));
        let before = width(&before[before.len() - 1440..]);
        let mut other = Noise::new(9);
        series.feed((from, from + length, MINUTE), |t| {
            usual(&mut noise)(t) + fault(other.normal())
        });
        let end = from + length;
        series.feed((end, end + 12 * HOUR, MINUTE), usual(&mut noise));
        let evening = series.feed(
            (end + 12 * HOUR, end + 15 * HOUR, MINUTE),
            usual(&mut noise),
        );
        series.feed((end + 15 * HOUR, from + DAY, MINUTE), usual(&mut noise));
        // the time of day at which the fault was
        let day_after = series.feed((from + DAY, end + DAY, MINUTE), usual(&mut noise));
        let (evening, day_after) = (width(&evening) / before, width(&day_after) / before);
        assert!(evening < 1.5, "{name}: {evening} times as wide after 12 h");
        assert!(
            day_after < 2.5,
            "{name}: {day_after} times as wide the day after"
        );
    }
}

#[test]
fn noise_that_grew_is_a_burst_although_hardly_a_sample_is_far_outside() {
    let mut noise = Noise::new(6);
    let mut series = Series::new(Settings::default());
    let from = START + 10 * DAY;
    series.feed((START, from, MINUTE), usual(&mut noise));
    let mut other = Noise::new(7);
    let burst = series.feed((from, from + HOUR, MINUTE), |t| {
        usual(&mut noise)(t) + 6.0 * other.normal()
    });
    assert!(
        burst
            .iter()
            .any(|v| v.in_alarm && v.kind == Some(Kind::Burst))
    );
    // and noise that stays so is the new normal: after a night there is no alarm, and a right band
    let mut louder = |t: i64| usual(&mut noise)(t) + 6.0 * other.normal();
    series.feed((from + HOUR, from + 12 * HOUR, MINUTE), &mut louder);
    let later = series.feed((from + 12 * HOUR, from + 36 * HOUR, MINUTE), &mut louder);
    assert!(alarms(&later) <= 2, "{}", alarms(&later));
    assert!(coverage(&later) > 0.98, "{}", coverage(&later));
}

#[test]
fn grown_noise_keeps_to_the_settings_of_direction_and_least_width() {
    let alarms_with = |settings: Settings, fault: Fault| {
        let mut noise = Noise::new(13);
        let mut series = Series::new(settings);
        let from = START + 10 * DAY;
        series.feed((START, from, MINUTE), usual(&mut noise));
        let mut other = Noise::new(7);
        let mut value = |t: i64| usual(&mut noise)(t) + fault(other.normal());
        alarms(&series.feed((from, from + HOUR, MINUTE), &mut value))
    };
    let (dip, burst): (Fault, Fault) = (|_| -25.0, |noise| 8.0 * noise);
    let above = || Settings {
        direction: Direction::Above,
        ..Settings::default()
    };
    let wide = || Settings {
        min_half_width: 60.0,
        ..Settings::default()
    };
    assert!(alarms_with(Settings::default(), dip) > 0);
    assert_eq!(alarms_with(above(), dip), 0, "nothing was above");
    assert!(alarms_with(Settings::default(), burst) > 0);
    assert_eq!(alarms_with(wide(), burst), 0, "within the least width");
}

#[test]
fn the_same_fault_every_day_is_expected_on_the_fourth_day() {
    for (seed, height) in [(10, 30.0), (11, 60.0), (12, -30.0)] {
        let mut noise = Noise::new(seed);
        let mut series = Series::new(Settings::default());
        let mut value = |t: i64| {
            let at = t.rem_euclid(DAY);
            let job = (2 * HOUR..2 * HOUR + 5 * MINUTE).contains(&at) && t >= START + 5 * DAY;
            100.0 + if job { height } else { 0.0 } + 2.0 * noise.normal()
        };
        series.feed((START, START + 5 * DAY, MINUTE), &mut value);
        let day = |number: i64| START + (4 + number) * DAY;
        let per_day: Vec<usize> = (1..9)
            .map(|number| alarms(&series.feed((day(number), day(number + 1), MINUTE), &mut value)))
            .collect();
        assert!(per_day[0] >= 1, "{height}: {per_day:?}");
        assert_eq!(per_day[3..], [0; 5], "{height}: {per_day:?}");
    }
}

#[test]
fn one_strange_night_leaves_no_tower_in_the_next_band() {
    let mut noise = Noise::new(20);
    let mut series = Series::new(Settings::default());
    let night = START + 10 * DAY + 2 * HOUR;
    series.feed((START, night, MINUTE), usual(&mut noise));
    series.feed((night, night + 5 * MINUTE, MINUTE), |_| 400.0);
    let after = night + 5 * MINUTE;
    let day = series.feed((after, after + 2 * DAY, MINUTE), usual(&mut noise));
    let narrow = width(&day[4 * 60..8 * 60]);
    let widest = day[4 * 60..]
        .iter()
        .map(|v| v.upper - v.lower)
        .fold(0.0, f64::max);
    assert!(widest < 2.5 * narrow, "{widest} {narrow}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Between the two forecasts nearer to one is farther from the other; beyond both it holds.
    #[test]
    fn the_score_grows_with_the_distance_from_the_farther_forecast(
        seed in any::<u64>(),
        days in 1_i64..12,
        late in 0_i64..1440,
        odd in prop::bool::ANY,
    ) {
        let mut noise = Noise::new(seed);
        let mut state = State::new();
        let settings = Settings::default();
        let end = START + days * DAY + late * MINUTE;
        for t in (START..end).step_by(300) {
            let far = if odd && (t / HOUR) % 29 == 0 { 40.0 } else { 0.0 };
            let value = far + usual(&mut noise)(t);
            state.observe(&settings, t * 1_000_000_000, t, value, true);
        }
        let time = state.last_time_ns().unwrap() + 300_000_000_000;
        let judge = |value: f64| state.clone().observe(&settings, time, utc_seconds(time), value, true);
        let learned = state.learned();
        // both forecasts lie in here: the centre is one of them, the other is the level with its
        // season or the recent past
        let centre = judge(100.0).center;
        let reach = 60.0 + (centre - learned.level).abs();
        let (low, high) = (centre.min(learned.level) - reach, centre.max(learned.level) + reach);
        for (from, side) in [(high, 1.0), (low, -1.0)] {
            let mut last = judge(from);
            for step in 1..200 {
                let next = judge(from + side * f64::from(step));
                prop_assert!(next.score >= last.score, "{last:?} {next:?}");
                last = next;
            }
        }
    }
}
