//! Services and their public endpoints (AWS-32).

use weir_config::Environment;

/// A service that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// CloudWatch Logs.
    Logs,
    /// X-Ray.
    XRay,
}

/// Host name suffixes by region prefix: plain, dual-stack.
const PARTITIONS: [(&str, &str, &str); 8] = [
    ("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    ("us-gov-", "amazonaws.com", "api.aws"),
    ("us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
    ("us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    ("eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    ("", "amazonaws.com", "api.aws"),
];

impl Service {
    /// Name in signatures and host names.
    pub fn signing_name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::XRay => "xray",
        }
    }

    /// Name in the environment variable of its endpoint.
    fn environment_name(self) -> &'static str {
        match self {
            Self::Logs => "CLOUDWATCH_LOGS",
            Self::XRay => "XRAY",
        }
    }

    /// The base URL: as configured, from the environment, or the region's.
    pub(crate) fn url(
        self,
        configured: &str,
        region: &str,
        environment: &dyn Environment,
    ) -> String {
        if !configured.is_empty() {
            return configured.to_owned();
        }
        let flag = |name: &str| {
            let value = environment.get(name);
            value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
        };
        if !flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") {
            let own = format!("AWS_ENDPOINT_URL_{}", self.environment_name());
            for name in [own.as_str(), "AWS_ENDPOINT_URL"] {
                if let Some(url) = environment.get(name).filter(|url| !url.is_empty()) {
                    return url;
                }
            }
        }
        let (fips, dual_stack) = (
            flag("AWS_USE_FIPS_ENDPOINT"),
            flag("AWS_USE_DUALSTACK_ENDPOINT"),
        );
        self.public_url(region, fips, dual_stack)
    }

    fn public_url(self, region: &str, fips: bool, dual_stack: bool) -> String {
        let partition = PARTITIONS
            .iter()
            .find(|(prefix, ..)| region.starts_with(prefix));
        let (_, plain, dual) = partition.unwrap_or(&("", "amazonaws.com", "api.aws"));
        let suffix = if dual_stack { dual } else { plain };
        let name = self.signing_name();
        // The plain endpoints of GovCloud are FIPS endpoints for CloudWatch Logs.
        let already = self == Self::Logs && region.starts_with("us-gov-") && !dual_stack;
        let fips = if fips && !already { "-fips" } else { "" };
        format!("https://{name}{fips}.{region}.{suffix}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn url(service: Service, configured: &str, region: &str, variables: &[(&str, &str)]) -> String {
        let environment: BTreeMap<String, String> = variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        service.url(configured, region, &environment)
    }

    #[test]
    fn hosts_follow_region_partition_and_environment() {
        let fips = ("AWS_USE_FIPS_ENDPOINT", "true");
        let dual = ("AWS_USE_DUALSTACK_ENDPOINT", "true");
        let (logs, xray) = (Service::Logs, Service::XRay);
        for (service, region, variables, expected) in [
            (
                logs,
                "eu-west-1",
                vec![],
                "https://logs.eu-west-1.amazonaws.com",
            ),
            (
                xray,
                "cn-north-1",
                vec![],
                "https://xray.cn-north-1.amazonaws.com.cn",
            ),
            (
                logs,
                "us-iso-east-1",
                vec![],
                "https://logs.us-iso-east-1.c2s.ic.gov",
            ),
            (
                logs,
                "us-east-1",
                vec![fips],
                "https://logs-fips.us-east-1.amazonaws.com",
            ),
            (
                xray,
                "us-east-1",
                vec![dual],
                "https://xray.us-east-1.api.aws",
            ),
            (
                xray,
                "us-east-1",
                vec![fips, dual],
                "https://xray-fips.us-east-1.api.aws",
            ),
            (
                logs,
                "us-gov-west-1",
                vec![fips],
                "https://logs.us-gov-west-1.amazonaws.com",
            ),
        ] {
            assert_eq!(url(service, "", region, &variables), expected);
        }
    }

    #[test]
    fn configured_endpoints_win_over_the_environment() {
        let all = ("AWS_ENDPOINT_URL", "http://all");
        let own = ("AWS_ENDPOINT_URL_XRAY", "http://own");
        let ignore = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
        let of = |configured, variables: &[_]| url(Service::XRay, configured, "r", variables);
        assert_eq!(of("http://config", &[all, own]), "http://config");
        assert_eq!(of("", &[all, own]), "http://own");
        assert_eq!(of("", &[all]), "http://all");
        assert_eq!(of("", &[all, own, ignore]), "https://xray.r.amazonaws.com");
    }
}
