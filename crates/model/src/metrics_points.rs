//! One OTLP data point message at a time.

use std::sync::Arc;

use crate::error::DecodeError;
use crate::point::{
    Buckets, Exemplar, ExemplarValue, ExponentialHistogram, Extras, Histogram, Point, PointValue,
    Summary,
};
use crate::series::Series;
use crate::wire::{FIXED64, LEN, Reader, VARINT, unzigzag};

/// A point without its series.
pub(crate) struct Parsed {
    start_ns: u64,
    time_ns: u64,
    flags: u32,
    value: PointValue,
    exemplars: Vec<Exemplar>,
}

impl Parsed {
    fn new(value: PointValue) -> Self {
        Self {
            start_ns: 0,
            time_ns: 0,
            flags: 0,
            value,
            exemplars: Vec::new(),
        }
    }

    pub(crate) fn into_point(self, series: Arc<Series>) -> Point {
        let extras = if self.exemplars.is_empty() {
            None
        } else {
            Some(Box::new(Extras {
                exemplars: self.exemplars,
                tags: Vec::new(),
            }))
        };
        Point {
            series,
            start_ns: self.start_ns,
            time_ns: self.time_ns,
            value: self.value,
            flags: self.flags,
            extras,
        }
    }
}

/// Where a point's attribute fields (keys included) are.
#[derive(Clone, Copy)]
pub(crate) enum RawAttributes<'a> {
    /// One run of the message, the usual case.
    Contiguous(&'a [u8]),
    /// Spread over the message; gathered in the scratch buffer.
    Gathered,
}

/// Collects the attribute fields of a message without copying while they are neighbours.
struct Attrs<'a> {
    body: &'a [u8],
    start: usize,
    end: usize,
    gathered: bool,
}

impl<'a> Attrs<'a> {
    fn new(body: &'a [u8]) -> Self {
        Self {
            body,
            start: 0,
            end: 0,
            gathered: false,
        }
    }

    /// Notes a field that lasted from `start` to `end` within the message.
    #[inline]
    fn add(&mut self, start: usize, end: usize, scratch: &mut Vec<u8>) {
        if self.end == 0 {
            (self.start, self.end) = (start, end);
        } else if !self.gathered && self.end == start {
            self.end = end;
        } else {
            if !self.gathered {
                scratch.extend_from_slice(self.body.get(self.start..self.end).unwrap_or(&[]));
                self.gathered = true;
            }
            scratch.extend_from_slice(self.body.get(start..end).unwrap_or(&[]));
        }
    }

    fn finish(self) -> RawAttributes<'a> {
        if self.gathered {
            RawAttributes::Gathered
        } else {
            RawAttributes::Contiguous(self.body.get(self.start..self.end).unwrap_or(&[]))
        }
    }
}

/// Parses a data point of the metric data field `field`.
#[inline]
pub(crate) fn parse<'a>(
    field: u32,
    body: &'a [u8],
    scratch: &mut Vec<u8>,
) -> Result<(Parsed, RawAttributes<'a>), DecodeError> {
    match field {
        5 | 7 => number(body, scratch),
        9 => histogram(body, scratch),
        10 => exponential(body, scratch),
        _ => summary(body, scratch),
    }
}

fn number<'a>(
    body: &'a [u8],
    scratch: &mut Vec<u8>,
) -> Result<(Parsed, RawAttributes<'a>), DecodeError> {
    let mut parsed = Parsed::new(PointValue::Empty);
    let mut attrs = Attrs::new(body);
    let mut reader = Reader::new(body);
    loop {
        let at = body.len() - reader.rest().len();
        let Some(key) = reader.key()? else { break };
        match (key.field, key.wire) {
            (7, LEN) => {
                reader.bytes()?;
                attrs.add(at, body.len() - reader.rest().len(), scratch);
            }
            (2, FIXED64) => parsed.start_ns = reader.fixed64()?,
            (3, FIXED64) => parsed.time_ns = reader.fixed64()?,
            (4, FIXED64) => parsed.value = PointValue::Double(f64::from_bits(reader.fixed64()?)),
            (6, FIXED64) => parsed.value = PointValue::Int(reader.fixed64()? as i64),
            (5, LEN) => parsed.exemplars.push(exemplar(reader.bytes()?)?),
            (8, VARINT) => parsed.flags = reader.varint()? as u32,
            _ => reader.skip(key)?,
        }
    }
    Ok((parsed, attrs.finish()))
}

fn histogram<'a>(
    body: &'a [u8],
    scratch: &mut Vec<u8>,
) -> Result<(Parsed, RawAttributes<'a>), DecodeError> {
    let mut parsed = Parsed::new(PointValue::Empty);
    let mut h = Histogram::default();
    let mut attrs = Attrs::new(body);
    let mut reader = Reader::new(body);
    loop {
        let at = body.len() - reader.rest().len();
        let Some(key) = reader.key()? else { break };
        match (key.field, key.wire) {
            (9, LEN) => {
                reader.bytes()?;
                attrs.add(at, body.len() - reader.rest().len(), scratch);
            }
            (2, FIXED64) => parsed.start_ns = reader.fixed64()?,
            (3, FIXED64) => parsed.time_ns = reader.fixed64()?,
            (4, FIXED64) => h.count = reader.fixed64()?,
            (5, FIXED64) => h.sum = Some(f64::from_bits(reader.fixed64()?)),
            (6, LEN) => fixed_run(reader.bytes()?, &mut h.bucket_counts, |v| v)?,
            (6, FIXED64) => h.bucket_counts.push(reader.fixed64()?),
            (7, LEN) => fixed_run(reader.bytes()?, &mut h.explicit_bounds, f64::from_bits)?,
            (7, FIXED64) => h.explicit_bounds.push(f64::from_bits(reader.fixed64()?)),
            (8, LEN) => parsed.exemplars.push(exemplar(reader.bytes()?)?),
            (10, VARINT) => parsed.flags = reader.varint()? as u32,
            (11, FIXED64) => h.min = Some(f64::from_bits(reader.fixed64()?)),
            (12, FIXED64) => h.max = Some(f64::from_bits(reader.fixed64()?)),
            _ => reader.skip(key)?,
        }
    }
    parsed.value = PointValue::Histogram(Box::new(h));
    Ok((parsed, attrs.finish()))
}

fn exponential<'a>(
    body: &'a [u8],
    scratch: &mut Vec<u8>,
) -> Result<(Parsed, RawAttributes<'a>), DecodeError> {
    let mut parsed = Parsed::new(PointValue::Empty);
    let mut h = ExponentialHistogram::default();
    let mut attrs = Attrs::new(body);
    let mut reader = Reader::new(body);
    loop {
        let at = body.len() - reader.rest().len();
        let Some(key) = reader.key()? else { break };
        match (key.field, key.wire) {
            (1, LEN) => {
                reader.bytes()?;
                attrs.add(at, body.len() - reader.rest().len(), scratch);
            }
            (2, FIXED64) => parsed.start_ns = reader.fixed64()?,
            (3, FIXED64) => parsed.time_ns = reader.fixed64()?,
            (4, FIXED64) => h.count = reader.fixed64()?,
            (5, FIXED64) => h.sum = Some(f64::from_bits(reader.fixed64()?)),
            (6, VARINT) => h.scale = unzigzag(reader.varint()? & 0xffff_ffff) as i32,
            (7, FIXED64) => h.zero_count = reader.fixed64()?,
            (8, LEN) => buckets(reader.bytes()?, h.positive.get_or_insert_default())?,
            (9, LEN) => buckets(reader.bytes()?, h.negative.get_or_insert_default())?,
            (10, VARINT) => parsed.flags = reader.varint()? as u32,
            (11, LEN) => parsed.exemplars.push(exemplar(reader.bytes()?)?),
            (12, FIXED64) => h.min = Some(f64::from_bits(reader.fixed64()?)),
            (13, FIXED64) => h.max = Some(f64::from_bits(reader.fixed64()?)),
            (14, FIXED64) => h.zero_threshold = f64::from_bits(reader.fixed64()?),
            _ => reader.skip(key)?,
        }
    }
    parsed.value = PointValue::ExponentialHistogram(Box::new(h));
    Ok((parsed, attrs.finish()))
}

fn summary<'a>(
    body: &'a [u8],
    scratch: &mut Vec<u8>,
) -> Result<(Parsed, RawAttributes<'a>), DecodeError> {
    let mut parsed = Parsed::new(PointValue::Empty);
    let mut s = Summary::default();
    let mut attrs = Attrs::new(body);
    let mut reader = Reader::new(body);
    loop {
        let at = body.len() - reader.rest().len();
        let Some(key) = reader.key()? else { break };
        match (key.field, key.wire) {
            (7, LEN) => {
                reader.bytes()?;
                attrs.add(at, body.len() - reader.rest().len(), scratch);
            }
            (2, FIXED64) => parsed.start_ns = reader.fixed64()?,
            (3, FIXED64) => parsed.time_ns = reader.fixed64()?,
            (4, FIXED64) => s.count = reader.fixed64()?,
            (5, FIXED64) => s.sum = f64::from_bits(reader.fixed64()?),
            (6, LEN) => s.quantiles.push(quantile(reader.bytes()?)?),
            (8, VARINT) => parsed.flags = reader.varint()? as u32,
            _ => reader.skip(key)?,
        }
    }
    parsed.value = PointValue::Summary(Box::new(s));
    Ok((parsed, attrs.finish()))
}

/// A packed run of eight-byte values.
fn fixed_run<T>(
    body: &[u8],
    out: &mut Vec<T>,
    convert: impl Fn(u64) -> T,
) -> Result<(), DecodeError> {
    out.reserve(body.len() / 8);
    let mut reader = Reader::new(body);
    while !reader.is_empty() {
        out.push(convert(reader.fixed64()?));
    }
    Ok(())
}

fn buckets(body: &[u8], buckets: &mut Buckets) -> Result<(), DecodeError> {
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        match (key.field, key.wire) {
            (1, VARINT) => buckets.offset = unzigzag(reader.varint()? & 0xffff_ffff) as i32,
            (2, VARINT) => buckets.counts.push(reader.varint()?),
            (2, LEN) => {
                let mut run = Reader::new(reader.bytes()?);
                while !run.is_empty() {
                    buckets.counts.push(run.varint()?);
                }
            }
            _ => reader.skip(key)?,
        }
    }
    Ok(())
}

fn quantile(body: &[u8]) -> Result<(f64, f64), DecodeError> {
    let (mut quantile, mut value) = (0.0, 0.0);
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        match (key.field, key.wire) {
            (1, FIXED64) => quantile = f64::from_bits(reader.fixed64()?),
            (2, FIXED64) => value = f64::from_bits(reader.fixed64()?),
            _ => reader.skip(key)?,
        }
    }
    Ok((quantile, value))
}

fn exemplar(body: &[u8]) -> Result<Exemplar, DecodeError> {
    let mut exemplar = Exemplar::default();
    let mut attributes = crate::attributes::AttributesBuilder::default();
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        match (key.field, key.wire) {
            (2, FIXED64) => exemplar.time_ns = reader.fixed64()?,
            (3, FIXED64) => {
                exemplar.value = Some(ExemplarValue::Double(f64::from_bits(reader.fixed64()?)));
            }
            (4, LEN) => exemplar.span_id = reader.bytes()?.into(),
            (5, LEN) => exemplar.trace_id = reader.bytes()?.into(),
            (6, FIXED64) => exemplar.value = Some(ExemplarValue::Int(reader.fixed64()? as i64)),
            (7, LEN) => attributes.decode(reader.bytes()?)?,
            _ => reader.skip(key)?,
        }
    }
    if !attributes.is_empty() {
        exemplar.filtered_attributes = attributes.build();
    }
    Ok(exemplar)
}
