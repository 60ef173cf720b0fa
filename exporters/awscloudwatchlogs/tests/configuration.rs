//! Keys, defaults and checks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use weir_config::Duration;

use super::super::config::Config;
use super::super::{identity, sending};
use super::harness::{config, decode};

/// Decodes keys that follow the two required ones.
fn with(keys: &str) -> Result<Config, Vec<String>> {
    only(&format!("log_group_name: g\nlog_stream_name: s\n{keys}"))
}

fn only(keys: &str) -> Result<Config, Vec<String>> {
    let indented = keys.replace('\n', "\n    ");
    let text = format!("exporters:\n  awscloudwatchlogs:\n    {indented}\n");
    decode(&text).map(|(config, _)| config)
}

fn error(keys: &str) -> String {
    with(keys).unwrap_err().join("\n")
}

#[test]
fn defaults_are_those_of_the_reference() {
    let decoded = with("").unwrap();
    let names = config(|config| {
        config.log_stream_name = "s".to_owned();
    });
    assert_eq!(decoded, names);
    assert_eq!((decoded.max_event_bytes, decoded.max_request_bytes), (262_144, 262_144));
    assert_eq!((decoded.max_retries, decoded.num_workers), (2, 8));
    assert_eq!(decoded.request_timeout_seconds, 30);
    let queue = decoded.sending_queue.unwrap();
    assert!(queue.enabled && queue.batch.is_none());
    assert_eq!((queue.num_consumers, queue.queue_size), (1, 1000));
    let retry = decoded.retry_on_failure;
    assert!(retry.enabled);
    assert_eq!(retry.initial_interval, Duration::from_secs(5));
}

#[test]
fn group_and_stream_are_required() {
    for (keys, text) in [
        ("log_stream_name: s", "'log_group_name' must be set"),
        ("log_group_name: g", "'log_stream_name' must be set"),
    ] {
        let errors = only(keys).unwrap_err();
        assert!(errors.iter().any(|e| e.contains(text)), "{errors:?}");
    }
}

#[test]
fn a_queue_has_one_consumer_unless_it_says_otherwise() {
    let queue = |keys: &str| with(keys).unwrap().sending_queue;
    let some = queue("sending_queue:\n  queue_size: 7").unwrap();
    assert_eq!((some.num_consumers, some.queue_size), (1, 7));
    assert_eq!(queue("sending_queue: {num_consumers: 4}").unwrap().num_consumers, 4);
    assert!(!queue("sending_queue: {enabled: false}").unwrap().enabled);
    assert!(queue("sending_queue: {batch: }").unwrap().batch.is_some());
    assert!(error("sending_queue: {queue_size: 0}").contains("queue_size"));
    assert!(error("sending_queue: {consumers: 4}").contains("consumers"));
}

#[test]
fn every_key_of_the_reference_is_taken() {
    let decoded = with(
        "log_retention: 365\ntags: {k: v}\nraw_log: true\nregion: eu-west-1\n\
         endpoint: https://logs.example\nproxy_address: http://proxy:3128\nno_verify_ssl: true\n\
         role_arn: arn:aws:iam::1:role/r\nexternal_id: x\nmax_retries: 0\nnum_workers: 3\n\
         request_timeout_seconds: 9\nlocal_mode: true\nresource_arn: arn:x\n\
         retry_on_failure: {enabled: false, initial_interval: 10ms}",
    )
    .unwrap();
    let session = decoded.session();
    assert_eq!((session.attempts(), session.num_workers), (3, 3));
    assert_eq!(session.request_timeout_seconds, 9);
    assert_eq!(session.external_id, "x");
    assert!(session.no_verify_ssl && session.local_mode && decoded.raw_log);
    assert_eq!(session.role_arn, "arn:aws:iam::1:role/r");
    assert_eq!(decoded.new_group().retention_days, 365);
    assert!(!decoded.retry_on_failure.enabled);
    assert!(!format!("{decoded:?}").contains("external_id: \"x\""));
}

#[test]
fn mistakes_are_found_at_the_start() {
    for (keys, text) in [
        ("log_retention: 2", "invalid value for retention policy"),
        ("tags: {}", "Please input at least 1 tag"),
        ("tags: {'a!': v}", "does not follow the regex pattern"),
        ("timeout: 5s", "timeout"),
        ("endpoint: 127.0.0.1:4566", "is not the URL of a service"),
        ("max_retries: -1", "must not be negative"),
        ("max_event_bytes: 100", "max_event_bytes"),
        ("max_request_bytes: 1048577", "max_request_bytes"),
        ("max_event_bytes: 400000", "must not be above `max_request_bytes`"),
        ("retry_on_failure: {multiplier: -1}", "multiplier"),
    ] {
        assert!(error(keys).contains(text), "{keys}: {}", error(keys));
    }
    let errors = only("log_group_name: '{Foo}'\nlog_stream_name: '{TaskId}{}'").unwrap_err();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().any(|e| e.contains("`{Foo}`")), "{errors:?}");
}

#[test]
fn calls_say_who_makes_them() {
    let agent = |group: &str| {
        identity(&config(|config| config.log_group_name = group.to_owned())).user_agent
    };
    assert_eq!(agent("g"), "(awscloudwatchlogs)");
    assert_eq!(
        agent("/aws/containerinsights/{ClusterName}/performance"),
        "(awscloudwatchlogs; ContainerInsights)"
    );
}

#[test]
fn waiting_senders_are_not_put_together() {
    let gather = |waits: bool| {
        sending(&config(|config| {
            config.sending_queue.as_mut().unwrap().wait_for_result = waits;
        }))
        .gather
    };
    assert_eq!((gather(true), gather(false)), (0, 10_000));
}
