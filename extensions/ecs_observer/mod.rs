//! The `ecs_observer` extension: writes the tasks of an ECS cluster to a file that
//! `file_sd_configs` reads (adot-components, extensions).

mod config;
mod find;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

pub use config::Config;
use find::{FileTarget, Finder};
use tracing::{debug, info, warn};
use weir_aws::inventory::{Inventory, InventoryKeys};
use weir_core::{
    BoxFut, BuildCtx, BuildError, Deadline, Extension, ExtensionKind, Fatal, Stability, Stop,
};
use weir_net::{HttpClient, HttpClientOptions};

/// Registration.
pub struct Kind;

impl ExtensionKind for Kind {
    const TYPE: &'static str = "ecs_observer";
    const STABILITY: Stability = Stability::Beta;
    type Config = Config;

    fn build(
        config: Config,
        cx: BuildCtx,
    ) -> BoxFut<'static, Result<Arc<dyn Extension>, BuildError>> {
        Box::pin(async move {
            let stop = Stop::default();
            Ok(Arc::new(EcsObserver { config, cx, stop }) as Arc<dyn Extension>)
        })
    }
}

struct EcsObserver {
    config: Config,
    cx: BuildCtx,
    stop: Stop,
}

impl Extension for EcsObserver {
    fn start(&self) -> BoxFut<'_, Result<(), Fatal>> {
        Box::pin(async move {
            let finder = Finder::new(&self.config).map_err(|error| Fatal(error.to_string()))?;
            let observer = Observer {
                config: self.config.clone(),
                cx: self.cx.clone(),
                finder,
                inventory: None,
                written: None,
            };
            let name = format!("extension {}", self.cx.id);
            self.cx.tasks.spawn(&name, observer.run(self.stop.clone()));
            Ok(())
        })
    }

    fn stop(&self, by: Deadline) -> BoxFut<'_, ()> {
        self.stop.stop(by);
        Box::pin(std::future::ready(()))
    }
}

/// The loop.
struct Observer {
    config: Config,
    cx: BuildCtx,
    finder: Finder,
    inventory: Option<Inventory>,
    /// What is in the file.
    written: Option<Vec<FileTarget>>,
}

impl Observer {
    /// Asks and writes until `stop`; on an error the file stays as it is.
    async fn run(mut self, stop: Stop) {
        let mut interval = tokio::time::interval(self.config.refresh_interval.to_std());
        loop {
            tokio::select! {
                () = stop.stopped() => return,
                _ = interval.tick() => {}
            }
            let outcome = tokio::select! {
                () = stop.stopped() => return,
                outcome = self.round() => outcome,
            };
            if let Err(why) = outcome {
                warn!(
                    cluster = self.config.cluster_name,
                    "ECS discovery failed, {} stays as it is: {why}", self.config.result_file
                );
            }
        }
    }

    async fn round(&mut self) -> Result<(), String> {
        let inventory = match &self.inventory {
            Some(inventory) => inventory,
            None => {
                let connected = connect(&self.config, &[], &self.cx).await?;
                self.inventory.insert(connected)
            }
        };
        let round = self.finder.round(inventory).await;
        let round = round.map_err(|error| error.to_string())?;
        for why in &round.left_out {
            debug!("no target: {why}");
        }
        if self.written.as_ref() == Some(&round.targets) {
            return Ok(());
        }
        write(Path::new(&self.config.result_file), &round.targets)?;
        info!(
            targets = round.targets.len(),
            left_out = round.left_out.len(),
            file = self.config.result_file,
            "targets of the ECS cluster changed"
        );
        self.written = Some(round.targets);
        Ok(())
    }
}

async fn connect(
    config: &Config,
    endpoints: &[(weir_aws::Service, &str)],
    cx: &BuildCtx,
) -> Result<Inventory, String> {
    let http = HttpClient::new(HttpClientOptions {
        user_agent: cx.build_info.user_agent(),
        timeout: Some(std::time::Duration::from_secs(30)),
        follow_redirects: false,
        ..HttpClientOptions::default()
    });
    let http = http.map_err(|error| error.to_string())?;
    let keys = InventoryKeys {
        region: config.cluster_region.clone(),
        ..InventoryKeys::default()
    };
    Inventory::connect(&keys, endpoints, &http, cx)
        .await
        .map_err(|error| error.0)
}

/// Replaces the file at once, so that nobody reads half of it. JSON is YAML.
fn write(path: &Path, targets: &[FileTarget]) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let text = serde_json::to_string_pretty(targets).map_err(|error| error.to_string())?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    std::fs::write(&beside, text + "\n").map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}
