//! What is computed once per series: the label sets of all lines its points give.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use weir_model::{MetricKind, Point, PointValue, Series};
use weir_prom::float::push_plain;

use super::labels::{Described, Labels, Refused, Rules, borrowed, named};
use super::sets::{LabelSets, MOST_SETS};

/// What the exporter keeps for a series: four bytes, as there may be millions. Kind in the lowest
/// two bits, number above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(NonZeroU32);

/// The lines of a series, by type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lines {
    /// Its points are not sent.
    Refused(Refused),
    /// The label set of a number.
    Number(u32),
    /// The label set of a native histogram.
    Native(u32),
    /// Place in [`Complexes`].
    Complex(u32),
}

impl Entry {
    const KIND_BITS: u32 = 2;

    pub(crate) fn new(lines: Lines) -> Self {
        let (kind, number) = match lines {
            Lines::Number(id) => (1, id),
            Lines::Native(id) => (2, id),
            Lines::Complex(place) => (3, place),
            Lines::Refused(why) => (0, why as u32 + 1),
        };
        let packed = NonZeroU32::new(number << Self::KIND_BITS | kind);
        // Numbers are below MOST_SETS, so that nothing is shifted out and this is never needed.
        Self(packed.unwrap_or(NonZeroU32::MAX))
    }

    #[inline]
    pub(crate) fn lines(self) -> Lines {
        let number = self.0.get() >> Self::KIND_BITS;
        match self.0.get() & ((1 << Self::KIND_BITS) - 1) {
            1 => Lines::Number(number),
            2 => Lines::Native(number),
            3 => Lines::Complex(number),
            _ => Lines::Refused(Refused::of(number.wrapping_sub(1))),
        }
    }
}

/// Lines of histograms and summaries.
#[derive(Debug)]
pub(crate) enum Complex {
    Histogram(HistogramLines),
    Summary(SummaryLines),
}

/// Label sets by number.
#[derive(Debug)]
pub(crate) struct HistogramLines {
    pub(crate) sum: u32,
    pub(crate) count: u32,
    pub(crate) infinite: u32,
    /// One per bound.
    pub(crate) buckets: Box<[u32]>,
    /// The bounds of the point that was seen first; another point may have others.
    pub(crate) bounds: Arc<[f64]>,
}

/// Label sets by number.
#[derive(Debug)]
pub(crate) struct SummaryLines {
    pub(crate) sum: u32,
    pub(crate) count: u32,
    pub(crate) quantiles: Box<[(f64, u32)]>,
}

impl Complex {
    /// Whether bounds and quantiles are those of the lines.
    pub(crate) fn fit(&self, value: &PointValue) -> bool {
        match (self, value) {
            (Self::Histogram(lines), PointValue::Histogram(h)) => *lines.bounds == *h.explicit_bounds,
            (Self::Summary(lines), PointValue::Summary(s)) => {
                lines.quantiles.len() == s.quantiles.len()
                    && lines.quantiles.iter().zip(&s.quantiles).all(|(a, b)| a.0 == b.0)
            }
            _ => true,
        }
    }

    fn for_each(&self, mut f: impl FnMut(u32)) {
        match self {
            Self::Histogram(lines) => {
                lines.buckets.iter().copied().for_each(&mut f);
                [lines.sum, lines.count, lines.infinite].into_iter().for_each(f);
            }
            Self::Summary(lines) => {
                lines.quantiles.iter().for_each(|(_, id)| f(*id));
                [lines.sum, lines.count].into_iter().for_each(f);
            }
        }
    }
}

/// The lines of histograms and summaries by place.
#[derive(Debug, Default)]
pub(crate) struct Complexes {
    lines: Vec<Option<Complex>>,
    free: Vec<u32>,
    /// Bounds of the histogram that came last: the next one mostly has the same.
    bounds: Option<Arc<[f64]>>,
}

impl Complexes {
    #[inline]
    pub(crate) fn get(&self, place: u32) -> Option<&Complex> {
        self.lines.get(place as usize)?.as_ref()
    }

    /// The place of lines; `None` when there is none left.
    fn add(&mut self, lines: Complex) -> Option<u32> {
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                let place = u32::try_from(self.lines.len()).ok().filter(|at| *at < MOST_SETS)?;
                self.lines.push(None);
                place
            }
        };
        *self.lines.get_mut(place as usize)? = Some(lines);
        Some(place)
    }

    fn take(&mut self, place: u32) -> Option<Complex> {
        let taken = self.lines.get_mut(place as usize)?.take()?;
        self.free.push(place);
        Some(taken)
    }

    /// Frees the places that none of these entries has.
    pub(crate) fn sweep(&mut self, entries: impl Iterator<Item = Entry>) {
        let mut used = vec![false; self.lines.len()];
        for entry in entries {
            if let Lines::Complex(place) = entry.lines()
                && let Some(used) = used.get_mut(place as usize)
            {
                *used = true;
            }
        }
        for (place, _) in (0_u32..).zip(used).filter(|(_, used)| !used) {
            drop(self.take(place));
        }
    }

    /// The numbers of all label sets of histograms and summaries.
    pub(crate) fn for_each(&self, mut f: impl FnMut(u32)) {
        self.lines.iter().flatten().for_each(|lines| lines.for_each(&mut f));
    }

    fn shared(&mut self, bounds: &[f64]) -> Arc<[f64]> {
        match &self.bounds {
            Some(known) if **known == *bounds => known.clone(),
            _ => self.bounds.insert(bounds.into()).clone(),
        }
    }
}

/// Makes lines.
pub(crate) struct Maker<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) sets: &'a mut LabelSets,
    pub(crate) complexes: &'a mut Complexes,
}

impl Maker<'_> {
    /// The lines of a point's series. Bounds and quantiles are those of the point.
    pub(crate) fn lines(&mut self, point: &Point) -> Entry {
        Entry::new(self.try_lines(point).unwrap_or_else(Lines::Refused))
    }

    fn try_lines(&mut self, point: &Point) -> Result<Lines, Refused> {
        let series: &Series = &point.series;
        let metric = series.metric();
        let name = self.rules.name(metric)?;
        let mut family = Family {
            labels: self.rules.labels(series)?,
            name,
            described: self.rules.v2.then(|| self.rules.labels.described(metric)),
            sets: self.sets,
        };
        let complex = match (metric.kind, &point.value) {
            (
                MetricKind::Gauge | MetricKind::Sum { .. },
                PointValue::Int(_) | PointValue::Double(_) | PointValue::Empty,
            ) => return Ok(Lines::Number(family.line("", None)?)),
            (MetricKind::ExponentialHistogram { .. }, PointValue::ExponentialHistogram(_)) => {
                return Ok(Lines::Native(family.line("", None)?));
            }
            (MetricKind::Histogram { .. }, PointValue::Histogram(h)) => {
                let bounds = self.complexes.shared(&h.explicit_bounds);
                Complex::Histogram(family.histogram(bounds)?)
            }
            (MetricKind::Summary, PointValue::Summary(s)) => {
                let quantiles: Vec<f64> = s.quantiles.iter().map(|(q, _)| *q).collect();
                Complex::Summary(family.summary(&quantiles)?)
            }
            _ => return Err(Refused::Value),
        };
        self.complexes.add(complex).map(Lines::Complex).ok_or(Refused::Full)
    }

    /// Gives back what an entry has that nothing else knows of.
    pub(crate) fn release(&mut self, entry: Entry) {
        match entry.lines() {
            Lines::Refused(_) => {}
            Lines::Number(id) | Lines::Native(id) => self.sets.release(id),
            Lines::Complex(place) => {
                if let Some(lines) = self.complexes.take(place) {
                    lines.for_each(|id| self.sets.release(id));
                }
            }
        }
    }

    /// The label set of a resource's `target_info`, if it gets one.
    pub(crate) fn target_info(&mut self, resource: &weir_model::Resource) -> Option<u32> {
        let labels = self.rules.target_info(resource)?;
        let described = self.rules.v2.then(|| Described {
            kind: weir_prom::exposition::MetricType::Gauge,
            unit: String::new(),
            help: "Target metadata".to_owned(),
        });
        self.sets.number(&borrowed(&labels), described.as_ref()).ok()
    }
}

struct Family<'a> {
    labels: Labels,
    name: String,
    described: Option<Described>,
    sets: &'a mut LabelSets,
}

impl Family<'_> {
    fn line(&mut self, suffix: &str, extra: Option<(&str, &str)>) -> Result<u32, Refused> {
        let name = format!("{}{suffix}", self.name);
        let labels: BTreeMap<&str, &str> = named(&self.labels, &name, extra);
        Ok(self.sets.number(&labels, self.described.as_ref())?)
    }

    fn histogram(&mut self, bounds: Arc<[f64]>) -> Result<HistogramLines, Refused> {
        let bucket = |bound: &f64| self.line("_bucket", Some(("le", &plain(*bound))));
        Ok(HistogramLines {
            buckets: bounds.iter().map(bucket).collect::<Result<_, _>>()?,
            infinite: self.line("_bucket", Some(("le", "+Inf")))?,
            sum: self.line("_sum", None)?,
            count: self.line("_count", None)?,
            bounds,
        })
    }

    fn summary(&mut self, quantiles: &[f64]) -> Result<SummaryLines, Refused> {
        let line = |q: &f64| Ok((*q, self.line("", Some(("quantile", &plain(*q))))?));
        Ok(SummaryLines {
            quantiles: quantiles.iter().map(line).collect::<Result<_, Refused>>()?,
            sum: self.line("_sum", None)?,
            count: self.line("_count", None)?,
        })
    }
}

fn plain(value: f64) -> String {
    let mut text = String::new();
    push_plain(&mut text, value);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory goal per series rests on it.
    #[test]
    fn an_entry_has_four_bytes_and_gives_back_what_it_was_made_of() {
        assert_eq!(size_of::<Option<Entry>>(), 4);
        let refused = Refused::ALL.map(Lines::Refused);
        let numbers = [0, 1, 77, MOST_SETS - 1];
        let others = numbers.map(|n| [Lines::Number(n), Lines::Native(n), Lines::Complex(n)]);
        for lines in refused.into_iter().chain(others.into_iter().flatten()) {
            assert_eq!(Entry::new(lines).lines(), lines);
        }
    }
}
