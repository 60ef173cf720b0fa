//! The `awsxray` exporter: spans to X-Ray segment documents, sent with `PutTraceSegments`.
//!
//! The documents come from `weir-xray`; [`send`] makes the calls, [`report`] the telemetry records.

mod config;
mod meters;
mod report;
mod send;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use weir_aws::{AwsClient, ClientIdentity, Service, XRay, share_segment_counts};
use weir_config::{Environment, ProcessEnvironment};
use weir_core::{BoxFut, BuildCtx, BuildError, ExporterKind, Gates, Signals, Stability, Stage};
use weir_sending::{SendingSettings, TimeoutSettings};
use weir_xray::Settings;

pub use config::{Config, TelemetryConfig};

use meters::Meters;
use report::Reporter;
use send::XRayExporter;

/// Registration.
pub struct Kind;

impl ExporterKind for Kind {
    const TYPE: &'static str = "awsxray";
    const STABILITY: Stability = Stability::Beta;
    const SIGNALS: Signals = Signals::TRACES;
    type Config = Config;

    fn build(config: Config, cx: BuildCtx) -> BoxFut<'static, Result<Arc<dyn Stage>, BuildError>> {
        Box::pin(async move {
            let session = config.session();
            let identity = ClientIdentity {
                user_agent: user_agent(&cx, &ProcessEnvironment),
                ..ClientIdentity::default()
            };
            let client = AwsClient::connect(&session, Service::XRay, identity, &cx).await?;
            let api = Arc::new(XRay::new(client, cx.clock.clone()));
            let reporter = config.telemetry.enabled.then(|| {
                let own = cx.id.as_str();
                let others = config.telemetry.contributors.iter();
                let ids = std::iter::once(own).chain(others.map(|id| id.as_str()));
                Reporter::new(&config, share_segment_counts(ids), api.clone(), &cx)
            });
            let exporter = XRayExporter::new(
                settings(&config, &cx.gates),
                api,
                session.attempts(),
                Meters::new(&cx),
                reporter,
            );
            let timeout = TimeoutSettings(config.timeout);
            let sending =
                SendingSettings::new(timeout, config.retry(), config.sending_queue.clone());
            Ok(weir_sending::wrap(Arc::new(exporter), &sending, &cx))
        })
    }
}

/// What stands behind the program's name in `User-Agent` (XR-52).
fn user_agent(cx: &BuildCtx, environment: &dyn Environment) -> String {
    let exec = environment.get("AWS_EXECUTION_ENV");
    format!(
        "xray-otel-exporter/{} exec-env/{} OS/{}-{}",
        cx.build_info.version,
        exec.as_deref().unwrap_or("UNKNOWN"),
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}

/// What documents depend on, from the configuration and the gates of the command line.
fn settings(config: &Config, gates: &Gates) -> Settings {
    let indexed = config.indexed_attributes.iter();
    Settings {
        indexed: indexed.map(|name| name.as_str().into()).collect(),
        index_all: config.index_all_attributes,
        log_groups: config.aws_log_groups.clone(),
        any_trace_age: gates.is_on("exporter.awsxray.skiptimestampvalidation", true),
        allow_dot: gates.is_on("exporter.xray.allowDot", true),
        current_names: config.current_semantic_conventions,
        strict: config.strict_schema,
    }
}
