//! Keys of the `statsd` receiver, with the defaults and error conditions of the reference.

use regex::Regex;
use serde::{Deserialize, Serialize};
use weir_config::{ByteSize, Duration, Errors, Validate};
use weir_core::Reference;

use super::exponential::{DEFAULT_MAX_SIZE, LARGEST_MAX_SIZE, SMALLEST_MAX_SIZE};

/// Where UDP and TCP listen unless told otherwise.
const DEFAULT_ENDPOINT: &str = "localhost:8125";
/// Where `unixgram` listens unless told otherwise.
const DEFAULT_SOCKET: &str = "/var/run/statsd-receiver.sock";
/// Percentiles of a summary that names none.
const DEFAULT_PERCENTILES: [f64; 6] = [0.0, 10.0, 50.0, 90.0, 95.0, 100.0];

/// Configuration of `statsd`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `host:port`, or the path of the socket for `unixgram`.
    pub endpoint: String,
    /// `udp`, `udp4`, `udp6`, `tcp`, `tcp4`, `tcp6` or `unixgram`.
    pub transport: String,
    /// Permissions of the `unixgram` socket.
    pub socket_permissions: u32,
    /// Bytes of the kernel's receive buffer for datagrams; 0 is the system's default.
    pub socket_buffer_size: u64,
    /// How long values are added up before they are handed on.
    pub aggregation_interval: Duration,
    /// Adds the attribute `metric_type`.
    pub enable_metric_type: bool,
    /// Takes tags without a value.
    pub enable_simple_tags: bool,
    /// Counters are monotonic sums.
    pub is_monotonic_counter: bool,
    /// Senders of one address are one, whatever their ports.
    pub enable_ip_only_aggregation: bool,
    /// What becomes of timers, histograms and distributions.
    pub timer_histogram_mapping: Vec<Mapping>,
    /// `int` cuts the fraction off each counter line, as the reference does; `float` keeps it.
    pub counter_type: String,
    /// Most series in memory, of all senders; further ones are dropped and counted.
    pub max_series: usize,
    /// Most memory for series and values between two flushes.
    pub max_memory: ByteSize,
}

/// What becomes of one StatsD type.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mapping {
    /// `timing` or `timer`, `histogram`, `distribution`.
    pub statsd_type: String,
    /// `gauge`, `summary`, `histogram` or `disabled`.
    pub observer_type: String,
    /// Settings of the observer `histogram`.
    pub histogram: HistogramSettings,
    /// Settings of the observer `summary`.
    pub summary: SummarySettings,
}

/// Settings of the observer `histogram`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistogramSettings {
    /// Most buckets of each side of an exponential histogram; 0 is 160.
    pub max_size: i32,
    /// Metrics with buckets of their own; the first pattern that matches counts.
    pub explicit_buckets: Vec<ExplicitBuckets>,
}

/// Bucket bounds for some metrics.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExplicitBuckets {
    /// Regular expression that is searched for in the metric name.
    pub matcher_pattern: String,
    /// Upper bounds, ascending.
    pub buckets: Vec<f64>,
}

/// Settings of the observer `summary`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SummarySettings {
    /// Percentiles, 0 to 100; empty: 0, 10, 50, 90, 95, 100.
    pub percentiles: Vec<f64>,
}

impl Default for Config {
    fn default() -> Self {
        let gauge = |statsd_type: &str| Mapping {
            statsd_type: statsd_type.into(),
            observer_type: "gauge".into(),
            ..Mapping::default()
        };
        Self {
            endpoint: DEFAULT_ENDPOINT.into(),
            transport: "udp".into(),
            socket_permissions: 0o622,
            socket_buffer_size: 0,
            aggregation_interval: Duration::from_secs(60),
            enable_metric_type: false,
            enable_simple_tags: false,
            is_monotonic_counter: false,
            enable_ip_only_aggregation: false,
            timer_histogram_mapping: vec![gauge("timer"), gauge("histogram")],
            counter_type: "int".into(),
            max_series: 200_000,
            max_memory: ByteSize::mib(128),
        }
    }
}

/// How the receiver listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Udp4,
    Udp6,
    Tcp,
    Unixgram,
}

impl Config {
    /// The transport; `None` if there is none of that name. Letter case is free.
    pub(super) fn transport(&self) -> Option<Transport> {
        Some(match self.transport.to_ascii_lowercase().as_str() {
            "" | "udp" => Transport::Udp,
            "udp4" => Transport::Udp4,
            "udp6" => Transport::Udp6,
            "tcp" | "tcp4" | "tcp6" => Transport::Tcp,
            "unixgram" => Transport::Unixgram,
            _ => return None,
        })
    }

    /// The name of the transport in metrics.
    pub(super) fn protocol(&self) -> &'static str {
        match self.transport() {
            Some(Transport::Tcp) => "tcp",
            Some(Transport::Unixgram) => "unixgram",
            _ => "udp",
        }
    }

    /// Where to listen.
    pub(super) fn endpoint(&self) -> &str {
        let unnamed = self.endpoint.is_empty() || self.endpoint == DEFAULT_ENDPOINT;
        match self.transport() {
            Some(Transport::Unixgram) if unnamed => DEFAULT_SOCKET,
            _ if unnamed => DEFAULT_ENDPOINT,
            _ => &self.endpoint,
        }
    }

    /// Addresses that others might listen on too. UDP ports are apart from those of TCP.
    pub(super) fn references(&self) -> Vec<Reference> {
        match self.transport() {
            Some(Transport::Tcp) => vec![Reference::Listen {
                address: self.endpoint().to_owned(),
                key: "endpoint",
            }],
            _ => Vec::new(),
        }
    }

    /// The settings in the form that the hot path wants.
    pub(super) fn rules(&self) -> Rules {
        let mut rules = Rules {
            metric_type: self.enable_metric_type,
            simple_tags: self.enable_simple_tags,
            monotonic: self.is_monotonic_counter,
            fractions: self.counter_type == "float",
            ..Rules::default()
        };
        for mapping in &self.timer_histogram_mapping {
            let observers = match mapping.statsd_type.as_str() {
                "timing" | "timer" => &mut rules.timers,
                "histogram" | "distribution" => &mut rules.histograms,
                _ => continue,
            };
            let explicit = std::mem::take(&mut observers.explicit);
            *observers = Observers::of(mapping);
            if observers.explicit.is_empty() {
                observers.explicit = explicit;
            }
        }
        rules
    }
}

/// What the parser and the table go by.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) metric_type: bool,
    pub(super) simple_tags: bool,
    pub(super) monotonic: bool,
    pub(super) fractions: bool,
    pub(super) timers: Observers,
    /// Of histograms and distributions.
    pub(super) histograms: Observers,
}

/// What values of a type become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Observer {
    #[default]
    Disabled,
    Gauge,
    Summary,
    Histogram,
}

/// The observer of a type and its settings.
#[derive(Clone, Debug, Default)]
pub(super) struct Observers {
    pub(super) observer: Observer,
    pub(super) max_size: i32,
    pub(super) explicit: Vec<(Regex, Vec<f64>)>,
    pub(super) percentiles: Vec<f64>,
}

impl Observers {
    fn of(mapping: &Mapping) -> Self {
        let observer = match mapping.observer_type.as_str() {
            "gauge" => Observer::Gauge,
            "summary" => Observer::Summary,
            "histogram" => Observer::Histogram,
            _ => Observer::Disabled,
        };
        let histogram = &mapping.histogram;
        let percentiles = &mapping.summary.percentiles;
        let explicit = histogram.explicit_buckets.iter().filter_map(|explicit| {
            let mut bounds = explicit.buckets.clone();
            bounds.sort_by(f64::total_cmp);
            bounds.dedup();
            // Patterns were compiled once by validation.
            Some((Regex::new(&explicit.matcher_pattern).ok()?, bounds))
        });
        Self {
            observer,
            max_size: if histogram.max_size == 0 {
                DEFAULT_MAX_SIZE
            } else {
                histogram.max_size.clamp(SMALLEST_MAX_SIZE, LARGEST_MAX_SIZE)
            },
            explicit: explicit.collect(),
            percentiles: if percentiles.is_empty() {
                DEFAULT_PERCENTILES.to_vec()
            } else {
                percentiles.clone()
            },
        }
    }
}

const STATSD_TYPES: [&str; 6] =
    ["timing", "timer", "histogram", "distribution", "counter", "gauge"];
const OBSERVERS: [&str; 4] = ["gauge", "summary", "histogram", "disabled"];

impl Validate for Mapping {
    fn validate(&self, errors: &mut Errors) {
        if self.statsd_type.is_empty() || self.observer_type.is_empty() {
            errors.push(
                "",
                "must specify object id for all TimerHistogramMappings",
                "give both `statsd_type` and `observer_type`",
            );
            return;
        }
        if !STATSD_TYPES.contains(&self.statsd_type.as_str()) {
            let text = "statsd_type is not a supported mapping for histogram and timing metrics";
            errors.push(
                "statsd_type",
                format!("{text}: {}", self.statsd_type),
                "write `timing`, `histogram` or `distribution`",
            );
        }
        if !OBSERVERS.contains(&self.observer_type.as_str()) {
            let text = "observer_type is not supported for histogram and timing metrics";
            errors.push(
                "observer_type",
                format!("{text}: {}", self.observer_type),
                "write `gauge`, `summary`, `histogram` or `disabled`",
            );
        }
        if matches!(self.statsd_type.as_str(), "counter" | "gauge") {
            let text = format!("a mapping of `{}` has no effect", self.statsd_type);
            errors.warn("statsd_type", text, "take it out");
        }
        if self.observer_type == "histogram" {
            self.histogram.check(errors);
        } else if self.histogram != HistogramSettings::default() {
            let text = "histogram configuration requires observer_type: histogram";
            errors.push("histogram", text, "");
        }
        if self.observer_type != "summary" && !self.summary.percentiles.is_empty() {
            let text = "summary configuration requires observer_type: summary";
            errors.push("summary", text, "");
        }
        for (at, percentile) in self.summary.percentiles.iter().enumerate() {
            if !(0.0..=100.0).contains(percentile) {
                let path = format!("summary.percentiles[{at}]");
                errors.push(&path, "a percentile lies between 0 and 100", "");
            }
        }
    }
}

impl HistogramSettings {
    fn check(&self, errors: &mut Errors) {
        let sizes = SMALLEST_MAX_SIZE..=LARGEST_MAX_SIZE;
        if self.max_size != 0 && !sizes.contains(&self.max_size) {
            errors.push(
                "histogram.max_size",
                format!("histogram max_size out of range: {}", self.max_size),
                format!("write a number from {SMALLEST_MAX_SIZE} to {LARGEST_MAX_SIZE}"),
            );
        }
        for (at, explicit) in self.explicit_buckets.iter().enumerate() {
            let path = format!("histogram.explicit_buckets[{at}]");
            if let Err(error) = Regex::new(&explicit.matcher_pattern) {
                let path = format!("{path}.matcher_pattern");
                errors.push(&path, format!("not a regular expression: {error}"), "");
            }
            let bounds = &explicit.buckets;
            if bounds.is_empty() || bounds.iter().any(|bound| !bound.is_finite()) {
                let text = "buckets needs at least one bound, and only finite ones";
                errors.push(&format!("{path}.buckets"), text, "the last bucket has no bound");
            } else if !bounds.is_sorted_by(|a, b| a < b) {
                let text = "the bounds are not in ascending order; they are sorted";
                errors.warn(&format!("{path}.buckets"), text, "");
            }
        }
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        if self.transport().is_none() {
            errors.push(
                "transport",
                format!("unsupported transport {:?}", self.transport),
                "write `udp`, `tcp` or `unixgram`",
            );
        }
        if self.aggregation_interval <= Duration::ZERO {
            let text = "aggregation_interval must be a positive duration";
            errors.push("aggregation_interval", text, "write it as `60s`");
        }
        if !matches!(self.counter_type.as_str(), "int" | "float") {
            errors.push(
                "counter_type",
                format!("counter_type {:?} is not supported", self.counter_type),
                "write `int` or `float`",
            );
        }
        if self.socket_permissions > 0o7777 {
            let text = "socket_permissions are file permissions";
            errors.push("socket_permissions", text, "write them as `0622`");
        }
        for (key, zero) in [
            ("max_series", self.max_series == 0),
            ("max_memory", self.max_memory.bytes() == 0),
        ] {
            if zero {
                errors.push(key, format!("{key} must be above 0"), "");
            }
        }
        for (at, mapping) in self.timer_histogram_mapping.iter().enumerate() {
            errors.nested(&format!("timer_histogram_mapping[{at}]"), mapping);
        }
        self.warn_of_shared_observers(errors);
    }
}

impl Config {
    /// Histograms and distributions have one observer between them, and types without a mapping
    /// are dropped: both surprise.
    fn warn_of_shared_observers(&self, errors: &mut Errors) {
        let of = |names: &[&str]| {
            let named = |mapping: &&Mapping| names.contains(&mapping.statsd_type.as_str());
            self.timer_histogram_mapping.iter().filter(named).collect::<Vec<_>>()
        };
        let key = "timer_histogram_mapping";
        let shared = of(&["histogram", "distribution"]);
        if shared.windows(2).any(|two| match two {
            [a, b] => a.observer_type != b.observer_type || a.summary != b.summary,
            _ => false,
        }) {
            errors.warn(
                key,
                "histograms and distributions share one observer: the last mapping holds for both",
                "give both the same `observer_type`",
            );
        }
        for (missing, names) in [
            ("timers", of(&["timing", "timer"])),
            ("histograms and distributions", shared),
        ] {
            if names.is_empty() {
                let text = format!("{missing} have no mapping and are dropped");
                errors.warn(key, text, "add one, with `observer_type: disabled` if it is meant");
            }
        }
    }
}
