//! The `prometheus_remote_write` exporter (formerly `prometheusremotewrite`): metrics to a
//! Prometheus-compatible store, protocols 1.0 and 2.0 (specification PRW-01..54).
//!
//! Names and labels of a series are computed and encoded once; a point costs a look-up and a copy.
//! Series keep their order: one batch at a time is sent, its requests in parallel, and a series is
//! in one request of it. What waits meanwhile is sent as one larger batch.
//!
//! Deviations from the reference, all towards less loss: retries back off exponentially up to
//! `max_elapsed_time` with `timeout` for each attempt (the reference gives up after `timeout` for
//! all attempts together), 429 is tried again unless the gate `RetryOn429` is switched off, a
//! receiver that does not know protocol 2.0 is sent 1.0, protocol 2.0 needs no gate.

mod ahead;
mod config;
mod labels;
mod lines;
mod log;
mod own;
mod pack;
mod preview;
mod rows;
mod send;
mod sets;
mod targets;
#[cfg(test)]
mod tests;
mod translate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;
use futures_util::stream;
use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Cause, Data, Exporter, ExporterKind, Interner, Reference,
    Reject, Signals, Stability, Stage,
};
use weir_model::{Metrics, Point};
use weir_net::compress::Compression;
use weir_net::{ClientContext, HttpClient};
use weir_sending::{
    Draining, RetrySettings, SendingSettings, TimeoutSettings, retry, wrap_encoded,
};

pub use config::{Config, RemoteWriteQueue, RetryConfig, TargetInfoConfig, WalConfig};

pub use crate::prometheus_labels::ResourceToTelemetry;
pub use preview::Preview;

use ahead::Ahead;
use labels::{Described, Rules};
use own::Own;
use pack::{Packed, Packer};
use send::{Destination, WRONG_PROTOCOL, Written, headers};
use translate::Translator;

/// Points translated before other tasks get a turn.
const CHUNK: usize = 4096;
/// Points of waiting batches that are sent as one.
const GATHER: usize = 50_000;
/// Prefix of the reference's feature gates.
const GATE: &str = "exporter.prometheusremotewritexporter.";
const PERMISSIVE_GATE: &str = "pkg.translator.prometheus.PermissiveLabelSanitization";

/// Registration.
pub struct Kind;

impl ExporterKind for Kind {
    const TYPE: &'static str = "prometheus_remote_write";
    const ALIASES: &'static [&'static str] = &["prometheusremotewrite"];
    const STABILITY: Stability = Stability::Beta;
    const SIGNALS: Signals = Signals::METRICS;
    type Config = Config;

    fn references(config: &Config) -> Vec<Reference> {
        let id = config.auth.as_ref().and_then(|auth| auth.authenticator.clone());
        id.map(|id| Reference::Extension {
            id,
            role: "authenticator",
            key: "auth.authenticator",
        })
        .into_iter()
        .collect()
    }

    fn build(config: Config, cx: BuildCtx) -> BoxFut<'static, Result<Arc<dyn Stage>, BuildError>> {
        Box::pin(async move {
            let queue = config.queue();
            let settings = SendingSettings {
                // Both are done per request, not per batch.
                timeout: TimeoutSettings(weir_config::Duration::ZERO),
                retry: RetrySettings::off(),
                queue,
                gather: GATHER,
                linger: config.linger(),
                acknowledge_encoded: config.wal.is_some(),
                ..SendingSettings::default()
            };
            let exporter = RemoteWrite::new(&config, &cx, settings.draining.clone())?;
            let exporter = Arc::new(exporter);
            let due = exporter.clone();
            cx.housekeeping
                .add(move |_| due.sweep_due.store(true, Ordering::Release));
            let encoder = Arc::new(Ahead::open(exporter.clone(), config.wal.as_ref())?);
            Ok(wrap_encoded(exporter, encoder, &settings, &cx))
        })
    }
}

struct RemoteWrite {
    destination: Destination,
    work: tokio::sync::Mutex<Work>,
    interner: Arc<Interner>,
    /// Side tables should forget what is no more, with the next batch.
    sweep_due: AtomicBool,
    parallelism: usize,
    retry: RetrySettings,
    draining: Draining,
    /// Whether senders wait for the result, and so can send again.
    sender_waits: bool,
    send_metadata: bool,
    /// The receiver has taken a request of protocol 2.0: nothing will have to be sent as 1.0.
    knows_v2: AtomicBool,
    own: Own,
}

/// What one batch at a time uses.
#[derive(Debug)]
struct Work {
    translator: Translator,
    packer: Packer,
}

/// The requests of a batch.
#[derive(Clone)]
struct Requests {
    v2: bool,
    series: Vec<Packed>,
    metadata: Vec<Packed>,
}

impl Requests {
    /// Points in them.
    fn items(&self) -> usize {
        self.series.iter().map(|packed| packed.counts.items).sum()
    }
}

impl RemoteWrite {
    fn new(config: &Config, cx: &BuildCtx, draining: Draining) -> Result<Self, BuildError> {
        let authenticator = config.auth.as_ref().and_then(|auth| auth.authenticator.as_ref());
        let auth = match authenticator {
            Some(id) => Some(cx.extensions.client_auth(id)?),
            None => None,
        };
        let mut http = config.http_client();
        // Bodies are compressed here.
        http.compression = Compression::NONE;
        let user_agent = format!("{}/{}", cx.build_info.name, cx.build_info.version);
        let context = ClientContext { auth, user_agent };
        let client = http
            .options(context)
            .and_then(HttpClient::new)
            .map_err(|error| BuildError(error.to_string()))?;
        let uri: http::Uri = config
            .endpoint
            .parse()
            .map_err(|_| BuildError(format!("invalid endpoint `{}`", config.endpoint)))?;
        let permissive = cx.gates.is_on(PERMISSIVE_GATE, false);
        let rules = Rules::new(config, config.is_v2(), permissive);
        Ok(Self {
            own: Own::new(cx, &config.endpoint, config.parallelism()),
            destination: Destination {
                client,
                uri,
                retry_on_429: cx.gates.is_on(&format!("{GATE}RetryOn429"), true),
                clock: cx.clock.clone(),
            },
            work: tokio::sync::Mutex::new(Work {
                translator: Translator::new(rules, config.send_metadata),
                packer: Packer::new(config.batch_bytes()),
            }),
            interner: cx.interner.clone(),
            sweep_due: AtomicBool::new(false),
            parallelism: config.parallelism(),
            retry: config.retry_on_failure.settings(),
            draining,
            sender_waits: !config.remote_write_queue.enabled,
            send_metadata: config.send_metadata,
            knows_v2: AtomicBool::new(false),
        })
    }

    /// Translates and packs a batch; gives other tasks a turn in between.
    async fn requests(&self, metrics: &Metrics) -> Requests {
        let mut work = self.work.lock().await;
        let Work { translator, packer } = &mut *work;
        if self.sweep_due.swap(false, Ordering::AcqRel) {
            translator.sweep(&self.interner);
        }
        translator.begin();
        let requests: Vec<&[Point]> = metrics.slices().collect();
        let mut since_turn = 0;
        for points in requests {
            for chunk in points.chunks(CHUNK) {
                translator.add(chunk);
                since_turn += chunk.len();
                if since_turn >= CHUNK {
                    since_turn = 0;
                    tokio::task::yield_now().await;
                }
            }
            translator.end_request();
        }
        for (why, points, name) in translator.finish() {
            self.own.refused(why, points, &name);
        }
        self.own.show_labels(translator.sets.len(), translator.sets.bytes());
        let mut requests = Requests {
            v2: translator.rules.v2,
            series: Vec::new(),
            metadata: Vec::new(),
        };
        if translator.rows.is_empty() {
            return requests;
        }
        packer.begin();
        while let Some(packed) = packer.next(translator) {
            requests.series.push(packed);
            if requests.series.len() > 1 {
                tokio::task::yield_now().await;
            }
        }
        if self.send_metadata && !requests.v2 {
            requests.metadata = packer.metadata(&metadata(translator));
        }
        requests
    }

    /// Sends requests in parallel; all of them, whatever becomes of the others (PRW-41).
    async fn send(&self, packed: &[Packed], v2: bool) -> Vec<Result<(), (usize, Reject)>> {
        let headers = headers(v2);
        let send = |packed: &Packed| {
            let (headers, packed) = (&headers, packed.clone());
            async move {
                let result = self.send_one(headers, &packed, v2).await;
                result.map_err(|reject| match &reject {
                    Reject::Partial { rejected, .. } => {
                        (usize::try_from(*rejected).unwrap_or(packed.counts.items), reject)
                    }
                    _ => (packed.counts.items, reject),
                })
            }
        };
        stream::iter(packed.iter().map(send).collect::<Vec<_>>())
            .buffer_unordered(self.parallelism)
            .collect()
            .await
    }

    async fn send_one(
        &self,
        headers: &http::HeaderMap,
        packed: &Packed,
        v2: bool,
    ) -> Result<(), Reject> {
        let attempt = || async {
            let (written, result) = self.destination.send(headers, packed.body.clone()).await;
            match result {
                Ok(()) => Ok(written),
                // The same again would be refused again, but some of it may be there (PRW-47).
                Err(Reject::Permanent(why)) if v2 && written.is_said() => {
                    self.own.partly_written(written);
                    let rejected = written.missing(packed.counts) as u64;
                    Err(Reject::Partial { rejected, why })
                }
                Err(reject) => Err(reject),
            }
        };
        let waiting = |why: &Reject, interval| self.own.will_retry(why, interval);
        let written = retry(&self.retry, &self.draining, attempt, waiting).await?;
        if !v2 {
            self.own.written(packed.counts, Written::all(packed.counts));
            return Ok(());
        }
        self.knows_v2.store(true, Ordering::Relaxed);
        self.own.written(packed.counts, written);
        match written.missing(packed.counts) as u64 {
            0 => Ok(()),
            rejected => Err(Reject::Partial {
                rejected,
                why: Cause::new("not_written", "the receiver has written only a part of a request"),
            }),
        }
    }

    async fn deliver(&self, metrics: &Metrics) -> Result<(), Reject> {
        let requests = self.requests(metrics).await;
        let result = self.deliver_requests(&requests, Some(metrics)).await;
        result.map_err(|(items, why)| self.result(items, why))
    }

    /// Sends the requests of a batch; an error tells how many points it costs. `metrics` are what they were made of, if that is still
    /// there: a receiver that does not know protocol 2.0 is sent 1.0 then.
    async fn deliver_requests(
        &self,
        requests: &Requests,
        metrics: Option<&Metrics>,
    ) -> Result<(), (usize, Reject)> {
        if requests.series.is_empty() {
            return Ok(());
        }
        let mut results = self.send(&requests.series, requests.v2).await;
        let mut metadata = &requests.metadata;
        let older;
        if let Some(metrics) = metrics.filter(|_| requests.v2 && wants_v1(&results))
            && self.fall_back().await
        {
            older = self.requests(metrics).await;
            results = self.send(&older.series, older.v2).await;
            metadata = &older.metadata;
        }
        results.extend(self.send(metadata, false).await);
        let mut failed = results.into_iter().filter_map(Result::err);
        let Some((mut items, mut why)) = failed.next() else {
            return Ok(());
        };
        for (more, other) in failed {
            items += more;
            // Only the first text: the others say the same of the same endpoint.
            if other.is_retryable() && !why.is_retryable() {
                why = other;
            }
        }
        Err((items, why))
    }

    /// A sender that waits sends all of it again, which the store takes as it takes any repeated
    /// sample; otherwise what failed is lost, and only that is counted so.
    fn result(&self, items: usize, why: Reject) -> Reject {
        match why {
            Reject::Retry { .. } if self.sender_waits => why,
            Reject::Retry { why, .. } | Reject::Permanent(why) | Reject::Partial { why, .. } => {
                Reject::Partial {
                    rejected: items as u64,
                    why,
                }
            }
        }
    }

    /// Goes over to protocol 1.0, if its names allow that (PRW-48).
    async fn fall_back(&self) -> bool {
        let mut work = self.work.lock().await;
        let rules = &work.translator.rules;
        if !rules.labels.namer.strategy.escapes() {
            return false;
        }
        if !rules.v2 {
            // Another batch has found out before.
            return true;
        }
        self.own.fell_back();
        let mut rules = rules.clone();
        rules.v2 = false;
        work.translator = Translator::new(rules, self.send_metadata);
        true
    }
}

fn wrong_signal() -> Reject {
    Reject::permanent("wrong_signal", "remote write takes metrics only")
}

/// Whether the receiver does not know the message.
fn wants_v1(results: &[Result<(), (usize, Reject)>]) -> bool {
    let refused = |result: &Result<(), (usize, Reject)>| {
        matches!(result, Err((_, Reject::Permanent(Cause { reason, .. }))) if *reason == WRONG_PROTOCOL)
    };
    results.iter().any(refused)
}

/// Metadata of all metrics of the batch by name, also of those whose points are not sent.
fn metadata(translator: &Translator) -> BTreeMap<String, Described> {
    let rules = &translator.rules.labels;
    let metrics = translator.metrics.iter().flat_map(|metrics| metrics.values());
    let entry = |metric: &Arc<weir_model::MetricMeta>| {
        Some((rules.family(metric).ok()?, rules.described(metric)))
    };
    metrics.filter_map(entry).collect()
}

impl Exporter for RemoteWrite {
    fn export<'a>(&'a self, batch: &'a mut Batch) -> BoxFut<'a, Result<(), Reject>> {
        Box::pin(async move {
            match &batch.data {
                Data::Metrics(metrics) => self.deliver(metrics).await,
                _ => Err(wrong_signal()),
            }
        })
    }
}
