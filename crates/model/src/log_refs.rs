//! Reading and changing log records.

use std::sync::{Arc, LazyLock};

use crate::flat::Edit;
use crate::logs::LogEntry;
use crate::series::{Resource, Scope};
use crate::store::{AttrRecord, AttributesRef, Slice, Store};
use crate::value::{Value, ValueRef};

/// A log record, read in place.
#[derive(Clone, Copy, Debug)]
pub struct LogRef<'a> {
    pub(crate) store: &'a Store,
    pub(crate) entry: &'a LogEntry,
}

impl<'a> LogRef<'a> {
    /// The resource.
    pub fn resource(&self) -> &'a Arc<Resource> {
        self.store.resource(self.entry.resource)
    }
    /// The instrumentation scope.
    pub fn scope(&self) -> &'a Arc<Scope> {
        self.store.scope(self.entry.scope)
    }
    /// When it happened, Unix nanoseconds, 0 if not said.
    pub fn time_ns(&self) -> u64 {
        self.entry.time_ns
    }
    /// When it was seen, Unix nanoseconds.
    pub fn observed_ns(&self) -> u64 {
        self.entry.observed_ns
    }
    /// OTLP severity number, 0..=24.
    pub fn severity_number(&self) -> i32 {
        self.entry.severity_number
    }
    /// Severity as the source wrote it.
    pub fn severity_text(&self) -> &'a str {
        self.store.str(self.entry.severity_text)
    }
    /// The body.
    pub fn body(&self) -> ValueRef<'a> {
        self.store.value(self.entry.body)
    }
    /// Attributes.
    pub fn attributes(&self) -> AttributesRef<'a> {
        self.store.run(self.entry.attributes)
    }
    /// Shorthand for `attributes().get(key)`.
    pub fn attr(&self, key: &str) -> Option<ValueRef<'a>> {
        self.attributes().get(key)
    }
    /// Trace id: 16 bytes or empty.
    pub fn trace_id(&self) -> &'a [u8] {
        self.store.id(&self.entry.trace_id)
    }
    /// Span id: 8 bytes or empty.
    pub fn span_id(&self) -> &'a [u8] {
        self.store.id(&self.entry.span_id)
    }
    /// W3C trace flags.
    pub fn flags(&self) -> u32 {
        self.entry.flags
    }
    /// Event name (OTLP 1.5 on).
    pub fn event_name(&self) -> &'a str {
        self.store.str(self.entry.event_name)
    }
    /// Attributes that the sender left out.
    pub fn dropped_attributes(&self) -> u32 {
        self.entry.dropped_attributes
    }
}

/// A log record that may be changed.
#[derive(Debug)]
pub struct LogMut<'a> {
    pub(crate) edit: &'a mut Edit<LogEntry>,
    pub(crate) at: usize,
}

static NO_ENTRY: LazyLock<LogEntry> = LazyLock::new(LogEntry::default);

impl LogMut<'_> {
    /// The record as it is now.
    pub fn as_ref(&self) -> LogRef<'_> {
        LogRef {
            store: self.edit.store(),
            entry: self.edit.record(self.at).unwrap_or(&NO_ENTRY),
        }
    }

    fn change(&mut self, f: impl FnOnce(&mut Store, &mut LogEntry)) {
        if let (store, Some(entry)) = self.edit.own(self.at) {
            f(store, entry);
        }
    }

    /// Sets or replaces an attribute.
    pub fn set(&mut self, key: &str, value: ValueRef<'_>) {
        self.change(|store, entry| store.set(&mut entry.attributes, key, value));
    }

    /// Sets or replaces an attribute from its owned form.
    pub fn set_value(&mut self, key: &str, value: &Value) {
        value.with_ref(|value| self.set(key, value));
    }

    /// Removes an attribute; whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        // Asked first: a record that does not have the key is not changed.
        self.as_ref().attr(key).is_some() && {
            self.change(|store, entry| {
                store.remove(&mut entry.attributes, key);
            });
            true
        }
    }

    /// Keeps the attributes for which `keep` says so.
    pub fn retain_attributes(&mut self, keep: impl FnMut(&str, ValueRef<'_>) -> bool) {
        self.change(|store, entry| store.retain(&mut entry.attributes, keep));
    }

    /// Sets the body.
    pub fn set_body(&mut self, body: ValueRef<'_>) {
        self.change(|store, entry| {
            entry.body = AttrRecord::new(Slice::default(), store.put_value(body));
        });
    }

    /// Sets the body from its owned form.
    pub fn set_body_value(&mut self, body: &Value) {
        body.with_ref(|body| self.set_body(body));
    }

    /// Sets OTLP severity number (0..=24) and the text beside it.
    pub fn set_severity(&mut self, number: i32, text: &str) {
        self.change(|store, entry| {
            entry.severity_number = number;
            entry.severity_text = store.put_str(text);
        });
    }

    /// Sets when it happened and when it was seen, Unix nanoseconds.
    pub fn set_times(&mut self, time_ns: u64, observed_ns: u64) {
        self.change(|_, entry| (entry.time_ns, entry.observed_ns) = (time_ns, observed_ns));
    }

    /// Sets trace id (16 bytes or none), span id (8 bytes or none) and W3C trace flags.
    pub fn set_trace(&mut self, trace_id: &[u8], span_id: &[u8], flags: u32) {
        self.change(|store, entry| {
            entry.trace_id = store.put_id(trace_id);
            entry.span_id = store.put_id(span_id);
            entry.flags = flags;
        });
    }

    /// Sets the event name.
    pub fn set_event_name(&mut self, name: &str) {
        self.change(|store, entry| entry.event_name = store.put_str(name));
    }

    /// Sets how many attributes were left out.
    pub fn set_dropped_attributes(&mut self, count: u32) {
        self.change(|_, entry| entry.dropped_attributes = count);
    }

    /// Puts the record under another resource.
    pub fn set_resource(&mut self, resource: &Arc<Resource>) {
        self.change(|store, entry| entry.resource = store.put_resource(resource));
    }

    /// Puts the record under another scope.
    pub fn set_scope(&mut self, scope: &Arc<Scope>) {
        self.change(|store, entry| entry.scope = store.put_scope(scope));
    }
}
