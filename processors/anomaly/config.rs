//! Configuration of the `anomaly` processor.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use weir_config::{Errors, Validate};
use weir_detect as detect;

/// Series an instance keeps a state for, by default (about 15 MB when all are a day old).
pub const DEFAULT_MAX_SERIES: usize = 10_000;

/// Which side of the band counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Above and below.
    #[default]
    Both,
    /// Only above.
    Above,
    /// Only below.
    Below,
}

/// Which repeating patterns are learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seasonality {
    /// Day and week, as far as they show in the data.
    #[default]
    Auto,
    /// None.
    None,
    /// Day only.
    Daily,
    /// Day and week.
    Weekly,
}

/// How findings leave the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Emit {
    /// As gauges beside the metric, with the series' own labels: `<metric>.anomaly.score` and
    /// `<metric>.anomaly.state`; with `bands`, also `.lower` and `.upper`.
    #[default]
    Companion,
    /// As tags on the points that are outside the band or in an alarm; with `bands`, on all.
    Attributes,
    /// As lines of the program's own log, one when an alarm begins and one when it ends.
    Log,
}

/// How names in a filter are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatchType {
    /// Whole names.
    #[default]
    Strict,
    /// Regular expressions that may match anywhere in the name.
    Regexp,
}

/// Metrics by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MatchConfig {
    /// How the names are meant.
    pub match_type: MatchType,
    /// Names or expressions.
    pub metric_names: Vec<String>,
}

/// Which metrics are judged: those included, but for those excluded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Only these; all without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include: Option<MatchConfig>,
    /// Not these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude: Option<MatchConfig>,
}

/// A span of time from which nothing is learned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeRange {
    /// RFC 3339, inclusive.
    pub start: String,
    /// RFC 3339, exclusive.
    pub end: String,
}

/// Configuration of the `anomaly` processor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Half width of the band in standard deviations.
    pub band: f64,
    /// Which side counts.
    pub direction: Direction,
    /// Which patterns are learned.
    pub seasonality: Seasonality,
    /// Time zone of day and week, by its IANA name.
    pub timezone: String,
    /// Spans of time from which nothing is learned.
    pub exclude: Vec<TimeRange>,
    /// The band never reaches below. Rates of counters and histograms never go below 0 anyway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The band never reaches above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// An alarm begins when `alarm_m` of the last `alarm_n` samples are outside.
    pub alarm_m: u8,
    /// See `alarm_m`.
    pub alarm_n: u8,
    /// An alarm ends after so many samples inside.
    pub recover_n: u8,
    /// Which metrics are judged.
    pub metrics: MetricsConfig,
    /// How findings leave the processor: one way, or a list of them.
    pub emit: Vec<Emit>,
    /// Also give the band.
    pub bands: bool,
    /// Series kept at most; further ones pass without judgement and are counted.
    pub max_series: usize,
}

impl Default for Config {
    fn default() -> Self {
        let settings = detect::Settings::default();
        Self {
            band: settings.stddevs,
            direction: Direction::Both,
            seasonality: Seasonality::Auto,
            timezone: "UTC".to_owned(),
            exclude: Vec::new(),
            min: None,
            max: None,
            alarm_m: settings.alarm_m,
            alarm_n: settings.alarm_n,
            recover_n: settings.recover_n,
            metrics: MetricsConfig::default(),
            emit: vec![Emit::Companion],
            bands: false,
            max_series: DEFAULT_MAX_SERIES,
        }
    }
}

impl TimeRange {
    /// Both ends, Unix ns; an error names the end that is not a time.
    pub(super) fn parse(&self) -> Result<(i64, i64), &'static str> {
        let ns = |text: &str| {
            let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
            i64::try_from(time.unix_timestamp_nanos()).ok()
        };
        let start = ns(&self.start).ok_or("start")?;
        let end = ns(&self.end).ok_or("end")?;
        Ok((start, end))
    }
}

impl Config {
    /// The detector's settings.
    pub(super) fn settings(&self) -> detect::Settings {
        detect::Settings {
            stddevs: self.band,
            direction: match self.direction {
                Direction::Both => detect::Direction::Both,
                Direction::Above => detect::Direction::Above,
                Direction::Below => detect::Direction::Below,
            },
            seasonality: match self.seasonality {
                Seasonality::Auto => detect::Seasonality::Auto,
                Seasonality::None => detect::Seasonality::None,
                Seasonality::Daily => detect::Seasonality::Daily,
                Seasonality::Weekly => detect::Seasonality::Weekly,
            },
            min: self.min,
            max: self.max,
            alarm_m: self.alarm_m,
            alarm_n: self.alarm_n,
            recover_n: self.recover_n,
            ..detect::Settings::default()
        }
    }

    fn validate_exclude(&self, errors: &mut Errors) {
        for (i, range) in self.exclude.iter().enumerate() {
            match range.parse() {
                Err(end) => errors.push(
                    &format!("exclude[{i}].{end}"),
                    "not a time",
                    "write it as RFC 3339, such as 2025-12-24T00:00:00+01:00",
                ),
                Ok((start, end)) if start >= end => errors.push(
                    &format!("exclude[{i}]"),
                    "the range is empty",
                    "`end` must be later than `start`",
                ),
                Ok(_) => {}
            }
        }
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        use detect::SettingsError as E;
        if let Err(error) = self.settings().validate() {
            // the settings' own names differ from the keys for the band only
            let (key, message) = match error {
                E::Stddevs(k) => {
                    ("band", format!("is {k}: use a value from 0.5 to 20 (3 is the default)"))
                }
                E::Clamp { .. } => ("min", error.to_string()),
                E::Alarm { .. } => ("alarm_m", error.to_string()),
                E::Recover => ("recover_n", error.to_string()),
                E::HalfWidth { .. } | E::SingleSample(_) => ("", error.to_string()),
            };
            errors.push(key, message, "");
        }
        if super::zone::zone(&self.timezone).is_none() {
            errors.push(
                "timezone",
                format!("`{}` is not a time zone", self.timezone),
                "use an IANA name such as `UTC` or `Europe/Berlin`",
            );
        }
        self.validate_exclude(errors);
        for (key, part) in [("include", &self.metrics.include), ("exclude", &self.metrics.exclude)] {
            for (i, name) in part.iter().flat_map(|p| p.expressions()).enumerate() {
                if let Err(error) = regex::Regex::new(name) {
                    let key = format!("metrics.{key}.metric_names[{i}]");
                    errors.push(&key, format!("not a regular expression: {error}"), "");
                }
            }
        }
        if self.emit.is_empty() {
            let cure = "use companion, attributes, log, or a list of them";
            errors.push("emit", "is empty: findings would go nowhere", cure);
        }
        if self.max_series == 0 {
            errors.push("max_series", "is 0: no series could be judged", "use 1 or more");
        }
    }
}

impl MatchConfig {
    fn expressions(&self) -> impl Iterator<Item = &String> {
        let names = if self.match_type == MatchType::Regexp { &self.metric_names[..] } else { &[] };
        names.iter()
    }

    /// Whether a metric is meant; expressions that do not compile were refused before.
    pub(super) fn compile(&self) -> impl Fn(&str) -> bool + Send + Sync + use<> {
        let strict: Vec<String> = match self.match_type {
            MatchType::Strict => self.metric_names.clone(),
            MatchType::Regexp => Vec::new(),
        };
        let expressions = regex::RegexSet::new(self.expressions()).unwrap_or_default();
        move |name| strict.iter().any(|s| s == name) || expressions.is_match(name)
    }
}
