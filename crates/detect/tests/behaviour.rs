//! What a series with a known story must, and must not, lead to.
//!
//! The detector's design ends with a list of tests worth demanding; where each of them is:
//!
//! | demanded | test |
//! |---|---|
//! | reset storms | `a_storm_of_counter_resets_is_no_anomaly`; `rate::tests::resets_storms_and_gaps` |
//! | 6 h gap, then return at the same level | `a_gap_and_a_return_at_the_usual_level_raise_no_alarm` |
//! | interval 60 s to 10 s mid-way | `a_change_of_interval_raises_no_alarm` |
//! | constant series, then life | `a_constant_that_comes_to_life_is_learned_within_a_day` |
//! | values of 1e15 with small noise | `large_values_with_small_noise_keep_their_precision` |
//! | NaN, infinities | `properties::values_that_are_not_numbers_change_nothing`, `properties::any_values_and_times_give_finite_ordered_bands` |
//! | staleness | processor: `staleness_passes_on_to_the_companions_and_odd_points_pass_untouched` |
//! | out-of-order points | `properties::late_and_duplicate_samples_change_nothing` |
//! | daylight-saving change with `timezone` | `local_time_carries_the_season_over_a_clock_change`; processor: `with_a_timezone_the_day_keeps_its_shape_over_a_clock_change` |
//! | permanent step absorbed within 3 h, coverage above .93 within 12 h | `faults::a_permanent_step_is_absorbed_within_three_hours_and_the_band_is_right_within_twelve` |
//! | the same anomaly daily is expected by day 4 | `faults::the_same_fault_every_day_is_expected_on_the_fourth_day`, `a_daily_job_is_expected_by_its_fourth_day` |
//! | state size | bench `goals`, which `cargo test` runs; with the processor's part its bench `anomaly_bytes` |
//! | ns per sample | bench `goals` in an optimised build (`cargo bench -p weir-detect --bench goals`); not part of `cargo test`, where a time means nothing |
//! | score monotone in the distance | `properties::the_score_grows_with_the_distance`, `faults::the_score_grows_with_the_distance_from_the_farther_forecast` |
//! | no learning inside `exclude` | `nothing_is_learned_in_an_excluded_range`; processor: `nothing_is_learned_in_excluded_time` |
//! | band finite, lower <= upper | `properties::any_values_and_times_give_finite_ordered_bands` |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{DAY, HOUR, MINUTE, Noise, START, Series, alarms, coverage, daily};
use weir_detect::{Direction, Kind, Outside, Rate, Ready, Seasonality, Settings, Verdict, WarmUp};

/// Requests with a daily curve and noise of 2.
fn requests(noise: &mut Noise) -> impl FnMut(i64) -> f64 + '_ {
    |t| 100.0 + 30.0 * daily(t) + 2.0 * noise.normal()
}

/// A series after ten normal days, and the end of them.
fn settled(settings: Settings, noise: &mut Noise) -> (Series, i64) {
    let mut series = Series::new(settings);
    let end = START + 10 * DAY;
    series.feed((START, end, MINUTE), requests(noise));
    (series, end)
}

fn flagged(verdicts: &[Verdict], kind: Kind) -> bool {
    verdicts.iter().any(|v| v.in_alarm && v.kind == Some(kind))
}

#[test]
fn a_normal_series_raises_next_to_no_alarm_and_the_band_keeps_its_promise() {
    let mut noise = Noise::new(1);
    let mut series = Series::new(Settings::default());
    series.feed((START, START + 3 * DAY, MINUTE), requests(&mut noise));
    let rest = series.feed(
        (START + 3 * DAY, START + 17 * DAY, MINUTE),
        requests(&mut noise),
    );
    assert!(
        alarms(&rest) <= 1,
        "{} alarms in two quiet weeks",
        alarms(&rest)
    );
    let covered = coverage(&rest);
    assert!(
        (0.995..=0.9995).contains(&covered),
        "nominal 0.9973, found {covered}"
    );
    assert_eq!(rest.last().unwrap().ready, Ready::Weekly);
}

#[test]
fn two_deviations_cover_95_percent() {
    let mut noise = Noise::new(2);
    let (mut series, end) = settled(
        Settings {
            stddevs: 2.0,
            ..Settings::default()
        },
        &mut noise,
    );
    let covered = coverage(&series.feed((end, end + 4 * DAY, MINUTE), requests(&mut noise)));
    assert!(
        (0.945..=0.965).contains(&covered),
        "nominal 0.9545, found {covered}"
    );
}

#[test]
fn a_spike_is_tagged_at_once_and_over_soon() {
    let mut noise = Noise::new(3);
    let (mut series, end) = settled(Settings::default(), &mut noise);
    let usual = requests(&mut noise)(end);
    let spike = series.at(end, usual + 40.0);
    assert!(spike.alarm_started && spike.outside == Outside::Above && spike.score > 0.5);
    assert_eq!(spike.kind, Some(Kind::Spike));
    let after = series.feed(
        (end + MINUTE, end + 5 * MINUTE, MINUTE),
        requests(&mut noise),
    );
    assert!(after.iter().any(|v| v.alarm_ended) && !series.state.in_alarm());
}

#[test]
fn a_dip_is_below() {
    let mut noise = Noise::new(4);
    let (mut series, end) = settled(Settings::default(), &mut noise);
    let dip = series.at(end, 40.0);
    assert!(dip.alarm_started && dip.outside == Outside::Below);
}

#[test]
fn a_permanent_step_is_a_shift_then_the_new_normal() {
    let mut noise = Noise::new(5);
    let (mut series, end) = settled(Settings::default(), &mut noise);
    let mut stepped = |t| requests(&mut noise)(t) + 25.0;
    let first = series.feed((end, end + HOUR, MINUTE), &mut stepped);
    assert!(flagged(&first, Kind::Shift), "kinds: {:?}", first.last());
    let until_absorbed = series.feed((end + HOUR, end + 4 * HOUR, MINUTE), &mut stepped);
    assert!(!series.state.in_alarm(), "{:?}", until_absorbed.last());
    series.feed((end + 4 * HOUR, end + 12 * HOUR, MINUTE), &mut stepped);
    let later = series.feed((end + 12 * HOUR, end + 36 * HOUR, MINUTE), &mut stepped);
    assert!(coverage(&later) > 0.93, "{}", coverage(&later));
    assert_eq!(alarms(&later), 0);
}

#[test]
fn a_shift_of_a_young_series_is_no_burst() {
    let mut series = Series::new(Settings::default());
    let noise = |i: i64| ((i * 7919) % 13) as f64 / 13.0 - 0.5;
    let mut kinds = Vec::new();
    for i in 0..130 {
        let level = if i >= 100 { 90.0 } else { 50.0 };
        let verdict = series.at(START + i * 15, level + noise(i));
        if i >= 106 {
            kinds.push(verdict.kind);
        }
    }
    assert!(kinds.iter().all(|k| *k == Some(Kind::Shift)), "{kinds:?}");
}

#[test]
fn growing_variance_is_a_burst() {
    let mut noise = Noise::new(6);
    let (mut series, end) = settled(Settings::default(), &mut noise);
    let burst = series.feed((end, end + 2 * HOUR, MINUTE), |t| {
        100.0 + 30.0 * daily(t) + 14.0 * noise.normal()
    });
    assert!(flagged(&burst, Kind::Burst));
}

#[test]
fn a_value_that_stands_still_is_flat() {
    let mut noise = Noise::new(7);
    let (mut series, end) = settled(Settings::default(), &mut noise);
    let stuck = 100.0 + 30.0 * daily(end);
    let flat = series.feed((end, end + HOUR, MINUTE), |_| stuck);
    assert!(flagged(&flat, Kind::Flat));
    let ended = series.feed((end + HOUR, end + 2 * HOUR, MINUTE), requests(&mut noise));
    assert!(ended.iter().any(|v| v.alarm_ended));
}

#[test]
fn a_slow_drift_is_found() {
    let mut noise = Noise::new(8);
    let mut series = Series::new(Settings::default());
    let end = START + 14 * DAY;
    series.feed((START, end, MINUTE), |_| 100.0 + 2.0 * noise.normal());
    let creep = series.feed((end, end + 20 * HOUR, MINUTE), |t| {
        100.0 + 2.0 * noise.normal() + 0.4 * (t - end) as f64 / HOUR as f64
    });
    assert!(flagged(&creep, Kind::Drift));
}

#[test]
fn a_missing_peak_is_found_by_the_season() {
    let mut noise = Noise::new(9);
    let (mut series, end) = settled(Settings::default(), &mut noise);
    // the morning rise does not come; within 30 s steps no sample jumps
    let flat_day = series.feed((end, end + 8 * HOUR, MINUTE), |_| {
        100.0 + 2.0 * noise.normal()
    });
    assert!(alarms(&flat_day) > 0);
    assert!(flat_day.iter().any(|v| v.outside == Outside::Below));
}

#[test]
fn a_daily_job_is_expected_by_its_fourth_day() {
    let mut noise = Noise::new(10);
    let mut series = Series::new(Settings::default());
    let job = |t: i64| (2 * HOUR..2 * HOUR + 5 * MINUTE).contains(&t.rem_euclid(DAY));
    let mut value = |t: i64| {
        let height = if job(t) && t >= START + 5 * DAY {
            30.0
        } else {
            0.0
        };
        100.0 + height + 2.0 * noise.normal()
    };
    series.feed((START, START + 5 * DAY, MINUTE), &mut value);
    let mut per_day = Vec::new();
    for day in 5..12 {
        let from = START + day * DAY;
        per_day.push(alarms(&series.feed((from, from + DAY, MINUTE), &mut value)));
    }
    assert!(per_day[0] >= 1, "{per_day:?}");
    assert_eq!(per_day[4..], [0, 0, 0], "{per_day:?}");
}

#[test]
fn a_gap_and_a_return_at_the_usual_level_raise_no_alarm() {
    let mut noise = Noise::new(11);
    let (mut series, end) = settled(Settings::default(), &mut noise);
    let back = end + 6 * HOUR;
    let after = series.feed((back, back + 6 * HOUR, MINUTE), requests(&mut noise));
    assert!(!after[0].judged, "the first sample after a long gap");
    assert!(after[1].judged);
    assert_eq!(alarms(&after), 0);
}

#[test]
fn a_change_of_interval_raises_no_alarm() {
    let mut noise = Noise::new(12);
    let (mut series, end) = settled(Settings::default(), &mut noise);
    let after = series.feed((end, end + 12 * HOUR, 10), requests(&mut noise));
    assert!(alarms(&after) <= 1, "{}", alarms(&after));
    assert!(coverage(&after) > 0.98, "{}", coverage(&after));
}

#[test]
fn a_constant_that_comes_to_life_is_learned_within_a_day() {
    let mut noise = Noise::new(13);
    let mut series = Series::new(Settings::default());
    let constant = series.feed((START, START + 7 * DAY, MINUTE), |_| 5.0);
    assert_eq!(alarms(&constant), 0, "a constant is no anomaly");
    let from = START + 7 * DAY;
    let waking = series.feed((from, from + DAY, MINUTE), |_| 5.0 + noise.normal());
    assert!(alarms(&waking) >= 1);
    let later = series.feed((from + DAY, from + 2 * DAY, MINUTE), |_| {
        5.0 + noise.normal()
    });
    assert!(coverage(&later) > 0.96, "{}", coverage(&later));
    assert!(alarms(&later) <= 1);
}

#[test]
fn large_values_with_small_noise_keep_their_precision() {
    let mut noise = Noise::new(14);
    let mut series = Series::new(Settings::default());
    let end = START + 5 * DAY;
    series.feed((START, end, MINUTE), |_| {
        1e15 + 8.0 * noise.normal().round()
    });
    let rest = series.feed((end, end + DAY, MINUTE), |_| {
        1e15 + 8.0 * noise.normal().round()
    });
    assert!(coverage(&rest) > 0.99 && alarms(&rest) <= 1);
    let width = rest[0].upper - rest[0].lower;
    assert!((30.0..120.0).contains(&width), "{width}");
    assert!(series.at(end + DAY, 1e15 + 160.0).alarm_started);
}

#[test]
fn rare_jumps_of_a_series_at_rest_do_not_cry_for_ever() {
    let mut noise = Noise::new(15);
    let mut series = Series::new(Settings::default());
    let mut errors = |_| {
        if noise.uniform() < 0.05 {
            noise.uniform() * 20.0
        } else {
            0.0
        }
    };
    series.feed((START, START + 2 * DAY, MINUTE), &mut errors);
    let week = series.feed((START + 2 * DAY, START + 9 * DAY, MINUTE), &mut errors);
    assert!(alarms(&week) <= 5, "{} alarms", alarms(&week));
    assert!(
        series.at(START + 9 * DAY, 500.0).alarm_started,
        "a far larger one still counts"
    );
}

#[test]
fn local_time_carries_the_season_over_a_clock_change() {
    // mean distance from the forecast over the ten hours after a clock change
    let run = |offset_after: i64| {
        let mut noise = Noise::new(16);
        let settings = Settings::default();
        let mut state = weir_detect::State::new();
        let change = START + 14 * DAY;
        let (mut far, mut count) = (0.0, 0.0);
        for t in (START..change + 12 * HOUR).step_by(60) {
            // people follow the wall clock, which jumps by an hour after 14 days
            let after = t >= change;
            let wall = t + if after { HOUR } else { 0 };
            let clock = t + if after { offset_after } else { 0 };
            let steep = 200.0 + 180.0 * daily(wall) + 2.0 * noise.normal();
            let v = state.observe(&settings, t * 1_000_000_000, clock, steep, true);
            if t >= change + 2 * HOUR {
                far += (v.value - v.center).abs();
                count += 1.0;
            }
        }
        far / count
    };
    let (zone, utc) = (run(HOUR), run(0));
    assert!(zone < 3.0, "with the zone: {zone}");
    assert!(
        utc > 1.05 * zone,
        "in UTC the season is an hour off: {utc} against {zone}"
    );
}

#[test]
fn nothing_is_learned_in_an_excluded_range() {
    let mut noise = Noise::new(17);
    let (mut series, end) = settled(Settings::default(), &mut noise);
    let mut excluded = series.state.clone();
    let mut quiet = requests(&mut noise);
    let far: Vec<_> = (end..end + 3 * HOUR)
        .step_by(60)
        .map(|t| {
            let settings = Settings::default();
            excluded.observe(&settings, t * 1_000_000_000, t, 1000.0, false)
        })
        .collect();
    assert!(
        far.iter().all(|v| v.outside == Outside::Above),
        "still judged"
    );
    series.state = excluded;
    let after = series.feed((end + 3 * HOUR, end + 9 * HOUR, MINUTE), &mut quiet);
    assert_eq!(alarms(&after), 0);
    assert!(
        coverage(&after) > 0.99,
        "the band did not move: {}",
        coverage(&after)
    );
    assert!(after.last().unwrap().upper < 200.0);
}

#[test]
fn direction_hides_the_other_side() {
    for (direction, above, below) in [
        (Direction::Both, true, true),
        (Direction::Above, true, false),
        (Direction::Below, false, true),
    ] {
        let mut noise = Noise::new(18);
        let settings = Settings {
            direction,
            ..Settings::default()
        };
        let (series, end) = settled(settings, &mut noise);
        for (value, expected) in [(180.0, above), (20.0, below)] {
            let mut fork = Series {
                settings: series.settings.clone(),
                state: series.state.clone(),
            };
            let v = fork.at(end, value);
            assert_eq!(v.alarm_started, expected, "{direction:?} {value}");
            assert_eq!(v.outside != Outside::Inside, expected);
            assert_eq!(v.score > 0.5, expected);
        }
    }
}

#[test]
fn clamps_and_least_widths_shape_the_band() {
    let mut noise = Noise::new(19);
    let settings = Settings {
        min: Some(0.0),
        max: Some(100.0),
        min_half_width: 10.0,
        ..Settings::default()
    };
    let mut series = Series::new(settings);
    let day = series.feed((START, START + DAY, MINUTE), |_| {
        (95.0 + noise.normal()).min(100.0)
    });
    for v in day.iter().filter(|v| v.judged) {
        assert!(
            v.upper <= 100.0 && v.lower >= 0.0 && v.center - v.lower >= 10.0 - 1e-9,
            "{v:?}"
        );
    }
    let mut noise = Noise::new(20);
    let settings = Settings {
        min_half_width_ratio: 0.5,
        ..Settings::default()
    };
    let (mut series, end) = settled(settings, &mut noise);
    assert!(
        !series.at(end, 140.0).alarm_started,
        "within half the level"
    );
}

#[test]
fn a_silent_warm_up_gives_bands_but_no_alarm() {
    let mut noise = Noise::new(21);
    let settings = Settings {
        warm_up: WarmUp::Silent,
        ..Settings::default()
    };
    let mut series = Series::new(settings);
    series.feed((START, START + DAY, MINUTE), requests(&mut noise));
    let spike = series.at(START + DAY, 1000.0);
    assert!(spike.judged && spike.outside == Outside::Above && !spike.in_alarm);
    assert_eq!(spike.ready, Ready::Fast);
}

#[test]
fn without_seasonality_the_state_stays_small() {
    let mut noise = Noise::new(22);
    let mut full = Series::new(Settings::default());
    assert!(
        full.state.size() <= 384,
        "short-lived: {}",
        full.state.size()
    );
    full.feed((START, START + 2 * HOUR, MINUTE), requests(&mut noise));
    assert!(full.state.size() <= 1300, "full: {}", full.state.size());
    let settings = Settings {
        seasonality: Seasonality::None,
        ..Settings::default()
    };
    let (none, _) = settled(settings, &mut noise);
    assert!(none.state.size() <= 384, "lite: {}", none.state.size());
}

#[test]
fn m_of_n_and_recovery_follow_the_settings() {
    let mut noise = Noise::new(23);
    let settings = Settings {
        alarm_m: 2,
        alarm_n: 2,
        recover_n: 5,
        single_sample: 50.0,
        ..Settings::default()
    };
    let (mut series, end) = settled(settings, &mut noise);
    let mut usual = requests(&mut noise);
    assert!(
        !series.at(end, usual(end) + 30.0).alarm_started,
        "one is not enough"
    );
    assert!(
        series.at(end + 60, usual(end) + 30.0).alarm_started,
        "two are"
    );
    let ends = (2..)
        .map(|i| series.at(end + i * 60, usual(end + i * 60)))
        .position(|v| v.alarm_ended);
    assert_eq!(ends, Some(4), "five samples inside");
}

#[test]
fn a_storm_of_counter_resets_is_no_anomaly() {
    let mut noise = Noise::new(24);
    let mut series = Series::new(Settings {
        min: Some(0.0),
        ..Settings::default()
    });
    let mut rate = Rate::new();
    let mut total = 0.0;
    let mut verdicts = Vec::new();
    for (i, t) in (START..START + 4 * DAY).step_by(60).enumerate() {
        total += 60.0 * (50.0 + 2.0 * noise.normal());
        let storm = t > START + 3 * DAY && t < START + 3 * DAY + HOUR;
        if i % 1000 == 999 || storm && i % 2 == 0 {
            total = 0.0;
        }
        if let Some(value) = rate.cumulative(0, t * 1_000_000_000, total) {
            verdicts.push(series.at(t, value));
        }
    }
    assert!(alarms(&verdicts) <= 1, "{}", alarms(&verdicts));
    assert!(verdicts.iter().all(|v| !v.judged || v.lower >= 0.0));
}
