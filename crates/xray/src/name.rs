//! The name of a segment: the service behind it, or as the last resort the span's own name.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use crate::keys::{Key, Scan};
use crate::segment::Kind;

/// Most bytes of a name made from the span's name (service limit).
const MAX_NAME: usize = 200;
/// Name of a span without one.
const DEFAULT_NAME: &str = "span";

/// A name, and what it says about the namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    /// The text before a host.
    pub text: Cow<'a, str>,
    /// Host of a database, to stand behind `@`.
    pub host: Option<&'a str>,
    /// Bytes of a character that the length limit cut in two; each reads as U+FFFD.
    pub torn_bytes: usize,
    /// Whether the name came from `aws.service`.
    pub from_aws_service: bool,
}

impl<'a> Name<'a> {
    pub(crate) fn plain(text: &'a str) -> Self {
        Self {
            text: Cow::Borrowed(text),
            host: None,
            torn_bytes: 0,
            from_aws_service: false,
        }
    }
}

impl Name<'_> {
    /// The name as X-Ray's schema wants it, whatever it came from: with the characters it takes and
    /// within its length, cut between characters.
    pub(crate) fn into_valid(self) -> Self {
        let len = self.text.len() + self.host.map_or(0, |host| host.len() + 1);
        let valid = |text: &str| text.chars().all(is_name_char);
        let fits = (1..=MAX_NAME).contains(&len) && self.torn_bytes == 0;
        if fits && valid(&self.text) && self.host.is_none_or(valid) {
            return self;
        }
        let mut text: String = self.text.chars().filter(|c| is_name_char(*c)).collect();
        if let Some(host) = self.host {
            text.push('@');
            text.extend(host.chars().filter(|c| is_name_char(*c)));
        }
        text.truncate(text.floor_char_boundary(MAX_NAME));
        if text.is_empty() {
            text.push_str(DEFAULT_NAME);
        }
        Self {
            text: text.into(),
            host: None,
            torn_bytes: 0,
            from_aws_service: self.from_aws_service,
        }
    }
}

/// What the name is looked for in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sources<'s> {
    pub scan: &'s Scan<'s>,
    pub kind: Kind,
    pub local_root: bool,
    /// Whether `aws.remote.service` may be used; not for the service half of a split span.
    pub remote: bool,
    /// `service.name` of the resource.
    pub service_name: &'s str,
    pub span_name: &'s str,
    /// Whether names of the current conventions stand in (`server.address`, `db.namespace`).
    pub current_names: bool,
}

/// The first source with text (XR-08).
pub(crate) fn find<'a>(s: &Sources<'a>) -> Name<'a> {
    let scan = s.scan;
    let local = match s.kind {
        Kind::Server => true,
        Kind::Internal => s.local_root,
        _ => false,
    };
    let calls_out = matches!(s.kind, Kind::Client | Kind::Producer | Kind::Consumer);
    if local && let Some(name) = scan.filled(Key::AwsLocalService) {
        return Name::plain(name);
    }
    if calls_out
        && s.remote
        && let Some(name) = scan.filled(Key::AwsRemoteService)
    {
        let name = without_sdk_prefix(name, scan);
        if !name.is_empty() {
            return Name::plain(name);
        }
    }
    if let Some(name) = scan.filled(Key::PeerService) {
        return Name::plain(name);
    }
    if let Some(name) = scan.filled(Key::AwsService) {
        return Name {
            from_aws_service: true,
            ..Name::plain(name)
        };
    }
    if let Some(name) = database(s) {
        return name;
    }
    if s.kind == Kind::Server && !s.service_name.is_empty() {
        return Name::plain(s.service_name);
    }
    for key in [Key::RpcService, Key::HttpHost, Key::NetPeerName] {
        if let Some(name) = scan.filled(key) {
            return Name::plain(name);
        }
    }
    if s.current_names
        && calls_out
        && let Some(name) = scan.filled(Key::ServerAddress)
    {
        return Name::plain(name);
    }
    sanitised(s.span_name)
}

/// The service a call goes to, without what AWS instrumentation puts before it (XR-10).
pub(crate) fn without_sdk_prefix<'a>(name: &'a str, scan: &Scan<'_>) -> &'a str {
    if scan.text(Key::RpcSystem) != Some("aws-api") {
        return name;
    }
    name.strip_prefix("AWS.SDK.")
        .or_else(|| name.strip_prefix("AWS::"))
        .unwrap_or(name)
}

/// `<database>@<host>` (XR-11).
fn database<'a>(s: &Sources<'a>) -> Option<Name<'a>> {
    let scan = s.scan;
    let current = |key| scan.filled(key).filter(|_| s.current_names);
    let name = match scan.text(Key::DbName) {
        Some(name) => name,
        None => current(Key::DbNamespace)?,
    };
    let url = scan.text(Key::DbConnectionString);
    let host = url
        .map(|url| url.strip_prefix("jdbc:").unwrap_or(url))
        .and_then(url_host)
        .or_else(|| current(Key::ServerAddress));
    (!name.is_empty() || host.is_some()).then(|| Name {
        host,
        ..Name::plain(name)
    })
}

/// Host of a URL without port and brackets, as Go's `net/url` finds it; `None` where that fails or
/// finds none.
fn url_host(url: &str) -> Option<&str> {
    if url.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return None;
    }
    let (url, fragment) = url.split_once('#').unwrap_or((url, ""));
    let rest = after_scheme(url)?.strip_prefix("//")?;
    let (rest, _query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let user_fits = user
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&b));
    let escapes_fit = [user, path, fragment].into_iter().all(has_valid_escapes);
    if !user_fits || !escapes_fit || !host.bytes().all(is_host_byte) {
        return None;
    }
    let (name, port) = split_port(host)?;
    let port_fits = port.bytes().all(|b| b.is_ascii_digit());
    (port_fits && !name.is_empty()).then_some(name)
}

/// What follows the scheme; all of it if there is none.
fn after_scheme(url: &str) -> Option<&str> {
    let end = url.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
    match end {
        Some(end) if url.get(end..=end) == Some(":") => {
            // A scheme starts with a letter; one that is empty is an error.
            let first = url.bytes().next().filter(u8::is_ascii_alphabetic);
            match first {
                Some(_) => url.get(end + 1..),
                None if end == 0 => None,
                None => Some(url),
            }
        }
        _ => Some(url),
    }
}

/// Host and port digits of an authority; `None` if brackets do not fit.
fn split_port(host: &str) -> Option<(&str, &str)> {
    if let Some(inner) = host.strip_prefix('[') {
        let (name, rest) = inner.rsplit_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((name, port)),
            None => rest.is_empty().then_some((name, "")),
        };
    }
    Some(host.rsplit_once(':').unwrap_or((host, "")))
}

/// Bytes that Go lets stand in a host.
fn is_host_byte(byte: u8) -> bool {
    byte >= 0x80 || byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]<>\"".contains(&byte)
}

/// Whether every `%` is followed by two hexadecimal digits.
fn has_valid_escapes(text: &str) -> bool {
    let mut parts = text.split('%');
    parts.next();
    parts.all(|part| {
        let mut bytes = part.bytes();
        let mut digit = || bytes.next().is_some_and(|b| b.is_ascii_hexdigit());
        digit() && digit()
    })
}

/// A span name with the characters X-Ray takes, within its length (XR-09).
fn sanitised(name: &str) -> Name<'_> {
    if name.is_empty() {
        return Name::plain(DEFAULT_NAME);
    }
    let text: Cow<'_, str> = if name.chars().all(is_name_char) {
        name.into()
    } else {
        let kept: String = name.chars().filter(|c| is_name_char(*c)).collect();
        kept.into()
    };
    if text.is_empty() {
        return Name::plain(DEFAULT_NAME);
    }
    if text.len() <= MAX_NAME {
        return Name {
            text,
            ..Name::plain("")
        };
    }
    let whole = text.floor_char_boundary(MAX_NAME);
    let cut = text.get(..whole).unwrap_or("").to_owned();
    Name {
        text: cut.into(),
        torn_bytes: MAX_NAME - whole,
        ..Name::plain("")
    }
}

/// Unicode letters (category L), ASCII digits, space and `_ . : / % & # = + - @`.
fn is_name_char(c: char) -> bool {
    match c {
        'a'..='z'
        | 'A'..='Z'
        | '0'..='9'
        | ' '
        | '_'
        | '.'
        | ':'
        | '/'
        | '%'
        | '&'
        | '#'
        | '='
        | '+'
        | '-'
        | '@' => true,
        '\0'..='\x7f' => false,
        // Hangul syllables, unified ideographs, kana: letters, and common where names are long.
        '\u{ac00}'..='\u{d7a3}' | '\u{4e00}'..='\u{9fff}' => true,
        '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' => true,
        c => c.is_alphabetic() && is_letter(c),
    }
}

/// Category L by the tables of the regular expression engine; `char::is_alphabetic` also has
/// marks and letter numbers.
fn is_letter(c: char) -> bool {
    static LETTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{L}$").ok());
    let mut buffer = [0; 4];
    let text = c.encode_utf8(&mut buffer);
    LETTER.as_ref().is_none_or(|letter| letter.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_connection_strings() {
        for (url, host) in [
            (
                "mysql://db.dev.example.com:3306",
                Some("db.dev.example.com"),
            ),
            ("mysql://root:pw@db:3306/x?y=1#z", Some("db")),
            ("mysql://a@b@db", Some("db")),
            ("postgres://[::1]:5432/x", Some("::1")),
            ("postgres://[::1]", Some("::1")),
            ("postgres://[::1]x", None),
            ("//db/x", Some("db")),
            ("db.example:3306", None),
            ("db/x", None),
            ("", None),
            ("://db", None),
            ("1x://db", None),
            ("mysql://", None),
            ("mysql://db:", Some("db")),
            ("mysql://db:33a", None),
            ("sqlserver://db:1433;databaseName=x", None),
            ("oracle:thin:@db:1521:SID", None),
            ("mysql://d b/", None),
            ("mysql://db/%zz", None),
            ("mysql://db/%41", Some("db")),
            ("mysql://db\u{1}", None),
            ("mongodb://a:1,b:2/x", Some("a:1,b")),
            ("mysql://\u{d55c}/x", Some("\u{d55c}")),
        ] {
            assert_eq!(url_host(url), host, "{url}");
        }
    }

    #[test]
    fn span_names_keep_what_x_ray_takes() {
        for (name, kept) in [
            ("get*/path?{id}", "get/pathid"),
            ("tab\there\nand line", "tabhereand line"),
            ("***", "span"),
            ("", "span"),
            ("a_.:/%&#=+\\-@\"'()<>[]", "a_.:/%&#=+-@"),
            // Letters stay; other digits, marks, letter numbers and symbols go.
            (
                "\u{e9}\u{d55c}\u{3042}\u{416}\u{1d400}",
                "\u{e9}\u{d55c}\u{3042}\u{416}\u{1d400}",
            ),
            ("a\u{661}b\u{345}c\u{2160}d\u{2603}e\u{903}", "abcde"),
        ] {
            assert_eq!(sanitised(name).text, kept);
        }
    }

    #[test]
    fn span_names_end_at_200_bytes() {
        let long = sanitised(&"n".repeat(300)).text.into_owned();
        assert_eq!(long, "n".repeat(200));
        let torn = "n".repeat(199) + "\u{d55c}";
        let name = sanitised(&torn);
        assert_eq!((name.text.len(), name.torn_bytes), (199, 1));
        let torn = "n".repeat(198) + "\u{d55c}x";
        assert_eq!(sanitised(&torn).torn_bytes, 2);
        assert_eq!(sanitised(&"\u{d55c}".repeat(66)).torn_bytes, 0);
    }
}
