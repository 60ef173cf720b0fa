//! One batch to several consumers.

use std::sync::Arc;

use futures_util::future::join_all;
use weir_core::{Batch, BoxFut, Consumer, Reject};

/// Hands a batch to all consumers at once and waits for all of them.
///
/// Copies share their data until one changes it. All consumers are called even if one fails; the
/// result is the worst of theirs with all texts, so that a sender who tries again can duplicate
/// data into the branch that was well (CFG-44, as the reference).
pub struct FanOut {
    consumers: Vec<Arc<dyn Consumer>>,
}

impl FanOut {
    /// The consumers as one; a single one stays what it is.
    pub fn of(mut consumers: Vec<Arc<dyn Consumer>>) -> Arc<dyn Consumer> {
        match consumers.len() {
            1 => consumers.remove(0),
            _ => Arc::new(Self { consumers }),
        }
    }
}

impl Consumer for FanOut {
    fn consume(&self, batch: Batch) -> BoxFut<'_, Result<(), Reject>> {
        Box::pin(async move {
            let calls = self
                .consumers
                .iter()
                .map(|consumer| consumer.consume(batch.clone()));
            let calls: Vec<_> = calls.collect();
            // The original goes before the copies are awaited, so that the last holder may change
            // the data without copying it.
            drop(batch);
            let mut worst: Option<Reject> = None;
            for result in join_all(calls).await {
                if let Err(reject) = result {
                    worst = Some(match worst.take() {
                        Some(before) => before.worse(reject),
                        None => reject,
                    });
                }
            }
            worst.map_or(Ok(()), Err)
        })
    }
}
