//! `weir demo`: the real pipeline on a made-up service, with an incident after a while.
//!
//! The service runs in this process: it serves `/metrics` with a daily pattern that takes 20
//! seconds, and sends OTLP traces. Everything between is the program itself: receivers, detector,
//! exporters. It ends by itself after about a minute, with a summary.

mod service;
mod show;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use service::Service;
use weir_config::{Diagnostics, Environment as Variables, NoFetch, load};
use weir_core::{Deadline, Registry, SystemClock};
use weir_runtime::{Catalog, Collector, Environment, Plan, plan};

use crate::components::{CATALOG, REGISTRY};
use crate::logging;
use crate::run::{self, EXIT_FAILURE, EXIT_OK, say};

const CONFIG: &str = include_str!("config.yaml");
/// How long the demo lasts.
const LENGTH: Duration = Duration::from_secs(65);
/// How long stopping may take.
const DRAIN: Duration = Duration::from_secs(5);

/// The configuration text as an environment variable, which is one of the sources.
struct Text(String);

impl Variables for Text {
    fn get(&self, name: &str) -> Option<String> {
        (name == "DEMO").then(|| self.0.clone())
    }
}

/// Runs the demo; the exit code.
pub fn run() -> u8 {
    weir_net::install_default_provider();
    let runtime = match run::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!(
                "error: the asynchronous runtime cannot start: {error}"
            ));
            return EXIT_FAILURE;
        }
    };
    match runtime.block_on(demo()) {
        Ok(()) => EXIT_OK,
        Err(reason) => {
            say(&format!("error: {reason}"));
            EXIT_FAILURE
        }
    }
}

async fn demo() -> Result<(), String> {
    let otlp = free_address()?;
    let service = Service::start(otlp).map_err(|e| e.to_string())?;
    let text = CONFIG
        .replace("@OTLP@", &otlp.to_string())
        .replace("@TARGET@", &service.address().to_string());
    let catalog = Catalog {
        registry: registry(),
        ..CATALOG
    };
    let plan = planned(&catalog, text).map_err(|found| found.to_string())?;
    let clock = Arc::new(SystemClock::default());
    logging::init(&plan.telemetry.logs, clock.clone(), &[]);
    let environment = Environment {
        registry: catalog.registry,
        ..run::environment(clock, None, weir_core::Gates::default())
    };
    let telemetry = environment.telemetry.clone();
    let mut collector = Collector::build(&plan, environment)
        .await
        .map_err(|e| e.to_string())?;
    collector.start(DRAIN).await.map_err(|e| e.to_string())?;
    show::introduction(LENGTH);
    let incident = service.run(show::incident);
    tokio::select! {
        () = incident => {}
        () = tokio::time::sleep(LENGTH) => {}
        _ = tokio::signal::ctrl_c() => say("Ctrl-C: stopping"),
        failure = collector.failed() => return Err(format!("{failure:?}")),
    }
    collector.stop(Deadline::after(DRAIN)).await;
    service.stop().await;
    show::summary(&telemetry);
    Ok(())
}

fn planned(catalog: &Catalog, text: String) -> Result<Plan, Diagnostics> {
    let loaded = load(&["env:DEMO".to_owned()], &[], &Text(text), &NoFetch)?;
    plan(&loaded.root, catalog)
}

/// The program's components and the exporter that shows what the demo is about.
fn registry() -> Registry {
    let mut exporters = REGISTRY.exporters.to_vec();
    exporters.push(show::ENTRY);
    // Once per process, and the table lives as long.
    Registry {
        exporters: exporters.leak(),
        ..REGISTRY
    }
}

/// An address that was free a moment ago.
fn free_address() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr());
    listener.map_err(|e| format!("no free port on 127.0.0.1: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_configuration_is_valid() {
        let text = CONFIG
            .replace("@OTLP@", "127.0.0.1:4318")
            .replace("@TARGET@", "127.0.0.1:9100");
        let catalog = Catalog {
            registry: registry(),
            ..CATALOG
        };
        if let Err(found) = planned(&catalog, text) {
            panic!("{found}");
        }
    }
}
