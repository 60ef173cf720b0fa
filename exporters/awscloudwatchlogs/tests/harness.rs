//! The exporter in front of a fake service.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use weir_config::{Diagnostic, Environment, NoFetch, decode_and_validate, load};
use weir_core::registry::ComponentKind;
use weir_core::{Batch, BuildCtx, Clock, ComponentId, Data, Exporter, ManualClock, Reject, Signal, Stage};
use weir_model::{Attributes, Logs, LogsBuilder, Resource, Scope, Value, ValueRef};

use super::super::config::Config;
use super::super::exporter::LogsExporter;
use super::super::{identity, sending};
use crate::cloudwatch_logs::fake::FakeLogs;

/// The time at which everything happens, Unix milliseconds.
pub(super) const NOW_MS: i64 = 1_795_365_120_000;

struct Text(String);

impl Environment for Text {
    fn get(&self, _: &str) -> Option<String> {
        Some(self.0.clone())
    }
}

/// Decodes the exporter's part of a whole configuration.
pub(super) fn decode(text: &str) -> Result<(Config, Vec<Diagnostic>), Vec<String>> {
    let source = Text(text.to_owned());
    let loaded = load(&["env:TEXT".to_owned()], &[], &source, &NoFetch).unwrap();
    let node = loaded.root.at(&["exporters", "awscloudwatchlogs"]).unwrap();
    match decode_and_validate::<Config>(node, "exporters.awscloudwatchlogs") {
        Ok(decoded) => Ok((decoded.value, decoded.warnings)),
        Err(found) => {
            let errors = found.iter().filter(|d| d.is_error());
            Err(errors.map(|d| format!("{} {}", d.path, d.message)).collect())
        }
    }
}

/// A valid configuration with these differences.
pub(super) fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config {
        log_group_name: "g".to_owned(),
        log_stream_name: "{PodName}".to_owned(),
        ..Config::default()
    };
    change(&mut config);
    config
}

/// The exporter, its service and its surroundings.
pub(super) struct Harness {
    pub(super) service: Arc<FakeLogs>,
    pub(super) exporter: Arc<LogsExporter>,
    pub(super) cx: BuildCtx,
    config: Config,
}

impl Harness {
    pub(super) fn new(config: Config) -> Self {
        let clock = Arc::new(ManualClock::at(NOW_MS as u64 * 1_000_000));
        let id: ComponentId = "awscloudwatchlogs".parse().unwrap();
        let mut cx = BuildCtx::standalone(id, ComponentKind::Exporter, Some(Signal::Logs));
        cx.clock = clock.clone() as Arc<dyn Clock>;
        let service = Arc::new(FakeLogs::default());
        let logs = service.client(&config.session(), identity(&config), clock);
        let exporter = Arc::new(LogsExporter::new(config.clone(), logs, &cx));
        Self {
            service,
            exporter,
            cx,
            config,
        }
    }

    /// With streams that exist.
    pub(super) fn with_streams(config: Config, streams: &[&str]) -> Self {
        let harness = Self::new(config);
        for stream in streams {
            harness.service.make("g", stream);
        }
        harness
    }

    /// One try at delivery.
    pub(super) async fn export(&self, batch: &mut Batch) -> Result<(), Reject> {
        self.exporter.export(batch).await
    }

    /// The exporter with its queue and retries.
    pub(super) fn stage(&self) -> Arc<dyn Stage> {
        weir_sending::wrap(self.exporter.clone(), &sending(&self.config), &self.cx)
    }

    pub(super) fn total(&self, metric: &str) -> f64 {
        self.cx.telemetry.total(metric)
    }

    /// The counter of one reason.
    pub(super) fn reason(&self, metric: &str, reason: &str) -> u64 {
        let text = self.cx.telemetry.encode();
        let wanted = format!("reason=\"{reason}\"");
        let line = text.lines().find(|line| line.starts_with(metric) && line.contains(&wanted));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

/// Records (stream, offset from now in ms, body) in this order.
pub(super) fn records<'a>(records: impl IntoIterator<Item = (&'a str, i64, &'a str)>) -> Batch {
    let mut builder = LogsBuilder::default();
    let scope = Arc::new(Scope::default());
    for (pod, offset_ms, body) in records {
        let attributes: Attributes = [("PodName", Value::from(pod))].into_iter().collect();
        let resource = Arc::new(Resource {
            attributes,
            ..Resource::default()
        });
        let mut record = builder.push(&resource, &scope);
        record.set_times((NOW_MS + offset_ms) as u64 * 1_000_000, 0);
        record.set_body(ValueRef::Str(body));
    }
    Batch::logs(builder.finish())
}

/// The records of a batch.
pub(super) fn logs(batch: &Batch) -> &Logs {
    match &batch.data {
        Data::Logs(logs) => logs,
        _ => panic!("no logs"),
    }
}

/// Bodies of the records in a batch.
pub(super) fn bodies(batch: &Batch) -> Vec<String> {
    logs(batch).records().map(|record| record.body().to_text().into_owned()).collect()
}
