//! Keys of the `awsxray` exporter (awsxray, section 1).

use serde::{Deserialize, Serialize};
use weir_aws::AwsSession;
use weir_config::{ComponentId, Duration, Errors, Validate};
use weir_sending::{QueueSettings, RetrySettings, TimeoutSettings, validate_sending};

/// Configuration of `awsxray`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Attributes that become annotations; those of the resource as `otel.resource.<name>`.
    pub indexed_attributes: Vec<String>,
    /// Makes every scalar attribute of span and resource an annotation.
    pub index_all_attributes: bool,
    /// Log groups of spans whose resource names none.
    pub aws_log_groups: Vec<String>,
    /// Counts of segments, reported to X-Ray itself.
    pub telemetry: TelemetryConfig,
    /// AWS region; empty for the usual search (environment, profile, instance).
    pub region: String,
    /// Base URL in place of the region's endpoint, scheme included.
    pub endpoint: String,
    /// URL of an HTTP proxy for calls to X-Ray; empty for the environment's.
    pub proxy_address: String,
    /// Does not check the server's certificate.
    pub no_verify_ssl: bool,
    /// Role to assume on top of the found credentials.
    pub role_arn: String,
    /// External id for `role_arn`.
    pub external_id: String,
    /// Tries of one call in all; 0 for the default of the AWS SDKs, 3.
    pub max_retries: u32,
    /// Most idle connections that are kept.
    pub num_workers: usize,
    /// Longest time of one HTTP request, in seconds.
    pub request_timeout_seconds: u64,
    /// Accepted for compatibility; has no effect, as in the reference.
    pub local_mode: bool,
    /// ARN of the resource the program runs on, for telemetry records.
    pub resource_arn: String,
    /// Longest time of all calls of one batch. Not in the reference, where it is always 5 s.
    pub timeout: Duration,
    /// Queue in front; absent: none, as in the reference, which has no such key.
    pub sending_queue: Option<QueueSettings>,
    /// Sending again what failed for now; absent: not done, as in the reference.
    pub retry_on_failure: Option<RetrySettings>,
    /// Also reads `server.address`, `db.system.name`, `db.namespace` and `db.query.text` where the
    /// reference, which does not know them, leaves a URL without host, a span without `sql` block,
    /// a call without the name of its peer. Not in the reference.
    pub current_semantic_conventions: bool,
    /// Makes every document one of X-Ray's published schema: names from attributes lose characters the
    /// schema does not allow and end at 200 bytes, like those from span names; a span without an id
    /// gets one; an annotation without a name is left out. The reference sends these as they are.
    pub strict_schema: bool,
}

/// What is reported to X-Ray about the program's own work (awsxray, section 9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Whether records are sent, once a minute.
    pub enabled: bool,
    /// Fills host name, instance and resource from the keys below, the environment or the instance.
    pub include_metadata: bool,
    /// Other X-Ray components that count into the same records.
    pub contributors: Vec<ComponentId>,
    /// Host name.
    pub hostname: String,
    /// EC2 instance id.
    pub instance_id: String,
    /// ARN of the resource; empty for the exporter's `resource_arn`.
    pub resource_arn: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            indexed_attributes: Vec::new(),
            index_all_attributes: false,
            aws_log_groups: Vec::new(),
            telemetry: TelemetryConfig::default(),
            region: String::new(),
            endpoint: String::new(),
            proxy_address: String::new(),
            no_verify_ssl: false,
            role_arn: String::new(),
            external_id: String::new(),
            max_retries: 2,
            num_workers: 8,
            request_timeout_seconds: 30,
            local_mode: false,
            resource_arn: String::new(),
            timeout: Duration::from_secs(5),
            sending_queue: None,
            retry_on_failure: None,
            current_semantic_conventions: false,
            strict_schema: false,
        }
    }
}

impl Config {
    /// Repetitions of batches; the reference knows none.
    pub(super) fn retry(&self) -> RetrySettings {
        self.retry_on_failure.unwrap_or_else(RetrySettings::off)
    }

    /// The keys that all AWS exporters have.
    pub(super) fn session(&self) -> AwsSession {
        AwsSession {
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
            proxy_address: self.proxy_address.clone(),
            no_verify_ssl: self.no_verify_ssl,
            request_timeout_seconds: self.request_timeout_seconds,
            num_workers: self.num_workers,
            max_retries: self.max_retries,
            local_mode: self.local_mode,
            resource_arn: self.resource_arn.clone(),
            role_arn: self.role_arn.clone(),
            external_id: self.external_id.clone(),
        }
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        self.session().validate(errors);
        let timeout = TimeoutSettings(self.timeout);
        validate_sending(errors, timeout, &self.retry(), self.sending_queue.as_ref());
        if self.timeout == Duration::ZERO {
            errors.push(
                "timeout",
                "`timeout` must be above 0",
                "the reference's is 5s",
            );
        }
        if self.no_verify_ssl {
            errors.warn(
                "no_verify_ssl",
                "the certificate of X-Ray will not be checked",
                "make the certificate's authority known to the system instead",
            );
        }
    }
}
