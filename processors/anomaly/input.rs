//! From data points to observations: one or a few numbers per point.

use weir_detect::histogram::{Distribution, Increase};
use std::borrow::Cow;

use weir_detect::Rate;
use weir_model::{MetricKind, Point, PointValue, Temporality};

/// Quantiles of a summary that are judged, at most.
const MAX_QUANTILES: usize = 8;

/// What an observation of a series stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Role {
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
    pub(super) fn never_negative(self) -> bool {
        matches!(self, Self::Rate | Self::Count)
    }

    /// The word for it in tags and log lines.
    pub(super) fn observation(self) -> Cow<'static, str> {
        match self {
            Self::Value => "value".into(),
            Self::Rate | Self::Count => "rate".into(),
            Self::Mean => "mean".into(),
            Self::Quantile(quantile) => format!("quantile {quantile}").into(),
        }
    }

    /// Put between the metric's name and the companion's suffix where one metric has several.
    pub(super) fn infix(self) -> &'static str {
        match self {
            Self::Value | Self::Rate | Self::Quantile(_) => "",
            Self::Count => ".rate",
            Self::Mean => ".mean",
        }
    }
}

/// What must be remembered of the points before, by the way they are counted.
#[derive(Debug)]
pub(super) enum Input {
    Gauge,
    Cumulative(Rate),
    Delta(Rate),
    CumulativeDistribution(Distribution),
    DeltaDistribution(Distribution),
    Summary,
}

impl Input {
    pub(super) fn new(kind: MetricKind) -> Self {
        use MetricKind::{ExponentialHistogram, Gauge, Histogram, Sum, Summary};
        match kind {
            Gauge => Self::Gauge,
            Sum { temporality: Temporality::Delta, .. } => Self::Delta(Rate::new()),
            Sum { monotonic: true, .. } => Self::Cumulative(Rate::new()),
            Sum { monotonic: false, .. } => Self::Gauge,
            Histogram { temporality } | ExponentialHistogram { temporality } => match temporality {
                Temporality::Delta => Self::DeltaDistribution(Distribution::new()),
                _ => Self::CumulativeDistribution(Distribution::new()),
            },
            Summary => Self::Summary,
        }
    }

    /// Calls `see` for each observation the point gives, at most [`MAX_QUANTILES`].
    pub(super) fn observe(&mut self, point: &Point, time_ns: i64, mut see: impl FnMut(Role, f64)) {
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
                        MetricKind::Sum { monotonic: true, .. }
                    );
                    see(if monotonic { Role::Rate } else { Role::Value }, rate);
                }
            }
            Self::CumulativeDistribution(d) => {
                if let Some((count, sum)) = count_and_sum(&point.value) {
                    report(d.cumulative(start_ns, time_ns, count, sum), see);
                }
            }
            Self::DeltaDistribution(d) => {
                if let Some((count, sum)) = count_and_sum(&point.value) {
                    report(d.delta(start_ns, time_ns, count, sum), see);
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

fn report(increase: Option<Increase>, mut see: impl FnMut(Role, f64)) {
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
