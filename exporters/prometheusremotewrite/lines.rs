//! What is computed once per series: the label sets of all lines its points give.

use std::sync::Arc;

use weir_model::{MetricKind, Point, PointValue, Series};
use weir_prom::float::push_plain;

use super::labels::{Described, Labels, Refused, Rules, encode, encode_all};
use super::sets::{LabelSets, Line};

/// A series' lines, and whose newest time they move on.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Place of the resource in [`super::targets::Targets`].
    pub(crate) target: u32,
    pub(crate) lines: Lines,
}

/// The lines of a series, by type.
#[derive(Debug)]
pub(crate) enum Lines {
    /// Its points are not sent.
    Refused(Refused),
    Number(NumberLine),
    Histogram(Box<HistogramLines>),
    Native(Line),
    Summary(Box<SummaryLines>),
}

#[derive(Debug)]
pub(crate) struct NumberLine {
    pub(crate) line: Line,
    /// Whether exemplars go with it.
    pub(crate) exemplars: bool,
    /// Whether it counts up from a start.
    pub(crate) cumulative: bool,
}

#[derive(Debug)]
pub(crate) struct HistogramLines {
    pub(crate) sum: Line,
    pub(crate) count: Line,
    /// One per bound.
    pub(crate) buckets: Vec<Line>,
    pub(crate) infinite: Line,
    /// The bounds of the point that was seen first; another point may have others.
    pub(crate) bounds: Vec<f64>,
}

#[derive(Debug)]
pub(crate) struct SummaryLines {
    pub(crate) sum: Line,
    pub(crate) count: Line,
    pub(crate) quantiles: Vec<(f64, Line)>,
}

/// Makes lines.
pub(crate) struct Maker<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) sets: &'a mut LabelSets,
}

impl Maker<'_> {
    /// The lines of a point's series. Bounds and quantiles are those of the point.
    pub(crate) fn lines(&mut self, point: &Point) -> Lines {
        self.try_lines(point).unwrap_or_else(Lines::Refused)
    }

    fn try_lines(&mut self, point: &Point) -> Result<Lines, Refused> {
        let series: &Series = &point.series;
        let metric = series.metric();
        let name = self.rules.name(metric)?;
        let mut family = Family {
            labels: self.rules.labels(series)?,
            name,
            described: self.rules.v2.then(|| Arc::new(self.rules.labels.described(metric))),
            sets: self.sets,
        };
        let v2 = self.rules.v2;
        Ok(match (metric.kind, &point.value) {
            (
                kind @ (MetricKind::Gauge | MetricKind::Sum { .. }),
                PointValue::Int(_) | PointValue::Double(_) | PointValue::Empty,
            ) => {
                let monotonic = matches!(kind, MetricKind::Sum { monotonic: true, .. });
                Lines::Number(NumberLine {
                    line: family.line("", None),
                    exemplars: v2 || monotonic,
                    cumulative: monotonic,
                })
            }
            (MetricKind::Histogram { .. }, PointValue::Histogram(h)) => {
                Lines::Histogram(Box::new(family.histogram(&h.explicit_bounds)))
            }
            (MetricKind::ExponentialHistogram { .. }, PointValue::ExponentialHistogram(_)) => {
                Lines::Native(family.line("", None))
            }
            (MetricKind::Summary, PointValue::Summary(s)) => {
                let quantiles: Vec<f64> = s.quantiles.iter().map(|(q, _)| *q).collect();
                Lines::Summary(Box::new(family.summary(&quantiles)))
            }
            _ => return Err(Refused::Value),
        })
    }

    /// The line of a resource's `target_info`, if it gets one.
    pub(crate) fn target_info(&mut self, resource: &weir_model::Resource) -> Option<Line> {
        let labels = self.rules.target_info(resource)?;
        let described = self.rules.v2.then(|| {
            Arc::new(Described {
                kind: weir_prom::exposition::MetricType::Gauge,
                unit: String::new(),
                help: "Target metadata".to_owned(),
            })
        });
        Some(self.sets.line(&encode_all(&labels), described.as_ref()))
    }
}

struct Family<'a> {
    labels: Labels,
    name: String,
    described: Option<Arc<Described>>,
    sets: &'a mut LabelSets,
}

impl Family<'_> {
    fn line(&mut self, suffix: &str, extra: Option<(&str, &str)>) -> Line {
        let encoded = encode(&self.labels, &format!("{}{suffix}", self.name), extra);
        self.sets.line(&encoded, self.described.as_ref())
    }

    fn histogram(&mut self, bounds: &[f64]) -> HistogramLines {
        let bucket = |bound: &f64| self.line("_bucket", Some(("le", &plain(*bound))));
        HistogramLines {
            buckets: bounds.iter().map(bucket).collect(),
            infinite: self.line("_bucket", Some(("le", "+Inf"))),
            sum: self.line("_sum", None),
            count: self.line("_count", None),
            bounds: bounds.to_vec(),
        }
    }

    fn summary(&mut self, quantiles: &[f64]) -> SummaryLines {
        let line = |q: &f64| (*q, self.line("", Some(("quantile", &plain(*q)))));
        SummaryLines {
            quantiles: quantiles.iter().map(line).collect(),
            sum: self.line("_sum", None),
            count: self.line("_count", None),
        }
    }
}

fn plain(value: f64) -> String {
    let mut text = String::new();
    push_plain(&mut text, value);
    text
}
