//! Points that are not shown: counted, and told about.

use std::collections::HashMap;

use weir_core::{BuildCtx, Fold};

use super::store::Dropped;

/// Counts and logs.
pub(super) struct Drops {
    pub(super) cx: BuildCtx,
    fold: Fold,
}

/// Points of a batch or page, with the name of one metric for each reason.
#[derive(Default)]
pub(super) struct Tally(HashMap<&'static str, (Dropped, u64, String)>);

impl Tally {
    pub(super) fn add(&mut self, why: Dropped, metric: impl FnOnce() -> String) {
        self.0.entry(why.reason()).or_insert_with(|| (why, 0, metric())).1 += 1;
    }
}

impl Drops {
    pub(super) fn new(cx: BuildCtx) -> Self {
        Self { cx, fold: Fold::default() }
    }

    pub(super) fn tell(&self, dropped: Tally) {
        for (why, points, metric) in dropped.0.into_values() {
            self.tell_of(why, points, &metric);
        }
    }

    fn tell_of(&self, why: Dropped, points: u64, metric: &str) {
        let id = self.cx.id.to_string();
        let labels =
            [("component", id.as_str()), ("signal", "metrics"), ("reason", why.reason())];
        self.cx
            .telemetry
            .counter(
                "weir_dropped_items_total",
                "Items that were taken in and will never arrive",
                &labels,
            )
            .add(points);
        if why.explain().is_empty() {
            return;
        }
        if let Some(left_out) = self.fold.say(why.reason(), self.cx.clock.monotonic()) {
            tracing::warn!(
                "otelcol.component.kind" = "exporter",
                "otelcol.component.id" = id,
                metric,
                dropped_items = points,
                left_out,
                "Dropping data: {}",
                why.explain()
            );
        }
    }
}
