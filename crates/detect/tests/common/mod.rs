//! Series made for the tests: seeded, no clock, no randomness from outside.
#![allow(dead_code, unreachable_pub)]

use weir_detect::{Settings, State, Verdict, utc_seconds};

pub const MINUTE: i64 = 60;
pub const HOUR: i64 = 3600;
pub const DAY: i64 = 86_400;
/// A Monday, 00:00 UTC.
pub const START: i64 = 1_740_960_000;

/// Normal noise from a 64-bit state (splitmix, Box-Muller).
#[derive(Clone)]
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn normal(&mut self) -> f64 {
        let u = self.uniform().max(1e-300);
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// Smooth curve over the day, -1..1.
pub fn daily(second: i64) -> f64 {
    (second.rem_euclid(DAY) as f64 / DAY as f64 * std::f64::consts::TAU).sin()
}

/// A state with its settings, fed by seconds.
pub struct Series {
    pub settings: Settings,
    pub state: State,
}

impl Series {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: State::new(),
        }
    }

    pub fn at(&mut self, second: i64, value: f64) -> Verdict {
        self.learn(second, value, true)
    }

    pub fn learn(&mut self, second: i64, value: f64, learn: bool) -> Verdict {
        let time_ns = second * 1_000_000_000;
        self.state
            .observe(&self.settings, time_ns, utc_seconds(time_ns), value, learn)
    }

    /// Feeds `from..to` every `step` seconds and returns the verdicts.
    pub fn feed(
        &mut self,
        (from, to, step): (i64, i64, i64),
        mut value: impl FnMut(i64) -> f64,
    ) -> Vec<Verdict> {
        (from..to)
            .step_by(step as usize)
            .map(|t| self.at(t, value(t)))
            .collect()
    }
}

pub fn alarms(verdicts: &[Verdict]) -> usize {
    verdicts.iter().filter(|v| v.alarm_started).count()
}

/// Share of judged samples inside the band.
pub fn coverage(verdicts: &[Verdict]) -> f64 {
    let judged = verdicts.iter().filter(|v| v.judged);
    let (inside, all) = judged.fold((0, 0), |(inside, all), v| {
        (
            inside + i32::from(v.value >= v.lower && v.value <= v.upper),
            all + 1,
        )
    });
    f64::from(inside) / f64::from(all.max(1))
}
