//! The keys all AWS exporters share (AWS client keys, sigv4auth-and-aws-client section 4.1).

use weir_config::Errors;

/// How to reach an AWS service. Exporters spell the keys out among their own (flattening would
/// lose the detection of unknown keys) and fill this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsSession {
    /// Region; empty: environment, profile, instance.
    pub region: String,
    /// Base URL of the service, with scheme; empty: the region's endpoint.
    pub endpoint: String,
    /// Proxy of the service calls; empty: the environment's. Credential calls never use it.
    pub proxy_address: String,
    /// Does not check the service's certificate.
    pub no_verify_ssl: bool,
    /// Longest time of one HTTP request in seconds; 0 for no limit.
    pub request_timeout_seconds: u64,
    /// Most idle connections kept.
    pub num_workers: usize,
    /// Attempts in all: 1 is one try; 0 is the SDKs' default of 3.
    pub max_retries: u32,
    /// Accepted; has no effect, as in the reference.
    pub local_mode: bool,
    /// ARN of the resource the program runs on; only X-Ray telemetry records carry it.
    pub resource_arn: String,
    /// Role to assume on top of the found credentials.
    pub role_arn: String,
    /// External id for `role_arn`.
    pub external_id: String,
}

impl Default for AwsSession {
    fn default() -> Self {
        Self {
            region: String::new(),
            endpoint: String::new(),
            proxy_address: String::new(),
            no_verify_ssl: false,
            request_timeout_seconds: 30,
            num_workers: 8,
            max_retries: 2,
            local_mode: false,
            resource_arn: String::new(),
            role_arn: String::new(),
            external_id: String::new(),
        }
    }
}

impl AwsSession {
    /// Total attempts per call (AWS-26).
    pub fn attempts(&self) -> u32 {
        match self.max_retries {
            0 => 3,
            attempts => attempts,
        }
    }

    /// Checks the keys at their usual names. The reference fails only at run time (AWS-28).
    pub fn validate(&self, errors: &mut Errors) {
        if !self.endpoint.is_empty()
            && let Some(hint) = wrong_url(&self.endpoint)
        {
            errors.push(
                "endpoint",
                format!("`{}` is not the URL of a service", self.endpoint),
                hint,
            );
        }
        if !self.proxy_address.is_empty()
            && let Some(hint) = wrong_url(&self.proxy_address)
        {
            errors.push("proxy_address", "this is not the URL of a proxy", hint);
        }
        if self.role_arn.is_empty() && !self.external_id.is_empty() {
            errors.warn(
                "external_id",
                "`external_id` has no effect without `role_arn`",
                "",
            );
        }
    }
}

/// What is wrong with an http(s) URL.
pub(crate) fn wrong_url(url: &str) -> Option<String> {
    match url.parse::<http::Uri>() {
        Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => match uri.scheme_str() {
            Some("http" | "https") => None,
            _ => Some("it must begin with `https://` or `http://`".to_owned()),
        },
        _ => Some("write it as `https://host` or `http://host:port`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_follow_the_sdk() {
        let attempts = |max_retries| {
            AwsSession {
                max_retries,
                ..AwsSession::default()
            }
            .attempts()
        };
        assert_eq!([0, 1, 2, 3].map(attempts), [3, 1, 2, 3]);
    }

    #[test]
    fn an_endpoint_needs_a_scheme() {
        for (endpoint, right) in [
            ("", true),
            ("https://logs.eu-west-1.amazonaws.com", true),
            ("http://127.0.0.1:4566/", true),
            ("127.0.0.1:24400", false),
            ("localhost:24400", false),
            ("ftp://host", false),
            ("https://", false),
        ] {
            let mut errors = Errors::default();
            let session = AwsSession {
                endpoint: endpoint.to_owned(),
                ..AwsSession::default()
            };
            session.validate(&mut errors);
            assert_eq!(errors.is_empty(), right, "{endpoint}");
        }
    }
}
