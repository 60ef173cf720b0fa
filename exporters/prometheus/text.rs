//! The text of the page: the Prometheus text format and OpenMetrics 1.0.

use std::fmt::Write as _;

use weir_model::{Exemplar, ExponentialHistogram, Histogram, PointValue, Summary};
use weir_prom::exposition::MetricType;
use weir_prom::float::{open_metrics, push_plain};

use super::accept::Format;
use super::names::{push_escaped, push_label};
use super::page::{Shown, buckets, unit};
use super::store::{Family, Slot};

/// A page under construction.
pub(super) struct Text {
    format: Format,
    out: String,
}

impl Text {
    pub(super) fn new(format: Format) -> Self {
        Self { format, out: String::new() }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.format.is_open_metrics() {
            self.out.push_str("# EOF\n");
        }
        self.out.into_bytes()
    }

    /// A series that tells the attributes of a resource.
    pub(super) fn target(&mut self, family: &Family, labels: &str) {
        self.sample(&Sample { labels, value: 1.0, ..Sample::of(family) });
    }

    pub(super) fn series(&mut self, family: &Family, slot: &Slot) {
        let sample = Sample {
            labels: slot.labels(self.format.quoted),
            time_ns: slot.time_ns,
            ..Sample::of(family)
        };
        match &slot.value {
            PointValue::Histogram(histogram) => self.histogram(&sample, histogram, &slot.exemplars),
            PointValue::ExponentialHistogram(histogram) => {
                self.exponential(&sample, histogram, &slot.exemplars);
            }
            PointValue::Summary(summary) => self.summary(&sample, summary),
            value => {
                let counter = family.described.kind == MetricType::Counter;
                let exemplar = slot.exemplars.last().filter(|_| counter);
                let value = value.as_f64().unwrap_or(0.0);
                self.sample(&Sample { value, exemplar, ..sample });
            }
        }
    }

    pub(super) fn begin(&mut self, family: &Family) {
        let (name, quoted) = family.names.shown(self.format.quoted);
        let open = self.format.is_open_metrics();
        let counter = family.described.kind == MetricType::Counter;
        // In OpenMetrics a counter's name ends before `_total`.
        let name = if open && counter { name.strip_suffix("_total").unwrap_or(name) } else { name };
        let kind = match (family.described.kind, open) {
            (MetricType::Counter, _) => "counter",
            (MetricType::Histogram | MetricType::GaugeHistogram, _) => "histogram",
            (MetricType::Summary, _) => "summary",
            (MetricType::Unknown, true) => "unknown",
            (MetricType::Unknown, false) => "untyped",
            (MetricType::Gauge | MetricType::Info | MetricType::StateSet, _) => "gauge",
        };
        let mut shown = String::new();
        if quoted {
            shown.push('"');
            push_escaped(&mut shown, name, true);
            shown.push('"');
        } else {
            shown.push_str(name);
        }
        let _written = write!(self.out, "# HELP {shown} ");
        push_escaped(&mut self.out, &family.described.help, open);
        let _written = write!(self.out, "\n# TYPE {shown} {kind}\n");
        let unit = unit(family, name);
        if open && !unit.is_empty() {
            let _written = writeln!(self.out, "# UNIT {shown} {unit}");
        }
    }

    fn histogram(&mut self, sample: &Sample<'_>, histogram: &Histogram, exemplars: &[Exemplar]) {
        for (bound, count, exemplar) in buckets(histogram, exemplars) {
            self.bucket(sample, bound, count, exemplar);
        }
        self.sum_and_count(sample, histogram.sum, histogram.count);
    }

    /// Neither text format has a place for exponential buckets: all observations are in one.
    fn exponential(
        &mut self,
        sample: &Sample<'_>,
        histogram: &ExponentialHistogram,
        exemplars: &[Exemplar],
    ) {
        self.bucket(sample, f64::INFINITY, histogram.count, exemplars.last());
        self.sum_and_count(sample, histogram.sum, histogram.count);
    }

    fn bucket(&mut self, sample: &Sample<'_>, bound: f64, count: u64, exemplar: Option<&Exemplar>) {
        let bound = self.label_value(bound);
        self.sample(&Sample {
            suffix: "_bucket",
            extra: Some(("le", &bound)),
            value: count as f64,
            exemplar,
            ..*sample
        });
    }

    fn summary(&mut self, sample: &Sample<'_>, summary: &Summary) {
        for (quantile, value) in &summary.quantiles {
            let quantile = self.label_value(*quantile);
            let extra = Some(("quantile", quantile.as_str()));
            self.sample(&Sample { extra, value: *value, ..*sample });
        }
        self.sum_and_count(sample, Some(summary.sum), summary.count);
    }

    fn sum_and_count(&mut self, sample: &Sample<'_>, sum: Option<f64>, count: u64) {
        let value = sum.unwrap_or(0.0);
        self.sample(&Sample { suffix: "_sum", value, ..*sample });
        self.sample(&Sample { suffix: "_count", value: count as f64, ..*sample });
    }

    /// A number as the value of a label.
    fn label_value(&self, value: f64) -> String {
        if self.format.is_open_metrics() {
            return open_metrics(value);
        }
        let mut text = String::new();
        push_plain(&mut text, value);
        text
    }

    fn sample(&mut self, sample: &Sample<'_>) {
        let (name, quoted) = sample.family.names.shown(self.format.quoted);
        let counter = sample.family.described.kind == MetricType::Counter;
        let suffix = match sample.suffix {
            "" if counter && self.format.is_open_metrics() && !name.ends_with("_total") => "_total",
            suffix => suffix,
        };
        let mut labels = String::new();
        if quoted {
            labels.push('"');
            push_escaped(&mut labels, name, true);
            labels.push_str(suffix);
            labels.push('"');
            if !sample.labels.is_empty() {
                labels.push(',');
            }
        } else {
            self.out.push_str(name);
            self.out.push_str(suffix);
        }
        labels.push_str(sample.labels);
        if let Some((name, value)) = sample.extra {
            push_label(&mut labels, name, value);
        }
        if !labels.is_empty() {
            let _written = write!(self.out, "{{{labels}}}");
        }
        self.out.push(' ');
        self.value(sample.value);
        if self.format.timestamps && sample.time_ns > 0 {
            self.time(sample.time_ns);
        }
        if self.format.is_open_metrics()
            && let Some(exemplar) = sample.exemplar
        {
            self.exemplar(exemplar);
        }
        self.out.push('\n');
    }

    fn value(&mut self, value: f64) {
        push_plain(&mut self.out, value);
    }

    /// Milliseconds, in OpenMetrics as seconds.
    fn time(&mut self, time_ns: u64) {
        let ms = time_ns / 1_000_000;
        let _written = if self.format.is_open_metrics() {
            write!(self.out, " {}.{:03}", ms / 1000, ms % 1000)
        } else {
            write!(self.out, " {ms}")
        };
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        let Some(shown) = Shown::of(exemplar) else { return };
        let mut labels = String::new();
        for (name, value) in &shown.labels {
            push_label(&mut labels, name, value);
        }
        let _written = write!(self.out, " # {{{labels}}} ");
        self.value(shown.value);
        if exemplar.time_ns > 0 {
            self.time(exemplar.time_ns);
        }
    }
}

/// One line.
#[derive(Clone, Copy)]
struct Sample<'a> {
    family: &'a Family,
    suffix: &'static str,
    labels: &'a str,
    extra: Option<(&'static str, &'a str)>,
    value: f64,
    time_ns: u64,
    exemplar: Option<&'a Exemplar>,
}

impl<'a> Sample<'a> {
    fn of(family: &'a Family) -> Self {
        Self {
            family,
            suffix: "",
            labels: "",
            extra: None,
            value: 0.0,
            time_ns: 0,
            exemplar: None,
        }
    }
}
