//! What the demo tells: tagged samples in plain lines, a summary at the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_config::{Errors, Validate};
use weir_core::telemetry::Counter;
use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Consumer, Data, Deadline, ExporterEntry, ExporterKind,
    Reject, Signals, Stability, Stage, Telemetry,
};
use weir_model::{Point, Value};

use crate::run::say;

/// Table entry of the demo's own exporter.
pub(super) const ENTRY: ExporterEntry = ExporterEntry::of::<Kind>();

/// No keys.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Config {}

impl Validate for Config {
    fn validate(&self, _: &mut Errors) {}
}

/// Registration.
pub(super) struct Kind;

impl ExporterKind for Kind {
    const TYPE: &'static str = "demo";
    const STABILITY: Stability = Stability::Development;
    const SIGNALS: Signals = Signals::ALL;
    type Config = Config;

    fn build(_: Config, cx: BuildCtx) -> BoxFut<'static, Result<Arc<dyn Stage>, BuildError>> {
        let signal = cx.signal.map_or("", |s| s.as_str());
        let items = cx
            .telemetry
            .counter("demo_items", "Items that arrived", &[("signal", signal)]);
        let tagged = cx.telemetry.counter("demo_tagged", "Samples tagged", &[]);
        let incidents = Mutex::default();
        let show = Show {
            items,
            tagged,
            incidents,
        };
        Box::pin(async move { Ok(Arc::new(show) as Arc<dyn Stage>) })
    }
}

struct Show {
    items: Counter,
    tagged: Counter,
    /// Series in an alarm, by incident.
    incidents: Mutex<BTreeMap<String, u64>>,
}

impl Show {
    /// Tells when an incident opens, grows and ends.
    fn incident(&self, point: &Point) {
        if &*point.series.metric().name != "anomaly.incident.members" {
            return;
        }
        let labels = point.series.labels();
        let group = labels
            .get("incident.group")
            .map_or_else(String::new, |g| g.to_text().into());
        let active = point.value.as_f64().unwrap_or(0.0) as u64;
        let mut known = self
            .incidents
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = known.insert(group.clone(), active);
        if before == Some(active) {
            return;
        }
        say(&match active {
            0 => format!("  [INCIDENT] {group}: no series in an alarm any more"),
            1 => format!("  [INCIDENT] {group}: 1 series in an alarm"),
            n => format!("  [INCIDENT] {group}: {n} series in an alarm"),
        });
    }
}

impl Consumer for Show {
    fn consume(&self, batch: Batch) -> BoxFut<'_, Result<(), Reject>> {
        self.items.add(batch.len() as u64);
        if let Data::Metrics(metrics) = &batch.data {
            metrics.points().for_each(|point| self.incident(point));
            for line in metrics.points().filter_map(line) {
                self.tagged.add(1);
                say(&line);
            }
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Stage for Show {
    fn drain(&self, _: Deadline) -> BoxFut<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A line about a tagged sample; none for the others.
fn line(point: &Point) -> Option<String> {
    let tag = |key: &str| {
        point
            .tags()
            .iter()
            .find(|(k, _)| *k == key)
            .map(|(_, value)| value)
    };
    let number = |key: &str| match tag(key) {
        Some(Value::Double(d)) => Some(*d),
        _ => None,
    };
    let text = |key: &str| match tag(key) {
        Some(Value::Str(s)) => s.as_str(),
        _ => "",
    };
    let (lower, upper, score) = (
        number("anomaly.lower")?,
        number("anomaly.upper")?,
        number("anomaly.score")?,
    );
    let alarm = if tag("anomaly.detected") == Some(&Value::Bool(true)) {
        "ALARM"
    } else {
        "outside"
    };
    let value = point
        .value
        .as_f64()
        .map_or_else(String::new, |v| format!(" = {v:.1}"));
    let name = &point.series.metric().name;
    let (direction, kind) = (text("anomaly.direction"), text("anomaly.kind"));
    let what = text("anomaly.observation");
    let inside = point
        .value
        .as_f64()
        .is_some_and(|v| lower <= v && v <= upper);
    if inside && what == "value" && alarm == "ALARM" {
        return Some(format!(
            "  [ALARM] {name}{value}  back inside its band {lower:.1} .. {upper:.1}, the alarm not yet over"
        ));
    }
    Some(format!(
        "  [{alarm}] {name}{value}  {what} {direction} its band {lower:.1} .. {upper:.1}  score {score:.2}  {kind}"
    ))
}

/// What is about to happen.
pub(super) fn introduction(length: Duration) {
    say(&format!(
        "A made-up checkout service is scraped every second and sends traces; its day lasts 20 s.\n\
         The detector needs 40 samples of a series before it judges. An incident comes after 48 s.\n\
         EMF goes to standard output; samples outside their band and incidents are named here. It ends after {} s.",
        length.as_secs()
    ));
}

/// The incident begins or ends.
pub(super) fn incident(begins: bool) {
    say(if begins {
        "-- incident: the latency grows sixfold, then the queue fourfold"
    } else {
        "-- the incident is over"
    });
}

/// Items in, out, tagged, dropped.
pub(super) fn summary(telemetry: &Telemetry) {
    let sum = |names: &[&str]| names.iter().map(|name| telemetry.total(name)).sum::<f64>() as u64;
    let points_in = sum(&["otelcol_receiver_accepted_metric_points"]);
    let spans_in = sum(&["otelcol_receiver_accepted_spans"]);
    let out = sum(&["demo_items"]);
    let tagged = sum(&["demo_tagged"]);
    let dropped = sum(&[
        "otelcol_exporter_send_failed_metric_points",
        "otelcol_exporter_send_failed_spans",
        "otelcol_exporter_enqueue_failed_metric_points",
        "otelcol_exporter_enqueue_failed_spans",
        "otelcol_receiver_refused_metric_points",
        "otelcol_receiver_refused_spans",
    ]);
    let emf = sum(&["otelcol_exporter_sent_metric_points"]);
    say(&format!(
        "Summary: in {points_in} points and {spans_in} spans; out {out} items here, {emf} points as EMF; \
         {tagged} samples tagged; {dropped} dropped."
    ));
}
