//! The page as length-delimited protobuf, the only form with native histograms.

use weir_model::{Exemplar, ExponentialHistogram, Histogram, PointValue};
use weir_prom::exposition::protobuf::{Family as Described, ProtoExemplar};
use weir_prom::write::{
    Families, HistogramFields, MetricHead, NativeHistogram, native_from_exponential, push_label,
};

use super::accept::Format;
use super::names::pairs;
use super::page::{Shown, buckets, unit};
use super::store::{Dropped, Family, Slot};

/// A page under construction.
pub(super) struct Protobuf {
    format: Format,
    families: Families,
    /// The encoded labels of a series.
    labels: Vec<u8>,
}

/// The native form of a histogram. One that contradicts itself would make Prometheus refuse the
/// whole page.
pub(super) fn native(histogram: &ExponentialHistogram) -> Result<NativeHistogram, Dropped> {
    let native = native_from_exponential(histogram).map_err(|_| Dropped::Scale)?;
    let sides = [&histogram.positive, &histogram.negative].into_iter().flatten();
    let mut counts = sides.flat_map(|side| &side.counts);
    let total = counts.try_fold(histogram.zero_count, |sum, count| sum.checked_add(*count));
    // Observations that are no number are in no bucket.
    let fits = |total: u64| match native.sum.is_nan() {
        true => total <= native.count,
        false => total == native.count,
    };
    let whole = total.is_some_and(fits) && i64::try_from(native.count).is_ok();
    if whole { Ok(native) } else { Err(Dropped::Counts) }
}

impl Protobuf {
    pub(super) fn new(format: Format) -> Self {
        Self { format, families: Families::default(), labels: Vec::new() }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.families.finish()
    }

    pub(super) fn begin(&mut self, family: &Family) {
        let (name, _) = family.names.shown(self.format.quoted);
        let unit = unit(family, name);
        self.families.begin(&Described {
            name,
            help: &family.described.help,
            unit,
            kind: family.described.kind,
        });
    }

    /// A series that tells the attributes of a resource.
    pub(super) fn target(&mut self, labels: &str) {
        self.encode(labels);
        let head = MetricHead { labels: &self.labels, timestamp_ms: None };
        self.families.number(head, 1.0, None, 0);
    }

    pub(super) fn series(&mut self, slot: &Slot, native: Option<&NativeHistogram>) {
        self.encode(slot.labels(self.format.quoted));
        let timed = self.format.timestamps && slot.time_ns > 0;
        let head = MetricHead {
            labels: &self.labels,
            timestamp_ms: timed.then_some(slot.time_ns / 1_000_000),
        };
        let (families, exemplars) = (&mut self.families, slot.exemplars.as_slice());
        match (&slot.value, native) {
            (_, Some(native)) => families.histogram(head, |fields| {
                fields.native(native);
                fields.created(slot.start_ns);
                for exemplar in exemplars.iter().filter(|exemplar| exemplar.time_ns > 0) {
                    with(Some(exemplar), |exemplar| {
                        if let Some(exemplar) = exemplar {
                            fields.exemplar(exemplar);
                        }
                    });
                }
            }),
            (PointValue::Histogram(histogram), _) => families.histogram(head, |fields| {
                classic(fields, histogram, exemplars);
                fields.created(slot.start_ns);
            }),
            (PointValue::Summary(summary), _) => {
                let (count, sum) = (summary.count, summary.sum);
                families.summary(head, count, sum, &summary.quantiles, slot.start_ns);
            }
            (value, _) => with(exemplars.last(), |exemplar| {
                let value = value.as_f64().unwrap_or(0.0);
                families.number(head, value, exemplar, slot.start_ns);
            }),
        }
    }

    fn encode(&mut self, labels: &str) {
        self.labels.clear();
        pairs(labels, |name, value| push_label(&mut self.labels, name, value));
    }
}

/// The bucket without a bound goes without saying, unless it has an exemplar.
fn classic(fields: &mut HistogramFields<'_>, histogram: &Histogram, exemplars: &[Exemplar]) {
    fields.total(histogram.count, histogram.sum.unwrap_or(0.0));
    let mut unbounded = false;
    for (bound, count, exemplar) in buckets(histogram, exemplars) {
        with(exemplar, |exemplar| {
            if bound < f64::INFINITY || (exemplar.is_some() && !unbounded) {
                fields.bucket(count, bound, exemplar);
                unbounded = bound == f64::INFINITY;
            }
        });
    }
}

/// Calls `write` with what is shown of an exemplar.
fn with(exemplar: Option<&Exemplar>, write: impl FnOnce(Option<&ProtoExemplar<'_>>)) {
    let shown = exemplar.and_then(|exemplar| Some((exemplar.time_ns, Shown::of(exemplar)?)));
    let Some((time_ns, shown)) = &shown else { return write(None) };
    let time_ms = i64::try_from(time_ns / 1_000_000).unwrap_or(i64::MAX);
    write(Some(&ProtoExemplar {
        labels: shown.labels.iter().map(|(name, value)| (*name, value.as_str())).collect(),
        value: shown.value,
        timestamp_ms: (*time_ns > 0).then_some(time_ms),
    }));
}
