//! One transform on the metrics of one resource and scope.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::warn;
use weir_core::BuildCtx;
use weir_model::{Interner, Mapped, MetricKind, Point, Resource, Series};

use super::choose::Chooser;
use super::config::{ActionName, Aggregation, SubmatchCase, TransformConfig};
use super::memo::{Memo, Metric, relabelled, renamed};
use super::merge::merge;
use super::operation::Operation;

/// A compiled transform.
#[derive(Debug)]
pub(super) struct Transform {
    action: ActionName,
    pub(super) chooser: Chooser,
    new_name: String,
    group: BTreeMap<String, String>,
    how: Option<Aggregation>,
    case: Option<SubmatchCase>,
    operations: Vec<Operation>,
    names: Memo<Mapped>,
    /// Series with the labels of a combination, or of the new resource.
    moved: Memo<Mapped>,
    interner: Arc<Interner>,
}

impl Transform {
    /// Compiles a configuration that was checked.
    pub(super) fn new(config: &TransformConfig, cx: &BuildCtx) -> Result<Self, String> {
        let version = cx.build_info.version;
        let operations = config.operations.iter();
        Ok(Self {
            action: config.action.ok_or("missing required field \"action\"")?,
            chooser: Chooser::new(config)?,
            new_name: config.new_name.clone(),
            group: config.group_resource_labels.clone(),
            how: config.aggregation_type,
            case: config.submatch_case,
            operations: operations.filter_map(|one| Operation::new(one, version)).collect(),
            names: Memo::default(),
            moved: Memo::default(),
            interner: cx.interner.clone(),
        })
    }

    /// Works on all metrics of one resource and scope; grouped ones go to `grouped`.
    pub(super) fn apply(&self, metrics: &mut Vec<Metric>, grouped: &mut Vec<Point>) {
        match self.action {
            ActionName::Update => metrics.retain_mut(|points| {
                let (any, all) = self.chooser.any_all(points);
                if any {
                    self.change(points, all);
                }
                !points.is_empty()
            }),
            ActionName::Insert => {
                let copy = |points: &Metric| {
                    let chosen = points.iter().filter(|point| self.chooser.takes(point));
                    let mut copy: Metric = chosen.cloned().collect();
                    self.change(&mut copy, true);
                    (!copy.is_empty()).then_some(copy)
                };
                let copies: Vec<Metric> = metrics.iter().filter_map(copy).collect();
                metrics.extend(copies);
            }
            ActionName::Group => {
                let mut chosen = self.extract(metrics).concat();
                self.moved.apply(&mut chosen, |series| self.regrouped(series));
                grouped.append(&mut chosen);
            }
            ActionName::Combine => self.combine(metrics),
        }
    }

    /// Takes the chosen points out. As in the reference, a metric of which only some points are
    /// chosen loses the others.
    fn extract(&self, metrics: &mut Vec<Metric>) -> Vec<Metric> {
        let mut chosen = Vec::new();
        metrics.retain_mut(|points| {
            let (any, all) = self.chooser.any_all(points);
            if any {
                let mut points = std::mem::take(points);
                if !all {
                    points.retain(|point| self.chooser.takes(point));
                }
                chosen.push(points);
            }
            !any
        });
        chosen
    }

    fn regrouped(&self, series: &Arc<Series>) -> Mapped {
        let mut attributes = series.resource().attributes.to_builder();
        for (key, value) in &self.group {
            attributes.set_str(key, value);
        }
        let resource = Resource { attributes: attributes.build(), ..(**series.resource()).clone() };
        let resource = self.interner.resource(resource);
        let labels = series.labels().clone();
        Mapped::To(self.interner.series(&resource, series.scope(), series.metric(), labels))
    }

    fn combine(&self, metrics: &mut Vec<Metric>) {
        let chosen: Vec<&Metric> =
            metrics.iter().filter(|points| self.chooser.any_all(points).0).collect();
        if chosen.is_empty() {
            return;
        }
        if let Err(why) = alike(&chosen) {
            warn!(
                "otelcol.component.kind" = "processor",
                "metricstransform: metrics for `{}` cannot be combined and stay as they are: {why}",
                self.new_name
            );
            return;
        }
        let chosen = self.extract(metrics);
        let Some(first) = chosen.iter().find_map(|points| points.first()) else { return };
        let first = first.series.clone();
        let mut combined = chosen.concat();
        self.moved.apply(&mut combined, |series| {
            let mut labels = series.labels().to_builder();
            for (key, value) in self.chooser.groups(&series.metric().name) {
                let value = match self.case {
                    None => value,
                    Some(SubmatchCase::Lower) => value.to_lowercase(),
                    Some(SubmatchCase::Upper) => value.to_uppercase(),
                };
                labels.set_str(&key, &value);
            }
            relabelled(&self.interner, series, labels.build())
        });
        // The first metric's unit and description hold for all; not remembered, because which one
        // is first differs from batch to batch.
        let mut metric = (**first.metric()).clone();
        metric.name = self.new_name.as_str().into();
        let metric = self.interner.metric(metric);
        for point in &mut combined {
            let (resource, scope) = (point.series.resource(), point.series.scope());
            let labels = point.series.labels().clone();
            point.series = self.interner.series(resource, scope, &metric, labels);
        }
        merge(&mut combined, self.how);
        self.change(&mut combined, true);
        if !combined.is_empty() {
            metrics.push(combined);
        }
    }

    /// New name and operations; `all` says that all points of the metric are chosen.
    fn change(&self, points: &mut Metric, all: bool) {
        if all && !self.new_name.is_empty() {
            self.names.apply(points, |series| {
                let name = self.chooser.expand(&self.new_name, &series.metric().name);
                renamed(&self.interner, series, &name)
            });
        }
        for operation in &self.operations {
            operation.apply(points, &self.chooser, all, &self.interner);
        }
    }

    pub(super) fn sweep(&self, interner: &Interner) {
        self.chooser.sweep(interner);
        self.names.lock().sweep(interner);
        self.moved.lock().sweep(interner);
        for operation in &self.operations {
            operation.sweep(interner);
        }
    }
}

/// Whether metrics may become one: same type, unit and label names.
fn alike(metrics: &[&Metric]) -> Result<(), String> {
    let keys = |points: &Metric| {
        let mut keys: Vec<String> = points
            .iter()
            .flat_map(|point| point.series.labels().iter().map(|(key, _)| key.to_owned()))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    };
    let mut wanted: Option<(&Point, Vec<String>)> = None;
    for points in metrics.iter().filter(|_| metrics.len() > 1) {
        let Some(point) = points.first() else { continue };
        let metric = point.series.metric();
        if metric.kind == MetricKind::Summary {
            return Err(format!("`{}` is a summary", metric.name));
        }
        let keys = keys(points);
        let Some((first, first_keys)) = &wanted else {
            wanted = Some((point, keys));
            continue;
        };
        let first = first.series.metric();
        let (name, other) = (&first.name, &metric.name);
        if first.kind != metric.kind {
            return Err(format!("`{name}` and `{other}` are of different types"));
        }
        if first.unit != metric.unit {
            return Err(format!("`{name}` and `{other}` have different units"));
        }
        if *first_keys != keys {
            return Err(format!("`{name}` and `{other}` have different labels"));
        }
    }
    Ok(())
}
