//! Flat spans back to OTLP bytes.

use crate::metrics_encode::{encode_resource, encode_scope};
use crate::store::{EventRecord, LinkRecord, Store};
use crate::traces::SpanRecord;
use crate::wire::{put_bytes, put_fixed32, put_fixed64, put_message_always, put_uint};

/// Appends resource blocks (field 1 of the request). Neighbours of one resource and scope share
/// their blocks; order is kept. `item` appends one record as a field of the scope block.
pub(crate) fn encode_blocks<R>(
    store: &Store,
    records: &[R],
    context: fn(&R) -> (u32, u32),
    item: fn(&Store, &R, &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    let same_resource = |a: &R, b: &R| context(a).0 == context(b).0;
    let same_scope = |a: &R, b: &R| context(a).1 == context(b).1;
    for block in records.chunk_by(same_resource) {
        let Some(resource) = block
            .first()
            .and_then(|r| store.resources.get(context(r).0 as usize))
        else {
            continue;
        };
        put_message_always(out, 1, |out| {
            put_message_always(out, 1, |out| encode_resource(resource, out));
            for block in block.chunk_by(same_scope) {
                let Some(scope) = block
                    .first()
                    .and_then(|r| store.scopes.get(context(r).1 as usize))
                else {
                    continue;
                };
                put_message_always(out, 2, |out| {
                    put_message_always(out, 1, |out| encode_scope(scope, out));
                    for record in block {
                        put_message_always(out, 2, |out| item(store, record, out));
                    }
                    put_bytes(out, 3, scope.schema_url.as_bytes());
                });
            }
            put_bytes(out, 3, resource.schema_url.as_bytes());
        });
    }
}

/// Appends spans as `ResourceSpans` blocks.
pub(crate) fn encode(store: &Store, spans: &[SpanRecord], out: &mut Vec<u8>) {
    encode_blocks(store, spans, |s| (s.resource, s.scope), encode_span, out);
}

/// Varint of an enum or int32: negative values take ten bytes.
pub(crate) fn put_int32(out: &mut Vec<u8>, field: u32, value: i32) {
    put_uint(out, field, i64::from(value) as u64);
}

fn encode_span(store: &Store, span: &SpanRecord, out: &mut Vec<u8>) {
    put_bytes(out, 1, store.id(&span.trace_id));
    put_bytes(out, 2, store.id(&span.span_id));
    put_bytes(out, 3, store.str(span.trace_state).as_bytes());
    put_bytes(out, 4, store.id(&span.parent_span_id));
    put_bytes(out, 5, store.str(span.name).as_bytes());
    put_int32(out, 6, span.kind);
    put_fixed64(out, 7, span.start_ns);
    put_fixed64(out, 8, span.end_ns);
    store.run(span.attributes).encode(9, out);
    put_uint(out, 10, u64::from(span.dropped_attributes));
    for event in store.events.get(span.events.range()).unwrap_or(&[]) {
        put_message_always(out, 11, |out| encode_event(store, event, out));
    }
    put_uint(out, 12, u64::from(span.dropped_events));
    for link in store.links.get(span.links.range()).unwrap_or(&[]) {
        put_message_always(out, 13, |out| encode_link(store, link, out));
    }
    put_uint(out, 14, u64::from(span.dropped_links));
    // Also when it says nothing: the reference always writes it.
    put_message_always(out, 15, |out| {
        put_bytes(out, 2, store.str(span.status_message).as_bytes());
        put_int32(out, 3, span.status_code);
    });
    put_fixed32(out, 16, span.flags);
}

fn encode_event(store: &Store, event: &EventRecord, out: &mut Vec<u8>) {
    put_fixed64(out, 1, event.time_ns);
    put_bytes(out, 2, store.str(event.name).as_bytes());
    store.run(event.attributes).encode(3, out);
    put_uint(out, 4, u64::from(event.dropped));
}

fn encode_link(store: &Store, link: &LinkRecord, out: &mut Vec<u8>) {
    put_bytes(out, 1, store.id(&link.trace_id));
    put_bytes(out, 2, store.id(&link.span_id));
    put_bytes(out, 3, store.str(link.trace_state).as_bytes());
    store.run(link.attributes).encode(4, out);
    put_uint(out, 5, u64::from(link.dropped));
    put_fixed32(out, 6, link.flags);
}
