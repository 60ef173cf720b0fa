//! Keys of the `otlp_http` exporter (otlp-and-helpers section 2.1, section 3.2, section 3.5).

use http::Uri;
use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Validate};
use weir_core::{BuildError, Signal};
use weir_net::compress::Compression;
use weir_sending::{QueueSettings, RetrySettings, TimeoutSettings, validate_sending};

weir_net::http_client_keys! {
    /// Configuration of `otlp_http`.
    pub struct Config {
        /// Repeating what failed for now.
        pub retry_on_failure: RetrySettings = RetrySettings::default(),
        /// Queue in front; null switches it off.
        pub sending_queue: Option<QueueSettings> = Some(QueueSettings::default()),
        /// URL for traces; it is used as it is, instead of `endpoint` and `/v1/traces`.
        pub traces_endpoint: String = String::new(),
        /// URL for metrics.
        pub metrics_endpoint: String = String::new(),
        /// URL for logs.
        pub logs_endpoint: String = String::new(),
        /// Accepted: there are no pipelines of profiles.
        pub profiles_endpoint: String = String::new(),
        /// Encoding of bodies.
        pub encoding: Encoding = Encoding::Proto
    }
    defaults weir_net::HttpClientConfig {
        timeout: Duration::from_secs(30),
        compression: Compression::GZIP,
        write_buffer_size: 512 << 10,
        ..Default::default()
    }
}

/// Encoding of bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Protobuf.
    Proto,
    /// OTLP/JSON.
    Json,
}

impl Config {
    /// Where a signal goes (OTLP-36).
    pub(super) fn url(&self, signal: Signal) -> Result<Uri, BuildError> {
        let (key, exact) = match signal {
            Signal::Traces => ("traces_endpoint", &self.traces_endpoint),
            Signal::Metrics => ("metrics_endpoint", &self.metrics_endpoint),
            Signal::Logs => ("logs_endpoint", &self.logs_endpoint),
        };
        let text = match (exact.as_str(), self.endpoint.as_str()) {
            ("", "") => {
                return Err(BuildError(format!(
                    "either `endpoint` or `{key}` must be given for a pipeline of {signal}"
                )));
            }
            ("", base) => format!("{}/v1/{signal}", base.strip_suffix('/').unwrap_or(base)),
            (exact, _) => exact.to_owned(),
        };
        parse(&text).map_err(BuildError)
    }
}

/// A URL with scheme and host.
fn parse(text: &str) -> Result<Uri, String> {
    match text.parse::<Uri>() {
        Ok(url) if matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some() => {
            Ok(url)
        }
        // Not printed: it may hold a password.
        _ => Err("not a URL: write http://host:port or https://host:port".to_owned()),
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        let endpoints = [
            ("endpoint", &self.endpoint),
            ("traces_endpoint", &self.traces_endpoint),
            ("metrics_endpoint", &self.metrics_endpoint),
            ("logs_endpoint", &self.logs_endpoint),
        ];
        if endpoints.iter().all(|(_, url)| url.is_empty()) {
            let text = "at least one endpoint must be specified";
            errors.push("endpoint", text, "for example http://localhost:4318");
        }
        for (key, url) in endpoints {
            if let (false, Err(text)) = (url.is_empty(), parse(url)) {
                errors.push(key, text, "");
            }
        }
        errors.nested("", &self.http_client());
        let (timeout, queue) = (TimeoutSettings::default(), self.sending_queue.as_ref());
        validate_sending(errors, timeout, &self.retry_on_failure, queue);
    }
}
