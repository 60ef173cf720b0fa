//! OTLP trace bytes to flat spans.

use std::sync::Arc;

use crate::blocks::{ITEM_DEPTH, for_each_item};
use crate::error::DecodeError;
use crate::fill::{Copied, Filler};
use crate::flat::Flat;
use crate::intern::Interner;
use crate::series::{Resource, Scope};
use crate::store::{EventRecord, LinkRecord, Slice};
use crate::traces::SpanRecord;
use crate::wire::Reader;

/// Prost's count of levels left within the parts of a span.
const PART_DEPTH: u32 = ITEM_DEPTH - 1;

/// Reads a request of about `items` spans, checking it on the way: refuses exactly what the check does.
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
        store: state.filler.finish()?,
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
            match key.field {
                9 => filler.attribute(whole, from, reader.bytes_of(key)?, ITEM_DEPTH)?,
                3 => span.trace_state = filler.text(whole, from, reader.bytes_of(key)?),
                5 => span.name = filler.text(whole, from, reader.bytes_of(key)?),
                11 | 13 => {
                    let part = reader.bytes_of(key)?;
                    filler.header(whole, from, part);
                    let end = body.len() - reader.rest().len();
                    self.nested.push((key.field, end - part.len(), end));
                }
                15 => {
                    let part = reader.bytes_of(key)?;
                    filler.header(whole, from, part);
                    status(filler, whole, part, &mut span)?;
                }
                1 => span.trace_id = filler.store.put_id(reader.bytes_of(key)?),
                2 => span.span_id = filler.store.put_id(reader.bytes_of(key)?),
                4 => span.parent_span_id = filler.store.put_id(reader.bytes_of(key)?),
                7 => span.start_ns = reader.fixed64_of(key)?,
                8 => span.end_ns = reader.fixed64_of(key)?,
                6 => span.kind = reader.varint_of(key)? as i32,
                10 => span.dropped_attributes = reader.varint_of(key)? as u32,
                12 => span.dropped_events = reader.varint_of(key)? as u32,
                14 => span.dropped_links = reader.varint_of(key)? as u32,
                16 => span.flags = reader.fixed32_of(key)?,
                _ => reader.skip_within(key, ITEM_DEPTH)?,
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
        match key.field {
            2 => span.status_message = filler.text(whole, from, reader.bytes_of(key)?),
            3 => span.status_code = reader.varint_of(key)? as i32,
            _ => reader.skip_within(key, PART_DEPTH)?,
        }
        if key.field != 2 {
            filler.blank(whole, from, reader.rest());
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
        match key.field {
            2 => event.name = filler.text(whole, from, reader.bytes_of(key)?),
            3 => filler.attribute(whole, from, reader.bytes_of(key)?, PART_DEPTH)?,
            1 => event.time_ns = reader.fixed64_of(key)?,
            4 => event.dropped = reader.varint_of(key)? as u32,
            _ => reader.skip_within(key, PART_DEPTH)?,
        }
        if !matches!(key.field, 2 | 3) {
            filler.blank(whole, from, reader.rest());
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
        match key.field {
            3 => link.trace_state = filler.text(whole, from, reader.bytes_of(key)?),
            4 => filler.attribute(whole, from, reader.bytes_of(key)?, PART_DEPTH)?,
            1 => link.trace_id = filler.store.put_id(reader.bytes_of(key)?),
            2 => link.span_id = filler.store.put_id(reader.bytes_of(key)?),
            5 => link.dropped = reader.varint_of(key)? as u32,
            6 => link.flags = reader.fixed32_of(key)?,
            _ => reader.skip_within(key, PART_DEPTH)?,
        }
        if !matches!(key.field, 3 | 4) {
            filler.blank(whole, from, reader.rest());
        }
    }
    link.attributes = filler.run_from(first);
    filler.store.links.push(link);
    Ok(())
}
