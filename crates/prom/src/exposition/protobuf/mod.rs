//! The protobuf exposition: length-delimited `io.prometheus.client.MetricFamily` messages, read
//! from the wire (prometheus-receiver specification, section 7.4; PROM-73).
//!
//! Each family becomes what a text page would have: a description, then series with suffixes and
//! `le` or `quantile` labels, in the same order as the reference gives them, and native histograms.

mod message;

use weir_model::DecodeError;
use weir_model::wire::{self, Reader};

pub use message::{BadNative, NativeSample, ProtoExemplar};

use message::{Data, Histogram, Metric};

use super::{InvalidSeries, MetricType, NORMAL_NAN_BITS};
use crate::float;
use crate::labels::{LabelSet, METRIC_NAME};

/// Which forms of a histogram are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct HistogramForms {
    /// Native histograms (`scrape_native_histograms`); without it they are read as classic ones.
    pub native: bool,
    /// Classic series even of histograms that are native (`always_scrape_classic_histograms`).
    pub classic_too: bool,
}

/// Description of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family<'a> {
    /// Name without suffixes.
    pub name: &'a str,
    /// What it means.
    pub help: &'a str,
    /// Unit in words.
    pub unit: &'a str,
    /// Type.
    pub kind: MetricType,
}

/// One series of a family.
#[derive(Debug, Clone, Copy)]
pub struct ProtoSeries<'a> {
    /// Bytes that no other series of the page has: the key of the series cache.
    pub key: &'a [u8],
    /// Name of the family.
    pub family: &'a str,
    /// `_count`, `_sum`, `_bucket` or nothing.
    pub suffix: &'static str,
    labels: &'a [(&'a str, &'a str)],
    /// `le` or `quantile` with its number.
    bound: Option<(&'static str, f64)>,
}

impl ProtoSeries<'_> {
    /// Writes the labels with the metric name into `set`; empty values stay.
    ///
    /// # Errors
    /// If a label is given twice.
    pub fn labels_into(&self, set: &mut LabelSet) -> Result<(), InvalidSeries> {
        set.clear();
        set.insert(METRIC_NAME, &format!("{}{}", self.family, self.suffix));
        for (name, value) in self.labels {
            if set.insert(name, value) {
                return Err(InvalidSeries::DuplicateLabel((*name).to_owned()));
            }
        }
        if let Some((name, value)) = self.bound
            && set.insert(name, &float::open_metrics(value))
        {
            return Err(InvalidSeries::DuplicateLabel(name.to_owned()));
        }
        Ok(())
    }
}

/// A value of a series.
#[derive(Debug, Clone, Copy)]
pub struct ProtoSample<'a> {
    /// The value; a NaN has the bits [`NORMAL_NAN_BITS`].
    pub value: f64,
    /// Explicit time in milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    /// Exemplar of a counter or bucket.
    pub exemplar: Option<&'a ProtoExemplar<'a>>,
}

/// Receives what a page holds.
pub trait ProtoVisitor {
    /// What makes the visitor give up.
    type Error: From<ProtoError>;

    /// A family begins.
    ///
    /// # Errors
    /// If the visitor gives up.
    fn family(&mut self, family: &Family<'_>) -> Result<(), Self::Error>;

    /// A sample of the family.
    ///
    /// # Errors
    /// If the visitor gives up.
    fn sample(
        &mut self,
        series: &ProtoSeries<'_>,
        sample: ProtoSample<'_>,
    ) -> Result<(), Self::Error>;

    /// A native histogram of the family.
    ///
    /// # Errors
    /// If the visitor gives up.
    fn native(
        &mut self,
        series: &ProtoSeries<'_>,
        histogram: &NativeSample<'_>,
    ) -> Result<(), Self::Error>;
}

/// Why a page cannot be read; the whole scrape fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtoError {
    /// Not of the wire format.
    #[error("metric family {family}: {reason}")]
    Wire {
        /// Number of the family, from 1.
        family: usize,
        /// What is wrong.
        reason: DecodeError,
    },
    /// A family without a name.
    #[error("metric family {0} has no name")]
    NoName(usize),
    /// A type that does not exist.
    #[error("metric `{0}` has the unknown type {1}")]
    UnknownType(String, u64),
    /// A native histogram that contradicts itself.
    #[error("native histogram `{0}`: {1}")]
    Native(String, BadNative),
}

/// Reads a page and gives its families to the visitor.
///
/// # Errors
/// If the page is malformed, or the visitor gives up. Nothing of a page that fails may be used.
pub fn read_families<V: ProtoVisitor>(
    body: &[u8],
    forms: HistogramForms,
    visitor: &mut V,
) -> Result<(), V::Error> {
    let mut reader = Reader::new(body);
    let mut key = Vec::new();
    let mut number = 0;
    while !reader.is_empty() {
        number += 1;
        let wire = |reason| ProtoError::Wire {
            family: number,
            reason,
        };
        let message = reader.bytes().map_err(wire)?;
        let (family, metrics) = family(message, number)?;
        for (at, metric) in metrics.iter().enumerate() {
            // A family without metrics is left out.
            if at == 0 {
                visitor.family(&family)?;
            }
            let metric = Metric::decode(metric, family.kind).map_err(wire)?;
            let mut series = Emitter {
                family: &family,
                metric: &metric,
                key: &mut key,
                visitor,
            };
            series.emit(forms)?;
        }
    }
    Ok(())
}

fn family(message: &[u8], number: usize) -> Result<(Family<'_>, Vec<&[u8]>), ProtoError> {
    let mut family = Family {
        name: "",
        help: "",
        unit: "",
        kind: MetricType::Counter,
    };
    let mut kind = 0;
    let mut metrics = Vec::new();
    let mut reader = Reader::new(message);
    let mut read = || -> Result<(), DecodeError> {
        while let Some(field) = reader.key()? {
            match (field.field, field.wire) {
                (1, wire::LEN) => family.name = reader.str()?,
                (2, wire::LEN) => family.help = reader.str()?,
                (3, wire::VARINT) => kind = reader.varint()?,
                (4, wire::LEN) => metrics.push(reader.bytes()?),
                (5, wire::LEN) => family.unit = reader.str()?,
                (1..=5, _) => return Err(DecodeError::WireType { field: field.field }),
                _ => reader.skip(field)?,
            }
        }
        Ok(())
    };
    read().map_err(|reason| ProtoError::Wire {
        family: number,
        reason,
    })?;
    if family.name.is_empty() {
        return Err(ProtoError::NoName(number));
    }
    family.kind = match kind {
        0 => MetricType::Counter,
        1 => MetricType::Gauge,
        2 => MetricType::Summary,
        3 => MetricType::Unknown,
        4 => MetricType::Histogram,
        5 => MetricType::GaugeHistogram,
        other => return Err(ProtoError::UnknownType(family.name.to_owned(), other)),
    };
    Ok((family, metrics))
}

/// Gives the series of one metric to the visitor.
struct Emitter<'a, V> {
    family: &'a Family<'a>,
    metric: &'a Metric<'a>,
    key: &'a mut Vec<u8>,
    visitor: &'a mut V,
}

impl<V: ProtoVisitor> Emitter<'_, V> {
    fn emit(&mut self, forms: HistogramForms) -> Result<(), V::Error> {
        match &self.metric.data {
            Data::Number(value, exemplar) => self.sample("", None, *value, exemplar.as_ref()),
            Data::Summary(summary) => {
                self.sample("_count", None, summary.count, None)?;
                self.sample("_sum", None, summary.sum, None)?;
                for (quantile, value) in &summary.quantiles {
                    self.sample("", Some(("quantile", *quantile)), *value, None)?;
                }
                Ok(())
            }
            Data::Histogram(histogram) => {
                let native = forms.native && histogram.is_native();
                if native {
                    self.native(histogram)?;
                }
                if !native || (forms.classic_too && !histogram.buckets.is_empty()) {
                    self.classic(histogram)?;
                }
                Ok(())
            }
        }
    }

    /// Count, sum and buckets; the last bucket is added if it is not there.
    fn classic(&mut self, histogram: &Histogram<'_>) -> Result<(), V::Error> {
        let count = histogram.total();
        self.sample("_count", None, count, None)?;
        self.sample("_sum", None, histogram.sum, None)?;
        for bucket in &histogram.buckets {
            let bound = Some(("le", bucket.upper_bound));
            self.sample("_bucket", bound, bucket.total(), bucket.exemplar.as_ref())?;
            if bucket.upper_bound == f64::INFINITY {
                return Ok(());
            }
        }
        self.sample("_bucket", Some(("le", f64::INFINITY)), count, None)
    }

    fn native(&mut self, histogram: &Histogram<'_>) -> Result<(), V::Error> {
        let sample = histogram
            .native(self.metric.timestamp_ms)
            .map_err(|bad| ProtoError::Native(self.family.name.to_owned(), bad))?;
        // No text series can have this suffix.
        self.make_key("\u{ff}", None);
        let series = ProtoSeries {
            key: self.key,
            family: self.family.name,
            suffix: "",
            labels: &self.metric.labels,
            bound: None,
        };
        self.visitor.native(&series, &sample)
    }

    fn sample(
        &mut self,
        suffix: &'static str,
        bound: Option<(&'static str, f64)>,
        value: f64,
        exemplar: Option<&ProtoExemplar<'_>>,
    ) -> Result<(), V::Error> {
        self.make_key(suffix, bound);
        let value = if value.is_nan() {
            f64::from_bits(NORMAL_NAN_BITS)
        } else {
            value
        };
        let sample = ProtoSample {
            value,
            timestamp_ms: self.metric.timestamp_ms,
            exemplar,
        };
        let series = ProtoSeries {
            key: self.key,
            family: self.family.name,
            suffix,
            labels: &self.metric.labels,
            bound,
        };
        self.visitor.sample(&series, sample)
    }

    /// Name, suffix, labels and bound with separators that UTF-8 text cannot hold.
    fn make_key(&mut self, suffix: &str, bound: Option<(&str, f64)>) {
        self.key.clear();
        self.key.extend_from_slice(self.family.name.as_bytes());
        self.key.extend_from_slice(suffix.as_bytes());
        for (name, value) in &self.metric.labels {
            for text in [name, value] {
                self.key.push(0xff);
                self.key.extend_from_slice(text.as_bytes());
            }
        }
        if let Some((_, bound)) = bound {
            self.key.push(0xfe);
            self.key.extend_from_slice(&bound.to_bits().to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
