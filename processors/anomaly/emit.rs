//! Findings on their way out: companion series, tags, log lines.

use std::sync::atomic::{AtomicU64, Ordering};

use weir_detect::{Kind, Outside, Verdict};
use weir_model::point::FLAG_NO_RECORDED_VALUE;
use weir_model::{Metrics, Point, PointValue, Value};

use super::series::Companions;

/// Log lines per second, at most; the rest is counted.
const LINES_PER_SECOND: u64 = 20;

/// A tag on a point.
pub(super) type Tag = (&'static str, Value);

/// What one batch gives rise to.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Points of companion series.
    pub(super) companions: Vec<Point>,
    /// Tags by the place of their point in the batch, ascending.
    pub(super) tags: Vec<(usize, Vec<Tag>)>,
}

impl Findings {
    /// Puts them into the batch. A batch that gets no tags keeps its bytes.
    pub(super) fn apply(self, metrics: &mut Metrics) {
        if !self.tags.is_empty() {
            let mut points = metrics.points_mut();
            for (at, tags) in self.tags {
                if let Some(point) = points.get_mut(at) {
                    point.extras.get_or_insert_default().tags.extend(tags);
                }
            }
        }
        if !self.companions.is_empty() {
            metrics.append(Metrics::from_points(self.companions));
        }
    }

    /// The companions' points for one verdict.
    pub(super) fn companion(&mut self, to: &Companions, v: &Verdict, time_ns: u64) {
        let mut gauge = |series, value| {
            self.companions.push(Point::new(series, 0, time_ns, PointValue::Double(value)));
        };
        gauge(std::sync::Arc::clone(&to.score), v.score);
        gauge(std::sync::Arc::clone(&to.state), state_code(v));
        if let Some((lower, upper)) = &to.bands {
            gauge(lower.clone(), v.lower);
            gauge(upper.clone(), v.upper);
        }
    }

    /// A staleness marker ends the companions as well.
    pub(super) fn stale(&mut self, to: &Companions, time_ns: u64) {
        let bands = to.bands.iter().flat_map(|(lower, upper)| [lower, upper]);
        for series in [&to.score, &to.state].into_iter().chain(bands) {
            let mut point = Point::new(series.clone(), 0, time_ns, PointValue::Empty);
            point.flags = FLAG_NO_RECORDED_VALUE;
            self.companions.push(point);
        }
    }

    /// Tags for one verdict. A point with several observations (rate and mean of a histogram)
    /// keeps those of the worst.
    pub(super) fn tag(&mut self, at: usize, v: &Verdict, observation: &str, score_before: f64) {
        if let Some((last, tags)) = self.tags.last_mut()
            && *last == at
        {
            if v.score > score_before {
                *tags = tags_of(v, observation);
            }
            return;
        }
        self.tags.push((at, tags_of(v, observation)));
    }
}

/// The value of a `.state` companion: not 0 only in an alarm, 2 flat, 1 above, -1 below.
pub(super) fn state_code(v: &Verdict) -> f64 {
    match direction(v) {
        _ if !v.in_alarm => 0.0,
        "flat" => 2.0,
        "above" => 1.0,
        _ => -1.0,
    }
}

/// `flat`, or the side of the forecast.
pub(super) fn direction(v: &Verdict) -> &'static str {
    match v.outside {
        _ if v.in_alarm && v.kind == Some(Kind::Flat) => "flat",
        Outside::Inside if v.value >= v.center => "above",
        Outside::Inside => "below",
        side => side.as_str(),
    }
}

fn tags_of(v: &Verdict, observation: &str) -> Vec<Tag> {
    let mut tags = vec![
        ("anomaly.detected", Value::Bool(v.in_alarm)),
        ("anomaly.score", Value::Double(v.score)),
        ("anomaly.lower", Value::Double(v.lower)),
        ("anomaly.upper", Value::Double(v.upper)),
        ("anomaly.observation", Value::from(observation)),
        ("anomaly.ready", Value::from(v.ready.as_str())),
    ];
    if v.in_alarm || v.outside != Outside::Inside {
        tags.push(("anomaly.direction", Value::from(direction(v))));
    }
    if let (true, Some(kind)) = (v.in_alarm, v.kind) {
        tags.push(("anomaly.kind", Value::from(kind.as_str())));
    }
    tags
}

/// Lets a bounded number of lines per second pass.
#[derive(Debug, Default)]
pub(super) struct LineLimit {
    /// The second now counted.
    second: AtomicU64,
    lines: AtomicU64,
    suppressed: AtomicU64,
}

impl LineLimit {
    /// The number of lines suppressed since the last one that passed; `None` when this one may
    /// not pass either.
    pub(super) fn pass(&self, now_s: u64) -> Option<u64> {
        if self.second.swap(now_s, Ordering::Relaxed) != now_s {
            self.lines.store(0, Ordering::Relaxed);
        }
        if self.lines.fetch_add(1, Ordering::Relaxed) < LINES_PER_SECOND {
            return Some(self.suppressed.swap(0, Ordering::Relaxed));
        }
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_beyond_the_limit_are_counted_and_told_later() {
        let limit = LineLimit::default();
        let passed = (0..100).filter(|_| limit.pass(5).is_some()).count();
        assert_eq!(passed, 20);
        assert_eq!(limit.pass(6), Some(80));
        assert_eq!(limit.pass(6), Some(0));
    }
}
