//! What every form of the page has in common: families one after the other, and at the end the
//! attributes of resources.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_model::{Exemplar, ExemplarValue, Histogram, PointValue};
use weir_prom::exposition::MetricType;

use super::accept::{Form, Format};
use super::protobuf::Protobuf;
use super::store::{Dropped, Family, Slot};
use super::text::Text;

/// Longest text of all labels of an exemplar, in characters (OpenMetrics 1.0, "Exemplars").
const EXEMPLAR_CHARS: usize = 128;

/// A page under construction.
pub(super) struct Page {
    body: Body,
    /// Name of the family that was begun last.
    family: String,
    targets: BTreeSet<Arc<str>>,
}

enum Body {
    Text(Text),
    Protobuf(Protobuf),
}

impl Page {
    pub(super) fn new(format: Format) -> Self {
        let body = match format.form {
            Form::Protobuf => Body::Protobuf(Protobuf::new(format)),
            _ => Body::Text(Text::new(format)),
        };
        Self { body, family: String::new(), targets: BTreeSet::new() }
    }

    /// The page, with the series that tell the attributes of resources.
    pub(super) fn finish(mut self, target_info: &Family) -> Vec<u8> {
        let targets = std::mem::take(&mut self.targets);
        if !targets.is_empty() {
            self.begin(target_info);
        }
        for labels in &targets {
            match &mut self.body {
                Body::Text(text) => text.target(target_info, labels),
                Body::Protobuf(protobuf) => protobuf.target(labels),
            }
        }
        match self.body {
            Body::Text(text) => text.finish(),
            Body::Protobuf(protobuf) => protobuf.finish(),
        }
    }

    /// Adds a series, if this form of the page can show it; those of a family have to come one
    /// after the other.
    pub(super) fn series(&mut self, family: &Family, slot: &Slot) -> Result<(), Dropped> {
        if let Some(target) = &slot.target {
            self.targets.insert(target.clone());
        }
        let native = match (&self.body, &slot.value) {
            (Body::Protobuf(_), PointValue::ExponentialHistogram(histogram)) => {
                Some(super::protobuf::native(histogram)?)
            }
            _ => None,
        };
        if family.names.quoted() != self.family {
            self.begin(family);
        }
        match &mut self.body {
            Body::Text(text) => text.series(family, slot),
            Body::Protobuf(protobuf) => protobuf.series(slot, native.as_ref()),
        }
        Ok(())
    }

    fn begin(&mut self, family: &Family) {
        family.names.quoted().clone_into(&mut self.family);
        match &mut self.body {
            Body::Text(text) => text.begin(family),
            Body::Protobuf(protobuf) => protobuf.begin(family),
        }
    }
}

/// The unit of a family, if its name ends with it, as readers want it to.
pub(super) fn unit<'a>(family: &'a Family, name: &str) -> &'a str {
    let counter = family.described.kind == MetricType::Counter;
    let name = if counter { name.strip_suffix("_total").unwrap_or(name) } else { name };
    let unit = family.described.unit.as_str();
    let named = name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'));
    if named { unit } else { "" }
}

/// The cumulative buckets of a histogram with their exemplars; the last one has no bound.
pub(super) fn buckets<'a>(
    histogram: &'a Histogram,
    exemplars: &'a [Exemplar],
) -> impl Iterator<Item = (f64, u64, Option<&'a Exemplar>)> {
    let (mut below, mut cumulative) = (f64::NEG_INFINITY, 0_u64);
    let bounded = histogram.explicit_bounds.iter().zip(&histogram.bucket_counts);
    let bounded = bounded.map(move |(bound, count)| {
        cumulative = cumulative.wrapping_add(*count);
        let above = std::mem::replace(&mut below, *bound);
        (*bound, cumulative, in_bucket(exemplars, above, *bound))
    });
    let bounds = histogram.explicit_bounds.len().min(histogram.bucket_counts.len());
    let last = bounds.checked_sub(1).and_then(|last| histogram.explicit_bounds.get(last));
    let above = last.copied().unwrap_or(f64::NEG_INFINITY);
    let rest = in_bucket(exemplars, above, f64::INFINITY);
    bounded.chain(std::iter::once((f64::INFINITY, histogram.count, rest)))
}

/// The last exemplar above one bound and not above the other.
fn in_bucket(exemplars: &[Exemplar], above: f64, bound: f64) -> Option<&Exemplar> {
    exemplars.iter().rev().find(|exemplar| {
        exemplar_value(exemplar).is_some_and(|value| value > above && value <= bound)
    })
}

fn exemplar_value(exemplar: &Exemplar) -> Option<f64> {
    match exemplar.value? {
        ExemplarValue::Int(value) => Some(value as f64),
        ExemplarValue::Double(value) => Some(value),
    }
}

/// An exemplar as it is shown.
pub(super) struct Shown {
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) value: f64,
}

impl Shown {
    /// `None` for one without a value or with labels that are too long.
    pub(super) fn of(exemplar: &Exemplar) -> Option<Self> {
        let mut labels = Vec::new();
        let mut chars = 0;
        for (name, id) in [("trace_id", &exemplar.trace_id), ("span_id", &exemplar.span_id)] {
            if id.iter().any(|byte| *byte != 0) {
                let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
                chars += name.len() + hex.len();
                labels.push((name, hex));
            }
        }
        let value = exemplar_value(exemplar)?;
        (chars <= EXEMPLAR_CHARS).then_some(Self { labels, value })
    }
}
