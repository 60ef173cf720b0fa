//! From OTLP points to observations: one or a few numbers per point, as in the stream.

use weir_detect::Rate;
use weir_detect::histogram::{Distribution, Increase};
use weir_model::{MetricKind, Point, PointValue, Temporality};

/// Quantiles of a summary that are judged, at most.
const MAX_QUANTILES: usize = 8;

/// What an observation of a series stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Role {
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
    pub(crate) fn never_negative(self) -> bool {
        matches!(self, Self::Rate | Self::Count)
    }

    /// Behind the name of the metric.
    pub(crate) fn suffix(self) -> String {
        match self {
            Self::Value => String::new(),
            Self::Rate | Self::Count => " rate".to_owned(),
            Self::Mean => " mean".to_owned(),
            Self::Quantile(quantile) => format!(" q{quantile}"),
        }
    }

    /// Tells the observations of one series apart.
    pub(crate) fn index(self) -> u64 {
        match self {
            Self::Value => 0,
            Self::Rate => 1,
            Self::Count => 2,
            Self::Mean => 3,
            Self::Quantile(quantile) => quantile.to_bits() | 1 << 63,
        }
    }
}

/// What must be remembered of the points before, by the way they are counted.
#[derive(Debug)]
pub(crate) enum Counting {
    Gauge,
    Cumulative(Rate),
    Delta(Rate),
    CumulativeDistribution(Distribution),
    DeltaDistribution(Distribution),
    Summary,
}

impl Counting {
    pub(crate) fn new(kind: MetricKind) -> Self {
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
                Temporality::Delta => Self::DeltaDistribution(Distribution::new()),
                _ => Self::CumulativeDistribution(Distribution::new()),
            },
            Summary => Self::Summary,
        }
    }

    /// The observations of a point.
    pub(crate) fn observe(&mut self, point: &Point, time_ns: i64) -> Vec<(Role, f64)> {
        let start_ns = i64::try_from(point.start_ns).unwrap_or(i64::MAX);
        let number = point.value.as_f64();
        let one = |role: Role, value: Option<f64>| value.map(|v| (role, v)).into_iter().collect();
        match self {
            Self::Gauge => one(Role::Value, number),
            Self::Cumulative(rate) => {
                let rate = number.and_then(|v| rate.cumulative(start_ns, time_ns, v));
                one(Role::Rate, rate)
            }
            Self::Delta(rate) => {
                let kind = point.series.metric().kind;
                let monotonic = matches!(
                    kind,
                    MetricKind::Sum {
                        monotonic: true,
                        ..
                    }
                );
                let role = if monotonic { Role::Rate } else { Role::Value };
                one(role, number.and_then(|v| rate.delta(start_ns, time_ns, v)))
            }
            Self::CumulativeDistribution(d) => {
                let increase = count_and_sum(&point.value)
                    .and_then(|(count, sum)| d.cumulative(start_ns, time_ns, count, sum));
                distribution(increase)
            }
            Self::DeltaDistribution(d) => {
                let increase = count_and_sum(&point.value)
                    .and_then(|(count, sum)| d.delta(start_ns, time_ns, count, sum));
                distribution(increase)
            }
            Self::Summary => match &point.value {
                PointValue::Summary(summary) => {
                    let quantiles = summary.quantiles.iter().take(MAX_QUANTILES);
                    quantiles
                        .map(|(quantile, value)| (Role::Quantile(*quantile), *value))
                        .collect()
                }
                _ => Vec::new(),
            },
        }
    }
}

fn distribution(increase: Option<Increase>) -> Vec<(Role, f64)> {
    let Some(increase) = increase else {
        return Vec::new();
    };
    let mean = increase.mean.map(|mean| (Role::Mean, mean));
    std::iter::once((Role::Count, increase.rate))
        .chain(mean)
        .collect()
}

fn count_and_sum(value: &PointValue) -> Option<(u64, Option<f64>)> {
    match value {
        PointValue::Histogram(h) => Some((h.count, h.sum)),
        PointValue::ExponentialHistogram(h) => Some((h.count, h.sum)),
        _ => None,
    }
}

/// A name for a file from any text: letters, digits, `.`, `_` and `-`, and a hash of the text, so
/// that no two are the same.
pub(crate) fn slug(text: &str) -> String {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    hasher.write(text.as_bytes());
    let mut name = String::new();
    for c in text.chars() {
        if name.len() >= 80 {
            break;
        }
        if c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.' && !name.is_empty() {
            name.push(c);
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    format!(
        "{}-{:08x}",
        name.trim_end_matches('_'),
        hasher.finish() as u32
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_plain_and_differ() {
        let a = slug("../../etc{a=\"/\"}");
        assert!(
            a.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
            "{a}"
        );
        assert!(!a.starts_with('.'));
        assert_ne!(slug("a b"), slug("a_b"));
        assert!(slug(&"x".repeat(500)).len() < 100);
    }
}
