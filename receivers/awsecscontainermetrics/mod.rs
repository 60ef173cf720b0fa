//! The `awsecscontainermetrics` receiver: asks the task metadata endpoint of ECS what the containers
//! of its task use, and hands the figures of each container and of the task on.
//!
//! A round asks for the task, then for the statistics. What fails is logged and counted, and the next
//! round tries again; a container that makes no sense costs the others nothing.

mod config;
mod documents;
mod resource;
#[cfg(test)]
mod tests;
mod time;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;
use weir_aws::EcsTaskMetadata;
use weir_core::telemetry::{Counter, ReceiverTelemetry};
use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Consumer, Fatal, Fold, Outputs, Receiver, ReceiverKind,
    Running, Signal, Signals, Stability, Stop,
};
use weir_model::{Attributes, Interner, MetricMeta, Metrics, Point, Resource, Scope};

pub use config::Config;

use documents::{Container, Task, TaskStats};
use usage::{Metric, Usage};

const TASK: &str = "ecs.task.";
const CONTAINER: &str = "container.";

/// The same failure is logged at most once in this time.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Registration.
pub struct Kind;

impl ReceiverKind for Kind {
    const TYPE: &'static str = "awsecscontainermetrics";
    const STABILITY: Stability = Stability::Beta;
    const SIGNALS: Signals = Signals::METRICS;
    type Config = Config;

    fn build(
        config: Config,
        cx: BuildCtx,
    ) -> BoxFut<'static, Result<Box<dyn Receiver>, BuildError>> {
        Box::pin(async move {
            let endpoint = EcsTaskMetadata::detect()?;
            Ok(Box::new(EcsReceiver::new(&config, endpoint, cx)) as Box<dyn Receiver>)
        })
    }
}

struct EcsReceiver {
    every: Duration,
    endpoint: EcsTaskMetadata,
    telemetry: ReceiverTelemetry,
    /// Rounds without figures, for want of the task, of the statistics.
    failed: [Counter; 2],
    said: Fold,
    cx: BuildCtx,
}

impl EcsReceiver {
    fn new(config: &Config, endpoint: EcsTaskMetadata, cx: BuildCtx) -> Self {
        let id = cx.id.as_str();
        let failed = ["task", "stats"].map(|document| {
            let name = "otelcol_receiver_awsecscontainermetrics_failed_collections";
            let help = "Collections without figures because a document could not be had or read";
            cx.telemetry.counter(name, help, &[("receiver", id), ("document", document)])
        });
        Self {
            every: config.collection_interval.to_std(),
            telemetry: ReceiverTelemetry::new(&cx.telemetry, id, "http"),
            failed,
            said: Fold::new(LOG_EVERY),
            endpoint,
            cx,
        }
    }

    async fn run(self, next: Option<Arc<dyn Consumer>>, stop: Stop) {
        let mut ticks = tokio::time::interval_at(Instant::now() + self.every, self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = stop.stopped() => return,
                _ = ticks.tick() => {}
            }
            // What has been collected is handed on, even when the stop comes meanwhile.
            let points = tokio::select! {
                () = stop.stopped() => return,
                points = self.collect() => points,
            };
            if let (Some(points), Some(next)) = (points, &next) {
                self.hand_on(points, next).await;
            }
        }
    }

    /// A round; `None` if it failed.
    async fn collect(&self) -> Option<Vec<Point>> {
        let [no_task, no_stats] = &self.failed;
        let task: Task = match self.endpoint.task().await {
            Ok(body) => self.read("task metadata", &body, no_task)?,
            Err(error) => return self.fail(no_task, &error.to_string()),
        };
        let stats: TaskStats = match self.endpoint.task_stats().await {
            Ok(body) => self.read("task stats", &body, no_stats)?,
            Err(error) => return self.fail(no_stats, &error.to_string()),
        };
        Some(self.points(&task, &stats))
    }

    fn read<T: serde::de::DeserializeOwned>(
        &self,
        what: &str,
        body: &[u8],
        failed: &Counter,
    ) -> Option<T> {
        match serde_json::from_slice(body) {
            Ok(document) => Some(document),
            Err(error) => self.fail(failed, &format!("cannot read the {what}: {error}")),
        }
    }

    fn fail<T>(&self, failed: &Counter, why: &str) -> Option<T> {
        failed.add(1);
        self.say(&format!("no metrics collected: {why}"));
        None
    }

    fn say(&self, text: &str) {
        if let Some(left_out) = self.said.say(text, self.cx.clock.monotonic()) {
            warn!(receiver = self.cx.id.as_str(), left_out, "{text}");
        }
    }

    /// The figures of every container, and their sums.
    fn points(&self, task: &Task, stats: &TaskStats) -> Vec<Point> {
        let mut out = Out {
            interner: &self.cx.interner,
            scope: self.cx.interner.scope(Scope::default()),
            time_ns: self.cx.clock.unix_ns(),
            points: Vec::new(),
        };
        let attributes = resource::task_attributes(task);
        let mut sums = Usage::default();
        for container in task.containers() {
            let container = match container {
                Ok(container) => container,
                Err(error) => {
                    self.say(&format!("a container is left out: {error}"));
                    continue;
                }
            };
            let own = resource::container_attributes(&container, &attributes);
            match stats.of(&container.docker_id) {
                Ok(Some(stats)) => {
                    let usage = Usage::of_container(&stats, container.limits);
                    out.put(CONTAINER, own, usage.metrics());
                    sums.add(&usage);
                }
                Ok(None) => self.put_ended(&mut out, &container, own),
                Err(error) => {
                    let name = &container.name;
                    self.say(&format!("stats of container {name:?} are left out: {error}"));
                }
            }
        }
        sums.limit_to(task.limits);
        let mut metrics = sums.metrics();
        metrics.extend(usage::ephemeral_storage(task));
        out.put(TASK, attributes.build(), metrics);
        out.points
    }

    /// A container without statistics has ended, or has not started.
    fn put_ended(&self, out: &mut Out<'_>, container: &Container, attributes: Attributes) {
        let (started, finished) = (&container.started_at, &container.finished_at);
        if started.is_empty() || finished.is_empty() {
            return;
        }
        match usage::duration(started, finished) {
            Some(duration) => out.put(CONTAINER, attributes, vec![duration]),
            None => {
                let name = &container.name;
                self.say(&format!("container {name:?} ran from {started:?} to {finished:?}?"));
            }
        }
    }

    async fn hand_on(&self, points: Vec<Point>, next: &Arc<dyn Consumer>) {
        let items = points.len();
        let mut batch = Batch::metrics(Metrics::from_points(points));
        batch.charge = self.cx.ledger.charge(batch.size_bytes()).map(Arc::new);
        match next.consume(batch).await {
            Ok(()) => self.telemetry.accepted(Signal::Metrics, items),
            Err(reject) => {
                self.telemetry.refused(Signal::Metrics, items);
                self.say(&format!("data points lost: {reject}"));
            }
        }
    }
}

/// Points being made.
struct Out<'a> {
    interner: &'a Interner,
    scope: Arc<Scope>,
    time_ns: u64,
    points: Vec<Point>,
}

impl Out<'_> {
    fn put(&mut self, prefix: &str, attributes: Attributes, metrics: Vec<Metric>) {
        let resource = self.interner.resource(Resource {
            attributes,
            ..Resource::default()
        });
        for metric in metrics {
            let meta = self.interner.metric(MetricMeta {
                unit: metric.unit.into(),
                ..MetricMeta::new(&format!("{prefix}{}", metric.name), metric.kind)
            });
            let labels = Attributes::default();
            let series = self.interner.series(&resource, &self.scope, &meta, labels);
            self.points.push(Point::new(series, 0, self.time_ns, metric.value));
        }
    }
}

impl Receiver for EcsReceiver {
    fn start(self: Box<Self>, out: Outputs, stop: Stop) -> BoxFut<'static, Result<Running, Fatal>> {
        Box::pin(async move {
            let running: Running = Box::pin(async move {
                self.run(out.metrics, stop).await;
                Ok(())
            });
            Ok(running)
        })
    }
}
