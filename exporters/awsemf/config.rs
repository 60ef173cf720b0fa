//! Configuration of the `awsemf` exporter: keys, defaults and checks (EMF-01..08).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use weir_aws::{AwsSession, NewGroup};
use weir_config::{Duration, Errors, Secret, Validate};
use weir_sending::{QueueSettings, RetrySettings, TimeoutSettings, validate_sending};

use super::{names, units};
use crate::cloudwatch_logs::group;

/// `awsemf`: metrics as CloudWatch Embedded Metric Format events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// CloudWatch namespace; empty: from `service.namespace` and `service.name`.
    pub namespace: String,
    /// Log group template; empty: `/metrics/<namespace>`.
    pub log_group_name: String,
    /// Log stream template; empty: `otel-stream-<uuid>`, one per start.
    pub log_stream_name: String,
    /// Days that log groups made by this exporter keep events; 0: for ever.
    pub log_retention: i64,
    /// Tags of log groups made by this exporter.
    pub tags: Option<BTreeMap<String, String>>,
    /// Which smaller dimension sets are added: `ZeroAndSingleDimensionRollup`,
    /// `SingleDimensionRollupOnly` or `NoDimensionRollup`.
    pub dimension_rollup_option: RollupOption,
    /// Layout of the event: `1` (metadata under `_aws`) or `0` (metadata at the top).
    pub version: String,
    /// `cloudwatch` or `stdout`.
    pub output_destination: String,
    /// Which metrics get which dimension sets; empty: all get all labels.
    pub metric_declarations: Vec<MetricDeclaration>,
    /// Units by metric name.
    pub metric_descriptors: Vec<MetricDescriptor>,
    /// Labels whose value is JSON text and becomes a JSON value in the event.
    pub parse_json_encoded_attr_values: Vec<String>,
    /// Whether the first value of a cumulative stream is sent as it is instead of being the base.
    pub retain_initial_value_of_delta_metric: bool,
    /// Whether summaries become one metric for the sum, the count and each quantile.
    pub detailed_metrics: bool,
    /// Whether pod and container metrics get a `kubernetes` label (EKS on Fargate).
    pub eks_fargate_container_insights_enabled: bool,
    /// Resource attributes as labels.
    pub resource_to_telemetry_conversion: ResourceToTelemetry,
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
    /// Requests to different log streams on their way at the same time.
    pub num_workers: i64,
    /// Longest time for one batch, in seconds.
    pub request_timeout_seconds: i64,
    /// No effect here; accepted as the reference does.
    pub local_mode: bool,
    /// No effect here; accepted as the reference does.
    pub resource_arn: String,
    /// Whether events are kept to what CloudWatch makes metrics of: at most 100 metrics and 256 KiB
    /// an event, 30 names a dimension set. Off: events exactly as the reference sends them.
    pub enforce_limits: bool,
    /// Queue in front; absent: none, as in the reference.
    pub sending_queue: Option<QueueSettings>,
    /// Sending again what failed for now; absent: not done, as in the reference.
    pub retry_on_failure: Option<RetrySettings>,
    /// Longest time for one batch, 0 for no limit; absent: `request_timeout_seconds`.
    pub timeout: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            namespace: String::new(),
            log_group_name: String::new(),
            log_stream_name: String::new(),
            log_retention: 0,
            tags: None,
            dimension_rollup_option: RollupOption::default(),
            version: "1".to_owned(),
            output_destination: "cloudwatch".to_owned(),
            metric_declarations: Vec::new(),
            metric_descriptors: Vec::new(),
            parse_json_encoded_attr_values: Vec::new(),
            retain_initial_value_of_delta_metric: false,
            detailed_metrics: false,
            eks_fargate_container_insights_enabled: false,
            resource_to_telemetry_conversion: ResourceToTelemetry::default(),
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
            enforce_limits: true,
            sending_queue: None,
            retry_on_failure: None,
            timeout: None,
        }
    }
}

/// `dimension_rollup_option`; it remembers whether it was written, because a feature gate changes
/// the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupOption {
    /// The word.
    pub text: String,
    /// Whether the word stands in the configuration.
    pub is_written: bool,
}

impl Default for RollupOption {
    fn default() -> Self {
        Self {
            text: "ZeroAndSingleDimensionRollup".to_owned(),
            is_written: false,
        }
    }
}

impl From<&str> for RollupOption {
    fn from(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            is_written: true,
        }
    }
}

impl Serialize for RollupOption {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for RollupOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| text.as_str().into())
    }
}

/// `resource_to_telemetry_conversion`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResourceToTelemetry {
    /// Copies resource attributes to the labels of every data point; they win over equal keys.
    pub enabled: bool,
    /// Leaves out `service.name`, `service.namespace` and `service.instance.id`.
    pub exclude_service_attributes: bool,
}

/// An entry of `metric_declarations`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricDeclaration {
    /// Dimension sets; a set counts where all its names are labels. At most ten names each.
    pub dimensions: Vec<Vec<String>>,
    /// Regular expressions on the metric name, any of which must be found in it.
    pub metric_name_selectors: Vec<String>,
    /// Conditions on labels, any of which must hold; none: always.
    pub label_matchers: Vec<LabelMatcher>,
}

/// An entry of `label_matchers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelMatcher {
    /// Labels whose values are joined, in this order; a missing one is empty.
    pub label_names: Vec<String>,
    /// What stands between the values; empty: `;`.
    pub separator: String,
    /// Regular expression to be found in the joined values.
    pub regex: String,
}

/// An entry of `metric_descriptors`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricDescriptor {
    /// Metric name, exactly.
    pub metric_name: String,
    /// CloudWatch unit.
    pub unit: String,
    /// Whether it replaces a unit that the metric has.
    pub overwrite: bool,
    /// Seconds between values that CloudWatch keeps apart: 1 or 60; 0 leaves it to the labels.
    pub storage_resolution: i64,
}

impl MetricDescriptor {
    /// Whether it names a unit; the reference ignores a descriptor with any other text (EMF-06).
    pub(crate) fn has_unit(&self) -> bool {
        units::is_cloudwatch(&self.unit)
    }

    fn check(&self, path: &str, errors: &mut Errors) {
        if !matches!(self.storage_resolution, 0 | 1 | 60) {
            errors.push(
                &format!("{path}.storage_resolution"),
                format!("CloudWatch has no resolution of {} s", self.storage_resolution),
                "use 1 (high resolution) or 60",
            );
        }
        let unit_is_needed = self.storage_resolution == 0 || !self.unit.is_empty();
        if self.metric_name.is_empty() {
            errors.warn(
                path,
                "descriptor without metric_name is ignored",
                "name the metric",
            );
        } else if unit_is_needed && !self.has_unit() {
            errors.warn(
                &format!("{path}.unit"),
                format!("`{}` is no CloudWatch unit and is ignored", self.unit),
                "use a CloudWatch unit such as Seconds, Bytes, Percent or Count",
            );
        }
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        group::validate(self.log_retention, self.tags.as_ref(), errors);
        self.validate_choices(errors);
        for (at, declaration) in self.metric_declarations.iter().enumerate() {
            declaration.check(&format!("metric_declarations[{at}]"), errors);
        }
        for (at, descriptor) in self.metric_descriptors.iter().enumerate() {
            descriptor.check(&format!("metric_descriptors[{at}]"), errors);
        }
        self.validate_sending(errors);
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
    }
}

impl Config {
    /// Words that the reference takes without a check and that then do something else (EMF-07, 08).
    fn validate_choices(&self, errors: &mut Errors) {
        let rollup = self.dimension_rollup_option.text.as_str();
        if !matches!(
            rollup,
            "ZeroAndSingleDimensionRollup" | "SingleDimensionRollupOnly" | "NoDimensionRollup"
        ) {
            errors.warn(
                "dimension_rollup_option",
                format!("unknown option `{rollup}` means no rollup"),
                "use ZeroAndSingleDimensionRollup, SingleDimensionRollupOnly or NoDimensionRollup",
            );
        }
        if !matches!(self.version.as_str(), "0" | "1") {
            errors.warn(
                "version",
                format!(
                    "unknown version `{}`: events will carry no metrics",
                    self.version
                ),
                "use \"1\" or \"0\"",
            );
        }
        if self.destination() == Destination::Nowhere {
            errors.warn(
                "output_destination",
                format!(
                    "unknown destination `{}`: events will be dropped",
                    self.output_destination
                ),
                "use cloudwatch or stdout",
            );
        }
    }

    fn validate_sending(&self, errors: &mut Errors) {
        let timeout = TimeoutSettings(self.timeout.unwrap_or_default());
        validate_sending(errors, timeout, &self.retry(), self.sending_queue.as_ref());
        for (key, template) in [
            ("log_group_name", &self.log_group_name),
            ("log_stream_name", &self.log_stream_name),
        ] {
            for name in names::unknown_placeholders(template) {
                errors.warn(
                    key,
                    format!("`{{{name}}}` is no placeholder and stays as it is"),
                    "use {ClusterName}, {TaskId}, {NodeName}, {PodName}, {ServiceName}, \
                     {ContainerInstanceId}, {TaskDefinitionFamily}, {k8s.*} or {aws.ecs.*}",
                );
            }
        }
    }

    /// Repetitions; the reference knows none.
    pub(crate) fn retry(&self) -> RetrySettings {
        self.retry_on_failure.unwrap_or_else(RetrySettings::off)
    }

    /// Whether batches may come to be sent in another order than they came.
    pub(crate) fn reorders(&self) -> bool {
        self.retry().enabled || self.sending_queue.as_ref().is_some_and(|queue| queue.enabled)
    }

    /// Longest time for one batch.
    pub(crate) fn limit(&self) -> Option<std::time::Duration> {
        match (self.timeout, u64::try_from(self.request_timeout_seconds)) {
            (Some(timeout), _) => TimeoutSettings(timeout).limit(),
            (None, Ok(seconds)) if seconds > 0 => Some(std::time::Duration::from_secs(seconds)),
            (None, _) => Some(std::time::Duration::from_secs(30)),
        }
    }

    /// What log groups made by this exporter get.
    pub(crate) fn new_group(&self) -> NewGroup {
        NewGroup {
            tags: self.tags.clone(),
            retention_days: self.log_retention,
        }
    }

    /// How to reach CloudWatch Logs.
    pub(crate) fn session(&self) -> AwsSession {
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

    /// Where events go.
    pub(crate) fn destination(&self) -> Destination {
        if self.output_destination.eq_ignore_ascii_case("cloudwatch") {
            Destination::CloudWatch
        } else if self.output_destination.eq_ignore_ascii_case("stdout") {
            Destination::Stdout
        } else {
            Destination::Nowhere
        }
    }
}

/// Meaning of `output_destination`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// `PutLogEvents`.
    CloudWatch,
    /// A line per event on standard output.
    Stdout,
    /// Any other text: nothing is written (as the reference).
    Nowhere,
}

impl MetricDeclaration {
    /// Errors for what would stop the reference, warnings for what it leaves out in silence
    /// (EMF-04, EMF-05).
    fn check(&self, path: &str, errors: &mut Errors) {
        if self.metric_name_selectors.is_empty() {
            errors.warn(
                path,
                "declaration without metric_name_selectors is ignored",
                "add at least one selector",
            );
        }
        for (at, selector) in self.metric_name_selectors.iter().enumerate() {
            if let Err(error) = super::pattern::compile(selector) {
                errors.push(
                    &format!("{path}.metric_name_selectors[{at}]"),
                    format!("invalid regular expression: {error}"),
                    "",
                );
            }
        }
        for (at, set) in self.dimensions.iter().enumerate() {
            let names: std::collections::BTreeSet<&String> = set.iter().collect();
            if names.len() > super::declarations::MAX_DIMENSIONS {
                errors.warn(
                    &format!("{path}.dimensions[{at}]"),
                    format!(
                        "dimension set of {} names is ignored: at most 10",
                        names.len()
                    ),
                    "",
                );
            }
        }
        for (at, matcher) in self.label_matchers.iter().enumerate() {
            if let Err(why) = matcher.problem() {
                errors.warn(
                    &format!("{path}.label_matchers[{at}]"),
                    format!("{why}; the whole declaration is ignored"),
                    "",
                );
            }
        }
    }

    /// Whether the reference would use this declaration.
    pub(crate) fn is_usable(&self) -> bool {
        !self.metric_name_selectors.is_empty()
            && self.label_matchers.iter().all(|m| m.problem().is_ok())
    }
}

impl LabelMatcher {
    fn problem(&self) -> Result<(), String> {
        if self.label_names.is_empty() {
            return Err("label matcher without label_names".to_owned());
        }
        if self.regex.is_empty() {
            return Err("label matcher without regex".to_owned());
        }
        super::pattern::compile(&self.regex)
            .map(drop)
            .map_err(|error| format!("invalid regular expression: {error}"))
    }
}
