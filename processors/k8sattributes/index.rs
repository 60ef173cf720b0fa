//! Which pod has which identifier (processors 1.3).
//!
//! What a pod was known by, and pods that are gone, stay for a while: telemetry comes late.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashTable;
use weir_kube::{Key, PackedPod, Pod};

/// Place of a pod.
type Slot = u32;

/// Pods by their identifiers.
#[derive(Default)]
pub(super) struct Index {
    /// Places of the pods that are there now, by the keys in their records.
    by_key: HashTable<Slot>,
    hasher: foldhash::fast::RandomState,
    identifiers: Identifiers,
    records: Vec<Option<Record>>,
    free: Vec<Slot>,
    /// What is to be forgotten and when, the next first.
    leaving: VecDeque<(Duration, Leaving)>,
}

/// Which pods an identifier names: 16 bytes each instead of the text. That two of a million texts
/// have the same 64 bits of the seeded hash happens once in 37 million times.
#[derive(Default)]
struct Identifiers {
    table: HashTable<(u64, Slot)>,
    hasher: foldhash::fast::RandomState,
}

impl Identifiers {
    fn hash(&self, identifier: &str) -> u64 {
        self.hasher.hash_one(identifier)
    }

    fn slots(&self, identifier: &str) -> impl Iterator<Item = Slot> {
        let hash = self.hash(identifier);
        let alike = self.table.iter_hash(hash);
        alike.filter(move |(other, _)| *other == hash).map(|(_, slot)| *slot)
    }

    /// Adds a pod; whether it was new.
    fn add(&mut self, identifier: &str, slot: Slot) -> bool {
        if self.slots(identifier).any(|other| other == slot) {
            return false;
        }
        let hash = self.hash(identifier);
        self.table.insert_unique(hash, (hash, slot), |(hash, _)| *hash);
        true
    }

    fn remove(&mut self, identifier: &str, slot: Slot) {
        let entry = (self.hash(identifier), slot);
        if let Ok(found) = self.table.find_entry(entry.0, |other| *other == entry) {
            found.remove();
        }
    }
}

struct Record {
    key: Key,
    pod: Arc<PackedPod>,
    /// Of what attributes are made of.
    fingerprint: u64,
}

enum Leaving {
    Identifier(Box<str>, Slot),
    Pod(Slot),
}

/// A pod with what the index makes of it.
pub(super) struct Update {
    pub(super) packed: Arc<PackedPod>,
    pub(super) pod: Pod,
    pub(super) identifiers: Vec<Box<str>>,
    /// Whether annotations of pods are read.
    pub(super) annotations: bool,
}

/// What a change was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Added,
    /// With no effect on attributes.
    Same,
    Updated,
    Deleted,
    /// A pod that is not known went, or never came.
    Nothing,
}

/// When a pod was started, in seconds since 1970.
fn started(pod: &PackedPod) -> i64 {
    let time = pod.unpack().started.parse::<jiff::Timestamp>();
    time.map_or(i64::MIN, |time| time.as_second())
}

/// Records are given place for an eighth more, so that few of them stand empty.
const GROWTH: usize = 8;

impl Index {
    /// Pods that are there now.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The pod of an identifier.
    pub(super) fn find(&self, identifier: &str) -> Option<Arc<PackedPod>> {
        let mut records = self.identifiers.slots(identifier).filter_map(|slot| self.record(slot));
        let first = records.next()?;
        // Of several pods with one identifier the one that was started last counts.
        let (mut last, mut at) = (first, None);
        for record in records {
            let (before, this) = (at.unwrap_or_else(|| started(&last.pod)), started(&record.pod));
            (last, at) = if this >= before { (record, Some(this)) } else { (last, Some(before)) };
        }
        Some(last.pod.clone())
    }

    /// The place of a pod that is there now.
    fn slot(&self, key: &str) -> Option<Slot> {
        let is = |slot: &Slot| self.record(*slot).is_some_and(|record| &*record.key == key);
        self.by_key.find(self.hasher.hash_one(key), is).copied()
    }

    fn record(&self, slot: Slot) -> Option<&Record> {
        self.records.get(slot as usize)?.as_ref()
    }

    /// Takes a pod as it is now. What it was known by before stays until `leave_at`; `identifiers`
    /// tells that of a pod.
    pub(super) fn put(
        &mut self,
        key: &Key,
        update: Update,
        leave_at: Duration,
        identifiers: impl Fn(&Pod) -> Vec<Box<str>>,
    ) -> Change {
        let fingerprint = self.fingerprint(&update);
        let known = self.slot(key);
        let known = known.and_then(|slot| Some((slot, self.record(slot)?.pod.unpack())));
        if let Some((slot, before)) = known {
            if before.metadata.uid == update.pod.metadata.uid {
                let before = identifiers(&before);
                return self.renew(slot, update, fingerprint, &before, leave_at);
            }
            // Another pod with the same name.
            self.remove(key, leave_at);
        }
        let slot = self.place(Record { key: key.clone(), pod: update.packed, fingerprint });
        let (hasher, records) = (&self.hasher, &self.records);
        let hash = |slot: &Slot| {
            let record = records.get(*slot as usize).and_then(Option::as_ref);
            record.map_or(0, |record| hasher.hash_one(&*record.key))
        };
        self.by_key.insert_unique(hasher.hash_one(&**key), slot, hash);
        for identifier in update.identifiers {
            self.identifiers.add(&identifier, slot);
        }
        Change::Added
    }

    /// A place for a record.
    fn place(&mut self, record: Record) -> Slot {
        if let Some(slot) = self.free.pop()
            && let Some(free) = self.records.get_mut(slot as usize)
        {
            *free = Some(record);
            return slot;
        }
        if self.records.len() == self.records.capacity() {
            self.records.reserve_exact(self.records.len() / GROWTH + GROWTH);
        }
        self.records.push(Some(record));
        Slot::try_from(self.records.len() - 1).unwrap_or(Slot::MAX)
    }

    fn renew(
        &mut self,
        slot: Slot,
        update: Update,
        fingerprint: u64,
        before: &[Box<str>],
        leave_at: Duration,
    ) -> Change {
        let Some(record) = self.records.get_mut(slot as usize).and_then(Option::as_mut) else {
            return Change::Nothing;
        };
        let same = record.fingerprint == fingerprint;
        (record.pod, record.fingerprint) = (update.packed, fingerprint);
        for gone in before.iter().filter(|text| !update.identifiers.contains(text)) {
            self.leaving.push_back((leave_at, Leaving::Identifier(gone.clone(), slot)));
        }
        let mut found = false;
        for identifier in update.identifiers {
            found |= self.identifiers.add(&identifier, slot);
        }
        if same && !found { Change::Same } else { Change::Updated }
    }

    /// A pod is gone; it is known until `leave_at`.
    pub(super) fn remove(&mut self, key: &Key, leave_at: Duration) -> Change {
        let Some(slot) = self.slot(key) else { return Change::Nothing };
        let hash = self.hasher.hash_one(&**key);
        if let Ok(found) = self.by_key.find_entry(hash, |other| *other == slot) {
            found.remove();
        }
        self.leaving.push_back((leave_at, Leaving::Pod(slot)));
        Change::Deleted
    }

    /// Forgets what has stayed long enough; whether that was anything.
    pub(super) fn sweep(
        &mut self,
        now: Duration,
        identifiers: impl Fn(&Pod) -> Vec<Box<str>>,
    ) -> bool {
        let mut any = false;
        while let Some((_, leaving)) = self.leaving.pop_front_if(|(at, _)| *at <= now) {
            any = true;
            match leaving {
                Leaving::Identifier(text, slot) => {
                    // It may have come back.
                    let now = self.record(slot).map(|record| identifiers(&record.pod.unpack()));
                    if !now.unwrap_or_default().contains(&text) {
                        self.identifiers.remove(&text, slot);
                    }
                }
                Leaving::Pod(slot) => {
                    let record = self.records.get_mut(slot as usize).and_then(Option::take);
                    for text in record.iter().flat_map(|record| identifiers(&record.pod.unpack())) {
                        self.identifiers.remove(&text, slot);
                    }
                    self.free.push(slot);
                }
            }
        }
        any
    }

    /// A hash of what attributes are made of: most changes of pods are of their state.
    fn fingerprint(&self, update: &Update) -> u64 {
        let mut pod = update.pod.clone();
        (pod.phase, pod.ready) = (String::new(), String::new());
        if !update.annotations {
            pod.metadata.annotations.clear();
        }
        self.hasher.hash_one(&pod)
    }
}
