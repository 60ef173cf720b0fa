//! One list and watch: what it holds, and who is told of changes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::future::select_all;
use kube::Client;
use tokio::sync::{Notify, watch as signal};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use crate::cluster::{Query, lock};
use crate::explain::explain;
use crate::objects::{Pool, Resource, Slim, Wire};
use crate::source::{Event, Failure, Source};

/// `namespace/name`; without a namespace `/name`.
pub type Key = Arc<str>;

/// The key of an object.
pub fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

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
    /// All keys, for the first answer.
    all: Weak<dyn Keys>,
    /// Whether the listener has been told that the first listing is complete.
    begun: bool,
}

/// What has keys.
trait Keys: Send + Sync {
    fn keys(&self) -> BTreeSet<Key>;
}

impl<T: Slim> Keys for Shared<T> {
    fn keys(&self) -> BTreeSet<Key> {
        lock(&self.objects).keys().cloned().collect()
    }
}

impl Changes {
    /// The objects that have changed, came or went since the last call: the watch knows what they
    /// are now. The first answer comes with the first complete listing, even if that is empty.
    pub async fn next(&mut self) -> BTreeSet<Key> {
        if self.listed.wait_for(|listed| *listed).await.is_err() {
            // Nobody watches any more.
            return std::future::pending().await;
        }
        if !std::mem::replace(&mut self.begun, true) {
            // First forgotten, then listed: what changes meanwhile is told again.
            lock(&self.dirty.keys).clear();
            return self.all.upgrade().map(|all| all.keys()).unwrap_or_default();
        }
        loop {
            let keys = std::mem::take(&mut *lock(&self.dirty.keys));
            if !keys.is_empty() {
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
        self.shared.keys()
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
        lock(&self.shared.listeners).push(Arc::downgrade(&dirty));
        let all: Arc<dyn Keys> = self.shared.clone();
        Changes {
            dirty,
            listed: self.shared.listed.subscribe(),
            all: Arc::downgrade(&all),
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
        unseen: HashSet::new(),
        pool: Pool::default(),
        told: None,
    };
    let source = Source::new(client, resource, query, T::METADATA_ONLY);
    let work = keeper.run(source, ended.clone());
    let alive = Arc::new(ended.drop_guard());
    (Watch { shared, alive }, work)
}

/// Brings what the API tells into the shared state.
struct Keeper<T> {
    shared: Arc<Shared<T>>,
    resource: Resource,
    /// What was there when the listing under way began and has not been named by it.
    unseen: HashSet<Key>,
    pool: Pool,
    /// The last failure that was told, and when.
    told: Option<(String, Instant)>,
}

impl<T: Slim> Keeper<T> {
    async fn run(mut self, mut source: Source, ended: CancellationToken) {
        let work = async {
            loop {
                let step = source.step(&mut |event| self.take(event)).await;
                if let Err(failure) = step {
                    self.failed(&failure);
                    tokio::time::sleep(source.pause()).await;
                }
            }
        };
        // What is cut off here is not used again.
        ended.run_until_cancelled(work).await;
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Begun => self.unseen = lock(&self.shared.objects).keys().cloned().collect(),
            Event::Listed(object) => {
                let key = self.put(object);
                self.unseen.remove(&key);
            }
            Event::Done => {
                let gone = std::mem::take(&mut self.unseen);
                self.remove(&gone);
                self.worked();
                self.shared.listed.send_replace(true);
            }
            Event::Put(object) => {
                self.put(object);
                self.worked();
            }
            Event::Gone(object) => {
                let removed = lock(&self.shared.objects).remove_entry(&*key_of(&object));
                if let Some((key, _)) = removed {
                    self.changed(&[key]);
                }
                self.worked();
            }
        }
    }

    fn put(&mut self, object: Wire) -> Key {
        let name = key_of(&object);
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
    fn remove(&mut self, gone: &HashSet<Key>) {
        if gone.is_empty() {
            return;
        }
        lock(&self.shared.objects).retain(|key, _| !gone.contains(key));
        let gone: Vec<Key> = gone.iter().cloned().collect();
        self.changed(&gone);
    }

    fn changed(&self, keys: &[Key]) {
        self.shared.version.fetch_add(1, Ordering::AcqRel);
        if !*self.shared.listed.borrow() {
            // The first answer names everything.
            return;
        }
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

    fn failed(&mut self, failure: &Failure) {
        let why = explain(self.resource, failure);
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

fn key_of(object: &Wire) -> String {
    key(&object.metadata.namespace, &object.metadata.name)
}
