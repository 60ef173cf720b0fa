//! Which proxy a request takes (OTLP-78).

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;

use crate::error::NetError;

/// Where the choice of a proxy comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ProxyChoice {
    /// `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY` of the environment. As in the reference, requests
    /// to this machine itself never take it.
    #[default]
    Environment,
    /// No proxy.
    None,
    /// This one, but for the hosts of `no_proxy` (a comma-separated list as in `NO_PROXY`).
    Url {
        /// `http://[user:password@]host:port`.
        url: String,
        /// Exceptions.
        no_proxy: String,
    },
}

/// The rules, prepared.
#[derive(Debug)]
pub(crate) struct ProxyRules {
    matcher: Option<Matcher>,
    /// Requests to this machine itself go direct.
    spare_local: bool,
    /// What else a proxy is told when it is asked for a tunnel.
    connect_headers: HeaderMap,
}

/// A proxy for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// `Proxy-Authorization`.
    pub(crate) auth: Option<HeaderValue>,
    /// More headers for `CONNECT`.
    pub(crate) connect_headers: HeaderMap,
}

impl Proxy {
    /// `host:port`, for messages.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl ProxyRules {
    pub(crate) fn new(choice: &ProxyChoice) -> Result<Self, NetError> {
        let (matcher, spare_local) = match choice {
            ProxyChoice::None => (None, false),
            ProxyChoice::Environment => (Some(Matcher::from_env()), true),
            ProxyChoice::Url { url, no_proxy } => {
                let matcher = Matcher::builder()
                    .all(url.as_str())
                    .no(no_proxy.as_str())
                    .build();
                // An URL that cannot be read would mean no proxy at all, silently.
                let known = matcher.intercept(&Uri::from_static("http://proxy.invalid"));
                let usable = no_proxy.split(',').any(|n| n.trim() == "*")
                    || known.is_some_and(|i| i.uri().scheme_str() == Some("http"));
                if !usable {
                    return Err(NetError::Config(
                        "proxy_url cannot be used: write http://host:port; proxies that are \
                         themselves reached by https or socks are not supported"
                            .to_owned(),
                    ));
                }
                (Some(matcher), false)
            }
        };
        Ok(ProxyRules {
            matcher,
            spare_local,
            connect_headers: HeaderMap::new(),
        })
    }

    /// The same rules; `headers` go with requests for a tunnel.
    pub(crate) fn with_headers(mut self, headers: &HeaderMap) -> Self {
        self.connect_headers.clone_from(headers);
        self
    }

    /// The proxy for a destination, if it takes one.
    pub(crate) fn find(&self, destination: &Uri) -> Option<Proxy> {
        let matcher = self.matcher.as_ref()?;
        if self.spare_local && is_local(destination.host()?) {
            return None;
        }
        let found = matcher.intercept(destination)?;
        let uri = found.uri();
        let mut auth = found.basic_auth().cloned();
        if let Some(auth) = &mut auth {
            auth.set_sensitive(true);
        }
        Some(Proxy {
            host: uri.host()?.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(80),
            auth,
            connect_headers: self.connect_headers.clone(),
        })
    }
}

/// `localhost` or a loopback address.
fn is_local(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn url(url: &str, no_proxy: &str) -> ProxyChoice {
        ProxyChoice::Url {
            url: url.to_owned(),
            no_proxy: no_proxy.to_owned(),
        }
    }

    #[test]
    fn a_proxy_by_url_takes_all_but_the_exceptions() {
        let rules =
            ProxyRules::new(&url("http://u:p@proxy:3128", "inside.test,10.0.0.0/8")).unwrap();
        let find = |uri: &'static str| rules.find(&Uri::from_static(uri));
        let proxy = find("https://example.com/x").unwrap();
        assert_eq!(proxy.name(), "proxy:3128");
        assert_eq!(proxy.auth.unwrap(), "Basic dTpw");
        assert!(find("http://localhost:1/").is_some());
        assert_eq!(find("http://a.inside.test/"), None);
        assert_eq!(find("http://10.1.2.3/"), None);
    }

    #[test]
    fn proxies_that_cannot_be_used_are_an_error() {
        for bad in ["", "socks5://proxy:1080", "https://proxy", "ht tp://x"] {
            assert!(ProxyRules::new(&url(bad, "")).is_err(), "{bad}");
        }
    }

    #[test]
    fn this_machine_is_local() {
        assert!(is_local("LOCALHOST") && is_local("127.1.2.3") && is_local("[::1]"));
        assert!(!is_local("10.0.0.1") && !is_local("localhost.example.com"));
    }

    /// AWS-31. Variables belong to a whole process, so this test is its own child.
    #[test]
    fn variables_name_the_proxy_and_its_exceptions() {
        const INSIDE: &str = "WEIR_TEST_OF_PROXY_VARIABLES";
        if std::env::var_os(INSIDE).is_none() {
            let name = "client::proxy::tests::variables_name_the_proxy_and_its_exceptions";
            let child = std::process::Command::new(std::env::current_exe().unwrap())
                .args([name, "--exact"])
                .env_clear()
                .env(INSIDE, "1")
                .env("HTTP_PROXY", "http://plain:3128")
                .env("HTTPS_PROXY", "http://secure:3129")
                .env("NO_PROXY", "inside.test")
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&child.stdout).into_owned();
            assert!(
                child.status.success() && text.contains("1 passed"),
                "{text}"
            );
            return;
        }
        let rules = ProxyRules::new(&ProxyChoice::Environment).unwrap();
        let find = |uri: &'static str| Some(rules.find(&Uri::from_static(uri))?.name());
        assert_eq!(find("http://a.test/").as_deref(), Some("plain:3128"));
        assert_eq!(find("https://a.test/").as_deref(), Some("secure:3129"));
        assert_eq!(find("https://inside.test/"), None);
        assert_eq!(find("http://127.0.0.1:4566/"), None);
        let none = ProxyRules::new(&ProxyChoice::None).unwrap();
        assert_eq!(none.find(&Uri::from_static("http://a.test/")), None);
    }
}
