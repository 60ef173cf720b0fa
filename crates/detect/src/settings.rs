//! What a user may choose about the detector. One shipped default, meant to need no tuning.

/// Which side of the band counts as an anomaly. Both sides are always learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Values above and values below the band.
    #[default]
    Both,
    /// Only values above the band.
    Above,
    /// Only values below the band.
    Below,
}

/// Which repeating patterns the forecast may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seasonality {
    /// Daily and weekly patterns, each trusted as far as it has shown to lower the forecast error.
    #[default]
    Auto,
    /// No pattern: level, scale and tails only. Such a series costs less than 400 bytes.
    None,
    /// The pattern of the day only.
    Daily,
    /// The pattern of the day and the hour-of-week correction to it.
    Weekly,
}

/// What happens before the seasonal forecast is ready (two days).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WarmUp {
    /// Judge and alarm as soon as the fast channel is ready (40 samples).
    #[default]
    Alarm,
    /// Give bands, but start no alarm before the seasonal channel is ready.
    Silent,
}

/// Settings of the detector, shared by all series of one component.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Half width of the band in standard deviations of a normal distribution with the same tail
    /// probability (default 3: about 27 of 10,000 normal samples fall outside).
    pub stddevs: f64,
    /// Which side counts (default both).
    pub direction: Direction,
    /// Which patterns are used (default auto).
    pub seasonality: Seasonality,
    /// The band never reaches below this value (0 for counts and rates).
    pub min: Option<f64>,
    /// The band never reaches above this value (100 for a percentage).
    pub max: Option<f64>,
    /// Least distance between the centre and either edge of the band, in the metric's unit.
    pub min_half_width: f64,
    /// The same as a share of the absolute level (0.05 = 5 %).
    pub min_half_width_ratio: f64,
    /// An alarm starts when `alarm_m` of the last `alarm_n` samples are outside (default 4 of 6).
    pub alarm_m: u8,
    /// See `alarm_m`; at most 64.
    pub alarm_n: u8,
    /// An alarm ends after this many samples inside (default 3).
    pub recover_n: u8,
    /// A single sample this many half widths away starts an alarm by itself (default 1.9).
    pub single_sample: f64,
    /// See [`WarmUp`].
    pub warm_up: WarmUp,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            stddevs: 3.0,
            direction: Direction::Both,
            seasonality: Seasonality::Auto,
            min: None,
            max: None,
            min_half_width: 0.0,
            min_half_width_ratio: 0.0,
            alarm_m: 4,
            alarm_n: 6,
            recover_n: 3,
            single_sample: 1.9,
            warm_up: WarmUp::Alarm,
        }
    }
}

/// A setting that makes no sense; the text names the setting and the cure.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// `stddevs` outside 0.5..=20.
    #[error("stddevs is {0}: use a value from 0.5 to 20 (3 is the default)")]
    Stddevs(f64),
    /// `min` is not below `max`, or one is not a number.
    #[error("min is {min}, max is {max}: both must be numbers and min must be below max")]
    Clamp {
        /// The configured lower clamp.
        min: f64,
        /// The configured upper clamp.
        max: f64,
    },
    /// A minimum half width is negative or not finite.
    #[error("{name} is {value}: use 0 or a positive number")]
    HalfWidth {
        /// The setting's name.
        name: &'static str,
        /// The configured value.
        value: f64,
    },
    /// `alarm_m` of `alarm_n` cannot hold.
    #[error("alarm_m is {m}, alarm_n is {n}: use 1 <= alarm_m <= alarm_n <= 64")]
    Alarm {
        /// The configured count.
        m: u8,
        /// The configured window.
        n: u8,
    },
    /// `recover_n` is 0.
    #[error("recover_n is 0: an alarm needs at least one sample inside to end")]
    Recover,
    /// `single_sample` below 1.
    #[error("single_sample is {0}: use 1 or more (1.9 is the default)")]
    SingleSample(f64),
}

impl Settings {
    /// Checks every setting; the first one that makes no sense is returned.
    ///
    /// # Errors
    /// See [`SettingsError`]. [`crate::State::observe`] also accepts settings that were not
    /// checked: it never panics, but its bands are then of no use.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if !(0.5..=20.0).contains(&self.stddevs) {
            return Err(SettingsError::Stddevs(self.stddevs));
        }
        let (min, max) = self.clamp_range();
        if min.is_nan() || max.is_nan() || min >= max {
            return Err(SettingsError::Clamp { min, max });
        }
        for (name, value) in [
            ("min_half_width", self.min_half_width),
            ("min_half_width_ratio", self.min_half_width_ratio),
        ] {
            if !value.is_finite() || value < 0.0 {
                return Err(SettingsError::HalfWidth { name, value });
            }
        }
        let (m, n) = (self.alarm_m, self.alarm_n);
        if m == 0 || m > n || n > 64 {
            return Err(SettingsError::Alarm { m, n });
        }
        if self.recover_n == 0 {
            return Err(SettingsError::Recover);
        }
        if !self.single_sample.is_finite() || self.single_sample < 1.0 {
            return Err(SettingsError::SingleSample(self.single_sample));
        }
        Ok(())
    }

    /// The clamps, with infinities where none is set.
    pub(crate) fn clamp_range(&self) -> (f64, f64) {
        (
            self.min.unwrap_or(f64::NEG_INFINITY),
            self.max.unwrap_or(f64::INFINITY),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Settings::default().validate(), Ok(()));
    }

    #[test]
    fn each_bad_setting_is_named() {
        let bad = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.validate().map_err(|e| e.to_string())
        };
        let starts = |r: Result<(), String>, with: &str| {
            assert!(
                r.as_ref().is_err_and(|e| e.starts_with(with)),
                "{r:?} should start with {with}"
            );
        };
        starts(bad(|s| s.stddevs = f64::NAN), "stddevs is NaN");
        starts(bad(|s| s.stddevs = 0.0), "stddevs is 0");
        starts(
            bad(|s| (s.min, s.max) = (Some(1.0), Some(1.0))),
            "min is 1, max is 1",
        );
        starts(bad(|s| s.min = Some(f64::NAN)), "min is NaN");
        starts(bad(|s| s.min_half_width = -1.0), "min_half_width is -1");
        starts(
            bad(|s| s.min_half_width_ratio = f64::INFINITY),
            "min_half_width_ratio is inf",
        );
        starts(bad(|s| s.alarm_m = 7), "alarm_m is 7, alarm_n is 6");
        starts(bad(|s| s.alarm_m = 0), "alarm_m is 0");
        starts(bad(|s| s.alarm_n = 65), "alarm_m is 4, alarm_n is 65");
        starts(bad(|s| s.recover_n = 0), "recover_n is 0");
        starts(bad(|s| s.single_sample = 0.5), "single_sample is 0.5");
    }
}
