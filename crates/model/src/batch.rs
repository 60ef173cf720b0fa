//! What travels along a pipeline: one signal's data, who sent it, and its charge on the memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::traces::Traces;

/// The kinds of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// All of them.
    pub const ALL: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];

    /// Name in configuration and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
            Signal::Logs => "logs",
        }
    }

    /// What one item is called in metric names.
    pub fn items(self) -> &'static str {
        match self {
            Signal::Traces => "spans",
            Signal::Metrics => "metric_points",
            Signal::Logs => "log_records",
        }
    }
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One signal's data.
#[derive(Clone, Debug)]
pub enum Data {
    /// Data points.
    Metrics(Metrics),
    /// Spans.
    Traces(Traces),
    /// Log records.
    Logs(Logs),
}

/// Facts about the sender; filled only when a component asks for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientMetadata {
    /// Request headers, names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// Peer address.
    pub address: Option<std::net::SocketAddr>,
}

impl ClientMetadata {
    /// Values of a header, whatever its case.
    pub fn get<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }
}

/// A batch on its way.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The data.
    pub data: Data,
    /// The sender.
    pub client: Option<Arc<ClientMetadata>>,
    /// The bytes this batch holds of the admission guard; given back when the last copy goes.
    pub charge: Option<Arc<Charge>>,
}

impl Batch {
    /// A batch without sender and charge.
    pub fn new(data: Data) -> Self {
        Self {
            data,
            client: None,
            charge: None,
        }
    }
    /// A metrics batch.
    pub fn metrics(metrics: Metrics) -> Self {
        Self::new(Data::Metrics(metrics))
    }
    /// A traces batch.
    pub fn traces(traces: Traces) -> Self {
        Self::new(Data::Traces(traces))
    }
    /// A logs batch.
    pub fn logs(logs: Logs) -> Self {
        Self::new(Data::Logs(logs))
    }

    /// The kind of data.
    pub fn signal(&self) -> Signal {
        match &self.data {
            Data::Metrics(_) => Signal::Metrics,
            Data::Traces(_) => Signal::Traces,
            Data::Logs(_) => Signal::Logs,
        }
    }

    /// Number of points, spans or records.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::Metrics(m) => m.len(),
            Data::Traces(t) => t.len(),
            Data::Logs(l) => l.len(),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes the data keeps alive, roughly.
    pub fn size_bytes(&self) -> usize {
        match &self.data {
            Data::Metrics(m) => m.size_bytes(),
            Data::Traces(t) => t.size_bytes(),
            Data::Logs(l) => l.size_bytes(),
        }
    }

    /// Appends the data as the OTLP export request of its signal.
    pub fn encode_otlp(&self, out: &mut Vec<u8>) {
        match &self.data {
            Data::Metrics(m) => m.encode_otlp(out),
            Data::Traces(t) => t.encode_otlp(out),
            Data::Logs(l) => l.encode_otlp(out),
        }
    }

    /// The data as an OTLP/JSON request of its signal.
    pub fn to_json(&self) -> Vec<u8> {
        match &self.data {
            Data::Metrics(m) => m.to_json(),
            Data::Traces(t) => t.to_json(),
            Data::Logs(l) => l.to_json(),
        }
    }

    /// The untouched request bytes, when every chunk still has them.
    pub fn wire_chunks(&self) -> Option<Vec<bytes::Bytes>> {
        match &self.data {
            Data::Metrics(m) => m.wire_chunks(),
            Data::Traces(t) => t.wire_chunks(),
            Data::Logs(l) => l.wire_chunks(),
        }
    }

    /// Puts another batch of the same signal behind this one; hands it back if it is of another.
    /// Charges and client metadata of `other` are the caller's business.
    pub fn append(&mut self, other: Batch) -> Result<(), Batch> {
        match (&mut self.data, other.data) {
            (Data::Metrics(a), Data::Metrics(b)) => a.append(b),
            (Data::Traces(a), Data::Traces(b)) => a.append(b),
            (Data::Logs(a), Data::Logs(b)) => a.append(b),
            (_, data) => return Err(Batch { data, ..other }),
        }
        Ok(())
    }

    /// Cuts the batch after `count` items and returns the rest (same client and charge).
    pub fn split_off(&mut self, count: usize) -> Batch {
        let data = match &mut self.data {
            Data::Metrics(m) => Data::Metrics(m.split_off(count)),
            Data::Traces(t) => Data::Traces(t.split_off(count)),
            Data::Logs(l) => Data::Logs(l.split_off(count)),
        };
        Batch {
            data,
            client: self.client.clone(),
            charge: self.charge.clone(),
        }
    }
}

/// Bytes in use against a limit; the exact layer of the admission guard.
#[derive(Debug)]
pub struct Ledger {
    limit: usize,
    used: AtomicUsize,
}

impl Ledger {
    /// A ledger with room for `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
        })
    }

    /// Takes `bytes`; `None` when they do not fit.
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        self.take(bytes).then(|| Charge {
            ledger: self.clone(),
            bytes,
        })
    }

    fn take(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, fits)
            .is_ok()
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

/// A permit for bytes; dropping it gives them back.
#[derive(Debug)]
pub struct Charge {
    ledger: Arc<Ledger>,
    bytes: usize,
}

impl Charge {
    /// Takes more under the same permit (a body that grows); whether it fitted.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let fits = self.ledger.take(bytes);
        if fits {
            self.bytes += bytes;
        }
        fits
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.ledger.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_charge_is_refused_over_the_limit_and_given_back_on_drop() {
        let ledger = Ledger::new(100);
        let mut first = ledger.charge(60).unwrap();
        assert!(ledger.charge(41).is_none());
        assert!(first.grow(40) && !first.grow(1));
        assert_eq!(ledger.used(), 100);
        drop(first);
        assert_eq!(ledger.used(), 0);
    }
}
