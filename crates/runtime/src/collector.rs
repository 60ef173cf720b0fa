//! A running collector: ordered start, ordered stop, failures of tasks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{error, info, warn};
use weir_core::{
    BuildError, BuildInfo, Clock, Deadline, Fatal, Gates, Housekeeping, Interner, Registry, Stop,
    Tasks, Telemetry,
};
use weir_model::Ledger;

use crate::graph::{self, Graph};
use crate::plan::Plan;

/// How often idle state is looked for.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);

/// What all components share.
#[derive(Clone)]
pub struct Environment {
    /// The component tables.
    pub registry: Registry,
    /// Own metrics.
    pub telemetry: Arc<Telemetry>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Intern tables.
    pub interner: Arc<Interner>,
    /// Bytes in flight against the limit.
    pub ledger: Arc<Ledger>,
    /// Where tasks run.
    pub tasks: Tasks,
    /// Chores.
    pub housekeeping: Housekeeping,
    /// Data directory.
    pub data_dir: Option<PathBuf>,
    /// Name and version.
    pub build_info: BuildInfo,
    /// Feature gates of the command line.
    pub gates: Gates,
}

impl Environment {
    /// The same surroundings for another graph of this process, with tasks and chores of its own:
    /// a reload waits for those of the old graph and drops them with it.
    #[must_use]
    pub fn for_new_graph(&self) -> Self {
        Self {
            tasks: Tasks::default(),
            housekeeping: Housekeeping::default(),
            ..self.clone()
        }
    }
}

/// A built graph; nothing is open before [`Collector::start`].
pub struct Collector {
    environment: Environment,
    graph: Graph,
    stop_receivers: Stop,
    stop_chores: Stop,
    receivers: Tasks,
    failures: mpsc::Receiver<String>,
    report: mpsc::Sender<String>,
}

impl Collector {
    /// Builds all components of a plan.
    pub async fn build(plan: &Plan, environment: Environment) -> Result<Self, BuildError> {
        let graph = graph::build(plan, &environment).await?;
        let (report, failures) = mpsc::channel(16);
        Ok(Self {
            environment,
            graph,
            stop_receivers: Stop::default(),
            stop_chores: Stop::default(),
            receivers: Tasks::default(),
            failures,
            report,
        })
    }

    /// Starts extensions, exporters, processors, then receivers. When one fails, everything started
    /// so far is stopped again.
    pub async fn start(&mut self, stop_within: Duration) -> Result<(), Fatal> {
        let started = self.start_all().await;
        if started.is_err() {
            self.stop(Deadline::after(stop_within)).await;
        }
        started
    }

    async fn start_all(&mut self) -> Result<(), Fatal> {
        for (id, extension) in &self.graph.extensions {
            let name = format!("failed to start \"{id}\" extension");
            extension
                .start()
                .await
                .map_err(|e| Fatal(format!("{name}: {e}")))?;
        }
        for (id, _, exporter) in &self.graph.exporters {
            let name = format!("failed to start \"{id}\" exporter");
            exporter
                .start()
                .await
                .map_err(|e| Fatal(format!("{name}: {e}")))?;
        }
        for (id, stage) in self.graph.stages.iter().rev() {
            let name = format!("failed to start \"{id}\" processor");
            stage
                .start()
                .await
                .map_err(|e| Fatal(format!("{name}: {e}")))?;
        }
        self.start_chores();
        for (id, receiver, outputs) in std::mem::take(&mut self.graph.receivers) {
            let name = format!("failed to start \"{id}\" receiver");
            let running = receiver
                .start(outputs, self.stop_receivers.clone())
                .await
                .map_err(|e| Fatal(format!("{name}: {e}")))?;
            let report = self.report.clone();
            self.receivers.spawn(&format!("receiver {id}"), async move {
                if let Err(fatal) = running.await {
                    // A full channel holds an earlier failure, which ends the program as well.
                    drop(report.try_send(format!("receiver \"{id}\" failed: {fatal}")));
                }
            });
        }
        for (_, extension) in &self.graph.extensions {
            extension.ready();
        }
        info!("Everything is ready. Begin running and processing data.");
        Ok(())
    }

    fn start_chores(&self) {
        let (housekeeping, interner) = (
            self.environment.housekeeping.clone(),
            self.environment.interner.clone(),
        );
        let stop = self.stop_chores.clone();
        self.environment.tasks.spawn("housekeeping", async move {
            let mut interval = tokio::time::interval(HOUSEKEEPING_INTERVAL);
            interval.tick().await;
            loop {
                tokio::select! {
                    () = stop.stopped() => return,
                    _ = interval.tick() => {
                        interner.sweep();
                        housekeeping.run(&interner);
                    }
                }
            }
        });
    }

    /// Waits until a component reports that it cannot go on, or one of its tasks panics.
    pub async fn failed(&mut self) -> Failure {
        tokio::select! {
            reason = self.failures.recv() => Failure::Fatal(reason.unwrap_or_default()),
            name = self.environment.tasks.panicked() => Failure::Panic(name),
            name = self.receivers.panicked() => Failure::Panic(name),
        }
    }

    /// Stops receivers, then lets every stage hand on what it holds, then the exporters, until the
    /// deadline. What is left then is counted as dropped by its exporter.
    pub async fn stop(&mut self, by: Deadline) {
        for (_, extension) in &self.graph.extensions {
            extension.not_ready();
        }
        self.stop_receivers.stop(by);
        if !self.receivers.finished(by).await {
            warn!("receivers did not finish within the drain deadline");
        }
        // Upstream stages first: what they flush must find the later ones open.
        for (_, stage) in &self.graph.stages {
            stage.drain(by).await;
        }
        for transform in &self.graph.transforms {
            transform.stop();
        }
        let drains = self
            .graph
            .exporters
            .iter()
            .map(|(_, _, exporter)| exporter.drain(by));
        futures_util::future::join_all(drains).await;
        for (_, extension) in self.graph.extensions.iter().rev() {
            extension.stop(by).await;
        }
        self.stop_chores.stop(by);
        if !self.environment.tasks.finished(by).await {
            error!(
                tasks = self.environment.tasks.len(),
                "tasks did not end within the drain deadline"
            );
        }
    }
}

/// Why a collector ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A component cannot go on (exit code 1).
    Fatal(String),
    /// A task panicked (exit code 70).
    Panic(String),
}
