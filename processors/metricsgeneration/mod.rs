//! The `metricsgeneration` processor: new metrics from one or two others (processors section 8; see
//! README.md).

pub mod config;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use weir_core::telemetry::Counter;
use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Consumer, Data, Flow, Processor, ProcessorKind, Reject,
    Signals, Stability, Transform,
};
use weir_model::{
    Attributes, Interner, MetricKind, MetricMeta, Metrics, Point, PointValue,
};

pub use config::Config;
use config::{Operation, Rule};

/// Second operands are found by the attributes of the first one's points.
const MATCH_GATE: &str = "metricsgeneration.MatchAttributes";

/// Registration.
pub struct Kind;

impl ProcessorKind for Kind {
    const TYPE: &'static str = "metricsgeneration";
    const STABILITY: Stability = Stability::Alpha;
    const SIGNALS: Signals = Signals::METRICS;
    type Config = Config;

    fn build(
        config: Config,
        cx: BuildCtx,
        _: Arc<dyn Consumer>,
    ) -> BoxFut<'static, Result<Processor, BuildError>> {
        Box::pin(async move {
            Ok(Processor::Transform(Arc::new(Generation::new(config, &cx))))
        })
    }
}

struct Generation {
    rules: Vec<(Rule, Operation)>,
    /// Names that any rule reads.
    names: HashSet<String>,
    match_attributes: bool,
    interner: Arc<Interner>,
    /// Points that were not made, because they are divisions by zero.
    left_out: Counter,
}

/// Numbers of a metric, by address of the resource and name.
type Numbers = HashMap<(usize, String), Vec<Operand>>;

/// A number and where it is from.
struct Operand {
    at: usize,
    value: f64,
    labels: Attributes,
}

impl Generation {
    fn new(config: Config, cx: &BuildCtx) -> Self {
        let id = cx.id.to_string();
        let rules: Vec<(Rule, Operation)> = config
            .rules
            .into_iter()
            .filter_map(|rule| rule.operation().map(|operation| (rule, operation)))
            .collect();
        let names = rules.iter().flat_map(|(rule, _)| [&rule.metric1, &rule.metric2]);
        Self {
            names: names.filter(|name| !name.is_empty()).cloned().collect(),
            match_attributes: cx.gates.is_on(MATCH_GATE, false),
            interner: cx.interner.clone(),
            left_out: cx.telemetry.counter(
                "weir_processor_metricsgeneration_left_out",
                "Points not made, because they would be divisions by zero",
                &[("processor", id.as_str())],
            ),
            rules,
        }
    }

    /// All numbers that a rule may need.
    fn numbers(&self, points: &[Point]) -> Numbers {
        let mut numbers = Numbers::new();
        for (at, point) in points.iter().enumerate() {
            let metric = point.series.metric();
            let number = matches!(metric.kind, MetricKind::Gauge | MetricKind::Sum { .. });
            if !number || point.is_stale() || !self.names.contains(&*metric.name) {
                continue;
            }
            if let Some(value) = point.value.as_f64() {
                let key = (Arc::as_ptr(point.series.resource()).addr(), metric.name.to_string());
                numbers.entry(key).or_default().push(Operand {
                    at,
                    value,
                    labels: point.series.labels().clone(),
                });
            }
        }
        numbers
    }

    fn generate(&self, points: &[Point]) -> Vec<Point> {
        let numbers = self.numbers(points);
        let mut resources: Vec<usize> = Vec::new();
        for point in points {
            let resource = Arc::as_ptr(point.series.resource()).addr();
            if !resources.contains(&resource) && numbers.keys().any(|(of, _)| *of == resource) {
                resources.push(resource);
            }
        }
        let mut made = Vec::new();
        for resource in resources {
            for (rule, operation) in &self.rules {
                let of = |name: &str| numbers.get(&(resource, name.to_owned()));
                let Some(first) = of(&rule.metric1) else { continue };
                let second = of(&rule.metric2).map_or(&[][..], Vec::as_slice);
                for operand in first {
                    let second = if rule.scales() {
                        Some(rule.scale_by)
                    } else {
                        self.second(second, operand)
                    };
                    let Some(second) = second else { continue };
                    match (operation.apply(operand.value, second), points.get(operand.at)) {
                        (Some(value), Some(point)) => made.push(self.point(rule, point, value)),
                        _ => self.left_out.add(1),
                    }
                }
            }
        }
        made
    }

    /// The second operand for a point of the first: the first of the metric, or the one with the
    /// same attributes.
    fn second(&self, of: &[Operand], first: &Operand) -> Option<f64> {
        if !self.match_attributes {
            return of.first().map(|operand| operand.value);
        }
        of.iter().find(|operand| operand.labels == first.labels).map(|operand| operand.value)
    }

    fn point(&self, rule: &Rule, from: &Point, value: f64) -> Point {
        let series = &from.series;
        let kind = match series.metric().kind {
            kind @ MetricKind::Sum { .. } if rule.scales() => kind,
            _ => MetricKind::Gauge,
        };
        let metric = MetricMeta {
            unit: rule.unit.as_str().into(),
            ..MetricMeta::new(&rule.name, kind)
        };
        let metric = self.interner.metric(metric);
        let labels = series.labels().clone();
        Point {
            series: self.interner.series(series.resource(), series.scope(), &metric, labels),
            value: PointValue::Double(value),
            ..from.clone()
        }
    }

    fn apply_to(&self, metrics: &mut Metrics) {
        if !metrics.points().any(|point| self.names.contains(&*point.series.metric().name)) {
            return;
        }
        let mut points = metrics.points_mut();
        let made = self.generate(&points);
        points.extend(made);
    }
}

impl Transform for Generation {
    fn apply(&self, batch: &mut Batch) -> Result<Flow, Reject> {
        if let Data::Metrics(metrics) = &mut batch.data {
            self.apply_to(metrics);
        }
        Ok(Flow::Pass)
    }
}
