//! Queue, batching, retry and timeout round an exporter's one try at delivery.
//!
//! The layers, from outside in: admission to the queue (with batching), then per batch the retry
//! loop, then a time limit on each attempt, then [`weir_core::Exporter::export`]. Without a queue
//! the result of the delivery is the caller's acknowledgement; with one, success means that the
//! batch is in the queue, unless `wait_for_result` is set. Every item that gets in is counted as
//! sent or failed, or is still in the queue; a drop has a reason.

mod admission;
mod ahead;
mod backoff;
mod batching;
mod delivery;
mod direct;
mod meters;
mod queue;
mod queued;
mod retry;
mod settings;
mod sizing;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use weir_core::{BuildCtx, Exporter, Signal, Stage};

use delivery::Delivery;
use direct::Direct;
use meters::Meters;
use queued::Queued;

pub use ahead::{Encoded, Encoder};
pub use retry::{Draining, retry};
pub use settings::{
    BatchSettings, PartitionSettings, QueueSettings, RetrySettings, SendingSettings, Sizer,
    TimeoutSettings, queue_with_one_consumer, validate_sending,
};

/// Puts the configured layers round an exporter.
///
/// Nothing runs before [`Stage::start`]; [`Stage::drain`] ends it and stops the exporter.
pub fn wrap(
    exporter: Arc<dyn Exporter>,
    settings: &SendingSettings,
    cx: &BuildCtx,
) -> Arc<dyn Stage> {
    let signal = cx.signal.unwrap_or(Signal::Metrics);
    let meters = Arc::new(Meters::new(cx, signal, &settings.labels));
    let delivery = Arc::new(Delivery::new(exporter, settings, meters));
    match settings.active_queue() {
        None => Arc::new(Direct::new(delivery, settings)),
        Some(queue) => Arc::new(Queued::new(delivery, queue, settings, None, cx)),
    }
}

/// The same for an exporter that makes its requests ahead of their delivery. `encoder` makes
/// them when there is a queue, with one consumer; without one `exporter` is asked.
pub fn wrap_encoded(
    exporter: Arc<dyn Exporter>,
    encoder: Arc<dyn Encoder>,
    settings: &SendingSettings,
    cx: &BuildCtx,
) -> Arc<dyn Stage> {
    let Some(queue) = settings.active_queue() else {
        return wrap(exporter, settings, cx);
    };
    let signal = cx.signal.unwrap_or(Signal::Metrics);
    let meters = Arc::new(Meters::new(cx, signal, &settings.labels));
    let delivery = Arc::new(Delivery::new(exporter, settings, meters));
    Arc::new(Queued::new(delivery, queue, settings, Some(encoder), cx))
}
