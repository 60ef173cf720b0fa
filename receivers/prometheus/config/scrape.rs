//! Keys of an entry of `scrape_configs` (prometheus-receiver specification, section 2.3).

use std::collections::BTreeMap;

use weir_config::{Errors, Node, Validate};
use weir_prom::exposition::{EscapingScheme, NameScheme, ScrapeProtocol};
use weir_prom::relabel::RelabelConfig;

use super::values::{PromDuration, PromSize};
use crate::discovery::client::with_client_keys;
use crate::discovery::config::{
    DnsSdConfig, Ec2SdConfig, EcsSdConfig, FileSdConfig, HttpSdConfig, KubernetesSdConfig,
    StaticConfig,
};

with_client_keys! {
    /// One job.
    pub(crate) struct ScrapeConfig {
        /// Value of the label `job`.
        job_name: String = String::new(),
        /// Time between two scrapes; that of `global` if left out.
        scrape_interval: Option<PromDuration> = None,
        /// Time for one scrape; that of `global`, but at most the interval, if left out.
        scrape_timeout: Option<PromDuration> = None,
        /// Path of the page.
        metrics_path: String = "/metrics".to_owned(),
        /// `http` or `https`.
        scheme: String = "http".to_owned(),
        /// Parameters of the query.
        params: BTreeMap<String, Vec<String>> = BTreeMap::new(),
        /// Labels of the page win over those of the target.
        honor_labels: bool = false,
        /// Times of the page are used.
        honor_timestamps: bool = true,
        /// Series with times of their own turn stale, too.
        track_timestamps_staleness: bool = false,
        /// What to ask for, most wanted first.
        scrape_protocols: Vec<String> = Vec::new(),
        /// What an answer without a known content type is read as.
        fallback_scrape_protocol: String = "PrometheusText0.0.4".to_owned(),
        scrape_native_histograms: Option<bool> = None,
        always_scrape_classic_histograms: Option<bool> = None,
        convert_classic_histograms_to_nhcb: Option<bool> = None,
        extra_scrape_metrics: Option<bool> = None,
        /// Ask for gzip.
        enable_compression: bool = true,
        body_size_limit: PromSize = PromSize::default(),
        sample_limit: u64 = 0,
        target_limit: u64 = 0,
        label_limit: u64 = 0,
        label_name_length_limit: u64 = 0,
        label_value_length_limit: u64 = 0,
        /// Accepted; dropped targets are not kept.
        keep_dropped_targets: u64 = 0,
        native_histogram_bucket_limit: u64 = 0,
        native_histogram_min_bucket_factor: f64 = 0.0,
        metric_name_validation_scheme: String = String::new(),
        metric_name_escaping_scheme: String = String::new(),
        /// Accepted; failures go to the log.
        scrape_failure_log_file: String = String::new(),
        relabel_configs: Vec<RelabelConfig> = Vec::new(),
        metric_relabel_configs: Vec<RelabelConfig> = Vec::new(),
        static_configs: Vec<StaticConfig> = Vec::new(),
        file_sd_configs: Vec<FileSdConfig> = Vec::new(),
        http_sd_configs: Vec<HttpSdConfig> = Vec::new(),
        kubernetes_sd_configs: Vec<KubernetesSdConfig> = Vec::new(),
        dns_sd_configs: Vec<DnsSdConfig> = Vec::new(),
        ec2_sd_configs: Vec<Ec2SdConfig> = Vec::new(),
        ecs_sd_configs: Vec<EcsSdConfig> = Vec::new(),
        /// Known, not offered, as all below: the load fails with their name.
        aws_sd_configs: Option<Node> = None,
        azure_sd_configs: Option<Node> = None,
        consul_sd_configs: Option<Node> = None,
        digitalocean_sd_configs: Option<Node> = None,
        docker_sd_configs: Option<Node> = None,
        dockerswarm_sd_configs: Option<Node> = None,
        elasticache_sd_configs: Option<Node> = None,
        eureka_sd_configs: Option<Node> = None,
        gce_sd_configs: Option<Node> = None,
        hetzner_sd_configs: Option<Node> = None,
        ionos_sd_configs: Option<Node> = None,
        kuma_sd_configs: Option<Node> = None,
        lightsail_sd_configs: Option<Node> = None,
        linode_sd_configs: Option<Node> = None,
        marathon_sd_configs: Option<Node> = None,
        msk_sd_configs: Option<Node> = None,
        nerve_sd_configs: Option<Node> = None,
        nomad_sd_configs: Option<Node> = None,
        openstack_sd_configs: Option<Node> = None,
        outscale_sd_configs: Option<Node> = None,
        ovhcloud_sd_configs: Option<Node> = None,
        puppetdb_sd_configs: Option<Node> = None,
        rds_sd_configs: Option<Node> = None,
        scaleway_sd_configs: Option<Node> = None,
        serverset_sd_configs: Option<Node> = None,
        stackit_sd_configs: Option<Node> = None,
        triton_sd_configs: Option<Node> = None,
        uyuni_sd_configs: Option<Node> = None,
        vultr_sd_configs: Option<Node> = None,
    }
}

impl ScrapeConfig {
    /// Checks a list of relabelling rules.
    fn check_rules(key: &str, rules: &[RelabelConfig], scheme: NameScheme, errors: &mut Errors) {
        for (i, rule) in rules.iter().enumerate() {
            if let Err(error) = rule.compile(scheme) {
                errors.push(&format!("{key}[{i}]"), error.to_string(), "");
            }
        }
    }

    /// Mechanisms that are not offered, and whether they are asked for.
    fn not_offered(&self) -> [(&'static str, bool); 29] {
        macro_rules! given {
            ($($key:ident),*) => { [$((stringify!($key), self.$key.is_some())),*] };
        }
        given![
            aws_sd_configs,
            azure_sd_configs,
            consul_sd_configs,
            digitalocean_sd_configs,
            docker_sd_configs,
            dockerswarm_sd_configs,
            elasticache_sd_configs,
            eureka_sd_configs,
            gce_sd_configs,
            hetzner_sd_configs,
            ionos_sd_configs,
            kuma_sd_configs,
            lightsail_sd_configs,
            linode_sd_configs,
            marathon_sd_configs,
            msk_sd_configs,
            nerve_sd_configs,
            nomad_sd_configs,
            openstack_sd_configs,
            outscale_sd_configs,
            ovhcloud_sd_configs,
            puppetdb_sd_configs,
            rds_sd_configs,
            scaleway_sd_configs,
            serverset_sd_configs,
            stackit_sd_configs,
            triton_sd_configs,
            uyuni_sd_configs,
            vultr_sd_configs
        ]
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
        for (i, config) in self.dns_sd_configs.iter().enumerate() {
            errors.nested(&format!("dns_sd_configs[{i}]"), config);
        }
        for (i, config) in self.ec2_sd_configs.iter().enumerate() {
            errors.nested(&format!("ec2_sd_configs[{i}]"), config);
        }
        for (i, config) in self.ecs_sd_configs.iter().enumerate() {
            errors.nested(&format!("ecs_sd_configs[{i}]"), config);
        }
        for (key, given) in self.not_offered() {
            if given {
                let hint = "use static_configs, file_sd_configs, http_sd_configs, dns_sd_configs, \
                            kubernetes_sd_configs, ec2_sd_configs or ecs_sd_configs";
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
