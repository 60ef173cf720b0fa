//! Changing spans. A changed attribute list may move to the end of its store; the old one stays
//! behind until the batch goes.

use std::sync::Arc;

use crate::flat::Edit;
use crate::series::{Resource, Scope};
use crate::span_ref::SpanRef;
use crate::store::{EventRecord, LinkRecord, Run, Store, to_end};
use crate::traces::SpanRecord;
use crate::value::{Value, ValueRef};

/// A span that may be changed.
#[derive(Debug)]
pub struct SpanMut<'a> {
    pub(crate) edit: &'a mut Edit<SpanRecord>,
    pub(crate) at: usize,
}

static NO_SPAN: std::sync::LazyLock<SpanRecord> = std::sync::LazyLock::new(SpanRecord::default);

impl SpanMut<'_> {
    /// The span as it is now.
    pub fn as_ref(&self) -> SpanRef<'_> {
        SpanRef {
            store: self.edit.store(),
            span: self.edit.record(self.at).unwrap_or(&NO_SPAN),
        }
    }

    fn change(&mut self, f: impl FnOnce(&mut Store, &mut SpanRecord)) {
        if let (store, Some(span)) = self.edit.own(self.at) {
            f(store, span);
        }
    }

    /// Sets or replaces an attribute.
    pub fn set(&mut self, key: &str, value: ValueRef<'_>) {
        self.change(|store, span| store.set(&mut span.attributes, key, value));
    }

    /// Sets or replaces an attribute from its owned form.
    pub fn set_value(&mut self, key: &str, value: &Value) {
        value.with_ref(|value| self.set(key, value));
    }

    /// Adds an attribute behind the others, for callers that know there is none of this name: unlike
    /// [`Self::set`], it does not look.
    pub fn push(&mut self, key: &str, value: ValueRef<'_>) {
        self.change(|store, span| store.push(&mut span.attributes, key, value));
    }

    /// Removes an attribute; whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        // Asked first: a span that does not have the key is not changed.
        self.as_ref().attr(key).is_some() && {
            self.change(|store, span| {
                store.remove(&mut span.attributes, key);
            });
            true
        }
    }

    /// Keeps the attributes for which `keep` says so.
    pub fn retain_attributes(&mut self, keep: impl FnMut(&str, ValueRef<'_>) -> bool) {
        self.change(|store, span| store.retain(&mut span.attributes, keep));
    }

    /// Renames the span.
    pub fn set_name(&mut self, name: &str) {
        self.change(|store, span| span.name = store.put_str(name));
    }

    /// Sets the span kind (see [`SpanRef::kind`]).
    pub fn set_kind(&mut self, kind: i32) {
        self.change(|_, span| span.kind = kind);
    }

    /// Sets status code (see [`SpanRef::status_code`]) and message.
    pub fn set_status(&mut self, code: i32, message: &str) {
        self.change(|store, span| {
            span.status_code = code;
            span.status_message = store.put_str(message);
        });
    }

    /// Sets start and end in Unix nanoseconds.
    pub fn set_times(&mut self, start_ns: u64, end_ns: u64) {
        self.change(|_, span| (span.start_ns, span.end_ns) = (start_ns, end_ns));
    }

    /// Sets trace id (16 bytes), span id (8 bytes) and parent span id (8 bytes, or none).
    pub fn set_ids(&mut self, trace_id: &[u8], span_id: &[u8], parent_span_id: &[u8]) {
        self.change(|store, span| {
            span.trace_id = store.put_id(trace_id);
            span.span_id = store.put_id(span_id);
            span.parent_span_id = store.put_id(parent_span_id);
        });
    }

    /// Sets the W3C trace state.
    pub fn set_trace_state(&mut self, state: &str) {
        self.change(|store, span| span.trace_state = store.put_str(state));
    }

    /// Sets W3C trace flags and OTLP flags.
    pub fn set_flags(&mut self, flags: u32) {
        self.change(|_, span| span.flags = flags);
    }

    /// Sets how many attributes, events and links were left out.
    pub fn set_dropped(&mut self, attributes: u32, events: u32, links: u32) {
        self.change(|_, span| {
            span.dropped_attributes = attributes;
            span.dropped_events = events;
            span.dropped_links = links;
        });
    }

    /// Puts the span under another resource.
    pub fn set_resource(&mut self, resource: &Arc<Resource>) {
        self.change(|store, span| span.resource = store.put_resource(resource));
    }

    /// Puts the span under another scope.
    pub fn set_scope(&mut self, scope: &Arc<Scope>) {
        self.change(|store, span| span.scope = store.put_scope(scope));
    }

    /// Adds an event; its attributes are set through the returned handle.
    pub fn add_event(&mut self, time_ns: u64, name: &str) -> AttributesMut<'_> {
        let (store, span) = self.edit.own(self.at);
        let mut place = usize::MAX;
        if let Some(span) = span {
            let event = EventRecord {
                time_ns,
                name: store.put_str(name),
                ..EventRecord::default()
            };
            to_end(&mut store.events, &mut span.events);
            store.events.push(event);
            span.events.len += 1;
            place = store.events.len() - 1;
        }
        AttributesMut {
            store,
            owner: Owner::Event(place),
        }
    }

    /// Adds a link; its attributes are set through the returned handle.
    pub fn add_link(
        &mut self,
        trace_id: &[u8],
        span_id: &[u8],
        trace_state: &str,
    ) -> AttributesMut<'_> {
        let (store, span) = self.edit.own(self.at);
        let mut place = usize::MAX;
        if let Some(span) = span {
            let link = LinkRecord {
                trace_id: store.put_id(trace_id),
                span_id: store.put_id(span_id),
                trace_state: store.put_str(trace_state),
                ..LinkRecord::default()
            };
            to_end(&mut store.links, &mut span.links);
            store.links.push(link);
            span.links.len += 1;
            place = store.links.len() - 1;
        }
        AttributesMut {
            store,
            owner: Owner::Link(place),
        }
    }

    /// Calls `f` on the attributes of every event.
    pub fn for_each_event(&mut self, mut f: impl FnMut(&mut AttributesMut<'_>)) {
        let places = match self.edit.record(self.at) {
            Some(span) if span.events.len > 0 => span.events.len,
            _ => return,
        };
        let (store, Some(span)) = self.edit.own(self.at) else {
            return;
        };
        let first = span.events.at as usize;
        for place in first..first + places as usize {
            f(&mut AttributesMut {
                store,
                owner: Owner::Event(place),
            });
        }
    }
}

/// The attributes of an event or a link, to be changed.
#[derive(Debug)]
pub struct AttributesMut<'a> {
    store: &'a mut Store,
    owner: Owner,
}

#[derive(Clone, Copy, Debug)]
enum Owner {
    Event(usize),
    Link(usize),
}

impl AttributesMut<'_> {
    fn run(&mut self) -> Option<&mut Run> {
        match self.owner {
            Owner::Event(at) => self.store.events.get_mut(at).map(|e| &mut e.attributes),
            Owner::Link(at) => self.store.links.get_mut(at).map(|l| &mut l.attributes),
        }
    }

    fn change(&mut self, f: impl FnOnce(&mut Store, &mut Run)) {
        let Some(mut run) = self.run().copied() else {
            return;
        };
        f(self.store, &mut run);
        if let Some(slot) = self.run() {
            *slot = run;
        }
    }

    /// The attributes as they are now.
    pub fn as_ref(&mut self) -> crate::store::AttributesRef<'_> {
        let run = self.run().copied().unwrap_or_default();
        self.store.run(run)
    }

    /// Sets or replaces an attribute.
    pub fn set(&mut self, key: &str, value: ValueRef<'_>) -> &mut Self {
        self.change(|store, run| store.set(run, key, value));
        self
    }

    /// Sets or replaces an attribute from its owned form.
    pub fn set_value(&mut self, key: &str, value: &Value) -> &mut Self {
        value.with_ref(|value| {
            self.set(key, value);
        });
        self
    }

    /// Keeps the attributes for which `keep` says so.
    pub fn retain(&mut self, keep: impl FnMut(&str, ValueRef<'_>) -> bool) {
        self.change(|store, run| store.retain(run, keep));
    }
}
