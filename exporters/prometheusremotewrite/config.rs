//! Keys of `prometheus_remote_write` (specification section 1).

use std::collections::BTreeMap;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Validate};
use weir_net::HttpClientConfig;
use weir_prom::naming::TranslationStrategy;
use weir_sending::{QueueSettings, RetrySettings};

use super::send::VERSION_HEADER;
use crate::prometheus_labels::{self, ResourceToTelemetry};

/// Name of the message of protocol 1.0.
const MESSAGE_V1: &str = "prometheus.WriteRequest";
/// Name of the message of protocol 2.0.
const MESSAGE_V2: &str = "io.prometheus.write.v2.Request";
/// Bytes of a request when the key is 0.
const DEFAULT_BATCH_BYTES: usize = 3_000_000;

weir_net::http_client_keys! {
    /// `prometheus_remote_write`: metrics to a Prometheus-compatible store.
    pub struct Config {
        /// Goes before every metric name.
        pub namespace: String = String::new(),
        /// Labels of every series that does not have them.
        pub external_labels: BTreeMap<String, String> = BTreeMap::new(),
        /// Unit and type as suffixes of names; superseded by `translation_strategy`.
        pub add_metric_suffixes: bool = true,
        /// How names are made; empty: by `add_metric_suffixes`.
        pub translation_strategy: String = String::new(),
        /// Resource attributes as labels.
        pub resource_to_telemetry_conversion: ResourceToTelemetry = ResourceToTelemetry::default(),
        /// The series `target_info`.
        pub target_info: TargetInfoConfig = TargetInfoConfig::default(),
        /// Leaves out the labels `otel_scope_...`.
        pub disable_scope_info: bool = false,
        /// Sends type, unit and help of metrics (protocol 1.0).
        pub send_metadata: bool = false,
        /// The queue.
        pub remote_write_queue: RemoteWriteQueue = RemoteWriteQueue::default(),
        /// A request is closed before it reaches this size (uncompressed); 0 is 3,000,000.
        pub max_batch_size_bytes: i64 = 3_000_000,
        /// Requests of one batch on their way at the same time; unset: `num_consumers`.
        pub max_batch_request_parallelism: Option<i64> = None,
        /// Message of the protocol: `prometheus.WriteRequest` or `io.prometheus.write.v2.Request`.
        pub protobuf_message: String = MESSAGE_V1.to_owned(),
        /// The log on disk.
        pub wal: Option<WalConfig> = None,
        /// Waits between attempts.
        pub retry_on_failure: RetryConfig = RetryConfig::default(),
    }
    defaults HttpClientConfig {
        endpoint: "http://some.url:9411/api/prom/push".to_owned(),
        timeout: Duration::from_secs(5),
        write_buffer_size: 512 << 10,
        ..HttpClientConfig::default()
    }
}

/// `target_info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TargetInfoConfig {
    /// Whether the series is sent.
    pub enabled: bool,
}

impl Default for TargetInfoConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// `remote_write_queue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemoteWriteQueue {
    /// Whether there is a queue; without one the sender waits for the delivery.
    pub enabled: bool,
    /// Batches that may wait.
    pub queue_size: i64,
    /// Requests of a batch that are sent in parallel.
    pub num_consumers: i64,
    /// How long a batch waits for others to go with it; 0 for not at all, as in the reference.
    pub flush_timeout: Duration,
}

impl Default for RemoteWriteQueue {
    fn default() -> Self {
        Self {
            enabled: true,
            queue_size: 10_000,
            num_consumers: 5,
            flush_timeout: Duration::from_millis(200),
        }
    }
}

/// `retry_on_failure`: the usual keys, but the first wait is 50 ms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// Whether to retry at all.
    pub enabled: bool,
    /// The first wait, before jitter.
    pub initial_interval: Duration,
    /// Jitter, 0 to 1.
    pub randomization_factor: f64,
    /// Growth of the interval per wait.
    pub multiplier: f64,
    /// The interval stops growing here.
    pub max_interval: Duration,
    /// When retrying ends; 0 for never.
    pub max_elapsed_time: Duration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        let usual = RetrySettings::default();
        Self {
            enabled: usual.enabled,
            initial_interval: Duration::from_millis(50),
            randomization_factor: usual.randomization_factor,
            multiplier: usual.multiplier,
            max_interval: usual.max_interval,
            max_elapsed_time: usual.max_elapsed_time,
        }
    }
}

impl RetryConfig {
    /// In the form of the sending crate.
    pub(crate) fn settings(&self) -> RetrySettings {
        RetrySettings {
            enabled: self.enabled,
            initial_interval: self.initial_interval,
            randomization_factor: self.randomization_factor,
            multiplier: self.multiplier,
            max_interval: self.max_interval,
            max_elapsed_time: self.max_elapsed_time,
        }
    }
}

/// `wal`: what waits is in a log on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WalConfig {
    /// Its folder; empty: `./prom_remotewrite`.
    pub directory: String,
    /// Accepted, without effect: batches are sent one by one.
    pub buffer_size: i64,
    /// Accepted, without effect: what is delivered is cut off at once.
    pub truncate_frequency: Duration,
    /// Accepted, without effect.
    pub lag_record_frequency: Duration,
    /// Most MiB on disk; beyond that senders are refused.
    pub max_size_mib: i64,
}

impl Default for WalConfig {
    fn default() -> Self {
        Self {
            directory: String::new(),
            buffer_size: 300,
            truncate_frequency: Duration::from_mins(1),
            lag_record_frequency: Duration::from_secs(15),
            max_size_mib: 1024,
        }
    }
}

impl WalConfig {
    /// Its folder.
    pub(crate) fn folder(&self) -> &str {
        if self.directory.is_empty() { "./prom_remotewrite" } else { &self.directory }
    }

    /// Most bytes on disk.
    pub(crate) fn max_bytes(&self) -> u64 {
        u64::try_from(self.max_size_mib).unwrap_or(0) << 20
    }
}

impl Config {
    /// How names are made.
    pub(crate) fn strategy(&self) -> TranslationStrategy {
        prometheus_labels::strategy(&self.translation_strategy, self.add_metric_suffixes)
    }

    /// Whether protocol 2.0 is asked for.
    pub(crate) fn is_v2(&self) -> bool {
        self.protobuf_message == MESSAGE_V2
    }

    /// Bytes at which a request is closed.
    pub(crate) fn batch_bytes(&self) -> usize {
        match usize::try_from(self.max_batch_size_bytes) {
            Ok(bytes) if bytes > 0 => bytes,
            _ => DEFAULT_BATCH_BYTES,
        }
    }

    /// Requests of a batch on their way at the same time.
    pub(crate) fn parallelism(&self) -> usize {
        let asked = self
            .max_batch_request_parallelism
            .unwrap_or(self.remote_write_queue.num_consumers);
        usize::try_from(asked).unwrap_or(1).max(1)
    }

    /// How long a batch waits for others. With a log on disk senders wait for the writing, so not
    /// at all.
    pub(crate) fn linger(&self) -> std::time::Duration {
        match self.wal {
            Some(_) => std::time::Duration::ZERO,
            None => self.remote_write_queue.flush_timeout.to_std(),
        }
    }

    /// The queue in front; one consumer keeps the order of each series.
    pub(crate) fn queue(&self) -> Option<QueueSettings> {
        let queue = &self.remote_write_queue;
        queue.enabled.then(|| QueueSettings {
            num_consumers: 1,
            queue_size: u64::try_from(queue.queue_size).unwrap_or(1),
            ..QueueSettings::default()
        })
    }

    fn validate_numbers(&self, errors: &mut Errors) {
        let queue = &self.remote_write_queue;
        for (key, value) in [
            ("remote_write_queue.queue_size", queue.queue_size),
            ("remote_write_queue.num_consumers", queue.num_consumers),
            ("max_batch_size_bytes", self.max_batch_size_bytes),
        ] {
            if value < 0 {
                errors.push(key, format!("`{key}` must not be negative"), "");
            }
        }
        if queue.flush_timeout.is_negative() {
            let key = "remote_write_queue.flush_timeout";
            errors.push(key, "must not be negative", "0 sends each batch at once");
        }
        if queue.enabled && queue.queue_size == 0 {
            errors.push(
                "remote_write_queue.queue_size",
                "a queue of size 0 takes nothing",
                "raise it, or write `enabled: false` for no queue",
            );
        }
        if self.max_batch_request_parallelism.is_some_and(|p| p < 1) {
            errors.push(
                "max_batch_request_parallelism",
                "`max_batch_request_parallelism` must be at least 1",
                "",
            );
        }
    }

    fn validate_protocol(&self, errors: &mut Errors) {
        if ![MESSAGE_V1, MESSAGE_V2].contains(&self.protobuf_message.as_str()) {
            errors.push(
                "protobuf_message",
                format!("unknown message `{}`", self.protobuf_message),
                format!("write `{MESSAGE_V1}` or `{MESSAGE_V2}`"),
            );
        }
        if !self.add_metric_suffixes {
            errors.warn(
                "add_metric_suffixes",
                "`add_metric_suffixes` is deprecated",
                "write `translation_strategy: UnderscoreEscapingWithoutSuffixes`",
            );
        }
        match self.translation_strategy.parse::<TranslationStrategy>() {
            _ if self.translation_strategy.is_empty() => {}
            Err(unknown) => errors.push("translation_strategy", unknown.to_string(), ""),
            Ok(strategy) if !strategy.escapes() && !self.is_v2() => errors.push(
                "translation_strategy",
                format!("`{}` needs protocol 2.0", strategy.name()),
                format!("write `protobuf_message: {MESSAGE_V2}`, or choose an escaping strategy"),
            ),
            Ok(_) => {}
        }
        let compression = String::from(self.compression);
        if !["", "none", "snappy"].contains(&compression.as_str()) {
            errors.push(
                "compression",
                format!("remote write is always snappy, not `{compression}`"),
                "remove the key",
            );
        }
        for (name, _) in &self.headers.0 {
            let fixed = [CONTENT_ENCODING.as_str(), CONTENT_TYPE.as_str(), VERSION_HEADER];
            if fixed.iter().any(|fixed| fixed.eq_ignore_ascii_case(name)) {
                errors.push(
                    &format!("headers.{name}"),
                    format!("the protocol sets `{name}` itself"),
                    "remove it",
                );
            }
        }
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        let uri = self.endpoint.parse::<http::Uri>();
        if !uri.is_ok_and(|uri| uri.scheme().is_some() && uri.host().is_some_and(|h| !h.is_empty())) {
            errors.push(
                "endpoint",
                format!("invalid endpoint `{}`", self.endpoint),
                "write the whole URL, such as `https://host/api/v1/write`",
            );
        }
        errors.nested("", &self.http_client());
        errors.nested("retry_on_failure", &self.retry_on_failure.settings());
        self.validate_numbers(errors);
        self.validate_protocol(errors);
        for (name, value) in &self.external_labels {
            if name.is_empty() || value.is_empty() {
                errors.push(
                    "external_labels",
                    format!("external label `{name}` has an empty name or value"),
                    "give it both, or remove it",
                );
            }
        }
        if let Some(wal) = &self.wal {
            if !self.remote_write_queue.enabled {
                errors.push(
                    "wal",
                    "the log on disk needs the queue",
                    "remove `wal`, or `remote_write_queue.enabled: false`, with which the sender \
                     keeps the data until it is delivered",
                );
            }
            if wal.max_size_mib < 1 {
                errors.push("wal.max_size_mib", "must be positive", "leave it out for 1024");
            }
        }
    }
}
