//! Configuration of the `awscloudwatchlogs` exporter: keys, defaults and checks (awsemf, section 14).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_aws::{AwsSession, NewGroup};
use weir_config::{Errors, Secret, Validate};
use weir_sending::{QueueSettings, RetrySettings, queue_with_one_consumer};

use super::names::unknown_placeholder;
use crate::cloudwatch_logs::group;
use crate::cloudwatch_logs::request::{Limits, MOST_BYTES};

/// Smallest limit that makes sense: a shorter event would be little more than the mark of a cut one.
const LEAST_BYTES: u64 = 1024;
/// What the reference cuts events to and fills requests up to.
const REFERENCE_BYTES: u64 = 262_144;

/// `awscloudwatchlogs`: log records as events of CloudWatch Logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Log group, with placeholders. Required.
    pub log_group_name: String,
    /// Log stream, with placeholders. Required.
    pub log_stream_name: String,
    /// Days that log groups made by this exporter keep events; 0: for ever.
    pub log_retention: i64,
    /// Tags of log groups made by this exporter.
    pub tags: Option<BTreeMap<String, String>>,
    /// Sends the body of a record as it is, and nothing else of the record.
    pub raw_log: bool,
    /// Largest event in bytes, 26 of overhead included; a longer one is cut. Not in the reference,
    /// where it is always 262144.
    pub max_event_bytes: u64,
    /// Largest sum of the events of one request in bytes, 26 of overhead included for each. Not in the
    /// reference, where it is always 262144.
    pub max_request_bytes: u64,
    /// Queue in front; null switches it off.
    #[serde(deserialize_with = "queue_with_one_consumer")]
    pub sending_queue: Option<QueueSettings>,
    /// Repeating what failed for now.
    pub retry_on_failure: RetrySettings,
    /// AWS region; empty: from the environment.
    pub region: String,
    /// Base URL of the service; empty: the region's public endpoint.
    pub endpoint: String,
    /// Proxy for the service calls; empty: from the environment.
    pub proxy_address: String,
    /// Whether server certificates go unchecked.
    pub no_verify_ssl: bool,
    /// Role to assume on top of the found credentials.
    pub role_arn: String,
    /// External id for `role_arn`.
    pub external_id: Secret<String>,
    /// Attempts per call (0: three).
    pub max_retries: i64,
    /// Log streams written to at the same time.
    pub num_workers: i64,
    /// Longest time of one HTTP request, in seconds.
    pub request_timeout_seconds: i64,
    /// No effect here; accepted as the reference does.
    pub local_mode: bool,
    /// No effect here; accepted as the reference does.
    pub resource_arn: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log_group_name: String::new(),
            log_stream_name: String::new(),
            log_retention: 0,
            tags: None,
            raw_log: false,
            max_event_bytes: REFERENCE_BYTES,
            max_request_bytes: REFERENCE_BYTES,
            sending_queue: Some(QueueSettings::with_one_consumer()),
            retry_on_failure: RetrySettings::default(),
            region: String::new(),
            endpoint: String::new(),
            proxy_address: String::new(),
            no_verify_ssl: false,
            role_arn: String::new(),
            external_id: Secret::default(),
            max_retries: 2,
            num_workers: 8,
            request_timeout_seconds: 30,
            local_mode: false,
            resource_arn: String::new(),
        }
    }
}

impl Config {
    /// What log groups made by this exporter get.
    pub(super) fn new_group(&self) -> NewGroup {
        NewGroup {
            tags: self.tags.clone(),
            retention_days: self.log_retention,
        }
    }

    /// Sizes of events and requests.
    pub(super) fn limits(&self) -> Limits {
        let size = |bytes: u64| usize::try_from(bytes).map_or(MOST_BYTES, |b| b.min(MOST_BYTES));
        Limits {
            event: size(self.max_event_bytes),
            request: size(self.max_request_bytes),
        }
    }

    /// How to reach CloudWatch Logs.
    pub(super) fn session(&self) -> AwsSession {
        AwsSession {
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
            proxy_address: self.proxy_address.clone(),
            no_verify_ssl: self.no_verify_ssl,
            request_timeout_seconds: u64::try_from(self.request_timeout_seconds).unwrap_or(0),
            num_workers: usize::try_from(self.num_workers).unwrap_or(1),
            max_retries: u32::try_from(self.max_retries).unwrap_or(0),
            local_mode: self.local_mode,
            resource_arn: self.resource_arn.clone(),
            role_arn: self.role_arn.clone(),
            external_id: self.external_id.expose().clone(),
        }
    }

    fn validate_names(&self, errors: &mut Errors) {
        for (key, name) in [
            ("log_group_name", &self.log_group_name),
            ("log_stream_name", &self.log_stream_name),
        ] {
            if name.is_empty() {
                errors.push(
                    key,
                    format!("'{key}' must be set"),
                    "name it; placeholders such as {ServiceName} take values of the resource",
                );
            }
            if let Some(unknown) = unknown_placeholder(name) {
                errors.push(
                    key,
                    format!("unknown placeholder `{{{unknown}}}` in '{key}'"),
                    super::names::known_placeholders(),
                );
            }
        }
    }

    fn validate_sizes(&self, errors: &mut Errors) {
        let most = MOST_BYTES as u64;
        for (key, bytes) in [
            ("max_event_bytes", self.max_event_bytes),
            ("max_request_bytes", self.max_request_bytes),
        ] {
            if !(LEAST_BYTES..=most).contains(&bytes) {
                errors.push(
                    key,
                    format!("`{key}` must lie between {LEAST_BYTES} and {most}"),
                    "CloudWatch Logs takes events and requests of up to 1048576 bytes",
                );
            }
        }
        if self.max_event_bytes > self.max_request_bytes {
            errors.push(
                "max_event_bytes",
                "`max_event_bytes` must not be above `max_request_bytes`",
                "raise `max_request_bytes` as well",
            );
        }
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        self.validate_names(errors);
        group::validate(self.log_retention, self.tags.as_ref(), errors);
        self.validate_sizes(errors);
        errors.nested("retry_on_failure", &self.retry_on_failure);
        if let Some(queue) = &self.sending_queue {
            errors.nested("sending_queue", queue);
        }
        self.session().validate(errors);
        for (key, value) in [
            ("max_retries", self.max_retries),
            ("num_workers", self.num_workers),
            ("request_timeout_seconds", self.request_timeout_seconds),
        ] {
            if value < 0 {
                errors.push(key, "must not be negative", "");
            }
        }
        if self.no_verify_ssl {
            errors.warn(
                "no_verify_ssl",
                "the certificate of CloudWatch Logs will not be checked",
                "make the certificate's authority known to the system instead",
            );
        }
    }
}
