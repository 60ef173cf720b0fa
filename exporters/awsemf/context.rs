//! What goes along with the points of a batch: the resource, scope and metric above them, and the
//! account of what became of each.

use std::sync::Arc;

use weir_model::{MetricMeta, Point, Resource, Scope, Series};

use super::delta::Totals;
use super::events::Counts;

/// A point that was turned into a delta, for the case that the delta is not delivered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Converted<V> {
    /// Point.
    pub(crate) point: u32,
    /// Slot of the delta state.
    pub(crate) slot: u32,
    /// The delta.
    pub(crate) delta: V,
}

/// Which points went into which events.
#[derive(Debug, Default)]
pub(crate) struct Receipt {
    /// Point and event, in order of points.
    pub(crate) records: Vec<(u32, u32)>,
    /// Sums that became deltas.
    pub(crate) sums: Vec<Converted<f64>>,
    /// Summaries that became deltas.
    pub(crate) totals: Vec<Converted<Totals>>,
}

impl Receipt {
    /// The points of events that `lost` names, in order and each once.
    pub(crate) fn points_of(&self, lost: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut points: Vec<u32> = self
            .records
            .iter()
            .filter(|(_, event)| lost(*event))
            .map(|(point, _)| *point)
            .collect();
        points.dedup();
        points
    }
}

/// What stands above the points being read.
pub(crate) struct Context<'a> {
    resource: Option<&'a Arc<Resource>>,
    scope: Option<&'a Arc<Scope>>,
    metric: Option<&'a Arc<MetricMeta>>,
    /// Last scope name of the resource that was not empty (EMF-44).
    pub(crate) scope_name: &'a str,
    /// Whether the scope takes its name from an earlier one.
    pub(crate) inherits: bool,
    /// Whether the resource has `receiver` = `prometheus`.
    pub(crate) prometheus: bool,
    /// Time of the last point of the metric that had one; 0 for none.
    carried_ms: i64,
    /// Log stream that the metric's points go to once its placeholders are filled (EMF-14).
    pub(crate) target: Option<u32>,
    /// Time of the call, Unix milliseconds.
    pub(crate) now_ms: i64,
    /// What was left out.
    pub(crate) counts: Counts,
    /// The way back from events to points.
    pub(crate) receipt: Receipt,
}

impl<'a> Context<'a> {
    /// Before the first of so many points; `converted` is about how many of them, sums and summaries,
    /// will become deltas.
    pub(crate) fn new(now_ms: i64, points: usize, converted: (usize, usize)) -> Self {
        Self {
            resource: None,
            scope: None,
            metric: None,
            scope_name: "",
            inherits: false,
            prometheus: false,
            carried_ms: 0,
            target: None,
            now_ms,
            counts: Counts::default(),
            receipt: Receipt {
                records: Vec::with_capacity(points),
                sums: Vec::with_capacity(converted.0.min(points)),
                totals: Vec::with_capacity(converted.1.min(points)),
            },
        }
    }

    /// Notes where the resource, the scope or the metric changes.
    #[inline]
    pub(crate) fn enter(&mut self, series: &'a Series) {
        let same_metric = self.metric.is_some_and(|m| same(m, series.metric()));
        let same_scope = self.scope.is_some_and(|s| same(s, series.scope()));
        let same_resource = self.resource.is_some_and(|r| same(r, series.resource()));
        if same_metric && same_scope && same_resource {
            return;
        }
        (self.carried_ms, self.target) = (0, None);
        self.metric = Some(series.metric());
        if !same_resource {
            self.resource = Some(series.resource());
            self.scope_name = "";
            let receiver = series.resource().attributes.get("receiver");
            self.prometheus = receiver.and_then(|v| v.as_str()) == Some("prometheus");
        }
        if !(same_scope && same_resource) {
            self.scope = Some(series.scope());
            let name = &*series.scope().name;
            self.inherits = name.is_empty() && !self.scope_name.is_empty();
            if !name.is_empty() {
                self.scope_name = name;
            }
        }
    }

    /// The time of a point in milliseconds; without one, the metric's last, then now.
    #[inline]
    pub(crate) fn time_ms(&mut self, point: &Point) -> i64 {
        let time_ms = (point.time_ns / 1_000_000) as i64;
        if time_ms > 0 {
            self.carried_ms = time_ms;
        }
        if self.carried_ms > 0 {
            self.carried_ms
        } else {
            self.now_ms
        }
    }
}

/// Equal parts are the same `Arc` unless they went un-interned, over the intern budget.
#[inline]
fn same<T: PartialEq>(a: &Arc<T>, b: &Arc<T>) -> bool {
    Arc::ptr_eq(a, b) || **a == **b
}
