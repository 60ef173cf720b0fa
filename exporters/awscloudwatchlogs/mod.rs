//! Exporter `awscloudwatchlogs`: log records as events of CloudWatch Logs (see README.md).
//!
//! `pack` makes requests of a batch, with the text of `record` and the places of `names`; `exporter`
//! puts them and accounts for what did not arrive. What is common with EMF is in `cloudwatch_logs`.

mod config;
mod exporter;
mod meters;
mod names;
mod pack;
mod record;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use weir_aws::{ClientIdentity, CloudWatchLogs, Service};
use weir_core::{BoxFut, BuildCtx, BuildError, ExporterKind, Signals, Stability, Stage};
use weir_model::Logs;
use weir_sending::{SendingSettings, TimeoutSettings};

pub use config::Config;

use crate::cloudwatch_logs::identity_of;
use exporter::LogsExporter;

/// Records that a free consumer takes out of the queue at once: as many as a request may have.
const GATHERED: usize = 10_000;

/// Exporter `awscloudwatchlogs`.
#[derive(Debug)]
pub struct Kind;

impl ExporterKind for Kind {
    const TYPE: &'static str = "awscloudwatchlogs";
    const STABILITY: Stability = Stability::Alpha;
    const SIGNALS: Signals = Signals::LOGS;
    type Config = Config;

    fn build(
        config: Config,
        cx: BuildCtx,
    ) -> BoxFut<'static, Result<Arc<dyn Stage>, BuildError>> {
        Box::pin(async move {
            let session = config.session();
            let client = session.connect(Service::Logs, identity(&config), &cx).await?;
            let sending = sending(&config);
            let exporter = LogsExporter::new(config, CloudWatchLogs::new(client), &cx);
            Ok(weir_sending::wrap(Arc::new(exporter), &sending, &cx))
        })
    }
}

/// The `PutLogEvents` bodies of a batch that is sent at `now_ms` (Unix milliseconds): the pure part of
/// the exporter, for benches.
pub fn preview(config: &Config, logs: &Logs, now_ms: i64) -> Vec<Vec<u8>> {
    let requests = pack::pack(logs, config, now_ms).streams.into_iter().flatten();
    requests.map(|request| request.body).collect()
}

/// The layers round the exporter.
fn sending(config: &Config) -> SendingSettings {
    let queue = config.sending_queue.clone();
    let waits = queue.as_ref().is_some_and(|queue| queue.wait_for_result);
    SendingSettings {
        // Each call has its own time (`request_timeout_seconds`). A limit on all of them would cut
        // one off half way, and what it carried would be sent twice.
        timeout: TimeoutSettings(weir_config::Duration::ZERO),
        retry: config.retry_on_failure,
        queue,
        // A caller that waits hears of its own records only.
        gather: if waits { 0 } else { GATHERED },
        ..SendingSettings::default()
    }
}

/// What calls say about this exporter (as EMF-60).
fn identity(config: &Config) -> ClientIdentity {
    identity_of(&["awscloudwatchlogs"], &config.log_group_name)
}
