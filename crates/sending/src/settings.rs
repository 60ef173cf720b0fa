//! The configuration keys all exporters share (otlp-and-helpers section 3.2).

use serde::{Deserialize, Deserializer, Serialize};
use weir_config::{ComponentId, Duration, Errors, Validate};

use crate::retry::Draining;

/// `timeout`: how long one attempt may take; 0 for as long as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimeoutSettings(pub Duration);

impl Default for TimeoutSettings {
    fn default() -> Self {
        Self(Duration::from_secs(5))
    }
}

impl TimeoutSettings {
    /// The limit, if there is one.
    pub fn limit(self) -> Option<std::time::Duration> {
        (!self.0.is_zero()).then(|| self.0.to_std())
    }
}

impl Validate for TimeoutSettings {
    fn validate(&self, errors: &mut Errors) {
        if self.0.is_negative() {
            errors.push("", "`timeout` must not be negative", "write 0 for no limit");
        }
    }
}

/// `retry_on_failure`: waits between attempts grow exponentially, with jitter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySettings {
    /// Whether to retry at all.
    pub enabled: bool,
    /// The first wait, before jitter.
    pub initial_interval: Duration,
    /// Jitter: a wait is drawn between (1 - factor) and (1 + factor) times the interval; 0 to 1.
    pub randomization_factor: f64,
    /// Growth of the interval per wait.
    pub multiplier: f64,
    /// The interval stops growing here.
    pub max_interval: Duration,
    /// Retrying ends when the next wait would pass this time since the first attempt; 0 for never.
    pub max_elapsed_time: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            enabled: true,
            initial_interval: Duration::from_secs(5),
            randomization_factor: 0.5,
            multiplier: 1.5,
            max_interval: Duration::from_secs(30),
            max_elapsed_time: Duration::from_mins(5),
        }
    }
}

impl RetrySettings {
    /// One attempt only.
    pub fn off() -> Self {
        Self {
            enabled: false,
            ..Self::default()
        }
    }
}

impl Validate for RetrySettings {
    fn validate(&self, errors: &mut Errors) {
        if !self.enabled {
            return;
        }
        for (key, value) in [
            ("initial_interval", self.initial_interval),
            ("max_interval", self.max_interval),
            ("max_elapsed_time", self.max_elapsed_time),
        ] {
            if value.is_negative() {
                errors.push(key, format!("`{key}` must not be negative"), "");
            }
        }
        if !(0.0..=1.0).contains(&self.randomization_factor) {
            errors.push(
                "randomization_factor",
                "`randomization_factor` must lie between 0 and 1",
                "0.5 draws waits between half and one and a half times the interval",
            );
        }
        if !(self.multiplier >= 0.0 && self.multiplier.is_finite()) {
            errors.push(
                "multiplier",
                "`multiplier` must be a number that is not negative",
                "",
            );
        }
        if self.max_elapsed_time > Duration::ZERO {
            for (key, value) in [
                ("initial_interval", self.initial_interval),
                ("max_interval", self.max_interval),
            ] {
                if self.max_elapsed_time < value {
                    errors.push(
                        "max_elapsed_time",
                        format!("`max_elapsed_time` must not be less than `{key}` ({value})"),
                        format!("lower `{key}` as well, or write 0 to retry for ever"),
                    );
                }
            }
        }
    }
}

/// What a queue or a batch is measured in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sizer {
    /// Calls of the pipeline.
    #[default]
    Requests,
    /// Spans, data points, log records.
    Items,
    /// Bytes of data.
    Bytes,
}

/// `sending_queue`. The field of an exporter's configuration is an `Option`: null switches the
/// queue off, as `enabled: false` does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueSettings {
    /// Whether there is a queue.
    pub enabled: bool,
    /// Parallel deliveries.
    pub num_consumers: usize,
    /// Room, in units of `sizer`; what is being sent counts until it is done.
    pub queue_size: u64,
    /// Unit of `queue_size`.
    pub sizer: Sizer,
    /// A full queue makes the caller wait instead of refusing.
    pub block_on_overflow: bool,
    /// The caller waits for the result of the delivery.
    pub wait_for_result: bool,
    /// Storage extension of a queue on disk.
    pub storage: Option<ComponentId>,
    /// Merging and splitting on the way out of the queue.
    #[serde(deserialize_with = "present")]
    pub batch: Option<BatchSettings>,
}

/// `sending_queue` of exporters that have one consumer unless the configuration says otherwise; to be
/// used with `#[serde(deserialize_with)]`. Null means no queue, as everywhere.
///
/// # Errors
/// Those of [`QueueSettings`].
pub fn queue_with_one_consumer<'de, D: Deserializer<'de>>(
    value: D,
) -> Result<Option<QueueSettings>, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        remote = "QueueSettings",
        default = "QueueSettings::with_one_consumer",
        deny_unknown_fields
    )]
    struct OneConsumer {
        enabled: bool,
        num_consumers: usize,
        queue_size: u64,
        sizer: Sizer,
        block_on_overflow: bool,
        wait_for_result: bool,
        storage: Option<ComponentId>,
        #[serde(deserialize_with = "present")]
        batch: Option<BatchSettings>,
    }
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Queue(#[serde(with = "OneConsumer")] QueueSettings);
    Option::<Queue>::deserialize(value).map(|queue| queue.map(|Queue(settings)| settings))
}

/// `batch:` with nothing under it means batching with the defaults.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<BatchSettings>, D::Error> {
    Option::deserialize(value).map(|batch: Option<BatchSettings>| Some(batch.unwrap_or_default()))
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            num_consumers: 10,
            queue_size: 1000,
            sizer: Sizer::Requests,
            block_on_overflow: false,
            wait_for_result: false,
            storage: None,
            batch: None,
        }
    }
}

impl QueueSettings {
    /// The default of exporters that keep order by having one consumer.
    pub fn with_one_consumer() -> Self {
        Self {
            num_consumers: 1,
            ..Self::default()
        }
    }

    /// What batches are measured in: their own `sizer`, else the queue's, unless that counts
    /// requests.
    pub fn batch_sizer(&self) -> Sizer {
        match self.batch.as_ref().and_then(|batch| batch.sizer) {
            Some(sizer) => sizer,
            None if self.sizer == Sizer::Bytes => Sizer::Bytes,
            None => Sizer::Items,
        }
    }
}

impl Validate for QueueSettings {
    fn validate(&self, errors: &mut Errors) {
        if !self.enabled {
            return;
        }
        if self.num_consumers == 0 {
            errors.push("num_consumers", "`num_consumers` must be above 0", "");
        }
        if self.queue_size == 0 {
            errors.push(
                "queue_size",
                "`queue_size` must be above 0",
                "write `enabled: false` for no queue",
            );
        }
        if let Some(storage) = &self.storage {
            errors.push(
                "storage",
                format!("a queue on disk (storage `{storage}`) is not supported yet"),
                "remove `storage` to queue in memory, or use `wait_for_result: true`, with which \
                 the sender keeps the data until it is delivered",
            );
            if self.wait_for_result {
                errors.push(
                    "wait_for_result",
                    "`wait_for_result` and `storage` exclude each other",
                    "remove one of them",
                );
            }
        }
        if let Some(batch) = &self.batch {
            errors.nested("batch", batch);
            if self.batch_sizer() == self.sizer && batch.min_size > self.queue_size {
                errors.push(
                    "batch.min_size",
                    format!(
                        "`min_size` must not be above `queue_size` ({}): such a batch would never \
                         fill",
                        self.queue_size
                    ),
                    "raise `queue_size` or lower `min_size`",
                );
            }
        }
    }
}

/// `sending_queue.batch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchSettings {
    /// A batch goes out at the latest so long after its first item.
    pub flush_timeout: Duration,
    /// A batch of this size goes out at once.
    pub min_size: u64,
    /// No batch is larger; 0 for no limit.
    pub max_size: u64,
    /// Unit of the sizes: items or bytes.
    pub sizer: Option<Sizer>,
    /// Keeps senders apart.
    pub partition: PartitionSettings,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self {
            flush_timeout: Duration::from_millis(200),
            min_size: 8192,
            max_size: 0,
            sizer: None,
            partition: PartitionSettings::default(),
        }
    }
}

impl Validate for BatchSettings {
    fn validate(&self, errors: &mut Errors) {
        if self.flush_timeout <= Duration::ZERO {
            errors.push("flush_timeout", "`flush_timeout` must be above 0", "");
        }
        if self.max_size > 0 && self.max_size < self.min_size {
            errors.push(
                "max_size",
                format!(
                    "`max_size` must not be below `min_size` ({})",
                    self.min_size
                ),
                "write 0 for no limit",
            );
        }
        if self.sizer == Some(Sizer::Requests) {
            errors.push(
                "sizer",
                "batches are measured in `items` or `bytes`, not in `requests`",
                "",
            );
        }
        let keys = &self.partition.metadata_keys;
        for (at, key) in keys.iter().enumerate() {
            if keys.iter().take(at).any(|k| k.eq_ignore_ascii_case(key)) {
                errors.push(
                    &format!("partition.metadata_keys[{at}]"),
                    format!("`{key}` is there twice (letter case does not count)"),
                    "remove one of them",
                );
            }
        }
    }
}

/// `sending_queue.batch.partition`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PartitionSettings {
    /// Request headers, in any letter case; one batch per set of their values.
    pub metadata_keys: Vec<String>,
}

/// Checks the three parts at their usual keys.
pub fn validate_sending(
    errors: &mut Errors,
    timeout: TimeoutSettings,
    retry_on_failure: &RetrySettings,
    sending_queue: Option<&QueueSettings>,
) {
    errors.nested("timeout", &timeout);
    errors.nested("retry_on_failure", retry_on_failure);
    if let Some(queue) = sending_queue {
        errors.nested("sending_queue", queue);
    }
}

/// All layers of one exporter.
#[derive(Clone, Debug, Default)]
pub struct SendingSettings {
    /// Per attempt.
    pub timeout: TimeoutSettings,
    /// Between attempts.
    pub retry: RetrySettings,
    /// In front; `None` for no queue.
    pub queue: Option<QueueSettings>,
    /// More labels on the sent and failed counters (`server_address` and such).
    pub labels: Vec<(&'static str, String)>,
    /// A consumer that is free takes all waiting batches at once, up to so many items; 0: one by
    /// one. Unlike `batch` nobody waits for more. For exporters that keep order by having one
    /// consumer: a slow destination then makes batches larger instead of deliveries fewer.
    pub gather: usize,
    /// How long waiting batches wait for more, up to `gather` items, before they are encoded; for
    /// exporters that encode ahead.
    pub linger: std::time::Duration,
    /// Callers wait until their batch is encoded, and learn if it cannot be: for encoders that
    /// put it where it is safe.
    pub acknowledge_encoded: bool,
    /// Given to exporters that retry by themselves.
    pub draining: Draining,
}

impl SendingSettings {
    /// From the three keys.
    pub fn new(
        timeout: TimeoutSettings,
        retry: RetrySettings,
        queue: Option<QueueSettings>,
    ) -> Self {
        Self {
            timeout,
            retry,
            queue,
            ..Self::default()
        }
    }

    /// The queue, unless it is off.
    pub fn active_queue(&self) -> Option<&QueueSettings> {
        self.queue.as_ref().filter(|queue| queue.enabled)
    }
}
