//! A StatsD line: `name:value|type|@rate|#tag:value,...`, with what DogStatsD added to it.
//!
//! Reading goes in two steps. [`Line::split`] finds name, value and the rest; name and rest are the
//! same for every line of a series, so the table looks them up as bytes. Only on a miss does
//! [`Meaning::of`] read the rest. Nothing here keeps state.

use weir_model::{Attributes, AttributesBuilder};

/// StatsD types that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatsdType {
    /// `c`
    Counter,
    /// `g`
    Gauge,
    /// `ms`
    Timing,
    /// `h`
    Histogram,
    /// `d`
    Distribution,
}

impl StatsdType {
    fn of(text: &[u8]) -> Option<Self> {
        Some(match text {
            b"c" => Self::Counter,
            b"g" => Self::Gauge,
            b"ms" => Self::Timing,
            b"h" => Self::Histogram,
            b"d" => Self::Distribution,
            _ => return None,
        })
    }

    /// Name in the attribute `metric_type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Timing => "timing",
            Self::Histogram => "histogram",
            Self::Distribution => "distribution",
        }
    }
}

/// Why a line, or a value of it, is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LineError {
    /// No `|`, or no `:` before it.
    #[error("not of the form name:value|type")]
    Format,
    /// Nothing before the `:`.
    #[error("empty metric name")]
    Name,
    /// Not a number.
    #[error("the value is not a number")]
    Value,
    /// NaN or infinite.
    #[error("the value is not finite")]
    NotFinite,
    /// Other than c, g, ms, h, d.
    #[error("unsupported metric type; it must be c, g, ms, h or d")]
    Type,
    /// `@` without a number, or with one next to nothing.
    #[error("the sample rate is not a usable number")]
    SampleRate,
    /// A tag without key, or without value unless `enable_simple_tags` is set.
    #[error("a tag is not of the form key:value (enable_simple_tags takes tags without value)")]
    Tag,
    /// `T` without whole seconds, or with a type that cannot have it.
    #[error("a timestamp must be whole seconds, and only counters and gauges may have one")]
    Timestamp,
    /// Something else between two `|`.
    #[error("unrecognized part between two |")]
    Part,
    /// Name or tags are not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// Longer than the receiver reads.
    #[error("the line is longer than 64 KiB")]
    TooLong,
    /// The type has no observer.
    #[error("timer_histogram_mapping has no observer for its type")]
    Disabled,
    /// The table is full of series.
    #[error("too many series; raise max_series, or send fewer different tags")]
    SeriesLimit,
    /// The table has used up its memory.
    #[error("no memory left for it; raise max_memory, or lower aggregation_interval")]
    MemoryLimit,
}

impl LineError {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Format,
        Self::Name,
        Self::Value,
        Self::NotFinite,
        Self::Type,
        Self::SampleRate,
        Self::Tag,
        Self::Timestamp,
        Self::Part,
        Self::Utf8,
        Self::TooLong,
        Self::Disabled,
        Self::SeriesLimit,
        Self::MemoryLimit,
    ];

    /// Word for the label `reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Name => "name",
            Self::Value => "value",
            Self::NotFinite => "not_finite",
            Self::Type => "type",
            Self::SampleRate => "sample_rate",
            Self::Tag => "tag",
            Self::Timestamp => "timestamp",
            Self::Part => "part",
            Self::Utf8 => "utf8",
            Self::TooLong => "too_long",
            Self::Disabled => "disabled",
            Self::SeriesLimit => "series_limit",
            Self::MemoryLimit => "memory_limit",
        }
    }
}

/// A line in its three pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Metric name, not empty.
    pub name: &'a [u8],
    /// One value, or several with `:` between them; not empty.
    pub values: &'a [u8],
    /// Type, sample rate, tags and so on.
    pub rest: &'a [u8],
}

fn cut(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = memchr::memchr(at, text)?;
    Some((text.get(..position)?, text.get(position + 1..)?))
}

/// The part before the next separator; `text` moves behind it. Empty at the end.
fn next_part<'a>(text: &mut &'a [u8], separator: u8) -> &'a [u8] {
    let (part, rest) = cut(text, separator).unwrap_or((text, &[]));
    *text = rest;
    part
}

impl<'a> Line<'a> {
    /// Cuts a line, without its line end, into its pieces.
    ///
    /// # Errors
    /// If a piece is missing.
    pub fn split(line: &'a [u8]) -> Result<Self, LineError> {
        let (head, rest) = cut(line, b'|').ok_or(LineError::Format)?;
        let (name, values) = cut(head, b':').ok_or(LineError::Format)?;
        if name.is_empty() {
            return Err(LineError::Name);
        }
        if values.is_empty() {
            return Err(LineError::Value);
        }
        Ok(Self { name, values, rest })
    }

    /// The values one by one.
    pub fn values(&self) -> impl Iterator<Item = Result<Value, LineError>> + use<'a> {
        self.values.split(|byte| *byte == b':').map(Value::parse)
    }
}

/// A value of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value {
    /// Finite.
    pub number: f64,
    /// Whether it had a sign: a gauge is then changed by it instead of set.
    pub signed: bool,
}

impl Value {
    fn parse(text: &[u8]) -> Result<Self, LineError> {
        let signed = matches!(text.first(), Some(b'+' | b'-'));
        if let Some(number) = small_integer(text) {
            return Ok(Self {
                number,
                signed: false,
            });
        }
        let number = parse_float(text).ok_or(LineError::Value)?;
        if !number.is_finite() {
            return Err(LineError::NotFinite);
        }
        Ok(Self { number, signed })
    }
}

/// One to fifteen digits, which nearly every value is.
fn small_integer(text: &[u8]) -> Option<f64> {
    if text.is_empty() || text.len() > 15 {
        return None;
    }
    let mut number: u64 = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    // Below 2^53: exact.
    Some(number as f64)
}

fn parse_float(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// What the rest of a line says.
#[derive(Clone, Debug, PartialEq)]
pub struct Meaning {
    /// The type.
    pub statsd_type: StatsdType,
    /// The sample rate if it lies between 0 and 1, else 1. One value stands for 1 over it.
    pub sample_rate: f64,
    /// Tags, container id, metric type.
    pub attributes: Attributes,
    /// Unix nanoseconds; 0 if not said.
    pub time_ns: u64,
}

/// What is read leniently or added.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Takes tags without a value.
    pub simple_tags: bool,
    /// Adds the attribute `metric_type`.
    pub metric_type: bool,
}

impl Meaning {
    /// Reads the rest of a line. As in the reference, an empty part ends it and so does an empty
    /// tag ends the tags. Origin fields of newer DogStatsD clients (`e:`, `card:`) are passed over.
    ///
    /// # Errors
    /// If a part makes no sense; the line as a whole does not count then.
    pub fn of(rest: &[u8], options: Options) -> Result<Self, LineError> {
        let mut parts = rest;
        let statsd_type = StatsdType::of(next_part(&mut parts, b'|')).ok_or(LineError::Type)?;
        let mut attributes = AttributesBuilder::default();
        let (mut sample_rate, mut time_ns) = (1.0, 0);
        loop {
            let part = next_part(&mut parts, b'|');
            match part {
                [] => break,
                [b'@', rate @ ..] => {
                    let rate = parse_float(rate).ok_or(LineError::SampleRate)?;
                    // Others are ignored, as in the reference.
                    sample_rate = if 0.0 < rate && rate < 1.0 { rate } else { 1.0 };
                    if !(1.0 / sample_rate).is_finite() {
                        return Err(LineError::SampleRate);
                    }
                }
                [b'#', tags @ ..] => read_tags(tags, options.simple_tags, &mut attributes)?,
                [b'c', b':', container @ ..] => {
                    if !container.is_empty() {
                        attributes.set_str("container.id", text(container)?);
                    }
                }
                [b'e', b':', ..] | [b'c', b'a', b'r', b'd', b':', ..] => {}
                [b'T', seconds @ ..] => {
                    if !matches!(statsd_type, StatsdType::Counter | StatsdType::Gauge) {
                        return Err(LineError::Timestamp);
                    }
                    let seconds: Option<u64> = text(seconds)?.parse().ok();
                    let time = seconds.and_then(|seconds| seconds.checked_mul(1_000_000_000));
                    time_ns = time.ok_or(LineError::Timestamp)?;
                }
                _ => return Err(LineError::Part),
            }
        }
        if options.metric_type {
            attributes.set_str("metric_type", statsd_type.as_str());
        }
        Ok(Self {
            statsd_type,
            sample_rate,
            attributes: attributes.build(),
            time_ns,
        })
    }
}

fn text(bytes: &[u8]) -> Result<&str, LineError> {
    std::str::from_utf8(bytes).map_err(|_| LineError::Utf8)
}

fn read_tags(
    tags: &[u8],
    simple: bool,
    attributes: &mut AttributesBuilder,
) -> Result<(), LineError> {
    let mut tags = tags;
    loop {
        let tag = next_part(&mut tags, b',');
        if tag.is_empty() {
            return Ok(());
        }
        let (key, value) = cut(tag, b':').unwrap_or((tag, &[]));
        if key.is_empty() || (value.is_empty() && !simple) {
            return Err(LineError::Tag);
        }
        attributes.set_str(text(key)?, text(value)?);
    }
}
