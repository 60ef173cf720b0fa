//! The two documents of the task metadata endpoint, as far as they are used. `null` counts as left
//! out, and a container that makes no sense costs the others nothing.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// `/task`: what the task is.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Task {
    #[serde(deserialize_with = "or_default")]
    pub(super) cluster: String,
    #[serde(rename = "TaskARN", deserialize_with = "or_default")]
    pub(super) task_arn: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) family: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) service_name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) revision: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) availability_zone: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) pull_started_at: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) pull_stopped_at: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) known_status: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) launch_type: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) limits: Limits,
    #[serde(deserialize_with = "or_default")]
    pub(super) ephemeral_storage_metrics: EphemeralStorage,
    #[serde(deserialize_with = "or_default")]
    containers: Vec<Box<RawValue>>,
}

impl Task {
    /// The containers, and why others are left out.
    pub(super) fn containers(&self) -> impl Iterator<Item = Result<Container, serde_json::Error>> {
        self.containers.iter().map(|text| serde_json::from_str(text.get()))
    }
}

/// A container of [`Task`].
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Container {
    #[serde(deserialize_with = "or_default")]
    pub(super) docker_id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) docker_name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) image: String,
    #[serde(rename = "ImageID", deserialize_with = "or_default")]
    pub(super) image_id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) created_at: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) started_at: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) finished_at: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) known_status: String,
    pub(super) exit_code: Option<i64>,
    #[serde(deserialize_with = "or_default")]
    pub(super) limits: Limits,
}

/// Limits of a task (CPU in vCPU) or a container (CPU in units of 1/1024 vCPU); memory in MiB.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Limits {
    #[serde(rename = "CPU")]
    pub(super) cpu: Option<f64>,
    #[serde(rename = "Memory")]
    pub(super) memory: Option<u64>,
}

/// Fargate's storage of a task, MiB.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct EphemeralStorage {
    pub(super) utilized: Option<u64>,
    pub(super) reserved: Option<u64>,
}

/// `/task/stats`: Docker's statistics by container id.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct TaskStats(BTreeMap<String, Option<Box<RawValue>>>);

impl TaskStats {
    /// The statistics of a container; `None` if there are none.
    ///
    /// # Errors
    /// If they make no sense.
    pub(super) fn of(&self, id: &str) -> Result<Option<Stats>, serde_json::Error> {
        let Some(Some(text)) = self.0.get(id) else { return Ok(None) };
        let stats: Option<Stats> = serde_json::from_str(text.get())?;
        Ok(stats.filter(|stats| !stats.id.is_empty()))
    }
}

/// Docker's statistics of a container.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Stats {
    #[serde(deserialize_with = "or_default")]
    id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) read: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) preread: String,
    pub(super) memory_stats: Option<MemoryStats>,
    pub(super) blkio_stats: Option<DiskStats>,
    #[serde(deserialize_with = "or_default")]
    pub(super) networks: BTreeMap<String, Option<NetworkStats>>,
    pub(super) network_rate_stats: Option<NetworkRate>,
    pub(super) cpu_stats: Option<CpuStats>,
    pub(super) precpu_stats: Option<CpuStats>,
}

/// Memory in bytes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct MemoryStats {
    pub(super) usage: Option<u64>,
    pub(super) max_usage: Option<u64>,
    pub(super) limit: Option<u64>,
    pub(super) stats: Option<BTreeMap<String, u64>>,
}

/// Bytes read and written, by device and operation.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DiskStats {
    #[serde(deserialize_with = "or_default")]
    pub(super) io_service_bytes_recursive: Vec<DiskOperation>,
}

/// An entry of [`DiskStats`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DiskOperation {
    #[serde(deserialize_with = "or_default")]
    pub(super) op: String,
    pub(super) value: Option<u64>,
}

/// Counters of a network interface.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NetworkStats {
    pub(super) rx_bytes: Option<u64>,
    pub(super) rx_packets: Option<u64>,
    pub(super) rx_errors: Option<u64>,
    pub(super) rx_dropped: Option<u64>,
    pub(super) tx_bytes: Option<u64>,
    pub(super) tx_packets: Option<u64>,
    pub(super) tx_errors: Option<u64>,
    pub(super) tx_dropped: Option<u64>,
}

/// Rates that the ECS agent works out.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NetworkRate {
    pub(super) rx_bytes_per_sec: Option<f64>,
    pub(super) tx_bytes_per_sec: Option<f64>,
}

/// CPU time in nanoseconds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CpuStats {
    pub(super) cpu_usage: Option<CpuUsage>,
    pub(super) online_cpus: Option<u64>,
    pub(super) system_cpu_usage: Option<u64>,
}

/// Part of [`CpuStats`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CpuUsage {
    pub(super) total_usage: Option<u64>,
    pub(super) usage_in_kernelmode: Option<u64>,
    pub(super) usage_in_usermode: Option<u64>,
    #[serde(deserialize_with = "or_default")]
    pub(super) percpu_usage: Vec<Option<u64>>,
}

fn or_default<'de, D: Deserializer<'de>, T: Default + DeserializeOwned>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
