//! One list and watch: what it holds, and who is told of changes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::future::select_all;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ApiResource;
use kube::core::DynamicResourceScope;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::{Notify, watch as signal};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use crate::cluster::{Query, lock};
use crate::explain::explain;
use crate::objects::{MetadataWire, Pool, Resource, Slim, Wire};

/// `namespace/name`; without a namespace `/name`.
pub type Key = Arc<str>;

/// The key of an object.
pub fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// Objects of one answer to a list: whole objects are large, and only a part of them is kept.
const PAGE: u32 = 100;

/// The same failure is told once in this time.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The objects of a query as they are now. It is kept up to date while somebody holds a copy.
pub struct Watch<T> {
    shared: Arc<Shared<T>>,
    alive: Arc<DropGuard>,
}

impl<T> Clone for Watch<T> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            alive: self.alive.clone(),
        }
    }
}

/// A watch that does not keep itself going.
pub(crate) struct WeakWatch<T> {
    shared: Weak<Shared<T>>,
    alive: Weak<DropGuard>,
}

impl<T> WeakWatch<T> {
    pub(crate) fn upgrade(&self) -> Option<Watch<T>> {
        Some(Watch {
            alive: self.alive.upgrade()?,
            shared: self.shared.upgrade()?,
        })
    }
}

struct Shared<T> {
    objects: Mutex<HashMap<Key, Arc<T>>>,
    /// Raised with each change.
    version: AtomicU64,
    listeners: Mutex<Vec<Weak<Dirty>>>,
    /// Whether the first listing is complete.
    listed: signal::Sender<bool>,
    failure: Mutex<Option<String>>,
}

/// What has changed for one listener.
#[derive(Default)]
struct Dirty {
    keys: Mutex<BTreeSet<Key>>,
    wake: Notify,
}

/// The changes of a watch for one listener. Several changes of an object become one.
pub struct Changes {
    dirty: Arc<Dirty>,
    listed: signal::Receiver<bool>,
    /// Whether the listener has been told that the first listing is complete.
    begun: bool,
}

impl Changes {
    /// The objects that have changed, came or went since the last call: the watch knows what they
    /// are now. The first answer comes with the first complete listing, even if that is empty.
    pub async fn next(&mut self) -> BTreeSet<Key> {
        if self.listed.wait_for(|listed| *listed).await.is_err() {
            // Nobody watches any more.
            return std::future::pending().await;
        }
        loop {
            let keys = std::mem::take(&mut *lock(&self.dirty.keys));
            if !keys.is_empty() || !std::mem::replace(&mut self.begun, true) {
                return keys;
            }
            self.dirty.wake.notified().await;
        }
    }
}

/// The first changes of any of these, and of which. It may be given up and called again.
pub async fn any(changes: &mut [Changes]) -> (usize, BTreeSet<Key>) {
    let waits = changes.iter_mut().map(|one| Box::pin(one.next()));
    let (keys, of, _) = select_all(waits).await;
    (of, keys)
}

impl<T: Slim> Watch<T> {
    /// An object.
    pub fn get(&self, key: &str) -> Option<Arc<T>> {
        lock(&self.shared.objects).get(key).cloned()
    }

    /// Some object for which `wanted` holds.
    pub fn find(&self, wanted: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        let objects = lock(&self.shared.objects);
        objects.values().find(|object| wanted(object)).cloned()
    }

    /// All objects.
    pub fn all(&self) -> Vec<(Key, Arc<T>)> {
        let objects = lock(&self.shared.objects);
        objects
            .iter()
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect()
    }

    /// Keys of all objects.
    pub fn keys(&self) -> BTreeSet<Key> {
        lock(&self.shared.objects).keys().cloned().collect()
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        lock(&self.shared.objects).len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A number that is another one after each change.
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// Tells of changes from now on, of all objects first.
    pub fn changes(&self) -> Changes {
        let dirty = Arc::<Dirty>::default();
        // First in the list, then filled: what changes meanwhile is told twice at worst.
        lock(&self.shared.listeners).push(Arc::downgrade(&dirty));
        let keys: Vec<Key> = lock(&self.shared.objects).keys().cloned().collect();
        lock(&dirty.keys).extend(keys);
        Changes {
            dirty,
            listed: self.shared.listed.subscribe(),
            begun: false,
        }
    }

    /// Waits until the first listing is complete.
    pub async fn listed(&self) {
        let mut listed = self.shared.listed.subscribe();
        // The sender lives in what this handle holds.
        drop(listed.wait_for(|listed| *listed).await);
    }

    /// Whether the first listing is complete.
    pub fn is_listed(&self) -> bool {
        *self.shared.listed.borrow()
    }

    /// Why it does not work at present.
    pub fn failure(&self) -> Option<String> {
        lock(&self.shared.failure).clone()
    }

    pub(crate) fn downgrade(&self) -> WeakWatch<T> {
        WeakWatch {
            shared: Arc::downgrade(&self.shared),
            alive: Arc::downgrade(&self.alive),
        }
    }
}

/// A watch and the work that keeps it going, which ends with its last copy.
pub(crate) fn start<T: Slim>(
    client: Client,
    resource: Resource,
    query: &Query,
) -> (Watch<T>, impl Future<Output = ()> + Send + 'static) {
    let ended = CancellationToken::new();
    let shared = Arc::new(Shared {
        objects: Mutex::default(),
        version: AtomicU64::new(0),
        listeners: Mutex::default(),
        listed: signal::Sender::new(false),
        failure: Mutex::default(),
    });
    let keeper = Keeper {
        shared: shared.clone(),
        resource,
        listing: HashSet::new(),
        pool: Pool::default(),
        told: None,
    };
    let events = events(client, resource, query, T::METADATA_ONLY);
    let work = keeper.run(events, ended.clone());
    let alive = Arc::new(ended.drop_guard());
    (Watch { shared, alive }, work)
}

/// What the API tells of a query, boxed, so that there are two of the client's watchers in the
/// program and not one for each kind of objects.
fn events(client: Client, resource: Resource, query: &Query, metadata_only: bool) -> Events {
    let mut settings = watcher::Config::default().page_size(PAGE);
    if !query.labels.is_empty() {
        settings = settings.labels(&query.labels);
    }
    if !query.fields.is_empty() {
        settings = settings.fields(&query.fields);
    }
    if metadata_only {
        let events = watcher(api(client, resource, query), settings).default_backoff();
        return events.map_ok(of_metadata).boxed();
    }
    watcher(api(client, resource, query), settings)
        .default_backoff()
        .boxed()
}

/// The API of these objects.
fn api<K>(client: Client, resource: Resource, query: &Query) -> Api<K>
where
    K: kube::Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
{
    let kind = resource.api();
    match &query.namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &kind),
        None => Api::all_with(client, &kind),
    }
}

type Events = BoxStream<'static, Result<Event<Wire>, watcher::Error>>;

fn of_metadata(event: Event<MetadataWire>) -> Event<Wire> {
    match event {
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(object.into()),
        Event::InitDone => Event::InitDone,
        Event::Apply(object) => Event::Apply(object.into()),
        Event::Delete(object) => Event::Delete(object.into()),
    }
}

/// Brings what the API tells into the shared state.
struct Keeper<T> {
    shared: Arc<Shared<T>>,
    resource: Resource,
    /// What a listing under way has named.
    listing: HashSet<Key>,
    pool: Pool,
    /// The last failure that was told, and when.
    told: Option<(String, Instant)>,
}

impl<T: Slim> Keeper<T> {
    async fn run(mut self, mut events: Events, ended: CancellationToken) {
        loop {
            let event = tokio::select! {
                () = ended.cancelled() => return,
                event = events.next() => event,
            };
            match event {
                None => return,
                Some(Ok(event)) => self.take(event),
                Some(Err(error)) => self.failed(&error),
            }
        }
    }

    fn take(&mut self, event: Event<Wire>) {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(object) => {
                let key = self.put(object);
                self.listing.insert(key);
            }
            Event::InitDone => {
                let listing = std::mem::take(&mut self.listing);
                self.retain(&listing);
                self.worked();
                self.shared.listed.send_replace(true);
            }
            Event::Apply(object) => {
                self.put(object);
                self.worked();
            }
            Event::Delete(object) => {
                let removed = lock(&self.shared.objects).remove_entry(&*key_of(&object.metadata));
                if let Some((key, _)) = removed {
                    self.changed(&[key]);
                }
                self.worked();
            }
        }
    }

    fn put(&mut self, object: Wire) -> Key {
        let name = key_of(&object.metadata);
        let new = T::slim(object, self.resource, &mut self.pool);
        let mut objects = lock(&self.shared.objects);
        let key = match objects.get_key_value(name.as_str()) {
            // Most updates change nothing that is kept.
            Some((key, known)) if **known == new => return key.clone(),
            Some((key, _)) => key.clone(),
            None => Key::from(name),
        };
        objects.insert(key.clone(), Arc::new(new));
        drop(objects);
        self.changed(std::slice::from_ref(&key));
        key
    }

    /// Forgets what a new listing does not name.
    fn retain(&mut self, listing: &HashSet<Key>) {
        let gone: Vec<Key> = lock(&self.shared.objects)
            .extract_if(|key, _| !listing.contains(key))
            .map(|(key, _)| key)
            .collect();
        if !gone.is_empty() {
            self.changed(&gone);
        }
    }

    fn changed(&self, keys: &[Key]) {
        self.shared.version.fetch_add(1, Ordering::AcqRel);
        lock(&self.shared.listeners).retain(|listener| match listener.upgrade() {
            Some(dirty) => {
                lock(&dirty.keys).extend(keys.iter().cloned());
                dirty.wake.notify_one();
                true
            }
            None => false,
        });
    }

    fn worked(&mut self) {
        let failed = lock(&self.shared.failure).take().is_some();
        if failed {
            info!("watching {} works again", self.resource.plural());
            self.told = None;
        }
    }

    fn failed(&mut self, error: &watcher::Error) {
        let why = explain(self.resource, error);
        let now = Instant::now();
        let old = |(text, when): &(String, Instant)| *text != why || now - *when >= TELL_EVERY;
        if self.told.as_ref().is_none_or(old) {
            warn!(
                "watching {} failed, trying again: {why}",
                self.resource.plural()
            );
            self.told = Some((why.clone(), now));
        }
        *lock(&self.shared.failure) = Some(why);
    }
}

fn key_of(metadata: &ObjectMeta) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    key(&part(&metadata.namespace), &part(&metadata.name))
}
