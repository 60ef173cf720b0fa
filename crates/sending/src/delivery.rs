//! Attempts at delivering one batch: a time limit on each, waits between them, counts of the end.

use std::sync::Arc;
use std::time::Duration;

use weir_core::{Batch, Cause, Deadline, Exporter, Reject};

use crate::ahead::Encoded;
use crate::backoff::Backoff;
use crate::meters::Meters;
use crate::retry::{Draining, wait};
use crate::settings::{RetrySettings, SendingSettings};

/// gRPC status code of an attempt that took too long.
const DEADLINE_EXCEEDED: u32 = 4;

/// A delivery that failed for good.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Why.
    pub(crate) reject: Reject,
    /// Items that did not arrive.
    pub(crate) items: usize,
}

/// Delivers batches through one exporter.
pub(crate) struct Delivery {
    exporter: Arc<dyn Exporter>,
    limit: Option<Duration>,
    retry: RetrySettings,
    pub(crate) meters: Arc<Meters>,
    draining: Draining,
}

impl Delivery {
    pub(crate) fn new(
        exporter: Arc<dyn Exporter>,
        settings: &SendingSettings,
        meters: Arc<Meters>,
    ) -> Self {
        Self {
            exporter,
            limit: settings.timeout.limit(),
            retry: settings.retry,
            meters,
            draining: settings.draining.clone(),
        }
    }

    /// The exporter behind.
    pub(crate) fn exporter(&self) -> &dyn Exporter {
        self.exporter.as_ref()
    }

    /// Ends waiting between attempts.
    pub(crate) fn begin_drain(&self) {
        self.draining.begin();
    }

    /// Delivers a batch, retrying as configured. Every item is counted as sent or failed.
    pub(crate) async fn deliver(&self, mut batch: Batch) -> Result<(), Failure> {
        let _in_flight = self.meters.enter();
        let mut account = Account {
            meters: &self.meters,
            open: batch.len(),
        };
        let mut backoff = None;
        loop {
            // Asked before the attempt: one that began before draining may be followed by another.
            let last = !self.retry.enabled || self.draining.has_begun();
            let Err(reject) = self.attempt(&mut batch).await else {
                account.sent(account.open);
                return Ok(());
            };
            match &reject {
                Reject::Retry { .. } => {}
                Reject::Partial { rejected, .. } => {
                    let rejected = usize::try_from(*rejected).unwrap_or(usize::MAX);
                    return Err(account.close(reject, rejected));
                }
                Reject::Permanent(_) => return Err(account.close(reject, account.open)),
            }
            let left = batch.len();
            if left == 0 {
                // Nothing is there to be sent again, and nobody said that it arrived.
                return Err(account.close(reject, account.open));
            }
            account.sent(account.open.saturating_sub(left));
            if last {
                return Err(account.close(reject, left));
            }
            let backoff = backoff.get_or_insert_with(|| Backoff::new(&self.retry));
            let mut waiting = |reject: &Reject, interval| {
                self.meters.will_retry(&reject.why().message, interval);
            };
            if let Err(reject) = wait(backoff, reject, &self.draining, &mut waiting).await {
                return Err(account.close(reject, left));
            }
        }
    }

    /// Delivers what was encoded before; the exporter retries by itself. Counts as
    /// [`Self::deliver`] does.
    pub(crate) async fn deliver_encoded(
        &self,
        encoded: &mut dyn Encoded,
        items: usize,
    ) -> Result<(), Failure> {
        let _in_flight = self.meters.enter();
        let mut account = Account {
            meters: &self.meters,
            open: items,
        };
        match encoded.deliver().await {
            Ok(()) => {
                account.sent(items);
                Ok(())
            }
            Err(reject) => {
                let failed = match &reject {
                    Reject::Partial { rejected, .. } => {
                        usize::try_from(*rejected).unwrap_or(usize::MAX)
                    }
                    Reject::Retry { .. } | Reject::Permanent(_) => items,
                };
                Err(account.close(reject, failed))
            }
        }
    }

    async fn attempt(&self, batch: &mut Batch) -> Result<(), Reject> {
        let attempt = self.exporter.export(batch);
        let Some(limit) = self.limit else {
            return attempt.await;
        };
        let result = tokio::time::timeout(limit, attempt).await;
        result.unwrap_or_else(|_| {
            let limit = weir_config::Duration::from(limit);
            Err(Reject::Retry {
                after: None,
                why: Cause::new(
                    "timeout",
                    format!("no answer within the timeout of {limit}"),
                )
                .with_grpc_code(DEADLINE_EXCEEDED),
            })
        })
    }

    /// Stops the exporter after the last delivery.
    pub(crate) async fn stop(&self, by: Deadline) {
        if tokio::time::timeout_at(by.instant(), self.exporter.stop(by))
            .await
            .is_err()
        {
            self.meters.slow_stop();
        }
    }
}

/// Counts every item once, also when the delivery is cancelled half way.
struct Account<'a> {
    meters: &'a Meters,
    open: usize,
}

impl Account<'_> {
    fn sent(&mut self, items: usize) {
        let items = items.min(self.open);
        self.meters.sent(items);
        self.open -= items;
    }

    /// `failed` of the open items did not arrive, the others did.
    fn close(&mut self, reject: Reject, failed: usize) -> Failure {
        let failed = failed.min(self.open);
        self.sent(self.open - failed);
        self.meters.failed(failed);
        self.open = 0;
        Failure {
            reject,
            items: failed,
        }
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        if self.open > 0 {
            self.meters.failed(self.open);
        }
    }
}
