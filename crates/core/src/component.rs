//! The traits that pipelines are made of.
//!
//! The edge between components is an awaited call that returns a result: that result is the
//! acknowledgement, and a call that takes its time is the back-pressure.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use weir_model::{Batch, Signal};

use crate::reject::{Fatal, Reject};
use crate::tasks::{Deadline, Stop};

/// A boxed future, so that the traits are object safe.
pub type BoxFut<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The edge. Everything downstream of a component looks like this.
pub trait Consumer: Send + Sync {
    /// Takes a batch; `Ok` means that whatever stands behind has taken responsibility for it.
    fn consume(&self, batch: Batch) -> BoxFut<'_, Result<(), Reject>>;
}

/// What becomes of a batch after a transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Pass,
    /// Nothing is left of it; the caller is told that all is well.
    Drop,
}

/// Most processors: synchronous, no task, no channel. Neighbours are fused into one chain.
pub trait Transform: Send + Sync {
    /// Changes the batch in place.
    fn apply(&self, batch: &mut Batch) -> Result<Flow, Reject>;

    /// Called when the pipeline stops, after the last batch.
    fn stop(&self) {}
}

/// Processors that hold data across calls, and exporters with their queues.
pub trait Stage: Consumer {
    /// Begins work that needs a running pipeline (opening files, starting tasks).
    fn start(&self) -> BoxFut<'_, Result<(), Fatal>> {
        Box::pin(async { Ok(()) })
    }

    /// Hands on or delivers all it holds, until the deadline; counts what is left as dropped.
    fn drain(&self, by: Deadline) -> BoxFut<'_, ()>;
}

/// One try at delivery; queue, retry, timeout and batching are wrapped round it (`weir-sending`).
pub trait Exporter: Send + Sync {
    /// Sends the batch. On a partial failure the exporter may cut the batch down to what is worth
    /// sending again and return [`Reject::Retry`].
    fn export<'a>(&'a self, batch: &'a mut Batch) -> BoxFut<'a, Result<(), Reject>>;

    /// Begins work (connections); failure to reach the backend is not an error here.
    fn start(&self) -> BoxFut<'_, Result<(), Fatal>> {
        Box::pin(async { Ok(()) })
    }

    /// Called once after the last batch: flush what is buffered inside, close connections.
    fn stop(&self, _by: Deadline) -> BoxFut<'_, ()> {
        Box::pin(async {})
    }
}

/// A built processor.
pub enum Processor {
    /// Works in place.
    Transform(Arc<dyn Transform>),
    /// Stands between its neighbours with a life of its own; it was given the next consumer.
    Stage(Arc<dyn Stage>),
}

/// Where a receiver sends what it gets, by signal; `None` when no pipeline of that signal uses it.
#[derive(Clone, Default)]
pub struct Outputs {
    /// Pipelines of traces.
    pub traces: Option<Arc<dyn Consumer>>,
    /// Pipelines of metrics.
    pub metrics: Option<Arc<dyn Consumer>>,
    /// Pipelines of logs.
    pub logs: Option<Arc<dyn Consumer>>,
}

impl Outputs {
    /// The consumer of a signal.
    pub fn get(&self, signal: Signal) -> Option<&Arc<dyn Consumer>> {
        match signal {
            Signal::Traces => self.traces.as_ref(),
            Signal::Metrics => self.metrics.as_ref(),
            Signal::Logs => self.logs.as_ref(),
        }
    }

    /// Sets the consumer of a signal.
    pub fn set(&mut self, signal: Signal, consumer: Arc<dyn Consumer>) {
        match signal {
            Signal::Traces => self.traces = Some(consumer),
            Signal::Metrics => self.metrics = Some(consumer),
            Signal::Logs => self.logs = Some(consumer),
        }
    }
}

/// The work of a started receiver; it ends after `stop` or with a reason to end the program.
pub type Running = BoxFut<'static, Result<(), Fatal>>;

/// Gets telemetry from outside. One instance serves all signals of its id.
pub trait Receiver: Send {
    /// Opens listeners (an address in use is found out here) and returns the work to be run.
    /// On `stop` it refuses new work, finishes what it holds and ends within the stop's deadline.
    fn start(self: Box<Self>, out: Outputs, stop: Stop) -> BoxFut<'static, Result<Running, Fatal>>;
}
