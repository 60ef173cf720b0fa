//! Where a request goes: path and query of the sender under the service's host, the query in the
//! form that is signed.

use http::Uri;
use http::uri::{Authority, Scheme};

/// Scheme and host of the service.
#[derive(Clone, Debug)]
pub(super) struct Target {
    scheme: Scheme,
    authority: Authority,
}

impl Target {
    /// Of a URL; its path is not used, as in the reference.
    pub(super) fn of(url: &Uri) -> Option<Self> {
        Some(Self {
            scheme: url.scheme()?.clone(),
            authority: url.authority()?.clone(),
        })
    }

    /// The address of a request that came for `asked`; `None` for what has no path (`OPTIONS *`).
    pub(super) fn address(&self, asked: &Uri) -> Option<Uri> {
        let path = asked.path();
        if !path.starts_with('/') {
            return None;
        }
        let path_and_query = match asked.query() {
            None | Some("") => path.to_owned(),
            Some(query) => format!("{path}?{}", sorted_query(query)),
        };
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path_and_query)
            .build()
            .ok()
    }
}

/// The parameters sorted by name and value, each written anew as the signature has them; what is not
/// percent-encoded properly is left out, as in the reference.
fn sorted_query(query: &str) -> String {
    let mut parameters: Vec<(Vec<u8>, Vec<u8>)> = query
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .filter_map(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            Some((decoded(name)?, decoded(value)?))
        })
        .collect();
    parameters.sort();
    let mut text = String::with_capacity(query.len());
    for (name, value) in parameters {
        if !text.is_empty() {
            text.push('&');
        }
        encode(&name, &mut text);
        text.push('=');
        encode(&value, &mut text);
    }
    text
}

/// `None` when a `%` is not followed by two hexadecimal digits.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                (high << 4 | low) as u8
            }
            byte => byte,
        });
    }
    Some(out)
}

fn encode(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn path_and_query_stay_under_the_host_of_the_service() {
        let url = "https://xray.eu-west-1.amazonaws.com/ignored"
            .parse()
            .unwrap();
        let target = Target::of(&url).unwrap();
        for (asked, path_and_query) in [
            ("/GetSamplingRules", "/GetSamplingRules"),
            ("/", "/"),
            ("/x?", "/x"),
            ("/x?b=2&a=1&a=0%20x", "/x?a=0%20x&a=1&b=2"),
            ("/x?a=+&c&b=%2f%7e~", "/x?a=%20&b=%2F~~&c="),
            ("/x?bad=%zz&short=%2&good=1", "/x?good=1"),
            ("/Trace%20Graph/x+y", "/Trace%20Graph/x+y"),
            ("http://other:1/p?q=1", "/p?q=1"),
        ] {
            let address = target.address(&asked.parse().unwrap()).unwrap();
            let expected = format!("https://xray.eu-west-1.amazonaws.com{path_and_query}");
            assert_eq!(address.to_string(), expected);
        }
        assert_eq!(target.address(&"*".parse().unwrap()), None);
        assert!(Target::of(&"/relative".parse().unwrap()).is_none());
    }
}
