//! The span attributes that mean something to X-Ray, and one pass over a span that finds them all.

use weir_model::ValueRef;
use weir_model::traces::AttributesRef;

/// What becomes of an attribute besides the member it fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Read only; stays metadata.
    Kept,
    /// Taken by the `http` block, whether there is one or not (XR-19).
    Http,
    /// Taken by the `aws` block, whether there is one or not (XR-37).
    Aws,
    /// Taken by the `sql` block if there is one (XR-38).
    Sql,
    /// Depends on the span; see [`crate::segment`].
    Depends,
}

macro_rules! keys {
    ($($length:literal { $($name:literal => $key:ident : $use:ident),+ $(,)? })+) => {
        /// An attribute with a meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Key { $($($key),+),+ }

        impl Key {
            /// All of them, in the order of the enum.
            const ALL: &'static [(Key, &'static str, usize, Use)] =
                &[$($((Key::$key, $name, $length, Use::$use)),+),+];

            /// Names of all of them.
            #[cfg(test)]
            pub(crate) fn names() -> impl Iterator<Item = &'static str> {
                Self::ALL.iter().map(|(_, name, _, _)| *name)
            }

            /// The key of an attribute name. By length first: almost every name is told apart by
            /// that alone, and the rest by one or two word compares.
            #[inline]
            pub(crate) fn of(name: &str) -> Option<Key> {
                match name.len() {
                    $($length => match name { $($name => Some(Key::$key),)+ _ => None },)+
                    _ => None,
                }
            }
        }
    };
}

keys! {
    7 { "db.name" => DbName: Sql, "db.user" => DbUser: Sql }
    8 {
        "url.full" => UrlFull: Http, "url.path" => UrlPath: Http,
        "http.url" => HttpUrl: Http,
    }
    9 {
        "http.host" => HttpHost: Http, "host.name" => HostName: Http,
        "url.query" => UrlQuery: Http, "db.system" => DbSystem: Sql,
    }
    10 {
        "url.scheme" => UrlScheme: Http, "rpc.method" => RpcMethod: Aws,
        "rpc.system" => RpcSystem: Kept, "aws.region" => AwsRegion: Aws,
        "enduser.id" => EnduserId: Depends,
    }
    11 {
        "http.method" => HttpMethod: Http, "http.scheme" => HttpScheme: Http,
        "http.target" => HttpTarget: Http, "net.peer.ip" => NetPeerIp: Http,
        "server.port" => ServerPort: Http, "rpc.service" => RpcService: Kept,
        "aws.service" => AwsService: Kept,
    }
    12 {
        "message.type" => MessageType: Kept, "peer.service" => PeerService: Kept,
        "db.statement" => DbStatement: Sql, "db.namespace" => DbNamespace: Sql,
        "remoteTarget" => RemoteTarget: Depends,
    }
    13 {
        "net.host.port" => NetHostPort: Http, "net.host.name" => NetHostName: Http,
        "net.peer.name" => NetPeerName: Http, "net.peer.port" => NetPeerPort: Http,
        "aws.operation" => AwsOperation: Aws, "aws.requestId" => AwsRequestIdCamel: Aws,
        "aws.queue_url" => AwsQueueUrl: Aws, "aws.queue.url" => AwsQueueUrlDotted: Aws,
        "messaging.url" => MessagingUrl: Kept, "aws.span.kind" => AwsSpanKind: Kept,
        "db.query.text" => DbQueryText: Sql,
    }
    14 {
        "http.client_ip" => HttpClientIp: Http, "client.address" => ClientAddress: Http,
        "server.address" => ServerAddress: Http, "aws.account_id" => AwsAccountId: Aws,
        "aws.request_id" => AwsRequestId: Aws, "aws.table_name" => AwsTableName: Aws,
        "aws.table.name" => AwsTableNameDotted: Aws, "db.system.name" => DbSystemName: Sql,
    }
    15 { "http.user_agent" => HttpUserAgent: Http }
    16 {
        "http.status_code" => HttpStatusCode: Http, "http.server_name" => HttpServerName: Http,
        "http.status_text" => HttpStatusText: Depends,
    }
    17 { "aws.local.service" => AwsLocalService: Kept }
    18 { "aws.remote.service" => AwsRemoteService: Depends }
    19 {
        "http.request.method" => HttpRequestMethod: Http,
        "user_agent.original" => UserAgentOriginal: Http,
        "aws.xray.inprogress" => AwsXrayInProgress: Depends,
        "K8s.RemoteNamespace" => K8sRemoteNamespace: Depends,
    }
    20 {
        "network.peer.address" => NetworkPeerAddress: Http,
        "db.connection_string" => DbConnectionString: Sql,
        "aws.xray.annotations" => AwsXrayAnnotations: Depends,
        "aws.remote.operation" => AwsRemoteOperation: Depends,
    }
    24 { "aws.dynamodb.table_names" => AwsDynamodbTableNames: Kept }
    25 { "http.response.status_code" => HttpResponseStatusCode: Http }
    36 { "messaging.message_payload_size_bytes" => MessagingPayloadSize: Kept }
}

/// Start of the names of attributes that carry a metadata namespace as JSON text.
pub(crate) const METADATA_PREFIX: &str = "aws.xray.metadata.";
/// What stands before the names of resource attributes in annotations and metadata.
pub(crate) const RESOURCE_PREFIX: &str = "otel.resource.";

/// A set of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeySet(u128);

impl KeySet {
    /// The set of these keys.
    pub(crate) const fn of(keys: &[Key]) -> Self {
        let mut bits = 0;
        let mut rest = keys;
        while let [key, tail @ ..] = rest {
            bits |= 1 << (*key as u8);
            rest = tail;
        }
        Self(bits)
    }
    /// All keys with this use.
    const fn with_use(wanted: Use) -> Self {
        let mut bits = 0;
        let mut rest = Key::ALL;
        while let [(key, _, _, use_of), tail @ ..] = rest {
            if *use_of as u8 == wanted as u8 {
                bits |= 1 << (*key as u8);
            }
            rest = tail;
        }
        Self(bits)
    }
    /// Whether the key is in it.
    #[inline]
    pub(crate) const fn has(self, key: Key) -> bool {
        self.0 & (1 << (key as u8)) != 0
    }
    /// Whether the sets share a key.
    #[inline]
    pub(crate) const fn meets(self, other: KeySet) -> bool {
        self.0 & other.0 != 0
    }
    /// Both sets.
    #[inline]
    pub(crate) const fn and(self, other: KeySet) -> Self {
        Self(self.0 | other.0)
    }
}

/// Taken from every span.
pub(crate) const ALWAYS_TAKEN: KeySet = KeySet::with_use(Use::Http)
    .and(KeySet::with_use(Use::Aws))
    .and(KeySet::of(&[Key::EnduserId]));

/// One attribute of the span at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// Name as sent.
    pub name: &'a str,
    /// Value as sent.
    pub value: ValueRef<'a>,
    /// Its meaning, if it has one.
    pub key: Option<Key>,
}

/// The attributes of a span after one pass: all of them in order, and where the known ones are.
/// Used again for the next span, so that a batch costs one allocation.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    entries: Vec<Entry<'a>>,
    present: KeySet,
    /// Place of the first entry with a key, valid where `present` has it.
    places: [u16; Key::ALL.len()],
    /// Whether a name starts with [`METADATA_PREFIX`].
    pub has_namespaces: bool,
    /// Whether a name starts with [`RESOURCE_PREFIX`].
    pub has_resource_names: bool,
}

impl<'a> Scan<'a> {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::with_capacity(32),
            present: KeySet::default(),
            places: [0; Key::ALL.len()],
            has_namespaces: false,
            has_resource_names: false,
        }
    }

    /// Takes the next span's attributes.
    pub(crate) fn read(&mut self, attributes: AttributesRef<'a>) {
        self.entries.clear();
        self.present = KeySet::default();
        self.has_namespaces = false;
        self.has_resource_names = false;
        for (name, value) in attributes.iter() {
            let key = Key::of(name);
            match key {
                Some(key) if !self.present.has(key) => {
                    if let (Ok(place), Some(slot)) = (
                        u16::try_from(self.entries.len()),
                        self.places.get_mut(key as usize),
                    ) {
                        *slot = place;
                        self.present = self.present.and(KeySet::of(&[key]));
                    }
                }
                Some(_) => {}
                None => {
                    self.has_namespaces |= name.starts_with(METADATA_PREFIX);
                    self.has_resource_names |= name.starts_with(RESOURCE_PREFIX);
                }
            }
            self.entries.push(Entry { name, value, key });
        }
    }

    /// All attributes in the order sent.
    pub(crate) fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }

    /// The known attributes that are there.
    pub(crate) fn present(&self) -> KeySet {
        self.present
    }

    /// Place of the first attribute with this key.
    #[inline]
    pub(crate) fn place(&self, key: Key) -> Option<usize> {
        if !self.present.has(key) {
            return None;
        }
        self.places
            .get(key as usize)
            .map(|place| usize::from(*place))
    }

    /// The first attribute with this key.
    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<ValueRef<'a>> {
        self.entries.get(self.place(key)?).map(|entry| entry.value)
    }

    /// The first attribute with this key as the reference reads text: empty for any other type.
    #[inline]
    pub(crate) fn text(&self, key: Key) -> Option<&'a str> {
        self.get(key).map(|value| value.as_str().unwrap_or(""))
    }

    /// [`Self::text`], with nothing for empty text.
    #[inline]
    pub(crate) fn filled(&self, key: Key) -> Option<&'a str> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// Of two names of one thing, the one that was sent later (XR-15).
    #[inline]
    pub(crate) fn later(&self, old: Key, new: Key) -> Option<ValueRef<'a>> {
        let place = self.place(old).max(self.place(new))?;
        self.entries.get(place).map(|entry| entry.value)
    }

    /// Text of [`Self::later`].
    #[inline]
    pub(crate) fn later_text(&self, old: Key, new: Key) -> Option<&'a str> {
        self.later(old, new)
            .map(|value| value.as_str().unwrap_or(""))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_name_is_found_under_its_length() {
        assert!(Key::ALL.len() <= 128);
        for (index, (key, name, length, _)) in Key::ALL.iter().enumerate() {
            assert_eq!(name.len(), *length, "{name}");
            assert_eq!(Key::of(name), Some(*key), "{name}");
            assert_eq!(*key as usize, index);
        }
        assert_eq!(Key::of("http.methods"), None);
        assert_eq!(Key::of(""), None);
    }

    #[test]
    fn what_is_always_taken() {
        assert!(ALWAYS_TAKEN.has(Key::ServerAddress) && ALWAYS_TAKEN.has(Key::RpcMethod));
        assert!(!ALWAYS_TAKEN.has(Key::DbName) && !ALWAYS_TAKEN.has(Key::RpcService));
    }
}
