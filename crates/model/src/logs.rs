//! Batches of log records: untouched OTLP bytes until somebody reads them, flat records from then
//! on.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::DecodeError;
use crate::flat::{Chunks, Edit, Flat, Record};
use crate::intern::Interner;
use crate::series::{Resource, Scope};
use crate::store::{AttrRecord, Id, Run, Slice, Store};

pub use crate::log_refs::{LogMut, LogRef};

/// A batch of log records. Cloning shares the chunks; the first change copies what it must.
///
/// ```
/// # use std::sync::Arc;
/// # use weir_model::{LogsBuilder, Resource, Scope, ValueRef};
/// let mut builder = LogsBuilder::default();
/// let mut record = builder.push(&Arc::new(Resource::default()), &Arc::new(Scope::default()));
/// record.set_severity(17, "ERROR");
/// record.set_body(ValueRef::Str("disk full"));
/// let logs = builder.finish();
/// assert_eq!(logs.records().next().map(|r| r.body()), Some(ValueRef::Str("disk full")));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Logs {
    chunks: Chunks<LogEntry>,
}

impl Logs {
    /// Takes an OTLP `ExportLogsServiceRequest` (or `LogsData`: the same encoding) as it is. Its
    /// whole structure is checked here, so that the sender learns of malformed bytes; records are
    /// read when somebody asks for them, or at once if the batches before were asked.
    pub fn from_otlp(bytes: Bytes, interner: &Arc<Interner>) -> Result<Self, DecodeError> {
        let chunks = Chunks::from_otlp(bytes, interner)?;
        Ok(Self { chunks })
    }

    /// Reads an OTLP/JSON request. Errors name the place.
    pub fn from_json(json: &[u8], interner: &Arc<Interner>) -> Result<Self, DecodeError> {
        let bytes = crate::json_read::to_wire(json, &crate::schema::LOGS)?;
        Self::from_otlp(bytes.into(), interner)
    }

    /// The batch as an OTLP/JSON request.
    pub fn to_json(&self) -> Vec<u8> {
        let (mut bytes, mut json) = (Vec::new(), Vec::new());
        self.encode_otlp(&mut bytes);
        crate::json_write::from_wire(&bytes, &crate::schema::LOGS, &mut json);
        json
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All records in order.
    pub fn records(&self) -> impl Iterator<Item = LogRef<'_>> {
        self.chunks
            .iter()
            .map(|(store, entry)| LogRef { store, entry })
    }

    /// Offers every record for change. A chunk that nothing changes in keeps its bytes; shared
    /// chunks are copied before their first change.
    pub fn for_each_mut(&mut self, mut f: impl FnMut(&mut LogMut<'_>)) {
        self.chunks
            .for_each_mut(|edit, at| f(&mut LogMut { edit, at }));
    }

    /// Keeps the records for which `keep` says so; returns how many were dropped. Chunks that stay
    /// whole keep their bytes.
    pub fn retain(&mut self, mut keep: impl FnMut(LogRef<'_>) -> bool) -> usize {
        self.chunks
            .retain(|store, entry| keep(LogRef { store, entry }))
    }

    /// Replaces resources: called once per distinct resource; `None` leaves it (and the bytes).
    pub fn map_resources(&mut self, map: impl FnMut(&Arc<Resource>) -> Option<Arc<Resource>>) {
        self.chunks.map_resources(map);
    }

    /// Puts another batch behind this one. Moves handles, not records.
    pub fn append(&mut self, other: Logs) {
        self.chunks.append(other.chunks);
    }

    /// Cuts the batch after `count` records and returns the rest.
    pub fn split_off(&mut self, count: usize) -> Logs {
        let chunks = self.chunks.split_off(count);
        Logs { chunks }
    }

    /// The untouched request bytes, when every chunk still has them. Requests concatenate to one
    /// valid request (protobuf repeated fields).
    pub fn wire_chunks(&self) -> Option<Vec<Bytes>> {
        self.chunks.wire_chunks()
    }

    /// Appends the batch as an OTLP `ExportLogsServiceRequest`; untouched bytes are copied.
    pub fn encode_otlp(&self, out: &mut Vec<u8>) {
        self.chunks.encode_otlp(out);
    }

    /// Bytes this batch keeps alive, roughly; used by queues and the admission guard.
    pub fn size_bytes(&self) -> usize {
        self.chunks.size_bytes()
    }
}

/// Builds a batch of log records: from scratch or out of records of other batches.
#[derive(Debug)]
pub struct LogsBuilder {
    edit: Edit<LogEntry>,
}

impl Default for LogsBuilder {
    fn default() -> Self {
        Self {
            edit: Edit::empty(),
        }
    }
}

impl LogsBuilder {
    /// Adds an empty record, to be filled through the returned handle.
    pub fn push(&mut self, resource: &Arc<Resource>, scope: &Arc<Scope>) -> LogMut<'_> {
        let (store, _) = self.edit.own(0);
        let record = LogEntry {
            resource: store.put_resource(resource),
            scope: store.put_scope(scope),
            ..LogEntry::default()
        };
        let at = self.edit.push(record);
        LogMut {
            edit: &mut self.edit,
            at,
        }
    }

    /// Adds a copy of a record of any batch, its resource and scope included.
    pub fn push_copy(&mut self, record: LogRef<'_>) -> LogMut<'_> {
        let at = self.edit.push_copy(record.store, record.entry);
        LogMut {
            edit: &mut self.edit,
            at,
        }
    }

    /// Records so far.
    pub fn len(&self) -> usize {
        self.edit.len()
    }

    /// Whether there are no records yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batch.
    pub fn finish(self) -> Logs {
        let chunks = Chunks::from_edit(self.edit);
        Logs { chunks }
    }
}

/// A log record as the flat batch has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogEntry {
    pub(crate) resource: u32,
    pub(crate) scope: u32,
    pub(crate) time_ns: u64,
    pub(crate) observed_ns: u64,
    pub(crate) severity_number: i32,
    pub(crate) severity_text: Slice,
    /// The body is an attribute without a key.
    pub(crate) body: AttrRecord,
    pub(crate) attributes: Run,
    pub(crate) dropped_attributes: u32,
    pub(crate) flags: u32,
    pub(crate) trace_id: Id<16>,
    pub(crate) span_id: Id<8>,
    pub(crate) event_name: Slice,
}

impl Record for LogEntry {
    fn check(bytes: &[u8]) -> Result<usize, DecodeError> {
        crate::check::logs(bytes)
    }

    fn decode(bytes: &[u8], interner: &Interner, items: usize) -> Result<Flat<Self>, DecodeError> {
        crate::logs_otlp::decode(bytes, interner, items)
    }

    fn encode(store: &Store, records: &[Self], out: &mut Vec<u8>) {
        crate::logs_otlp::encode(store, records, out);
    }

    fn copy(&self, from: &Store, to: &mut Store) -> Self {
        let mut copy = self.clone();
        copy.severity_text = to.put_str(from.str(self.severity_text));
        copy.body = AttrRecord::new(Slice::default(), to.put_value(from.value(self.body)));
        copy.attributes = to.copy_run(from.run(self.attributes));
        copy.trace_id = to.put_id(from.id(&self.trace_id));
        copy.span_id = to.put_id(from.id(&self.span_id));
        copy.event_name = to.put_str(from.str(self.event_name));
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
