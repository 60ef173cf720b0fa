//! How much memory the program uses and may use.

/// Resident memory of this process in bytes, from `/proc/self/statm`.
pub fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// CPU time of this process in seconds, user and system.
pub fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The memory limit of this process: the smallest cgroup v2 or v1 limit above it, else the machine's
/// memory. Bytes.
pub fn limit_bytes() -> Option<u64> {
    cgroup_limit().or_else(total_bytes)
}

fn total_bytes() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find(|l| l.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

fn cgroup_limit() -> Option<u64> {
    let cgroups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut smallest: Option<u64> = None;
    for line in cgroups.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        // Inside a container the path of the host is not there: the root then is the container's own.
        for folder in [format!("{root}{path}"), root.to_owned()] {
            let text = std::fs::read_to_string(format!("{folder}/{file}")).unwrap_or_default();
            if let Ok(limit) = text.trim().parse::<u64>() {
                // cgroup v1 writes "no limit" as a number near 2^63.
                if limit < 1 << 60 {
                    smallest = Some(smallest.map_or(limit, |s| s.min(limit)));
                }
            }
        }
    }
    smallest
}
