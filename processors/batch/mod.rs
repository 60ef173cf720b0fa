//! The `batch` processor: fewer, larger batches.
//!
//! A sender is answered when its data has been taken in, as in the reference. Unlike there, what is
//! taken in is not lost when the components behind refuse it for now: the batch is held and offered
//! again, and while it is held new data waits and is then refused, so that senders learn of the
//! jam (docs/decisions/batch-acknowledges-early.md). Only a permanent refusal drops a batch, counted and logged.

mod config;
mod shard;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use config::Config;
use shard::{Metrics, Shard};
use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Consumer, Deadline, Processor, ProcessorKind, Reject, Signals, Stage,
    Stability,
};
use weir_model::ClientMetadata;

/// Registration.
pub struct Kind;

impl ProcessorKind for Kind {
    const TYPE: &'static str = "batch";
    const STABILITY: Stability = Stability::Beta;
    const SIGNALS: Signals = Signals::ALL;
    type Config = Config;

    fn build(
        config: Config,
        cx: BuildCtx,
        next: Arc<dyn Consumer>,
    ) -> BoxFut<'static, Result<Processor, BuildError>> {
        Box::pin(async move { Ok(Processor::Stage(Arc::new(Batcher::new(config, cx, next)))) })
    }
}

/// Values of `metadata_keys`, one list per key.
type Key = Vec<Vec<String>>;

/// One batcher per combination of metadata values.
pub(crate) struct Batcher {
    config: Config,
    cx: BuildCtx,
    next: Arc<dyn Consumer>,
    metrics: Metrics,
    shards: Mutex<HashMap<Key, Arc<Shard>>>,
    /// The only shard when there are no metadata keys: no map on the way.
    single: Option<Arc<Shard>>,
}

impl Batcher {
    pub(crate) fn new(config: Config, cx: BuildCtx, next: Arc<dyn Consumer>) -> Self {
        let metrics = Metrics::new(&cx);
        let single = config
            .metadata_keys
            .is_empty()
            .then(|| Shard::spawn(&config, &cx, next.clone(), metrics.clone(), None));
        Self { config, cx, next, metrics, shards: Mutex::default(), single }
    }

    fn shard(&self, batch: &Batch) -> Result<Arc<Shard>, Reject> {
        if let Some(shard) = &self.single {
            return Ok(shard.clone());
        }
        let values = |name: &String| -> Vec<String> {
            let client = batch.client.as_deref();
            client.map(|c| c.get(name).map(str::to_owned).collect()).unwrap_or_default()
        };
        let key: Key = self.config.metadata_keys.iter().map(values).collect();
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shard) = shards.get(&key) {
            return Ok(shard.clone());
        }
        let limit = self.config.metadata_cardinality_limit as usize;
        if limit > 0 && shards.len() >= limit {
            return Err(Reject::permanent(
                "metadata_cardinality",
                "too many batcher metadata-value combinations: raise metadata_cardinality_limit",
            ));
        }
        let headers = self.config.metadata_keys.iter().zip(&key);
        let headers = headers.flat_map(|(name, values)| {
            values.iter().map(|value| (name.to_ascii_lowercase(), value.clone()))
        });
        let client = ClientMetadata { headers: headers.collect(), address: None };
        let shard =
            Shard::spawn(&self.config, &self.cx, self.next.clone(), self.metrics.clone(), Some(Arc::new(client)));
        shards.insert(key, shard.clone());
        self.metrics.cardinality(shards.len());
        Ok(shard)
    }
}

impl Consumer for Batcher {
    fn consume(&self, batch: Batch) -> BoxFut<'_, Result<(), Reject>> {
        Box::pin(async move { self.shard(&batch)?.push(batch).await })
    }
}

impl Stage for Batcher {
    fn drain(&self, by: Deadline) -> BoxFut<'_, ()> {
        Box::pin(async move {
            let shards: Vec<_> = {
                let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
                self.single.iter().chain(shards.values()).cloned().collect()
            };
            futures_util::future::join_all(shards.iter().map(|shard| shard.drain(by))).await;
        })
    }
}
