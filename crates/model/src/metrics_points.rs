//! One OTLP data point message at a time.

use std::sync::Arc;

use crate::blocks::ITEM_DEPTH;
use crate::check::check;
use crate::error::DecodeError;
use crate::point::{
    Buckets, Exemplar, ExemplarValue, ExponentialHistogram, Extras, Histogram, Point, PointValue,
    Summary,
};
use crate::raw::Expected;
use crate::schema;
use crate::series::Series;
use crate::wire::{Key, LEN, Reader, unzigzag};

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
    /// They are the bytes that were predicted.
    Predicted,
    /// One run of the message, the usual case.
    Contiguous(&'a [u8]),
    /// Spread over the message; gathered in the scratch buffer.
    Gathered,
}

/// Prost's count of levels left within a data point.
const POINT_DEPTH: u32 = ITEM_DEPTH - 2;
/// The same within its attributes and exemplars.
pub(crate) const PART_DEPTH: u32 = POINT_DEPTH - 1;

/// A data point message being read: collects the attribute fields without copying while they are
/// neighbours.
struct Source<'a, 's> {
    body: &'a [u8],
    reader: Reader<'a>,
    /// The attributes that should come, with their keys.
    predicted: Option<Expected<'s>>,
    as_predicted: bool,
    start: usize,
    end: usize,
    scratch: &'s mut Vec<u8>,
    gathered: bool,
}

impl<'a, 's> Source<'a, 's> {
    fn new(body: &'a [u8], predicted: Option<Expected<'s>>, scratch: &'s mut Vec<u8>) -> Self {
        Self {
            body,
            reader: Reader::new(body),
            predicted,
            as_predicted: false,
            start: 0,
            end: 0,
            scratch,
            gathered: false,
        }
    }

    /// Reads an attribute field, or all of them if they are as predicted; `from` are the bytes
    /// from its key on.
    #[inline]
    fn attribute(&mut self, key: Key, from: &'a [u8]) -> Result<(), DecodeError> {
        let start = self.body.len() - from.len();
        let predicted = self
            .predicted
            .filter(|expected| self.end == 0 && !expected.is_nothing())
            .and_then(|expected| expected.begins(from));
        self.as_predicted = predicted.is_some();
        match predicted {
            Some(length) => {
                self.reader = Reader::new(from);
                self.reader.advance(length);
            }
            None => {
                self.reader.bytes_of(key)?;
            }
        }
        let end = self.body.len() - self.reader.rest().len();
        if self.end == 0 {
            (self.start, self.end) = (start, end);
        } else if !self.gathered && self.end == start {
            self.end = end;
        } else {
            if !self.gathered {
                let run = self.body.get(self.start..self.end).unwrap_or(&[]);
                self.scratch.extend_from_slice(run);
                self.gathered = true;
            }
            let field = self.body.get(start..end).unwrap_or(&[]);
            self.scratch.extend_from_slice(field);
        }
        Ok(())
    }

    /// Steps over a field that nobody knows.
    fn skip(&mut self, key: Key) -> Result<(), DecodeError> {
        self.reader.skip_within(key, POINT_DEPTH)
    }

    fn finish(self) -> RawAttributes<'a> {
        if self.as_predicted
            || self.end == 0 && self.predicted.is_some_and(|expected| expected.is_nothing())
        {
            RawAttributes::Predicted
        } else if self.gathered {
            RawAttributes::Gathered
        } else {
            RawAttributes::Contiguous(self.body.get(self.start..self.end).unwrap_or(&[]))
        }
    }
}

/// Parses a data point of the metric data field `field`. Attributes are not looked into; everything
/// else is checked.
#[inline]
pub(crate) fn parse<'a>(
    field: u32,
    body: &'a [u8],
    predicted: Option<Expected<'_>>,
    scratch: &mut Vec<u8>,
) -> Result<(Parsed, RawAttributes<'a>), DecodeError> {
    scratch.clear();
    let source = Source::new(body, predicted, scratch);
    match field {
        5 | 7 => number(source),
        9 => histogram(source),
        10 => exponential(source),
        _ => summary(source),
    }
}

type Read<'a> = Result<(Parsed, RawAttributes<'a>), DecodeError>;

#[inline]
fn number<'a>(mut source: Source<'a, '_>) -> Read<'a> {
    let mut parsed = Parsed::new(PointValue::Empty);
    loop {
        let from = source.reader.rest();
        let Some(key) = source.reader.key()? else {
            break;
        };
        let reader = &mut source.reader;
        match key.field {
            7 => source.attribute(key, from)?,
            2 => parsed.start_ns = reader.fixed64_of(key)?,
            3 => parsed.time_ns = reader.fixed64_of(key)?,
            4 => parsed.value = PointValue::Double(f64::from_bits(reader.fixed64_of(key)?)),
            6 => parsed.value = PointValue::Int(reader.fixed64_of(key)? as i64),
            5 => parsed.exemplars.push(exemplar(reader.bytes_of(key)?)?),
            8 => parsed.flags = reader.varint_of(key)? as u32,
            _ => source.skip(key)?,
        }
    }
    Ok((parsed, source.finish()))
}

fn histogram<'a>(mut source: Source<'a, '_>) -> Read<'a> {
    let mut parsed = Parsed::new(PointValue::Empty);
    let mut h = Histogram::default();
    loop {
        let from = source.reader.rest();
        let Some(key) = source.reader.key()? else {
            break;
        };
        let reader = &mut source.reader;
        match key.field {
            9 => source.attribute(key, from)?,
            2 => parsed.start_ns = reader.fixed64_of(key)?,
            3 => parsed.time_ns = reader.fixed64_of(key)?,
            4 => h.count = reader.fixed64_of(key)?,
            5 => h.sum = Some(f64::from_bits(reader.fixed64_of(key)?)),
            6 => fixed_run(reader, key, &mut h.bucket_counts, |v| v)?,
            7 => fixed_run(reader, key, &mut h.explicit_bounds, f64::from_bits)?,
            8 => parsed.exemplars.push(exemplar(reader.bytes_of(key)?)?),
            10 => parsed.flags = reader.varint_of(key)? as u32,
            11 => h.min = Some(f64::from_bits(reader.fixed64_of(key)?)),
            12 => h.max = Some(f64::from_bits(reader.fixed64_of(key)?)),
            _ => source.skip(key)?,
        }
    }
    parsed.value = PointValue::Histogram(Box::new(h));
    Ok((parsed, source.finish()))
}

fn exponential<'a>(mut source: Source<'a, '_>) -> Read<'a> {
    let mut parsed = Parsed::new(PointValue::Empty);
    let mut h = ExponentialHistogram::default();
    loop {
        let from = source.reader.rest();
        let Some(key) = source.reader.key()? else {
            break;
        };
        let reader = &mut source.reader;
        match key.field {
            1 => source.attribute(key, from)?,
            2 => parsed.start_ns = reader.fixed64_of(key)?,
            3 => parsed.time_ns = reader.fixed64_of(key)?,
            4 => h.count = reader.fixed64_of(key)?,
            5 => h.sum = Some(f64::from_bits(reader.fixed64_of(key)?)),
            6 => h.scale = unzigzag(reader.varint_of(key)? & 0xffff_ffff) as i32,
            7 => h.zero_count = reader.fixed64_of(key)?,
            8 => buckets(reader.bytes_of(key)?, h.positive.get_or_insert_default())?,
            9 => buckets(reader.bytes_of(key)?, h.negative.get_or_insert_default())?,
            10 => parsed.flags = reader.varint_of(key)? as u32,
            11 => parsed.exemplars.push(exemplar(reader.bytes_of(key)?)?),
            12 => h.min = Some(f64::from_bits(reader.fixed64_of(key)?)),
            13 => h.max = Some(f64::from_bits(reader.fixed64_of(key)?)),
            14 => h.zero_threshold = f64::from_bits(reader.fixed64_of(key)?),
            _ => source.skip(key)?,
        }
    }
    parsed.value = PointValue::ExponentialHistogram(Box::new(h));
    Ok((parsed, source.finish()))
}

fn summary<'a>(mut source: Source<'a, '_>) -> Read<'a> {
    let mut parsed = Parsed::new(PointValue::Empty);
    let mut s = Summary::default();
    loop {
        let from = source.reader.rest();
        let Some(key) = source.reader.key()? else {
            break;
        };
        let reader = &mut source.reader;
        match key.field {
            7 => source.attribute(key, from)?,
            2 => parsed.start_ns = reader.fixed64_of(key)?,
            3 => parsed.time_ns = reader.fixed64_of(key)?,
            4 => s.count = reader.fixed64_of(key)?,
            5 => s.sum = f64::from_bits(reader.fixed64_of(key)?),
            6 => s.quantiles.push(quantile(reader.bytes_of(key)?)?),
            8 => parsed.flags = reader.varint_of(key)? as u32,
            _ => source.skip(key)?,
        }
    }
    parsed.value = PointValue::Summary(Box::new(s));
    Ok((parsed, source.finish()))
}

/// Eight-byte values, packed or one by one.
fn fixed_run<T>(
    reader: &mut Reader<'_>,
    key: Key,
    out: &mut Vec<T>,
    convert: impl Fn(u64) -> T,
) -> Result<(), DecodeError> {
    if key.wire != LEN {
        out.push(convert(reader.fixed64_of(key)?));
        return Ok(());
    }
    let body = reader.bytes()?;
    out.reserve(body.len() / 8);
    let mut run = Reader::new(body);
    while !run.is_empty() {
        out.push(convert(run.fixed64()?));
    }
    Ok(())
}

fn buckets(body: &[u8], buckets: &mut Buckets) -> Result<(), DecodeError> {
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        match key.field {
            1 => buckets.offset = unzigzag(reader.varint_of(key)? & 0xffff_ffff) as i32,
            2 if key.wire == LEN => {
                let mut run = Reader::new(reader.bytes()?);
                while !run.is_empty() {
                    buckets.counts.push(run.varint()?);
                }
            }
            2 => buckets.counts.push(reader.varint_of(key)?),
            _ => reader.skip_within(key, PART_DEPTH)?,
        }
    }
    Ok(())
}

fn quantile(body: &[u8]) -> Result<(f64, f64), DecodeError> {
    let (mut quantile, mut value) = (0.0, 0.0);
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        match key.field {
            1 => quantile = f64::from_bits(reader.fixed64_of(key)?),
            2 => value = f64::from_bits(reader.fixed64_of(key)?),
            _ => reader.skip_within(key, PART_DEPTH)?,
        }
    }
    Ok((quantile, value))
}

fn exemplar(body: &[u8]) -> Result<Exemplar, DecodeError> {
    check(body, &schema::EXEMPLAR, PART_DEPTH)?;
    let mut exemplar = Exemplar::default();
    let mut attributes = crate::attributes::AttributesBuilder::default();
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        match key.field {
            2 => exemplar.time_ns = reader.fixed64_of(key)?,
            3 => {
                let value = f64::from_bits(reader.fixed64_of(key)?);
                exemplar.value = Some(ExemplarValue::Double(value));
            }
            4 => exemplar.span_id = reader.bytes_of(key)?.into(),
            5 => exemplar.trace_id = reader.bytes_of(key)?.into(),
            6 => exemplar.value = Some(ExemplarValue::Int(reader.fixed64_of(key)? as i64)),
            7 => attributes.put_checked(reader.bytes_of(key)?),
            _ => reader.skip(key)?,
        }
    }
    if !attributes.is_empty() {
        exemplar.filtered_attributes = attributes.build();
    }
    Ok(exemplar)
}
