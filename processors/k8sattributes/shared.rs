//! What the pipelines of a graph share: the watches, the index of pods, the version of both.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use regex::Regex;
use tokio::sync::watch as signal;
use tokio_util::sync::CancellationToken;
use weir_core::telemetry::{Counter, Gauge};
use weir_core::{BuildCtx, Clock, Tasks};
use weir_kube::{Access, Changes, Cluster, Key, PackedPod, Pod, any};
use weir_model::{Attributes, AttributesBuilder};

use super::association::Associations;
use super::attributes::View;
use super::config::{AuthType, Config};
use super::index::{Change, Index, Update};
use super::rules::Rules;
use super::watches::Watches;

/// How often what is gone is looked for.
const SWEEP: Duration = Duration::from_secs(30);
/// A pod with this annotation is left out, in either spelling.
const IGNORE: &str = "opentelemetry.io/k8s-processor/ignore";

/// Those of all processors that are alive, so that those of the same configuration find each other.
static ALIVE: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// What a graph knows of its cluster.
pub(super) struct Shared {
    config: Config,
    pub(super) rules: Rules,
    pub(super) associations: Associations,
    excluded: Vec<Regex>,
    tasks: Tasks,
    clock: Arc<dyn Clock>,
    /// Nothing in passthrough mode, and after the end.
    watches: RwLock<Option<Watches>>,
    index: RwLock<Index>,
    /// Raised when attributes may have become others.
    epoch: AtomicU64,
    ready: signal::Sender<bool>,
    users: AtomicUsize,
    ended: CancellationToken,
    counts: Counts,
}

/// Own metrics, named as in the reference.
struct Counts {
    pods: Kinds,
    table: Gauge,
    misses: Counter,
}

/// Events of one kind of objects.
struct Kinds {
    added: Counter,
    updated: Counter,
    deleted: Counter,
}

impl Kinds {
    fn new(cx: &BuildCtx, kind: &str) -> Self {
        let counter = |event: &str, help: &str| {
            cx.telemetry.counter(&format!("otelcol_otelsvc_k8s_{kind}_{event}"), help, &[])
        };
        Self {
            added: counter("added", "Number of add events received"),
            updated: counter("updated", "Number of update events received"),
            deleted: counter("deleted", "Number of delete events received"),
        }
    }
}

impl Shared {
    /// Those of this configuration in this graph, made if there are none.
    pub(super) async fn of(
        config: &Config,
        cx: &BuildCtx,
        access: &Access,
    ) -> Result<Arc<Self>, String> {
        let cluster = match config.passthrough {
            true => None,
            false => Some(Cluster::of(access, cx).await?),
        };
        let mut alive = ALIVE.lock().unwrap_or_else(PoisonError::into_inner);
        alive.retain(|shared| shared.strong_count() > 0);
        let mut found = alive.iter().filter_map(Weak::upgrade);
        let same = |shared: &Arc<Self>| {
            shared.config == *config && shared.tasks.same(&cx.tasks) && !shared.ended.is_cancelled()
        };
        let shared = match found.find(same) {
            Some(shared) => shared,
            None => {
                let shared = Self::new(config, cx, cluster.as_ref());
                alive.push(Arc::downgrade(&shared));
                shared
            }
        };
        shared.users.fetch_add(1, Ordering::AcqRel);
        Ok(shared)
    }

    fn new(config: &Config, cx: &BuildCtx, cluster: Option<&Arc<Cluster>>) -> Arc<Self> {
        let rules = Rules::new(config);
        let watches = cluster.map(|cluster| Watches::begin(cluster, config, &rules));
        let others = watches.iter().flat_map(Watches::others);
        let others: Vec<Option<Kinds>> =
            others.map(|(kind, _)| kind.map(|kind| Kinds::new(cx, kind))).collect();
        let changes = watches.as_ref().map(Watches::changes);
        let gauge = |name: &str, help: &str| cx.telemetry.gauge(name, help, &[]);
        let shared = Arc::new(Self {
            associations: Associations::new(&config.pod_association),
            excluded: config.exclude.patterns(),
            config: config.clone(),
            rules,
            tasks: cx.tasks.clone(),
            clock: cx.clock.clone(),
            watches: RwLock::new(watches),
            index: RwLock::default(),
            epoch: AtomicU64::new(1),
            ready: signal::Sender::new(false),
            users: AtomicUsize::new(0),
            ended: CancellationToken::new(),
            counts: Counts {
                pods: Kinds::new(cx, "pod"),
                table: gauge("otelcol_otelsvc_k8s_pod_table_size", "Size of table containing pod info"),
                misses: cx.telemetry.counter(
                    "otelcol_otelsvc_k8s_ip_lookup_miss",
                    "Number of times pod by IP lookup failed.",
                    &[],
                ),
            },
        });
        if let Some(changes) = changes {
            let work = follow(Arc::downgrade(&shared), changes, others, shared.ended.clone());
            cx.tasks.spawn(&format!("processor {}: metadata", cx.id), work);
        }
        shared
    }

    /// Waits until everything has been listed once.
    ///
    /// # Errors
    /// What is missing after the time that is allowed.
    pub(super) async fn wait(&self) -> Result<(), String> {
        let mut ready = self.ready.subscribe();
        let limit = self.config.wait_for_metadata_timeout.to_std();
        let listed = ready.wait_for(|ready| *ready);
        if matches!(tokio::time::timeout(limit, listed).await, Ok(Ok(_))) {
            return Ok(());
        }
        let watches = self.watches.read().unwrap_or_else(PoisonError::into_inner);
        let missing = watches.as_ref().map(Watches::missing).unwrap_or_default();
        Err(format!(
            "failed to wait for the metadata of Kubernetes within {}: {}",
            self.config.wait_for_metadata_timeout,
            missing.join("; ")
        ))
    }

    /// A processor has stopped; the last one ends the watches.
    pub(super) fn leave(&self) {
        if self.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ended.cancel();
            *self.watches.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// A number that is another one when attributes may be others.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Adds what is known of the pod of a resource; whether a pod was found, `None` if the
    /// resource cannot be associated with any.
    pub(super) fn add(
        &self,
        resource: &Attributes,
        sender: Option<IpAddr>,
        out: &mut AttributesBuilder,
    ) -> Option<bool> {
        let identifier = self.associations.of_resource(resource, sender);
        let asked = self.config.passthrough || self.rules.wants("k8s.pod.ip");
        let by_sender = identifier.as_ref().is_some_and(|identifier| identifier.by_sender);
        let watches = self.watches.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = identifier.as_ref().map(|_| false);
        if let Some(watches) = &*watches {
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            let pod = identifier.and_then(|identifier| index.find(&identifier.text));
            drop(index);
            found = found.map(|_| pod.is_some());
            let pod = pod.map(|pod| pod.unpack());
            View { rules: &self.rules, watches }.add(pod.as_ref(), resource, out);
            if found == Some(false) {
                self.counts.misses.add(1);
            }
        }
        if asked
            && by_sender
            && let Some(sender) = sender
            && matches!(out.get("k8s.pod.ip"), None | Some(weir_model::ValueRef::Str("")))
        {
            out.set_str("k8s.pod.ip", &super::association::canonical(sender).to_string());
        }
        found
    }

    fn identifiers(&self, watches: &Watches, pod: &Pod) -> Vec<Box<str>> {
        let view = View { rules: &self.rules, watches };
        let extracted = std::cell::OnceCell::new();
        self.associations.of_pod(pod, |name| {
            extracted.get_or_init(|| view.of_pod(pod)).get(name).cloned()
        })
    }

    fn ignored(&self, pod: &Pod) -> bool {
        let annotations = &pod.metadata.annotations;
        let ignore = annotations.get(IGNORE).is_some_and(|value| {
            let value = value.trim();
            value.eq_ignore_ascii_case("true") || value == "1" || value.eq_ignore_ascii_case("t")
        });
        let name = &pod.metadata.name;
        ignore || self.excluded.iter().any(|pattern| pattern.is_match(name))
    }

    /// Brings pods into the index.
    fn take_pods(&self, keys: &BTreeSet<Key>) {
        let watches = self.watches.read().unwrap_or_else(PoisonError::into_inner);
        let Some(watches) = &*watches else { return };
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let leave_at = self.clock.monotonic() + self.config.pod_delete_grace_period.to_std();
        let mut changed = false;
        for key in keys {
            let change = match watches.pods.get(key) {
                None => index.remove(key, leave_at),
                Some(packed) => self.take_pod(&mut index, watches, key, packed, leave_at),
            };
            match change {
                Change::Added => self.counts.pods.added.add(1),
                Change::Updated | Change::Same => self.counts.pods.updated.add(1),
                Change::Deleted => self.counts.pods.deleted.add(1),
                Change::Nothing => {}
            }
            // A pod that went is still known.
            changed |= matches!(change, Change::Added | Change::Updated);
        }
        self.counts.table.set(i64::try_from(index.len()).unwrap_or(i64::MAX));
        drop(index);
        if changed {
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn take_pod(
        &self,
        index: &mut Index,
        watches: &Watches,
        key: &Key,
        packed: Arc<PackedPod>,
        leave_at: Duration,
    ) -> Change {
        let pod = packed.unpack();
        if self.ignored(&pod) {
            return index.remove(key, leave_at);
        }
        let identifiers = self.identifiers(watches, &pod);
        let annotations = self.rules.reads_pod_annotations();
        let update = Update { packed, pod, identifiers, annotations };
        index.put(key, update, leave_at, |pod| self.identifiers(watches, pod))
    }

    /// Objects besides pods have changed.
    fn take_others(&self) {
        if self.associations.ask_others() {
            let keys = {
                let watches = self.watches.read().unwrap_or_else(PoisonError::into_inner);
                watches.as_ref().map(|watches| watches.pods.keys()).unwrap_or_default()
            };
            self.take_pods(&keys);
        }
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets what has stayed long enough.
    pub(super) fn sweep(&self) {
        let watches = self.watches.read().unwrap_or_else(PoisonError::into_inner);
        let Some(watches) = &*watches else { return };
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        if index.sweep(self.clock.monotonic(), |pod| self.identifiers(watches, pod)) {
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Follows the watches until the end.
async fn follow(
    shared: Weak<Shared>,
    mut changes: Vec<Changes>,
    others: Vec<Option<Kinds>>,
    ended: CancellationToken,
) {
    let mut listed = vec![false; changes.len()];
    let mut known: Vec<HashSet<Key>> = vec![HashSet::new(); others.len()];
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        let (of, keys) = tokio::select! {
            () = ended.cancelled() => return,
            change = any(&mut changes) => change,
            _ = sweep.tick() => match shared.upgrade() {
                Some(shared) => {
                    shared.sweep();
                    continue;
                }
                None => return,
            },
        };
        let Some(shared) = shared.upgrade() else { return };
        match of.checked_sub(1) {
            None => shared.take_pods(&keys),
            Some(other) => {
                if let (Some(Some(kinds)), Some(known)) = (others.get(other), known.get_mut(other)) {
                    shared.count(other, &keys, known, kinds);
                }
                shared.take_others();
            }
        }
        listed[of] = true;
        if listed.iter().all(|listed| *listed) {
            shared.ready.send_replace(true);
        }
    }
}

impl Shared {
    fn count(&self, other: usize, keys: &BTreeSet<Key>, known: &mut HashSet<Key>, kinds: &Kinds) {
        let watches = self.watches.read().unwrap_or_else(PoisonError::into_inner);
        let others = watches.as_ref().map(Watches::others).unwrap_or_default();
        let Some((_, watch)) = others.get(other) else { return };
        for key in keys {
            match (watch.get(key).is_some(), known.contains(key)) {
                (true, false) => {
                    known.insert(key.clone());
                    kinds.added.add(1);
                }
                (true, true) => kinds.updated.add(1),
                (false, true) => {
                    known.remove(key);
                    kinds.deleted.add(1);
                }
                (false, false) => {}
            }
        }
    }
}

/// The way to the API.
pub(super) fn access(config: &Config) -> Access {
    match config.auth_type {
        AuthType::ServiceAccount => Access::ServiceAccount,
        AuthType::None | AuthType::Tls => Access::Anonymous,
        AuthType::KubeConfig => Access::KubeConfig { file: None, context: config.context.clone() },
    }
}
