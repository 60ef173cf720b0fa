//! OTLP metrics bytes to points of interned series.

use std::borrow::Cow;
use std::sync::Arc;

use crate::attributes::{Attributes, AttributesBuilder};
use crate::blocks::{Block, ITEM_DEPTH, RESOURCE_DEPTH, SCOPE_DEPTH, messages};
use crate::check::check;
use crate::error::DecodeError;
use crate::intern::{Interner, lock};
use crate::metrics_points as points;
use crate::point::Point;
use crate::raw::{Context as RawContext, Fingerprint, RawMetric, RawShard, footprint};
use crate::schema;
use crate::series::{MetricKind, MetricMeta, Resource, Scope, Series, SeriesIndex, Temporality};
use crate::wire::{MAX_DEPTH, Reader};

pub(crate) use crate::metrics_validate::validate;

/// Reads a request, checking it on the way: refuses exactly what [`validate`] refuses. It has about
/// `items` points.
pub(crate) fn decode(
    bytes: &[u8],
    interner: &Interner,
    items: usize,
) -> Result<Vec<Point>, DecodeError> {
    let mut out = Vec::with_capacity(items);
    let mut scratch = Vec::new();
    messages(bytes, 1, MAX_DEPTH, |body| {
        resource_metrics(body, interner, &mut scratch, &mut out)
    })?;
    Ok(out)
}

fn resource_metrics(
    body: &[u8],
    interner: &Interner,
    scratch: &mut Vec<u8>,
    out: &mut Vec<Point>,
) -> Result<(), DecodeError> {
    let block = Block::of_resource(body)?;
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
    messages(body, 2, RESOURCE_DEPTH, |body| {
        context.scope_metrics(body, out)
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

/// Fields of a `Metric` besides its points.
#[derive(Default)]
struct MetricHead<'a> {
    name: &'a [u8],
    description: &'a [u8],
    unit: &'a [u8],
    metadata: Vec<&'a [u8]>,
    /// Field number and body of the data oneof; of several types the last one wins.
    data: Option<(u32, Cow<'a, [u8]>)>,
}

impl<'a> MetricHead<'a> {
    /// Reads the fields; strings and metadata are checked when they are new, see `meta`.
    fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut head = Self::default();
        let mut reader = Reader::new(body);
        while let Some(key) = reader.key()? {
            match key.field {
                1 => head.name = reader.bytes_of(key)?,
                2 => head.description = reader.bytes_of(key)?,
                3 => head.unit = reader.bytes_of(key)?,
                5 | 7 | 9 | 10 | 11 => {
                    let data = reader.bytes_of(key)?;
                    head.data = Some(match head.data.take() {
                        None => (key.field, data.into()),
                        // A repeated message merges, and so do its bytes; another type takes the
                        // place. Either way every part has to be good.
                        Some((field, before)) => {
                            check(body, &schema::METRIC, ITEM_DEPTH)?;
                            if field == key.field {
                                (field, [&before, data].concat().into())
                            } else {
                                (key.field, data.into())
                            }
                        }
                    });
                }
                12 => head.metadata.push(reader.bytes_of(key)?),
                _ => reader.skip_within(key, ITEM_DEPTH)?,
            }
        }
        Ok(head)
    }
}

/// Resource, scope and metric of the points being read.
struct Above<'a> {
    scope: &'a Arc<Scope>,
    metric: Arc<MetricMeta>,
    context: RawContext,
}

impl Context<'_, '_> {
    fn scope_metrics(&mut self, body: &[u8], out: &mut Vec<Point>) -> Result<(), DecodeError> {
        let (scope, scope_id) = Block::of_scope(body)?.scope(self.interner, self.shard)?;
        messages(body, 2, SCOPE_DEPTH, |body| {
            self.metric(body, &scope, scope_id, out)
        })
    }

    fn metric(
        &mut self,
        body: &[u8],
        scope: &Arc<Scope>,
        scope_id: u32,
        out: &mut Vec<Point>,
    ) -> Result<(), DecodeError> {
        let mut head = MetricHead::read(body)?;
        let Some((field, data)) = head.data.take() else {
            // No points, and so no series; but it has to be good.
            return check(body, &schema::METRIC, ITEM_DEPTH);
        };
        let kind = kind(field, &data)?;
        let (metric, metric_id) = self.meta(&head, kind)?;
        let above = Above {
            scope,
            metric,
            context: [self.resource_id, scope_id, metric_id],
        };
        let seeds = self.interner.seeds();
        messages(&data, 1, DATA_DEPTH, |body| {
            let predicted = self.shard.series.predict(above.context, seeds);
            let (predicted, expected) = predicted.unzip();
            let (parsed, attributes) = points::parse(field, body, expected, self.scratch)?;
            let series = self.series(&above, predicted, attributes)?;
            out.push(parsed.into_point(series));
            Ok(())
        })
    }

    fn meta(
        &mut self,
        head: &MetricHead<'_>,
        kind: MetricKind,
    ) -> Result<(Arc<MetricMeta>, u32), DecodeError> {
        let (interner, tick) = (self.interner, self.shard.tick);
        let hash = interner.hash_bytes(head.name) ^ interner.hash_bytes(head.unit).rotate_left(17);
        let same = |e: &RawMetric| {
            e.hash == hash
                && e.value.name.as_bytes() == head.name
                && e.value.kind == kind
                && e.value.unit.as_bytes() == head.unit
                && e.value.description.as_bytes() == head.description
                && same_metadata(&e.raw_metadata, &head.metadata)
        };
        if let Some(entry) = self.shard.metrics.find_mut(hash, same) {
            entry.tick = tick;
            return Ok((entry.value.clone(), entry.id));
        }
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| DecodeError::Utf8);
        let mut metadata = AttributesBuilder::default();
        for body in &head.metadata {
            check(body, &schema::KEY_VALUE, ITEM_DEPTH - 1)?;
            metadata.put_checked(body);
        }
        let value = interner.metric(MetricMeta {
            name: text(head.name)?.into(),
            unit: text(head.unit)?.into(),
            description: text(head.description)?.into(),
            kind,
            metadata: metadata.build(),
        });
        let id = interner.fresh_id(self.shard);
        let raw_metadata = join_metadata(&head.metadata);
        if interner.charge(footprint(raw_metadata.len())) {
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
        above: &Above<'_>,
        predicted: Option<u32>,
        raw: points::RawAttributes<'_>,
    ) -> Result<Arc<Series>, DecodeError> {
        let tick = self.shard.tick;
        let bytes = match (raw, predicted) {
            (points::RawAttributes::Predicted, Some(at)) => {
                if let Some(series) = self.shard.series.take_predicted(at, tick) {
                    return Ok(series);
                }
                // A place that was free: then nothing was predicted, see `predict`.
                &[]
            }
            (points::RawAttributes::Contiguous(bytes), _) => bytes,
            _ => self.scratch.as_slice(),
        };
        let context = above.context;
        let fingerprint = Fingerprint::of(bytes, self.interner.seeds());
        if let Some(fingerprint) = fingerprint
            && let Some(series) = self.shard.series.find(fingerprint, context, tick)
        {
            return Ok(series);
        }
        let labels = match fingerprint {
            Some(fingerprint) => {
                let read = || decode_labels(bytes);
                self.shard.labels.share(fingerprint, read)?
            }
            None => decode_labels(bytes)?,
        };
        let series = self
            .interner
            .series(&self.resource, above.scope, &above.metric, labels);
        if let Some(fingerprint) = fingerprint
            && series.index() != SeriesIndex::NONE
            && self.interner.charge(footprint(0))
        {
            let table = &mut self.shard.series;
            table.insert(fingerprint, context, series.clone(), tick);
        }
        Ok(series)
    }
}

/// Metadata entries as a raw entry keeps them: each with its length in front.
fn join_metadata(parts: &[&[u8]]) -> Box<[u8]> {
    let mut out = Vec::new();
    for part in parts {
        out.extend_from_slice(&part.len().to_le_bytes());
        out.extend_from_slice(part);
    }
    out.into()
}

fn same_metadata(raw: &[u8], parts: &[&[u8]]) -> bool {
    let mut rest = Some(raw);
    for part in parts {
        let length = part.len().to_le_bytes();
        rest = rest
            .and_then(|r| r.strip_prefix(&length))
            .and_then(|r| r.strip_prefix(*part));
    }
    rest.is_some_and(<[u8]>::is_empty)
}

/// A run of attribute fields, keys included, whatever their field number.
fn decode_labels(raw: &[u8]) -> Result<Attributes, DecodeError> {
    let mut builder = AttributesBuilder::default();
    let mut reader = Reader::new(raw);
    while let Some(key) = reader.key()? {
        let body = reader.bytes_of(key)?;
        check(body, &schema::KEY_VALUE, points::PART_DEPTH)?;
        builder.put_checked(body);
    }
    Ok(builder.build())
}

/// Prost's count of levels left within the data of a metric.
const DATA_DEPTH: u32 = ITEM_DEPTH - 1;

/// The metric type of a data field; temporality and monotonicity stand behind the points.
fn kind(field: u32, data: &[u8]) -> Result<MetricKind, DecodeError> {
    let (mut temporality, mut monotonic) = (Temporality::Unspecified, false);
    if matches!(field, 7 | 9 | 10) {
        let mut reader = Reader::new(data);
        while let Some(key) = reader.key()? {
            match key.field {
                1 => drop(reader.bytes_of(key)?),
                2 => temporality = Temporality::from_otlp(reader.varint_of(key)? as i32),
                3 if field == 7 => monotonic = reader.varint_of(key)? != 0,
                _ => reader.skip_within(key, DATA_DEPTH)?,
            }
        }
    }
    Ok(match field {
        5 => MetricKind::Gauge,
        7 => MetricKind::Sum {
            temporality,
            monotonic,
        },
        9 => MetricKind::Histogram { temporality },
        10 => MetricKind::ExponentialHistogram { temporality },
        _ => MetricKind::Summary,
    })
}
