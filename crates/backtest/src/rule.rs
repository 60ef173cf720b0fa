//! Rules that decide when a series is in alarm: the band, and what it is compared with.

use weir_detect::{Settings, State, Verdict};

use crate::moment;

/// One rule.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    /// The detector with these settings.
    Band(Settings),
    /// Fixed limits.
    Threshold(Threshold),
}

/// Fixed limits, as people set them today.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Threshold {
    /// Alarm above this value.
    pub(crate) above: Option<f64>,
    /// Alarm below this value.
    pub(crate) below: Option<f64>,
    /// Only after it has been so for this long, s.
    pub(crate) for_s: f64,
}

impl Threshold {
    /// From `above=80,below=5,for=5m`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut rule = Self::default();
        for part in text.split(',') {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let number = || {
                let number = value.trim().parse::<f64>().ok().filter(|v| v.is_finite());
                number.ok_or_else(|| format!("`{value}` is not a number"))
            };
            match key.trim() {
                "above" => rule.above = Some(number()?),
                "below" => rule.below = Some(number()?),
                "for" => {
                    let length = moment::length(value);
                    rule.for_s = length.ok_or_else(|| format!("`{value}` is not a length"))?;
                }
                other => return Err(format!("`{other}`: use above=N, below=N, for=LENGTH")),
            }
        }
        if rule.above.is_none() && rule.below.is_none() {
            return Err("a threshold needs above=N or below=N".to_owned());
        }
        Ok(rule)
    }

    fn outside(&self, value: f64) -> bool {
        self.above.is_some_and(|limit| value > limit)
            || self.below.is_some_and(|limit| value < limit)
    }
}

impl Rule {
    /// The name used in tables.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Band(settings) => format!("band {}", settings.stddevs),
            Self::Threshold(rule) => {
                let mut parts = Vec::new();
                parts.extend(rule.above.map(|v| format!("> {v}")));
                parts.extend(rule.below.map(|v| format!("< {v}")));
                let mut name = parts.join(" or ");
                if rule.for_s > 0.0 {
                    name.push_str(&format!(" for {}", moment::show_length(rule.for_s)));
                }
                name
            }
        }
    }
}

/// A rule at work on one series.
#[derive(Clone, Debug)]
pub(crate) enum Watcher {
    /// See [`Rule::Band`].
    Band(Box<(Settings, State)>),
    /// See [`Rule::Threshold`]; since when the value has been outside, Unix ns.
    Threshold(Threshold, Option<i64>),
}

impl Watcher {
    /// `rate`: the values are rates, which are never negative; the stream clamps those bands too.
    pub(crate) fn new(rule: &Rule, rate: bool) -> Self {
        match rule {
            Rule::Band(settings) => {
                let mut settings = settings.clone();
                if rate {
                    settings.min = Some(settings.min.map_or(0.0, |min| min.max(0.0)));
                }
                Self::Band(Box::new((settings, State::new())))
            }
            Rule::Threshold(rule) => Self::Threshold(rule.clone(), None),
        }
    }

    /// Whether the series is in alarm after this sample; the band also gives its verdict.
    pub(crate) fn observe(
        &mut self,
        time_ns: i64,
        local_s: i64,
        value: f64,
        learn: bool,
    ) -> (bool, Option<Verdict>) {
        match self {
            Self::Band(band) => {
                let (settings, state) = &mut **band;
                let verdict = state.observe(settings, time_ns, local_s, value, learn);
                (verdict.in_alarm, Some(verdict))
            }
            Self::Threshold(rule, since) => {
                if value.is_nan() {
                    return (since.is_some_and(|s| rule.lasted(s, time_ns)), None);
                }
                if !rule.outside(value) {
                    *since = None;
                    return (false, None);
                }
                let since = *since.get_or_insert(time_ns);
                (rule.lasted(since, time_ns), None)
            }
        }
    }
}

impl Threshold {
    fn lasted(&self, since_ns: i64, time_ns: i64) -> bool {
        moment::seconds(time_ns.saturating_sub(since_ns)) >= self.for_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_alarms_outside_for_long_enough() {
        let rule = Threshold::parse("above=10,for=2m").expect("a rule");
        let mut watcher = Watcher::new(&Rule::Threshold(rule), false);
        let minute = 60 * moment::SECOND;
        let values = [5.0, 11.0, 12.0, f64::NAN, 12.0, 10.0, 11.0];
        let alarms: Vec<bool> = values
            .iter()
            .zip(0..)
            .map(|(value, i)| watcher.observe(i * minute, 0, *value, true).0)
            .collect();
        assert_eq!(alarms, [false, false, false, true, true, false, false]);
    }

    #[test]
    fn thresholds_that_make_no_sense_are_refused() {
        for bad in [
            "",
            "above",
            "above=x",
            "for=5m",
            "over=3",
            "above=1,for=5",
            "above=inf",
        ] {
            assert!(Threshold::parse(bad).is_err(), "{bad}");
        }
        let both = Threshold::parse("above=80,below=5.5,for=5m").map(Rule::Threshold);
        assert_eq!(
            both.map(|r| r.name()),
            Ok("> 80 or < 5.5 for 5 min".to_owned())
        );
    }
}
