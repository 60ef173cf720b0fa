//! Batches of flat records: chunks that are untouched OTLP bytes or a flat batch and a range of it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::error::DecodeError;
use crate::intern::Interner;
use crate::series::Resource;
use crate::store::{MAX_REQUEST_BYTES, Store};

/// A span or log record within a store.
pub(crate) trait Record: Clone + Default + std::fmt::Debug + Send + Sync + 'static {
    /// Checks a request and counts its items.
    fn check(bytes: &[u8]) -> Result<usize, DecodeError>;
    /// Reads a request, refusing what `check` refuses. It has about `items` items.
    fn decode(bytes: &[u8], interner: &Interner, items: usize) -> Result<Flat<Self>, DecodeError>;
    /// Appends records as blocks of the export request.
    fn encode(store: &Store, records: &[Self], out: &mut Vec<u8>);
    /// Copies the record with everything it refers to; resource and scope are up to the caller.
    fn copy(&self, from: &Store, to: &mut Store) -> Self;
    /// Where the record's resource is.
    fn resource(&self) -> u32;
    /// Where the record's scope is.
    fn scope(&self) -> u32;
    /// Puts the record under another resource and scope of its store.
    fn set_context(&mut self, resource: u32, scope: u32);
}

/// Records and what they refer to.
#[derive(Clone, Debug)]
pub(crate) struct Flat<R> {
    pub(crate) store: Store,
    pub(crate) records: Vec<R>,
}

impl<R> Default for Flat<R> {
    fn default() -> Self {
        Self {
            store: Store::default(),
            records: Vec::new(),
        }
    }
}

impl<R: Record> Flat<R> {
    /// A copy of some records without what only others refer to.
    fn extract<'a>(&'a self, records: impl Iterator<Item = &'a R>) -> Self {
        let mut out = Self::default();
        for record in records {
            out.push_copy(&self.store, record);
        }
        out
    }

    /// Appends a copy of a record of any store.
    pub(crate) fn push_copy(&mut self, from: &Store, record: &R) {
        let mut copy = record.copy(from, &mut self.store);
        let resource = from.resources.get(record.resource() as usize);
        let scope = from.scopes.get(record.scope() as usize);
        let resource = resource.map_or(0, |r| self.store.put_resource(r));
        let scope = scope.map_or(0, |s| self.store.put_scope(s));
        copy.set_context(resource, scope);
        self.records.push(copy);
    }
}

/// An export request as it came in, made flat at most once however many share it.
#[derive(Debug)]
struct Wire<R> {
    bytes: Bytes,
    items: usize,
    interner: Arc<Interner>,
    flat: OnceLock<Arc<Flat<R>>>,
}

impl<R: Record> Wire<R> {
    fn flat(&self) -> &Arc<Flat<R>> {
        self.flat.get_or_init(|| {
            self.interner.set_read(true);
            // The bytes passed `check`, which accepts exactly what `decode` reads.
            Arc::new(R::decode(&self.bytes, &self.interner, self.items).unwrap_or_default())
        })
    }
}

#[derive(Clone, Debug)]
enum Chunk<R> {
    Wire(Arc<Wire<R>>),
    Flat(Arc<Flat<R>>, Range<usize>),
}

impl<R: Record> Chunk<R> {
    fn len(&self) -> usize {
        match self {
            Chunk::Wire(wire) => wire.items,
            Chunk::Flat(_, range) => range.len(),
        }
    }

    fn view(&self) -> (&Arc<Flat<R>>, Range<usize>) {
        match self {
            Chunk::Wire(wire) => (wire.flat(), 0..wire.items),
            Chunk::Flat(flat, range) => (flat, range.clone()),
        }
    }
}

/// One chunk while its records may change. Nothing is copied before the first change, and without
/// one the chunk stays as it was, bytes included.
#[derive(Debug)]
pub(crate) struct Edit<R> {
    /// The chunk as it was, until the first change.
    shared: Option<Chunk<R>>,
    /// The records from then on.
    owned: Flat<R>,
    /// The chunk's records within the flat batch.
    range: Range<usize>,
}

impl<R: Record> Edit<R> {
    fn new(chunk: Chunk<R>) -> Self {
        let range = chunk.view().1;
        Self {
            shared: Some(chunk),
            owned: Flat::default(),
            range,
        }
    }

    /// An empty batch to be built.
    pub(crate) fn empty() -> Self {
        Self {
            shared: None,
            owned: Flat::default(),
            range: 0..0,
        }
    }

    fn flat(&self) -> &Flat<R> {
        match &self.shared {
            Some(chunk) => chunk.view().0,
            None => &self.owned,
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.flat().store
    }

    /// Record `at` of the chunk.
    pub(crate) fn record(&self, at: usize) -> Option<&R> {
        self.flat().records.get(self.range.start + at)
    }

    /// Number of records.
    pub(crate) fn len(&self) -> usize {
        self.range.len()
    }

    /// The store and record `at` of the chunk, owned from now on.
    #[inline]
    pub(crate) fn own(&mut self, at: usize) -> (&mut Store, Option<&mut R>) {
        if let Some(chunk) = self.shared.take() {
            self.owned = self.unshare(chunk);
        }
        let record = self.owned.records.get_mut(self.range.start + at);
        (&mut self.owned.store, record)
    }

    fn unshare(&mut self, chunk: Chunk<R>) -> Flat<R> {
        let flat = match chunk {
            Chunk::Wire(wire) => match Arc::try_unwrap(wire) {
                Ok(wire) => {
                    wire.flat();
                    wire.flat.into_inner().unwrap_or_default()
                }
                Err(shared) => shared.flat().clone(),
            },
            Chunk::Flat(flat, _) => flat,
        };
        Arc::try_unwrap(flat).unwrap_or_else(|shared| {
            if self.range == (0..shared.records.len()) {
                return shared.as_ref().clone();
            }
            let records = shared.records.get(self.range.clone()).unwrap_or(&[]);
            let part = shared.extract(records.iter());
            self.range = 0..part.records.len();
            part
        })
    }

    /// Appends a record to a batch that is being built; its place.
    pub(crate) fn push(&mut self, record: R) -> usize {
        self.owned.records.push(record);
        self.range.end = self.owned.records.len();
        self.range.end - 1
    }

    /// Appends a copy of a record of any store to a batch that is being built; its place.
    pub(crate) fn push_copy(&mut self, from: &Store, record: &R) -> usize {
        self.owned.push_copy(from, record);
        self.range.end = self.owned.records.len();
        self.range.end - 1
    }

    fn finish(self) -> Chunk<R> {
        match self.shared {
            Some(chunk) => chunk,
            None => Chunk::Flat(Arc::new(self.owned), self.range),
        }
    }
}

/// A batch of records in chunks.
#[derive(Clone, Debug)]
pub(crate) struct Chunks<R> {
    chunks: Vec<Chunk<R>>,
    items: usize,
}

impl<R> Default for Chunks<R> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            items: 0,
        }
    }
}

impl<R: Record> Chunks<R> {
    pub(crate) fn from_otlp(bytes: Bytes, interner: &Arc<Interner>) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_REQUEST_BYTES {
            return Err(DecodeError::TooLarge(bytes.len()));
        }
        let flat = OnceLock::new();
        let items = if interner.is_read() {
            let read = R::decode(&bytes, interner, bytes.len() / 512)?;
            flat.get_or_init(|| Arc::new(read)).records.len()
        } else {
            R::check(&bytes)?
        };
        if items == 0 {
            return Ok(Self::default());
        }
        let wire = Wire {
            bytes,
            items,
            interner: interner.clone(),
            flat,
        };
        Ok(Self {
            chunks: vec![Chunk::Wire(Arc::new(wire))],
            items,
        })
    }

    pub(crate) fn from_edit(edit: Edit<R>) -> Self {
        let items = edit.range.len();
        if items == 0 {
            return Self::default();
        }
        Self {
            chunks: vec![edit.finish()],
            items,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.items
    }

    /// Every record with its store.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Store, &R)> {
        self.chunks.iter().flat_map(|chunk| {
            let (flat, range) = chunk.view();
            let records = flat.records.get(range).unwrap_or(&[]);
            records.iter().map(|record| (&flat.store, record))
        })
    }

    pub(crate) fn for_each_mut(&mut self, mut f: impl FnMut(&mut Edit<R>, usize)) {
        for chunk in &mut self.chunks {
            let mut edit = Edit::new(take(chunk));
            for at in 0..edit.range.len() {
                f(&mut edit, at);
            }
            *chunk = edit.finish();
        }
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Store, &R) -> bool) -> usize {
        let before = self.items;
        for chunk in &mut self.chunks {
            let (flat, range) = chunk.view();
            let records = flat.records.get(range.clone()).unwrap_or(&[]);
            let kept: Vec<bool> = records.iter().map(|r| keep(&flat.store, r)).collect();
            let count = kept.iter().filter(|k| **k).count();
            if count == kept.len() {
                continue;
            }
            self.items -= kept.len() - count;
            *chunk = keep_some(take(chunk), &kept);
        }
        self.chunks.retain(|chunk| chunk.len() > 0);
        before - self.items
    }

    pub(crate) fn map_resources(
        &mut self,
        mut map: impl FnMut(&Arc<Resource>) -> Option<Arc<Resource>>,
    ) {
        // By address: the batch keeps every resource that was asked about alive until the end.
        let mut answers: HashMap<*const Resource, Option<Arc<Resource>>> = HashMap::new();
        let mut replaced = Vec::new();
        for chunk in &mut self.chunks {
            let mut changed = false;
            for resource in &chunk.view().0.resources_of(chunk.view().1) {
                let answer = answers
                    .entry(Arc::as_ptr(resource))
                    .or_insert_with(|| map(resource));
                changed |= answer.is_some();
            }
            if !changed {
                continue;
            }
            let mut edit = Edit::new(take(chunk));
            let (store, _) = edit.own(0);
            for resource in &mut store.resources {
                if let Some(Some(new)) = answers.get(&Arc::as_ptr(resource)) {
                    replaced.push(std::mem::replace(resource, new.clone()));
                }
            }
            *chunk = edit.finish();
        }
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.items += other.items;
        self.chunks.extend(other.chunks);
    }

    pub(crate) fn split_off(&mut self, count: usize) -> Self {
        let mut rest = Self::default();
        let mut left = count;
        let mut kept = Vec::new();
        for chunk in std::mem::take(&mut self.chunks) {
            let len = chunk.len();
            if left >= len {
                left -= len;
                kept.push(chunk);
            } else if left == 0 {
                rest.chunks.push(chunk);
            } else {
                let (flat, range) = chunk.view();
                let middle = range.start + left;
                kept.push(Chunk::Flat(flat.clone(), range.start..middle));
                rest.chunks
                    .push(Chunk::Flat(flat.clone(), middle..range.end));
                left = 0;
            }
        }
        self.chunks = kept;
        rest.items = self.items.saturating_sub(count);
        self.items -= rest.items;
        rest
    }

    pub(crate) fn wire_chunks(&self) -> Option<Vec<Bytes>> {
        self.chunks
            .iter()
            .map(|chunk| match chunk {
                Chunk::Wire(wire) => Some(wire.bytes.clone()),
                Chunk::Flat(..) => None,
            })
            .collect()
    }

    pub(crate) fn encode_otlp(&self, out: &mut Vec<u8>) {
        for chunk in &self.chunks {
            match chunk {
                Chunk::Wire(wire) => out.extend_from_slice(&wire.bytes),
                Chunk::Flat(flat, range) => {
                    let records = flat.records.get(range.clone()).unwrap_or(&[]);
                    R::encode(&flat.store, records, out);
                }
            }
        }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.chunks
            .iter()
            .map(|chunk| match chunk {
                Chunk::Wire(wire) => wire.bytes.len(),
                Chunk::Flat(flat, range) => {
                    let all = flat.store.size_bytes() + size_of_val(flat.records.as_slice());
                    // A part of a flat batch that is shared counts by its share of the records.
                    all / flat.records.len().max(1) * range.len()
                }
            })
            .sum()
    }
}

impl<R: Record> Flat<R> {
    /// The resources of some records.
    fn resources_of(&self, range: Range<usize>) -> Vec<Arc<Resource>> {
        let mut out: Vec<Arc<Resource>> = Vec::new();
        let mut last = u32::MAX;
        for record in self.records.get(range).unwrap_or(&[]) {
            let at = record.resource();
            if at != last {
                out.extend(self.store.resources.get(at as usize).cloned());
                last = at;
            }
        }
        out
    }
}

fn take<R: Record>(chunk: &mut Chunk<R>) -> Chunk<R> {
    std::mem::replace(chunk, Chunk::Flat(Arc::default(), 0..0))
}

/// A chunk without some of its records.
fn keep_some<R: Record>(chunk: Chunk<R>, kept: &[bool]) -> Chunk<R> {
    let alone = match &chunk {
        Chunk::Wire(wire) => Arc::strong_count(wire) == 1 && Arc::strong_count(wire.flat()) == 1,
        Chunk::Flat(flat, _) => Arc::strong_count(flat) == 1,
    };
    if !alone {
        let (flat, range) = chunk.view();
        let records = flat.records.get(range).unwrap_or(&[]).iter();
        let some = records.zip(kept).filter(|(_, keep)| **keep);
        let part = flat.extract(some.map(|(record, _)| record));
        let range = 0..part.records.len();
        return Chunk::Flat(Arc::new(part), range);
    }
    let mut edit = Edit::new(chunk);
    edit.own(0);
    // Records outside the range belong to nobody any more: this flat batch is ours alone.
    let records = &mut edit.owned.records;
    records.truncate(edit.range.end);
    records.drain(..edit.range.start.min(records.len()));
    let mut flags = kept.iter();
    records.retain(|_| flags.next().copied().unwrap_or(false));
    edit.range = 0..edit.owned.records.len();
    edit.finish()
}
