//! Configuration of the `anomaly` processor.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use weir_config::{ByteSize, Duration, Errors, Validate};
use weir_detect as detect;

/// Series an instance keeps a state for, by default (about 15 MB when all are a day old).
pub const DEFAULT_MAX_SERIES: usize = 10_000;
/// Bytes of all states, by default.
pub const DEFAULT_MAX_STATE: u64 = 64 << 20;
/// Quantiles of a histogram, at most.
const MAX_QUANTILES: usize = 6;

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

/// Types of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricType {
    /// Gauges.
    Gauge,
    /// Sums.
    Sum,
    /// Histograms with explicit bounds.
    Histogram,
    /// Exponential histograms.
    ExponentialHistogram,
    /// Summaries.
    Summary,
}

/// Series by name, type and labels; what is empty lets everything pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MatchConfig {
    /// How names and values of labels are meant.
    pub match_type: MatchType,
    /// Names or expressions.
    pub metric_names: Vec<String>,
    /// Types.
    pub types: Vec<MetricType>,
    /// Labels, or attributes of the resource, and the values they must have.
    pub labels: BTreeMap<String, String>,
}

/// A fixed limit beside the band: a sample beyond it is an anomaly whatever was learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThresholdConfig {
    /// Which series; the first rule that fits a series holds for it.
    pub metrics: MatchConfig,
    /// Values above are anomalies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// Values below are anomalies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// An alarm begins with so many samples beyond in a row.
    pub samples: u8,
}

impl Default for ThresholdConfig {
    fn default() -> Self {
        Self { metrics: MatchConfig::default(), above: None, below: None, samples: 1 }
    }
}

/// What makes two points belong to one series.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityConfig {
    /// Labels and resource attributes that do not count, so that what comes after a restart under
    /// another name goes on with what was learned.
    pub without: Vec<String>,
}

/// How alarms become incidents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IncidentsConfig {
    /// Resource attributes (or labels); alarms with an equal value of one of them belong together.
    pub group_by: Vec<String>,
    /// A new alarm joins an incident whose last one began at most this long ago, or goes on.
    pub window: Duration,
    /// An incident is over when none of its alarms was on for this long.
    pub resolve_after: Duration,
}

impl Default for IncidentsConfig {
    fn default() -> Self {
        let keys = ["service.name", "k8s.node.name", "host.name"];
        Self {
            group_by: keys.map(str::to_owned).to_vec(),
            window: Duration::from_secs(300),
            resolve_after: Duration::from_secs(300),
        }
    }
}

/// What happens before the seasonal forecast is ready (two days).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WarmUp {
    /// Judge and alarm after 40 samples.
    #[default]
    Alarm,
    /// Give bands after 40 samples, alarm after two days.
    Silent,
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
    /// Alarms during the first two days, or not.
    pub warm_up: WarmUp,
    /// Quantiles of histograms that are judged, beside rate and mean.
    pub quantiles: Vec<f64>,
    /// Fixed limits.
    pub thresholds: Vec<ThresholdConfig>,
    /// What makes a series.
    pub identity: IdentityConfig,
    /// Groups alarms into incidents; not without this section.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incidents: Option<IncidentsConfig>,
    /// Series kept at most; further ones pass without judgement and are counted.
    pub max_series: usize,
    /// Bytes of all states at most; beyond, new series pass without judgement and are counted.
    pub max_state: ByteSize,
    /// Time between two snapshots in the data directory; 0: only at the end.
    pub snapshot_interval: Duration,
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
            warm_up: WarmUp::Alarm,
            quantiles: Vec::new(),
            thresholds: Vec::new(),
            identity: IdentityConfig::default(),
            incidents: None,
            max_series: DEFAULT_MAX_SERIES,
            max_state: ByteSize(DEFAULT_MAX_STATE),
            snapshot_interval: Duration::from_secs(300),
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
            warm_up: match self.warm_up {
                WarmUp::Alarm => detect::WarmUp::Alarm,
                WarmUp::Silent => detect::WarmUp::Silent,
            },
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

impl Config {
    fn validate_thresholds(&self, errors: &mut Errors) {
        for (i, rule) in self.thresholds.iter().enumerate() {
            let key = format!("thresholds[{i}]");
            rule.metrics.validate(&format!("{key}.metrics"), errors);
            let (above, below) = (rule.above, rule.below);
            if above.is_none() && below.is_none() {
                errors.push(&key, "has no limit", "set `above`, `below` or both");
            }
            if above.is_some_and(|v| !v.is_finite()) || below.is_some_and(|v| !v.is_finite()) {
                errors.push(&key, "has a limit that is not a number", "");
            }
            if rule.samples == 0 {
                errors.push(&format!("{key}.samples"), "is 0: nothing would ever be judged", "use 1 or more");
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
            if let Some(part) = part {
                part.validate(&format!("metrics.{key}"), errors);
            }
        }
        self.validate_thresholds(errors);
        for (i, q) in self.quantiles.iter().enumerate() {
            if !(0.0..=1.0).contains(q) {
                errors.push(&format!("quantiles[{i}]"), format!("is {q}"), "use 0 to 1");
            }
        }
        if self.quantiles.len() > MAX_QUANTILES {
            let cure = format!("use at most {MAX_QUANTILES}");
            errors.push("quantiles", "has too many entries", &cure);
        }
        if self.incidents.as_ref().is_some_and(|i| i.group_by.is_empty()) {
            let cure = "name resource attributes, such as service.name";
            errors.push("incidents.group_by", "is empty: nothing could be grouped", cure);
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
    /// The names that are regular expressions.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &String> {
        let names = if self.match_type == MatchType::Regexp { &self.metric_names[..] } else { &[] };
        names.iter()
    }

    fn validate(&self, key: &str, errors: &mut Errors) {
        let mut check = |place: String, expression: &str| {
            if let Err(error) = regex::Regex::new(expression) {
                errors.push(&place, format!("not a regular expression: {error}"), "");
            }
        };
        for (i, name) in self.expressions().enumerate() {
            check(format!("{key}.metric_names[{i}]"), name);
        }
        if self.match_type == MatchType::Regexp {
            for (label, value) in &self.labels {
                check(format!("{key}.labels.{label}"), value);
            }
        }
    }
}
