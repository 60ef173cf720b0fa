//! Keeps the state file of one instance: reads it at the start, writes it every few minutes and at
//! the end.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use weir_core::telemetry::Counter;
use weir_core::{BuildCtx, Clock, Tasks};
use weir_detect::{ArchiveWriter, SnapshotError, read_archive};

use super::persist;
use super::store::{Place, Store};

/// The file and what is told about it.
pub(super) struct Keeper {
    path: PathBuf,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    /// Between two snapshots, s; 0: only at the end.
    every_s: u64,
    /// Time of the last snapshot, monotonic s.
    last_s: AtomicU64,
    busy: AtomicBool,
    /// One writer at a time: the last snapshot may meet one that is under way.
    writing: Mutex<()>,
    written: Counter,
    failed: Counter,
    damaged: Counter,
    restored: Counter,
}

impl Keeper {
    /// Reads the file, if there is a data directory; without one nothing is kept.
    pub(super) fn new(cx: &BuildCtx, store: &Arc<Store>, every: Duration) -> Option<Arc<Self>> {
        let folder = cx.data_dir.as_ref()?;
        let id = cx.id.to_string();
        let labels = [("processor", id.as_str())];
        let counter = |name: &str, help: &str| {
            cx.telemetry.counter(&format!("otelcol_processor_anomaly_{name}"), help, &labels)
        };
        let keeper = Arc::new(Self {
            path: persist::path(folder, &id),
            store: store.clone(),
            clock: cx.clock.clone(),
            tasks: cx.tasks.clone(),
            every_s: every.as_secs(),
            last_s: AtomicU64::new(cx.clock.monotonic().as_secs()),
            busy: AtomicBool::new(false),
            writing: Mutex::new(()),
            written: counter("snapshots_written", "State files written"),
            failed: counter("snapshots_failed", "State files that could not be written"),
            damaged: counter("snapshots_damaged", "State files, or series in them, that could not be read"),
            restored: counter("series_restored", "Series read from a state file"),
        });
        keeper.load();
        Some(keeper)
    }

    fn load(&self) {
        let bytes = match persist::read(&self.path) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return,
            Err(error) => {
                self.damaged.add(1);
                tracing::error!(file = %self.path.display(), %error, "the state file cannot be read; learning afresh");
                return;
            }
        };
        let now_s = self.clock.monotonic().as_secs();
        let all = match read_archive(&bytes) {
            Ok(all) => all,
            Err(error) => return self.set_aside(&error),
        };
        let mut other_version = None;
        for series in all {
            let tracked = match persist::decode(series.payload, series.name) {
                Ok(tracked) => tracked,
                Err(error @ SnapshotError::Version { .. }) => {
                    other_version = Some(error);
                    continue;
                }
                Err(_) => {
                    self.damaged.add(1);
                    continue;
                }
            };
            // not added: the bounds are smaller than when the file was written
            if self.store.restore(series.key, now_s, tracked) == Place::Added {
                self.restored.add(1);
            }
        }
        // the program that wrote it can still read it
        if let Some(error) = other_version {
            self.set_aside(&error);
        }
    }

    /// Counts the file and puts it out of the way of the next snapshot.
    fn set_aside(&self, error: &SnapshotError) {
        self.damaged.add(1);
        let aside = persist::set_aside(&self.path, self.clock.unix_ns() / 1_000_000_000);
        let aside = aside.map_or_else(|e| e.to_string(), |p| p.display().to_string());
        tracing::error!(file = %self.path.display(), %error, aside, "the state file is set aside; learning afresh");
    }

    /// Starts a snapshot if it is time for one and none is under way.
    pub(super) fn save_if_due(self: Arc<Self>) {
        let now_s = self.clock.monotonic().as_secs();
        let due = now_s.saturating_sub(self.last_s.load(Ordering::Relaxed)) >= self.every_s;
        if self.every_s == 0 || !due || self.busy.swap(true, Ordering::AcqRel) {
            return;
        }
        self.last_s.store(now_s, Ordering::Relaxed);
        let keeper = self.clone();
        self.tasks.spawn("anomaly snapshot", async move {
            let work = keeper.clone();
            // a panic in there is the task's panic
            if let Err(error) = tokio::task::spawn_blocking(move || work.save()).await {
                tracing::error!(%error, "a snapshot ended early");
            }
            keeper.busy.store(false, Ordering::Release);
        });
    }

    /// Writes the file. A shard is locked while it is encoded, not while it is written.
    pub(super) fn save(&self) {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writer = Some(ArchiveWriter::new());
        let mut shard = 0;
        let pieces = std::iter::from_fn(|| {
            let open = writer.as_mut()?;
            if self.store.archive(shard, open) {
                shard += 1;
                return Some(open.take());
            }
            writer.take().map(ArchiveWriter::finish)
        });
        match persist::write(&self.path, pieces) {
            Ok(_) => self.written.add(1),
            Err(error) => {
                self.failed.add(1);
                tracing::error!(file = %self.path.display(), %error, "the state file cannot be written");
            }
        }
    }
}
