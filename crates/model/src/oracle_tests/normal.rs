//! What of a request must survive, item by item. These are the decisions of the data model:
//!
//! * labels, resource and scope attributes, metric metadata and attributes of exemplars are sorted
//!   by key, of equal keys the last counts; attributes of spans, events, links and log records, and
//!   maps within values, stay as sent;
//! * blocks and metrics without items vanish;
//! * entity references and indices into the profiles dictionary are dropped;
//! * an attribute without a value has an empty value; a body or a status that says nothing is none;
//! * a temporality that OTLP does not know is unspecified.
//!
//! Everything is compared as bytes, so that NaN equals NaN.

use prost::Message;

use super::{LogsRequest, MetricsRequest, TracesRequest, proto};
use proto::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use proto::metrics::v1::{Exemplar, Metric, metric::Data};
use proto::resource::v1::Resource;

/// Resource, scope and item.
type Item = [Vec<u8>; 3];

pub(super) fn traces(request: &TracesRequest) -> Vec<Item> {
    let mut out = Vec::new();
    for block in &request.resource_spans {
        let resource = resource(block.resource.as_ref(), &block.schema_url);
        for scoped in &block.scope_spans {
            let scope = scope(scoped.scope.as_ref(), &scoped.schema_url);
            for span in &scoped.spans {
                let mut span = span.clone();
                as_sent(&mut span.attributes);
                span.events
                    .iter_mut()
                    .for_each(|e| as_sent(&mut e.attributes));
                span.links
                    .iter_mut()
                    .for_each(|l| as_sent(&mut l.attributes));
                span.status = span.status.take().filter(|s| s.encoded_len() > 0);
                out.push([resource.clone(), scope.clone(), span.encode_to_vec()]);
            }
        }
    }
    out
}

pub(super) fn logs(request: &LogsRequest) -> Vec<Item> {
    let mut out = Vec::new();
    for block in &request.resource_logs {
        let resource = resource(block.resource.as_ref(), &block.schema_url);
        for scoped in &block.scope_logs {
            let scope = scope(scoped.scope.as_ref(), &scoped.schema_url);
            for record in &scoped.log_records {
                let mut record = record.clone();
                as_sent(&mut record.attributes);
                record.body.iter_mut().for_each(value);
                record.body = record.body.take().filter(|b| b.value.is_some());
                out.push([resource.clone(), scope.clone(), record.encode_to_vec()]);
            }
        }
    }
    out
}

pub(super) fn metrics(request: &MetricsRequest) -> Vec<Item> {
    let mut out = Vec::new();
    for block in &request.resource_metrics {
        let resource = resource(block.resource.as_ref(), &block.schema_url);
        for scoped in &block.scope_metrics {
            let scope = scope(scoped.scope.as_ref(), &scoped.schema_url);
            for metric in scoped.metrics.iter().flat_map(single_points) {
                out.push([resource.clone(), scope.clone(), metric.encode_to_vec()]);
            }
        }
    }
    out
}

/// The metric once for each of its points.
fn single_points(metric: &Metric) -> Vec<Metric> {
    let mut head = metric.clone();
    canonical(&mut head.metadata);
    let Some(mut data) = head.data.take() else {
        return Vec::new();
    };
    macro_rules! each {
        ($data:expr, $variant:ident, $exemplars:expr) => {
            std::mem::take(&mut $data.data_points)
                .into_iter()
                .map(|mut point| {
                    canonical(&mut point.attributes);
                    $exemplars(&mut point);
                    let mut one = $data.clone();
                    one.data_points = vec![point];
                    Metric {
                        data: Some(Data::$variant(one)),
                        ..head.clone()
                    }
                })
                .collect()
        };
    }
    let known = |t: &mut i32| *t = if (1..=2).contains(t) { *t } else { 0 };
    match &mut data {
        Data::Gauge(d) => each!(d, Gauge, |p: &mut proto::metrics::v1::NumberDataPoint| {
            exemplars(&mut p.exemplars);
        }),
        Data::Sum(d) => {
            known(&mut d.aggregation_temporality);
            each!(d, Sum, |p: &mut proto::metrics::v1::NumberDataPoint| {
                exemplars(&mut p.exemplars);
            })
        }
        Data::Histogram(d) => {
            known(&mut d.aggregation_temporality);
            each!(
                d,
                Histogram,
                |p: &mut proto::metrics::v1::HistogramDataPoint| {
                    exemplars(&mut p.exemplars);
                }
            )
        }
        Data::ExponentialHistogram(d) => {
            known(&mut d.aggregation_temporality);
            each!(
                d,
                ExponentialHistogram,
                |p: &mut proto::metrics::v1::ExponentialHistogramDataPoint| {
                    exemplars(&mut p.exemplars);
                }
            )
        }
        Data::Summary(d) => each!(d, Summary, |_| {}),
    }
}

fn exemplars(list: &mut [Exemplar]) {
    for exemplar in list {
        canonical(&mut exemplar.filtered_attributes);
    }
}

fn resource(resource: Option<&Resource>, schema_url: &str) -> Vec<u8> {
    let mut resource = resource.cloned().unwrap_or_default();
    canonical(&mut resource.attributes);
    resource.entity_refs.clear();
    [resource.encode_to_vec(), schema_url.into()].join(&0)
}

fn scope(scope: Option<&InstrumentationScope>, schema_url: &str) -> Vec<u8> {
    let mut scope = scope.cloned().unwrap_or_default();
    canonical(&mut scope.attributes);
    [scope.encode_to_vec(), schema_url.into()].join(&0)
}

fn as_sent(attributes: &mut [KeyValue]) {
    for pair in attributes {
        pair.key_strindex = 0;
        value(pair.value.get_or_insert_default());
    }
}

fn canonical(attributes: &mut Vec<KeyValue>) {
    as_sent(attributes);
    let last: std::collections::BTreeMap<String, KeyValue> =
        attributes.drain(..).map(|p| (p.key.clone(), p)).collect();
    attributes.extend(last.into_values());
}

fn value(any: &mut AnyValue) {
    match &mut any.value {
        Some(any_value::Value::ArrayValue(list)) => list.values.iter_mut().for_each(value),
        Some(any_value::Value::KvlistValue(map)) => as_sent(&mut map.values),
        Some(any_value::Value::StringValueStrindex(_)) => any.value = None,
        _ => {}
    }
}
