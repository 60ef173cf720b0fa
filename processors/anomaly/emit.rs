//! Findings on their way out: companion series, tags, log lines.

use std::sync::atomic::{AtomicU64, Ordering};

use weir_detect::{Kind, Outside, Verdict};
use weir_model::point::FLAG_NO_RECORDED_VALUE;
use weir_model::{Metrics, Point, PointValue, Value};

use super::config::ThresholdConfig;
use super::series::Companions;

/// Log lines per second, at most; the rest is counted.
const LINES_PER_SECOND: u64 = 20;

/// A tag on a point.
pub(super) type Tag = (&'static str, Value);

/// What band and fixed limit together say about one observation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    /// Kind of the alarm that is on or ends, `threshold` for a fixed limit, or empty.
    pub(super) kind: &'static str,
}

impl Finding {
    /// Without a fixed limit.
    pub(super) fn new(verdict: Verdict) -> Self {
        Self { verdict, kind: verdict.kind.map_or("", Kind::as_str) }
    }

    /// Adds what a fixed limit says. `breaches` counts samples beyond in a row, `samples` of which
    /// make an alarm.
    pub(super) fn limit(&mut self, rule: &ThresholdConfig, breaches: &mut u8) {
        let v = &mut self.verdict;
        if v.value.is_nan() {
            return;
        }
        let was_on = *breaches >= rule.samples;
        let above = rule.above.is_some_and(|limit| v.value > limit);
        let below = rule.below.is_some_and(|limit| v.value < limit);
        *breaches = if above || below { breaches.saturating_add(1) } else { 0 };
        let on = *breaches >= rule.samples;
        if !on && !was_on {
            return;
        }
        let band_on = v.in_alarm;
        let band_was_on = (band_on && !v.alarm_started) || v.alarm_ended;
        v.alarm_started = (on || band_on) && !(was_on || band_was_on);
        v.alarm_ended = (was_on || band_was_on) && !(on || band_on);
        v.in_alarm = on || band_on;
        if !v.judged {
            v.judged = true;
            v.center = v.value;
            v.lower = rule.below.unwrap_or(v.value);
            v.upper = rule.above.unwrap_or(v.value);
        }
        if on {
            v.score = v.score.max(0.5);
            v.outside = if above { Outside::Above } else { Outside::Below };
        }
        if on || !band_on {
            self.kind = "threshold";
        }
    }
}

/// What one batch gives rise to.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Points of companion series.
    pub(super) companions: Vec<Point>,
    /// Tags by the place of their point in the batch.
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
    pub(super) fn companion(&mut self, to: &Companions, f: &Finding, time_ns: u64) {
        let v = &f.verdict;
        let mut gauge = |series, value| {
            self.companions.push(Point::new(series, 0, time_ns, PointValue::Double(value)));
        };
        gauge(std::sync::Arc::clone(&to.score), v.score);
        gauge(std::sync::Arc::clone(&to.state), state_code(f));
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
    pub(super) fn tag(&mut self, at: usize, f: &Finding, observation: &str, score_before: f64) {
        if let Some((last, tags)) = self.tags.last_mut()
            && *last == at
        {
            if f.verdict.score > score_before {
                *tags = tags_of(f, observation);
            }
            return;
        }
        self.tags.push((at, tags_of(f, observation)));
    }
}

/// The value of a `.state` companion: not 0 only in an alarm, 2 flat, 1 above, -1 below.
pub(super) fn state_code(f: &Finding) -> f64 {
    match direction(f) {
        _ if !f.verdict.in_alarm => 0.0,
        "flat" => 2.0,
        "above" => 1.0,
        _ => -1.0,
    }
}

/// `flat`, or the side of the forecast.
pub(super) fn direction(f: &Finding) -> &'static str {
    let v = &f.verdict;
    match v.outside {
        _ if v.in_alarm && f.kind == Kind::Flat.as_str() => "flat",
        Outside::Inside if v.value >= v.center => "above",
        Outside::Inside => "below",
        side => side.as_str(),
    }
}

fn tags_of(f: &Finding, observation: &str) -> Vec<Tag> {
    let v = &f.verdict;
    let mut tags = vec![
        ("anomaly.detected", Value::Bool(v.in_alarm)),
        ("anomaly.score", Value::Double(v.score)),
        ("anomaly.lower", Value::Double(v.lower)),
        ("anomaly.upper", Value::Double(v.upper)),
        ("anomaly.observation", Value::from(observation)),
        ("anomaly.ready", Value::from(v.ready.as_str())),
    ];
    if v.in_alarm || v.outside != Outside::Inside {
        tags.push(("anomaly.direction", Value::from(direction(f))));
    }
    if v.in_alarm && !f.kind.is_empty() {
        tags.push(("anomaly.kind", Value::from(f.kind)));
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
