//! The `http` block: request, response and the URL put together from its parts.

use std::net::IpAddr;

use weir_model::ValueRef;
use weir_model::traces::{AttributesRef, SpanRef};

use crate::json::{DocumentWriter, member};
use crate::keys::{Key, KeySet, Scan};
use crate::segment::Kind;

/// There is a block if one of these is there.
const MAKES_BLOCK: KeySet = KeySet::of(&[
    Key::HttpMethod,
    Key::HttpRequestMethod,
    Key::HttpClientIp,
    Key::HttpUserAgent,
    Key::UserAgentOriginal,
    Key::HttpStatusCode,
    Key::HttpResponseStatusCode,
    Key::HttpUrl,
    Key::UrlFull,
    Key::HttpScheme,
    Key::UrlScheme,
    Key::HttpHost,
    Key::HttpTarget,
    Key::HttpServerName,
    Key::NetHostPort,
    Key::UrlPath,
    Key::UrlQuery,
]);

/// There is a URL if one of these is there, or an address in `network.peer.address`.
const MAKES_URL: KeySet = KeySet::of(&[
    Key::HttpUrl,
    Key::UrlFull,
    Key::HttpHost,
    Key::HttpServerName,
    Key::HostName,
    Key::NetHostName,
    Key::NetPeerName,
    Key::NetPeerIp,
    Key::ServerAddress,
]);

/// Writes the block, if the span has one.
pub(crate) fn write(
    w: &mut DocumentWriter<'_>,
    span: SpanRef<'_>,
    scan: &Scan<'_>,
    kind: Kind,
    current_names: bool,
) {
    if !scan.present().meets(MAKES_BLOCK) {
        return;
    }
    let network_peer = address(scan, Key::NetworkPeerAddress);
    let client_ip = client_ip(scan, network_peer);
    let peer_known = scan.present().has(Key::NetPeerIp) || network_peer.is_some();

    w.raw(member!("http"));
    w.open_object();
    w.raw(member!("request"));
    w.open_object();
    if client_ip.is_some() && !peer_known {
        w.raw(concat!(member!("x_forwarded_for"), "true,"));
    }
    let method = scan.later_text(Key::HttpMethod, Key::HttpRequestMethod);
    w.text_member(member!("method"), method.unwrap_or(""));
    if scan.present().meets(MAKES_URL) || network_peer.is_some() {
        write_url(w, scan, kind, current_names);
    }
    let agent = scan.later_text(Key::HttpUserAgent, Key::UserAgentOriginal);
    w.text_member(member!("user_agent"), agent.unwrap_or(""));
    w.text_member(member!("client_ip"), client_ip.unwrap_or(""));
    w.close_object();
    w.raw(member!("response"));
    w.open_object();
    if let Some(status) = scan.later(Key::HttpStatusCode, Key::HttpResponseStatusCode) {
        w.raw(member!("status"));
        w.int(status.as_int().unwrap_or(0));
    }
    w.raw(member!("content_length"));
    w.int(content_length(span, scan));
    w.close_object();
    w.close_object();
}

/// An attribute that must be an IP address to count.
fn address<'a>(scan: &Scan<'a>, key: Key) -> Option<&'a str> {
    scan.text(key).filter(|text| text.parse::<IpAddr>().is_ok())
}

/// Who asked: what a proxy said first, else the peer of the connection (XR-16).
fn client_ip<'a>(scan: &Scan<'a>, network_peer: Option<&'a str>) -> Option<&'a str> {
    let forwarded = scan.filled(Key::HttpClientIp);
    let client = address(scan, Key::ClientAddress);
    let forwarded = match (forwarded, client) {
        (Some(old), Some(new)) => {
            let old_is_later = scan.place(Key::HttpClientIp) > scan.place(Key::ClientAddress);
            Some(if old_is_later { old } else { new })
        }
        (old, new) => old.or(new),
    };
    forwarded.or_else(|| match (scan.filled(Key::NetPeerIp), network_peer) {
        (Some(old), Some(new)) => {
            let old_is_first = scan.place(Key::NetPeerIp) < scan.place(Key::NetworkPeerAddress);
            Some(if old_is_first { old } else { new })
        }
        (old, new) => old.or(new),
    })
}

/// A port as text, whether it was sent as text or as a number.
struct Port<'a> {
    text: &'a str,
    number: itoa::Buffer,
    value: i64,
}

impl<'a> Port<'a> {
    fn of(value: Option<ValueRef<'a>>) -> Option<Self> {
        value.map(|value| Port {
            text: value.as_str().unwrap_or(""),
            number: itoa::Buffer::new(),
            value: value.as_int().unwrap_or(0),
        })
    }
    fn as_str(&mut self) -> &str {
        if self.text.is_empty() {
            return self.number.format(self.value);
        }
        self.text
    }
}

/// Writes `url`: as sent, or from scheme, host, port and path (XR-17, XR-18). A part counts when it
/// is there, even if it is empty.
fn write_url(w: &mut DocumentWriter<'_>, scan: &Scan<'_>, kind: Kind, current_names: bool) {
    if let Some(full) = scan.later_text(Key::HttpUrl, Key::UrlFull) {
        return w.text_member(member!("url"), full);
    }
    let scheme = scan
        .later_text(Key::HttpScheme, Key::UrlScheme)
        .unwrap_or("http");
    let first = |keys: &[Key]| keys.iter().find_map(|key| scan.text(*key));
    let (host, port) = if let Some(host) = scan.text(Key::HttpHost) {
        (Some(host), None)
    } else if kind == Kind::Server {
        let names = [
            Key::HttpServerName,
            Key::NetHostName,
            Key::HostName,
            Key::ServerAddress,
        ];
        let port = scan.get(Key::NetHostPort).or(scan.get(Key::ServerPort));
        (first(&names), port)
    } else {
        let old = first(&[Key::NetPeerName, Key::NetPeerIp]);
        let old_port = scan.get(Key::NetPeerPort);
        if current_names {
            let host = old.or(scan.text(Key::ServerAddress));
            (host, old_port.or(scan.get(Key::ServerPort)))
        } else {
            (old, old_port)
        }
    };
    let mut port = Port::of(port);
    let port = port.as_mut().map_or("", Port::as_str);
    let hidden = matches!((scheme, port), (_, "") | ("http", "80") | ("https", "443"));
    let (colon, port) = if hidden { ("", "") } else { (":", port) };
    let (path, mark, query) = if let Some(target) = scan.text(Key::HttpTarget) {
        (target, "", "")
    } else {
        let query = scan.text(Key::UrlQuery);
        let mark = match query {
            Some(query) if !query.starts_with('?') => "?",
            _ => "",
        };
        let path = scan.text(Key::UrlPath).unwrap_or("/");
        (path, mark, query.unwrap_or(""))
    };
    let host = host.unwrap_or("");
    w.raw(member!("url"));
    w.text_parts(&[scheme, "://", host, colon, port, path, mark, query]);
}

/// Size of the answer: of the span, else of its first event that says it (XR-20).
fn content_length(span: SpanRef<'_>, scan: &Scan<'_>) -> i64 {
    let of_span = match (
        scan.text(Key::MessageType),
        scan.get(Key::MessagingPayloadSize),
    ) {
        (Some("RECEIVED"), Some(size)) => size.as_int().unwrap_or(0),
        _ => 0,
    };
    if of_span != 0 {
        return of_span;
    }
    span.events()
        .map(|event| received_size(event.attributes()))
        .find(|size| *size != 0)
        .unwrap_or(0)
}

fn received_size(attributes: AttributesRef<'_>) -> i64 {
    let (mut received, mut size) = (false, 0);
    for (name, value) in attributes.iter() {
        match name {
            "message.type" => received = value.as_str() == Some("RECEIVED"),
            "messaging.message_payload_size_bytes" => size = value.as_int().unwrap_or(0),
            _ => {}
        }
    }
    if received { size } else { 0 }
}
