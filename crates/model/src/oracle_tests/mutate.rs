//! Legal oddities and damage to encoded requests.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::schema::{Kind, Message};
use crate::wire::{END_GROUP, LEN, Reader, START_GROUP, VARINT, put_key, put_varint};

/// xorshift64*: enough to choose oddities from one seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        bits as usize % bound.max(1)
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

/// The same kind of message, encoded as nobody does but everybody must accept.
pub(super) fn oddly(bytes: &[u8], message: &'static Message, seed: u64) -> Vec<u8> {
    odd_message(bytes, message, &mut Random(seed | 1))
}

fn odd_message(bytes: &[u8], message: &'static Message, random: &mut Random) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some(key) = reader.key().unwrap() {
        let field = message.field(key.field).unwrap();
        let mut part = Vec::new();
        odd_key(&mut part, key.field, key.wire, random);
        if let Kind::Message(inner) = field.kind {
            let body = odd_message(reader.bytes().unwrap(), inner, random);
            if random.one_in(8) {
                // In two parts, which merge if the field is singular.
                let cut = first_fields(&body, random);
                odd_bytes(&mut part, &body[..cut], random);
                parts.push(std::mem::take(&mut part));
                odd_key(&mut part, key.field, key.wire, random);
                odd_bytes(&mut part, &body[cut..], random);
            } else {
                odd_bytes(&mut part, &body, random);
            }
        } else if key.wire == LEN {
            odd_bytes(&mut part, reader.bytes().unwrap(), random);
        } else {
            let before = reader.rest();
            reader.skip(key).unwrap();
            part.extend_from_slice(&before[..before.len() - reader.rest().len()]);
        }
        parts.push(part);
    }
    if random.one_in(10) && !parts.is_empty() {
        let copy = parts[random.below(parts.len())].clone();
        parts.insert(random.below(parts.len() + 1), copy);
    }
    if random.one_in(10) && parts.len() > 1 {
        let (a, b) = (random.below(parts.len()), random.below(parts.len()));
        parts.swap(a, b);
    }
    if random.one_in(10) {
        parts.insert(random.below(parts.len() + 1), unknown(random));
    }
    parts.concat()
}

/// The end of one of the fields of a body.
fn first_fields(body: &[u8], random: &mut Random) -> usize {
    let mut reader = Reader::new(body);
    let mut ends = vec![0];
    while let Some(key) = reader.key().unwrap() {
        reader.skip(key).unwrap();
        ends.push(body.len() - reader.rest().len());
    }
    ends[random.below(ends.len())]
}

fn unknown(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    match random.below(3) {
        0 => {
            put_key(&mut out, 999, VARINT);
            put_varint(&mut out, u64::MAX);
        }
        1 => {
            put_key(&mut out, 45, LEN);
            odd_bytes(&mut out, &[0xff, 0x80, 0xc3], random);
        }
        _ => {
            put_key(&mut out, 100, START_GROUP);
            put_key(&mut out, 1, VARINT);
            put_varint(&mut out, 300);
            put_key(&mut out, 100, END_GROUP);
        }
    }
    out
}

fn odd_key(out: &mut Vec<u8>, field: u32, wire: u8, random: &mut Random) {
    odd_varint(out, u64::from(field << 3 | u32::from(wire)), random);
}

fn odd_bytes(out: &mut Vec<u8>, body: &[u8], random: &mut Random) {
    odd_varint(out, body.len() as u64, random);
    out.extend_from_slice(body);
}

/// Now and then a byte longer than it has to be.
fn odd_varint(out: &mut Vec<u8>, value: u64, random: &mut Random) {
    put_varint(out, value);
    if random.one_in(30)
        && let Some(last) = out.last_mut()
    {
        *last |= 0x80;
        out.push(0);
    }
}

/// Damage to bytes: places are fractions of the length.
#[derive(Clone, Debug)]
pub(super) enum Harm {
    Flip(u16, u8),
    Set(u16, u8),
    Cut(u16),
    Remove(u16, u8),
    Insert(u16, Vec<u8>),
    Repeat(u16, u8),
}

pub(super) fn harm() -> impl Strategy<Value = Vec<Harm>> {
    let one = prop_oneof![
        4 => (any::<u16>(), 0..8u8).prop_map(|(at, bit)| Harm::Flip(at, bit)),
        4 => (any::<u16>(), any::<u8>()).prop_map(|(at, byte)| Harm::Set(at, byte)),
        1 => any::<u16>().prop_map(Harm::Cut),
        2 => (any::<u16>(), 1..20u8).prop_map(|(at, len)| Harm::Remove(at, len)),
        2 => (any::<u16>(), vec(any::<u8>(), 1..6)).prop_map(|(at, b)| Harm::Insert(at, b)),
        1 => (any::<u16>(), 1..40u8).prop_map(|(at, len)| Harm::Repeat(at, len)),
    ];
    vec(one, 1..4)
}

pub(super) fn apply(mut bytes: Vec<u8>, harm: &[Harm]) -> Vec<u8> {
    for harm in harm {
        let place = |at: u16| usize::from(at) * bytes.len() / 65_536;
        let end = |at: usize, len: u8| (at + usize::from(len)).min(bytes.len());
        match harm {
            Harm::Flip(at, bit) => {
                let at = place(*at);
                bytes
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|b| *b ^= 1 << bit);
            }
            Harm::Set(at, byte) => {
                let at = place(*at);
                bytes.iter_mut().skip(at).take(1).for_each(|b| *b = *byte);
            }
            Harm::Cut(at) => {
                let at = place(*at);
                bytes.truncate(at);
            }
            Harm::Remove(at, len) => {
                let at = place(*at);
                let end = end(at, *len);
                bytes.drain(at..end);
            }
            Harm::Insert(at, more) => {
                let at = place(*at);
                bytes.splice(at..at, more.iter().copied());
            }
            Harm::Repeat(at, len) => {
                let at = place(*at);
                let part = bytes[at..end(at, *len)].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}
