//! The `prometheus` receiver: scrapes targets that discovery finds.
//!
//! A job watches discovery and keeps one loop per target; a loop fetches the page, turns it into
//! points by way of the target's series cache (`series/`), and hands them on. A target that fails
//! gives `up 0` and a log line; the others know nothing of it.

mod client;
mod config;
mod preview;
mod series;
mod target;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use weir_core::telemetry::ReceiverTelemetry;
use weir_core::{
    BoxFut, BuildCtx, BuildError, Consumer, Fatal, Outputs, Receiver, ReceiverKind, Running,
    Signals, Stability, Stop,
};

pub use config::Config;
pub use preview::PageReader;

use client::Fetcher;
use config::{Global, JobRules, ScrapeConfig};
use crate::discovery::{self, Group, Keep, Sources};
use series::TargetSeries;
use target::Target;
use worker::{Shared, Worker, fnv};

/// Name of the scope of series that name none, as in the reference.
const SCOPE: &str =
    "github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver";

/// Registration.
pub struct Kind;

impl ReceiverKind for Kind {
    const TYPE: &'static str = "prometheus";
    const STABILITY: Stability = Stability::Beta;
    const SIGNALS: Signals = Signals::METRICS;
    type Config = Config;

    fn build(
        config: Config,
        cx: BuildCtx,
    ) -> BoxFut<'static, Result<Box<dyn Receiver>, BuildError>> {
        Box::pin(
            async move { Ok(Box::new(PrometheusReceiver { config, cx }) as Box<dyn Receiver>) },
        )
    }
}

struct PrometheusReceiver {
    config: Config,
    cx: BuildCtx,
}

impl PrometheusReceiver {
    /// The jobs of the configuration and of the files it names.
    fn jobs(&self) -> Result<Vec<ScrapeConfig>, Fatal> {
        let section = &self.config.config.0;
        let mut jobs = section.scrape_configs.clone();
        jobs.extend(
            config::jobs_of_files(&section.global, &section.scrape_config_files).map_err(Fatal)?,
        );
        let mut names = std::collections::HashSet::new();
        for job in &jobs {
            if !names.insert(job.job_name.as_str()) {
                let text = "found multiple scrape configs with job name";
                return Err(Fatal(format!(
                    "{text} \"{}\": give each a name of its own",
                    job.job_name
                )));
            }
        }
        Ok(jobs)
    }

    fn start_job(
        &self,
        config: &ScrapeConfig,
        next: &Arc<dyn Consumer>,
        stop: &Stop,
    ) -> Result<(), Fatal> {
        let cx = &self.cx;
        let global: &Global = &self.config.config.0.global;
        let scope = (SCOPE.to_owned(), cx.build_info.version.to_owned());
        let fatal = |why: String| Fatal(format!("job {}: {why}", config.job_name));
        let job = JobRules::new(global, config, self.config.trim_metric_suffixes, scope)
            .map_err(|error| fatal(error.to_string()))?;
        let agent = format!("{}/{}", cx.build_info.name, cx.build_info.version);
        let fetcher = Fetcher::new(&job, &agent).map_err(|error| fatal(error.to_string()))?;
        let gauge = |what: &str, help: &str| {
            let labels = [("receiver", cx.id.as_str())];
            let name = format!("otelcol_receiver_prometheus_series_cache_{what}");
            cx.telemetry.gauge(&name, help, &labels)
        };
        let external = format!("{:?}", global.external_labels);
        let shared = Arc::new(Shared {
            job: Arc::new(job),
            fetcher,
            next: Arc::clone(next),
            clock: Arc::clone(&cx.clock),
            telemetry: ReceiverTelemetry::new(&cx.telemetry, cx.id.as_str(), "http"),
            ledger: Arc::clone(&cx.ledger),
            stop: stop.clone(),
            scrape_on_shutdown: self.config.scrape_on_shutdown,
            initial_offset: self.config.initial_scrape_offset.to_std(),
            seed: fnv(format!("{}{external}", host_name()).as_bytes()),
            cache_lines: gauge("lines", "Lines of pages that the series caches know"),
            cache_bytes: gauge("bytes", "Bytes of the series caches, without the series"),
            too_many: AtomicBool::new(false),
        });
        // What the rules drop is not kept; what is wrong with a target is told when it is used.
        let rules = Arc::clone(&shared.job);
        let keep = Keep::new(move |labels| !matches!(Target::new(&rules, labels), Ok(None)));
        let sources = Sources {
            keep: Some(&keep),
            statics: &config.static_configs,
            files: &config.file_sd_configs,
            https: &config.http_sd_configs,
            kubernetes: &config.kubernetes_sd_configs,
        };
        let groups = discovery::start(&sources, &config.job_name, cx, stop.clone());
        let manager = Job {
            shared,
            cx: cx.clone(),
            loops: HashMap::new(),
        };
        let task = format!("receiver {}: job {}", cx.id, config.job_name);
        cx.tasks.spawn(&task, manager.run(groups, stop.clone()));
        Ok(())
    }
}

impl Receiver for PrometheusReceiver {
    fn start(self: Box<Self>, out: Outputs, stop: Stop) -> BoxFut<'static, Result<Running, Fatal>> {
        Box::pin(async move {
            if let Some(next) = &out.metrics {
                for job in self.jobs()? {
                    self.start_job(&job, next, &stop)?;
                }
            }
            let running: Running = Box::pin(async move {
                stop.stopped().await;
                Ok(())
            });
            Ok(running)
        })
    }
}

/// The name of this machine; empty if it has none.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// A job and the loops of its targets.
struct Job {
    shared: Arc<Shared>,
    cx: BuildCtx,
    /// Ends the loop of a target.
    loops: HashMap<String, CancellationToken>,
}

impl Job {
    async fn run(mut self, mut groups: tokio::sync::watch::Receiver<Arc<Vec<Group>>>, stop: Stop) {
        loop {
            let found = groups.borrow_and_update().clone();
            self.sync(&found);
            tokio::select! {
                () = stop.stopped() => return,
                changed = groups.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// Starts loops for new targets and ends those of targets that have gone. Targets that are
    /// equal are scraped once.
    fn sync(&mut self, groups: &[Group]) {
        let job = Arc::clone(&self.shared.job);
        let mut wanted: HashMap<String, Target> = HashMap::new();
        for labels in groups.iter().flat_map(|group| &group.targets) {
            match Target::new(&job, labels) {
                Ok(Some(target)) => {
                    wanted.entry(target.key.clone()).or_insert(target);
                }
                Ok(None) => {}
                Err(error) => warn!(job = job.name, labels = ?labels, "target left out: {error}"),
            }
        }
        let limit = job.target_limit;
        let too_many = limit > 0 && wanted.len() as u64 > limit;
        if too_many && !self.shared.too_many.load(Ordering::Relaxed) {
            error!(
                job = job.name,
                targets = wanted.len(),
                limit,
                "target_limit exceeded: all fail"
            );
        }
        self.shared.too_many.store(too_many, Ordering::Relaxed);
        self.loops.retain(|key, gone| {
            let stays = wanted.contains_key(key);
            if !stays {
                gone.cancel();
            }
            stays
        });
        let before = self.loops.len();
        for (key, target) in wanted {
            if !self.loops.contains_key(&key) {
                let gone = self.start_loop(target);
                self.loops.insert(key, gone);
            }
        }
        if self.loops.len() != before {
            info!(
                job = job.name,
                targets = self.loops.len(),
                "targets changed"
            );
        }
    }

    fn start_loop(&self, target: Target) -> CancellationToken {
        let gone = CancellationToken::new();
        let series = TargetSeries::new(
            Arc::clone(&self.shared.job.page),
            Arc::clone(&self.cx.interner),
            target.labels.clone(),
            target.discovered.clone(),
            self.shared.seed ^ fnv(target.key.as_bytes()),
        );
        let task = format!("receiver {}: scrape of {}", self.cx.id, target.url);
        let worker = Worker::new(Arc::clone(&self.shared), target, series);
        self.cx.tasks.spawn(&task, worker.run(gone.clone()));
        gone
    }
}
