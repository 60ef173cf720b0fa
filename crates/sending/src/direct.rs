//! Without a queue: the result of the delivery is the acknowledgement (OTLP-44).

use std::sync::Arc;

use tokio_util::task::TaskTracker;
use weir_core::{Batch, BoxFut, Consumer, Deadline, Fatal, Reject, Stage};

use crate::delivery::Delivery;
use crate::queue::stopping;
use crate::settings::SendingSettings;

/// Delivers in the caller's time.
pub(crate) struct Direct {
    delivery: Arc<Delivery>,
    hint: &'static str,
    /// Deliveries going on; closed when the stage drains.
    going_on: TaskTracker,
}

impl Direct {
    pub(crate) fn new(delivery: Arc<Delivery>, settings: &SendingSettings) -> Self {
        let hint = match (&settings.queue, settings.retry.enabled) {
            (Some(_), _) => " Try enabling sending_queue to survive temporary failures.",
            (None, false) => " Try enabling retry_on_failure to survive temporary failures.",
            (None, true) => "",
        };
        Self {
            delivery,
            hint,
            going_on: TaskTracker::new(),
        }
    }
}

impl Consumer for Direct {
    fn consume(&self, batch: Batch) -> BoxFut<'_, Result<(), Reject>> {
        Box::pin(async move {
            if batch.is_empty() {
                return Ok(());
            }
            if self.going_on.is_closed() {
                return Err(stopping());
            }
            let _going_on = self.going_on.token();
            let failure = match self.delivery.deliver(batch).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            let why = &failure.reject.why().message;
            self.delivery.meters.rejected(failure.items, why, self.hint);
            Err(failure.reject)
        })
    }
}

impl Stage for Direct {
    fn start(&self) -> BoxFut<'_, Result<(), Fatal>> {
        self.delivery.exporter().start()
    }

    fn drain(&self, by: Deadline) -> BoxFut<'_, ()> {
        Box::pin(async move {
            if !self.going_on.close() {
                return;
            }
            self.delivery.begin_drain();
            if tokio::time::timeout_at(by.instant(), self.going_on.wait())
                .await
                .is_err()
            {
                // Their callers still wait and will learn the result, or that there is none.
                self.delivery.meters.slow_stop();
            }
            self.delivery.stop(by).await;
        })
    }
}
