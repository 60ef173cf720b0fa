//! Keys, defaults, errors (PRW-02..04, PRW-15, PRW-34).

use serde_json::{Value, json};
use weir_config::{Node, decode_and_validate};
use weir_prom::naming::TranslationStrategy;

use crate::prometheusremotewrite::config::Config;

fn load(json: &Value) -> Result<Config, Vec<String>> {
    let node: Node = serde_json::from_value(json.clone()).unwrap();
    decode_and_validate::<Config>(&node, "exporters.prw")
        .map(|decoded| decoded.value)
        .map_err(|found| {
            let errors = found.into_iter().filter(weir_config::Diagnostic::is_error);
            errors.map(|d| format!("{}: {}", d.path, d.message)).collect()
        })
}

#[test]
fn defaults_are_those_of_the_reference() {
    let config = Config::default();
    let printed = serde_json::to_value(&config).unwrap();
    for (key, value) in [
        ("endpoint", json!("http://some.url:9411/api/prom/push")),
        ("timeout", json!("5s")),
        ("max_batch_size_bytes", json!(3_000_000)),
        ("remote_write_queue", json!({"enabled": true, "queue_size": 10_000, "num_consumers": 5, "flush_timeout": "200ms"})),
        ("target_info", json!({"enabled": true})),
        ("write_buffer_size", json!(524_288)),
        ("protobuf_message", json!("prometheus.WriteRequest")),
    ] {
        assert_eq!(printed[key], value, "{key}");
    }
    assert_eq!(printed["retry_on_failure"]["initial_interval"], json!("50ms"));
    assert_eq!(config.parallelism(), 5);
    let queue = config.queue().unwrap();
    assert_eq!((queue.num_consumers, queue.queue_size), (1, 10_000));
}

#[test]
fn strategies_follow_the_newer_key() {
    for (json, strategy) in [
        (json!({}), TranslationStrategy::UnderscoreEscapingWithSuffixes),
        (
            json!({"add_metric_suffixes": false}),
            TranslationStrategy::UnderscoreEscapingWithoutSuffixes,
        ),
        (
            json!({"add_metric_suffixes": false,
                "translation_strategy": "UnderscoreEscapingWithSuffixes"}),
            TranslationStrategy::UnderscoreEscapingWithSuffixes,
        ),
    ] {
        assert_eq!(load(&json).unwrap().strategy(), strategy);
    }
}

#[test]
fn wrong_values_are_errors_at_their_keys() {
    for (json, error) in [
        (json!({"endpoint": "host:9/push"}), "exporters.prw.endpoint: invalid endpoint"),
        (json!({"endpoint": "/push"}), "exporters.prw.endpoint: invalid endpoint"),
        (json!({"remote_write_queue": {"queue_size": -1}}), "queue_size"),
        (json!({"remote_write_queue": {"queue_size": 0}}), "queue_size"),
        (json!({"remote_write_queue": {"num_consumers": -1}}), "num_consumers"),
        (json!({"remote_write_queue": {"flush_timeout": "-1s"}}), "flush_timeout"),
        (json!({"max_batch_size_bytes": -1}), "max_batch_size_bytes"),
        (json!({"max_batch_request_parallelism": 0}), "at least 1"),
        (json!({"protobuf_message": "x"}), "unknown message `x`"),
        (json!({"translation_strategy": "x"}), "unknown translation strategy `x`"),
        (json!({"translation_strategy": "NoTranslation"}), "needs protocol 2.0"),
        (json!({"compression": "gzip"}), "always snappy"),
        (json!({"external_labels": {"": "x"}}), "external_labels"),
        (json!({"external_labels": {"x": ""}}), "external_labels"),
        (json!({"headers": {"Content-Type": "x"}}), "sets `Content-Type` itself"),
        (json!({"wal": {}, "remote_write_queue": {"enabled": false}}), "needs the queue"),
        (json!({"wal": {"max_size_mib": 0}}), "max_size_mib"),
        (json!({"retry_on_failure": {"max_elapsed_time": "1s"}}), "`max_interval` (30s)"),
        (json!({"timeout": "-1s"}), "timeout"),
        (json!({"sending_queue": {}}), "unknown key `sending_queue`"),
        (json!({"export_created_metric": {}}), "unknown key `export_created_metric`"),
    ] {
        let errors = load(&json).unwrap_err();
        assert!(errors.iter().any(|e| e.contains(error)), "{errors:?} instead of {error}");
        assert_eq!(errors.len(), 1, "{errors:?}");
    }
    for json in [
        json!({"wal": {"directory": "x", "buffer_size": 100, "truncate_frequency": "45s"}}),
        json!({"compression": "snappy"}),
        json!({"max_batch_size_bytes": 0}),
        json!({"remote_write_queue": {"enabled": false, "queue_size": 0}}),
        json!({"headers": {"X-Scope-OrgID": "t"}}),
        json!({"protobuf_message": "io.prometheus.write.v2.Request",
            "translation_strategy": "NoTranslation"}),
    ] {
        load(&json).unwrap_or_else(|errors| panic!("{json}: {errors:?}"));
    }
}
