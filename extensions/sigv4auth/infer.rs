//! Service and region from a host name (AWS-02..04).

/// What a host name tells; empty where it tells nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inferred<'a> {
    pub(super) service: &'a str,
    pub(super) region: &'a str,
}

/// Beginnings of host names, and the services behind them.
const SERVICES: [(&str, &str); 5] = [
    ("aps-workspaces", "aps"),
    ("search-", "es"),
    ("logs", "logs"),
    ("xray", "xray"),
    ("monitoring", "monitoring"),
];

/// Reads `host` or `host:port`. The region is the second label, also for `search-...`, where it is
/// not the first label behind the service: so does the reference.
pub(super) fn from_host(host: &str) -> Inferred<'_> {
    let found = SERVICES.iter().find(|(start, _)| host.starts_with(start));
    let Some((_, service)) = found else {
        return Inferred::default();
    };
    let name = host.split(':').next().unwrap_or_default();
    Inferred {
        service,
        region: name.split('.').nth(1).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_prefixes_are_known() {
        for (host, service, region) in [
            ("aps-workspaces.us-west-2.amazonaws.com", "aps", "us-west-2"),
            ("aps-workspaces.us-west-2.amazonaws.com:443", "aps", "us-west-2"),
            ("search-dom-abc.us-east-1.es.amazonaws.com", "es", "us-east-1"),
            ("logs.eu-west-1.amazonaws.com", "logs", "eu-west-1"),
            ("xray.cn-north-1.amazonaws.com.cn", "xray", "cn-north-1"),
            ("monitoring.us-east-1.amazonaws.com", "monitoring", "us-east-1"),
            // The reference ends here.
            ("logs:9", "logs", ""),
            ("logs", "logs", ""),
            ("prometheus.example.com", "", ""),
            ("", "", ""),
        ] {
            assert_eq!(from_host(host), Inferred { service, region }, "{host}");
        }
    }
}
