//! `cookies.enabled`: session cookies of load balancers, sent back to the host that set them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

/// Cookies per host, and bytes per cookie; more is not kept.
const MAX_COOKIES: usize = 50;
const MAX_BYTES: usize = 4096;

/// A small jar: names and values by host. Paths, domains and dates are not looked at; `Max-Age=0`
/// removes a cookie.
#[derive(Debug, Default)]
pub(super) struct Jar {
    hosts: Mutex<HashMap<String, Vec<(String, String)>>>,
}

impl Jar {
    pub(super) fn add_to(&self, host: &str, headers: &mut HeaderMap) {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(cookies) = hosts.get(host).filter(|c| !c.is_empty()) else {
            return;
        };
        let text: Vec<String> = cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
        if let Ok(mut value) = HeaderValue::from_str(&text.join("; ")) {
            value.set_sensitive(true);
            headers.insert(COOKIE, value);
        }
    }

    pub(super) fn take_from(&self, host: &str, headers: &HeaderMap) {
        for header in headers.get_all(SET_COOKIE) {
            let Ok(text) = header.to_str() else { continue };
            let mut parts = text.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            let gone = parts.any(|p| p.eq_ignore_ascii_case("max-age=0"));
            self.set(host, name, (!gone).then_some(value));
        }
    }

    fn set(&self, host: &str, name: &str, value: Option<&str>) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let cookies = hosts.entry(host.to_owned()).or_default();
        cookies.retain(|(known, _)| known != name);
        if let Some(value) = value
            && cookies.len() < MAX_COOKIES
            && name.len() + value.len() <= MAX_BYTES
        {
            cookies.push((name.to_owned(), value.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn cookie(jar: &Jar, host: &str) -> Option<HeaderValue> {
        let mut headers = HeaderMap::new();
        jar.add_to(host, &mut headers);
        headers.remove(COOKIE)
    }

    #[test]
    fn cookies_go_back_to_their_host_only() {
        let jar = Jar::default();
        let mut headers = HeaderMap::new();
        headers.append(
            SET_COOKIE,
            HeaderValue::from_static("lb=one; Path=/; HttpOnly"),
        );
        headers.append(SET_COOKIE, HeaderValue::from_static("other=x"));
        headers.append(SET_COOKIE, HeaderValue::from_static("lb=two"));
        jar.take_from("a", &headers);
        assert_eq!(cookie(&jar, "a").unwrap(), "other=x; lb=two");
        assert_eq!(cookie(&jar, "b"), None);
        headers.clear();
        headers.append(SET_COOKIE, HeaderValue::from_static("lb=; Max-Age=0"));
        jar.take_from("a", &headers);
        assert_eq!(cookie(&jar, "a").unwrap(), "other=x");
    }
}
