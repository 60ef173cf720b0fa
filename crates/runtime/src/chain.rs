//! Neighbouring transforms as one consumer: one call each, no await between them.

use std::sync::Arc;

use weir_core::telemetry::Counter;
use weir_core::{Batch, BoxFut, Consumer, Flow, Reject, Signal, Telemetry, Transform};

/// A transform and its counters.
#[derive(Clone)]
pub struct Link {
    transform: Arc<dyn Transform>,
    incoming: Counter,
    outgoing: Counter,
}

impl Link {
    /// With the counters of processor `id` for `signal`.
    pub fn new(
        transform: Arc<dyn Transform>,
        telemetry: &Telemetry,
        id: &str,
        signal: Signal,
    ) -> Self {
        let labels = [("processor", id), ("otel_signal", signal.as_str())];
        let counter = |name: &str, help: &str| telemetry.counter(name, help, &labels);
        Self {
            transform,
            incoming: counter(
                "otelcol_processor_incoming_items",
                "Items that reached the processor",
            ),
            outgoing: counter(
                "otelcol_processor_outgoing_items",
                "Items that left the processor",
            ),
        }
    }
}

/// Transforms in order, then the next consumer.
pub struct Chain {
    links: Vec<Link>,
    next: Arc<dyn Consumer>,
}

impl Chain {
    /// The links in front of `next`; without links `next` itself.
    pub fn before(links: Vec<Link>, next: Arc<dyn Consumer>) -> Arc<dyn Consumer> {
        if links.is_empty() {
            next
        } else {
            Arc::new(Self { links, next })
        }
    }
}

impl Consumer for Chain {
    fn consume(&self, mut batch: Batch) -> BoxFut<'_, Result<(), Reject>> {
        for link in &self.links {
            link.incoming.add(batch.len() as u64);
            match link.transform.apply(&mut batch) {
                Ok(Flow::Pass) if !batch.is_empty() => link.outgoing.add(batch.len() as u64),
                Ok(_) => return Box::pin(std::future::ready(Ok(()))),
                Err(reject) => return Box::pin(std::future::ready(Err(reject))),
            }
        }
        self.next.consume(batch)
    }
}
