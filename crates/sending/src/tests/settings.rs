//! Keys, defaults, errors.

use serde::{Deserialize, Serialize};
use weir_config::{Errors, Validate, decode_and_validate};

use crate::{
    QueueSettings, RetrySettings, SendingSettings, Sizer, TimeoutSettings, validate_sending,
};

/// As an exporter embeds the parts.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    timeout: TimeoutSettings,
    retry_on_failure: RetrySettings,
    sending_queue: Option<QueueSettings>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: TimeoutSettings::default(),
            retry_on_failure: RetrySettings::default(),
            sending_queue: Some(QueueSettings::default()),
        }
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        let queue = self.sending_queue.as_ref();
        validate_sending(errors, self.timeout, &self.retry_on_failure, queue);
    }
}

fn node(json: &serde_json::Value) -> weir_config::Node {
    serde_json::from_value(json.clone()).unwrap()
}

#[allow(clippy::needless_pass_by_value, reason = "reads better at the calls")]
fn load(json: serde_json::Value) -> Result<Config, Vec<String>> {
    decode_and_validate::<Config>(&node(&json), "exporters.fake")
        .map(|decoded| decoded.value)
        .map_err(|found| {
            let line = |d: weir_config::Diagnostic| format!("{}: {}", d.path, d.message);
            found.into_iter().map(line).collect()
        })
}

#[test]
fn defaults_are_those_of_the_reference() {
    let printed = serde_json::to_value(Config::default()).unwrap();
    assert_eq!(
        printed,
        serde_json::json!({
            "timeout": "5s",
            "retry_on_failure": {
                "enabled": true, "initial_interval": "5s", "randomization_factor": 0.5,
                "multiplier": 1.5, "max_interval": "30s", "max_elapsed_time": "5m0s",
            },
            "sending_queue": {
                "enabled": true, "num_consumers": 10, "queue_size": 1000, "sizer": "requests",
                "block_on_overflow": false, "wait_for_result": false, "storage": null,
                "batch": null,
            },
        })
    );
}

#[test]
fn null_and_enabled_false_switch_the_queue_off() {
    for json in [
        serde_json::json!({"sending_queue": null}),
        serde_json::json!({"sending_queue": {"enabled": false}}),
    ] {
        let queue = load(json).unwrap().sending_queue;
        let settings = SendingSettings {
            queue,
            ..SendingSettings::default()
        };
        assert_eq!(settings.active_queue(), None);
    }
}

#[test]
fn batching_is_on_when_its_key_is_there() {
    for (json, sizer) in [
        (serde_json::json!({"batch": {}}), Sizer::Items),
        (serde_json::json!({"batch": null}), Sizer::Items),
        (
            serde_json::json!({"sizer": "bytes", "queue_size": 9000, "batch": {}}),
            Sizer::Bytes,
        ),
        (
            serde_json::json!({"batch": {"sizer": "bytes"}}),
            Sizer::Bytes,
        ),
    ] {
        let config = load(serde_json::json!({"sending_queue": json})).unwrap();
        let queue = config.sending_queue.unwrap();
        assert_eq!(queue.batch_sizer(), sizer);
        let batch = queue.batch.unwrap();
        assert_eq!((batch.min_size, batch.max_size), (8192, 0));
        assert_eq!(batch.flush_timeout.to_string(), "200ms");
    }
    let config = load(serde_json::json!({"sending_queue": {"queue_size": 5}})).unwrap();
    assert_eq!(config.sending_queue.unwrap().batch, None);
}

#[test]
fn wrong_values_are_errors_at_their_keys() {
    for (json, error) in [
        (
            serde_json::json!({"timeout": "-1s"}),
            "timeout: `timeout` must not be negative",
        ),
        (
            serde_json::json!({"retry_on_failure": {"max_elapsed_time": "20s"}}),
            "retry_on_failure.max_elapsed_time: `max_elapsed_time` must not be less than \
             `max_interval` (30s)",
        ),
        (
            serde_json::json!({"retry_on_failure": {"randomization_factor": 1.5}}),
            "retry_on_failure.randomization_factor: `randomization_factor` must lie between 0 and 1",
        ),
        (
            serde_json::json!({"sending_queue": {"num_consumers": 0}}),
            "sending_queue.num_consumers: `num_consumers` must be above 0",
        ),
        (
            serde_json::json!({"sending_queue": {"sizer": "items", "batch": {}}}),
            "sending_queue.batch.min_size: `min_size` must not be above `queue_size` (1000): such \
             a batch would never fill",
        ),
        (
            serde_json::json!({"sending_queue": {"batch": {"min_size": 5, "max_size": 4}}}),
            "sending_queue.batch.max_size: `max_size` must not be below `min_size` (5)",
        ),
        (
            serde_json::json!({"sending_queue": {"storage": "file_storage"}}),
            "sending_queue.storage: a queue on disk (storage `file_storage`) is not supported yet",
        ),
        (
            serde_json::json!({"sending_queue": {"batch": {"partition": {"metadata_keys": ["a", "A"]}}}}),
            "sending_queue.batch.partition.metadata_keys[1]: `A` is there twice (letter case does \
             not count)",
        ),
        (
            serde_json::json!({"sending_queue": {"size": 5}}),
            "unknown key `size`",
        ),
    ] {
        let errors = load(json).unwrap_err();
        assert!(
            errors.len() == 1 && errors[0].contains(error),
            "{errors:?} instead of {error}"
        );
    }
    assert!(load(serde_json::json!({"retry_on_failure": {"max_elapsed_time": 0}})).is_ok());
    assert!(
        load(serde_json::json!({"retry_on_failure":
        {"enabled": false, "max_elapsed_time": "1s"}}))
        .is_ok()
    );
}
