//! Parameters of requests.

use http::Uri;

/// The first value of a parameter of a URI; empty if it is not there.
#[must_use]
pub fn query_parameter(uri: &Uri, name: &str) -> String {
    let query = uri.query().unwrap_or_default();
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(key, _)| decode_form(key) == name);
    found
        .map(|(_, value)| decode_form(value))
        .unwrap_or_default()
}

/// Text from the encoding of forms and query strings: `%xx` and `+`. What is no escape stays as it is.
#[must_use]
pub fn decode_form(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let digits = after.get(..2).filter(|_| *first == b'%');
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => bytes.push(if *first == b'+' { b' ' } else { *first }),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let uri = Uri::from_static("/p?a=1+2%203&%62=x%3Dy&a=no&c&d=%zz%4&e=%+1%ff");
        for (name, value) in [
            ("a", "1 2 3"),
            ("b", "x=y"),
            ("c", ""),
            ("d", "%zz%4"),
            ("e", "% 1\u{fffd}"),
            ("none", ""),
        ] {
            assert_eq!(query_parameter(&uri, name), value, "{name}");
        }
        assert_eq!(query_parameter(&Uri::from_static("/p"), "a"), "");
    }
}
