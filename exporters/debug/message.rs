//! Protobuf messages read field by field, by number: slow and short, which suits an exporter that
//! writes for people. It shows requests as they were sent, attribute order included.

use weir_model::wire::{FIXED32, FIXED64, LEN, Reader, VARINT};

/// The body of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a>(pub(super) &'a [u8]);

/// One field as it stands in the bytes.
#[derive(Clone, Copy, Debug)]
enum Field<'a> {
    Number(u64),
    Body(&'a [u8]),
}

impl<'a> Message<'a> {
    /// All fields in order. The bytes were checked when they came in; whatever is odd ends them.
    fn fields(self) -> impl Iterator<Item = (u32, Field<'a>)> {
        let mut reader = Reader::new(self.0);
        std::iter::from_fn(move || {
            loop {
                let key = reader.key().ok()??;
                let field = match key.wire {
                    VARINT => Field::Number(reader.varint().ok()?),
                    FIXED64 => Field::Number(reader.fixed64().ok()?),
                    FIXED32 => Field::Number(reader.fixed32().ok()?.into()),
                    LEN => Field::Body(reader.bytes().ok()?),
                    _ => {
                        reader.skip(key).ok()?;
                        continue;
                    }
                };
                return Some((key.field, field));
            }
        })
    }

    /// The last field with this number: of repeated scalars that one counts.
    fn last(self, number: u32) -> Option<Field<'a>> {
        self.fields()
            .filter(|(n, _)| *n == number)
            .last()
            .map(|(_, field)| field)
    }

    /// Messages of a repeated field.
    pub(super) fn each(self, number: u32) -> impl Iterator<Item = Message<'a>> {
        self.fields().filter_map(move |(n, field)| match field {
            Field::Body(body) if n == number => Some(Message(body)),
            _ => None,
        })
    }

    /// A message field, if it is there.
    pub(super) fn child(self, number: u32) -> Option<Message<'a>> {
        match self.last(number)? {
            Field::Body(body) => Some(Message(body)),
            Field::Number(_) => None,
        }
    }

    /// A bytes field; empty if it is not there.
    pub(super) fn bytes(self, number: u32) -> &'a [u8] {
        self.child(number).map_or(&[], |message| message.0)
    }

    /// A string field; empty if it is not there.
    pub(super) fn text(self, number: u32) -> &'a str {
        std::str::from_utf8(self.bytes(number)).unwrap_or("")
    }

    /// A varint or fixed field, if it is there.
    pub(super) fn number(self, number: u32) -> Option<u64> {
        match self.last(number)? {
            Field::Number(value) => Some(value),
            Field::Body(_) => None,
        }
    }

    /// A varint or fixed field; 0 if it is not there.
    pub(super) fn or_zero(self, number: u32) -> u64 {
        self.number(number).unwrap_or(0)
    }

    /// A double field, if it is there.
    pub(super) fn double(self, number: u32) -> Option<f64> {
        self.number(number).map(f64::from_bits)
    }

    /// A repeated field of fixed 64-bit values, packed or not.
    pub(super) fn fixed64s(self, number: u32) -> Vec<u64> {
        self.numbers(number, |run| run.fixed64().ok())
    }

    /// A repeated field of varints, packed or not.
    pub(super) fn varints(self, number: u32) -> Vec<u64> {
        self.numbers(number, |run| run.varint().ok())
    }

    fn numbers(self, number: u32, next: fn(&mut Reader<'a>) -> Option<u64>) -> Vec<u64> {
        let mut values = Vec::new();
        for (_, field) in self.fields().filter(|(n, _)| *n == number) {
            match field {
                Field::Number(value) => values.push(value),
                Field::Body(run) => {
                    let mut run = Reader::new(run);
                    values.extend(std::iter::from_fn(|| {
                        (!run.is_empty()).then(|| next(&mut run)).flatten()
                    }));
                }
            }
        }
        values
    }
}
