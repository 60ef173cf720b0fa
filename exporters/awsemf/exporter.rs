//! The exporter itself: translate under a lock, send without it, account for what did not arrive.

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tracing::warn;
use weir_aws::{AwsError, CloudWatchLogs, ErrorKind};
use weir_core::telemetry::Counter;
use weir_core::{Batch, BoxFut, BuildCtx, Cause, Clock, Data, Exporter, Fold, Reject};
use weir_model::Metrics;

use super::config::Config;
use super::context::Receipt;
use super::events::Counts;
use super::translate::Translator;
use crate::cloudwatch_logs::push::{Pusher, Rejected};
use crate::cloudwatch_logs::request::Request;

/// An exporter of metrics to CloudWatch Logs (or lines on standard output).
pub(crate) struct EmfExporter {
    translator: Arc<Mutex<Translator>>,
    pusher: Pusher,
    workers: usize,
    limit: Option<Duration>,
    clock: Arc<dyn Clock>,
    meters: Meters,
}

/// Counters of what was left out, and a voice.
struct Meters {
    name: String,
    cx: BuildCtx,
    sent_events: Counter,
    fold: Fold,
    /// The queue counts what a batch that ends is said to lack.
    queued: bool,
}

impl EmfExporter {
    pub(crate) fn new(
        translator: Arc<Mutex<Translator>>,
        logs: CloudWatchLogs,
        config: &Config,
        cx: &BuildCtx,
    ) -> Self {
        let labels = [("exporter", cx.id.as_str())];
        let streams = translator.clone();
        cx.telemetry.observe_gauge(
            "weir_awsemf_delta_streams",
            "Cumulative streams whose last value is kept",
            &labels,
            move || lock(&streams).fill().streams as f64,
        );
        let tables = translator.clone();
        cx.telemetry.observe_gauge(
            "weir_awsemf_table_bytes",
            "Bytes of label sets, groups and event plans",
            &labels,
            move || lock(&tables).fill().bytes as f64,
        );
        Self {
            // Failures that the service blames on the request are for good, throttling included
            // (EMF-56) unless somebody is told to try again.
            pusher: Pusher::new(
                logs,
                config.max_retries,
                config.new_group(),
                if config.retry().enabled {
                    |error| error.is_client_fault() && error.kind != ErrorKind::Throttled
                } else {
                    AwsError::is_client_fault
                },
            ),
            workers: usize::try_from(config.num_workers).unwrap_or(1).max(1),
            limit: config.limit(),
            clock: cx.clock.clone(),
            meters: Meters {
                name: cx.id.as_str().to_owned(),
                sent_events: cx.telemetry.counter(
                    "weir_awsemf_sent_events",
                    "EMF events that CloudWatch Logs or standard output took",
                    &labels,
                ),
                cx: cx.clone(),
                fold: Fold::default(),
                queued: config.sending_queue.as_ref().is_some_and(|queue| queue.enabled),
            },
            translator,
        }
    }

    async fn deliver(&self, metrics: &mut Metrics) -> Result<(), Reject> {
        let now_ns = self.clock.unix_ns();
        let output = lock(&self.translator).translate(metrics, now_ns);
        self.meters.left_out(&output.counts);
        if !output.lines.is_empty() {
            // One write a batch, so that lines of parallel batches do not mix.
            let written = std::io::stdout().lock().write_all(&output.lines);
            written
                .map_err(|error| Reject::retry("stdout", format!("standard output: {error}")))?;
        }
        let mut flight = Flight {
            translator: &self.translator,
            receipt: output.receipt,
            waiting: Vec::new(),
        };
        let failures = self.send(output.requests, &mut flight).await;
        self.conclude(failures, &mut flight, &output.counts, metrics)
    }

    /// Sends the requests, those of one stream one after the other; returns the failed ones.
    async fn send(&self, requests: Vec<Request>, flight: &mut Flight<'_>) -> Vec<Failure> {
        flight.expect(&requests);
        let mut chains = chains(requests).into_iter();
        let mut running = FuturesUnordered::new();
        let mut failures = Vec::new();
        let deadline = async {
            match self.limit {
                Some(limit) => {
                    tokio::time::sleep(limit).await;
                    limit
                }
                None => std::future::pending().await,
            }
        };
        tokio::pin!(deadline);
        loop {
            while running.len() < self.workers {
                let Some(chain) = chains.next() else { break };
                running.push(self.send_chain(chain));
            }
            let done = tokio::select! {
                biased;
                done = running.next() => done,
                limit = &mut deadline => {
                    failures.push(Failure::late(limit, flight));
                    return failures;
                }
            };
            let Some(outcomes) = done else {
                return failures;
            };
            for (events, result) in outcomes {
                match result {
                    Ok(rejected) => {
                        self.meters.rejected(rejected);
                        self.meters.sent_events.add(events.len() as u64);
                        flight.arrived(&events);
                    }
                    Err(reject) => {
                        if !reject.is_retryable() {
                            flight.arrived(&events);
                        }
                        failures.push(Failure { reject, events });
                    }
                }
            }
        }
    }

    async fn send_chain(&self, chain: Vec<Request>) -> Vec<(Vec<u32>, Result<Rejected, Reject>)> {
        let mut outcomes = Vec::with_capacity(chain.len());
        for mut request in chain {
            let events = std::mem::take(&mut request.events);
            let count = events.len() as u64;
            let put = self.pusher.put(request, count).await;
            outcomes.push((events, put.map_err(|failure| failure.reject)));
        }
        outcomes
    }

    /// The result of a batch. What may be sent again stays in it, everything else goes.
    fn conclude(
        &self,
        failures: Vec<Failure>,
        flight: &mut Flight<'_>,
        counts: &Counts,
        metrics: &mut Metrics,
    ) -> Result<(), Reject> {
        let outside = counts.too_old + counts.too_new;
        let total = metrics.len();
        let lost: HashSet<u32> = failures
            .iter()
            .filter(|f| !f.reject.is_retryable())
            .flat_map(|f| f.events.iter().copied())
            .collect();
        let refused = if lost.is_empty() {
            0
        } else {
            let points = flight.receipt.points_of(|event| lost.contains(&event));
            points.len() as u64
        };
        let lost = refused + outside + counts.too_large;
        let mut rejects = failures.into_iter().map(|f| f.reject);
        let worst = rejects
            .next()
            .map(|first| rejects.fold(first, Reject::worse));
        match worst {
            Some(retry) if retry.is_retryable() => {
                // The caller will hear of these only as not being there any more.
                self.meters.dropped(refused, "refused_by_service", "");
                if self.meters.queued {
                    self.meters.not_sent(counts);
                }
                let left = flight.land();
                keep_only(metrics, &left);
                Err(retry)
            }
            Some(permanent) if lost >= total as u64 => Err(permanent),
            Some(permanent) => Err(Reject::Partial {
                rejected: lost,
                why: permanent.why().clone(),
            }),
            None if outside > 0 => Err(Reject::Partial {
                rejected: lost,
                why: Cause::new(
                    if counts.too_old > 0 { "too_old" } else { "too_new" },
                    format!(
                        "{outside} values are older than 14 days or more than 2 hours ahead, which \
                         CloudWatch Logs refuses; check the sender's clock"
                    ),
                ),
            }),
            None if counts.too_large > 0 => Err(Reject::Partial {
                rejected: counts.too_large,
                why: Cause::new(
                    "too_large",
                    format!(
                        "{} values need an event of more than 256 KiB, which CloudWatch Logs \
                         refuses; send fewer attributes",
                        counts.too_large
                    ),
                ),
            }),
            None => Ok(()),
        }
    }
}

impl Exporter for EmfExporter {
    fn export<'a>(&'a self, batch: &'a mut Batch) -> BoxFut<'a, Result<(), Reject>> {
        Box::pin(async move {
            match &mut batch.data {
                Data::Metrics(metrics) => self.deliver(metrics).await,
                _ => Ok(()),
            }
        })
    }
}

/// Requests of each stream, in order.
fn chains(requests: Vec<Request>) -> Vec<Vec<Request>> {
    let mut chains: Vec<Vec<Request>> = Vec::new();
    for request in requests {
        match chains.last_mut() {
            Some(chain)
                if chain
                    .last()
                    .is_some_and(|last| last.target == request.target) =>
            {
                chain.push(request);
            }
            _ => chains.push(vec![request]),
        }
    }
    chains
}

/// Leaves only the points with these (sorted) positions.
fn keep_only(metrics: &mut Metrics, positions: &[u32]) {
    let mut at = 0u32;
    metrics.points_mut().retain(|_| {
        let keep = positions.binary_search(&at).is_ok();
        at = at.saturating_add(1);
        keep
    });
}

/// Requests that failed together.
struct Failure {
    reject: Reject,
    events: Vec<u32>,
}

impl Failure {
    fn late(limit: Duration, flight: &Flight<'_>) -> Self {
        Self {
            reject: Reject::retry(
                "timeout",
                format!(
                    "CloudWatch Logs did not take {} events within {} (timeout, or \
                     request_timeout_seconds)",
                    flight.waiting.iter().filter(|parts| **parts > 0).count(),
                    weir_config::Duration::from(limit)
                ),
            ),
            events: Vec::new(),
        }
    }
}

/// Events on their way. Those that have not arrived when it ends, also when the caller gives up and
/// drops the whole call, give their deltas back, so that the next value of the stream makes up for
/// them (or the same one, sent again).
struct Flight<'a> {
    translator: &'a Mutex<Translator>,
    receipt: Receipt,
    /// By event: in how many requests parts of it are that have not arrived.
    waiting: Vec<u16>,
}

impl Flight<'_> {
    /// Notes the events of requests that are going to be sent.
    fn expect(&mut self, requests: &[Request]) {
        let events = || requests.iter().flat_map(|request| &request.events);
        let most = events().max().map_or(0, |last| *last as usize + 1);
        self.waiting = vec![0; most];
        for event in events() {
            if let Some(parts) = self.waiting.get_mut(*event as usize) {
                *parts = parts.saturating_add(1);
            }
        }
    }

    /// Notes the end of a request.
    fn arrived(&mut self, events: &[u32]) {
        for event in events {
            if let Some(parts) = self.waiting.get_mut(*event as usize) {
                *parts = parts.saturating_sub(1);
            }
        }
    }

    /// Gives back the deltas of what has not arrived; returns the points concerned.
    fn land(&mut self) -> Vec<u32> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.iter().all(|parts| *parts == 0) {
            return Vec::new();
        }
        let is_waiting = |event| waiting.get(event as usize).is_some_and(|parts| *parts > 0);
        let points = self.receipt.points_of(is_waiting);
        lock(self.translator).credit(&self.receipt, &points);
        points
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.land();
    }
}

impl Meters {
    /// Counts what translation left out, and says it now and then.
    fn left_out(&self, counts: &Counts) {
        for (count, reason, text) in [
            (counts.stale, "no_recorded_value", ""),
            (counts.not_finite, "not_finite", ""),
            (
                counts.duplicate,
                "duplicate_metric",
                "Duplicate metric found: values with the same name, labels and time; the first is \
                 kept. Points of several resources fall together unless \
                 resource_to_telemetry_conversion is enabled",
            ),
            (
                counts.no_room,
                "delta_streams_full",
                "No room to follow more cumulative streams; their points are dropped",
            ),
            (counts.overtaken, "overtaken", ""),
        ] {
            self.dropped(count, reason, text);
        }
        if !self.queued {
            self.not_sent(counts);
        }
        for (count, text) in [
            (
                counts.too_old,
                "Values older than 14 days are dropped: CloudWatch Logs refuses them",
            ),
            (
                counts.too_new,
                "Values more than 2 hours ahead are dropped: CloudWatch Logs refuses them",
            ),
            (
                counts.too_large,
                "Values are dropped because their labels alone fill an event of 256 KiB",
            ),
            (
                counts.cut,
                "Events over 256 KiB are cut, CloudWatch takes no metrics from them",
            ),
            (
                counts.reduced,
                "Events over 256 KiB are sent in parts, with label values cut to 1024 characters",
            ),
            (
                counts.trimmed,
                "Names are left out of dimension sets or metrics that CloudWatch would refuse: \
                 beyond 30 in a set, empty, too long, or both label and metric; choose the sets \
                 with metric_declarations",
            ),
        ] {
            if count > 0 {
                self.say(count, text);
            }
        }
    }

    /// Counts what is not sent and is part of the result of the batch.
    fn not_sent(&self, counts: &Counts) {
        self.dropped(counts.too_old, "too_old", "");
        self.dropped(counts.too_new, "too_new", "");
        self.dropped(counts.too_large, "too_large", "");
    }

    /// Counts what the service took but will not keep.
    fn rejected(&self, rejected: Rejected) {
        let text = "Events were rejected by CloudWatch Logs because of their time";
        self.dropped(rejected.too_old, "rejected_too_old", text);
        self.dropped(rejected.too_new, "rejected_too_new", text);
        self.dropped(rejected.expired, "rejected_expired", text);
    }

    fn dropped(&self, count: u64, reason: &str, text: &str) {
        if count == 0 {
            return;
        }
        let labels = [
            ("component", self.name.as_str()),
            ("signal", "metrics"),
            ("reason", reason),
        ];
        let help = "Items that were taken in and will never arrive";
        self.cx
            .telemetry
            .counter("weir_dropped_items_total", help, &labels)
            .add(count);
        if !text.is_empty() {
            self.say(count, text);
        }
    }

    fn say(&self, count: u64, text: &str) {
        if let Some(left_out) = self.fold.say(text, self.cx.clock.monotonic()) {
            warn!(
                kind = "exporter",
                name = self.name,
                count,
                left_out,
                "{text}"
            );
        }
    }
}

/// Locks the state; a panic while it was held leaves whole entries only.
pub(crate) fn lock(translator: &Mutex<Translator>) -> MutexGuard<'_, Translator> {
    translator.lock().unwrap_or_else(PoisonError::into_inner)
}
