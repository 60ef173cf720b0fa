//! Keys of `prometheus` (prometheusremotewrite specification, section 9).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Validate};
use weir_net::Headers;
use weir_net::http::{CorsConfig, HttpServerConfig, ServerAuthConfig};
use weir_net::tls::TlsServerConfig;
use weir_prom::naming::{NameShape, Namer, TranslationStrategy};
use weir_sending::QueueSettings;

use crate::prometheus_labels::{self, LabelRules, ResourceToTelemetry};

/// `prometheus`: a page with the last values, to be scraped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `host:port` to listen on; required.
    pub endpoint: String,
    /// Goes before every metric name.
    pub namespace: String,
    /// Labels of every series that does not have them.
    pub const_labels: BTreeMap<String, String>,
    /// Writes the time of each value beside it.
    pub send_timestamps: bool,
    /// A series without a new value for so long is no longer shown.
    pub metric_expiration: Duration,
    /// Resource attributes as labels.
    pub resource_to_telemetry_conversion: ResourceToTelemetry,
    /// Answers in the OpenMetrics format to those who ask for it, with exemplars.
    pub enable_open_metrics: bool,
    /// Leaves out the labels `otel_scope_...`.
    pub without_scope_info: bool,
    /// Accepted, without effect, as in the reference; `translation_strategy` decides.
    pub add_metric_suffixes: bool,
    /// How names are made; empty: `UnderscoreEscapingWithSuffixes`.
    pub translation_strategy: String,
    /// A queue in front.
    pub sending_queue: Option<QueueSettings>,
    /// Most series on the page; points of further ones are dropped and counted.
    pub max_series: usize,
    /// TLS; left out: plain text.
    pub tls: Option<TlsServerConfig>,
    /// Cross-origin requests of browsers.
    pub cors: Option<CorsConfig>,
    /// Authentication of requests.
    pub auth: Option<ServerAuthConfig>,
    /// Headers of every answer.
    pub response_headers: Headers,
    /// Whole request.
    pub read_timeout: Option<Duration>,
    /// Headers of a request.
    pub read_header_timeout: Option<Duration>,
    /// A client that does not read its answer.
    pub write_timeout: Option<Duration>,
    /// Connection without a request.
    pub idle_timeout: Option<Duration>,
    /// Several requests on one connection.
    pub keep_alives_enabled: Option<bool>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            namespace: String::new(),
            const_labels: BTreeMap::new(),
            send_timestamps: false,
            metric_expiration: Duration::from_mins(5),
            resource_to_telemetry_conversion: ResourceToTelemetry::default(),
            enable_open_metrics: false,
            without_scope_info: false,
            add_metric_suffixes: true,
            translation_strategy: String::new(),
            sending_queue: None,
            max_series: 1_000_000,
            tls: None,
            cors: None,
            auth: None,
            response_headers: Headers::default(),
            read_timeout: None,
            read_header_timeout: None,
            write_timeout: None,
            idle_timeout: None,
            keep_alives_enabled: None,
        }
    }
}

impl Config {
    /// The settings of the server.
    pub(crate) fn server(&self) -> HttpServerConfig {
        HttpServerConfig {
            endpoint: self.endpoint.clone(),
            tls: self.tls.clone(),
            cors: self.cors.clone(),
            auth: self.auth.clone(),
            response_headers: self.response_headers.clone(),
            read_timeout: self.read_timeout,
            read_header_timeout: self.read_header_timeout,
            write_timeout: self.write_timeout,
            idle_timeout: self.idle_timeout,
            keep_alives_enabled: self.keep_alives_enabled,
            ..HttpServerConfig::default()
        }
    }

    /// How names and labels are made. The namespace follows the strategy, too.
    pub(crate) fn rules(&self) -> LabelRules {
        let strategy = prometheus_labels::strategy(&self.translation_strategy, true);
        let namespace = if strategy.escapes() && !self.namespace.is_empty() {
            let plain = Namer {
                strategy: TranslationStrategy::UnderscoreEscapingWithoutSuffixes,
                ..Namer::default()
            };
            // One without a usable character is none.
            plain.metric(&self.namespace, "", NameShape::Other).unwrap_or_default()
        } else {
            self.namespace.clone()
        };
        let namer = Namer {
            strategy,
            namespace,
            permissive_labels: false,
        };
        let resource = self.resource_to_telemetry_conversion;
        LabelRules::new(namer, &self.const_labels, !self.without_scope_info, resource)
    }

    /// How long a value is shown; `None` for ever.
    pub(crate) fn expiration(&self) -> Option<std::time::Duration> {
        (!self.metric_expiration.is_zero()).then(|| self.metric_expiration.to_std())
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        if self.endpoint.is_empty() {
            errors.push(
                "endpoint",
                "`endpoint` is required",
                "write host and port to listen on, such as `localhost:8889`",
            );
        } else {
            errors.nested("", &self.server());
        }
        if self.metric_expiration.is_negative() {
            errors.push("metric_expiration", "must not be negative", "0 means for ever");
        }
        if self.max_series == 0 {
            errors.push("max_series", "must be positive", "leave it out for 1000000");
        }
        if !self.add_metric_suffixes {
            errors.warn(
                "add_metric_suffixes",
                "`add_metric_suffixes` has no effect",
                "write `translation_strategy: UnderscoreEscapingWithoutSuffixes`",
            );
        }
        if !self.translation_strategy.is_empty()
            && let Err(unknown) = self.translation_strategy.parse::<TranslationStrategy>()
        {
            errors.push("translation_strategy", unknown.to_string(), "");
        }
        if let Some(queue) = &self.sending_queue {
            errors.nested("sending_queue", queue);
        }
        for (name, value) in &self.const_labels {
            if name.is_empty() || value.is_empty() {
                errors.push(
                    "const_labels",
                    format!("label `{name}` has an empty name or value"),
                    "give it both, or remove it",
                );
            }
        }
    }
}
