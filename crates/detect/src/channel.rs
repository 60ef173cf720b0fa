//! The two forecasters: fast (recent past) and slow (level and season).

use crate::gain;
use crate::tails::{Both, TailPace, Tails};
use crate::watch::{Lasting, time_outside};

const HOUR_S: f64 = 3600.0;
const DAY_S: f64 = 86_400.0;
/// Mean absolute value of a normal distribution times this is its standard deviation.
const MEAN_ABS_TO_SIGMA: f64 = 1.2533;
/// Samples during which nothing is clipped: until the first judgement, so that an incident that
/// comes early is not learned as the normal state.
const YOUNG: u32 = 41;
/// The fast channel re-anchors after this long outside, s.
const FAST_ACCEPT_S: f64 = 2.0 * HOUR_S;
/// The slow channel re-anchors after this long outside, s.
const SLOW_ACCEPT_S: f64 = 2.75 * HOUR_S;
/// Series with few samples an hour need this many.
const SLOW_ACCEPT_INTERVALS: f64 = 3.5;
/// While a channel re-anchors its scale learns errors up to this many scales: the way to the new level
/// is not the noise there.
const ACCEPT_CLIP: f64 = 8.0;
/// In an alarm the noise of the hour learns errors up to this many scales.
const ALARM_NOISE: f64 = 3.5;
/// Time constants of level and slow level, s.
const LEVEL_TAU_S: f64 = 4.0 * HOUR_S;
const SLOW_LEVEL_TAU_S: f64 = 3.0 * DAY_S;

/// What one sample knows about time and trust, for learning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Elapsed time, s.
    pub(crate) dt: f64,
    /// Elapsed time limited to ten intervals, s.
    pub(crate) counted: f64,
    /// Estimated sampling interval, s.
    pub(crate) interval: f64,
    /// Age of the series, s.
    pub(crate) age: f64,
    /// Samples seen.
    pub(crate) seen: u32,
    /// An alarm is on.
    pub(crate) alarm: bool,
    /// Usual noise of this hour relative to the day.
    pub(crate) noise: f64,
    /// Widening of the band by recurring spikes.
    pub(crate) widening: Both,
    /// Least scale, so that nothing is divided by 0.
    pub(crate) floor: f64,
}

impl Moment {
    fn young(&self) -> bool {
        self.seen < YOUNG
    }

    /// Learning is slow while an alarm is on.
    fn damping(&self) -> f64 {
        if self.alarm && !self.young() {
            0.1
        } else {
            1.0
        }
    }

    /// What lies in an alarm counts little for the tails, and not at all for the band that is shown
    /// unless it has been outside for so long that it may be the new normal.
    fn tail_weight(&self, outside_s: f32) -> Both {
        let (deciding, shown) = match self.alarm {
            false => (1.0, 1.0),
            true if f64::from(outside_s) < FAST_ACCEPT_S => (0.25, 0.0),
            true => (0.25, 0.25),
        };
        Both { deciding, shown }
    }

    /// Gain of a mean over `tau` that starts as a plain mean over samples.
    fn gain_by_samples(&self, dt: f64, tau: f64) -> f64 {
        gain(dt, tau).max(1.0 / (f64::from(self.seen) + 1.0))
    }

    /// Gain of a mean over `tau` that starts as a plain mean over time.
    fn gain_by_age(&self, dt: f64, tau: f64) -> f64 {
        gain(dt, tau).max(gain(dt, self.age.max(dt)))
    }
}

/// A residual seen against the calibrated tails of its channel.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deviation {
    pub(crate) residual: f64,
    /// Residual in units of the scale.
    pub(crate) z: f64,
    /// Distances of the deciding edges from the forecast at k, 2 and 3 sigma, in units of the scale, on the
    /// residual's side.
    pub(crate) edge: f64,
    pub(crate) inner: f64,
    pub(crate) outer: f64,
    /// Current scale with the hour's noise factor, never 0.
    pub(crate) scale: f64,
}

/// Scale and tails common to both channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// Running mean of the absolute residual over the hour's noise factor.
    pub(crate) scale: f64,
    pub(crate) tails: Tails,
    /// Time spent outside, falling twice as fast inside, s.
    pub(crate) outside_s: f32,
}

impl Spread {
    fn new() -> Self {
        Self {
            scale: 0.0,
            tails: Tails::new(),
            outside_s: 0.0,
        }
    }

    /// Measures a residual; `stddevs` is the configured width.
    pub(crate) fn deviation(
        &self,
        residual: f64,
        noise: f64,
        floor: f64,
        stddevs: f64,
    ) -> Deviation {
        let scale = (self.scale * noise).max(floor);
        let side = self.tails.side(residual);
        Deviation {
            residual,
            z: (residual / scale).clamp(-1e9, 1e9),
            edge: side.decision_at(stddevs),
            inner: f64::from(side.inner),
            outer: f64::from(side.outer),
            scale,
        }
    }

    fn count_outside(&mut self, outside: bool, dt: f64) {
        self.outside_s = time_outside(self.outside_s, outside, dt);
    }

    fn learn_scale(&mut self, residual: f64, m: &Moment, tau: f64, accept: bool) {
        let error = residual.abs() / m.noise;
        let step = m.gain_by_samples(m.counted, tau);
        self.scale += if accept {
            step.max(0.02) * (error.min(ACCEPT_CLIP * self.scale + m.floor) - self.scale)
        } else {
            let clipped = if m.young() {
                error
            } else {
                error.min(6.0 * self.scale + m.floor)
            };
            step * m.damping() * (clipped - self.scale)
        };
    }
}

/// Last value, a mean over five samples, a mean over an hour; the best of them forecasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fast {
    pub(crate) trackers: [f64; 3],
    /// Running mean absolute error of each.
    pub(crate) errors: [f64; 3],
    /// Samples since the trackers were put on a value, saturating.
    pub(crate) since_anchor: u8,
    pub(crate) spread: Spread,
}

impl Fast {
    pub(crate) fn new(value: f64) -> Self {
        Self {
            trackers: [value; 3],
            errors: [1e300; 3],
            since_anchor: 0,
            spread: Spread::new(),
        }
    }

    /// Starts afresh from `value` after a gap.
    pub(crate) fn re_anchor(&mut self, value: f64) {
        self.trackers = [value; 3];
        self.since_anchor = 0;
        self.spread.outside_s = 0.0;
    }

    /// Moves along with the season, then forecasts with the tracker that did best lately.
    pub(crate) fn forecast(&mut self, seasonal_step: f64) -> f64 {
        for tracker in &mut self.trackers {
            *tracker += seasonal_step;
        }
        let [last, short, long] = self.trackers;
        let [last_error, short_error, long_error] = self.errors;
        let (best, error) = if short_error < last_error * 0.97 {
            (short, short_error)
        } else {
            (last, last_error)
        };
        if long_error < error * 0.97 {
            long
        } else {
            best
        }
    }

    fn taus(interval: f64) -> [f64; 3] {
        [0.0, 5.0 * interval, HOUR_S.max(20.0 * interval)]
    }

    /// Learns a value. `outside` = beyond the 3-sigma edge after widening, `noisier` = grown noise
    /// is the new normal.
    pub(crate) fn learn(
        &mut self,
        value: f64,
        d: &Deviation,
        outside: bool,
        noisier: bool,
        m: &Moment,
    ) {
        self.spread.count_outside(outside, m.counted);
        let scale = self.spread.scale;
        let error_gain = m.gain_by_samples(m.counted, (60.0 * m.interval).max(1800.0));
        for (error, tracker) in self.errors.iter_mut().zip(self.trackers) {
            let now = (value - tracker).abs();
            let now = if m.young() {
                now
            } else {
                now.min(6.0 * scale + m.floor)
            };
            *error = if m.seen < 2 {
                now
            } else {
                *error + error_gain * m.damping() * (now - *error)
            };
        }
        let accept = f64::from(self.spread.outside_s) > FAST_ACCEPT_S.max(20.0 * m.interval);
        let limit = 3.0 * MEAN_ABS_TO_SIGMA * scale.max(m.floor) * (d.outer / 3.0).max(1.0);
        self.since_anchor = self.since_anchor.saturating_add(1);
        let fresh = match self.since_anchor {
            n @ ..60 => 1.0 / (f64::from(n) + 1.0),
            _ => 0.0,
        };
        let hesitate = if outside && !m.alarm { 0.1 } else { 1.0 };
        for (tracker, tau) in self.trackers.iter_mut().zip(Self::taus(m.interval)) {
            let step = if tau == 0.0 {
                1.0
            } else {
                m.gain_by_samples(m.dt, tau).max(fresh)
            };
            let away = value - *tracker;
            *tracker += if accept {
                step.max(0.3) * away
            } else if m.young() {
                step * away
            } else {
                step * m.damping() * hesitate * away.clamp(-limit, limit)
            };
        }
        if accept && !outside {
            self.spread.outside_s = 0.0;
        }
        self.spread.learn_scale(
            d.residual,
            m,
            (6.0 * HOUR_S).max(200.0 * m.interval),
            accept || noisier,
        );
    }

    pub(crate) fn learn_tails(&mut self, d: &Deviation, m: &Moment) {
        let pace = TailPace {
            offset: 10.0,
            fastest: 0.2,
            slowest: 0.02,
            window_s: (10.0 * m.interval).max(600.0),
        };
        let weight = m.tail_weight(self.spread.outside_s);
        self.spread
            .tails
            .learn(d.z, m.widening, weight, m.counted, &pace);
    }
}

/// Level plus season, and the slow level the season is learned against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slow {
    pub(crate) level: f64,
    pub(crate) slow_level: f64,
    /// Seasonal value at the last sample.
    pub(crate) season: f64,
    pub(crate) spread: Spread,
}

impl Slow {
    pub(crate) fn new(value: f64) -> Self {
        Self {
            level: value,
            slow_level: value,
            season: 0.0,
            spread: Spread::new(),
        }
    }

    /// A distance that lasted is the new normal: the level follows until it is there.
    pub(crate) fn accepts(&self, interval: f64) -> bool {
        f64::from(self.spread.outside_s) > SLOW_ACCEPT_S.max(SLOW_ACCEPT_INTERVALS * interval)
    }

    /// Residual against the slow level, from which the season is learned, clipped at 6 scales.
    pub(crate) fn season_residual(
        &self,
        value: f64,
        season: f64,
        d: &Deviation,
        m: &Moment,
    ) -> f64 {
        let residual = value - self.slow_level - season;
        if m.young() {
            residual
        } else {
            residual.clamp(-6.0 * d.scale, 6.0 * d.scale)
        }
    }

    /// Absolute residual for the hour's noise factor, clipped at 6 scales, at fewer in an alarm.
    pub(crate) fn noise_residual(&self, d: &Deviation, m: &Moment) -> f64 {
        let most = if m.alarm { ALARM_NOISE } else { 6.0 };
        d.residual.abs().min(most * self.spread.scale + m.floor)
    }

    /// How much a sample counts for the season: less in an alarm, unless it has gone on for long.
    pub(crate) fn season_weight(&self, m: &Moment) -> f64 {
        if m.alarm && !m.young() && f64::from(self.spread.outside_s) < 12.0 * HOUR_S {
            0.3
        } else {
            1.0
        }
    }

    /// Learns a value. `severity` is the distance in half widths, after widening, 0 before the
    /// channel is ready.
    pub(crate) fn learn(
        &mut self,
        value: f64,
        d: &Deviation,
        severity: f64,
        lasting: &mut Lasting,
        m: &Moment,
    ) {
        self.spread.count_outside(severity > 1.0, m.counted);
        let accept = self.accepts(m.interval);
        if accept {
            lasting.accept();
        }
        let follow = accept || lasting.accepted();
        let limit = 4.0 * self.spread.scale.max(m.floor);
        let (step, away) = if accept {
            (gain(m.dt, HOUR_S), d.residual)
        } else if follow {
            (gain(m.dt, HOUR_S), d.residual.clamp(-limit, limit))
        } else {
            let step = m.gain_by_age(m.dt, LEVEL_TAU_S);
            if m.young() {
                (step, d.residual)
            } else {
                (step * m.damping(), d.residual.clamp(-limit, limit))
            }
        };
        self.level += step * away;
        let residual = value - self.slow_level - self.season;
        let limit = 6.0 * d.scale;
        let clipped = if m.young() {
            residual
        } else {
            residual.clamp(-limit, limit)
        };
        self.slow_level += m.gain_by_age(m.dt, SLOW_LEVEL_TAU_S) * clipped;
        if follow {
            self.slow_level += 0.2 * step * residual;
            lasting.follow(step * away);
            if severity < 0.5 {
                self.spread.outside_s = 0.0;
            }
        }
        self.spread.learn_scale(d.residual, m, 2.0 * DAY_S, accept);
        lasting.learn(d.residual, d.scale, m);
    }

    pub(crate) fn learn_tails(&mut self, d: &Deviation, m: &Moment) {
        let pace = TailPace {
            offset: 20.0,
            fastest: 0.1,
            slowest: 0.01,
            window_s: (10.0 * m.interval).max(HOUR_S),
        };
        let weight = m.tail_weight(self.spread.outside_s);
        self.spread
            .tails
            .learn(d.z, m.widening, weight, m.counted, &pace);
    }
}
