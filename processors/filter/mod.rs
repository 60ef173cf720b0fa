//! The `filter` processor: drops spans, metrics, data points and log records (processors
//! section 4; see README.md).
//!
//! What depends on the series alone is found out once per series; what depends on the resource,
//! once per resource in a row.

pub mod config;
mod ottl;
mod plan;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::warn;
use weir_config::Errors;
use weir_core::telemetry::Counter;
use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Consumer, Data, Flow, Processor, ProcessorKind, Reject,
    Signal, Signals, Stability, Transform,
};
use weir_model::{
    LogRef, Mapped, MetricMeta, Metrics, Point, Resource, Scope, Series, SeriesMapper, SpanRef,
};

pub use config::Config;
use config::ErrorMode;
use ottl::{Needs, Scene, Subject};
use plan::{Plan, Rule};

use crate::mapping::map_batch;

/// Registration.
pub struct Kind;

impl ProcessorKind for Kind {
    const TYPE: &'static str = "filter";
    const STABILITY: Stability = Stability::Beta;
    const SIGNALS: Signals = Signals::ALL;
    type Config = Config;

    fn build(
        config: Config,
        cx: BuildCtx,
        _: Arc<dyn Consumer>,
    ) -> BoxFut<'static, Result<Processor, BuildError>> {
        Box::pin(async move { Ok(Processor::Transform(Arc::new(Filter::new(&config, &cx)))) })
    }
}

/// Seconds between two lines in the log about failed conditions.
const QUIET_S: u64 = 60;

struct Filter {
    plan: Plan,
    /// Verdicts on series.
    mapper: Arc<SeriesMapper>,
    dropped: Counter,
    failed: Counter,
    /// When a failed condition was last logged, in s, and one more.
    logged: AtomicU64,
    cx: BuildCtx,
}

/// A metric in a batch, by address.
type MetricKey = (*const Resource, *const Scope, *const MetricMeta);

fn metric_key(series: &Series) -> MetricKey {
    (Arc::as_ptr(series.resource()), Arc::as_ptr(series.scope()), Arc::as_ptr(series.metric()))
}

/// A verdict on the resource and scope that the item before had.
#[derive(Default)]
struct Last(Option<(Arc<Resource>, Arc<Scope>, bool)>);

impl Filter {
    fn new(config: &Config, cx: &BuildCtx) -> Self {
        let signal = cx.signal.unwrap_or(Signal::Metrics);
        let items = match signal {
            Signal::Traces => "spans",
            Signal::Metrics => "datapoints",
            Signal::Logs => "logs",
        };
        let id = cx.id.to_string();
        let labels = [("filter", id.as_str())];
        let mapper = Arc::<SeriesMapper>::default();
        let swept = Arc::downgrade(&mapper);
        cx.housekeeping.add(move |interner| {
            if let Some(mapper) = swept.upgrade() {
                mapper.sweep(interner);
            }
        });
        Self {
            plan: Plan::compile(config, signal, &mut Errors::default()),
            mapper,
            dropped: cx.telemetry.counter(
                &format!("otelcol_processor_filter_{items}_filtered"),
                "Items dropped by the filter",
                &labels,
            ),
            failed: cx.telemetry.counter(
                "otelcol_processor_filter_condition_errors",
                "Conditions that could not be worked out",
                &labels,
            ),
            logged: AtomicU64::new(0),
            cx: cx.clone(),
        }
    }

    /// Whether any of the rules holds.
    fn holds<'a>(
        &self,
        rules: impl IntoIterator<Item = &'a Rule>,
        scene: &Scene<'_>,
    ) -> Result<bool, Reject> {
        for rule in rules {
            match rule.condition.holds(scene) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => {
                    self.failed.add(1);
                    let text = &rule.condition.text;
                    match rule.mode {
                        ErrorMode::Silent => {}
                        ErrorMode::Ignore => self.log(text, &error),
                        ErrorMode::Propagate => {
                            let text = format!("filter condition `{text}`: {error}");
                            return Err(Reject::retry("filter_condition", text));
                        }
                    }
                }
            }
        }
        Ok(false)
    }

    /// One line a minute; the counter has the number.
    fn log(&self, text: &str, error: &ottl::RunError) {
        let now = self.cx.clock.monotonic().as_secs() + 1;
        let last = self.logged.load(Ordering::Relaxed);
        if last != 0 && now < last + QUIET_S {
            return;
        }
        self.logged.store(now, Ordering::Relaxed);
        warn!(
            "otelcol.component.id" = %self.cx.id, "otelcol.component.kind" = "processor",
            failures = self.failed.get(),
            "condition `{text}` could not be worked out and does not hold: {error}"
        );
    }

    fn rules(&self, wanted: impl Fn(Needs) -> bool) -> impl Iterator<Item = &Rule> {
        self.plan.rules.iter().filter(move |rule| wanted(rule.condition.needs))
    }

    /// Whether a span or record is dropped, by its resource or by itself.
    fn drops(
        &self,
        last: &mut Last,
        resource: &Arc<Resource>,
        scope: &Arc<Scope>,
        subject: Subject<'_>,
    ) -> Result<bool, Reject> {
        let known = last.0.as_ref().filter(|(of, in_scope, _)| {
            Arc::ptr_eq(of, resource) && Arc::ptr_eq(in_scope, scope)
        });
        let by_resource = match known {
            Some((.., verdict)) => *verdict,
            None => {
                let scene = Scene { resource, scope: Some(scope), subject: Subject::Resource };
                let verdict = self.holds(self.rules(|needs| needs == Needs::Resource), &scene)?;
                last.0 = Some((resource.clone(), scope.clone(), verdict));
                verdict
            }
        };
        let scene = Scene { resource, scope: Some(scope), subject };
        Ok(by_resource || self.holds(self.rules(|needs| needs > Needs::Resource), &scene)?)
    }

    fn keeps_span(&self, span: SpanRef<'_>, last: &mut Last) -> Result<bool, Reject> {
        Ok(!self.drops(last, span.resource(), span.scope(), Subject::Span(span))?)
    }

    fn keeps_record(&self, record: LogRef<'_>, last: &mut Last) -> Result<bool, Reject> {
        Ok(!self.drops(last, record.resource(), record.scope(), Subject::Log(record))?)
    }

    fn metrics(&self, metrics: &mut Metrics) -> Result<(), Reject> {
        self.whole_metrics(metrics)?;
        let by_series = |needs| needs <= Needs::Series;
        let failure = Cell::new(None);
        let map = |series: &Arc<Series>| {
            let taken = self.plan.selections.iter().all(|one| one.takes_series(series));
            let subject = Subject::Series(series);
            let scene =
                Scene { resource: series.resource(), scope: Some(series.scope()), subject };
            let dropped = self.holds(self.rules(by_series), &scene).unwrap_or_else(|reject| {
                failure.set(Some(reject));
                false
            });
            if taken && !dropped { Mapped::Same } else { Mapped::Drop }
        };
        // A failure that ends the request must come up each time.
        if self.rules(by_series).any(|rule| rule.mode == ErrorMode::Propagate) {
            map_batch(metrics, map);
        } else {
            self.mapper.apply(metrics, 0, map);
        }
        if let Some(reject) = failure.take() {
            return Err(reject);
        }
        if self.rules(|needs| needs == Needs::Item).next().is_none() {
            return Ok(());
        }
        let drops = |point: &Point| {
            let (resource, scope) = (point.series.resource(), point.series.scope());
            let scene = Scene { resource, scope: Some(scope), subject: Subject::Point(point) };
            self.holds(self.rules(|needs| needs == Needs::Item), &scene)
        };
        let dropped: Vec<bool> = metrics.points().map(drops).collect::<Result<_, _>>()?;
        if dropped.contains(&true) {
            let mut verdicts = dropped.into_iter();
            metrics.points_mut().retain(|_| !verdicts.next().unwrap_or(false));
        }
        Ok(())
    }

    /// Conditions that look at all points of a metric.
    fn whole_metrics(&self, metrics: &mut Metrics) -> Result<(), Reject> {
        let by_points = |needs| needs == Needs::Points;
        if self.plan.expressions.is_empty() && self.rules(by_points).next().is_none() {
            return Ok(());
        }
        let mut found: HashMap<MetricKey, Vec<&Point>, foldhash::fast::RandomState> =
            HashMap::default();
        for point in metrics.points() {
            found.entry(metric_key(&point.series)).or_default().push(point);
        }
        let mut dropped: HashSet<MetricKey, foldhash::fast::RandomState> = HashSet::default();
        for (key, points) in &found {
            let Some(first) = points.first() else { continue };
            let (resource, scope) = (first.series.resource(), first.series.scope());
            let subject = Subject::Metric(first.series.metric(), points);
            let scene = Scene { resource, scope: Some(scope), subject };
            if self.drops_by_expression(points) || self.holds(self.rules(by_points), &scene)? {
                dropped.insert(*key);
            }
        }
        if !dropped.is_empty() {
            metrics.points_mut().retain(|point| !dropped.contains(&metric_key(&point.series)));
        }
        Ok(())
    }

    fn drops_by_expression(&self, points: &[&Point]) -> bool {
        self.plan.expressions.iter().any(|expressions| {
            let matches = |point: &&Point| {
                let series = &*point.series;
                let (resource, scope) = (series.resource(), Some(&**series.scope()));
                let scene = Scene { resource, scope, subject: Subject::Series(series) };
                expressions.conditions.iter().any(|one| one.holds(&scene).unwrap_or(false))
            };
            points.iter().any(matches) != expressions.include
        })
    }
}

impl Transform for Filter {
    fn apply(&self, batch: &mut Batch) -> Result<Flow, Reject> {
        let before = batch.len();
        let mut failure = None;
        let mut last = Last::default();
        let mut asking: Vec<_> = self.plan.selections.iter().map(|one| one.ask()).collect();
        let mut keep = |verdict: Result<bool, Reject>| {
            verdict.unwrap_or_else(|reject| {
                failure.get_or_insert(reject);
                true
            })
        };
        match &mut batch.data {
            Data::Metrics(metrics) => self.metrics(metrics)?,
            Data::Traces(traces) => {
                traces.retain(|span| {
                    asking.iter_mut().all(|one| one.takes_span(span))
                        && keep(self.keeps_span(span, &mut last))
                });
            }
            Data::Logs(logs) => {
                logs.retain(|record| {
                    asking.iter_mut().all(|one| one.takes_record(record))
                        && keep(self.keeps_record(record, &mut last))
                });
            }
        }
        if let Some(reject) = failure {
            return Err(reject);
        }
        self.dropped.add(before.saturating_sub(batch.len()) as u64);
        Ok(if batch.is_empty() && before > 0 { Flow::Drop } else { Flow::Pass })
    }
}
