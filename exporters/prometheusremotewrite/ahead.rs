//! Requests made ahead of their turn, in memory or in the log on disk.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_core::{Batch, BoxFut, BuildError, Data, Reject};
use weir_model::Metrics;
use weir_sending::{Encoded, Encoder};

use super::config::WalConfig;
use super::log::{Left, Log, Place};
use super::{RemoteWrite, Requests, wrong_signal};

/// What a waiting request takes besides its body.
const REQUEST_BYTES: usize = 256;

type SharedLog = Arc<Mutex<Log>>;

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something with the log where waiting for the disk holds up nobody.
async fn on_disk<T: Send + 'static>(
    log: &SharedLog,
    work: impl FnOnce(&mut Log) -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    let log = log.clone();
    let work = tokio::task::spawn_blocking(move || work(&mut lock(&log)));
    work.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// Makes requests ahead of their turn.
pub(super) struct Ahead {
    exporter: Arc<RemoteWrite>,
    log: Option<SharedLog>,
    left: Mutex<Vec<Left>>,
}

impl Ahead {
    /// With the log on disk, if there is to be one.
    pub(super) fn open(
        exporter: Arc<RemoteWrite>,
        wal: Option<&WalConfig>,
    ) -> Result<Self, BuildError> {
        let Some(wal) = wal else {
            return Ok(Self { exporter, log: None, left: Mutex::default() });
        };
        let folder = Path::new(wal.folder());
        let (log, left) = Log::open(folder, wal.max_bytes()).map_err(|error| {
            BuildError(format!("wal.directory: cannot use {}: {error}", folder.display()))
        })?;
        exporter.own.opened_log(folder, left.len(), log.damaged);
        let log = Arc::new(Mutex::new(log));
        let measured = log.clone();
        exporter.own.observe_log(move || lock(&measured).bytes());
        Ok(Self {
            exporter,
            log: Some(log),
            left: Mutex::new(left),
        })
    }

    async fn requests(&self, batch: Batch) -> Result<Box<dyn Encoded>, Reject> {
        let Data::Metrics(metrics) = batch.data else {
            return Err(wrong_signal());
        };
        let exporter = self.exporter.clone();
        let requests = exporter.requests(&metrics).await;
        let Some(log) = &self.log else {
            let uncertain = requests.v2 && !exporter.knows_v2.load(Ordering::Relaxed);
            return Ok(Box::new(Outgoing {
                exporter,
                requests,
                metrics: uncertain.then_some(metrics),
            }));
        };
        drop(metrics);
        let (items, begun) = (requests.items(), self.exporter.own.now());
        match on_disk(log, move |log| log.append(&requests)).await {
            Ok(Some(place)) => {
                self.exporter.own.log_written(place.length(), begun);
                let left = Left { place, items };
                Ok(Box::new(Logged { exporter, log: log.clone(), left, kept: true }))
            }
            Ok(None) => Err(Reject::retry("wal_full", "the log on disk (`wal`) is full")),
            Err(error) => {
                self.exporter.own.log_write_failed();
                Err(Reject::retry("wal_write", format!("cannot write the log on disk: {error}")))
            }
        }
    }
}

impl Encoder for Ahead {
    fn encode(&self, batch: Batch) -> BoxFut<'_, Result<Box<dyn Encoded>, Reject>> {
        Box::pin(self.requests(batch))
    }

    fn recover(&self) -> BoxFut<'_, Vec<(Box<dyn Encoded>, usize)>> {
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        let encoded = left.into_iter().filter_map(|left| {
            let logged = Logged {
                exporter: self.exporter.clone(),
                log: self.log.clone()?,
                left,
                kept: true,
            };
            Some((Box::new(logged) as Box<dyn Encoded>, left.items))
        });
        Box::pin(std::future::ready(encoded.collect()))
    }
}

/// Requests that wait in memory.
struct Outgoing {
    exporter: Arc<RemoteWrite>,
    requests: Requests,
    /// What they were made of, as long as it may have to be sent by the older protocol.
    metrics: Option<Metrics>,
}

impl Encoded for Outgoing {
    fn size_bytes(&self) -> usize {
        let requests = self.requests.series.iter().chain(&self.requests.metadata);
        let bodies: usize = requests.map(|packed| packed.body.len() + REQUEST_BYTES).sum();
        bodies + self.metrics.as_ref().map_or(0, Metrics::size_bytes)
    }

    fn deliver(&mut self) -> BoxFut<'_, Result<(), Reject>> {
        Box::pin(async move {
            let result = self.exporter.deliver_requests(&self.requests, self.metrics.as_ref());
            result.await.map_err(|(items, why)| self.exporter.result(items, why))
        })
    }
}

/// Requests that wait in the log.
struct Logged {
    exporter: Arc<RemoteWrite>,
    log: SharedLog,
    left: Left,
    /// Not delivered, and not given up.
    kept: bool,
}

impl Logged {
    async fn send(&mut self) -> Result<(), Reject> {
        let place: Place = self.left.place;
        let begun = self.exporter.own.now();
        let requests = on_disk(&self.log, move |log| log.read(place)).await;
        let result = match requests {
            Ok(requests) => {
                self.exporter.own.log_read(place.length(), begun);
                self.exporter.deliver_requests(&requests, None).await
            }
            Err(error) => {
                self.exporter.own.log_read_failed();
                let text = format!("cannot read the log on disk: {error}");
                Err((self.left.items, Reject::permanent("wal_read", text)))
            }
        };
        // What is given up only because the program stops is sent after the next start.
        let stopping = self.exporter.draining.has_begun();
        self.kept = stopping && matches!(&result, Err((_, why)) if why.is_retryable());
        if !self.kept {
            self.exporter.own.log_done();
            if let Err(error) = on_disk(&self.log, move |log| log.done(place)).await {
                self.exporter.own.log_done_failed(&error);
            }
        }
        result.map_err(|(items, why)| self.exporter.result(items, why))
    }
}

impl Encoded for Logged {
    fn size_bytes(&self) -> usize {
        REQUEST_BYTES
    }

    fn deliver(&mut self) -> BoxFut<'_, Result<(), Reject>> {
        Box::pin(self.send())
    }

    fn is_kept(&self) -> bool {
        self.kept
    }
}
