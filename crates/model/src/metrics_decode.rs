//! OTLP metrics bytes to points of interned series.

use std::sync::Arc;

use crate::attributes::{Attributes, AttributesBuilder};
use crate::error::DecodeError;
use crate::intern::{Interner, RawBlock, RawMetric, RawSeries, RawShard, lock};
use crate::metrics_points as points;
use crate::point::Point;
use crate::series::{MetricKind, MetricMeta, Resource, Scope, Temporality};
use crate::wire::{LEN, Reader, VARINT};

pub(crate) use crate::metrics_validate::validate;

/// Decodes a checked request. `items` is the number of points that `validate` counted.
pub(crate) fn decode(
    bytes: &[u8],
    interner: &Interner,
    items: usize,
) -> Result<Vec<Point>, DecodeError> {
    let mut out = Vec::with_capacity(items);
    let mut scratch = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some(key) = reader.key()? {
        if key.field == 1 && key.wire == LEN {
            resource_metrics(reader.bytes()?, interner, &mut scratch, &mut out)?;
        } else {
            reader.skip(key)?;
        }
    }
    Ok(out)
}

/// The parts of a block: its head message, the schema URL and whatever repeats.
struct Block<'a> {
    head: &'a [u8],
    schema_url: &'a str,
}

/// Reads fields 1 (resource or scope) and 3 (schema URL), which may stand behind the content.
fn block_head(body: &[u8]) -> Result<Block<'_>, DecodeError> {
    let mut block = Block {
        head: &[],
        schema_url: "",
    };
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        match (key.field, key.wire) {
            (1, LEN) => block.head = reader.bytes()?,
            (3, LEN) => block.schema_url = reader.str()?,
            _ => reader.skip(key)?,
        }
    }
    Ok(block)
}

fn resource_metrics(
    body: &[u8],
    interner: &Interner,
    scratch: &mut Vec<u8>,
    out: &mut Vec<Point>,
) -> Result<(), DecodeError> {
    let block = block_head(body)?;
    let hash = interner.hash_bytes(block.head) ^ interner.hash_bytes(block.schema_url.as_bytes());
    // The shard is locked for the whole block: one uncontended lock per resource, not per point.
    let Some(shard) = interner.raw.get(hash as usize % interner.raw.len()) else {
        return Ok(());
    };
    let mut shard = lock(shard);
    let (resource, resource_id) = resource(&block, hash, interner, &mut shard)?;
    let mut context = Context {
        interner,
        shard: &mut shard,
        scratch,
        resource,
        resource_id,
    };
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        if key.field == 2 && key.wire == LEN {
            context.scope_metrics(reader.bytes()?, out)?;
        } else {
            reader.skip(key)?;
        }
    }
    Ok(())
}

/// Whether a raw entry is the one for these bytes (head, then schema URL).
fn same_raw(raw: &[u8], block: &Block<'_>) -> bool {
    raw.len() == block.head.len() + block.schema_url.len()
        && raw.starts_with(block.head)
        && raw.ends_with(block.schema_url.as_bytes())
}

fn join_raw(block: &Block<'_>) -> Box<[u8]> {
    [block.head, block.schema_url.as_bytes()].concat().into()
}

fn resource(
    block: &Block<'_>,
    hash: u64,
    interner: &Interner,
    shard: &mut RawShard,
) -> Result<(Arc<Resource>, u32), DecodeError> {
    let tick = shard.tick;
    if let Some(entry) = shard
        .resources
        .find_mut(hash, |e| e.hash == hash && same_raw(&e.raw, block))
    {
        entry.tick = tick;
        return Ok((entry.value.clone(), entry.id));
    }
    let value = interner.resource(decode_resource(block.head, block.schema_url)?);
    let id = shard.next_id();
    let raw = join_raw(block);
    if interner.charge(RawSeries::footprint(raw.len())) {
        let entry = RawBlock {
            hash,
            raw,
            value: value.clone(),
            id,
            tick,
        };
        shard.resources.insert_unique(hash, entry, |e| e.hash);
    }
    Ok((value, id))
}

/// Reads a `Resource` message.
pub(crate) fn decode_resource(head: &[u8], schema_url: &str) -> Result<Resource, DecodeError> {
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
pub(crate) fn decode_scope(head: &[u8], schema_url: &str) -> Result<Scope, DecodeError> {
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

/// What stands above the points being read.
struct Context<'i, 's> {
    interner: &'i Interner,
    shard: &'s mut RawShard,
    scratch: &'s mut Vec<u8>,
    resource: Arc<Resource>,
    resource_id: u32,
}

/// Fields of a `Metric` before its data.
#[derive(Default)]
struct MetricHead<'a> {
    name: &'a str,
    description: &'a str,
    unit: &'a str,
    metadata: Vec<&'a [u8]>,
    /// Field number and body of the data oneof; the last one wins.
    data: Option<(u32, &'a [u8])>,
}

impl Context<'_, '_> {
    fn scope_metrics(&mut self, body: &[u8], out: &mut Vec<Point>) -> Result<(), DecodeError> {
        let block = block_head(body)?;
        let (scope, scope_id) = self.scope(&block)?;
        let mut reader = Reader::new(body);
        while let Some(key) = reader.key()? {
            if key.field == 2 && key.wire == LEN {
                self.metric(reader.bytes()?, &scope, scope_id, out)?;
            } else {
                reader.skip(key)?;
            }
        }
        Ok(())
    }

    fn scope(&mut self, block: &Block<'_>) -> Result<(Arc<Scope>, u32), DecodeError> {
        let (interner, tick) = (self.interner, self.shard.tick);
        let hash =
            interner.hash_bytes(block.head) ^ interner.hash_bytes(block.schema_url.as_bytes());
        if let Some(entry) = self
            .shard
            .scopes
            .find_mut(hash, |e| e.hash == hash && same_raw(&e.raw, block))
        {
            entry.tick = tick;
            return Ok((entry.value.clone(), entry.id));
        }
        let value = interner.scope(decode_scope(block.head, block.schema_url)?);
        let id = self.shard.next_id();
        let raw = join_raw(block);
        if interner.charge(RawSeries::footprint(raw.len())) {
            let entry = RawBlock {
                hash,
                raw,
                value: value.clone(),
                id,
                tick,
            };
            self.shard.scopes.insert_unique(hash, entry, |e| e.hash);
        }
        Ok((value, id))
    }

    fn metric(
        &mut self,
        body: &[u8],
        scope: &Arc<Scope>,
        scope_id: u32,
        out: &mut Vec<Point>,
    ) -> Result<(), DecodeError> {
        let mut head = MetricHead::default();
        let mut reader = Reader::new(body);
        while let Some(key) = reader.key()? {
            match (key.field, key.wire) {
                (1, LEN) => head.name = reader.str()?,
                (2, LEN) => head.description = reader.str()?,
                (3, LEN) => head.unit = reader.str()?,
                (5 | 7 | 9 | 10 | 11, LEN) => head.data = Some((key.field, reader.bytes()?)),
                (12, LEN) => head.metadata.push(reader.bytes()?),
                _ => reader.skip(key)?,
            }
        }
        let Some((field, data)) = head.data else {
            return Ok(());
        };
        let Some(kind) = kind(field, data)? else {
            return Ok(());
        };
        let (metric, metric_id) = self.meta(&head, kind)?;
        let mut reader = Reader::new(data);
        while let Some(key) = reader.key()? {
            if key.field != 1 || key.wire != LEN {
                reader.skip(key)?;
                continue;
            }
            let body = reader.bytes()?;
            self.scratch.clear();
            let (parsed, attributes) = points::parse(field, body, self.scratch)?;
            let series = self.series(
                scope,
                &metric,
                (self.resource_id, scope_id, metric_id),
                attributes,
            )?;
            out.push(parsed.into_point(series));
        }
        Ok(())
    }

    fn meta(
        &mut self,
        head: &MetricHead<'_>,
        kind: MetricKind,
    ) -> Result<(Arc<MetricMeta>, u32), DecodeError> {
        let (interner, tick) = (self.interner, self.shard.tick);
        let hash = interner.hash_bytes(head.name.as_bytes())
            ^ interner.hash_bytes(head.unit.as_bytes()).rotate_left(17);
        let same = |e: &RawMetric| {
            e.hash == hash
                && *e.value.name == *head.name
                && e.value.kind == kind
                && *e.value.unit == *head.unit
                && *e.value.description == *head.description
                && same_metadata(&e.raw_metadata, &head.metadata)
        };
        if let Some(entry) = self.shard.metrics.find_mut(hash, same) {
            entry.tick = tick;
            return Ok((entry.value.clone(), entry.id));
        }
        let mut metadata = AttributesBuilder::default();
        for body in &head.metadata {
            metadata.decode(body)?;
        }
        let value = interner.metric(MetricMeta {
            name: head.name.into(),
            unit: head.unit.into(),
            description: head.description.into(),
            kind,
            metadata: metadata.build(),
        });
        let id = self.shard.next_id();
        let raw_metadata: Box<[u8]> = head.metadata.concat().into();
        if interner.charge(RawSeries::footprint(raw_metadata.len())) {
            let entry = RawMetric {
                hash,
                raw_metadata,
                value: value.clone(),
                id,
                tick,
            };
            self.shard.metrics.insert_unique(hash, entry, |e| e.hash);
        }
        Ok((value, id))
    }

    /// The hot look-up: raw attribute bytes under their context to the series.
    #[inline]
    fn series(
        &mut self,
        scope: &Arc<Scope>,
        metric: &Arc<MetricMeta>,
        context: (u32, u32, u32),
        raw: points::RawAttributes<'_>,
    ) -> Result<Arc<crate::series::Series>, DecodeError> {
        let bytes = match raw {
            points::RawAttributes::Contiguous(bytes) => bytes,
            points::RawAttributes::Gathered => self.scratch.as_slice(),
        };
        let mix = u64::from(context.2) << 32 | u64::from(context.1 ^ context.0.rotate_left(16));
        let hash = self.interner.hash_bytes(bytes) ^ mix.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let tick = self.shard.tick;
        let same = |e: &RawSeries| e.hash == hash && e.context == context && *e.raw == *bytes;
        if let Some(entry) = self.shard.series.find_mut(hash, same) {
            entry.tick = tick;
            return Ok(entry.series.clone());
        }
        let labels = decode_labels(bytes)?;
        let series = self.interner.series(&self.resource, scope, metric, labels);
        if series.index() != crate::series::SeriesIndex::NONE
            && self.interner.charge(RawSeries::footprint(bytes.len()))
        {
            let entry = RawSeries {
                hash,
                context,
                raw: bytes.into(),
                series: series.clone(),
                tick,
            };
            self.shard.series.insert_unique(hash, entry, |e| e.hash);
        }
        Ok(series)
    }
}

fn same_metadata(raw: &[u8], parts: &[&[u8]]) -> bool {
    let mut rest = raw;
    for part in parts {
        match rest.strip_prefix(*part) {
            Some(tail) => rest = tail,
            None => return false,
        }
    }
    rest.is_empty()
}

/// A run of attribute fields, keys included, whatever their field number.
fn decode_labels(raw: &[u8]) -> Result<Attributes, DecodeError> {
    let mut builder = AttributesBuilder::default();
    let mut reader = Reader::new(raw);
    while let Some(key) = reader.key()? {
        key.expect(LEN)?;
        builder.decode(reader.bytes()?)?;
    }
    Ok(builder.build())
}

/// The metric type of a data field; temporality and monotonicity stand behind the points.
fn kind(field: u32, data: &[u8]) -> Result<Option<MetricKind>, DecodeError> {
    let (mut temporality, mut monotonic) = (Temporality::Unspecified, false);
    if matches!(field, 7 | 9 | 10) {
        let mut reader = Reader::new(data);
        while let Some(key) = reader.key()? {
            match (key.field, key.wire) {
                (2, VARINT) => temporality = Temporality::from_otlp(reader.varint()?),
                (3, VARINT) if field == 7 => monotonic = reader.varint()? != 0,
                _ => reader.skip(key)?,
            }
        }
    }
    Ok(match field {
        5 => Some(MetricKind::Gauge),
        7 => Some(MetricKind::Sum {
            temporality,
            monotonic,
        }),
        9 => Some(MetricKind::Histogram { temporality }),
        10 => Some(MetricKind::ExponentialHistogram { temporality }),
        11 => Some(MetricKind::Summary),
        _ => None,
    })
}
