//! Spans: flat records of offsets over the bytes they came in.

use std::sync::Arc;

use bytes::Bytes;

use crate::attributes::AttributeSource;
use crate::error::DecodeError;
use crate::intern::Interner;
use crate::series::{Resource, Scope};
use crate::value::ValueRef;

/// A batch of spans. Cloning shares the chunks; the first change copies what it must.
#[derive(Clone, Debug, Default)]
pub struct Traces {}

impl Traces {
    /// Takes an OTLP `ExportTraceServiceRequest` as it is; its whole structure is checked here.
    pub fn from_otlp(_bytes: Bytes, _interner: &Arc<Interner>) -> Result<Self, DecodeError> {
        unimplemented!()
    }
    /// Number of spans.
    pub fn len(&self) -> usize {
        unimplemented!()
    }
    /// Whether there are no spans.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// All spans in order.
    pub fn spans(&self) -> impl Iterator<Item = SpanRef<'_>> {
        std::iter::empty()
    }
    /// Changes every span; bytes are given up, shared chunks are copied.
    pub fn for_each_mut(&mut self, _f: impl FnMut(&mut SpanMut<'_>)) {
        unimplemented!()
    }
    /// Keeps the spans for which `keep` says so; returns how many were dropped.
    pub fn retain(&mut self, _keep: impl FnMut(SpanRef<'_>) -> bool) -> usize {
        unimplemented!()
    }
    /// Replaces resources: called once per distinct resource; `None` leaves it (and the bytes).
    pub fn map_resources(&mut self, _map: impl FnMut(&Arc<Resource>) -> Option<Arc<Resource>>) {
        unimplemented!()
    }
    /// Puts another batch behind this one. Moves handles, not spans.
    pub fn append(&mut self, _other: Traces) {
        unimplemented!()
    }
    /// Cuts the batch after `count` spans and returns the rest.
    pub fn split_off(&mut self, _count: usize) -> Traces {
        unimplemented!()
    }
    /// The untouched request bytes, when every chunk still has them.
    pub fn wire_chunks(&self) -> Option<Vec<Bytes>> {
        unimplemented!()
    }
    /// Appends the batch as an OTLP `ExportTraceServiceRequest`; untouched bytes are copied.
    pub fn encode_otlp(&self, _out: &mut Vec<u8>) {
        unimplemented!()
    }
    /// Bytes this batch keeps alive, roughly.
    pub fn size_bytes(&self) -> usize {
        unimplemented!()
    }
}

/// A span, read in place.
#[derive(Clone, Copy, Debug)]
pub struct SpanRef<'a> {
    _chunk: &'a (),
}

/// Attributes of a span, event, link or log record, in the order sent.
#[derive(Clone, Copy, Debug)]
pub struct AttributesRef<'a> {
    _chunk: &'a (),
}

impl<'a> AttributesRef<'a> {
    /// The entries as sent.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, ValueRef<'a>)> + use<'a> {
        std::iter::empty()
    }
    /// The first entry with this key.
    pub fn get(&self, key: &str) -> Option<ValueRef<'a>> {
        self.iter().find(|(k, _)| *k == key).map(|(_, v)| v)
    }
    /// Number of entries.
    pub fn len(&self) -> usize {
        unimplemented!()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl AttributeSource for AttributesRef<'_> {
    fn get(&self, key: &str) -> Option<ValueRef<'_>> {
        AttributesRef::get(self, key)
    }
    fn for_each<'a>(&'a self, f: &mut dyn FnMut(&'a str, ValueRef<'a>)) {
        for (key, value) in self.iter() {
            f(key, value);
        }
    }
    fn len(&self) -> usize {
        AttributesRef::len(self)
    }
}

impl<'a> SpanRef<'a> {
    /// The resource.
    pub fn resource(&self) -> &'a Arc<Resource> {
        unimplemented!()
    }
    /// The instrumentation scope.
    pub fn scope(&self) -> &'a Arc<Scope> {
        unimplemented!()
    }
    /// Trace id: 16 bytes, or empty, or whatever was sent.
    pub fn trace_id(&self) -> &'a [u8] {
        unimplemented!()
    }
    /// Span id: 8 bytes, or empty, or whatever was sent.
    pub fn span_id(&self) -> &'a [u8] {
        unimplemented!()
    }
    /// Parent span id; empty for a root.
    pub fn parent_span_id(&self) -> &'a [u8] {
        unimplemented!()
    }
    /// W3C trace state.
    pub fn trace_state(&self) -> &'a str {
        unimplemented!()
    }
    /// Operation name.
    pub fn name(&self) -> &'a str {
        unimplemented!()
    }
    /// OTLP span kind: 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub fn kind(&self) -> i32 {
        unimplemented!()
    }
    /// Start, Unix nanoseconds.
    pub fn start_ns(&self) -> u64 {
        unimplemented!()
    }
    /// End, Unix nanoseconds.
    pub fn end_ns(&self) -> u64 {
        unimplemented!()
    }
    /// OTLP status code: 0 unset, 1 ok, 2 error.
    pub fn status_code(&self) -> i32 {
        unimplemented!()
    }
    /// Status text.
    pub fn status_message(&self) -> &'a str {
        unimplemented!()
    }
    /// W3C trace flags and OTLP flags.
    pub fn flags(&self) -> u32 {
        unimplemented!()
    }
    /// Attributes.
    pub fn attributes(&self) -> AttributesRef<'a> {
        unimplemented!()
    }
    /// Shorthand for `attributes().get(key)`.
    pub fn attr(&self, key: &str) -> Option<ValueRef<'a>> {
        self.attributes().get(key)
    }
    /// Attributes, events and links that the sender left out.
    pub fn dropped(&self) -> (u32, u32, u32) {
        unimplemented!()
    }
    /// Events in order.
    pub fn events(&self) -> impl Iterator<Item = EventRef<'a>> + use<'a> {
        std::iter::empty()
    }
    /// Links in order.
    pub fn links(&self) -> impl Iterator<Item = LinkRef<'a>> + use<'a> {
        std::iter::empty()
    }
}

/// A span event.
#[derive(Clone, Copy, Debug)]
pub struct EventRef<'a> {
    _chunk: &'a (),
}

impl<'a> EventRef<'a> {
    /// Unix nanoseconds.
    pub fn time_ns(&self) -> u64 {
        unimplemented!()
    }
    /// Event name.
    pub fn name(&self) -> &'a str {
        unimplemented!()
    }
    /// Attributes.
    pub fn attributes(&self) -> AttributesRef<'a> {
        unimplemented!()
    }
    /// Attributes that the sender left out.
    pub fn dropped_attributes(&self) -> u32 {
        unimplemented!()
    }
}

/// A span link.
#[derive(Clone, Copy, Debug)]
pub struct LinkRef<'a> {
    _chunk: &'a (),
}

impl<'a> LinkRef<'a> {
    /// Trace id of the linked span.
    pub fn trace_id(&self) -> &'a [u8] {
        unimplemented!()
    }
    /// Span id of the linked span.
    pub fn span_id(&self) -> &'a [u8] {
        unimplemented!()
    }
    /// W3C trace state.
    pub fn trace_state(&self) -> &'a str {
        unimplemented!()
    }
    /// Attributes.
    pub fn attributes(&self) -> AttributesRef<'a> {
        unimplemented!()
    }
    /// OTLP link flags.
    pub fn flags(&self) -> u32 {
        unimplemented!()
    }
    /// Attributes that the sender left out.
    pub fn dropped_attributes(&self) -> u32 {
        unimplemented!()
    }
}

/// A span that may be changed. Changing an attribute appends a new list and leaves the old one.
#[derive(Debug)]
pub struct SpanMut<'a> {
    _chunk: &'a mut (),
}

impl SpanMut<'_> {
    /// The span as it is now.
    pub fn as_ref(&self) -> SpanRef<'_> {
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
    /// Renames the span.
    pub fn set_name(&mut self, _name: &str) {
        unimplemented!()
    }
}
