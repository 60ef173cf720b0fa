//! Telemetry records: once a minute the counts of segments go to X-Ray (XR-53).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::OnceCell;
use weir_aws::{SegmentCounts, TelemetryRecord, XRay, telemetry_host};
use weir_config::ProcessEnvironment;
use weir_core::{BuildCtx, Clock, Deadline, Stop, Tasks};

use super::config::Config;

/// Time between records.
const INTERVAL: Duration = Duration::from_secs(60);
/// Records that wait; the oldest one goes when another comes.
const MAX_WAITING: usize = 30;
/// Records of one call.
const MAX_PER_CALL: usize = 10;

/// Sends the counts of one exporter.
pub(super) struct Reporter {
    name: String,
    tasks: Tasks,
    stop: Stop,
    work: Arc<Work>,
}

struct Work {
    counts: Arc<SegmentCounts>,
    api: Arc<XRay>,
    clock: Arc<dyn Clock>,
    metadata: Metadata,
    /// The metadata once it was looked for.
    found: OnceCell<Metadata>,
    waiting: Mutex<VecDeque<TelemetryRecord>>,
}

/// Where the records say they come from.
#[derive(Clone, Debug, Default)]
struct Metadata {
    /// Whether anything is said.
    include: bool,
    hostname: String,
    instance_id: String,
    resource_arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutTelemetryRecords<'r> {
    telemetry_records: &'r [TelemetryRecord],
    #[serde(rename = "EC2InstanceId")]
    ec2_instance_id: &'r str,
    hostname: &'r str,
    #[serde(rename = "ResourceARN")]
    resource_arn: &'r str,
}

impl Reporter {
    pub(super) fn new(
        config: &Config,
        counts: Arc<SegmentCounts>,
        api: Arc<XRay>,
        cx: &BuildCtx,
    ) -> Self {
        let own = &config.telemetry;
        let arn = if own.resource_arn.is_empty() {
            &config.resource_arn
        } else {
            &own.resource_arn
        };
        let metadata = Metadata {
            include: own.include_metadata,
            hostname: own.hostname.clone(),
            instance_id: own.instance_id.clone(),
            resource_arn: arn.clone(),
        };
        Self {
            name: cx.id.to_string(),
            tasks: cx.tasks.clone(),
            stop: Stop::default(),
            work: Arc::new(Work {
                counts,
                api,
                clock: cx.clock.clone(),
                metadata,
                found: OnceCell::new(),
                waiting: Mutex::default(),
            }),
        }
    }

    /// Where to count.
    pub(super) fn counts(&self) -> &SegmentCounts {
        &self.work.counts
    }

    /// Begins the minutes.
    pub(super) fn start(&self) {
        let (work, stop) = (self.work.clone(), self.stop.clone());
        self.tasks.spawn(&self.name, async move {
            work.metadata().await;
            let mut minutes = tokio::time::interval(INTERVAL);
            // The first tick comes at once.
            minutes.tick().await;
            loop {
                tokio::select! {
                    () = stop.stopped() => return,
                    _ = minutes.tick() => work.report().await,
                }
            }
        });
    }

    /// Ends the minutes. Unlike the reference, counts of the last one are still told.
    pub(super) async fn stop(&self, by: Deadline) {
        self.stop.stop(by);
        let last = self.work.report();
        // Whoever stops has a deadline; the records are not worth more than that.
        drop(tokio::time::timeout_at(by.instant(), last).await);
    }
}

impl Metadata {
    /// Complete, or empty if nothing is to be said.
    async fn filled(&self) -> Self {
        if !self.include {
            return Self::default();
        }
        let (hostname, instance_id) =
            telemetry_host(&self.hostname, &self.instance_id, &ProcessEnvironment).await;
        Self {
            hostname,
            instance_id,
            ..self.clone()
        }
    }
}

impl Work {
    /// Takes the counts, if there are any, and sends what waits: the newest records first. What
    /// cannot be sent waits for the next time.
    async fn report(&self) {
        let metadata = self.metadata().await;
        if let Some(record) = self.counts.take(self.clock.unix_ns()) {
            let mut waiting = self.waiting();
            if waiting.len() >= MAX_WAITING {
                waiting.pop_back();
            }
            waiting.push_front(record);
        }
        loop {
            let records: Vec<TelemetryRecord> =
                self.waiting().iter().take(MAX_PER_CALL).cloned().collect();
            if records.is_empty() {
                return;
            }
            let request = PutTelemetryRecords {
                telemetry_records: &records,
                ec2_instance_id: &metadata.instance_id,
                hostname: &metadata.hostname,
                resource_arn: &metadata.resource_arn,
            };
            let Ok(body) = serde_json::to_vec(&request) else {
                return;
            };
            if let Err(error) = self.api.put_telemetry_records(Bytes::from(body)).await {
                tracing::debug!(%error, "telemetry records wait for the next minute");
                return;
            }
            self.waiting().drain(..records.len());
        }
    }

    async fn metadata(&self) -> &Metadata {
        self.found.get_or_init(|| self.metadata.filled()).await
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<TelemetryRecord>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
