//! OTLP log bytes to flat records and back.

use std::sync::Arc;

use crate::blocks::{ITEM_DEPTH, for_each_item};
use crate::canonical;
use crate::error::DecodeError;
use crate::fill::Filler;
use crate::flat::Flat;
use crate::intern::Interner;
use crate::logs::LogEntry;
use crate::series::{Resource, Scope};
use crate::store::{AttrRecord, Slice, Store};
use crate::traces_encode::{encode_blocks, put_int32};
use crate::value::ValueRef;
use crate::wire::{Reader, put_bytes, put_fixed32, put_fixed64, put_message_always, put_uint};

/// Reads a request of about `items` records, checking it on the way: refuses exactly what the check does.
pub(crate) fn decode(
    bytes: &[u8],
    interner: &Interner,
    items: usize,
) -> Result<Flat<LogEntry>, DecodeError> {
    let mut state = State {
        filler: Filler::new(bytes.len(), items),
        records: Vec::with_capacity(items),
        resource: 0,
        scope: 0,
    };
    for_each_item(bytes, interner, &mut state, State::start, State::record)?;
    Ok(Flat {
        store: state.filler.finish()?,
        records: state.records,
    })
}

struct State {
    filler: Filler,
    records: Vec<LogEntry>,
    resource: u32,
    scope: u32,
}

impl State {
    fn start(&mut self, resource: &Arc<Resource>, scope: &Arc<Scope>) {
        self.resource = self.filler.store.put_resource(resource);
        self.scope = self.filler.store.put_scope(scope);
    }

    fn record(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        let mut entry = LogEntry {
            resource: self.resource,
            scope: self.scope,
            ..LogEntry::default()
        };
        let filler = &mut self.filler;
        let whole = filler.copy(body);
        let first = filler.store.attributes.len();
        let mut bodies = 0;
        let mut reader = Reader::new(body);
        loop {
            let from = reader.rest();
            let Some(key) = reader.key()? else { break };
            match key.field {
                3 => entry.severity_text = filler.text(whole, from, reader.bytes_of(key)?),
                5 => {
                    bodies += 1;
                    let body = reader.bytes_of(key)?;
                    let packed = filler.value(whole, from, body, ITEM_DEPTH)?;
                    entry.body = AttrRecord::new(Slice::default(), packed);
                }
                6 => filler.attribute(whole, from, reader.bytes_of(key)?, ITEM_DEPTH)?,
                12 => entry.event_name = filler.text(whole, from, reader.bytes_of(key)?),
                1 => entry.time_ns = reader.fixed64_of(key)?,
                2 => entry.severity_number = reader.varint_of(key)? as i32,
                7 => entry.dropped_attributes = reader.varint_of(key)? as u32,
                8 => entry.flags = reader.fixed32_of(key)?,
                9 => entry.trace_id = filler.store.put_id(reader.bytes_of(key)?),
                10 => entry.span_id = filler.store.put_id(reader.bytes_of(key)?),
                11 => entry.observed_ns = reader.fixed64_of(key)?,
                _ => reader.skip_within(key, ITEM_DEPTH)?,
            }
            if !matches!(key.field, 3 | 5 | 6 | 12) {
                filler.blank(whole, from, reader.rest());
            }
        }
        if bodies > 1 {
            let packed = filler.put_any(&merged_body(body)?);
            entry.body = AttrRecord::new(Slice::default(), packed);
        }
        entry.attributes = filler.run_from(first);
        self.records.push(entry);
        Ok(())
    }
}

/// All bodies of a record that has several: repeated messages merge, and so do their bytes.
fn merged_body(record: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut all = Vec::new();
    crate::check::each(record, 5, |body| {
        all.extend_from_slice(body);
        Ok(())
    })?;
    let mut merged = Vec::new();
    canonical::any_value(&all, &mut merged);
    Ok(merged)
}

/// Appends records as `ResourceLogs` blocks.
pub(crate) fn encode(store: &Store, records: &[LogEntry], out: &mut Vec<u8>) {
    encode_blocks(
        store,
        records,
        |r| (r.resource, r.scope),
        encode_record,
        out,
    );
}

fn encode_record(store: &Store, entry: &LogEntry, out: &mut Vec<u8>) {
    put_fixed64(out, 1, entry.time_ns);
    put_int32(out, 2, entry.severity_number);
    put_bytes(out, 3, store.str(entry.severity_text).as_bytes());
    let body = store.value(entry.body);
    if body != ValueRef::Empty {
        put_message_always(out, 5, |out| body.encode(out));
    }
    store.run(entry.attributes).encode(6, out);
    put_uint(out, 7, u64::from(entry.dropped_attributes));
    put_fixed32(out, 8, entry.flags);
    put_bytes(out, 9, store.id(&entry.trace_id));
    put_bytes(out, 10, store.id(&entry.span_id));
    put_fixed64(out, 11, entry.observed_ns);
    put_bytes(out, 12, store.str(entry.event_name).as_bytes());
}
