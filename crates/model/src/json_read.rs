//! OTLP/JSON to OTLP bytes, by the tables of the messages.
//!
//! Read as the reference reads it: names in lowerCamelCase or snake_case, ids in hex (16 and 8
//! bytes, or empty), 64-bit integers as numbers or strings, enums as numbers or names, bytes in
//! base64, doubles also as `"NaN"`, `"Infinity"` and `"-Infinity"`, `null` as absent, unknown names
//! ignored. Nothing is built in between: values go straight into the bytes of the request.
//! Source: OTLP specification, "JSON Protobuf Encoding".

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::DecodeError;
use crate::schema::{Field, Kind, Message, Rule};
use crate::wire::{self, FIXED32, LEN, MAX_DEPTH, VARINT};

/// Translates a JSON request into the encoding of `message`.
pub(crate) fn to_wire(json: &[u8], message: &'static Message) -> Result<Vec<u8>, DecodeError> {
    let mut state = State {
        out: Vec::with_capacity(json.len() / 2),
        path: Vec::new(),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let seed = MessageSeed {
        message,
        state: &mut state,
        depth: MAX_DEPTH,
    };
    let result = deserializer
        .deserialize_map(seed)
        .and_then(|()| deserializer.end());
    match result {
        Ok(()) => Ok(state.out),
        Err(error) => Err(DecodeError::Json(state.at(&error))),
    }
}

/// Bytes so far and where in the JSON we are.
struct State {
    out: Vec<u8>,
    path: Vec<Step>,
}

#[derive(Clone, Copy)]
enum Step {
    Field(&'static Field),
    Item(usize),
}

impl State {
    /// The error with the place it happened at; steps stay on the path when something fails.
    fn at(&self, error: &serde_json::Error) -> String {
        let mut text = String::new();
        for step in &self.path {
            match step {
                Step::Field(field) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.extend(field.json_name().map(char::from));
                }
                Step::Item(at) => text.push_str(&format!("[{at}]")),
            }
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        text
    }
}

/// Reads the fields of an object into the message at the end of `out`.
struct MessageSeed<'s> {
    message: &'static Message,
    state: &'s mut State,
    depth: u32,
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(NameSeed(self.message))? {
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            self.state.path.push(Step::Field(field));
            map.next_value_seed(ValueSeed {
                field,
                item: false,
                state: self.state,
                depth: self.depth,
            })?;
            self.state.path.pop();
        }
        Ok(())
    }
}

/// Finds the field of a name.
struct NameSeed(&'static Message);

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.fields.iter().find(|field| field.is_called(name)))
    }
}

/// Reads the value of a field, or one item of a repeated one.
struct ValueSeed<'s> {
    field: &'static Field,
    item: bool,
    state: &'s mut State,
    depth: u32,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl ValueSeed<'_> {
    fn wants_items(&self) -> bool {
        self.field.rule == Rule::Many && !self.item
    }

    fn what(&self) -> &'static str {
        if self.wants_items() {
            return "an array";
        }
        match self.field.kind {
            Kind::Bool => "true or false",
            Kind::Index | Kind::Sint32 => "a 32-bit integer",
            Kind::Uint32 | Kind::Fixed32 => "an unsigned 32-bit integer",
            Kind::Int64 | Kind::Sfixed64 => "a 64-bit integer, as number or string",
            Kind::Uint64 | Kind::Fixed64 => "an unsigned 64-bit integer, as number or string",
            Kind::Enum(_) => "an enum value, as number or name",
            Kind::Double => "a number, \"NaN\", \"Infinity\" or \"-Infinity\"",
            Kind::Str => "a string",
            Kind::Hex(16) => "32 hex digits or an empty string",
            Kind::Hex(_) => "16 hex digits or an empty string",
            Kind::Bytes => "a string in base64",
            Kind::Message(_) => "an object",
        }
    }

    fn wrong<E: Error>(&self) -> E {
        E::custom(format_args!("expected {}", self.what()))
    }

    /// Writes an integer of any kind; `false` when the field does not take this one.
    fn integer(&mut self, value: i128) -> bool {
        let (out, number) = (&mut self.state.out, self.field.number);
        let mut varint = |bits: u64| {
            wire::put_key(out, number, VARINT);
            wire::put_varint(out, bits);
            true
        };
        match self.field.kind {
            Kind::Uint32 => u32::try_from(value).is_ok_and(|v| varint(v.into())),
            Kind::Uint64 => u64::try_from(value).is_ok_and(varint),
            Kind::Int64 => i64::try_from(value).is_ok_and(|v| varint(v as u64)),
            Kind::Index | Kind::Enum(_) => {
                i32::try_from(value).is_ok_and(|v| varint(i64::from(v) as u64))
            }
            Kind::Sint32 => {
                i32::try_from(value).is_ok_and(|v| varint(wire::zigzag(v.into()) & 0xffff_ffff))
            }
            Kind::Fixed32 => u32::try_from(value).is_ok_and(|v| {
                wire::put_key(out, number, FIXED32);
                out.extend_from_slice(&v.to_le_bytes());
                true
            }),
            Kind::Fixed64 => u64::try_from(value).is_ok_and(|v| {
                wire::put_fixed64_always(out, number, v);
                true
            }),
            Kind::Sfixed64 => i64::try_from(value).is_ok_and(|v| {
                wire::put_fixed64_always(out, number, v as u64);
                true
            }),
            Kind::Double => {
                wire::put_fixed64_always(out, number, (value as f64).to_bits());
                true
            }
            _ => false,
        }
    }

    /// Writes a value that came as a string; `false` when the field does not take this one.
    fn string(&mut self, text: &str) -> bool {
        let (out, number) = (&mut self.state.out, self.field.number);
        match self.field.kind {
            Kind::Str => wire::put_bytes_always(out, number, text.as_bytes()),
            Kind::Hex(len) => match unhex(text) {
                Some(id) if id.is_empty() || id.len() == len => {
                    wire::put_bytes_always(out, number, &id);
                }
                _ => return false,
            },
            Kind::Bytes => match unbase64(text) {
                Some(bytes) => wire::put_bytes_always(out, number, &bytes),
                None => return false,
            },
            Kind::Double => match text.parse::<f64>() {
                Ok(value) => wire::put_fixed64_always(out, number, value.to_bits()),
                Err(_) => return false,
            },
            Kind::Enum(names) => match names.iter().position(|name| *name == text) {
                Some(value) => return self.integer(value as i128),
                None => return false,
            },
            Kind::Bool | Kind::Message(_) => return false,
            _ => {
                return text
                    .parse::<i64>()
                    .map(i128::from)
                    .is_ok_and(|v| self.integer(v))
                    || text
                        .parse::<u64>()
                        .map(i128::from)
                        .is_ok_and(|v| self.integer(v));
            }
        }
        true
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.what())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        // Absent; but an item of a list keeps its place.
        if self.item {
            match self.field.kind {
                Kind::Message(_) | Kind::Str => {
                    wire::put_bytes_always(&mut self.state.out, self.field.number, &[]);
                }
                _ => return Err(self.wrong()),
            }
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        if self.wants_items() || !matches!(self.field.kind, Kind::Bool) {
            return Err(self.wrong());
        }
        wire::put_key(&mut self.state.out, self.field.number, VARINT);
        self.state.out.push(u8::from(value));
        Ok(())
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        if !self.wants_items() && self.integer(value.into()) {
            return Ok(());
        }
        Err(self.wrong())
    }

    fn visit_u64<E: Error>(mut self, value: u64) -> Result<(), E> {
        if !self.wants_items() && self.integer(value.into()) {
            return Ok(());
        }
        Err(self.wrong())
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        let whole = value.fract() == 0.0 && value.abs() < 1e19;
        if self.wants_items() {
        } else if matches!(self.field.kind, Kind::Double) {
            wire::put_fixed64_always(&mut self.state.out, self.field.number, value.to_bits());
            return Ok(());
        } else if whole && self.integer(value as i128) {
            return Ok(());
        }
        Err(self.wrong())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        if !self.wants_items() && self.string(text) {
            return Ok(());
        }
        Err(self.wrong())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if !self.wants_items() {
            return Err(self.wrong());
        }
        self.state.path.push(Step::Item(0));
        let mut at = 0;
        while items
            .next_element_seed(ValueSeed {
                field: self.field,
                item: true,
                state: self.state,
                depth: self.depth,
            })?
            .is_some()
        {
            at += 1;
            if let Some(step) = self.state.path.last_mut() {
                *step = Step::Item(at);
            }
        }
        self.state.path.pop();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Kind::Message(message) = self.field.kind else {
            return Err(self.wrong());
        };
        if self.wants_items() {
            return Err(self.wrong());
        }
        let depth = self.depth.checked_sub(1);
        let depth = depth.ok_or_else(|| A::Error::custom("nested too deeply"))?;
        wire::put_key(&mut self.state.out, self.field.number, LEN);
        let at = self.state.out.len();
        self.state.out.push(0);
        MessageSeed {
            message,
            state: self.state,
            depth,
        }
        .visit_map(map)?;
        wire::patch_length(&mut self.state.out, at);
        Ok(())
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let bytes = pairs
        .iter()
        .map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?));
    bytes.collect()
}

/// Standard or URL-safe alphabet, with or without padding.
fn unbase64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    let any = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [base64::alphabet::STANDARD, base64::alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, any).decode(text).ok())
}
