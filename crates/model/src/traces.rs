//! Batches of spans: untouched OTLP bytes until somebody reads them, flat records from then on.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::DecodeError;
use crate::flat::{Chunks, Edit, Flat, Record};
use crate::intern::Interner;
use crate::series::{Resource, Scope};
use crate::store::{Id, Run, Slice, Store};

pub use crate::span_mut::{AttributesMut, SpanMut};
pub use crate::span_ref::{EventRef, LinkRef, SpanRef};
pub use crate::store::AttributesRef;

/// A batch of spans. Cloning shares the chunks; the first change copies what it must.
///
/// ```
/// # use std::sync::Arc;
/// # use weir_model::{Interner, Resource, Scope, TracesBuilder, ValueRef};
/// let resource = Arc::new(Resource::default());
/// let scope = Arc::new(Scope::default());
/// let mut builder = TracesBuilder::default();
/// let mut span = builder.push(&resource, &scope);
/// span.set_name("GET /");
/// span.set("http.request.method", ValueRef::Str("GET"));
/// let traces = builder.finish();
/// for span in traces.spans() {
///     assert_eq!(span.name(), "GET /");
///     assert_eq!(span.attr("http.request.method"), Some(ValueRef::Str("GET")));
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Traces {
    chunks: Chunks<SpanRecord>,
}

impl Traces {
    /// Takes an OTLP `ExportTraceServiceRequest` (or `TracesData`: the same encoding) as it is. Its
    /// whole structure is checked here, so that the sender learns of malformed bytes; spans are
    /// read when somebody asks for them, or at once if the batches before were asked.
    pub fn from_otlp(bytes: Bytes, interner: &Arc<Interner>) -> Result<Self, DecodeError> {
        let chunks = Chunks::from_otlp(bytes, interner)?;
        Ok(Self { chunks })
    }

    /// Reads an OTLP/JSON request. Errors name the place, for example
    /// `resourceSpans[0].scopeSpans[0].spans[2].traceId`.
    pub fn from_json(json: &[u8], interner: &Arc<Interner>) -> Result<Self, DecodeError> {
        let bytes = crate::json_read::to_wire(json, &crate::schema::TRACES)?;
        Self::from_otlp(bytes.into(), interner)
    }

    /// The batch as an OTLP/JSON request.
    pub fn to_json(&self) -> Vec<u8> {
        let (mut bytes, mut json) = (Vec::new(), Vec::new());
        self.encode_otlp(&mut bytes);
        crate::json_write::from_wire(&bytes, &crate::schema::TRACES, &mut json);
        json
    }

    /// Number of spans.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether there are no spans.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All spans in order.
    pub fn spans(&self) -> impl Iterator<Item = SpanRef<'_>> {
        self.chunks
            .iter()
            .map(|(store, span)| SpanRef { store, span })
    }

    /// Offers every span for change. A chunk that nothing changes in keeps its bytes; shared
    /// chunks are copied before their first change.
    pub fn for_each_mut(&mut self, mut f: impl FnMut(&mut SpanMut<'_>)) {
        self.chunks
            .for_each_mut(|edit, at| f(&mut SpanMut { edit, at }));
    }

    /// Keeps the spans for which `keep` says so; returns how many were dropped. Chunks that stay
    /// whole keep their bytes.
    pub fn retain(&mut self, mut keep: impl FnMut(SpanRef<'_>) -> bool) -> usize {
        self.chunks
            .retain(|store, span| keep(SpanRef { store, span }))
    }

    /// Replaces resources: called once per distinct resource; `None` leaves it (and the bytes).
    pub fn map_resources(&mut self, map: impl FnMut(&Arc<Resource>) -> Option<Arc<Resource>>) {
        self.chunks.map_resources(map);
    }

    /// Puts another batch behind this one. Moves handles, not spans.
    pub fn append(&mut self, other: Traces) {
        self.chunks.append(other.chunks);
    }

    /// Cuts the batch after `count` spans and returns the rest.
    pub fn split_off(&mut self, count: usize) -> Traces {
        let chunks = self.chunks.split_off(count);
        Traces { chunks }
    }

    /// The untouched request bytes, when every chunk still has them. Requests concatenate to one
    /// valid request (protobuf repeated fields).
    pub fn wire_chunks(&self) -> Option<Vec<Bytes>> {
        self.chunks.wire_chunks()
    }

    /// Appends the batch as an OTLP `ExportTraceServiceRequest`; untouched bytes are copied.
    pub fn encode_otlp(&self, out: &mut Vec<u8>) {
        self.chunks.encode_otlp(out);
    }

    /// Bytes this batch keeps alive, roughly; used by queues and the admission guard.
    pub fn size_bytes(&self) -> usize {
        self.chunks.size_bytes()
    }
}

/// Builds a batch of spans: from scratch (receivers that translate) or out of spans of other
/// batches (grouping, sampling, routing).
#[derive(Debug)]
pub struct TracesBuilder {
    edit: Edit<SpanRecord>,
}

impl Default for TracesBuilder {
    fn default() -> Self {
        Self {
            edit: Edit::empty(),
        }
    }
}

impl TracesBuilder {
    /// Adds an empty span, to be filled through the returned handle.
    pub fn push(&mut self, resource: &Arc<Resource>, scope: &Arc<Scope>) -> SpanMut<'_> {
        let (store, _) = self.edit.own(0);
        let record = SpanRecord {
            resource: store.put_resource(resource),
            scope: store.put_scope(scope),
            ..SpanRecord::default()
        };
        let at = self.edit.push(record);
        SpanMut {
            edit: &mut self.edit,
            at,
        }
    }

    /// Adds a copy of a span of any batch, its resource and scope included.
    pub fn push_copy(&mut self, span: SpanRef<'_>) -> SpanMut<'_> {
        let at = self.edit.push_copy(span.store, span.span);
        SpanMut {
            edit: &mut self.edit,
            at,
        }
    }

    /// Spans so far.
    pub fn len(&self) -> usize {
        self.edit.len()
    }

    /// Whether there are no spans yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batch.
    pub fn finish(self) -> Traces {
        let chunks = Chunks::from_edit(self.edit);
        Traces { chunks }
    }
}

/// A span as the flat batch has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpanRecord {
    pub(crate) resource: u32,
    pub(crate) scope: u32,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) trace_id: Id<16>,
    pub(crate) span_id: Id<8>,
    pub(crate) parent_span_id: Id<8>,
    pub(crate) trace_state: Slice,
    pub(crate) name: Slice,
    pub(crate) status_message: Slice,
    pub(crate) kind: i32,
    pub(crate) status_code: i32,
    pub(crate) flags: u32,
    pub(crate) dropped_attributes: u32,
    pub(crate) dropped_events: u32,
    pub(crate) dropped_links: u32,
    pub(crate) attributes: Run,
    pub(crate) events: Run,
    pub(crate) links: Run,
}

impl Record for SpanRecord {
    fn check(bytes: &[u8]) -> Result<usize, DecodeError> {
        crate::check::traces(bytes)
    }

    fn decode(bytes: &[u8], interner: &Interner, items: usize) -> Result<Flat<Self>, DecodeError> {
        crate::traces_decode::decode(bytes, interner, items)
    }

    fn encode(store: &Store, records: &[Self], out: &mut Vec<u8>) {
        crate::traces_encode::encode(store, records, out);
    }

    fn copy(&self, from: &Store, to: &mut Store) -> Self {
        let mut copy = self.clone();
        copy.trace_id = to.put_id(from.id(&self.trace_id));
        copy.span_id = to.put_id(from.id(&self.span_id));
        copy.parent_span_id = to.put_id(from.id(&self.parent_span_id));
        copy.trace_state = to.put_str(from.str(self.trace_state));
        copy.name = to.put_str(from.str(self.name));
        copy.status_message = to.put_str(from.str(self.status_message));
        copy.attributes = to.copy_run(from.run(self.attributes));
        copy.events = Slice::new(to.events.len(), 0);
        for event in from.events.get(self.events.range()).unwrap_or(&[]) {
            let mut event = *event;
            event.name = to.put_str(from.str(event.name));
            event.attributes = to.copy_run(from.run(event.attributes));
            to.events.push(event);
            copy.events.len += 1;
        }
        copy.links = Slice::new(to.links.len(), 0);
        for link in from.links.get(self.links.range()).unwrap_or(&[]) {
            let mut copied = *link;
            copied.trace_id = to.put_id(from.id(&link.trace_id));
            copied.span_id = to.put_id(from.id(&link.span_id));
            copied.trace_state = to.put_str(from.str(link.trace_state));
            copied.attributes = to.copy_run(from.run(link.attributes));
            to.links.push(copied);
            copy.links.len += 1;
        }
        copy
    }

    fn resource(&self) -> u32 {
        self.resource
    }

    fn scope(&self) -> u32 {
        self.scope
    }

    fn set_context(&mut self, resource: u32, scope: u32) {
        self.resource = resource;
        self.scope = scope;
    }
}
