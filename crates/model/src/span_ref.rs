//! Reading spans in place.

use std::sync::Arc;

use crate::series::{Resource, Scope};
use crate::store::{AttributesRef, EventRecord, LinkRecord, Store};
use crate::traces::SpanRecord;
use crate::value::ValueRef;

/// A span, read in place.
#[derive(Clone, Copy, Debug)]
pub struct SpanRef<'a> {
    pub(crate) store: &'a Store,
    pub(crate) span: &'a SpanRecord,
}

impl<'a> SpanRef<'a> {
    /// The resource.
    pub fn resource(&self) -> &'a Arc<Resource> {
        self.store.resource(self.span.resource)
    }
    /// The instrumentation scope.
    pub fn scope(&self) -> &'a Arc<Scope> {
        self.store.scope(self.span.scope)
    }
    /// Trace id: 16 bytes, or empty, or whatever was sent.
    pub fn trace_id(&self) -> &'a [u8] {
        self.store.id(&self.span.trace_id)
    }
    /// Span id: 8 bytes, or empty, or whatever was sent.
    pub fn span_id(&self) -> &'a [u8] {
        self.store.id(&self.span.span_id)
    }
    /// Parent span id; empty for a root.
    pub fn parent_span_id(&self) -> &'a [u8] {
        self.store.id(&self.span.parent_span_id)
    }
    /// W3C trace state.
    pub fn trace_state(&self) -> &'a str {
        self.store.str(self.span.trace_state)
    }
    /// Operation name.
    pub fn name(&self) -> &'a str {
        self.store.str(self.span.name)
    }
    /// OTLP span kind: 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub fn kind(&self) -> i32 {
        self.span.kind
    }
    /// Start, Unix nanoseconds.
    pub fn start_ns(&self) -> u64 {
        self.span.start_ns
    }
    /// End, Unix nanoseconds.
    pub fn end_ns(&self) -> u64 {
        self.span.end_ns
    }
    /// OTLP status code: 0 unset, 1 ok, 2 error.
    pub fn status_code(&self) -> i32 {
        self.span.status_code
    }
    /// Status text.
    pub fn status_message(&self) -> &'a str {
        self.store.str(self.span.status_message)
    }
    /// W3C trace flags and OTLP flags.
    pub fn flags(&self) -> u32 {
        self.span.flags
    }
    /// Attributes.
    pub fn attributes(&self) -> AttributesRef<'a> {
        self.store.run(self.span.attributes)
    }
    /// Shorthand for `attributes().get(key)`.
    pub fn attr(&self, key: &str) -> Option<ValueRef<'a>> {
        self.attributes().get(key)
    }
    /// Attributes, events and links that the sender left out.
    pub fn dropped(&self) -> (u32, u32, u32) {
        let span = self.span;
        (
            span.dropped_attributes,
            span.dropped_events,
            span.dropped_links,
        )
    }
    /// Events in order.
    pub fn events(&self) -> impl ExactSizeIterator<Item = EventRef<'a>> + use<'a> {
        let store = self.store;
        let events = store.events.get(self.span.events.range()).unwrap_or(&[]);
        events.iter().map(move |event| EventRef { store, event })
    }
    /// Links in order.
    pub fn links(&self) -> impl ExactSizeIterator<Item = LinkRef<'a>> + use<'a> {
        let store = self.store;
        let links = store.links.get(self.span.links.range()).unwrap_or(&[]);
        links.iter().map(move |link| LinkRef { store, link })
    }
}

/// A span event.
#[derive(Clone, Copy, Debug)]
pub struct EventRef<'a> {
    store: &'a Store,
    event: &'a EventRecord,
}

impl<'a> EventRef<'a> {
    /// Unix nanoseconds.
    pub fn time_ns(&self) -> u64 {
        self.event.time_ns
    }
    /// Event name.
    pub fn name(&self) -> &'a str {
        self.store.str(self.event.name)
    }
    /// Attributes.
    pub fn attributes(&self) -> AttributesRef<'a> {
        self.store.run(self.event.attributes)
    }
    /// Attributes that the sender left out.
    pub fn dropped_attributes(&self) -> u32 {
        self.event.dropped
    }
}

/// A span link.
#[derive(Clone, Copy, Debug)]
pub struct LinkRef<'a> {
    store: &'a Store,
    link: &'a LinkRecord,
}

impl<'a> LinkRef<'a> {
    /// Trace id of the linked span.
    pub fn trace_id(&self) -> &'a [u8] {
        self.store.id(&self.link.trace_id)
    }
    /// Span id of the linked span.
    pub fn span_id(&self) -> &'a [u8] {
        self.store.id(&self.link.span_id)
    }
    /// W3C trace state.
    pub fn trace_state(&self) -> &'a str {
        self.store.str(self.link.trace_state)
    }
    /// Attributes.
    pub fn attributes(&self) -> AttributesRef<'a> {
        self.store.run(self.link.attributes)
    }
    /// OTLP link flags.
    pub fn flags(&self) -> u32 {
        self.link.flags
    }
    /// Attributes that the sender left out.
    pub fn dropped_attributes(&self) -> u32 {
        self.link.dropped
    }
}
