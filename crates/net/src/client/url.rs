//! Parts of URLs.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Uri};

use crate::error::NetError;

pub(super) fn port_of(url: &Uri) -> u16 {
    let default = if url.scheme() == Some(&Scheme::HTTPS) {
        443
    } else {
        80
    };
    url.port_u16().unwrap_or(default)
}

/// `host:port`, for messages.
pub(super) fn peer_of(url: &Uri) -> String {
    format!("{}:{}", url.host().unwrap_or("?"), port_of(url))
}

pub(super) fn host_key(url: &Uri) -> String {
    format!("{}://{}", url.scheme_str().unwrap_or("http"), peer_of(url)).to_ascii_lowercase()
}

pub(super) fn is_link_local(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => {
            ip.is_unicast_link_local()
                || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_link_local())
                // The metadata service over IPv6.
                || ip.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
        }
        Err(_) => false,
    }
}

/// `user:password@` becomes basic authentication, unless there is another one.
pub(super) fn split_userinfo(url: &Uri, headers: &mut HeaderMap) -> Result<Uri, NetError> {
    let bad = || NetError::Config("the URL of a request needs a scheme and a host".to_owned());
    let authority = url.authority().ok_or_else(bad)?;
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err(bad());
    }
    let Some((userinfo, host)) = authority.as_str().rsplit_once('@') else {
        return Ok(url.clone());
    };
    if !headers.contains_key(AUTHORIZATION)
        && let Ok(mut value) =
            HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(userinfo)))
    {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let mut parts = url.clone().into_parts();
    parts.authority = Some(host.parse::<Authority>().map_err(|_| bad())?);
    Uri::from_parts(parts).map_err(|_| bad())
}

/// A reference against the URL it came from (RFC 3986 section 5.2, without dot segments).
pub(super) fn resolve_reference(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next()?;
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let text = if reference.starts_with("http://") || reference.starts_with("https://") {
        reference.to_owned()
    } else if let Some(rest) = reference.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if reference.starts_with('/') {
        format!("{scheme}://{authority}{reference}")
    } else {
        let folder = base
            .path()
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{reference}")
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn references_are_resolved() {
        let base = Uri::from_static("http://h:1/a/b?x=1");
        let resolve = |r: &str| resolve_reference(&base, r).unwrap().to_string();
        assert_eq!(resolve("/c"), "http://h:1/c");
        assert_eq!(resolve("c?y"), "http://h:1/a/c?y");
        assert_eq!(resolve("//o/c"), "http://o/c");
        assert_eq!(resolve("https://o/#f"), "https://o/");
    }

    #[test]
    fn credentials_of_a_url_become_a_header() {
        let mut headers = HeaderMap::new();
        let url = Uri::from_static("http://u:p@h:1/x");
        assert_eq!(split_userinfo(&url, &mut headers).unwrap(), "http://h:1/x");
        assert_eq!(headers.get(AUTHORIZATION).unwrap(), "Basic dTpw");
        assert!(split_userinfo(&Uri::from_static("/x"), &mut headers).is_err());
        assert!(split_userinfo(&Uri::from_static("ftp://h/x"), &mut headers).is_err());
    }

    #[test]
    fn metadata_addresses_are_link_local() {
        for host in [
            "169.254.169.254",
            "[fe80::1]",
            "[::ffff:169.254.1.1]",
            "[fd00:ec2::254]",
        ] {
            assert!(is_link_local(host), "{host}");
        }
        for host in ["127.0.0.1", "10.0.0.1", "[::1]", "example.com"] {
            assert!(!is_link_local(host), "{host}");
        }
    }

    #[test]
    fn hosts_compare_with_scheme_and_port() {
        let key = |u: &'static str| host_key(&Uri::from_static(u));
        assert_eq!(key("http://H/a"), key("http://h:80/b"));
        assert_ne!(key("http://h/a"), key("https://h/a"));
    }
}
