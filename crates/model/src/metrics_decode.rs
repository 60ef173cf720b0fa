//! OTLP metrics bytes to points of interned series.

use std::borrow::Cow;
use std::sync::Arc;

use crate::attributes::{Attributes, AttributesBuilder};
use crate::blocks::Block;
use crate::error::DecodeError;
use crate::intern::{Interner, RawMetric, RawSeries, RawShard, lock};
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

fn resource_metrics(
    body: &[u8],
    interner: &Interner,
    scratch: &mut Vec<u8>,
    out: &mut Vec<Point>,
) -> Result<(), DecodeError> {
    let block = Block::read(body)?;
    let hash = block.hash(interner);
    // The shard is locked for the whole block: one uncontended lock per resource, not per point.
    let Some(shard) = interner.raw.get(hash as usize % interner.raw.len()) else {
        return Ok(());
    };
    let mut shard = lock(shard);
    let (resource, resource_id) = block.resource(hash, interner, &mut shard)?;
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

/// What stands above the points being read.
struct Context<'i, 's> {
    interner: &'i Interner,
    shard: &'s mut RawShard,
    scratch: &'s mut Vec<u8>,
    resource: Arc<Resource>,
    resource_id: u64,
}

/// Fields of a `Metric` before its data.
#[derive(Default)]
struct MetricHead<'a> {
    name: &'a str,
    description: &'a str,
    unit: &'a str,
    metadata: Vec<&'a [u8]>,
    /// Field number and body of the data oneof; of several types the last one wins.
    data: Option<(u32, Cow<'a, [u8]>)>,
}

impl Context<'_, '_> {
    fn scope_metrics(&mut self, body: &[u8], out: &mut Vec<Point>) -> Result<(), DecodeError> {
        let (scope, scope_id) = Block::read(body)?.scope(self.interner, self.shard)?;
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

    fn metric(
        &mut self,
        body: &[u8],
        scope: &Arc<Scope>,
        scope_id: u64,
        out: &mut Vec<Point>,
    ) -> Result<(), DecodeError> {
        let mut head = MetricHead::default();
        let mut reader = Reader::new(body);
        while let Some(key) = reader.key()? {
            match (key.field, key.wire) {
                (1, LEN) => head.name = reader.str()?,
                (2, LEN) => head.description = reader.str()?,
                (3, LEN) => head.unit = reader.str()?,
                (5 | 7 | 9 | 10 | 11, LEN) => {
                    let body = reader.bytes()?;
                    head.data = Some(match head.data.take() {
                        // A repeated message merges, and so do its bytes.
                        Some((field, before)) if field == key.field => {
                            (field, [&before, body].concat().into())
                        }
                        _ => (key.field, body.into()),
                    });
                }
                (12, LEN) => head.metadata.push(reader.bytes()?),
                _ => reader.skip(key)?,
            }
        }
        let Some((field, data)) = head.data.take() else {
            return Ok(());
        };
        let Some(kind) = kind(field, &data)? else {
            return Ok(());
        };
        let (metric, metric_id) = self.meta(&head, kind)?;
        let mut reader = Reader::new(&data);
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
    ) -> Result<(Arc<MetricMeta>, u64), DecodeError> {
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
        self.shard.last_id += 1;
        let id = self.shard.last_id;
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
        context: (u64, u64, u64),
        raw: points::RawAttributes<'_>,
    ) -> Result<Arc<crate::series::Series>, DecodeError> {
        let bytes = match raw {
            points::RawAttributes::Contiguous(bytes) => bytes,
            points::RawAttributes::Gathered => self.scratch.as_slice(),
        };
        let mix = context.2 ^ context.1.rotate_left(21) ^ context.0.rotate_left(42);
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
                (2, VARINT) => temporality = Temporality::from_otlp(reader.varint()? as i32),
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
