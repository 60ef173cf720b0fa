//! Exporter `awsemf`: metrics as CloudWatch Embedded Metric Format events (see README.md).
//!
//! The way of a point: `translate` decides what to leave out and makes deltas; `series` works out
//! once per series which group it belongs to; `events` gathers values by group and time; `plan` has
//! the text of an event with holes for values; `cloudwatch_logs` packs events into `PutLogEvents`
//! bodies and sends them.

pub mod config;
mod context;
mod declarations;
mod delta;
mod encode;
mod events;
mod exponential;
mod exporter;
mod labels;
mod limits;
mod names;
mod pattern;
mod plan;
mod pool;
mod series;
mod settings;
mod sink;
mod statistics;
mod tables;
mod translate;
mod units;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use weir_aws::{ClientIdentity, CloudWatchLogs, Service};
use weir_core::{
    BoxFut, BuildCtx, BuildError, ExporterKind, Signals, Stability, Stage,
};
use weir_model::Metrics;
use weir_sending::{SendingSettings, TimeoutSettings};

use crate::cloudwatch_logs::identity_of;
use config::Config;
use exporter::EmfExporter;
use settings::Settings;
use translate::Translator;

/// The feature gate that makes `NoDimensionRollup` the default.
const NO_ROLLUP_GATE: &str = "awsemf.nodimrollupdefault";

/// Exporter `awsemf`.
#[derive(Debug)]
pub struct Kind;

impl ExporterKind for Kind {
    const TYPE: &'static str = "awsemf";
    const STABILITY: Stability = Stability::Beta;
    const SIGNALS: Signals = Signals::METRICS;
    type Config = Config;

    fn build(
        mut config: Config,
        cx: BuildCtx,
    ) -> BoxFut<'static, Result<Arc<dyn Stage>, BuildError>> {
        Box::pin(async move {
            let rollup = &mut config.dimension_rollup_option;
            if !rollup.is_written && cx.gates.is_on(NO_ROLLUP_GATE, false) {
                *rollup = "NoDimensionRollup".into();
            }
            let client = config
                .session()
                .connect(Service::Logs, identity(&config), &cx)
                .await?;
            let settings = Settings::new(config.clone(), default_stream());
            let translator = Translator::new(Arc::new(settings), cx.clock.unix_ns());
            let translator = Arc::new(Mutex::new(translator));
            let (swept, clock) = (translator.clone(), cx.clock.clone());
            cx.housekeeping.add(move |interner| {
                exporter::lock(&swept).sweep(interner, clock.unix_ns());
            });
            let logs = CloudWatchLogs::new(client);
            let exporter = EmfExporter::new(translator, logs, &config, &cx);
            Ok(layers(exporter, &config, &cx))
        })
    }
}

/// The exporter with the queue and the repetitions that the configuration asks for.
fn layers(exporter: EmfExporter, config: &Config, cx: &BuildCtx) -> Arc<dyn Stage> {
    // The exporter keeps its own time, so that it can account for what is under way.
    let no_limit = TimeoutSettings(weir_config::Duration::ZERO);
    let sending = SendingSettings::new(no_limit, config.retry(), config.sending_queue.clone());
    weir_sending::wrap(Arc::new(exporter), &sending, cx)
}

/// The log stream of an exporter whose configuration names none: another one at each start (EMF-10).
fn default_stream() -> String {
    format!("otel-stream-{}", uuid::Uuid::new_v4())
}

/// What calls say about this exporter (EMF-60).
fn identity(config: &Config) -> ClientIdentity {
    let mut marks = vec!["awsemf"];
    let group = config.log_group_name.as_str();
    if config.namespace == "ApplicationSignals" && group.starts_with("/aws/application-signals/") {
        marks.push("AppSignals");
    }
    identity_of(&marks, group)
}

/// The pure part of the exporter: what it would send. For benches and for tests of configurations.
#[derive(Debug)]
pub struct Preview {
    translator: Translator,
}

impl Preview {
    /// An exporter with this configuration, started at `now_ns` (Unix nanoseconds).
    pub fn new(config: Config, now_ns: u64) -> Self {
        let settings = Settings::new(config, "otel-stream-preview".to_owned());
        Self {
            translator: Translator::new(Arc::new(settings), now_ns),
        }
    }

    /// The `PutLogEvents` bodies of a batch that is sent at `now_ns` or, with
    /// `output_destination: stdout`, one text of lines.
    pub fn bodies(&mut self, batch: &Metrics, now_ns: u64) -> Vec<Vec<u8>> {
        let output = self.translator.translate(batch, now_ns);
        let lines = Some(output.lines).filter(|lines| !lines.is_empty());
        let requests = output.requests.into_iter().map(|request| request.body);
        requests.chain(lines).collect()
    }

    /// Cumulative streams that are followed, and bytes of the tables round them.
    pub fn fill(&self) -> (usize, usize) {
        let fill = self.translator.fill();
        (fill.streams, fill.bytes)
    }
}
