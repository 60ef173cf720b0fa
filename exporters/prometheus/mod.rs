//! The `prometheus` exporter: a page with the last value of every series, to be scraped by a
//! Prometheus server (prometheusremotewrite specification, section 9; see README.md).

mod accept;
mod config;
mod drops;
mod names;
mod page;
mod protobuf;
mod serve;
mod store;
mod text;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_config::Duration as ConfigDuration;
use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Data, Deadline, Exporter, ExporterKind, Fatal, Reference, Reject, Signals, Stability, Stage, Stop,
};
use weir_model::Metrics;
use weir_net::http::{HttpServer, ServerContext};
use weir_sending::{RetrySettings, SendingSettings, TimeoutSettings, wrap};

pub use config::Config;

use drops::{Drops, Tally};
use serve::Handler;
use store::Store;

/// Registration.
pub struct Kind;

impl ExporterKind for Kind {
    const TYPE: &'static str = "prometheus";
    const STABILITY: Stability = Stability::Beta;
    const SIGNALS: Signals = Signals::METRICS;
    type Config = Config;

    fn references(config: &Config) -> Vec<Reference> {
        let auth = config.auth.as_ref().and_then(|auth| auth.authenticator.clone());
        let auth = auth.map(|id| Reference::Extension {
            id,
            role: "authenticator",
            key: "auth.authenticator",
        });
        let listen = Reference::Listen {
            address: config.endpoint.clone(),
            key: "endpoint",
        };
        std::iter::once(listen).chain(auth).collect()
    }

    fn build(config: Config, cx: BuildCtx) -> BoxFut<'static, Result<Arc<dyn Stage>, BuildError>> {
        Box::pin(async move {
            let settings = SendingSettings {
                timeout: TimeoutSettings(ConfigDuration::ZERO),
                retry: RetrySettings::off(),
                queue: config.sending_queue.clone(),
                ..SendingSettings::default()
            };
            let exporter = Arc::new(Prometheus::new(config, &cx));
            Ok(wrap(exporter, &settings, &cx))
        })
    }
}

struct Prometheus {
    config: Config,
    drops: Arc<Drops>,
    store: Arc<Mutex<Store>>,
    stop: Stop,
}

fn lock(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Prometheus {
    fn new(config: Config, cx: &BuildCtx) -> Self {
        let store = Store::new(config.rules(), config.max_series, config.expiration());
        let store = Arc::new(Mutex::new(store));
        let id = cx.id.to_string();
        let counted = store.clone();
        cx.telemetry.observe_gauge(
            "weir_exporter_prometheus_series",
            "Series on the page",
            &[("exporter", id.as_str())],
            move || lock(&counted).len() as f64,
        );
        let (swept, clock) = (Arc::downgrade(&store), cx.clock.clone());
        cx.housekeeping.add(move |interner| {
            if let Some(store) = swept.upgrade() {
                lock(&store).sweep(clock.monotonic(), interner);
            }
        });
        Self {
            config,
            drops: Arc::new(Drops::new(cx.clone())),
            store,
            stop: Stop::default(),
        }
    }

    fn put(&self, metrics: &Metrics) {
        let now = self.drops.cx.clock.monotonic();
        let mut dropped = Tally::default();
        for slice in metrics.slices() {
            let mut store = lock(&self.store);
            for point in slice {
                if let Err(why) = store.put(point, now) {
                    dropped.add(why, || point.series.metric().name.to_string());
                }
            }
        }
        self.drops.tell(dropped);
    }

    fn handler(&self) -> Handler {
        Handler {
            store: self.store.clone(),
            drops: self.drops.clone(),
            open_metrics: self.config.enable_open_metrics,
            timestamps: self.config.send_timestamps,
        }
    }
}

impl Exporter for Prometheus {
    fn export<'a>(&'a self, batch: &'a mut Batch) -> BoxFut<'a, Result<(), Reject>> {
        Box::pin(async move {
            let Data::Metrics(metrics) = &batch.data else {
                return Err(Reject::permanent("wrong_signal", "the page shows metrics only"));
            };
            self.put(metrics);
            Ok(())
        })
    }

    fn start(&self) -> BoxFut<'_, Result<(), Fatal>> {
        Box::pin(async move {
            let cx = &self.drops.cx;
            let authenticator =
                self.config.auth.as_ref().and_then(|auth| auth.authenticator.as_ref());
            let auth = match authenticator {
                Some(id) => {
                    let auth = cx.extensions.server_auth(id);
                    Some(auth.map_err(|error| Fatal(error.to_string()))?)
                }
                None => None,
            };
            let context = ServerContext { auth, ..ServerContext::default() };
            let server = HttpServer::bind(&self.config.server(), context)
                .map_err(|error| Fatal(error.to_string()))?;
            let handler = Arc::new(self.handler());
            let (id, stop) = (cx.id.to_string(), self.stop.clone());
            cx.tasks.spawn(&format!("exporter {id}"), async move {
                if let Err(error) = server.serve(handler, stop).await {
                    tracing::error!("otelcol.component.id" = id, "the page ended: {error}");
                }
            });
            Ok(())
        })
    }

    fn stop(&self, by: Deadline) -> BoxFut<'_, ()> {
        self.stop.stop(by);
        Box::pin(std::future::ready(()))
    }
}
