//! Keys, defaults and checks (EMF-01..08).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::Duration;

use weir_config::{Diagnostic, Environment, NoFetch, decode_and_validate, load};

use super::super::config::{Config, Destination};

struct Text(String);

impl Environment for Text {
    fn get(&self, _: &str) -> Option<String> {
        Some(self.0.clone())
    }
}

/// Decodes the exporter's keys, given as YAML.
fn decode(yaml: &str) -> Result<(Config, Vec<Diagnostic>), Vec<String>> {
    let indented = yaml.replace('\n', "\n    ");
    let text = format!("exporters:\n  awsemf:\n    {indented}\n");
    let loaded = load(&["env:TEXT".to_owned()], &[], &Text(text), &NoFetch).unwrap();
    let node = loaded.root.at(&["exporters", "awsemf"]).unwrap();
    match decode_and_validate::<Config>(node, "exporters.awsemf") {
        Ok(decoded) => Ok((decoded.value, decoded.warnings)),
        Err(found) => {
            let errors = found.iter().filter(|d| d.is_error());
            Err(errors
                .map(|d| format!("{} {}", d.path, d.message))
                .collect())
        }
    }
}

fn error(yaml: &str) -> String {
    decode(yaml).unwrap_err().join("\n")
}

fn warnings(yaml: &str) -> Vec<String> {
    let warnings = decode(yaml).unwrap().1;
    warnings
        .iter()
        .map(|d| format!("{} {}", d.path, d.message))
        .collect()
}

#[test]
fn defaults_are_those_of_the_reference() {
    let (config, warnings) = decode("").unwrap();
    assert_eq!(config, Config::default());
    assert!(warnings.is_empty());
    assert_eq!(
        config.dimension_rollup_option.text,
        "ZeroAndSingleDimensionRollup"
    );
    assert_eq!((config.version.as_str(), config.log_retention), ("1", 0));
    assert_eq!((config.max_retries, config.num_workers), (2, 8));
    assert_eq!(config.request_timeout_seconds, 30);
    assert_eq!(config.destination(), Destination::CloudWatch);
}

#[test]
fn unknown_keys_are_refused() {
    for (yaml, key) in [
        ("certificate_file_path: ca.pem", "certificate_file_path"),
        (
            "metric_declarations:\n- metric_name_selector: [a]",
            "metric_name_selector",
        ),
    ] {
        let error = error(yaml);
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn queue_retries_and_deadline_are_off_until_they_are_asked_for() {
    let (config, _) = decode("").unwrap();
    assert!(config.sending_queue.is_none() && !config.retry().enabled && !config.reorders());
    assert_eq!(config.limit(), Some(Duration::from_secs(30)));
    let (config, warnings) =
        decode("sending_queue: {queue_size: 50}\nretry_on_failure: {}\ntimeout: 12s").unwrap();
    assert!(warnings.is_empty());
    assert_eq!(config.sending_queue.as_ref().unwrap().queue_size, 50);
    assert!(config.retry().enabled && config.reorders());
    assert_eq!(config.limit(), Some(Duration::from_secs(12)));
    assert_eq!(decode("timeout: 0s").unwrap().0.limit(), None);
    let config = decode("sending_queue: {enabled: false}\nretry_on_failure: {enabled: false}");
    assert!(!config.unwrap().0.reorders());
    assert!(error("sending_queue: {queue_size: 0}").contains("sending_queue.queue_size"));
    assert!(error("retry_on_failure: {multiplier: -1}").contains("retry_on_failure.multiplier"));
    assert!(error("timeout: -1s").contains("timeout"));
}

#[test]
fn descriptors_set_a_resolution_that_the_service_has() {
    let yaml = |seconds| format!("metric_descriptors: [{{metric_name: a, storage_resolution: {seconds}}}]");
    assert!(warnings(&yaml(1)).is_empty() && warnings(&yaml(60)).is_empty());
    assert!(error(&yaml(5)).contains("metric_descriptors[0].storage_resolution"));
    // Without a resolution, the unit is what the descriptor is there for.
    assert_eq!(warnings(&yaml(0)).len(), 1);
}

#[test]
fn braces_around_something_else_are_named() {
    let found = warnings("log_group_name: '/{Cluster}/{TaskId}'\nlog_stream_name: '{k8s.pod.uid}'");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("log_group_name `{Cluster}`"), "{found:?}");
}

#[test]
fn retention_is_one_of_the_periods_of_the_service() {
    assert_eq!(decode("log_retention: 3653").unwrap().0.log_retention, 3653);
    let error = error("log_retention: 2");
    assert!(error.contains("exporters.awsemf.log_retention"), "{error}");
    assert!(
        error.contains("invalid value for retention policy"),
        "{error}"
    );
}

#[test]
fn tags_are_checked() {
    let long = "x".repeat(257);
    let many: BTreeMap<String, u32> = (0..51).map(|at| (format!("k{at}"), at)).collect();
    let many = many
        .keys()
        .map(|key| format!("{key}: v"))
        .collect::<Vec<_>>()
        .join(", ");
    for (tags, message) in [
        ("{}".to_owned(), "Please input at least 1 tag"),
        (format!("{{{many}}}"), "Please input at most 50 tags"),
        (format!("{{{}: v}}", &long[..129]), "has an invalid length"),
        (format!("{{k: {long}}}"), "has an invalid length"),
        ("{k: ''}".to_owned(), "value -  has an invalid length"),
        (
            "{'a*': v}".to_owned(),
            "key - a* does not follow the regex pattern",
        ),
        (
            "{k: 'a,b'}".to_owned(),
            "value - a,b does not follow the regex pattern",
        ),
    ] {
        let error = error(&format!("tags: {tags}"));
        assert!(error.contains(message), "{error}");
    }
    decode("tags: {'team name': \"\u{d300} 1_.:/=+-@\"}").unwrap();
}

#[test]
fn unusable_declarations_and_descriptors_are_named() {
    let found = warnings(
        "metric_declarations:\n\
         - dimensions: [[a]]\n\
         - metric_name_selectors: [a]\n  \
           label_matchers: [{label_names: [a]}]\n\
         - metric_name_selectors: [a]\n  \
           label_matchers: [{label_names: [a], regex: '('}]\n\
         - metric_name_selectors: [a]\n  \
           dimensions: [[a, b, c, d, e, f, g, h, i, j, k]]\n\
         metric_descriptors:\n\
         - unit: Count\n\
         - {metric_name: a, unit: count}",
    );
    let places = [
        "exporters.awsemf.metric_declarations[0] ",
        "exporters.awsemf.metric_declarations[1].label_matchers[0] ",
        "exporters.awsemf.metric_declarations[2].label_matchers[0] ",
        "exporters.awsemf.metric_declarations[3].dimensions[0] ",
        "exporters.awsemf.metric_descriptors[0] ",
        "exporters.awsemf.metric_descriptors[1].unit ",
    ];
    assert_eq!(found.len(), places.len(), "{found:#?}");
    for (found, place) in found.iter().zip(places) {
        assert!(found.starts_with(place), "{found}");
    }
}

#[test]
fn a_selector_that_does_not_compile_is_an_error() {
    let error = error("metric_declarations:\n- metric_name_selectors: [ok, '(']");
    assert!(
        error.contains("metric_declarations[0].metric_name_selectors[1]"),
        "{error}"
    );
}

#[test]
fn words_that_mean_something_else_than_they_say_are_named() {
    let found = warnings("dimension_rollup_option: none\nversion: '2'\noutput_destination: file");
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(warnings("output_destination: STDOUT").is_empty());
}

#[test]
fn an_endpoint_needs_a_scheme() {
    assert!(error("endpoint: 127.0.0.1:4566").contains("endpoint"));
    decode("endpoint: http://127.0.0.1:4566").unwrap();
}

#[test]
fn the_external_id_is_not_printed() {
    let (config, _) = decode("role_arn: r\nexternal_id: hush").unwrap();
    let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
    assert!(!shown.contains("hush"));
}
