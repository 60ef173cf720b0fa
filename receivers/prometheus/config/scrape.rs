//! Keys of an entry of `scrape_configs` (prometheus-receiver specification, section 2.3).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_config::{Errors, Node, Secret, Validate};
use weir_prom::exposition::{EscapingScheme, NameScheme, ScrapeProtocol};
use weir_prom::relabel::RelabelConfig;

use super::http::{Authorization, BasicAuth, HeaderValues, HttpClientBlock, TlsConfig};
use super::values::{PromDuration, PromSize};
use crate::discovery::config::{
    FileSdConfig, HttpSdConfig, KubernetesSdConfig, StaticConfig,
};

/// One job.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ScrapeConfig {
    /// Value of the label `job`.
    pub(crate) job_name: String,
    /// Time between two scrapes; that of `global` if left out.
    pub(crate) scrape_interval: Option<PromDuration>,
    /// Time for one scrape; that of `global`, but at most the interval, if left out.
    pub(crate) scrape_timeout: Option<PromDuration>,
    /// Path of the page.
    pub(crate) metrics_path: String,
    /// `http` or `https`.
    pub(crate) scheme: String,
    /// Parameters of the query.
    pub(crate) params: BTreeMap<String, Vec<String>>,
    /// Labels of the page win over those of the target.
    pub(crate) honor_labels: bool,
    /// Times of the page are used.
    pub(crate) honor_timestamps: bool,
    /// Series with times of their own turn stale, too.
    pub(crate) track_timestamps_staleness: bool,
    /// What to ask for, most wanted first.
    pub(crate) scrape_protocols: Vec<String>,
    /// What an answer without a known content type is read as.
    pub(crate) fallback_scrape_protocol: String,
    pub(crate) scrape_native_histograms: Option<bool>,
    pub(crate) always_scrape_classic_histograms: Option<bool>,
    pub(crate) convert_classic_histograms_to_nhcb: Option<bool>,
    pub(crate) extra_scrape_metrics: Option<bool>,
    /// Ask for gzip.
    pub(crate) enable_compression: bool,
    pub(crate) body_size_limit: PromSize,
    pub(crate) sample_limit: u64,
    pub(crate) target_limit: u64,
    pub(crate) label_limit: u64,
    pub(crate) label_name_length_limit: u64,
    pub(crate) label_value_length_limit: u64,
    /// Accepted; dropped targets are not kept.
    pub(crate) keep_dropped_targets: u64,
    pub(crate) native_histogram_bucket_limit: u64,
    pub(crate) native_histogram_min_bucket_factor: f64,
    pub(crate) metric_name_validation_scheme: String,
    pub(crate) metric_name_escaping_scheme: String,
    /// Accepted; failures go to the log.
    pub(crate) scrape_failure_log_file: String,
    pub(crate) relabel_configs: Vec<RelabelConfig>,
    pub(crate) metric_relabel_configs: Vec<RelabelConfig>,
    pub(crate) static_configs: Vec<StaticConfig>,
    pub(crate) file_sd_configs: Vec<FileSdConfig>,
    pub(crate) http_sd_configs: Vec<HttpSdConfig>,
    pub(crate) kubernetes_sd_configs: Vec<KubernetesSdConfig>,
    /// Known, not offered yet, as the three below.
    pub(crate) dns_sd_configs: Option<Node>,
    pub(crate) ec2_sd_configs: Option<Node>,
    pub(crate) ecs_sd_configs: Option<Node>,
    pub(crate) consul_sd_configs: Option<Node>,
    pub(crate) basic_auth: Option<BasicAuth>,
    pub(crate) authorization: Option<Authorization>,
    pub(crate) bearer_token: Secret<String>,
    pub(crate) bearer_token_file: String,
    pub(crate) oauth2: Option<Node>,
    pub(crate) tls_config: TlsConfig,
    pub(crate) follow_redirects: bool,
    pub(crate) enable_http2: bool,
    pub(crate) proxy_url: String,
    pub(crate) no_proxy: String,
    pub(crate) proxy_from_environment: bool,
    /// Accepted; proxies get no headers.
    pub(crate) proxy_connect_header: BTreeMap<String, Vec<Secret<String>>>,
    pub(crate) http_headers: BTreeMap<String, HeaderValues>,
}

impl Default for ScrapeConfig {
    fn default() -> Self {
        Self {
            job_name: String::new(),
            scrape_interval: None,
            scrape_timeout: None,
            metrics_path: "/metrics".to_owned(),
            scheme: "http".to_owned(),
            params: BTreeMap::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            scrape_protocols: Vec::new(),
            fallback_scrape_protocol: "PrometheusText0.0.4".to_owned(),
            scrape_native_histograms: None,
            always_scrape_classic_histograms: None,
            convert_classic_histograms_to_nhcb: None,
            extra_scrape_metrics: None,
            enable_compression: true,
            body_size_limit: PromSize::default(),
            sample_limit: 0,
            target_limit: 0,
            label_limit: 0,
            label_name_length_limit: 0,
            label_value_length_limit: 0,
            keep_dropped_targets: 0,
            native_histogram_bucket_limit: 0,
            native_histogram_min_bucket_factor: 0.0,
            metric_name_validation_scheme: String::new(),
            metric_name_escaping_scheme: String::new(),
            scrape_failure_log_file: String::new(),
            relabel_configs: Vec::new(),
            metric_relabel_configs: Vec::new(),
            static_configs: Vec::new(),
            file_sd_configs: Vec::new(),
            http_sd_configs: Vec::new(),
            kubernetes_sd_configs: Vec::new(),
            dns_sd_configs: None,
            ec2_sd_configs: None,
            ecs_sd_configs: None,
            consul_sd_configs: None,
            basic_auth: None,
            authorization: None,
            bearer_token: Secret::default(),
            bearer_token_file: String::new(),
            oauth2: None,
            tls_config: TlsConfig::default(),
            follow_redirects: true,
            enable_http2: true,
            proxy_url: String::new(),
            no_proxy: String::new(),
            proxy_from_environment: false,
            proxy_connect_header: BTreeMap::new(),
            http_headers: BTreeMap::new(),
        }
    }
}

impl ScrapeConfig {
    /// The keys of the HTTP client.
    pub(crate) fn client(&self) -> HttpClientBlock {
        HttpClientBlock {
            basic_auth: self.basic_auth.clone(),
            authorization: self.authorization.clone(),
            bearer_token: self.bearer_token.clone(),
            bearer_token_file: self.bearer_token_file.clone(),
            oauth2: self.oauth2.is_some(),
            tls: self.tls_config.clone(),
            follow_redirects: self.follow_redirects,
            enable_http2: self.enable_http2,
            proxy_url: self.proxy_url.clone(),
            no_proxy: self.no_proxy.clone(),
            proxy_from_environment: self.proxy_from_environment,
            headers: self.http_headers.clone(),
        }
    }

    /// Checks a list of relabelling rules.
    fn check_rules(key: &str, rules: &[RelabelConfig], scheme: NameScheme, errors: &mut Errors) {
        for (i, rule) in rules.iter().enumerate() {
            if let Err(error) = rule.compile(scheme) {
                errors.push(&format!("{key}[{i}]"), error.to_string(), "");
            }
        }
    }

    fn check_discovery(&self, errors: &mut Errors) {
        for (i, config) in self.file_sd_configs.iter().enumerate() {
            errors.nested(&format!("file_sd_configs[{i}]"), config);
        }
        for (i, config) in self.http_sd_configs.iter().enumerate() {
            errors.nested(&format!("http_sd_configs[{i}]"), config);
        }
        for (i, config) in self.kubernetes_sd_configs.iter().enumerate() {
            errors.nested(&format!("kubernetes_sd_configs[{i}]"), config);
        }
        for (key, given) in [
            ("dns_sd_configs", &self.dns_sd_configs),
            ("ec2_sd_configs", &self.ec2_sd_configs),
            ("ecs_sd_configs", &self.ecs_sd_configs),
            ("consul_sd_configs", &self.consul_sd_configs),
        ] {
            if given.is_some() {
                let hint =
                    "use static_configs, file_sd_configs, http_sd_configs or kubernetes_sd_configs";
                errors.push(key, format!("{key} is known but not offered yet"), hint);
            }
        }
        if !self.relabel_configs.is_empty() {
            return;
        }
        // With rules an address may be anything; without them it is used as it is.
        for (i, config) in self.static_configs.iter().enumerate() {
            for (j, address) in config.targets.iter().enumerate() {
                if address.contains('/') {
                    let text = format!("`{address}` is not a valid hostname");
                    let hint = "give host:port; scheme and path have keys of their own";
                    errors.push(&format!("static_configs[{i}].targets[{j}]"), text, hint);
                }
            }
        }
    }
}

/// The scheme of a `metric_name_validation_scheme`; the default if empty.
pub(crate) fn name_scheme(text: &str) -> Option<NameScheme> {
    match text {
        "" | "utf8" => Some(NameScheme::Utf8),
        "legacy" => Some(NameScheme::Legacy),
        _ => None,
    }
}

/// The scheme of a `metric_name_escaping_scheme`.
pub(crate) fn escaping_scheme(text: &str) -> Option<EscapingScheme> {
    [
        EscapingScheme::AllowUtf8,
        EscapingScheme::Underscores,
        EscapingScheme::Dots,
        EscapingScheme::Values,
    ]
    .into_iter()
    .find(|scheme| scheme.name() == text)
}

/// Checks a list of protocols.
pub(crate) fn check_protocols(key: &str, names: &[String], errors: &mut Errors) {
    for (i, name) in names.iter().enumerate() {
        let path = format!("{key}[{i}]");
        if let Err(error) = name.parse::<ScrapeProtocol>() {
            errors.push(&path, error.to_string(), "");
        }
        if names
            .iter()
            .take(i)
            .any(|other| other.eq_ignore_ascii_case(name))
        {
            errors.push(
                &path,
                format!("duplicated protocol `{name}`"),
                "name each one once",
            );
        }
    }
}

/// Checks the two schemes of metric names.
pub(crate) fn check_schemes(validation: &str, escaping: &str, errors: &mut Errors) {
    if name_scheme(validation).is_none() {
        let text = format!("unknown global name validation method `{validation}`");
        errors.push("metric_name_validation_scheme", text, "use utf8 or legacy");
    }
    if !escaping.is_empty() && escaping_scheme(escaping).is_none() {
        let text = format!("unknown escaping scheme `{escaping}`");
        let hint = "use allow-utf-8, underscores, dots or values";
        errors.push("metric_name_escaping_scheme", text, hint);
    }
    if validation == "legacy" && escaping == "allow-utf-8" {
        let text = "allow-utf-8 does not go with metric_name_validation_scheme: legacy";
        errors.push("metric_name_escaping_scheme", text, "use underscores");
    }
}

impl Validate for ScrapeConfig {
    fn validate(&self, errors: &mut Errors) {
        if self.job_name.is_empty() {
            errors.push("job_name", "job_name is empty", "give the job a name");
        }
        if !matches!(self.scheme.as_str(), "http" | "https") {
            let text = format!("scheme must be `http` or `https`, not `{}`", self.scheme);
            errors.push("scheme", text, "");
        }
        check_protocols("scrape_protocols", &self.scrape_protocols, errors);
        let fallback = &self.fallback_scrape_protocol;
        if !fallback.is_empty()
            && let Err(error) = fallback.parse::<ScrapeProtocol>()
        {
            errors.push("fallback_scrape_protocol", error.to_string(), "");
        }
        check_schemes(
            &self.metric_name_validation_scheme,
            &self.metric_name_escaping_scheme,
            errors,
        );
        let scheme = name_scheme(&self.metric_name_validation_scheme).unwrap_or_default();
        Self::check_rules("relabel_configs", &self.relabel_configs, scheme, errors);
        let rules = &self.metric_relabel_configs;
        Self::check_rules("metric_relabel_configs", rules, scheme, errors);
        for (i, rule) in rules.iter().enumerate() {
            if rule
                .compile(scheme)
                .is_ok_and(|rule| rule.writes_metric_name())
            {
                let key = format!("metric_relabel_configs[{i}]");
                let text = "metric renaming using metric_relabel_configs will result in unknown-typed \
                            metrics without a unit or description";
                errors.warn(&key, text, "rename with a processor instead");
            }
        }
        errors.nested("", &self.client());
        self.check_discovery(errors);
    }
}
