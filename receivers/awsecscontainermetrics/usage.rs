//! What a container or a task uses, worked out from Docker's statistics as the ECS agent does.

use weir_model::{MetricKind, PointValue, Temporality};

use super::documents::{CpuStats, Limits, NetworkStats, Stats, Task};
use super::time;

/// CPU units of one vCPU.
const UNITS_PER_VCPU: f64 = 1024.0;
const MIB: u64 = 1 << 20;

/// The figures of a container, or their sums for a task.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    memory: u64,
    memory_max: u64,
    memory_limit: u64,
    memory_utilized_mib: u64,
    memory_reserved_mib: u64,
    cpu_total: u64,
    cpu_kernel: u64,
    cpu_user: u64,
    cpu_system: u64,
    cpu_cores: u64,
    cpu_online: u64,
    cpu_utilized: f64,
    cpu_reserved: f64,
    cpu_vcpu: f64,
    rx_rate: f64,
    tx_rate: f64,
    /// Bytes, packets, errors, dropped; received, then sent.
    network: [u64; 8],
    disk_read: u64,
    disk_written: u64,
}

impl Usage {
    /// The figures of a container.
    pub(super) fn of_container(stats: &Stats, limits: Limits) -> Self {
        let mut usage = Self {
            memory_reserved_mib: limits.memory.unwrap_or_default(),
            cpu_reserved: limits.cpu.unwrap_or_default(),
            ..Self::default()
        };
        if let Some(memory) = &stats.memory_stats {
            usage.memory = memory.usage.unwrap_or_default();
            usage.memory_max = memory.max_usage.unwrap_or_default();
            usage.memory_limit = memory.limit.unwrap_or_default();
            if let Some(parts) = &memory.stats {
                let cache = parts.get("cache").copied().unwrap_or_default();
                usage.memory_utilized_mib = usage.memory.saturating_sub(cache) / MIB;
            }
        }
        if let Some(cpu) = &stats.cpu_stats {
            usage.add_cpu(cpu, stats);
        }
        if let Some(rate) = &stats.network_rate_stats {
            usage.rx_rate = rate.rx_bytes_per_sec.unwrap_or_default();
            usage.tx_rate = rate.tx_bytes_per_sec.unwrap_or_default();
        }
        for network in stats.networks.values().flatten() {
            for (sum, counter) in usage.network.iter_mut().zip(counters(network)) {
                *sum = sum.saturating_add(counter);
            }
        }
        for operation in stats.blkio_stats.iter().flat_map(|disk| &disk.io_service_bytes_recursive)
        {
            let bytes = operation.value.unwrap_or_default();
            match operation.op.as_str() {
                "Read" => usage.disk_read = usage.disk_read.saturating_add(bytes),
                "Write" => usage.disk_written = usage.disk_written.saturating_add(bytes),
                // Sync, Async, Total count the same bytes again.
                _ => {}
            }
        }
        usage
    }

    fn add_cpu(&mut self, cpu: &CpuStats, stats: &Stats) {
        let Some(used) = &cpu.cpu_usage else { return };
        self.cpu_total = used.total_usage.unwrap_or_default();
        self.cpu_kernel = used.usage_in_kernelmode.unwrap_or_default();
        self.cpu_user = used.usage_in_usermode.unwrap_or_default();
        self.cpu_cores = used.percpu_usage.len() as u64;
        self.cpu_online = cpu.online_cpus.unwrap_or_default();
        self.cpu_system = cpu.system_cpu_usage.unwrap_or_default();
        let before = stats.precpu_stats.as_ref().and_then(|cpu| cpu.cpu_usage.as_ref());
        let before = before.and_then(|used| used.total_usage);
        let elapsed_ns = time::between(&stats.preread, &stats.read);
        if let (Some(before), Some(elapsed_ns)) = (before, elapsed_ns)
            && elapsed_ns > 0
        {
            // A container that was started anew counts from zero again.
            let used_ns = self.cpu_total.saturating_sub(before);
            self.cpu_vcpu = used_ns as f64 / elapsed_ns as f64;
        }
        let percent = self.cpu_vcpu * 100.0;
        let limited = self.cpu_reserved > 0.0;
        self.cpu_utilized = if limited { percent / self.cpu_reserved } else { percent };
    }

    /// Adds a container's figures to those of its task; utilization is worked out at the end.
    pub(super) fn add(&mut self, other: &Self) {
        for (sum, part) in [
            (&mut self.memory, other.memory),
            (&mut self.memory_max, other.memory_max),
            (&mut self.memory_limit, other.memory_limit),
            (&mut self.memory_utilized_mib, other.memory_utilized_mib),
            (&mut self.memory_reserved_mib, other.memory_reserved_mib),
            (&mut self.cpu_total, other.cpu_total),
            (&mut self.cpu_kernel, other.cpu_kernel),
            (&mut self.cpu_user, other.cpu_user),
            (&mut self.cpu_system, other.cpu_system),
            (&mut self.cpu_cores, other.cpu_cores),
            (&mut self.cpu_online, other.cpu_online),
            (&mut self.disk_read, other.disk_read),
            (&mut self.disk_written, other.disk_written),
        ] {
            *sum = sum.saturating_add(part);
        }
        for (sum, part) in self.network.iter_mut().zip(other.network) {
            *sum = sum.saturating_add(part);
        }
        self.cpu_reserved += other.cpu_reserved;
        self.cpu_vcpu += other.cpu_vcpu;
        self.rx_rate += other.rx_rate;
        self.tx_rate += other.tx_rate;
    }

    /// Puts the limits of the task in place of the sums of its containers.
    pub(super) fn limit_to(&mut self, limits: Limits) {
        if let Some(memory) = limits.memory {
            self.memory_reserved_mib = memory;
        }
        if let Some(cpu) = limits.cpu {
            self.cpu_reserved = cpu * UNITS_PER_VCPU;
        }
        if self.cpu_reserved > 0.0 {
            self.cpu_utilized = self.cpu_vcpu * UNITS_PER_VCPU;
        }
    }

    /// The metrics, without the prefix of their names.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let [rx_bytes, rx_packets, rx_errors, rx_dropped, sent @ ..] = self.network;
        let [tx_bytes, tx_packets, tx_errors, tx_dropped] = sent;
        vec![
            Metric::gauge("memory.usage", "Bytes", self.memory),
            Metric::gauge("memory.usage.max", "Bytes", self.memory_max),
            Metric::gauge("memory.usage.limit", "Bytes", self.memory_limit),
            Metric::gauge("memory.utilized", "MiB", self.memory_utilized_mib),
            Metric::gauge("memory.reserved", "MiB", self.memory_reserved_mib),
            Metric::sum("cpu.usage.total", "Nanoseconds", self.cpu_total),
            Metric::sum("cpu.usage.kernelmode", "Nanoseconds", self.cpu_kernel),
            Metric::sum("cpu.usage.usermode", "Nanoseconds", self.cpu_user),
            Metric::gauge("cpu.cores", "Count", self.cpu_cores),
            Metric::gauge("cpu.onlines", "Count", self.cpu_online),
            Metric::sum("cpu.usage.system", "Nanoseconds", self.cpu_system),
            Metric::real("cpu.utilized", "None", self.cpu_utilized),
            Metric::real("cpu.reserved", "None", self.cpu_reserved),
            Metric::real("cpu.usage.vcpu", "vCPU", self.cpu_vcpu),
            Metric::real("network.rate.rx", "Bytes/Second", self.rx_rate),
            Metric::real("network.rate.tx", "Bytes/Second", self.tx_rate),
            Metric::sum("network.io.usage.rx_bytes", "Bytes", rx_bytes),
            Metric::sum("network.io.usage.rx_packets", "Count", rx_packets),
            Metric::sum("network.io.usage.rx_errors", "Count", rx_errors),
            Metric::sum("network.io.usage.rx_dropped", "Count", rx_dropped),
            Metric::sum("network.io.usage.tx_bytes", "Bytes", tx_bytes),
            Metric::sum("network.io.usage.tx_packets", "Count", tx_packets),
            Metric::sum("network.io.usage.tx_errors", "Count", tx_errors),
            Metric::sum("network.io.usage.tx_dropped", "Count", tx_dropped),
            Metric::sum("storage.read_bytes", "Bytes", self.disk_read),
            Metric::sum("storage.write_bytes", "Bytes", self.disk_written),
        ]
    }
}

/// What only tasks have.
pub(super) fn ephemeral_storage(task: &Task) -> [Metric; 2] {
    let storage = task.ephemeral_storage_metrics;
    [
        Metric::gauge("ephemeral_storage.utilized", "MiB", storage.utilized.unwrap_or_default()),
        Metric::gauge("ephemeral_storage.reserved", "MiB", storage.reserved.unwrap_or_default()),
    ]
}

/// What a container that has ended has: how long it ran. `None` if its times make no sense.
pub(super) fn duration(started_at: &str, finished_at: &str) -> Option<Metric> {
    let ran_ns = time::between(started_at, finished_at)?;
    Some(Metric::real("duration", "Seconds", ran_ns as f64 / 1e9))
}

fn counters(network: &NetworkStats) -> [u64; 8] {
    [
        network.rx_bytes,
        network.rx_packets,
        network.rx_errors,
        network.rx_dropped,
        network.tx_bytes,
        network.tx_packets,
        network.tx_errors,
        network.tx_dropped,
    ]
    .map(Option::unwrap_or_default)
}

/// A figure with its name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) kind: MetricKind,
    pub(super) value: PointValue,
}

impl Metric {
    fn gauge(name: &'static str, unit: &'static str, value: u64) -> Self {
        Self {
            name,
            unit,
            kind: MetricKind::Gauge,
            value: int(value),
        }
    }

    /// Counters are not marked monotonic, as in the reference.
    fn sum(name: &'static str, unit: &'static str, value: u64) -> Self {
        let kind = MetricKind::Sum {
            temporality: Temporality::Cumulative,
            monotonic: false,
        };
        Self {
            kind,
            ..Self::gauge(name, unit, value)
        }
    }

    fn real(name: &'static str, unit: &'static str, value: f64) -> Self {
        Self {
            value: PointValue::Double(value),
            ..Self::gauge(name, unit, 0)
        }
    }
}

fn int(value: u64) -> PointValue {
    PointValue::Int(i64::try_from(value).unwrap_or(i64::MAX))
}
