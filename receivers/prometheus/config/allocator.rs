//! Keys of `target_allocator` (prometheus-receiver specification, section 3.3).

use weir_config::{Duration, Errors, Validate};

use crate::discovery::client::{http_url, with_client_keys};
use crate::discovery::config::HttpSdConfig;

with_client_keys! {
    /// `http_scrape_config`: the HTTP client of all jobs that the allocator gives.
    pub(crate) struct ScrapeClient {}
}

weir_net::http_client_keys! {
    /// `target_allocator`.
    pub(crate) struct TargetAllocatorConfig {
        /// How often the jobs are asked for.
        pub(crate) interval: Duration = Duration::ZERO,
        /// Who asks; the name of the pod.
        pub(crate) collector_id: String = String::new(),
        /// Of the discovery of each job: interval and client.
        pub(crate) http_sd_config: Option<HttpSdConfig> = None,
        /// HTTP client of the jobs.
        pub(crate) http_scrape_config: Option<ScrapeClient> = None,
    }
    defaults weir_net::HttpClientConfig::default()
}

impl Validate for TargetAllocatorConfig {
    fn validate(&self, errors: &mut Errors) {
        errors.nested("", &self.http_client());
        if http_url(&self.endpoint).is_none() {
            let text = format!("TargetAllocator endpoint is not valid: {}", self.endpoint);
            errors.push("endpoint", text, "for example http://targetallocator");
        }
        if self.collector_id.is_empty() || self.collector_id.contains("${") {
            let text = "CollectorID is not a valid ID";
            errors.push("collector_id", text, "give the pod's name: ${env:POD_NAME}");
        }
        if self.interval.is_zero() || self.interval.is_negative() {
            errors.push("interval", "must be greater than 0", "for example 30s");
        }
        if let Some(client) = &self.http_scrape_config {
            errors.nested("http_scrape_config", &client.client());
        }
        if let Some(http) = &self.http_sd_config {
            errors.nested("http_sd_config", &http.client());
        }
    }
}
