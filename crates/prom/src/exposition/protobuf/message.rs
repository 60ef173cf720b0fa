//! The messages below a family.

use weir_model::DecodeError;
use weir_model::wire::{self, Key, Reader, unzigzag};

use crate::exposition::MetricType;

/// An exemplar of the protobuf exposition.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProtoExemplar<'a> {
    /// Labels as sent.
    pub labels: Vec<(&'a str, &'a str)>,
    /// The value.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
}

/// A native histogram as sampled; all counts as integers, those of float histograms truncated.
#[derive(Debug, Clone, PartialEq)]
pub struct NativeSample<'a> {
    /// Number of observations.
    pub count: u64,
    /// Sum of observations.
    pub sum: f64,
    /// Resolution, -4 to 8.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// Index of the first positive bucket by upper bound, and the counts from there on, gaps
    /// filled; empty if all are zero.
    pub positive: (i32, Vec<u64>),
    /// The same for the negative side.
    pub negative: (i32, Vec<u64>),
    /// Explicit time in milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    /// Exemplars that have a time.
    pub exemplars: Vec<&'a ProtoExemplar<'a>>,
}

/// What is wrong with a native histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadNative {
    /// The buckets are of a kind whose bounds the exposition does not carry, such as -53, own bounds.
    #[error("the schema {0} is not one of buckets that grow by a factor")]
    Schema(i32),
    /// Spans and buckets do not fit.
    #[error("spans are for {spans} buckets, there are {buckets}")]
    Count {
        /// Buckets that the spans describe.
        spans: u64,
        /// Buckets that are there.
        buckets: usize,
    },
    /// A span begins before the one before it ends.
    #[error("spans overlap")]
    Order,
    /// The buckets lie too far apart.
    #[error("buckets lie more than 65,536 apart")]
    Range,
}

/// More buckets than this in a native histogram, gaps included, are refused: a hostile span could
/// ask for 2^32.
const MAX_NATIVE_BUCKETS: u64 = 1 << 16;

pub(super) struct Metric<'a> {
    pub(super) labels: Vec<(&'a str, &'a str)>,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) data: Data<'a>,
}

pub(super) enum Data<'a> {
    Number(f64, Option<ProtoExemplar<'a>>),
    Summary(Summary),
    Histogram(Box<Histogram<'a>>),
}

#[derive(Default)]
pub(super) struct Summary {
    pub(super) count: f64,
    pub(super) sum: f64,
    pub(super) quantiles: Vec<(f64, f64)>,
}

#[derive(Default)]
pub(super) struct Histogram<'a> {
    count: u64,
    count_float: f64,
    pub(super) sum: f64,
    pub(super) buckets: Vec<Bucket<'a>>,
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    negative: Side,
    positive: Side,
    exemplars: Vec<ProtoExemplar<'a>>,
}

/// One side of a native histogram as sent.
#[derive(Default)]
struct Side {
    spans: Vec<(i32, u32)>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

#[derive(Default)]
pub(super) struct Bucket<'a> {
    cumulative_count: u64,
    cumulative_count_float: f64,
    pub(super) upper_bound: f64,
    pub(super) exemplar: Option<ProtoExemplar<'a>>,
}

type Result<T> = std::result::Result<T, DecodeError>;

/// Calls `read` for each field; it returns whether it took the field.
fn fields<'a>(
    message: &'a [u8],
    mut read: impl FnMut(Key, &mut Reader<'a>) -> Result<bool>,
) -> Result<()> {
    let mut reader = Reader::new(message);
    while let Some(key) = reader.key()? {
        if !read(key, &mut reader)? {
            reader.skip(key)?;
        }
    }
    Ok(())
}

fn double(key: Key, reader: &mut Reader<'_>) -> Result<f64> {
    key.expect(wire::FIXED64)?;
    reader.fixed64().map(f64::from_bits)
}

fn unsigned(key: Key, reader: &mut Reader<'_>) -> Result<u64> {
    key.expect(wire::VARINT)?;
    reader.varint()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "sint32 keeps the low half, as in protobuf"
)]
fn signed(key: Key, reader: &mut Reader<'_>) -> Result<i32> {
    Ok(unzigzag(unsigned(key, reader)?) as i32)
}

fn message<'a>(key: Key, reader: &mut Reader<'a>) -> Result<&'a [u8]> {
    key.expect(wire::LEN)?;
    reader.bytes()
}

impl<'a> Metric<'a> {
    pub(super) fn decode(body: &'a [u8], kind: MetricType) -> Result<Self> {
        let mut labels = Vec::new();
        let mut timestamp_ms = 0;
        let mut content: &[u8] = &[];
        // Only the part that fits the type of the family counts.
        let wanted = match kind {
            MetricType::Gauge => 2,
            MetricType::Summary => 4,
            MetricType::Histogram | MetricType::GaugeHistogram => 7,
            MetricType::Unknown => 5,
            _ => 3,
        };
        fields(body, |key, reader| {
            match key.field {
                1 => labels.push(label(message(key, reader)?)?),
                6 => timestamp_ms = unsigned(key, reader)?.cast_signed(),
                field if field == wanted => content = message(key, reader)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let data = match wanted {
            4 => Data::Summary(Summary::decode(content)?),
            7 => Data::Histogram(Box::new(Histogram::decode(content)?)),
            _ => {
                let (value, exemplar) = number(content, kind)?;
                Data::Number(value, exemplar)
            }
        };
        Ok(Self {
            labels,
            timestamp_ms: (timestamp_ms != 0).then_some(timestamp_ms),
            data,
        })
    }
}

fn label(body: &[u8]) -> Result<(&str, &str)> {
    let (mut name, mut value) = ("", "");
    fields(body, |key, reader| {
        match key.field {
            1 => name = text(key, reader)?,
            2 => value = text(key, reader)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((name, value))
}

fn text<'a>(key: Key, reader: &mut Reader<'a>) -> Result<&'a str> {
    key.expect(wire::LEN)?;
    reader.str()
}

/// Gauge, counter or untyped.
fn number(body: &[u8], kind: MetricType) -> Result<(f64, Option<ProtoExemplar<'_>>)> {
    let (mut value, mut exemplar) = (0.0, None);
    fields(body, |key, reader| {
        match key.field {
            1 => value = double(key, reader)?,
            2 if kind == MetricType::Counter => {
                exemplar = Some(ProtoExemplar::decode(message(key, reader)?)?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((value, exemplar))
}

#[expect(clippy::cast_precision_loss, reason = "samples are doubles")]
fn as_double(count: u64) -> f64 {
    count as f64
}

impl Summary {
    fn decode(body: &[u8]) -> Result<Self> {
        let mut summary = Self::default();
        fields(body, |key, reader| {
            match key.field {
                1 => summary.count = as_double(unsigned(key, reader)?),
                2 => summary.sum = double(key, reader)?,
                3 => {
                    let mut pair = (0.0, 0.0);
                    fields(message(key, reader)?, |key, reader| {
                        match key.field {
                            1 => pair.0 = double(key, reader)?,
                            2 => pair.1 = double(key, reader)?,
                            _ => return Ok(false),
                        }
                        Ok(true)
                    })?;
                    summary.quantiles.push(pair);
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(summary)
    }
}

impl<'a> ProtoExemplar<'a> {
    fn decode(body: &'a [u8]) -> Result<Self> {
        let mut exemplar = Self::default();
        fields(body, |key, reader| {
            match key.field {
                1 => exemplar.labels.push(label(message(key, reader)?)?),
                2 => exemplar.value = double(key, reader)?,
                3 => exemplar.timestamp_ms = Some(timestamp(message(key, reader)?)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(exemplar)
    }
}

/// `google.protobuf.Timestamp` in milliseconds.
fn timestamp(body: &[u8]) -> Result<i64> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    fields(body, |key, reader| {
        match key.field {
            1 => seconds = unsigned(key, reader)?.cast_signed(),
            2 => nanos = unsigned(key, reader)?.cast_signed(),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(seconds
        .saturating_mul(1000)
        .saturating_add(nanos / 1_000_000))
}

impl<'a> Bucket<'a> {
    fn decode(body: &'a [u8]) -> Result<Self> {
        let mut bucket = Self::default();
        fields(body, |key, reader| {
            match key.field {
                1 => bucket.cumulative_count = unsigned(key, reader)?,
                2 => bucket.upper_bound = double(key, reader)?,
                3 => bucket.exemplar = Some(ProtoExemplar::decode(message(key, reader)?)?),
                4 => bucket.cumulative_count_float = double(key, reader)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(bucket)
    }

    /// Observations up to the bound; the float count wins if there is one.
    pub(super) fn total(&self) -> f64 {
        either(self.cumulative_count_float, self.cumulative_count)
    }
}

fn either(float: f64, integer: u64) -> f64 {
    if float == 0.0 {
        as_double(integer)
    } else {
        float
    }
}

impl<'a> Histogram<'a> {
    fn decode(body: &'a [u8]) -> Result<Self> {
        let mut histogram = Self::default();
        fields(body, |key, reader| {
            match key.field {
                1 => histogram.count = unsigned(key, reader)?,
                2 => histogram.sum = double(key, reader)?,
                3 => histogram
                    .buckets
                    .push(Bucket::decode(message(key, reader)?)?),
                4 => histogram.count_float = double(key, reader)?,
                5 => histogram.schema = signed(key, reader)?,
                6 => histogram.zero_threshold = double(key, reader)?,
                7 => histogram.zero_count = unsigned(key, reader)?,
                8 => histogram.zero_count_float = double(key, reader)?,
                9..=11 => histogram.negative.field(key, key.field - 9, reader)?,
                12..=14 => histogram.positive.field(key, key.field - 12, reader)?,
                16 => histogram
                    .exemplars
                    .push(ProtoExemplar::decode(message(key, reader)?)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(histogram)
    }

    pub(super) fn total(&self) -> f64 {
        either(self.count_float, self.count)
    }

    /// Whether any native part is there; a histogram without observations and spans is classic.
    pub(super) fn is_native(&self) -> bool {
        !self.positive.spans.is_empty()
            || !self.negative.spans.is_empty()
            || self.zero_threshold > 0.0
            || self.zero_count > 0
    }

    /// The native form.
    pub(super) fn native(
        &'a self,
        timestamp_ms: Option<i64>,
    ) -> std::result::Result<NativeSample<'a>, BadNative> {
        // Finer ones than 8 are reserved for the same kind.
        if !(-4..=52).contains(&self.schema) {
            return Err(BadNative::Schema(self.schema));
        }
        let float = self.count_float > 0.0 || self.zero_count_float > 0.0;
        let one = |of: f64, or: u64| if float { truncated(of) } else { or };
        let timed = |exemplar: &&ProtoExemplar<'_>| exemplar.timestamp_ms.is_some();
        let exemplars: Vec<&ProtoExemplar<'a>> = if self.exemplars.is_empty() {
            let all = self
                .buckets
                .iter()
                .filter_map(|bucket| bucket.exemplar.as_ref());
            all.filter(timed).collect()
        } else {
            self.exemplars.iter().filter(timed).collect()
        };
        Ok(NativeSample {
            count: one(self.count_float, self.count),
            sum: self.sum,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: one(self.zero_count_float, self.zero_count),
            positive: self.positive.dense(float)?,
            negative: self.negative.dense(float)?,
            timestamp_ms,
            exemplars,
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float counts are truncated; casts saturate"
)]
fn truncated(count: f64) -> u64 {
    count as u64
}

impl Side {
    fn field(&mut self, key: Key, part: u32, reader: &mut Reader<'_>) -> Result<()> {
        match (part, key.wire) {
            (0, wire::LEN) => {
                let mut span = (0, 0);
                fields(reader.bytes()?, |key, reader| {
                    match key.field {
                        1 => span.0 = signed(key, reader)?,
                        2 => span.1 = u32::try_from(unsigned(key, reader)?).unwrap_or(u32::MAX),
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?;
                self.spans.push(span);
            }
            // Numbers may be packed or not.
            (1, wire::LEN) => {
                let mut packed = Reader::new(reader.bytes()?);
                while !packed.is_empty() {
                    self.deltas.push(unzigzag(packed.varint()?));
                }
            }
            (1, wire::VARINT) => self.deltas.push(unzigzag(reader.varint()?)),
            (2, wire::LEN) => {
                let mut packed = Reader::new(reader.bytes()?);
                while !packed.is_empty() {
                    self.counts.push(f64::from_bits(packed.fixed64()?));
                }
            }
            (2, wire::FIXED64) => self.counts.push(f64::from_bits(reader.fixed64()?)),
            _ => return Err(DecodeError::WireType { field: key.field }),
        }
        Ok(())
    }

    /// Index of the first bucket that is not empty, and all counts up to the last such.
    fn dense(&self, float: bool) -> std::result::Result<(i32, Vec<u64>), BadNative> {
        let buckets = if float {
            self.counts.len()
        } else {
            self.deltas.len()
        };
        let described: u64 = self
            .spans
            .iter()
            .map(|(_, length)| u64::from(*length))
            .sum();
        if described != buckets as u64 {
            return Err(BadNative::Count {
                spans: described,
                buckets,
            });
        }
        let mut counts: Vec<u64> = Vec::new();
        let mut first = 0i32;
        let (mut index, mut running, mut at) = (0i32, 0i64, 0usize);
        for (number, (offset, length)) in self.spans.iter().enumerate() {
            if number > 0 && *offset < 0 {
                return Err(BadNative::Order);
            }
            index = index.saturating_add(*offset);
            for _ in 0..*length {
                running = running.saturating_add(self.deltas.get(at).copied().unwrap_or(0));
                let count = if float {
                    truncated(self.counts.get(at).copied().unwrap_or(0.0))
                } else {
                    u64::try_from(running).unwrap_or(0)
                };
                at += 1;
                if count > 0 {
                    if counts.is_empty() {
                        first = index;
                    }
                    let place = u64::try_from(i64::from(index) - i64::from(first)).unwrap_or(0);
                    if place >= MAX_NATIVE_BUCKETS {
                        return Err(BadNative::Range);
                    }
                    // Within the bound just checked, so it fits.
                    counts.resize(usize::try_from(place).unwrap_or(0) + 1, 0);
                    if let Some(last) = counts.last_mut() {
                        *last = count;
                    }
                }
                index = index.saturating_add(1);
            }
        }
        Ok((first, counts))
    }
}
