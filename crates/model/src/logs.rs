//! Log records: flat records of offsets over the bytes they came in.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::DecodeError;
use crate::intern::Interner;
use crate::series::{Resource, Scope};
use crate::traces::AttributesRef;
use crate::value::ValueRef;

/// A batch of log records. Cloning shares the chunks; the first change copies what it must.
#[derive(Clone, Debug, Default)]
pub struct Logs {}

impl Logs {
    /// Takes an OTLP `ExportLogsServiceRequest` as it is; its whole structure is checked here.
    pub fn from_otlp(_bytes: Bytes, _interner: &Arc<Interner>) -> Result<Self, DecodeError> {
        unimplemented!()
    }
    /// Number of records.
    pub fn len(&self) -> usize {
        unimplemented!()
    }
    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// All records in order.
    pub fn records(&self) -> impl Iterator<Item = LogRef<'_>> {
        std::iter::empty()
    }
    /// Changes every record; bytes are given up, shared chunks are copied.
    pub fn for_each_mut(&mut self, _f: impl FnMut(&mut LogMut<'_>)) {
        unimplemented!()
    }
    /// Keeps the records for which `keep` says so; returns how many were dropped.
    pub fn retain(&mut self, _keep: impl FnMut(LogRef<'_>) -> bool) -> usize {
        unimplemented!()
    }
    /// Replaces resources: called once per distinct resource; `None` leaves it (and the bytes).
    pub fn map_resources(&mut self, _map: impl FnMut(&Arc<Resource>) -> Option<Arc<Resource>>) {
        unimplemented!()
    }
    /// Puts another batch behind this one. Moves handles, not records.
    pub fn append(&mut self, _other: Logs) {
        unimplemented!()
    }
    /// Cuts the batch after `count` records and returns the rest.
    pub fn split_off(&mut self, _count: usize) -> Logs {
        unimplemented!()
    }
    /// The untouched request bytes, when every chunk still has them.
    pub fn wire_chunks(&self) -> Option<Vec<Bytes>> {
        unimplemented!()
    }
    /// Appends the batch as an OTLP `ExportLogsServiceRequest`; untouched bytes are copied.
    pub fn encode_otlp(&self, _out: &mut Vec<u8>) {
        unimplemented!()
    }
    /// Bytes this batch keeps alive, roughly.
    pub fn size_bytes(&self) -> usize {
        unimplemented!()
    }
}

/// A log record, read in place.
#[derive(Clone, Copy, Debug)]
pub struct LogRef<'a> {
    _chunk: &'a (),
}

impl<'a> LogRef<'a> {
    /// The resource.
    pub fn resource(&self) -> &'a Arc<Resource> {
        unimplemented!()
    }
    /// The instrumentation scope.
    pub fn scope(&self) -> &'a Arc<Scope> {
        unimplemented!()
    }
    /// When it happened, Unix nanoseconds, 0 if not said.
    pub fn time_ns(&self) -> u64 {
        unimplemented!()
    }
    /// When it was seen, Unix nanoseconds.
    pub fn observed_ns(&self) -> u64 {
        unimplemented!()
    }
    /// OTLP severity number, 0..=24.
    pub fn severity_number(&self) -> i32 {
        unimplemented!()
    }
    /// Severity as the source wrote it.
    pub fn severity_text(&self) -> &'a str {
        unimplemented!()
    }
    /// The body.
    pub fn body(&self) -> ValueRef<'a> {
        unimplemented!()
    }
    /// Attributes.
    pub fn attributes(&self) -> AttributesRef<'a> {
        unimplemented!()
    }
    /// Trace id: 16 bytes or empty.
    pub fn trace_id(&self) -> &'a [u8] {
        unimplemented!()
    }
    /// Span id: 8 bytes or empty.
    pub fn span_id(&self) -> &'a [u8] {
        unimplemented!()
    }
    /// W3C trace flags.
    pub fn flags(&self) -> u32 {
        unimplemented!()
    }
    /// Event name (OTLP 1.5 on).
    pub fn event_name(&self) -> &'a str {
        unimplemented!()
    }
    /// Attributes that the sender left out.
    pub fn dropped_attributes(&self) -> u32 {
        unimplemented!()
    }
}

/// A log record that may be changed.
#[derive(Debug)]
pub struct LogMut<'a> {
    _chunk: &'a mut (),
}

impl LogMut<'_> {
    /// The record as it is now.
    pub fn as_ref(&self) -> LogRef<'_> {
        unimplemented!()
    }
    /// Sets or replaces an attribute.
    pub fn set(&mut self, _key: &str, _value: ValueRef<'_>) {
        unimplemented!()
    }
    /// Removes an attribute; whether it was there.
    pub fn remove(&mut self, _key: &str) -> bool {
        unimplemented!()
    }
}
