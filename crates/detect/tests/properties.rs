//! What must hold for every series, however odd.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{DAY, HOUR, MINUTE, Noise, START, daily};
use proptest::prelude::*;
use weir_detect::{Direction, Outside, Seasonality, Settings, State, Verdict, WarmUp, utc_seconds};

fn odd_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -1e6..1e6_f64,
        2 => Just(0.0),
        1 => any::<f64>(),
        1 => prop::sample::select(vec![
            f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e308, -1e308, 1e290, -1e290, 1e-300,
            5e-324, -5e-324, -0.0, 1e15,
        ]),
    ]
}

/// Steps in ns between samples, mostly a minute.
fn odd_step() -> impl Strategy<Value = i64> {
    prop_oneof![
        12 => Just(60_000_000_000_i64),
        2 => 1_i64..100_000_000_000,
        1 => Just(0_i64),
        1 => -100_000_000_000_i64..0,
        1 => Just(7 * 3_600_000_000_000),
        1 => any::<i64>(),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    (
        0.5..6.0_f64,
        prop::sample::select(vec![Direction::Both, Direction::Above, Direction::Below]),
        prop::sample::select(vec![
            Seasonality::Auto,
            Seasonality::None,
            Seasonality::Daily,
            Seasonality::Weekly,
        ]),
        prop::option::of(-10.0..0.0_f64),
        prop::option::of(1.0..100.0_f64),
        prop::sample::select(vec![WarmUp::Alarm, WarmUp::Silent]),
    )
        .prop_map(
            |(stddevs, direction, seasonality, min, max, warm_up)| Settings {
                stddevs,
                direction,
                seasonality,
                min,
                max,
                warm_up,
                ..Settings::default()
            },
        )
}

fn check(v: &Verdict) {
    assert!((0.0..=1.0).contains(&v.score), "{v:?}");
    assert!(
        v.lower.is_finite() && v.upper.is_finite() && v.center.is_finite(),
        "{v:?}"
    );
    assert!(v.lower <= v.upper, "{v:?}");
    assert!(!(v.alarm_started && v.alarm_ended), "{v:?}");
    assert!(!v.alarm_started || v.in_alarm, "{v:?}");
    assert!(!v.alarm_ended || !v.in_alarm, "{v:?}");
    assert!(!v.in_alarm || !v.judged || v.kind.is_some(), "{v:?}");
    if v.outside == Outside::Above {
        assert!(v.judged && v.value > v.upper, "{v:?}");
    }
    if v.outside == Outside::Below {
        assert!(v.judged && v.value < v.lower, "{v:?}");
    }
}

fn same(a: &Verdict, b: &Verdict) {
    // values that are not a number differ from themselves
    assert_eq!(format!("{a:?}"), format!("{b:?}"));
}

/// Days of a plausible series with odd stretches, as (time, value, learn).
fn long_series(seed: u64, days: i64, step: i64) -> Vec<(i64, f64, bool)> {
    let mut noise = Noise::new(seed);
    let height = 10.0_f64.powf(noise.uniform() * 12.0 - 4.0);
    (START..START + days * DAY)
        .step_by(step as usize)
        .map(|t| {
            let u = noise.uniform();
            let normal = height * (3.0 + daily(t) + 0.1 * noise.normal());
            let value = match u {
                u if u < 0.002 => f64::NAN,
                u if u < 0.004 => normal * 5.0,
                u if u < 0.005 => f64::INFINITY,
                _ if (t / HOUR) % 97 == 0 => 3.0 * height,
                _ if (t / HOUR) % 131 == 0 => normal + 2.0 * height,
                _ => normal,
            };
            (t * 1_000_000_000, value, (t / HOUR) % 53 != 0)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_values_and_times_give_finite_ordered_bands(
        settings in settings(),
        steps in prop::collection::vec((odd_step(), odd_value(), any::<bool>()), 1..400),
        start in any::<i64>(),
    ) {
        let mut state = State::new();
        let mut time = start;
        for (step, value, learn) in steps {
            time = time.wrapping_add(step);
            check(&state.observe(&settings, time, utc_seconds(time), value, learn || step > 0));
            check(&state.observe(&settings, time.wrapping_add(1), time, value, learn));
        }
    }

    #[test]
    fn any_bytes_decode_to_an_error_or_to_a_state_that_works(
        seed in any::<u64>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut state = State::new();
        let settings = Settings::default();
        let series = long_series(seed, 3, 10 * MINUTE);
        for (time, value, learn) in &series {
            state.observe(&settings, *time, utc_seconds(*time), *value, *learn);
        }
        let mut bytes = Vec::new();
        state.encode(&mut bytes);
        prop_assert!(State::decode(&bytes[..cut.index(bytes.len())]).is_err(), "cut off");
        for (index, byte) in flips {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok((mut state, rest)) = State::decode(&bytes) {
            prop_assert!(rest.len() < bytes.len());
            for (time, value, learn) in series.iter().skip(200) {
                let time = time.wrapping_add(3 * DAY * 1_000_000_000);
                check(&state.observe(&settings, time, utc_seconds(time), *value, *learn));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_restart_changes_nothing(settings in settings(), seed in any::<u64>(), cut in 1..3000_usize) {
        let series = long_series(seed, 12, 5 * MINUTE);
        let (mut whole, mut state) = (State::new(), State::new());
        for (i, (time, value, learn)) in series.iter().enumerate() {
            if i == cut {
                let mut bytes = vec![7];
                state.encode(&mut bytes);
                bytes.push(9);
                let (read, rest) = State::decode(&bytes[1..]).unwrap();
                prop_assert_eq!(rest, &[9]);
                prop_assert!(bytes.len() <= 1500, "{} bytes", bytes.len());
                state = read;
            }
            let local = utc_seconds(*time);
            let expected = whole.observe(&settings, *time, local, *value, *learn);
            check(&expected);
            same(&state.observe(&settings, *time, local, *value, *learn), &expected);
        }
    }

    #[test]
    fn the_score_grows_with_the_distance(seed in any::<u64>(), days in 1_i64..11) {
        let settings = Settings::default();
        let mut state = State::new();
        for (time, value, learn) in long_series(seed, days, 5 * MINUTE) {
            state.observe(&settings, time, utc_seconds(time), value, learn);
        }
        let time = state.last_time_ns().unwrap() + 300_000_000_000;
        let judge = |value: f64| {
            state.clone().observe(&settings, time, utc_seconds(time), value, true)
        };
        let band = judge(0.123_456);
        prop_assume!(band.judged);
        // beyond both forecasts, which lie within a few band widths of each other
        let width = (band.upper - band.lower).max(1e-9);
        for side in [1.0, -1.0] {
            let mut last = judge(band.center + side * 20.0 * width);
            for step in 21..60 {
                let next = judge(band.center + side * f64::from(step) * width);
                prop_assert!(next.score >= last.score, "{last:?} {next:?}");
                last = next;
            }
        }
    }
}

#[test]
fn late_and_duplicate_samples_change_nothing() {
    let settings = Settings::default();
    let series = long_series(77, 6, 5 * MINUTE);
    let (mut clean, mut noisy) = (State::new(), State::new());
    for (i, (time, value, learn)) in series.iter().enumerate() {
        let local = utc_seconds(*time);
        let expected = clean.observe(&settings, *time, local, *value, *learn);
        same(
            &noisy.observe(&settings, *time, local, *value, *learn),
            &expected,
        );
        if value.is_finite() && i > 10 {
            for late in [0, 1, 7_200_000_000_000] {
                let v = noisy.observe(&settings, time - late, local, 1e9, true);
                assert!(!v.judged);
            }
        }
    }
}

#[test]
fn values_that_are_not_numbers_change_nothing() {
    let settings = Settings::default();
    let (mut clean, mut holed) = (State::new(), State::new());
    for (time, value, learn) in long_series(78, 6, 5 * MINUTE) {
        let local = utc_seconds(time);
        if !value.is_finite() {
            assert!(!holed.observe(&settings, time, local, value, learn).judged);
            continue;
        }
        let expected = clean.observe(&settings, time, local, value, learn);
        same(
            &holed.observe(&settings, time, local, value, learn),
            &expected,
        );
    }
}

#[test]
fn snapshots_of_another_version_are_named() {
    let mut bytes = Vec::new();
    State::new().encode(&mut bytes);
    bytes[0] = 200;
    let error = State::decode(&bytes).unwrap_err().to_string();
    assert!(error.contains("version 200"), "{error}");
    assert!(
        State::decode(&[])
            .unwrap_err()
            .to_string()
            .contains("cut off")
    );
}
