//! The exporter itself: translate under a lock, send without it, account for what did not arrive.

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tracing::warn;
use weir_aws::{AwsError, CloudWatchLogs};
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
    limit: Duration,
    clock: Arc<dyn Clock>,
    meters: Meters,
}

/// Counters of what was left out, and a voice.
struct Meters {
    name: String,
    cx: BuildCtx,
    sent_events: Counter,
    fold: Fold,
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
            // (EMF-56).
            pusher: Pusher::new(
                logs,
                config.max_retries,
                config.new_group(),
                AwsError::is_client_fault,
            ),
            workers: usize::try_from(config.num_workers).unwrap_or(1).max(1),
            limit: match u64::try_from(config.request_timeout_seconds) {
                Ok(seconds) if seconds > 0 => Duration::from_secs(seconds),
                _ => Duration::from_secs(30),
            },
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
            waiting: HashSet::new(),
        };
        let failures = self.send(output.requests, &mut flight).await;
        let outside = output.counts.too_old + output.counts.too_new;
        self.conclude(failures, &mut flight, outside, metrics)
    }

    /// Sends the requests, those of one stream one after the other; returns the failed ones.
    async fn send(&self, requests: Vec<Request>, flight: &mut Flight<'_>) -> Vec<Failure> {
        flight
            .waiting
            .extend(requests.iter().flat_map(|r| r.events.iter().copied()));
        let mut chains = chains(requests).into_iter();
        let mut running = FuturesUnordered::new();
        let mut failures = Vec::new();
        let deadline = tokio::time::sleep(self.limit);
        tokio::pin!(deadline);
        loop {
            while running.len() < self.workers {
                let Some(chain) = chains.next() else { break };
                running.push(self.send_chain(chain));
            }
            let done = tokio::select! {
                biased;
                done = running.next() => done,
                () = &mut deadline => {
                    failures.push(Failure::late(self.limit, flight));
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
                        for event in events {
                            flight.waiting.remove(&event);
                        }
                    }
                    Err(reject) => {
                        if !reject.is_retryable() {
                            for event in &events {
                                flight.waiting.remove(event);
                            }
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
            outcomes.push((events, self.pusher.put(request, count).await));
        }
        outcomes
    }

    /// The result of a batch. What may be sent again stays in it, everything else goes.
    fn conclude(
        &self,
        failures: Vec<Failure>,
        flight: &mut Flight<'_>,
        outside: u64,
        metrics: &mut Metrics,
    ) -> Result<(), Reject> {
        let total = metrics.len();
        let lost: HashSet<u32> = failures
            .iter()
            .filter(|f| !f.reject.is_retryable())
            .flat_map(|f| f.events.iter().copied())
            .collect();
        let refused = flight.receipt.points_of(|event| lost.contains(&event));
        let refused = refused.len() as u64;
        let lost = refused + outside;
        let mut rejects = failures.into_iter().map(|f| f.reject);
        let worst = rejects
            .next()
            .map(|first| rejects.fold(first, Reject::worse));
        match worst {
            Some(retry) if retry.is_retryable() => {
                // The caller will hear of these only as not being there any more.
                self.meters.dropped(refused, "refused_by_service", "");
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
                rejected: outside,
                why: Cause::new(
                    "event_time",
                    format!(
                        "{outside} values are older than 14 days or more than 2 hours ahead, which \
                         CloudWatch Logs refuses; check the sender's clock"
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
                    "CloudWatch Logs did not take {} events within {} s \
                     (request_timeout_seconds)",
                    flight.waiting.len(),
                    limit.as_secs()
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
    waiting: HashSet<u32>,
}

impl Flight<'_> {
    /// Gives back the deltas of what has not arrived; returns the points concerned.
    fn land(&mut self) -> Vec<u32> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Vec::new();
        }
        let points = self.receipt.points_of(|event| waiting.contains(&event));
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
            (
                counts.too_old,
                "too_old",
                "Values older than 14 days are dropped: CloudWatch Logs refuses them",
            ),
            (
                counts.too_new,
                "too_new",
                "Values more than 2 hours ahead are dropped: CloudWatch Logs refuses them",
            ),
        ] {
            self.dropped(count, reason, text);
        }
        if counts.cut > 0 {
            self.say(
                counts.cut,
                "Events over 256 KiB are cut, CloudWatch takes no metrics from them",
            );
        }
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
