//! `system`: the operating system and the machine, from the files of Linux.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use tokio::time::Instant;
use tracing::{debug, warn};
use weir_core::BoxFut;

use super::super::config::HostnameSource;
use super::super::detection::{Detector, Found};
use super::super::world::World;
use super::{Answers, Filter, Table};

pub(crate) const ATTRIBUTES: Table = &[
    ("host.arch", false),
    ("host.cpu.cache.l2.size", false),
    ("host.cpu.family", false),
    ("host.cpu.model.id", false),
    ("host.cpu.model.name", false),
    ("host.cpu.stepping", false),
    ("host.cpu.vendor.id", false),
    ("host.id", false),
    ("host.interface", false),
    ("host.ip", false),
    ("host.mac", false),
    ("host.name", true),
    ("os.build.id", false),
    ("os.description", false),
    ("os.name", false),
    ("os.type", true),
    ("os.version", false),
];

/// Keys of /proc/cpuinfo by attribute.
const CPU: [(&str, &str); 5] = [
    ("host.cpu.family", "cpu family"),
    ("host.cpu.model.id", "model"),
    ("host.cpu.model.name", "model name"),
    ("host.cpu.stepping", "stepping"),
    ("host.cpu.vendor.id", "vendor_id"),
];

/// Interfaces of the machine, a folder each.
const INTERFACES: &str = "/sys/class/net";
const IS_UP: u32 = 0x1;
const IS_LOOPBACK: u32 = 0x8;

pub(super) struct System {
    pub(super) world: Arc<dyn World>,
    pub(super) sources: Vec<HostnameSource>,
    pub(super) filter: Filter,
}

impl Detector for System {
    fn detect(&self, _: Instant) -> BoxFut<'_, Result<Found, String>> {
        Box::pin(async {
            let hostname = self.hostname()?;
            let mut answers = self.filter.start();
            answers.put("host.name", hostname);
            answers.put("os.type", std::env::consts::OS);
            answers.put("host.arch", arch(std::env::consts::ARCH));
            if self.filter.is_on("host.id") {
                match self.first_file(&["/etc/machine-id", "/var/lib/dbus/machine-id"]) {
                    Some(id) => answers.put("host.id", id),
                    None => warn!("the host has no id: there is no /etc/machine-id"),
                }
            }
            self.put_os(&mut answers);
            self.put_cpu(&mut answers);
            self.put_network(&mut answers);
            Ok(answers.found())
        })
    }
}

impl System {
    fn hostname(&self) -> Result<String, String> {
        let kernel = self.text("/proc/sys/kernel/hostname");
        let kernel = kernel.ok_or("all hostname sources failed: the kernel tells no host name")?;
        for source in &self.sources {
            match source {
                HostnameSource::Os => return Ok(kernel),
                HostnameSource::Dns => match self.in_hosts_file(&kernel) {
                    Some(full) => return Ok(full),
                    None => debug!(host = kernel, "not in /etc/hosts"),
                },
                // Refused by the validation.
                HostnameSource::Cname | HostnameSource::Lookup => {}
            }
        }
        Err(format!("all hostname sources failed: `{kernel}` is not in /etc/hosts; add `os` to `hostname_sources`"))
    }

    /// The first name of the line that has this one.
    fn in_hosts_file(&self, hostname: &str) -> Option<String> {
        let text = self.world.file("/etc/hosts").ok()?;
        text.lines().find_map(|line| {
            let line = line.split('#').next().unwrap_or_default();
            let mut names = line.split_whitespace().skip(1);
            let first = names.clone().next()?;
            names.any(|name| name == hostname).then(|| first.to_owned())
        })
    }

    /// A file's text without white space round it, if there is any.
    fn text(&self, path: &str) -> Option<String> {
        let text = self.world.file(path).ok()?.trim().to_owned();
        Some(text).filter(|text| !text.is_empty())
    }

    fn first_file(&self, paths: &[&str]) -> Option<String> {
        paths.iter().find_map(|path| self.text(path))
    }

    fn put_os(&self, answers: &mut Answers<'_>) {
        if !self.filter.any_of(&["os.description", "os.name", "os.version", "os.build.id"]) {
            return;
        }
        let release = self.first_file(&["/etc/os-release", "/usr/lib/os-release"]);
        let release = release.unwrap_or_default();
        let of_release = |key: &str| {
            let value = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            value.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
        };
        let kernel = |name: &str| self.text(&format!("/proc/sys/kernel/{name}")).unwrap_or_default();
        let (name, version) = (of_release("NAME"), of_release("VERSION"));
        let distribution = match (name.is_empty(), version.is_empty()) {
            (false, false) => format!("{name} {version}"),
            _ => of_release("PRETTY_NAME"),
        };
        let uname = ["ostype", "hostname", "osrelease", "version"].map(kernel).join(" ");
        let uname = format!("{uname} {}", std::env::consts::ARCH);
        answers.put("os.description", match distribution.is_empty() {
            true => uname,
            false => format!("{distribution} ({uname})"),
        });
        let id = of_release("ID");
        let version = match id.as_str() {
            // Their release files name the minor version, too.
            "debian" => self.text("/etc/debian_version"),
            "alpine" => self.text("/etc/alpine-release"),
            _ => None,
        };
        answers.put_known("os.version", &version.unwrap_or_else(|| of_release("VERSION_ID")));
        answers.put_known("os.name", match id.as_str() {
            "amzn" => "amazon",
            "rhel" => "redhat",
            other => other,
        });
        let build = of_release("BUILD_ID");
        answers.put_known("os.build.id", &if build.is_empty() { kernel("osrelease") } else { build });
    }

    fn put_cpu(&self, answers: &mut Answers<'_>) {
        let wanted = CPU.iter().any(|(attribute, _)| self.filter.is_on(attribute));
        if !wanted && !self.filter.is_on("host.cpu.cache.l2.size") {
            return;
        }
        let text = self.text("/proc/cpuinfo").unwrap_or_default();
        // The first processor stands for all.
        let lines = text.lines().take_while(|line| !line.trim().is_empty());
        for (key, value) in lines.filter_map(|line| line.split_once(':')) {
            let (key, value) = (key.trim(), value.trim());
            if let Some((attribute, _)) = CPU.iter().find(|(_, name)| *name == key) {
                answers.put_known(attribute, value);
            }
            let kilobytes = value.split_whitespace().next().and_then(|size| size.parse::<i64>().ok());
            if let ("cache size", Some(size)) = (key, kilobytes) {
                answers.put("host.cpu.cache.l2.size", size);
            }
        }
    }

    fn put_network(&self, answers: &mut Answers<'_>) {
        if self.filter.any_of(&["host.mac", "host.interface"]) {
            let names = self.world.folder(INTERFACES).unwrap_or_default();
            let up = names.iter().filter(|name| {
                let flags = self.text(&format!("{INTERFACES}/{name}/flags")).unwrap_or_default();
                let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap_or(0);
                flags & IS_UP != 0 && flags & IS_LOOPBACK == 0
            });
            let macs = up.filter_map(|name| self.text(&format!("{INTERFACES}/{name}/address")));
            let macs = macs.map(|mac| mac.to_ascii_uppercase().replace(':', "-"));
            answers.put_list("host.mac", macs.collect());
            answers.put_list("host.interface", names.clone());
        }
        if self.filter.is_on("host.ip") {
            let v4 = self.text("/proc/net/fib_trie").unwrap_or_default();
            let v6 = self.text("/proc/net/if_inet6").unwrap_or_default();
            let all = own_v4(&v4).into_iter().chain(own_v6(&v6));
            let foreign = all.filter(|address| !address.is_loopback());
            answers.put_list("host.ip", foreign.map(|address| address.to_string()).collect());
        }
    }
}

/// Addresses of this machine in the routing table: the leaves that are `host LOCAL`.
fn own_v4(trie: &str) -> Vec<IpAddr> {
    let mut own: Vec<IpAddr> = Vec::new();
    let mut leaf: Option<Ipv4Addr> = None;
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if let (true, Some(address)) = (line.ends_with("host LOCAL"), leaf) {
            // The table is written twice, once for each of its views.
            if !own.contains(&IpAddr::V4(address)) {
                own.push(IpAddr::V4(address));
            }
        }
    }
    own
}

/// Addresses in the list of the kernel: 32 hexadecimal digits at the beginning of each line.
fn own_v6(list: &str) -> Vec<IpAddr> {
    let digits = list.lines().filter_map(|line| line.split_whitespace().next());
    let numbers = digits.filter_map(|digits| u128::from_str_radix(digits, 16).ok());
    numbers.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))).collect()
}

/// An architecture under the name of the semantic conventions.
fn arch(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm32",
        "powerpc" => "ppc32",
        "powerpc64" => "ppc64",
        other => other,
    }
}
