//! The `statsd` receiver: takes StatsD and DogStatsD lines over UDP, TCP or a Unix socket, adds them
//! up per sender, and hands the sums on every `aggregation_interval`.
//!
//! Readers put lines into one table (`table.rs`) under a lock that is held for a datagram at a time; a
//! task of its own empties it when the interval is over and waits for the pipeline, while the
//! readers go on. What came since the last flush is handed on when the receiver stops.

mod config;
mod entries;
mod exponential;
pub mod line;
mod listen;
mod meters;
mod table;
#[cfg(test)]
mod tests;
mod values;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;
use weir_core::telemetry::ReceiverTelemetry;
use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Clock, Consumer, Fatal, Outputs, Receiver, ReceiverKind,
    Reference, Running, Signal, Signals, Stability, Stop,
};
use weir_model::{ClientMetadata, Ledger, Metrics, Scope};

pub use config::Config;

use listen::Listening;
use meters::Meters;
use table::{Flushed, Limits, Table};

/// Name of the scope, as in the reference.
const SCOPE: &str =
    "github.com/open-telemetry/opentelemetry-collector-contrib/receiver/statsdreceiver";

/// Registration.
pub struct Kind;

impl ReceiverKind for Kind {
    const TYPE: &'static str = "statsd";
    const STABILITY: Stability = Stability::Beta;
    const SIGNALS: Signals = Signals::METRICS;
    type Config = Config;

    fn references(config: &Config) -> Vec<Reference> {
        config.references()
    }

    fn build(
        config: Config,
        cx: BuildCtx,
    ) -> BoxFut<'static, Result<Box<dyn Receiver>, BuildError>> {
        Box::pin(async move { Ok(Box::new(StatsdReceiver { config, cx }) as Box<dyn Receiver>) })
    }
}

struct StatsdReceiver {
    config: Config,
    cx: BuildCtx,
}

impl Receiver for StatsdReceiver {
    fn start(self: Box<Self>, out: Outputs, stop: Stop) -> BoxFut<'static, Result<Running, Fatal>> {
        Box::pin(async move {
            let listening = Listening::open(&self.config).map_err(|e| Fatal(e.to_string()))?;
            Ok(self.serve(listening, out, stop))
        })
    }
}

impl StatsdReceiver {
    /// Starts the readers and gives the work of handing on.
    fn serve(self, listening: Listening, out: Outputs, stop: Stop) -> Running {
        let Self { config, cx } = self;
        let intake = Arc::new(Intake::new(&config, &cx));
        // Readers hold the sender; the channel ends when the last of them has ended.
        let (alive, ended) = mpsc::channel(1);
        if let Some(address) = listening.udp_addr() {
            meters::observe_kernel_drops(&cx, address);
        }
        let task = format!("receiver {}: reader", cx.id);
        let reader = listening.read(Arc::clone(&intake), cx.tasks.clone(), stop.clone(), alive);
        cx.tasks.spawn(&task, reader);
        let flusher = Flusher {
            intake,
            next: out.metrics,
            telemetry: ReceiverTelemetry::new(&cx.telemetry, cx.id.as_str(), config.protocol()),
            ledger: Arc::clone(&cx.ledger),
            id: cx.id.to_string(),
        };
        let every = config.aggregation_interval.to_std();
        Box::pin(async move {
            flusher.run(every, stop, ended).await;
            Ok(())
        })
    }
}

/// Where lines go.
#[derive(Debug)]
struct Intake {
    table: Mutex<Table>,
    meters: Meters,
    clock: Arc<dyn Clock>,
    /// Wakes the flusher before the interval is over.
    filling: Notify,
    ip_only: bool,
}

impl Intake {
    fn new(config: &Config, cx: &BuildCtx) -> Self {
        let scope = Scope {
            name: SCOPE.into(),
            version: cx.build_info.version.into(),
            ..Scope::default()
        };
        let limits = Limits {
            series: config.max_series,
            bytes: config.max_memory.as_usize(),
        };
        let now = cx.clock.unix_ns();
        let interner = Arc::clone(&cx.interner);
        Self {
            table: Mutex::new(Table::new(config.rules(), limits, interner, scope, now)),
            meters: Meters::new(cx),
            clock: Arc::clone(&cx.clock),
            filling: Notify::new(),
            ip_only: config.enable_ip_only_aggregation,
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lines of a datagram, or of as much of a stream as there is.
    fn take(&self, sender: Option<SocketAddr>, lines: &[u8]) {
        let sender = sender.map(|sender| self.aggregate_as(sender));
        let now_ns = self.clock.unix_ns();
        let (mut received, mut bad) = (0, Vec::new());
        let filling = {
            let mut table = self.table();
            let place = table.sender(sender);
            for line in lines.split(|byte| *byte == b'\n') {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if line.is_empty() {
                    continue;
                }
                received += 1;
                let result = match place {
                    Some(place) => table.take(place, line, now_ns),
                    None => Err(line::LineError::MemoryLimit),
                };
                if let Err(error) = result {
                    bad.push((error, line));
                }
            }
            table.is_filling()
        };
        self.meters.lines.add(received);
        for (error, line) in bad {
            self.meters.drop_line(error, line);
        }
        if filling {
            self.filling.notify_one();
        }
    }

    fn aggregate_as(&self, sender: SocketAddr) -> SocketAddr {
        let port = if self.ip_only { 0 } else { sender.port() };
        let ip: IpAddr = sender.ip();
        SocketAddr::new(ip, port)
    }

    /// Ends the interval.
    fn flush(&self) -> Vec<Flushed> {
        let now_ns = self.clock.unix_ns();
        let mut table = self.table();
        let flushed = table.flush(now_ns);
        self.measure(&table);
        flushed
    }

    /// Points that may go before the interval is over.
    fn take_points(&self) -> Vec<Flushed> {
        let mut table = self.table();
        self.measure(&table);
        table.take_points()
    }

    fn measure(&self, table: &Table) {
        let clamp = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.meters.series.set(clamp(table.series()));
        self.meters.memory.set(clamp(table.bytes()));
    }
}

/// Hands on what the table has.
struct Flusher {
    intake: Arc<Intake>,
    next: Option<Arc<dyn Consumer>>,
    telemetry: ReceiverTelemetry,
    ledger: Arc<Ledger>,
    id: String,
}

impl Flusher {
    async fn run(self, every: Duration, stop: Stop, mut readers: mpsc::Receiver<()>) {
        let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let flushed = tokio::select! {
                // Nobody sends: this is the end of the last reader, after the stop.
                _ = readers.recv() => break,
                _ = ticks.tick() => self.intake.flush(),
                () = self.intake.filling.notified() => self.intake.take_points(),
            };
            self.hand_on(flushed).await;
        }
        let last = self.hand_on(self.intake.flush());
        if tokio::time::timeout_at(stop.deadline().instant(), last).await.is_err() {
            warn!(receiver = self.id, "stopped before the last interval was handed on");
        }
    }

    /// One batch a sender, as in the reference.
    async fn hand_on(&self, flushed: Vec<Flushed>) {
        let Some(next) = &self.next else { return };
        for Flushed { sender, points } in flushed {
            let items = points.len();
            let mut batch = Batch::metrics(Metrics::from_points(points));
            batch.charge = self.ledger.charge(batch.size_bytes()).map(Arc::new);
            batch.client = sender.map(|address| {
                Arc::new(ClientMetadata {
                    address: Some(address),
                    ..ClientMetadata::default()
                })
            });
            match next.consume(batch).await {
                Ok(()) => self.telemetry.accepted(Signal::Metrics, items),
                Err(reject) => {
                    self.telemetry.refused(Signal::Metrics, items);
                    let why = reject.to_string();
                    let now = self.intake.clock.monotonic();
                    if let Some(left_out) = self.intake.meters.failures.say(&why, now) {
                        warn!(receiver = self.id, items, left_out, "data points lost: {why}");
                    }
                }
            }
        }
    }
}
