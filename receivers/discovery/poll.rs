//! Discoveries that ask a service of AWS again and again.

use std::time::Duration;

use tokio::sync::mpsc;
use tracing::warn;
use weir_aws::Service;
use weir_aws::inventory::{Inventory, InventoryKeys};
use weir_core::{BoxFut, BuildCtx, Stop};

use super::client::{Access, HttpClientBlock};
use super::{Group, TargetLabels};

/// Who asks a service.
pub(super) trait Ask: Send {
    /// All targets there are now.
    fn ask(&mut self) -> BoxFut<'_, Result<Vec<TargetLabels>, String>>;
}

/// When a service is asked, and what becomes of the answers.
pub(super) struct Poll {
    /// Source of the one group that it gives.
    pub(super) source: String,
    /// Its name in the log.
    pub(super) what: &'static str,
    /// Time from one question to the next.
    pub(super) every: Duration,
}

impl Poll {
    /// Asks until `stop`; on an error the old targets stay.
    pub(super) async fn run(
        self,
        mut service: impl Ask,
        updates: mpsc::Sender<Vec<Group>>,
        stop: Stop,
    ) {
        let mut interval = tokio::time::interval(self.every);
        loop {
            tokio::select! {
                () = stop.stopped() => return,
                _ = interval.tick() => {}
            }
            let found = tokio::select! {
                () = stop.stopped() => return,
                found = service.ask() => found,
            };
            match found {
                Ok(targets) => {
                    let source = self.source.clone();
                    if updates.send(vec![Group { source, targets }]).await.is_err() {
                        return;
                    }
                }
                Err(why) => warn!(
                    "{} discovery failed, the old targets stay: {why}",
                    self.what
                ),
            }
        }
    }
}

/// A client of the services, with the keys of an entry.
pub(super) async fn connect(
    client: &HttpClientBlock,
    keys: &InventoryKeys,
    endpoints: &[(Service, &str)],
    cx: &BuildCtx,
) -> Result<Inventory, String> {
    let agent = cx.build_info.user_agent();
    let access = Access::new(client, &agent, &cx.clock).map_err(|e| e.to_string())?;
    Inventory::connect(keys, endpoints, &access.client, cx)
        .await
        .map_err(|error| error.0)
}
