//! The jobs of a receiver, and the loops of their targets.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use weir_core::telemetry::ReceiverTelemetry;
use weir_core::{BuildCtx, Consumer, Deadline, Fatal, Stop};

use super::SCOPE;
use super::api::{Board, Pool, Status};
use super::client::Fetcher;
use super::config::{Global, JobRules, ScrapeConfig};
use super::series::TargetSeries;
use super::target::Target;
use super::worker::{Shared, Worker, fnv};
use crate::discovery::{self, Group, Keep, Sources};

/// What all jobs of a receiver have in common.
pub(super) struct Jobs {
    pub(super) global: Global,
    pub(super) trim_metric_suffixes: bool,
    pub(super) scrape_on_shutdown: bool,
    pub(super) initial_scrape_offset: Duration,
    pub(super) next: Arc<dyn Consumer>,
    pub(super) cx: BuildCtx,
    /// Where the API finds the jobs, if there is one.
    pub(super) board: Option<Arc<Board>>,
    /// The receiver as a whole stops.
    pub(super) stop: Stop,
}

/// A job that runs. Its targets go as if discovery no longer found them when it is ended.
pub(super) struct RunningJob {
    end: CancellationToken,
    shared: Arc<Shared>,
    shown: Option<(Arc<Board>, Arc<Pool>)>,
}

impl RunningJob {
    /// Ends the job while the others go on. Series of targets that its `successor` has as well do not
    /// turn stale.
    pub(super) fn end(&self, successor: Option<&Self>) {
        if let Some((board, pool)) = &self.shown {
            board.remove(pool);
        }
        if let Some(successor) = successor {
            self.shared.succession.hand_over(&successor.shared.succession);
        }
        self.end.cancel();
    }
}

impl Jobs {
    /// Starts a job.
    ///
    /// # Errors
    /// If a rule, a certificate or a proxy cannot be used.
    pub(super) fn start(&self, config: &ScrapeConfig) -> Result<RunningJob, Fatal> {
        let cx = &self.cx;
        let global = &self.global;
        let scope = (SCOPE.to_owned(), cx.build_info.version.to_owned());
        let fatal = |why: String| Fatal(format!("job {}: {why}", config.job_name));
        let job = JobRules::new(global, config, self.trim_metric_suffixes, scope)
            .map_err(|error| fatal(error.to_string()))?;
        let agent = format!("{}/{}", cx.build_info.name, cx.build_info.version);
        let fetcher = Fetcher::new(&job, &agent, &cx.clock, &cx.ledger)
            .map_err(|error| fatal(error.to_string()))?;
        let gauge = |what: &str, help: &str| {
            let labels = [("receiver", cx.id.as_str())];
            let name = format!("otelcol_receiver_prometheus_series_cache_{what}");
            cx.telemetry.gauge(&name, help, &labels)
        };
        let external = format!("{:?}", global.external_labels);
        let shared = Arc::new(Shared {
            job: Arc::new(job),
            fetcher,
            next: Arc::clone(&self.next),
            clock: Arc::clone(&cx.clock),
            telemetry: ReceiverTelemetry::new(&cx.telemetry, cx.id.as_str(), "http"),
            ledger: Arc::clone(&cx.ledger),
            stop: self.stop.clone(),
            scrape_on_shutdown: self.scrape_on_shutdown,
            initial_offset: self.initial_scrape_offset,
            seed: fnv(format!("{}{external}", host_name()).as_bytes()),
            cache_lines: gauge("lines", "Lines of pages that the series caches know"),
            cache_bytes: gauge("bytes", "Bytes of the series caches, without the series"),
            too_many: AtomicBool::new(false),
            succession: Arc::default(),
        });
        // What the rules drop is not kept; what is wrong with a target is told when it is used.
        let rules = Arc::clone(&shared.job);
        let shown = self.board.as_ref().map(|board| {
            (Arc::clone(board), board.add(global, config, Arc::clone(&rules)))
        });
        let pool = shown.as_ref().map(|(_, pool)| Arc::clone(pool));
        let dropped = pool.as_ref().map(|pool| Arc::clone(&pool.dropped));
        let keep = Keep::new(move |labels| !matches!(Target::new(&rules, labels), Ok(None)), dropped);
        let sources = Sources {
            keep: Some(&keep),
            statics: &config.static_configs,
            files: &config.file_sd_configs,
            https: &config.http_sd_configs,
            kubernetes: &config.kubernetes_sd_configs,
            dns: &config.dns_sd_configs,
            ec2: &config.ec2_sd_configs,
            ecs: &config.ecs_sd_configs,
        };
        // Discovery ends with the job; the receiver may go on.
        let discovery_stop = Stop::default();
        let groups = discovery::start(&sources, &config.job_name, cx, discovery_stop.clone());
        let end = CancellationToken::new();
        let manager = Job {
            shared: Arc::clone(&shared),
            cx: cx.clone(),
            pool,
            loops: HashMap::new(),
            end: end.clone(),
        };
        let task = format!("receiver {}: job {}", cx.id, config.job_name);
        let stop = self.stop.clone();
        cx.tasks.spawn(&task, async move {
            manager.run(groups, stop).await;
            discovery_stop.stop(Deadline::after(Duration::ZERO));
        });
        Ok(RunningJob { end, shared, shown })
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
    pool: Option<Arc<Pool>>,
    loops: HashMap<String, Loop>,
    /// Ends the job.
    end: CancellationToken,
}

/// The loop of a target.
struct Loop {
    /// Ends it.
    gone: CancellationToken,
    status: Option<Arc<Status>>,
}

impl Job {
    async fn run(mut self, mut groups: tokio::sync::watch::Receiver<Arc<Vec<Group>>>, stop: Stop) {
        loop {
            let found = groups.borrow_and_update().clone();
            self.sync(&found);
            tokio::select! {
                () = stop.stopped() => return,
                () = self.end.cancelled() => {
                    self.loops.values().for_each(|running| running.gone.cancel());
                    return;
                }
                changed = groups.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// Starts loops for new targets and ends those of targets that have gone. Targets that are
    /// equal are scraped once.
    fn sync(&mut self, groups: &Arc<Vec<Group>>) {
        let job = Arc::clone(&self.shared.job);
        // With its place among the groups.
        let mut wanted: HashMap<String, (Target, (usize, usize))> = HashMap::new();
        let found = groups.iter().enumerate().flat_map(|(of, group)| {
            group.targets.iter().enumerate().map(move |(at, labels)| ((of, at), labels))
        });
        for (place, labels) in found {
            match Target::new(&job, labels) {
                Ok(Some(target)) => {
                    wanted.entry(target.key.clone()).or_insert((target, place));
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
        let labels = wanted.values().map(|(target, _)| &target.labels);
        self.shared.succession.found(labels);
        self.loops.retain(|key, running| {
            let stays = wanted.contains_key(key);
            if !stays {
                running.gone.cancel();
            }
            stays
        });
        let before = self.loops.len();
        let mut shown = Vec::new();
        for (key, (target, place)) in wanted {
            let running = self.loops.remove(&key);
            let running = running.unwrap_or_else(|| self.start_loop(target));
            shown.extend(running.status.clone().map(|status| (place, status)));
            self.loops.insert(key, running);
        }
        if let Some(pool) = &self.pool {
            pool.show(groups, shown);
        }
        if self.loops.len() != before {
            info!(
                job = job.name,
                targets = self.loops.len(),
                "targets changed"
            );
        }
    }

    fn start_loop(&self, target: Target) -> Loop {
        let target = Arc::new(target);
        let status = self.pool.is_some().then(|| Arc::new(Status::new(&target)));
        let gone = CancellationToken::new();
        let series = TargetSeries::new(
            Arc::clone(&self.shared.job.page),
            Arc::clone(&self.cx.interner),
            target.labels.clone(),
            target.discovered.clone(),
            self.shared.seed ^ fnv(target.key.as_bytes()),
        );
        let task = format!("receiver {}: scrape of {}", self.cx.id, target.url);
        let worker = Worker::new(Arc::clone(&self.shared), target, status.clone(), series);
        self.cx.tasks.spawn(&task, worker.run(gone.clone()));
        Loop { gone, status }
    }
}
