//! `api_server`: a part of Prometheus' own HTTP API, read only, to see what is scraped and what is not.
//!
//! It shows what the receiver has anyway: the groups of discovery, the targets, the families of
//! their series caches. Kept for it alone are the outcome of each target's last scrape, the text of
//! each job's configuration, and the labels of a bounded number of dropped targets.

mod answer;
mod page;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_core::{BuildCtx, Deadline, Fatal, Stop};
use weir_net::ConnectionLimits;
use weir_net::http::{HttpServer, ServerContext};

use super::config::{ApiServer, Global, JobRules, ScrapeConfig};
use super::series::FamilyTable;
use super::target::Target;
use crate::discovery::{DroppedTargets, Group};

/// Dropped targets of a job whose labels are kept; `keep_dropped_targets` may lower it.
const MOST_DROPPED: u64 = 1000;
/// A reader that takes its time does not hold the program longer than this when it ends.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the API shows of a receiver.
pub(super) struct Board {
    /// `global` of the configuration.
    global: String,
    /// In the order in which the jobs started.
    pools: Mutex<Vec<Arc<Pool>>>,
}

/// What it shows of a job.
pub(super) struct Pool {
    rules: Arc<JobRules>,
    /// The job's entry in the configuration.
    config: String,
    pub(super) dropped: Arc<DroppedTargets>,
    found: Mutex<Found>,
}

/// Where a target stands among the groups, and what became of it.
type Shown = ((usize, usize), Arc<Status>);

/// The targets of a job. Their discovered labels are those of the groups, which are shared.
#[derive(Clone, Default)]
struct Found {
    groups: Arc<Vec<Group>>,
    targets: Vec<Shown>,
}

/// What it shows of a target.
pub(super) struct Status {
    target: Arc<Target>,
    last: Mutex<Option<Last>>,
}

/// The last scrape of a target.
#[derive(Clone)]
struct Last {
    time_ms: i64,
    duration: Duration,
    /// Why it failed.
    error: Option<String>,
    families: FamilyTable,
}

impl Board {
    pub(super) fn new(global: &Global) -> Self {
        Self {
            global: page::global(global),
            pools: Mutex::default(),
        }
    }

    /// A job starts.
    pub(super) fn add(
        &self,
        global: &Global,
        job: &ScrapeConfig,
        rules: Arc<JobRules>,
    ) -> Arc<Pool> {
        let limit = match job.keep_dropped_targets {
            0 => global.keep_dropped_targets,
            own => own,
        };
        let limit = if limit == 0 { MOST_DROPPED } else { limit.min(MOST_DROPPED) };
        let pool = Arc::new(Pool {
            rules,
            config: page::job(global, job),
            dropped: Arc::new(DroppedTargets::new(usize::try_from(limit).unwrap_or(usize::MAX))),
            found: Mutex::default(),
        });
        lock(&self.pools).push(Arc::clone(&pool));
        pool
    }

    /// A job ends.
    pub(super) fn remove(&self, pool: &Arc<Pool>) {
        lock(&self.pools).retain(|other| !Arc::ptr_eq(other, pool));
    }

    fn pools(&self) -> Vec<Arc<Pool>> {
        lock(&self.pools).clone()
    }

    /// The jobs by name.
    fn sorted(&self) -> Vec<Arc<Pool>> {
        let mut pools = self.pools();
        pools.sort_by(|a, b| a.rules.name.cmp(&b.rules.name));
        pools
    }

    /// `global` and the jobs, as YAML without secrets.
    fn config(&self) -> String {
        let mut text = self.global.clone();
        let pools = self.pools();
        if !pools.is_empty() {
            text.push_str("scrape_configs:\n");
        }
        pools.iter().for_each(|pool| text.push_str(&pool.config));
        text
    }
}

impl Pool {
    /// These are the job's targets now.
    pub(super) fn show(&self, groups: &Arc<Vec<Group>>, mut targets: Vec<Shown>) {
        targets.sort_by_key(|(place, _)| *place);
        *lock(&self.found) = Found {
            groups: Arc::clone(groups),
            targets,
        };
    }
}

impl Status {
    /// Not scraped yet.
    pub(super) fn new(target: &Arc<Target>) -> Self {
        Self {
            target: Arc::clone(target),
            last: Mutex::default(),
        }
    }

    /// A scrape is over.
    pub(super) fn set(
        &self,
        time_ms: i64,
        duration: Duration,
        error: Option<String>,
        families: FamilyTable,
    ) {
        *lock(&self.last) = Some(Last {
            time_ms,
            duration,
            error,
            families,
        });
    }
}

/// Opens the API; it ends with `stop`.
///
/// # Errors
/// If the address or a certificate cannot be used.
pub(super) fn start(
    config: &ApiServer,
    board: &Arc<Board>,
    cx: &BuildCtx,
    stop: Stop,
) -> Result<(), Fatal> {
    let server = &config.server_config;
    let id = server.auth.as_ref().and_then(|auth| auth.authenticator.as_ref());
    let auth = id.map(|id| cx.extensions.server_auth(id)).transpose();
    let context = ServerContext {
        auth: auth.map_err(|error| Fatal(format!("api_server.server_config.auth: {}", error.0)))?,
        ledger: Some(Arc::clone(&cx.ledger)),
        limits: ConnectionLimits {
            max_connections: config.most_connections(),
            ..ConnectionLimits::default()
        },
        ..ServerContext::default()
    };
    let bound = HttpServer::bind(server, context)
        .map_err(|error| Fatal(format!("api_server.server_config.endpoint: {error}")))?;
    let handler = Arc::new(answer::Api {
        board: Arc::clone(board),
        telemetry: Arc::clone(&cx.telemetry),
        endpoint: server.endpoint.clone(),
    });
    let (id, own) = (cx.id.to_string(), Stop::default());
    let serving = bound.serve(handler, own.clone());
    cx.tasks.spawn(&format!("receiver {id}: api_server"), async move {
        let served = async {
            if let Err(error) = serving.await {
                tracing::error!("otelcol.component.id" = id, "api_server ended: {error}");
            }
        };
        let ended = async {
            stop.stopped().await;
            own.stop(stop.deadline().min(Deadline::after(LAST_ANSWERS)));
        };
        tokio::join!(served, ended);
    });
    Ok(())
}
