//! The `k8sattributes` processor: adds to resources what Kubernetes knows of the pod they come from.
//!
//! Pods and what stands round them are in watches that are shared with discovery and with all
//! pipelines (`weir-kube`). A metric's resource is part of its series, which is changed once and
//! remembered until what is known changes, and so is each resource of spans and log records.

mod association;
mod attributes;
mod config;
mod image;
mod index;
mod rules;
mod shared;
#[cfg(test)]
mod tests;
mod watches;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use weir_core::telemetry::Counter;
use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Consumer, Data, Flow, Interner, Processor, ProcessorKind,
    Reject, Signals, Stability, Transform,
};
use weir_kube::Access;
use weir_model::{Mapped, Resource, Series, SeriesMapper};

pub use config::Config;
use shared::{Shared, access};

/// Senders whose numbers are kept.
const SENDERS: usize = 65_536;
/// Resources of spans and log records whose answers are kept.
const ANSWERS: usize = 4_096;

/// Registration.
pub struct Kind;

impl ProcessorKind for Kind {
    const TYPE: &'static str = "k8s_attributes";
    const ALIASES: &'static [&'static str] = &["k8sattributes"];
    const STABILITY: Stability = Stability::Beta;
    const SIGNALS: Signals = Signals::ALL;
    type Config = Config;

    fn build(
        config: Config,
        cx: BuildCtx,
        _: Arc<dyn Consumer>,
    ) -> BoxFut<'static, Result<Processor, BuildError>> {
        Box::pin(async move {
            let processor = Kubernetes::build(&config, &cx, &access(&config)).await;
            Ok(Processor::Transform(Arc::new(processor.map_err(BuildError)?)))
        })
    }
}

/// Answers about the resources of spans and log records, for one version of what is known.
#[derive(Default)]
struct Answers {
    epoch: u64,
    /// By the resource's address and the sender's number; the resource is kept beside its answer, so
    /// that no other can get the address.
    of: HashMap<(usize, u32), Answer, foldhash::fast::RandomState>,
}

/// A resource and what it becomes; nothing if it stays.
type Answer = (Arc<Resource>, Option<Arc<Resource>>);

struct Kubernetes {
    shared: Arc<Shared>,
    interner: Arc<Interner>,
    mapper: Arc<SeriesMapper>,
    senders: Mutex<Senders>,
    answers: Mutex<Answers>,
    /// It has stopped.
    left: AtomicBool,
    found: Counter,
    not_found: Counter,
    added: Counter,
}

/// A number for each sender, so that answers about series can be told apart by it.
#[derive(Default)]
struct Senders {
    numbers: HashMap<IpAddr, u32, foldhash::fast::RandomState>,
    next: u32,
}

impl Senders {
    fn number(&mut self, sender: IpAddr) -> u32 {
        if let Some(number) = self.numbers.get(&sender) {
            return *number;
        }
        if self.numbers.len() >= SENDERS {
            self.numbers.clear();
        }
        // Numbers are not used twice; 0 stands for nobody.
        self.next = self.next.wrapping_add(1).max(1);
        self.numbers.insert(sender, self.next);
        self.next
    }
}

impl Kubernetes {
    async fn build(config: &Config, cx: &BuildCtx, access: &Access) -> Result<Self, String> {
        let processor = Self::new(Shared::of(config, cx, access).await?, cx);
        if config.wait_for_metadata && !config.passthrough {
            // What has begun ends with the processor if that fails.
            processor.shared.wait().await?;
        }
        Ok(processor)
    }

    fn new(shared: Arc<Shared>, cx: &BuildCtx) -> Self {
        let mapper = Arc::<SeriesMapper>::default();
        let swept = Arc::downgrade(&mapper);
        cx.housekeeping.add(move |interner| {
            if let Some(mapper) = swept.upgrade() {
                mapper.sweep(interner);
            }
        });
        let signal = cx.signal.map_or("", |signal| signal.as_str());
        let counter = |name: &str, help: &str| {
            let name = format!("otelcol_processor_k8sattributes_{name}");
            cx.telemetry.counter(&name, help, &[("k8s_telemetry_type", signal)])
        };
        Self {
            shared,
            interner: cx.interner.clone(),
            mapper,
            senders: Mutex::default(),
            answers: Mutex::default(),
            left: AtomicBool::new(false),
            found: counter("pod_association_success", "Number of successful pod associations"),
            not_found: counter("pod_association_error", "Number of failed pod associations"),
            added: counter(
                "resource_attributes_added",
                "Number of times resource attributes were successfully added to resources",
            ),
        }
    }

    /// The resource with what is known; `None` if that changes nothing.
    fn resource(&self, resource: &Resource, sender: Option<IpAddr>) -> Option<Arc<Resource>> {
        let mut attributes = resource.attributes.to_builder();
        match self.shared.add(&resource.attributes, sender, &mut attributes) {
            Some(true) => self.found.add(1),
            _ => self.not_found.add(1),
        }
        let attributes = attributes.build();
        if attributes == resource.attributes {
            return None;
        }
        self.added.add(1);
        Some(self.interner.resource(Resource { attributes, ..resource.clone() }))
    }

    fn map(&self, series: &Arc<Series>, sender: Option<IpAddr>) -> Mapped {
        match self.resource(series.resource(), sender) {
            None => Mapped::Same,
            Some(resource) => {
                let labels = series.labels().clone();
                let (scope, metric) = (series.scope(), series.metric());
                Mapped::To(self.interner.series(&resource, scope, metric, labels))
            }
        }
    }

    /// The answer about a resource that comes again and again.
    fn remembered(
        &self,
        resource: &Arc<Resource>,
        sender: Option<IpAddr>,
        (epoch, number): (u64, u32),
    ) -> Option<Arc<Resource>> {
        let key = (Arc::as_ptr(resource).addr(), number);
        let answers = || self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut answers = answers();
            if answers.epoch < epoch {
                answers.epoch = epoch;
                answers.of.clear();
            }
            if let Some((_, answer)) = answers.of.get(&key).filter(|_| answers.epoch == epoch) {
                return answer.clone();
            }
        }
        let answer = self.resource(resource, sender);
        let mut answers = answers();
        if answers.epoch == epoch {
            if answers.of.len() >= ANSWERS {
                answers.of.clear();
            }
            answers.of.insert(key, (resource.clone(), answer.clone()));
        }
        answer
    }

    /// The version of what is known, and the number of the sender.
    fn version(&self, sender: Option<IpAddr>) -> (u64, u32) {
        let number = sender.map_or(0, |sender| {
            self.senders.lock().unwrap_or_else(PoisonError::into_inner).number(sender)
        });
        (self.shared.epoch(), number)
    }
}

impl Transform for Kubernetes {
    fn apply(&self, batch: &mut Batch) -> Result<Flow, Reject> {
        let client = batch.client.as_ref();
        let sender = client
            .filter(|_| self.shared.associations.ask_sender())
            .and_then(|client| client.address)
            .map(|address| address.ip());
        let version = self.version(sender);
        match &mut batch.data {
            Data::Metrics(metrics) => {
                let epoch = (version.0 << 32) | u64::from(version.1);
                self.mapper.apply(metrics, epoch, |series| self.map(series, sender));
            }
            Data::Traces(traces) => {
                traces.map_resources(|resource| self.remembered(resource, sender, version));
            }
            Data::Logs(logs) => {
                logs.map_resources(|resource| self.remembered(resource, sender, version));
            }
        }
        Ok(Flow::Pass)
    }

    fn stop(&self) {
        if !self.left.swap(true, Ordering::AcqRel) {
            self.shared.leave();
        }
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        self.stop();
    }
}
