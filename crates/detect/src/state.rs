//! One series: what is known of it, and the answer to each of its samples.

use crate::alarm::{Alarm, Evidence, counts};
use crate::channel::{Deviation, Fast, Moment, Slow};
use crate::pace::{Arrival, Pace, Step};
use crate::season::{Calendar, Season, SeasonSample};
use crate::tails::Both;
use crate::view::{FAST_READY, LARGEST, SLOW_READY_S, View};
use crate::watch::{Flatline, Jumps, Lasting, Restless};
use crate::{Direction, Outside, Ready, Seasonality, Settings, Verdict, WarmUp};

/// Age from which the fast channel moves along with the season, s.
const SEASON_STEP_S: f64 = 1.1 * 86_400.0;
/// Age at which the seasonal arrays are made, s.
const SEASON_FROM_S: f64 = 3600.0;
/// The seasonal band is shown when it is at most this much wider than the fast one.
const PREFER_SLOW: f64 = 1.1;
/// Above this sampling interval recurring spikes are not looked for, s.
const RECURRENCE_MAX_INTERVAL_S: f64 = 600.0;

/// Least scale relative to the level: a few steps of the floating-point grid.
const LEAST_SCALE: f64 = 1e-15;
/// Scale relative to the level above which it is a scale and not rounding.
const KNOWN_SCALE: f64 = 1e-12;
/// Level below which the least scale shrinks no further.
const LEAST_LEVEL: f64 = 1e-9;

/// Everything the detector keeps about one series: about 320 bytes, and 840 more (boxed) once
/// the series is an hour old and `seasonality` is not `none`.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub(crate) pace: Pace,
    pub(crate) fast: Fast,
    pub(crate) slow: Slow,
    pub(crate) lasting: Lasting,
    pub(crate) restless: Restless,
    pub(crate) flat: Flatline,
    pub(crate) jumps: Jumps,
    pub(crate) alarm: Alarm,
    pub(crate) season: Option<Box<Season>>,
}

/// What is known of a series: an extract of its [`State`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learned {
    /// Which parts of the model take part.
    pub ready: Ready,
    /// Samples learned.
    pub samples: u32,
    /// Learned lifetime, s.
    pub age_s: f64,
    /// Usual time between samples, s.
    pub interval_s: f64,
    /// Level without the season.
    pub level: f64,
    /// Half width of the 3-sigma band round the fast forecast.
    pub fast_half_width: f64,
    /// The same round level and season.
    pub seasonal_half_width: f64,
    /// Difference between highest and lowest hour of the day.
    pub season_range: f64,
    /// Alarms lately, older ones counting less.
    pub recent_alarms: f64,
    /// An alarm is on.
    pub in_alarm: bool,
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// A series of which nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self {
            pace: Pace::new(),
            fast: Fast::new(0.0),
            slow: Slow::new(0.0),
            lasting: Lasting::new(),
            restless: Restless::new(),
            flat: Flatline::new(0.0),
            jumps: Jumps::new(),
            alarm: Alarm::new(),
            season: None,
        }
    }

    /// Takes one sample and judges it by what was known before.
    ///
    /// * `time_ns`: the sample's timestamp, ns since 1970 UTC; samples that are not newer than the
    ///   newest are neither judged nor learned (a clock set back is followed after 30 of them).
    /// * `local_time_s`: the same moment as seconds of local time since 1970 (UTC seconds plus the
    ///   zone's offset then): the clock of the seasons. See [`utc_seconds`].
    /// * `value`: anything; values that are not finite (or beyond 1e290) are skipped.
    /// * `learn`: false inside an excluded time range: the sample is judged, nothing is learned.
    ///
    /// Allocates once, when the series is an hour old. Never panics.
    pub fn observe(
        &mut self,
        settings: &Settings,
        time_ns: i64,
        local_time_s: i64,
        value: f64,
        learn: bool,
    ) -> Verdict {
        let at = Calendar::new(local_time_s);
        if value.is_nan() || value.abs() > LARGEST {
            return self.unjudged(value, at);
        }
        let step = match self.pace.arrive(time_ns, learn) {
            Arrival::InOrder(step) => step,
            Arrival::First => {
                if learn {
                    self.fast = Fast::new(value);
                    self.slow = Slow::new(value);
                    self.flat = Flatline::new(value);
                }
                return self.unjudged(value, at);
            }
            Arrival::Late => return self.unjudged(value, at),
        };
        self.make_season(settings, learn);
        let season = self.season_value(settings, at);
        let seasonal_step = if self.pace.age_s > SEASON_STEP_S {
            season - self.slow.season
        } else {
            0.0
        };
        let mut fast_forecast = self.fast.forecast(seasonal_step);
        if step.after_gap {
            self.fast.re_anchor(value);
            self.alarm.forget_recent();
            fast_forecast = value;
        }
        self.slow.season = season;
        let mut moment = self.moment(&step, at);
        let view = self.view(settings, &moment, value, fast_forecast);
        let jump = (value - self.flat.last).abs();
        let flat = self
            .flat
            .observe(value, self.pace.interval_s, self.pace.age_s, learn);
        let mut verdict = self.unjudged(value, at);
        if !step.after_gap {
            self.judge(settings, &view, &step, flat, learn, &mut verdict);
        }
        if learn {
            moment.alarm = self.alarm.on;
            self.jumps
                .learn(jump, moment.seen, moment.counted, moment.interval);
            self.learn(value, &view, &moment, at);
        }
        verdict
    }

    /// What is known of the series so far.
    #[must_use]
    pub fn ready(&self) -> Ready {
        if self.pace.seen <= FAST_READY {
            Ready::Learning
        } else if self.pace.age_s <= SLOW_READY_S {
            Ready::Fast
        } else {
            Ready::Seasonal
        }
    }

    /// Time of the newest sample, ns since 1970; `None` before the first.
    #[must_use]
    pub fn last_time_ns(&self) -> Option<i64> {
        (self.pace.seen > 0).then_some(self.pace.last_ns)
    }

    /// Whether an alarm is on.
    #[must_use]
    pub fn in_alarm(&self) -> bool {
        self.alarm.on
    }

    /// What the detector knows of the series, for people.
    #[must_use]
    pub fn learned(&self) -> Learned {
        let half = |spread: &crate::channel::Spread| {
            let tails = &spread.tails;
            spread.scale * f64::from(tails.above.shown + tails.below.shown) / 2.0
        };
        Learned {
            ready: self.ready(),
            samples: self.pace.seen,
            age_s: self.pace.age_s,
            interval_s: self.pace.interval_s,
            level: self.slow.level,
            fast_half_width: half(&self.fast.spread),
            seasonal_half_width: half(&self.slow.spread),
            season_range: self.season.as_ref().map_or(0.0, |s| s.range()),
            recent_alarms: f64::from(self.alarm.budget),
            in_alarm: self.alarm.on,
        }
    }

    /// Reads a word of every cache line of the state, and returns something made of them: who is
    /// about to observe samples of several series calls it for all of them first, so that their
    /// waits for main memory overlap.
    #[must_use]
    pub fn touch(&self) -> u64 {
        let fast = &self.fast;
        let (above, below) = (&fast.spread.tails.above, &self.slow.spread.tails.below);
        let numbers = [
            self.pace.age_s,
            fast.trackers[0],
            fast.errors[2],
            fast.spread.scale,
            self.slow.level,
            self.slow.spread.scale,
            self.flat.last,
            self.jumps.size,
            self.lasting.mean,
        ];
        let mut word = self.alarm.fast_bits;
        for number in numbers {
            word ^= number.to_bits();
        }
        word ^ u64::from(above.inner.to_bits() ^ below.inner.to_bits())
    }

    /// The same for the seasonal arrays, as far as the time of the last sample tells what is needed.
    #[must_use]
    pub fn touch_season(&self) -> u64 {
        self.season.as_ref().map_or(0, |season| season.touch())
    }

    /// Memory of this state, bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.season.as_ref().map_or(0, |_| size_of::<Season>())
    }

    fn unjudged(&self, value: f64, at: Calendar) -> Verdict {
        let mut ready = self.ready();
        if ready == Ready::Seasonal && self.season.as_ref().is_some_and(|s| s.knows_week(at)) {
            ready = Ready::Weekly;
        }
        Verdict::unjudged(value, ready, self.alarm.on)
    }

    /// Least scale, never 0.
    fn floor(&self) -> f64 {
        self.jumps
            .floor()
            .max(LEAST_SCALE * (self.slow.level.abs() + LEAST_LEVEL))
    }

    fn make_season(&mut self, settings: &Settings, learn: bool) {
        if settings.seasonality == Seasonality::None {
            self.season = None;
        } else if learn && self.season.is_none() && self.pace.age_s >= SEASON_FROM_S {
            self.season = Some(Box::new(Season::new()));
        }
    }

    fn season_value(&self, settings: &Settings, at: Calendar) -> f64 {
        self.season
            .as_ref()
            .map_or(0.0, |s| s.value(at, settings.seasonality))
    }

    fn moment(&mut self, step: &Step, at: Calendar) -> Moment {
        let mut noise = 1.0;
        let (mut deciding, mut shown) = (1.0, 1.0);
        if let Some(season) = &mut self.season {
            if self.slow.spread.scale > 0.0 {
                noise = season.noise_factor(at);
            }
            if self.pace.interval_s <= RECURRENCE_MAX_INTERVAL_S {
                season.recurrence.enter(at.second_of_day());
                deciding = f64::from(season.recurrence.widening);
                shown = f64::from(season.recurrence.shown);
            }
        }
        Moment {
            dt: step.dt,
            counted: step.counted,
            interval: self.pace.interval_s,
            age: self.pace.age_s,
            seen: self.pace.seen - 1,
            alarm: self.alarm.on,
            noise,
            widening: Both { deciding, shown },
            floor: self.floor(),
        }
    }
}

impl State {
    /// Fills in the judgement of a sample.
    fn judge(
        &mut self,
        settings: &Settings,
        view: &View,
        step: &Step,
        flat: bool,
        learn: bool,
        verdict: &mut Verdict,
    ) {
        if !view.fast_ready {
            return;
        }
        let by_slow = self.band(settings, view, verdict);
        let value = verdict.value;
        let side = |residual: f64| {
            if residual > 0.0 {
                Outside::Above
            } else {
                Outside::Below
            }
        };
        let counted = |d: &Deviation, severity: f64| {
            if counts(settings, side(d.residual)) {
                severity
            } else {
                0.0
            }
        };
        let fast = counted(&view.fast, view.severity(&view.fast, true));
        // no alarm about a level that is being accepted
        let slow_counts = view.slow_ready && !self.slow.accepts(self.pace.interval_s);
        let slow = counted(&view.slow, view.severity(&view.slow, slow_counts));
        let position = if value > verdict.upper {
            Outside::Above
        } else if value < verdict.lower {
            Outside::Below
        } else {
            Outside::Inside
        };
        if counts(settings, position) {
            verdict.outside = position;
        }
        let lasting = if view.slow_ready && counts(settings, side(self.lasting.mean)) {
            self.lasting.severity(view.slow.scale) * view.own_part(&view.slow)
        } else {
            0.0
        };
        // noise has no side
        let restless = match settings.direction {
            Direction::Both => view.restless * view.own_part(&view.fast),
            Direction::Above | Direction::Below => 0.0,
        };
        let evidence = Evidence {
            lasting,
            restless,
            fast,
            fast_inner: counted(&view.fast, view.inner_severity()),
            slow,
            flat,
            scale_known: view.fast.scale > KNOWN_SCALE * self.slow.level.abs().max(LEAST_LEVEL),
            above: if by_slow {
                view.slow.residual > 0.0
            } else {
                view.fast.residual > 0.0
            },
        };
        let may_start = settings.warm_up == WarmUp::Alarm || view.slow_ready;
        let outcome = self
            .alarm
            .decide(&evidence, settings, step.counted, may_start, learn);
        verdict.judged = true;
        verdict.score = outcome.score;
        verdict.in_alarm = self.alarm.on;
        verdict.alarm_started = outcome.started;
        verdict.alarm_ended = outcome.ended;
        verdict.kind = (self.alarm.on || outcome.ended).then_some(self.alarm.kind);
    }

    /// The band of the channel with the narrower 3-sigma width; true if that is the slow one.
    fn band(&self, settings: &Settings, view: &View, verdict: &mut Verdict) -> bool {
        let width = |tails: &crate::tails::Tails, scale: f64| {
            scale * f64::from(tails.above.outer + tails.below.outer)
        };
        let (fast, slow) = (&self.fast.spread.tails, &self.slow.spread.tails);
        let by_slow = view.slow_ready
            && width(slow, view.slow.scale) < PREFER_SLOW * width(fast, view.fast.scale);
        let (center, scale, tails) = if by_slow {
            (view.slow_forecast, view.slow.scale, slow)
        } else {
            (view.fast_forecast, view.fast.scale, fast)
        };
        let stddevs = settings.stddevs.clamp(0.1, 100.0);
        let young = tails.young();
        let half = |edge: f64| (scale * edge * view.widening.shown).max(view.least);
        let (min, max) = settings.clamp_range();
        let clamp = |edge: f64| {
            let edge = if edge < min { min } else { edge };
            if edge > max { max } else { edge }
        };
        verdict.center = center;
        verdict.upper = clamp(center + half(tails.above.shown_at(stddevs, young)));
        verdict.lower = clamp(center - half(tails.below.shown_at(stddevs, young)));
        by_slow
    }

    fn learn(&mut self, value: f64, view: &View, m: &Moment, at: Calendar) {
        if let Some(season) = &mut self.season {
            let unwidened = view.fast_severity.max(view.slow_severity) * m.widening.deciding;
            season.recurrence.note(unwidened);
        }
        let sample = SeasonSample {
            residual: self
                .slow
                .season_residual(value, self.slow.season, &view.slow, m),
            absolute: self.slow.noise_residual(&view.slow, m),
            weight: self.slow.season_weight(m),
            scale: self.slow.spread.scale.max(m.floor),
            age_s: m.age,
        };
        self.fast.learn(
            value,
            &view.fast,
            view.fast_severity > 1.0,
            self.restless.accepted(),
            m,
        );
        self.slow
            .learn(value, &view.slow, view.slow_severity, &mut self.lasting, m);
        if let Some(season) = &mut self.season {
            season.learn(at, &sample);
        }
        if view.fast_ready {
            self.restless.learn(view.fast.z / m.widening.deciding, m);
            self.fast.learn_tails(&view.fast, m);
        }
        if view.slow_ready {
            self.slow.learn_tails(&view.slow, m);
        }
    }
}

/// UTC seconds of a timestamp in ns: `local_time_s` for series without a time zone.
#[must_use]
pub fn utc_seconds(time_ns: i64) -> i64 {
    time_ns.div_euclid(1_000_000_000)
}
