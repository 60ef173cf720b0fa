//! Resource and scope blocks of OTLP, alike in all three signals: field 1 the head, field 2 the
//! content, field 3 the schema URL. Heads are looked up by their raw bytes.

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::attributes::AttributesBuilder;
use crate::error::DecodeError;
use crate::intern::{Interner, RawBlock, RawSeries, RawShard, lock};
use crate::series::{Resource, Scope};
use crate::wire::{LEN, Reader, VARINT};

/// The parts of a block besides its content.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    head: Cow<'a, [u8]>,
    schema_url: &'a str,
}

impl<'a> Block<'a> {
    /// Reads head and schema URL, which may stand behind the content.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut head: Option<Cow<'a, [u8]>> = None;
        let mut schema_url = "";
        let mut reader = Reader::new(body);
        while let Some(key) = reader.key()? {
            match (key.field, key.wire) {
                (1, LEN) => {
                    let more = reader.bytes()?;
                    // A repeated message merges, and so do its bytes.
                    head = Some(match head {
                        Some(before) => [&before, more].concat().into(),
                        None => more.into(),
                    });
                }
                (3, LEN) => schema_url = reader.str()?,
                _ => reader.skip(key)?,
            }
        }
        Ok(Self {
            head: head.unwrap_or_default(),
            schema_url,
        })
    }

    /// Hash of the raw bytes.
    pub(crate) fn hash(&self, interner: &Interner) -> u64 {
        interner.hash_bytes(&self.head)
            ^ interner
                .hash_bytes(self.schema_url.as_bytes())
                .rotate_left(21)
    }

    /// Whether a raw entry is the one for these bytes (head, then schema URL).
    fn is(&self, entry: &RawBlock<impl Sized>) -> bool {
        *entry.head == *self.head && *entry.schema_url == *self.schema_url
    }

    /// The resource of a `Resource…` block and its id in the shard.
    pub(crate) fn resource(
        &self,
        hash: u64,
        interner: &Interner,
        shard: &mut RawShard,
    ) -> Result<(Arc<Resource>, u64), DecodeError> {
        let ids = (&mut shard.last_id, shard.tick);
        self.look_up(hash, interner, &mut shard.resources, ids, || {
            Ok(interner.resource(decode_resource(&self.head, self.schema_url)?))
        })
    }

    /// The scope of a `Scope…` block and its id in the shard.
    pub(crate) fn scope(
        &self,
        interner: &Interner,
        shard: &mut RawShard,
    ) -> Result<(Arc<Scope>, u64), DecodeError> {
        let ids = (&mut shard.last_id, shard.tick);
        let hash = self.hash(interner);
        self.look_up(hash, interner, &mut shard.scopes, ids, || {
            Ok(interner.scope(decode_scope(&self.head, self.schema_url)?))
        })
    }

    fn look_up<T>(
        &self,
        hash: u64,
        interner: &Interner,
        table: &mut HashTable<RawBlock<T>>,
        (last_id, tick): (&mut u64, u32),
        decode: impl FnOnce() -> Result<Arc<T>, DecodeError>,
    ) -> Result<(Arc<T>, u64), DecodeError> {
        if let Some(entry) = table.find_mut(hash, |e| e.hash == hash && self.is(e)) {
            entry.tick = tick;
            return Ok((entry.value.clone(), entry.id));
        }
        let value = decode()?;
        *last_id += 1;
        let id = *last_id;
        let bytes = self.head.len() + self.schema_url.len();
        if interner.charge(RawSeries::footprint(bytes)) {
            let entry = RawBlock {
                hash,
                head: self.head.as_ref().into(),
                schema_url: self.schema_url.into(),
                value: value.clone(),
                id,
                tick,
            };
            table.insert_unique(hash, entry, |e| e.hash);
        }
        Ok((value, id))
    }
}

/// Calls `each` on every item of a checked request of spans or log records, with its resource and
/// scope; `start` is called on every new resource and scope.
pub(crate) fn for_each_item<'a, S>(
    bytes: &'a [u8],
    interner: &Interner,
    state: &mut S,
    start: fn(&mut S, &Arc<Resource>, &Arc<Scope>),
    each: fn(&mut S, &'a [u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    crate::check::each(bytes, 1, |body| {
        let block = Block::read(body)?;
        let hash = block.hash(interner);
        let Some(shard) = interner.raw.get(hash as usize % interner.raw.len()) else {
            return Ok(());
        };
        // Locked for the look-up only: items do not need it.
        let resource = block.resource(hash, interner, &mut lock(shard))?.0;
        crate::check::each(body, 2, |body| {
            let scope = Block::read(body)?.scope(interner, &mut lock(shard))?.0;
            start(state, &resource, &scope);
            crate::check::each(body, 2, |item| each(state, item))
        })
    })
}

/// Reads a `Resource` message.
fn decode_resource(head: &[u8], schema_url: &str) -> Result<Resource, DecodeError> {
    let mut attributes = AttributesBuilder::default();
    let mut dropped = 0;
    let mut reader = Reader::new(head);
    while let Some(key) = reader.key()? {
        match (key.field, key.wire) {
            (1, LEN) => attributes.decode(reader.bytes()?)?,
            (2, VARINT) => dropped = reader.varint()? as u32,
            _ => reader.skip(key)?,
        }
    }
    Ok(Resource {
        attributes: attributes.build(),
        dropped_attributes: dropped,
        schema_url: schema_url.into(),
    })
}

/// Reads an `InstrumentationScope` message.
fn decode_scope(head: &[u8], schema_url: &str) -> Result<Scope, DecodeError> {
    let mut attributes = AttributesBuilder::default();
    let (mut name, mut version, mut dropped) = ("", "", 0);
    let mut reader = Reader::new(head);
    while let Some(key) = reader.key()? {
        match (key.field, key.wire) {
            (1, LEN) => name = reader.str()?,
            (2, LEN) => version = reader.str()?,
            (3, LEN) => attributes.decode(reader.bytes()?)?,
            (4, VARINT) => dropped = reader.varint()? as u32,
            _ => reader.skip(key)?,
        }
    }
    Ok(Scope {
        name: name.into(),
        version: version.into(),
        attributes: attributes.build(),
        dropped_attributes: dropped,
        schema_url: schema_url.into(),
    })
}
