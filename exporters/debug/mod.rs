//! The `debug` exporter: writes what passes, for people.
//!
//! It walks the OTLP bytes of a batch, so that what was not changed on the way is shown as it was
//! sent. The texts are those of the reference, which calls them unstable. Sampling counts batches:
//! the line of counts and the text below it are written together or not at all.

mod config;
mod detailed;
mod message;
mod normal;
mod notation;
mod output;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
pub use config::{Config, Verbosity};
use message::Message;
use output::{Outputs, Sampler};
use tracing::info;
use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Exporter, ExporterKind, Reject, Signal, Signals,
    Stability, Stage,
};
use weir_sending::{RetrySettings, SendingSettings, TimeoutSettings};

/// Registration.
pub struct Kind;

impl ExporterKind for Kind {
    const TYPE: &'static str = "debug";
    const STABILITY: Stability = Stability::Alpha;
    const SIGNALS: Signals = Signals::ALL;
    type Config = Config;

    fn build(
        config: Config,
        cx: BuildCtx,
    ) -> BoxFut<'static, Result<Arc<dyn Stage>, BuildError>> {
        Box::pin(async move {
            let exporter = Arc::new(Debug::new(&config, &cx)?);
            let sending = SendingSettings::new(
                TimeoutSettings(weir_config::Duration::ZERO),
                RetrySettings::off(),
                config.sending_queue,
            );
            Ok(weir_sending::wrap(exporter, &sending, &cx))
        })
    }
}

struct Debug {
    id: String,
    verbosity: Verbosity,
    sampler: Sampler,
    /// `None`: the program's own log.
    outputs: Option<Outputs>,
}

impl Debug {
    fn new(config: &Config, cx: &BuildCtx) -> Result<Self, BuildError> {
        let outputs = (!config.use_internal_logger)
            .then(|| Outputs::open(&config.output_paths))
            .transpose()?;
        let clock = cx.clock.clone();
        Ok(Self {
            id: cx.id.to_string(),
            verbosity: config.verbosity,
            sampler: Sampler::new(config.sampling_initial, config.sampling_thereafter, clock),
            outputs,
        })
    }

    fn log(&self, signal: Signal, counts: &Counts, text: Option<&str>) {
        let (id, signal_name) = (self.id.as_str(), signal.as_str());
        let Counts {
            resources,
            metrics,
            items,
        } = *counts;
        match signal {
            Signal::Traces => info!(
                "otelcol.component.id" = id, "otelcol.component.kind" = "exporter",
                "otelcol.signal" = signal_name, "resource spans" = resources, "spans" = items,
                "Traces"
            ),
            Signal::Metrics => info!(
                "otelcol.component.id" = id, "otelcol.component.kind" = "exporter",
                "otelcol.signal" = signal_name, "resource metrics" = resources,
                "metrics" = metrics, "data points" = items, "Metrics"
            ),
            Signal::Logs => info!(
                "otelcol.component.id" = id, "otelcol.component.kind" = "exporter",
                "otelcol.signal" = signal_name, "resource logs" = resources,
                "log records" = items, "Logs"
            ),
        }
        if let Some(text) = text {
            info!(
                "otelcol.component.id" = id, "otelcol.component.kind" = "exporter",
                "otelcol.signal" = signal_name, "{text}"
            );
        }
    }
}

impl Exporter for Debug {
    fn export<'a>(&'a self, batch: &'a mut Batch) -> BoxFut<'a, Result<(), Reject>> {
        Box::pin(async move {
            if !self.sampler.take() {
                return Ok(());
            }
            let signal = batch.signal();
            let request = request(batch);
            let request = Message(&request);
            let counts = Counts::of(signal, request, batch.len());
            let text = match self.verbosity {
                Verbosity::Basic => None,
                Verbosity::Normal => Some(normal::text(signal, request)),
                Verbosity::Detailed => Some(detailed::text(signal, request)),
            };
            let Some(outputs) = &self.outputs else {
                self.log(signal, &counts, text.as_deref());
                return Ok(());
            };
            // Each message ends its own line; the reference's text ends with one already, so that
            // an empty line follows it.
            let mut raw = counts.line(signal) + "\n";
            raw.extend(text.map(|text| text + "\n"));
            outputs.write(&raw).await.map_err(|error| {
                Reject::permanent("write", format!("cannot write to output_paths: {error}"))
            })
        })
    }
}

/// The batch as one OTLP request.
fn request(batch: &Batch) -> Bytes {
    match batch.wire_chunks().as_deref() {
        Some([one]) => one.clone(),
        _ => {
            let mut bytes = Vec::new();
            batch.encode_otlp(&mut bytes);
            bytes.into()
        }
    }
}

/// What the line of counts says.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    resources: usize,
    /// Metrics as sent; only for that signal.
    metrics: usize,
    items: usize,
}

impl Counts {
    fn of(signal: Signal, request: Message<'_>, items: usize) -> Self {
        let metrics = || {
            let scopes = request.each(1).flat_map(|block| block.each(2));
            scopes.flat_map(|scope| scope.each(2)).count()
        };
        Self {
            resources: request.each(1).count(),
            metrics: if signal == Signal::Metrics {
                metrics()
            } else {
                0
            },
            items,
        }
    }

    fn line(&self, signal: Signal) -> String {
        let Self {
            resources,
            metrics,
            items,
        } = self;
        match signal {
            Signal::Traces => {
                format!("Traces\t{{\"resource spans\": {resources}, \"spans\": {items}}}")
            }
            Signal::Metrics => format!(
                "Metrics\t{{\"resource metrics\": {resources}, \"metrics\": {metrics}, \
                 \"data points\": {items}}}"
            ),
            Signal::Logs => {
                format!("Logs\t{{\"resource logs\": {resources}, \"log records\": {items}}}")
            }
        }
    }
}

/// Lower bounds of the buckets of an exponential histogram point, by index, to the digits that the
/// reference writes.
fn bounds(point: Message<'_>) -> impl Fn(i64) -> f64 {
    let factor = std::f64::consts::LN_2 * 2f64.powi(-zigzag(point.or_zero(6)));
    move |index| notation::exp(index as f64 * factor)
}

/// Offset and counts of one side of an exponential histogram.
fn buckets(side: Option<Message<'_>>) -> (i64, Vec<u64>) {
    let Some(side) = side else {
        return (0, Vec::new());
    };
    (zigzag(side.or_zero(1)).into(), side.varints(2))
}

/// `sint32` as protobuf writes it.
fn zigzag(raw: u64) -> i32 {
    let raw = raw as u32;
    (raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())
}
