//! The `prometheus` receiver: scrapes targets that discovery finds.
//!
//! A job watches discovery and keeps one loop per target; a loop fetches the page, turns it into
//! points by way of the target's series cache (`series/`), and hands them on. A target that fails
//! gives `up 0` and a log line; the others know nothing of it.

mod allocator;
mod api;
mod check;
mod client;
mod config;
mod handover;
mod jobs;
mod preview;
mod series;
mod target;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;

use weir_config::ComponentId;
use weir_core::{
    BoxFut, BuildCtx, BuildError, Fatal, Outputs, Receiver, ReceiverKind, Reference,
    Running, Signals, Stability, Stop,
};

pub use check::{FetchedPage, PageReport};
pub use config::Config;
pub use preview::PageReader;

use allocator::Allocator;
use api::Board;
use config::ScrapeConfig;
use jobs::Jobs;

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

    fn references(config: &Config) -> Vec<Reference> {
        let extension = |auth: Option<&ComponentId>, key| {
            auth.cloned().map(|id| Reference::Extension {
                id,
                role: "authenticator",
                key,
            })
        };
        let allocator = config.target_allocator.as_ref();
        let auth = allocator.and_then(|allocator| allocator.auth.as_ref());
        let auth = auth.and_then(|auth| auth.authenticator.as_ref());
        let mut found = Vec::new();
        found.extend(extension(auth, "target_allocator.auth.authenticator"));
        if config.api_server.enabled {
            let server = &config.api_server.server_config;
            found.push(Reference::Listen {
                address: server.endpoint.clone(),
                key: "api_server.server_config.endpoint",
            });
            let auth = server.auth.as_ref().and_then(|auth| auth.authenticator.as_ref());
            found.extend(extension(auth, "api_server.server_config.auth.authenticator"));
        }
        found
    }

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
}

impl Receiver for PrometheusReceiver {
    fn start(self: Box<Self>, out: Outputs, stop: Stop) -> BoxFut<'static, Result<Running, Fatal>> {
        Box::pin(async move {
            if let Some(next) = out.metrics {
                let config = &self.config;
                let api = &config.api_server;
                let board = api.enabled.then(|| Arc::new(Board::new(&config.config.0.global)));
                if let Some(board) = &board {
                    api::start(api, board, &self.cx, stop.clone())?;
                }
                let jobs = Jobs {
                    global: config.config.0.global.clone(),
                    trim_metric_suffixes: config.trim_metric_suffixes,
                    scrape_on_shutdown: config.scrape_on_shutdown,
                    initial_scrape_offset: config.initial_scrape_offset.to_std(),
                    next,
                    cx: self.cx.clone(),
                    board,
                    stop: stop.clone(),
                };
                let configured = self.jobs()?;
                for job in &configured {
                    jobs.start(job)?;
                }
                if let Some(allocator) = &config.target_allocator {
                    let names = configured.into_iter().map(|job| job.job_name).collect();
                    let allocator = Allocator::new(allocator.clone(), names, jobs)?;
                    let task = format!("receiver {}: target allocator", self.cx.id);
                    self.cx.tasks.spawn(&task, allocator.run(stop.clone()));
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

