//! OTLP trace bytes to flat spans.

use std::sync::Arc;

use crate::blocks::for_each_item;
use crate::error::DecodeError;
use crate::fill::{Copied, Filler};
use crate::flat::Flat;
use crate::intern::Interner;
use crate::series::{Resource, Scope};
use crate::store::{EventRecord, LinkRecord, Slice};
use crate::traces::SpanRecord;
use crate::wire::{FIXED32, FIXED64, LEN, Reader, VARINT};

/// Reads a checked request of `items` spans.
pub(crate) fn decode(
    bytes: &[u8],
    interner: &Interner,
    items: usize,
) -> Result<Flat<SpanRecord>, DecodeError> {
    let mut state = State {
        filler: Filler::new(bytes.len(), items),
        records: Vec::with_capacity(items),
        nested: Vec::new(),
        resource: 0,
        scope: 0,
    };
    for_each_item(bytes, interner, &mut state, State::start, State::span)?;
    Ok(Flat {
        store: state.filler.finish(),
        records: state.records,
    })
}

struct State {
    filler: Filler,
    records: Vec<SpanRecord>,
    /// Events and links of the span being read: field number and place in its body.
    nested: Vec<(u32, usize, usize)>,
    resource: u32,
    scope: u32,
}

impl State {
    fn start(&mut self, resource: &Arc<Resource>, scope: &Arc<Scope>) {
        self.resource = self.filler.store.put_resource(resource);
        self.scope = self.filler.store.put_scope(scope);
    }

    fn span(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        let mut span = SpanRecord {
            resource: self.resource,
            scope: self.scope,
            ..SpanRecord::default()
        };
        let whole = self.filler.copy(body);
        let first = self.filler.store.attributes.len();
        let filler = &mut self.filler;
        self.nested.clear();
        let mut reader = Reader::new(body);
        loop {
            let from = reader.rest();
            let Some(key) = reader.key()? else { break };
            match (key.field, key.wire) {
                (9, LEN) => filler.attribute(whole, from, reader.bytes()?),
                (3, LEN) => span.trace_state = filler.text(whole, from, reader.bytes()?),
                (5, LEN) => span.name = filler.text(whole, from, reader.bytes()?),
                (11 | 13, LEN) => {
                    let part = reader.bytes()?;
                    filler.header(whole, from, part);
                    let end = body.len() - reader.rest().len();
                    self.nested.push((key.field, end - part.len(), end));
                }
                (15, LEN) => {
                    let part = reader.bytes()?;
                    filler.header(whole, from, part);
                    status(filler, whole, part, &mut span)?;
                }
                (1, LEN) => span.trace_id = filler.store.put_id(reader.bytes()?),
                (2, LEN) => span.span_id = filler.store.put_id(reader.bytes()?),
                (4, LEN) => span.parent_span_id = filler.store.put_id(reader.bytes()?),
                (7, FIXED64) => span.start_ns = reader.fixed64()?,
                (8, FIXED64) => span.end_ns = reader.fixed64()?,
                (6, VARINT) => span.kind = reader.varint()? as i32,
                (10, VARINT) => span.dropped_attributes = reader.varint()? as u32,
                (12, VARINT) => span.dropped_events = reader.varint()? as u32,
                (14, VARINT) => span.dropped_links = reader.varint()? as u32,
                (16, FIXED32) => span.flags = reader.fixed32()?,
                _ => reader.skip(key)?,
            }
            if !matches!(key.field, 3 | 5 | 9 | 11 | 13 | 15) {
                filler.blank(whole, from, reader.rest());
            }
        }
        span.attributes = filler.run_from(first);
        let (events, links) = (filler.store.events.len(), filler.store.links.len());
        for (field, start, end) in &self.nested {
            let part = body.get(*start..*end).unwrap_or(&[]);
            if *field == 11 {
                event(filler, whole, part)?;
            } else {
                link(filler, whole, part)?;
            }
        }
        span.events = Slice::new(events, filler.store.events.len() - events);
        span.links = Slice::new(links, filler.store.links.len() - links);
        self.records.push(span);
        Ok(())
    }
}

/// A `Status`; repeated ones merge.
fn status(
    filler: &mut Filler,
    whole: Copied<'_>,
    body: &[u8],
    span: &mut SpanRecord,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(body);
    loop {
        let from = reader.rest();
        let Some(key) = reader.key()? else { break };
        match (key.field, key.wire) {
            (2, LEN) => span.status_message = filler.text(whole, from, reader.bytes()?),
            (3, VARINT) => {
                span.status_code = reader.varint()? as i32;
                filler.blank(whole, from, reader.rest());
            }
            _ => filler.unknown(whole, from, &mut reader, key)?,
        }
    }
    Ok(())
}

fn event(filler: &mut Filler, whole: Copied<'_>, body: &[u8]) -> Result<(), DecodeError> {
    let mut event = EventRecord::default();
    let first = filler.store.attributes.len();
    let mut reader = Reader::new(body);
    loop {
        let from = reader.rest();
        let Some(key) = reader.key()? else { break };
        match (key.field, key.wire) {
            (1, FIXED64) => {
                event.time_ns = reader.fixed64()?;
                filler.blank(whole, from, reader.rest());
            }
            (2, LEN) => event.name = filler.text(whole, from, reader.bytes()?),
            (3, LEN) => filler.attribute(whole, from, reader.bytes()?),
            (4, VARINT) => {
                event.dropped = reader.varint()? as u32;
                filler.blank(whole, from, reader.rest());
            }
            _ => filler.unknown(whole, from, &mut reader, key)?,
        }
    }
    event.attributes = filler.run_from(first);
    filler.store.events.push(event);
    Ok(())
}

fn link(filler: &mut Filler, whole: Copied<'_>, body: &[u8]) -> Result<(), DecodeError> {
    let mut link = LinkRecord::default();
    let first = filler.store.attributes.len();
    let mut reader = Reader::new(body);
    loop {
        let from = reader.rest();
        let Some(key) = reader.key()? else { break };
        match (key.field, key.wire) {
            (3, LEN) => link.trace_state = filler.text(whole, from, reader.bytes()?),
            (4, LEN) => filler.attribute(whole, from, reader.bytes()?),
            (1, LEN) => link.trace_id = filler.store.put_id(reader.bytes()?),
            (2, LEN) => link.span_id = filler.store.put_id(reader.bytes()?),
            (5, VARINT) => link.dropped = reader.varint()? as u32,
            (6, FIXED32) => link.flags = reader.fixed32()?,
            _ => reader.skip(key)?,
        }
        if !matches!(key.field, 3 | 4) {
            filler.blank(whole, from, reader.rest());
        }
    }
    link.attributes = filler.run_from(first);
    filler.store.links.push(link);
    Ok(())
}
