//! Resource and scope blocks of OTLP, alike in all three signals: field 1 the head, field 2 the
//! content, field 3 the schema URL. Heads are looked up by their raw bytes.

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::attributes::AttributesBuilder;
use crate::check::check;
use crate::error::DecodeError;
use crate::intern::{Interner, lock};
use crate::raw::{RawBlock, RawShard, footprint};
use crate::schema::{self, Message};
use crate::series::{Resource, Scope};
use crate::wire::{LEN, MAX_DEPTH, Reader, VARINT};

/// Prost's count of levels left (see [`check`]) within a resource block, within a scope block, and
/// within the items of the latter.
pub(crate) const RESOURCE_DEPTH: u32 = MAX_DEPTH - 1;
pub(crate) const SCOPE_DEPTH: u32 = MAX_DEPTH - 2;
pub(crate) const ITEM_DEPTH: u32 = MAX_DEPTH - 3;

/// The parts of a block besides its content.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    head: Cow<'a, [u8]>,
    schema_url: &'a str,
    /// What the head is, and at which depth.
    kind: (&'static Message, u32),
}

impl<'a> Block<'a> {
    /// Reads head and schema URL of a resource block; they may stand behind the content.
    pub(crate) fn of_resource(body: &'a [u8]) -> Result<Self, DecodeError> {
        Self::read(
            body,
            RESOURCE_DEPTH,
            (&schema::RESOURCE, RESOURCE_DEPTH - 1),
        )
    }

    /// Reads head and schema URL of a scope block.
    pub(crate) fn of_scope(body: &'a [u8]) -> Result<Self, DecodeError> {
        Self::read(body, SCOPE_DEPTH, (&schema::SCOPE, SCOPE_DEPTH - 1))
    }

    fn read(
        body: &'a [u8],
        depth: u32,
        kind: (&'static Message, u32),
    ) -> Result<Self, DecodeError> {
        let mut head: Option<Cow<'a, [u8]>> = None;
        let mut schema_url = "";
        let mut reader = Reader::new(body);
        while let Some(key) = reader.key()? {
            match key.field {
                1 => {
                    key.expect(LEN)?;
                    let more = reader.bytes()?;
                    // A repeated message merges, and so do its bytes, if each part is good.
                    head = Some(match head {
                        Some(before) => {
                            check(&before, kind.0, kind.1)?;
                            check(more, kind.0, kind.1)?;
                            [&before, more].concat().into()
                        }
                        None => more.into(),
                    });
                }
                2 => {
                    key.expect(LEN)?;
                    reader.bytes()?;
                }
                3 => {
                    key.expect(LEN)?;
                    schema_url = reader.str()?;
                }
                _ => reader.skip_within(key, depth)?,
            }
        }
        Ok(Self {
            head: head.unwrap_or_default(),
            schema_url,
            kind,
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

    /// The resource of a `Resource...` block and its id in the shard.
    pub(crate) fn resource(
        &self,
        hash: u64,
        interner: &Interner,
        shard: &mut RawShard,
    ) -> Result<(Arc<Resource>, u32), DecodeError> {
        let tick = shard.tick;
        if let Some(found) = self.find(hash, tick, &mut shard.resources) {
            return Ok(found);
        }
        check(&self.head, self.kind.0, self.kind.1)?;
        let value = interner.resource(decode_resource(&self.head, self.schema_url)?);
        let id = interner.fresh_id(shard);
        if let Some(entry) = self.entry(hash, interner, &value, id, tick) {
            shard.resources.insert_unique(hash, entry, |e| e.hash);
        }
        Ok((value, id))
    }

    /// The scope of a `Scope...` block and its id in the shard.
    pub(crate) fn scope(
        &self,
        interner: &Interner,
        shard: &mut RawShard,
    ) -> Result<(Arc<Scope>, u32), DecodeError> {
        let tick = shard.tick;
        let hash = self.hash(interner);
        if let Some(found) = self.find(hash, tick, &mut shard.scopes) {
            return Ok(found);
        }
        check(&self.head, self.kind.0, self.kind.1)?;
        let value = interner.scope(decode_scope(&self.head, self.schema_url)?);
        let id = interner.fresh_id(shard);
        if let Some(entry) = self.entry(hash, interner, &value, id, tick) {
            shard.scopes.insert_unique(hash, entry, |e| e.hash);
        }
        Ok((value, id))
    }

    /// What these bytes meant before. Bytes that were good once are good again.
    fn find<T>(
        &self,
        hash: u64,
        tick: u32,
        table: &mut HashTable<RawBlock<T>>,
    ) -> Option<(Arc<T>, u32)> {
        let entry = table.find_mut(hash, |e| e.hash == hash && self.is(e))?;
        entry.tick = tick;
        Some((entry.value.clone(), entry.id))
    }

    /// An entry to remember the value by, if the budget has room for it.
    fn entry<T>(
        &self,
        hash: u64,
        interner: &Interner,
        value: &Arc<T>,
        id: u32,
        tick: u32,
    ) -> Option<RawBlock<T>> {
        let bytes = self.head.len() + self.schema_url.len();
        interner.charge(footprint(bytes)).then(|| RawBlock {
            hash,
            head: self.head.as_ref().into(),
            schema_url: self.schema_url.into(),
            value: value.clone(),
            id,
            tick,
        })
    }
}

/// Calls `each` on every item of a request of spans or log records; `start` is called on every new
/// resource and scope. Blocks are checked on the way, items are up to `each`.
pub(crate) fn for_each_item<'a, S>(
    bytes: &'a [u8],
    interner: &Interner,
    state: &mut S,
    start: fn(&mut S, &Arc<Resource>, &Arc<Scope>),
    each: fn(&mut S, &'a [u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    messages(bytes, 1, MAX_DEPTH, |body| {
        let block = Block::of_resource(body)?;
        let hash = block.hash(interner);
        let Some(shard) = interner.raw.get(hash as usize % interner.raw.len()) else {
            return Ok(());
        };
        // Locked for the look-up only: items do not need it.
        let resource = block.resource(hash, interner, &mut lock(shard))?.0;
        messages(body, 2, RESOURCE_DEPTH, |body| {
            let scope = Block::of_scope(body)?.scope(interner, &mut lock(shard))?.0;
            start(state, &resource, &scope);
            messages(body, 2, SCOPE_DEPTH, |item| each(state, item))
        })
    })
}

/// Calls `each` on the body of every message in field `number`, and steps over the rest.
pub(crate) fn messages<'a>(
    bytes: &'a [u8],
    number: u32,
    depth: u32,
    mut each: impl FnMut(&'a [u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(bytes);
    while let Some(key) = reader.key()? {
        if key.field == number {
            key.expect(LEN)?;
            each(reader.bytes()?)?;
        } else {
            reader.skip_within(key, depth)?;
        }
    }
    Ok(())
}

/// Reads a `Resource` message.
fn decode_resource(head: &[u8], schema_url: &str) -> Result<Resource, DecodeError> {
    let mut attributes = AttributesBuilder::default();
    let mut dropped = 0;
    let mut reader = Reader::new(head);
    while let Some(key) = reader.key()? {
        match (key.field, key.wire) {
            (1, LEN) => attributes.put_checked(reader.bytes()?),
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
            (3, LEN) => attributes.put_checked(reader.bytes()?),
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
