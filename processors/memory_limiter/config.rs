//! Keys of `memory_limiter` (otlp-and-helpers section 5).

use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Validate};

use super::Limits;

const MIB: u64 = 1 << 20;

/// Configuration of `memory_limiter`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Time between two looks at the memory in use; must be set.
    pub check_interval: Duration,
    /// Limit in MiB; wins over the percentage.
    pub limit_mib: u32,
    /// Limit in percent of the cgroup limit, or of the machine's memory.
    pub limit_percentage: u32,
    /// How far below the limit refusing begins, MiB; 0 means a fifth of the limit.
    pub spike_limit_mib: u32,
    /// The same in percent, used with `limit_percentage`.
    pub spike_limit_percentage: u32,
    /// Accepted: there is no garbage collector to call.
    pub min_gc_interval_when_soft_limited: Option<Duration>,
    /// Accepted: there is no garbage collector to call.
    pub min_gc_interval_when_hard_limited: Option<Duration>,
    /// Accepted: there is no garbage collector to call.
    pub max_gc_interval_when_soft_limited: Option<Duration>,
    /// Accepted: there is no garbage collector to call.
    pub max_gc_interval_when_hard_limited: Option<Duration>,
}

impl Config {
    /// The limits in bytes; `None` when a percentage is asked of an unknown total.
    pub(super) fn limits(&self, total: Option<u64>) -> Option<Limits> {
        let (hard, spike) = if self.limit_mib > 0 {
            (u64::from(self.limit_mib) * MIB, u64::from(self.spike_limit_mib) * MIB)
        } else {
            let total = total?;
            let part = |percent: u32| total / 100 * u64::from(percent);
            (part(self.limit_percentage), part(self.spike_limit_percentage))
        };
        let spike = if spike == 0 { hard / 5 } else { spike };
        Some(Limits { soft: hard.saturating_sub(spike), hard })
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        if self.check_interval.nanos() <= 0 {
            errors.push("check_interval", "'check_interval' must be greater than zero", "for example 1s");
        }
        if self.limit_mib == 0 && self.limit_percentage == 0 {
            let text = "'limit_mib' or 'limit_percentage' must be greater than zero";
            errors.push("", text, "for example limit_percentage: 80");
        }
        for (key, value) in [
            ("limit_percentage", self.limit_percentage),
            ("spike_limit_percentage", self.spike_limit_percentage),
        ] {
            if value > 100 {
                errors.push(key, format!("'{key}' must be at most 100, got {value}"), "");
            }
        }
        if self.limit_mib > 0 && self.spike_limit_mib >= self.limit_mib {
            errors.push("spike_limit_mib", "'spike_limit_mib' must be smaller than 'limit_mib'", "");
        }
        if self.limit_mib == 0 && self.limit_percentage > 0 && self.spike_limit_percentage >= self.limit_percentage {
            let text = "'spike_limit_percentage' must be smaller than 'limit_percentage'";
            errors.push("spike_limit_percentage", text, "");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_spike_is_a_fifth_by_default_and_mib_win_over_percent() {
        let config = Config { limit_percentage: 50, ..Config::default() };
        assert_eq!(config.limits(Some(1000)), Some(Limits { soft: 400, hard: 500 }));
        assert_eq!(config.limits(None), None);
        let config = Config { limit_mib: 10, spike_limit_mib: 4, limit_percentage: 50, ..Config::default() };
        assert_eq!(config.limits(None), Some(Limits { soft: 6 * MIB, hard: 10 * MIB }));
    }
}
