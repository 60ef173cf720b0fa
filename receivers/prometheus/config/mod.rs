//! Keys of the `prometheus` receiver (prometheus-receiver specification, sections 1 and 2).

mod allocator;
mod api;
mod files;
mod job;
mod scrape;
mod values;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Loose, Node, Validate};

pub(crate) use allocator::TargetAllocatorConfig;
pub(crate) use api::ApiServer;
pub(crate) use files::jobs_of_files;
pub(crate) use job::JobRules;
pub(crate) use scrape::ScrapeConfig;
pub(crate) use values::{PromDuration, PromSize};

use scrape::{check_protocols, check_schemes};

/// Configuration of `prometheus`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What Prometheus has in its own file.
    pub(crate) config: Loose<PrometheusConfig>,
    /// Take type and unit off metric names.
    pub(crate) trim_metric_suffixes: bool,
    /// Where more jobs come from.
    pub(crate) target_allocator: Option<TargetAllocatorConfig>,
    /// The read-only debug API.
    pub(crate) api_server: ApiServer,
    /// One more scrape of each target before its loop ends.
    pub(crate) scrape_on_shutdown: bool,
    /// Accepted: what discovery finds is used at once anyway.
    pub(crate) discovery_reload_on_startup: bool,
    /// Added to the offset of the first scrape.
    pub(crate) initial_scrape_offset: Duration,
}

/// The section `config`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PrometheusConfig {
    /// Defaults of all jobs.
    pub(crate) global: Global,
    /// The jobs.
    pub(crate) scrape_configs: Vec<ScrapeConfig>,
    /// Patterns of files with more jobs.
    pub(crate) scrape_config_files: Vec<String>,
    /// Not for a receiver, as the four below.
    pub(crate) remote_write: Option<Node>,
    pub(crate) remote_read: Option<Node>,
    pub(crate) rule_files: Option<Node>,
    pub(crate) alerting: Option<Alerting>,
    /// Without effect, as the three below.
    pub(crate) storage: Option<Node>,
    pub(crate) tracing: Option<Node>,
    pub(crate) runtime: Option<Node>,
    pub(crate) otlp: Option<Node>,
}

/// `alerting`; none of it is for a receiver.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Alerting {
    pub(crate) alertmanagers: Option<Node>,
    pub(crate) alert_relabel_configs: Option<Node>,
}

/// `global`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Global {
    pub(crate) scrape_interval: PromDuration,
    /// 10 s, but at most the interval, if left out.
    pub(crate) scrape_timeout: Option<PromDuration>,
    pub(crate) scrape_protocols: Option<Vec<String>>,
    /// Without effect, as the three below.
    pub(crate) evaluation_interval: PromDuration,
    pub(crate) rule_query_offset: PromDuration,
    pub(crate) query_log_file: String,
    pub(crate) scrape_failure_log_file: String,
    /// Set on every series.
    pub(crate) external_labels: BTreeMap<String, String>,
    pub(crate) body_size_limit: PromSize,
    pub(crate) sample_limit: u64,
    pub(crate) target_limit: u64,
    pub(crate) label_limit: u64,
    pub(crate) label_name_length_limit: u64,
    pub(crate) label_value_length_limit: u64,
    pub(crate) keep_dropped_targets: u64,
    pub(crate) metric_name_validation_scheme: String,
    pub(crate) metric_name_escaping_scheme: String,
    pub(crate) scrape_native_histograms: bool,
    pub(crate) convert_classic_histograms_to_nhcb: bool,
    pub(crate) always_scrape_classic_histograms: bool,
    pub(crate) extra_scrape_metrics: bool,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            scrape_interval: PromDuration::from_secs(60),
            scrape_timeout: None,
            scrape_protocols: None,
            evaluation_interval: PromDuration::from_secs(60),
            rule_query_offset: PromDuration::default(),
            query_log_file: String::new(),
            scrape_failure_log_file: String::new(),
            external_labels: BTreeMap::new(),
            body_size_limit: PromSize::default(),
            sample_limit: 0,
            target_limit: 0,
            label_limit: 0,
            label_name_length_limit: 0,
            label_value_length_limit: 0,
            keep_dropped_targets: 0,
            metric_name_validation_scheme: String::new(),
            metric_name_escaping_scheme: String::new(),
            scrape_native_histograms: false,
            convert_classic_histograms_to_nhcb: false,
            always_scrape_classic_histograms: false,
            extra_scrape_metrics: false,
        }
    }
}

impl Global {
    /// Interval and timeout of a job.
    pub(crate) fn times(&self, job: &ScrapeConfig) -> (PromDuration, PromDuration) {
        let own = |time: Option<PromDuration>| time.filter(|time| !time.is_zero());
        let interval = own(job.scrape_interval).unwrap_or(self.interval());
        let timeout = own(job.scrape_timeout).unwrap_or(self.timeout().min(interval));
        (interval, timeout)
    }

    fn interval(&self) -> PromDuration {
        if self.scrape_interval.is_zero() {
            PromDuration::from_secs(60)
        } else {
            self.scrape_interval
        }
    }

    fn timeout(&self) -> PromDuration {
        let own = self.scrape_timeout.filter(|time| !time.is_zero());
        own.unwrap_or(PromDuration::from_secs(10).min(self.interval()))
    }
}

impl Validate for Global {
    fn validate(&self, errors: &mut Errors) {
        if self.timeout() > self.interval() {
            let text = "global scrape timeout greater than scrape interval";
            errors.push(
                "scrape_timeout",
                text,
                "lower scrape_timeout, or raise scrape_interval",
            );
        }
        if let Some(protocols) = &self.scrape_protocols {
            if protocols.is_empty() {
                let text = "scrape_protocols cannot be empty";
                errors.push(
                    "scrape_protocols",
                    text,
                    "remove the key for the default list",
                );
            }
            check_protocols("scrape_protocols", protocols, errors);
        }
        check_schemes(
            &self.metric_name_validation_scheme,
            &self.metric_name_escaping_scheme,
            errors,
        );
    }
}

impl PrometheusConfig {
    /// Sections that are not for a receiver, sorted.
    fn unsupported(&self) -> Vec<&'static str> {
        let alerting = self.alerting.as_ref();
        let mut found = Vec::new();
        for (name, given) in [
            (
                "alert_config.alertmanagers",
                alerting.is_some_and(|a| a.alertmanagers.is_some()),
            ),
            (
                "alert_config.relabel_configs",
                alerting.is_some_and(|a| a.alert_relabel_configs.is_some()),
            ),
            ("remote_read", self.remote_read.is_some()),
            ("remote_write", self.remote_write.is_some()),
            ("rule_files", self.rule_files.is_some()),
        ] {
            if given {
                found.push(name);
            }
        }
        found
    }
}

/// Checks jobs, of the section or of a file, against the global keys.
pub(crate) fn check_jobs(global: &Global, jobs: &[ScrapeConfig], errors: &mut Errors) {
    for (i, job) in jobs.iter().enumerate() {
        let key = format!("scrape_configs[{i}]");
        errors.nested(&key, job);
        let (interval, timeout) = global.times(job);
        if timeout > interval {
            let text = format!(
                "scrape timeout greater than scrape interval for scrape config with job name \"{}\"",
                job.job_name
            );
            let hint = "lower scrape_timeout, or raise scrape_interval";
            errors.push(&format!("{key}.scrape_timeout"), text, hint);
        }
        if jobs
            .iter()
            .take(i)
            .any(|other| other.job_name == job.job_name)
        {
            let text = format!(
                "found multiple scrape configs with job name \"{}\"",
                job.job_name
            );
            errors.push(
                &format!("{key}.job_name"),
                text,
                "give each job a name of its own",
            );
        }
    }
}

impl Validate for PrometheusConfig {
    fn validate(&self, errors: &mut Errors) {
        errors.nested("global", &self.global);
        let unsupported = self.unsupported();
        if !unsupported.is_empty() {
            let text = format!("unsupported features: {}", unsupported.join(", "));
            errors.push("", text, "remove them: they are for a Prometheus server");
        }
        check_jobs(&self.global, &self.scrape_configs, errors);
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        let section = &self.config.0;
        let jobs = !section.scrape_configs.is_empty() || !section.scrape_config_files.is_empty();
        if let Some(allocator) = &self.target_allocator {
            errors.nested("target_allocator", allocator);
        } else if !jobs {
            let text = "no Prometheus scrape_configs or target_allocator set";
            errors.push("config", text, "add a job under config.scrape_configs");
        }
        if self.api_server.enabled {
            errors.nested("api_server.server_config", &self.api_server.server_config);
        }
        if self.initial_scrape_offset.is_negative() {
            errors.push("initial_scrape_offset", "must not be negative", "");
        }
        errors.nested("config", section);
    }
}
