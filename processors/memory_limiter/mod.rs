//! The `memory_limiter` processor: refuses data while the program uses too much memory.
//!
//! The keys and the error are those of the reference (otlp-and-helpers section 5). The value compared is
//! the resident memory of the process, which is what a container is killed for; the reference
//! looks at its heap, which can be far below.

mod config;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use config::Config;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use weir_core::telemetry::Counter;
use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Consumer, Flow, Processor, ProcessorKind, Reject, Signal, Signals, Stability,
    Transform, memory,
};

/// Registration.
pub struct Kind;

impl ProcessorKind for Kind {
    const TYPE: &'static str = "memory_limiter";
    const STABILITY: Stability = Stability::Beta;
    const SIGNALS: Signals = Signals::ALL;
    type Config = Config;

    fn build(config: Config, cx: BuildCtx, _: Arc<dyn Consumer>) -> BoxFut<'static, Result<Processor, BuildError>> {
        Box::pin(async move {
            let limits = config.limits(memory::limit_bytes()).ok_or_else(|| {
                BuildError("limit_percentage needs a memory limit, and none could be read: use limit_mib".into())
            })?;
            Ok(Processor::Transform(Arc::new(MemoryLimiter::start(&config, limits, &cx))))
        })
    }
}

/// Bytes at which data is refused, and above which it is urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Refuse at or above this.
    pub soft: u64,
    /// The limit itself.
    pub hard: u64,
}

struct MemoryLimiter {
    refusing: Arc<AtomicBool>,
    accepted: Counter,
    refused: Counter,
    stop: CancellationToken,
}

impl MemoryLimiter {
    fn start(config: &Config, limits: Limits, cx: &BuildCtx) -> Self {
        let refusing = Arc::new(AtomicBool::new(false));
        let stop = CancellationToken::new();
        let (flag, stopped, id) = (refusing.clone(), stop.clone(), cx.id.to_string());
        let mut interval = tokio::time::interval(config.check_interval.to_std());
        cx.tasks.spawn(&format!("processor {}", cx.id), async move {
            loop {
                tokio::select! {
                    () = stopped.cancelled() => return,
                    _ = interval.tick() => check(memory::resident_bytes().unwrap_or(0), limits, &flag, &id),
                }
            }
        });
        let items = cx.signal.unwrap_or(Signal::Metrics).items();
        let labels = [("processor", cx.id.as_str())];
        let counter = |what: &str| {
            let name = format!("otelcol_processor_memory_limiter_{what}_{items}");
            cx.telemetry.counter(&name, &format!("Items {what} by the memory limiter ({items})"), &labels)
        };
        Self { refusing, accepted: counter("accepted"), refused: counter("refused"), stop }
    }
}

/// Compares the memory in use with the limits; says when it starts and stops refusing.
fn check(used: u64, limits: Limits, refusing: &AtomicBool, id: &str) {
    let over = used >= limits.soft;
    if refusing.swap(over, Ordering::Relaxed) == over {
        return;
    }
    let (used_mib, soft_mib) = (used >> 20, limits.soft >> 20);
    if over {
        let urgent = used >= limits.hard;
        warn!(
            "otelcol.component.id" = id, "otelcol.component.kind" = "processor", used_mib, soft_mib, urgent,
            "Memory usage is above soft limit. Refusing data."
        );
    } else {
        info!(
            "otelcol.component.id" = id, "otelcol.component.kind" = "processor", used_mib, soft_mib,
            "Memory usage back within limits. Resuming normal operation."
        );
    }
}

impl Transform for MemoryLimiter {
    fn apply(&self, batch: &mut Batch) -> Result<Flow, Reject> {
        if self.refusing.load(Ordering::Relaxed) {
            self.refused.add(batch.len() as u64);
            return Err(Reject::retry("memory", "data refused due to high memory usage"));
        }
        self.accepted.add(batch.len() as u64);
        Ok(Flow::Pass)
    }

    fn stop(&self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn refuses_from_the_soft_limit_on_and_recovers_below_it() {
        let limits = Limits { soft: 80, hard: 100 };
        let refusing = AtomicBool::new(false);
        for (used, expected) in [(79, false), (80, true), (120, true), (79, false)] {
            check(used, limits, &refusing, "memory_limiter");
            assert_eq!(refusing.load(Ordering::Relaxed), expected, "{used}");
        }
    }

    #[tokio::test]
    async fn a_refused_batch_is_counted_and_may_come_again() {
        let id = weir_core::ComponentId::parse("memory_limiter").unwrap();
        let cx = BuildCtx::standalone(id, weir_core::ComponentKind::Processor, Some(Signal::Metrics));
        let config = Config { check_interval: weir_config::Duration::from_secs(3600), ..Config::default() };
        let limiter = MemoryLimiter::start(&config, Limits { soft: u64::MAX, hard: u64::MAX }, &cx);
        let mut batch = Batch::metrics(weir_model::Metrics::default());
        assert_eq!(limiter.apply(&mut batch), Ok(Flow::Pass));
        limiter.refusing.store(true, Ordering::Relaxed);
        assert!(limiter.apply(&mut batch).unwrap_err().is_retryable());
        limiter.stop();
    }
}
