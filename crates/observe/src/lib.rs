//! From data points to observations: one or a few numbers per point, as a detector judges them. One set of
//! rules for the stream and for what is tried on recorded data.

use std::borrow::Cow;
use weir_detect::histogram::{
    Distribution, ExponentialBuckets, Increase, bucket_increase, explicit_quantile,
    exponential_quantile,
};

use weir_detect::Rate;
use weir_model::{MetricKind, Point, PointValue, Temporality};

/// Quantiles of a summary that are judged, at most.
const MAX_QUANTILES: usize = 8;

/// What an observation of a series stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Role {
    /// The value of a gauge, or of a sum that can also fall.
    Value,
    /// The increase per second of a counter.
    Rate,
    /// Observations per second of a distribution.
    Count,
    /// Mean of the observations of a distribution.
    Mean,
    /// A quantile of a summary.
    Quantile(f64),
}

impl Role {
    /// Never below 0, whatever the metric.
    #[must_use]
    pub fn never_negative(self) -> bool {
        matches!(self, Self::Rate | Self::Count)
    }

    /// Tells the observations of one series apart in keys.
    #[must_use]
    pub fn salt(self) -> u64 {
        match self {
            Self::Value => 0,
            Self::Rate => 1,
            Self::Count => 2,
            Self::Mean => 3,
            Self::Quantile(quantile) => quantile.to_bits(),
        }
    }

    /// The word for it in tags and log lines.
    #[must_use]
    pub fn observation(self) -> Cow<'static, str> {
        match self {
            Self::Value => "value".into(),
            Self::Rate | Self::Count => "rate".into(),
            Self::Mean => "mean".into(),
            Self::Quantile(quantile) => format!("quantile {quantile}").into(),
        }
    }

    /// Put between the metric's name and the companion's suffix where one metric has several.
    #[must_use]
    pub fn infix(self) -> &'static str {
        match self {
            Self::Value | Self::Rate | Self::Quantile(_) => "",
            Self::Count => ".rate",
            Self::Mean => ".mean",
        }
    }
}

/// What must be remembered of the points before, by the way they are counted. Most series are gauges and
/// sums: what distributions need lies apart.
#[derive(Debug)]
pub enum Input {
    /// A value as it is.
    Gauge,
    /// A counter since its start.
    Cumulative(Rate),
    /// A counter since the point before.
    Delta(Rate),
    /// A histogram since its start.
    CumulativeDistribution(Box<(Distribution, Buckets)>),
    /// A histogram since the point before.
    DeltaDistribution(Box<Distribution>),
    /// A summary.
    Summary,
}

impl Input {
    /// For a series of which no point is known.
    #[must_use]
    pub fn new(kind: MetricKind) -> Self {
        use MetricKind::{ExponentialHistogram, Gauge, Histogram, Sum, Summary};
        match kind {
            Gauge => Self::Gauge,
            Sum {
                temporality: Temporality::Delta,
                ..
            } => Self::Delta(Rate::new()),
            Sum {
                monotonic: true, ..
            } => Self::Cumulative(Rate::new()),
            Sum {
                monotonic: false, ..
            } => Self::Gauge,
            Histogram { temporality } | ExponentialHistogram { temporality } => match temporality {
                Temporality::Delta => Self::DeltaDistribution(Box::default()),
                _ => Self::CumulativeDistribution(Box::default()),
            },
            Summary => Self::Summary,
        }
    }

    /// Reads a word of it.
    #[must_use]
    pub fn touch(&self) -> u64 {
        match self {
            Self::Cumulative(rate) | Self::Delta(rate) => rate.touch(),
            _ => 0,
        }
    }

    /// Bytes beside the structure itself.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::CumulativeDistribution(both) => {
                size_of::<(Distribution, Buckets)>() + both.1.previous.capacity() * 8
            }
            Self::DeltaDistribution(_) => size_of::<Distribution>(),
            Self::Gauge | Self::Cumulative(_) | Self::Delta(_) | Self::Summary => 0,
        }
    }

    /// Calls `see` for each observation the point gives; `quantiles` are those of histograms.
    pub fn observe(
        &mut self,
        point: &Point,
        time_ns: i64,
        quantiles: &[f64],
        mut see: impl FnMut(Role, f64),
    ) {
        let start_ns = i64::try_from(point.start_ns).unwrap_or(i64::MAX);
        let number = point.value.as_f64();
        match self {
            Self::Gauge => {
                if let Some(value) = number {
                    see(Role::Value, value);
                }
            }
            Self::Cumulative(rate) => {
                if let Some(rate) = number.and_then(|v| rate.cumulative(start_ns, time_ns, v)) {
                    see(Role::Rate, rate);
                }
            }
            Self::Delta(rate) => {
                if let Some(rate) = number.and_then(|v| rate.delta(start_ns, time_ns, v)) {
                    let monotonic = matches!(
                        point.series.metric().kind,
                        MetricKind::Sum {
                            monotonic: true,
                            ..
                        }
                    );
                    see(if monotonic { Role::Rate } else { Role::Value }, rate);
                }
            }
            Self::CumulativeDistribution(both) => {
                let (d, buckets) = &mut **both;
                let Some((count, sum)) = count_and_sum(&point.value) else {
                    return;
                };
                let increase = d.cumulative(start_ns, time_ns, count, sum);
                // a late point must not replace the buckets of the newest
                let newest = increase.is_some() || d.is_newest(time_ns);
                report(increase, &mut see);
                if !quantiles.is_empty() && newest {
                    buckets.observe(&point.value, increase.is_some(), quantiles, see);
                }
            }
            Self::DeltaDistribution(d) => {
                let Some((count, sum)) = count_and_sum(&point.value) else {
                    return;
                };
                let increase = d.delta(start_ns, time_ns, count, sum);
                report(increase, &mut see);
                if increase.is_some() {
                    for q in quantiles {
                        if let Some(value) = quantile(&point.value, *q) {
                            see(Role::Quantile(*q), value);
                        }
                    }
                }
            }
            Self::Summary => {
                if let PointValue::Summary(summary) = &point.value {
                    for (quantile, value) in summary.quantiles.iter().take(MAX_QUANTILES) {
                        see(Role::Quantile(*quantile), *value);
                    }
                }
            }
        }
    }
}

/// The buckets of the point before, flat; only kept when quantiles are asked for.
#[derive(Debug, Default)]
pub struct Buckets {
    /// Where the counts belong; counts of another layout cannot be compared.
    layout: [i32; 5],
    previous: Vec<u64>,
}

impl Buckets {
    /// More are not kept.
    const MOST: usize = 2048;

    fn observe(
        &mut self,
        value: &PointValue,
        comparable: bool,
        quantiles: &[f64],
        mut see: impl FnMut(Role, f64),
    ) {
        let (layout, counts) = flat(value);
        if counts.len() > Self::MOST {
            return;
        }
        let same = layout == self.layout;
        self.layout = layout;
        let mut added = Vec::new();
        let increased = bucket_increase(&counts, &mut self.previous, &mut added);
        if !(comparable && same && increased.is_some()) {
            return;
        }
        for q in quantiles {
            if let Some(found) = quantile_of(value, &layout, &added, *q) {
                see(Role::Quantile(*q), found);
            }
        }
    }

    /// Appends them to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for number in self.layout {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let count = u32::try_from(self.previous.len()).unwrap_or(0);
        out.extend_from_slice(&count.to_le_bytes());
        for number in self.previous.iter().take(count as usize) {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// Reads what [`Self::encode`] wrote, and what follows it; `None` for anything else.
    #[must_use]
    pub fn decode(mut bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut buckets = Self::default();
        for number in &mut buckets.layout {
            let (chunk, rest) = bytes.split_first_chunk::<4>()?;
            *number = i32::from_le_bytes(*chunk);
            bytes = rest;
        }
        let (count, mut bytes) = bytes.split_first_chunk::<4>()?;
        let count = u32::from_le_bytes(*count) as usize;
        if count > Self::MOST {
            return None;
        }
        for _ in 0..count {
            let (chunk, rest) = bytes.split_first_chunk::<8>()?;
            buckets.previous.push(u64::from_le_bytes(*chunk));
            bytes = rest;
        }
        Some((buckets, bytes))
    }
}

/// Layout and counts of a histogram: explicit buckets, or zero, positive and negative ones.
fn flat(value: &PointValue) -> ([i32; 5], Vec<u64>) {
    let length = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    match value {
        PointValue::Histogram(h) => (
            [i32::MAX, length(h.bucket_counts.len()), 0, 0, 0],
            h.bucket_counts.clone(),
        ),
        PointValue::ExponentialHistogram(h) => {
            let side = |side: &Option<weir_model::Buckets>| {
                side.as_ref()
                    .map_or((0, Vec::new()), |b| (b.offset, b.counts.clone()))
            };
            let ((positive, up), (negative, down)) = (side(&h.positive), side(&h.negative));
            let layout = [
                h.scale,
                positive,
                length(up.len()),
                negative,
                length(down.len()),
            ];
            let counts = std::iter::once(h.zero_count).chain(up).chain(down);
            (layout, counts.collect())
        }
        _ => ([0; 5], Vec::new()),
    }
}

/// The quantile of these counts in the buckets of `value`.
fn quantile_of(value: &PointValue, layout: &[i32; 5], counts: &[u64], q: f64) -> Option<f64> {
    if let PointValue::Histogram(h) = value {
        return explicit_quantile(&h.explicit_bounds, counts, q);
    }
    let [scale, positive, ups, negative, _] = *layout;
    let (zero, rest) = counts.split_first()?;
    let (up, down) = rest.split_at_checked(usize::try_from(ups).ok()?)?;
    let positive = ExponentialBuckets {
        offset: positive,
        counts: up,
    };
    let negative = ExponentialBuckets {
        offset: negative,
        counts: down,
    };
    exponential_quantile(scale, *zero, positive, negative, q)
}

/// The quantile of a point that stands for its own interval.
fn quantile(value: &PointValue, q: f64) -> Option<f64> {
    let (layout, counts) = flat(value);
    quantile_of(value, &layout, &counts, q)
}

fn report(increase: Option<Increase>, see: &mut impl FnMut(Role, f64)) {
    let Some(increase) = increase else { return };
    see(Role::Count, increase.rate);
    if let Some(mean) = increase.mean {
        see(Role::Mean, mean);
    }
}

fn count_and_sum(value: &PointValue) -> Option<(u64, Option<f64>)> {
    match value {
        PointValue::Histogram(h) => Some((h.count, h.sum)),
        PointValue::ExponentialHistogram(h) => Some((h.count, h.sum)),
        _ => None,
    }
}
