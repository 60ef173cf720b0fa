//! Services and their public endpoints (AWS-32).

use std::collections::BTreeMap;

use weir_config::Environment;

use crate::sources::{Profiles, is_true, set};

/// A service that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// CloudWatch Logs.
    Logs,
    /// X-Ray.
    XRay,
    /// The Security Token Service.
    Sts,
    /// The portal of IAM Identity Center.
    Sso,
    /// Logins of IAM Identity Center.
    SsoOidc,
    /// Instances and their tags.
    Ec2,
    /// Tasks of containers.
    Ecs,
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

/// What the environment and the profile say about endpoints.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndpointSettings {
    fips: bool,
    dual_stack: bool,
    /// Base URLs of single services; they go before `all`.
    own: BTreeMap<Service, String>,
    all: Option<String>,
}

impl EndpointSettings {
    /// Variables go before the profile's keys; a URL for one service before one for all.
    pub(crate) fn read(environment: &dyn Environment, profiles: &Profiles) -> Self {
        let either = |variable: &str, key: &str| {
            set(environment, variable).or_else(|| profiles.value(key).map(str::to_owned))
        };
        let mut settings = Self {
            fips: is_true(either("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint")),
            dual_stack: is_true(either(
                "AWS_USE_DUALSTACK_ENDPOINT",
                "use_dualstack_endpoint",
            )),
            ..Self::default()
        };
        if is_true(either(
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
            "ignore_configured_endpoint_urls",
        )) {
            return settings;
        }
        let variable_for_all = set(environment, "AWS_ENDPOINT_URL");
        for service in Service::ALL {
            let name = service.settings_name();
            let variable = format!("AWS_ENDPOINT_URL_{}", name.to_ascii_uppercase());
            let key = format!("{name}.endpoint_url");
            let of_profile = || profiles.service_value(&key).map(str::to_owned);
            let url = set(environment, &variable)
                .or_else(|| variable_for_all.clone())
                .or_else(of_profile);
            if let Some(url) = url {
                settings.own.insert(service, url);
            }
        }
        settings.all = profiles.value("endpoint_url").map(str::to_owned);
        settings
    }
}

impl Service {
    const ALL: [Self; 7] = [
        Self::Logs,
        Self::XRay,
        Self::Sts,
        Self::Sso,
        Self::SsoOidc,
        Self::Ec2,
        Self::Ecs,
    ];

    /// Name in signatures.
    pub fn signing_name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::XRay => "xray",
            Self::Sts => "sts",
            Self::Sso => "awsssoportal",
            Self::SsoOidc => "sso-oauth",
            Self::Ec2 => "ec2",
            Self::Ecs => "ecs",
        }
    }

    /// Beginning of the host name.
    fn host_name(self) -> &'static str {
        match self {
            Self::Sso => "portal.sso",
            Self::SsoOidc => "oidc",
            other => other.signing_name(),
        }
    }

    /// Name in the variable and the profile key of its endpoint.
    fn settings_name(self) -> &'static str {
        match self {
            Self::Logs => "cloudwatch_logs",
            Self::XRay => "xray",
            Self::Sts => "sts",
            Self::Sso => "sso",
            Self::SsoOidc => "sso_oidc",
            Self::Ec2 => "ec2",
            Self::Ecs => "ecs",
        }
    }

    /// The base URL: as configured, from the settings, or the region's.
    pub(crate) fn url(self, configured: &str, region: &str, settings: &EndpointSettings) -> String {
        if !configured.is_empty() {
            return configured.to_owned();
        }
        match settings.own.get(&self).or(settings.all.as_ref()) {
            Some(url) => url.clone(),
            None => self.public_url(region, settings.fips, settings.dual_stack),
        }
    }

    fn public_url(self, region: &str, fips: bool, dual_stack: bool) -> String {
        let name = self.host_name();
        if self == Self::Sts && region == "aws-global" && !fips && !dual_stack {
            return "https://sts.amazonaws.com".to_owned();
        }
        // The plain endpoints of GovCloud are FIPS endpoints, but for X-Ray.
        let already = self != Self::XRay && region.starts_with("us-gov-") && !dual_stack;
        let fips = if fips && !already { "-fips" } else { "" };
        let suffix = dns_suffix(region, dual_stack);
        format!("https://{name}{fips}.{region}.{suffix}")
    }
}

/// What the host names of a region end with, such as `amazonaws.com`; `dual_stack` for those that
/// are reached over IPv6 as well.
pub fn dns_suffix(region: &str, dual_stack: bool) -> &'static str {
    let partition = PARTITIONS
        .iter()
        .find(|(prefix, ..)| region.starts_with(prefix));
    let (_, plain, dual) = partition.unwrap_or(&("", "amazonaws.com", "api.aws"));
    if dual_stack { dual } else { plain }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn url(service: Service, configured: &str, region: &str, variables: &[(&str, &str)]) -> String {
        let environment: BTreeMap<String, String> = variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let settings = EndpointSettings::read(&environment, &Profiles::default());
        service.url(configured, region, &settings)
    }

    /// AWS-32: every partition, FIPS and dual-stack, as botocore resolves them
    /// (`testdata/generate.py`).
    #[test]
    fn endpoints_are_those_of_botocore() {
        #[derive(serde::Deserialize)]
        struct Row {
            service: String,
            region: String,
            fips: bool,
            dual_stack: bool,
            url: String,
        }
        let table = include_str!("../testdata/endpoints.json");
        let rows: Vec<Row> = serde_json::from_str(table).unwrap();
        assert!(rows.len() > 100, "{}", rows.len());
        for row in rows {
            let service = Service::ALL
                .into_iter()
                .find(|service| service.settings_name() == row.service)
                .unwrap();
            let text = |on: bool| if on { "true" } else { "false" };
            let variables = [
                ("AWS_USE_FIPS_ENDPOINT", text(row.fips)),
                ("AWS_USE_DUALSTACK_ENDPOINT", text(row.dual_stack)),
            ];
            let ours = url(service, "", &row.region, &variables);
            assert_eq!(ours, row.url, "{} {}", row.service, row.region);
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
