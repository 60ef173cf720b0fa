//! Sending: packs a batch, puts its requests, accounts for what did not arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use weir_aws::{AwsError, CloudWatchLogs, ErrorKind};
use weir_core::{Batch, BoxFut, BuildCtx, Cause, Clock, Data, Exporter, Reject};
use weir_model::Logs;

use super::config::Config;
use super::meters::Meters;
use super::pack::{LeftOut, pack};
use crate::cloudwatch_logs::push::{Failure, Pusher, Rejected, UNAVAILABLE};
use crate::cloudwatch_logs::request::Request;

/// Puts of a request after its stream had to be made; the reference fixes it, whatever `max_retries`
/// says.
const PUTS_AFTER_MAKING: i64 = 1;
/// HTTP status of a request that is too large.
const TOO_LARGE: u16 = 413;

/// An exporter of log records to CloudWatch Logs.
pub(super) struct LogsExporter {
    config: Config,
    pusher: Pusher,
    workers: usize,
    clock: Arc<dyn Clock>,
    meters: Meters,
}

/// What became of a request that was put.
struct Outcome {
    /// Numbers of its records.
    records: Vec<u32>,
    result: Result<Rejected, Reject>,
}

/// What became of a batch.
#[derive(Debug, Default)]
struct Account {
    /// By record: whether it is to be sent again.
    open: Vec<bool>,
    /// Records that never will arrive.
    lost: u64,
    /// Why, the first reason.
    why_lost: Option<Cause>,
    /// Why the open ones did not arrive, the worst reason.
    retry: Option<Reject>,
}

impl LogsExporter {
    pub(super) fn new(config: Config, logs: CloudWatchLogs, cx: &BuildCtx) -> Self {
        Self {
            pusher: Pusher::new(logs, PUTS_AFTER_MAKING, config.new_group(), is_final),
            workers: usize::try_from(config.num_workers).unwrap_or(1).max(1),
            clock: cx.clock.clone(),
            meters: Meters::new(cx),
            config,
        }
    }

    async fn deliver(&self, logs: &mut Logs) -> Result<(), Reject> {
        let now_ms = i64::try_from(self.clock.unix_ms()).unwrap_or(i64::MAX);
        let packed = pack(logs, &self.config, now_ms);
        self.meters.cut(packed.cut);
        self.meters.left_out(packed.left_out);
        let mut account = Account::new(logs.len());
        account.leave_out(packed.left_out);
        for record in packed.streams.iter().flatten().flat_map(|r| &r.events) {
            account.set_open(*record, true);
        }
        for outcome in self.send(packed.streams).await {
            if let Ok(rejected) = &outcome.result {
                let events = outcome.records.len() as u64;
                self.meters.sent(events.saturating_sub(rejected.total()));
                self.meters.refused(*rejected);
            }
            account.settle(outcome);
        }
        self.conclude(account, logs)
    }

    /// Puts the requests, those of one stream one after the other; what is not among the outcomes was
    /// not put.
    async fn send(&self, streams: Vec<Vec<Request>>) -> Vec<Outcome> {
        // The service as a whole is in trouble: no use in trying the other requests now.
        let trouble = AtomicBool::new(false);
        let mut waiting = streams.into_iter();
        let mut running = FuturesUnordered::new();
        let mut outcomes = Vec::new();
        loop {
            while running.len() < self.workers {
                let Some(requests) = waiting.next() else { break };
                running.push(self.send_stream(requests, &trouble));
            }
            let Some(done) = running.next().await else {
                return outcomes;
            };
            outcomes.extend(done);
        }
    }

    async fn send_stream(&self, requests: Vec<Request>, trouble: &AtomicBool) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(requests.len());
        for mut request in requests {
            if trouble.load(Ordering::Acquire) {
                break;
            }
            let records = std::mem::take(&mut request.events);
            let put = self.pusher.put(request, records.len() as u64).await;
            let mut may_go_on = true;
            let result = put.map_err(|Failure { kind, reject }| {
                may_go_on = !reject.is_retryable();
                if concerns_the_service(kind) {
                    trouble.store(true, Ordering::Release);
                }
                reject
            });
            outcomes.push(Outcome { records, result });
            if !may_go_on {
                // Later events of the stream are not put before these.
                break;
            }
        }
        outcomes
    }

    /// The result of a batch. What is to be sent again stays in it, everything else goes.
    fn conclude(&self, account: Account, logs: &mut Logs) -> Result<(), Reject> {
        let Account {
            open,
            lost,
            why_lost,
            retry,
        } = account;
        if let Some(retry) = retry {
            let reason = why_lost.map_or("", |why| why.reason);
            self.meters.dropped(lost, reason);
            let mut open = open.into_iter();
            logs.retain(|_| open.next().unwrap_or(true));
            return Err(retry);
        }
        match why_lost {
            Some(why) if lost >= logs.len() as u64 => Err(Reject::Permanent(why)),
            Some(why) if lost > 0 => Err(Reject::Partial {
                rejected: lost,
                why,
            }),
            _ => Ok(()),
        }
    }
}

impl Account {
    fn new(records: usize) -> Self {
        Self {
            open: vec![false; records],
            ..Self::default()
        }
    }

    fn set_open(&mut self, record: u32, open: bool) {
        if let Some(slot) = self.open.get_mut(record as usize) {
            *slot = open;
        }
    }

    fn lose(&mut self, records: u64, why: impl FnOnce() -> Cause) {
        if records > 0 {
            self.lost += records;
            self.why_lost.get_or_insert_with(why);
        }
    }

    /// Records that cannot be sent.
    fn leave_out(&mut self, left_out: LeftOut) {
        let LeftOut {
            too_old,
            too_new,
            empty,
        } = left_out;
        for (records, reason, text) in [
            (too_old, "too_old", "older than 14 days"),
            (too_new, "too_new", "more than 2 hours ahead"),
            (empty, "empty", "without text in their body"),
        ] {
            self.lose(records, || {
                let text = format!("{records} log records are {text}: CloudWatch Logs refuses them");
                Cause::new(reason, text)
            });
        }
    }

    /// A request was put.
    fn settle(&mut self, outcome: Outcome) {
        let Outcome { records, result } = outcome;
        let count = records.len() as u64;
        match result {
            Err(reject) if reject.is_retryable() => {
                self.retry = Some(match self.retry.take() {
                    Some(before) => before.worse(reject),
                    None => reject,
                });
                return;
            }
            // The sender hears what the reference tells it.
            Err(reject) => self.lose(count, || reject.why().clone().with_grpc_code(UNAVAILABLE)),
            Ok(rejected) => self.lose(rejected.total(), || why_rejected(rejected)),
        }
        for record in records {
            self.set_open(record, false);
        }
    }
}

fn why_rejected(rejected: Rejected) -> Cause {
    let Rejected {
        too_old,
        too_new,
        expired,
    } = rejected;
    let reason = match (too_old, too_new) {
        (0, 0) => "expired",
        (0, _) => "too_new",
        _ => "too_old",
    };
    let text = format!(
        "CloudWatch Logs did not keep {} log events: {too_old} too old, {too_new} too new, {expired} \
         older than the log group's retention",
        rejected.total()
    );
    Cause::new(reason, text)
}

/// Whether sending the same request again cannot help. The reference tries everything again, which
/// holds up what comes behind.
fn is_final(error: &AwsError) -> bool {
    error.kind == ErrorKind::Invalid || error.status == Some(TOO_LARGE)
}

/// Whether other requests would fail the same way now.
fn concerns_the_service(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Throttled
            | ErrorKind::Server
            | ErrorKind::Timeout
            | ErrorKind::Transport
            | ErrorKind::UnknownHost
            | ErrorKind::Credentials
            | ErrorKind::Expired
    )
}

impl Exporter for LogsExporter {
    fn export<'a>(&'a self, batch: &'a mut Batch) -> BoxFut<'a, Result<(), Reject>> {
        Box::pin(async move {
            match &mut batch.data {
                Data::Logs(logs) => self.deliver(logs).await,
                _ => Err(Reject::permanent(
                    "signal",
                    "CloudWatch Logs takes log records only",
                )),
            }
        })
    }
}
