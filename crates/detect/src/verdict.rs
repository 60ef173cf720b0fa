//! The answer to one sample.

/// Where a judged value lies relative to the band.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outside {
    /// Inside the band, not judged, or on a side that `direction` ignores.
    #[default]
    Inside,
    /// Above the upper edge.
    Above,
    /// Below the lower edge.
    Below,
}

impl Outside {
    /// The word used in tags: `above`, `below` or `inside`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inside => "inside",
            Self::Above => "above",
            Self::Below => "below",
        }
    }
}

/// The shape of the anomaly an alarm stands for, as far as the samples so far show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One or a few far samples.
    Spike,
    /// The series moved to another level, or left its season.
    Shift,
    /// Samples far out on both sides: the variance grew.
    Burst,
    /// The same value again and again, from a series that used to move.
    Flat,
    /// The level moved away too slowly for the other tests.
    Drift,
}

impl Kind {
    /// The word used in tags.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spike => "spike",
            Self::Shift => "shift",
            Self::Burst => "burst",
            Self::Flat => "flat",
            Self::Drift => "drift",
        }
    }
}

/// How much the detector knows about the series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ready {
    /// Fewer than 40 samples: no band yet.
    #[default]
    Learning,
    /// Bands from the recent past only.
    Fast,
    /// Bands from level and season as well (after two days).
    Seasonal,
    /// The hour-of-week correction takes part (from the second week).
    Weekly,
}

impl Ready {
    /// The word used in tags.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Learning => "learning",
            Self::Fast => "fast",
            Self::Seasonal => "seasonal",
            Self::Weekly => "weekly",
        }
    }
}

/// What [`crate::State::observe`] says about one sample. `lower <= center <= upper` whenever
/// `judged`, up to the clamps `min` and `max`, and all numbers are finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// The value that was looked at.
    pub value: f64,
    /// False for a value that is not a number, late or duplicate, first after a long gap, or seen
    /// before the detector is ready; every field below but `ready` and `in_alarm` is then neutral.
    pub judged: bool,
    /// What the detector knows.
    pub ready: Ready,
    /// 0..1; 0.5 is the distance at which a sample alone starts an alarm, and the least in one.
    /// Grows with the distance from the forecasts on either side (a flat run scores at least 0.5).
    pub score: f64,
    /// Lower edge of the band at the configured number of standard deviations.
    pub lower: f64,
    /// Upper edge of the band.
    pub upper: f64,
    /// The forecast the band is built on.
    pub center: f64,
    /// Outside the band on a side that counts.
    pub outside: Outside,
    /// An alarm is on after this sample.
    pub in_alarm: bool,
    /// The alarm began with this sample.
    pub alarm_started: bool,
    /// The alarm ended with this sample.
    pub alarm_ended: bool,
    /// The shape, while an alarm is on or ends.
    pub kind: Option<Kind>,
}

impl Verdict {
    /// The answer to a sample that was not judged.
    pub(crate) fn unjudged(value: f64, ready: Ready, in_alarm: bool) -> Self {
        Self {
            value,
            judged: false,
            ready,
            score: 0.0,
            lower: 0.0,
            upper: 0.0,
            center: 0.0,
            outside: Outside::Inside,
            in_alarm,
            alarm_started: false,
            alarm_ended: false,
            kind: None,
        }
    }
}
