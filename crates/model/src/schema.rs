//! The OTLP messages as tables: field numbers, names and types, for the check at the door and for
//! OTLP/JSON.
//!
//! Source: opentelemetry-proto 1.9, files `common`, `resource`, `trace`, `metrics` and `logs`.

/// A message type.
#[derive(Debug)]
pub(crate) struct Message {
    /// Place of a field in `fields` by its number, `NONE` for numbers the message does not have.
    slots: [u8; SLOTS],
    /// Whether this is `KeyValue`, which has a short cut.
    pub(crate) is_pair: bool,
    /// The fields in the order of the .proto file.
    pub(crate) fields: &'static [Field],
}

const SLOTS: usize = 17;
const NONE: u8 = u8::MAX;

/// A field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    /// Field number.
    pub(crate) number: u32,
    /// Name in the .proto file (snake_case).
    pub(crate) name: &'static str,
    /// Type.
    pub(crate) kind: Kind,
    /// How often it may stand and what its absence means.
    pub(crate) rule: Rule,
}

/// Type of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// `bool`
    Bool,
    /// `int32` that no JSON carries (indices of the profiles dictionary).
    Index,
    /// `uint32`
    Uint32,
    /// `sint32`
    Sint32,
    /// `int64`
    Int64,
    /// `uint64`
    Uint64,
    /// An enum and the names of its values from 0 on.
    Enum(&'static [&'static str]),
    /// `fixed32`
    Fixed32,
    /// `fixed64`
    Fixed64,
    /// `sfixed64`
    Sfixed64,
    /// `double`
    Double,
    /// `string`
    Str,
    /// An id of so many bytes (or none), which JSON writes in hex.
    Hex(usize),
    /// `bytes` that JSON writes in base64.
    Bytes,
    /// A message.
    Message(&'static Message),
}

/// How often a field may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// At most once; absent means the default.
    One,
    /// At most once, with presence: `optional`.
    Optional,
    /// Member of the message's only oneof.
    OneOf,
    /// Any number of times (numbers may be packed).
    Many,
}

use Kind::{
    Bool, Bytes, Double, Enum, Fixed32, Fixed64, Index, Int64, Sfixed64, Sint32, Str, Uint32,
    Uint64,
};
use Rule::{Many, One, OneOf, Optional};

impl Message {
    const fn new(fields: &'static [Field]) -> Self {
        let mut slots = [NONE; SLOTS];
        let mut i = 0;
        while i < fields.len() {
            slots[fields[i].number as usize] = i as u8;
            i += 1;
        }
        Self {
            slots,
            is_pair: false,
            fields,
        }
    }

    const fn pair(self) -> Self {
        Self {
            is_pair: true,
            ..self
        }
    }

    /// The field with this number.
    #[inline]
    pub(crate) fn field(&self, number: u32) -> Option<&'static Field> {
        let slot = *self.slots.get(number as usize)?;
        self.fields.get(slot as usize)
    }
}

impl Field {
    /// Whether JSON may call the field so: lowerCamelCase, or the name of the .proto file.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        name == self.name || self.json_name().eq(name.bytes())
    }

    /// The name in JSON: lowerCamelCase.
    pub(crate) fn json_name(&self) -> impl Iterator<Item = u8> {
        let mut upper = false;
        self.name.bytes().filter_map(move |b| {
            if b == b'_' {
                upper = true;
                return None;
            }
            let b = if upper { b.to_ascii_uppercase() } else { b };
            upper = false;
            Some(b)
        })
    }
}

const fn field(number: u32, name: &'static str, kind: Kind, rule: Rule) -> Field {
    Field {
        number,
        name,
        kind,
        rule,
    }
}

const TRACE_ID: Kind = Kind::Hex(16);
const SPAN_ID: Kind = Kind::Hex(8);

const fn of(message: &'static Message) -> Kind {
    Kind::Message(message)
}

static SPAN_KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
static STATUS_CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];
static TEMPORALITIES: [&str; 3] = [
    "AGGREGATION_TEMPORALITY_UNSPECIFIED",
    "AGGREGATION_TEMPORALITY_DELTA",
    "AGGREGATION_TEMPORALITY_CUMULATIVE",
];
static SEVERITIES: [&str; 25] = [
    "SEVERITY_NUMBER_UNSPECIFIED",
    "SEVERITY_NUMBER_TRACE",
    "SEVERITY_NUMBER_TRACE2",
    "SEVERITY_NUMBER_TRACE3",
    "SEVERITY_NUMBER_TRACE4",
    "SEVERITY_NUMBER_DEBUG",
    "SEVERITY_NUMBER_DEBUG2",
    "SEVERITY_NUMBER_DEBUG3",
    "SEVERITY_NUMBER_DEBUG4",
    "SEVERITY_NUMBER_INFO",
    "SEVERITY_NUMBER_INFO2",
    "SEVERITY_NUMBER_INFO3",
    "SEVERITY_NUMBER_INFO4",
    "SEVERITY_NUMBER_WARN",
    "SEVERITY_NUMBER_WARN2",
    "SEVERITY_NUMBER_WARN3",
    "SEVERITY_NUMBER_WARN4",
    "SEVERITY_NUMBER_ERROR",
    "SEVERITY_NUMBER_ERROR2",
    "SEVERITY_NUMBER_ERROR3",
    "SEVERITY_NUMBER_ERROR4",
    "SEVERITY_NUMBER_FATAL",
    "SEVERITY_NUMBER_FATAL2",
    "SEVERITY_NUMBER_FATAL3",
    "SEVERITY_NUMBER_FATAL4",
];

/// `ExportTraceServiceRequest`, and `TracesData`, which is the same on the wire.
pub(crate) static TRACES: Message =
    Message::new(&[field(1, "resource_spans", of(&RESOURCE_SPANS), Many)]);
static RESOURCE_SPANS: Message = Message::new(&[
    field(1, "resource", of(&RESOURCE), One),
    field(2, "scope_spans", of(&SCOPE_SPANS), Many),
    field(3, "schema_url", Str, One),
]);
static SCOPE_SPANS: Message = Message::new(&[
    field(1, "scope", of(&SCOPE), One),
    field(2, "spans", of(&SPAN), Many),
    field(3, "schema_url", Str, One),
]);
static SPAN: Message = Message::new(&[
    field(1, "trace_id", TRACE_ID, One),
    field(2, "span_id", SPAN_ID, One),
    field(3, "trace_state", Str, One),
    field(4, "parent_span_id", SPAN_ID, One),
    field(16, "flags", Fixed32, One),
    field(5, "name", Str, One),
    field(6, "kind", Enum(&SPAN_KINDS), One),
    field(7, "start_time_unix_nano", Fixed64, One),
    field(8, "end_time_unix_nano", Fixed64, One),
    field(9, "attributes", of(&KEY_VALUE), Many),
    field(10, "dropped_attributes_count", Uint32, One),
    field(11, "events", of(&EVENT), Many),
    field(12, "dropped_events_count", Uint32, One),
    field(13, "links", of(&LINK), Many),
    field(14, "dropped_links_count", Uint32, One),
    field(15, "status", of(&STATUS), One),
]);
static EVENT: Message = Message::new(&[
    field(1, "time_unix_nano", Fixed64, One),
    field(2, "name", Str, One),
    field(3, "attributes", of(&KEY_VALUE), Many),
    field(4, "dropped_attributes_count", Uint32, One),
]);
static LINK: Message = Message::new(&[
    field(1, "trace_id", TRACE_ID, One),
    field(2, "span_id", SPAN_ID, One),
    field(3, "trace_state", Str, One),
    field(4, "attributes", of(&KEY_VALUE), Many),
    field(5, "dropped_attributes_count", Uint32, One),
    field(6, "flags", Fixed32, One),
]);
static STATUS: Message = Message::new(&[
    field(2, "message", Str, One),
    field(3, "code", Enum(&STATUS_CODES), One),
]);

/// `ExportLogsServiceRequest` and `LogsData`.
pub(crate) static LOGS: Message =
    Message::new(&[field(1, "resource_logs", of(&RESOURCE_LOGS), Many)]);
static RESOURCE_LOGS: Message = Message::new(&[
    field(1, "resource", of(&RESOURCE), One),
    field(2, "scope_logs", of(&SCOPE_LOGS), Many),
    field(3, "schema_url", Str, One),
]);
static SCOPE_LOGS: Message = Message::new(&[
    field(1, "scope", of(&SCOPE), One),
    field(2, "log_records", of(&LOG_RECORD), Many),
    field(3, "schema_url", Str, One),
]);
static LOG_RECORD: Message = Message::new(&[
    field(1, "time_unix_nano", Fixed64, One),
    field(11, "observed_time_unix_nano", Fixed64, One),
    field(2, "severity_number", Enum(&SEVERITIES), One),
    field(3, "severity_text", Str, One),
    field(5, "body", of(&ANY_VALUE), One),
    field(6, "attributes", of(&KEY_VALUE), Many),
    field(7, "dropped_attributes_count", Uint32, One),
    field(8, "flags", Fixed32, One),
    field(9, "trace_id", TRACE_ID, One),
    field(10, "span_id", SPAN_ID, One),
    field(12, "event_name", Str, One),
]);

/// `ExportMetricsServiceRequest` and `MetricsData`.
pub(crate) static METRICS: Message =
    Message::new(&[field(1, "resource_metrics", of(&RESOURCE_METRICS), Many)]);
static RESOURCE_METRICS: Message = Message::new(&[
    field(1, "resource", of(&RESOURCE), One),
    field(2, "scope_metrics", of(&SCOPE_METRICS), Many),
    field(3, "schema_url", Str, One),
]);
static SCOPE_METRICS: Message = Message::new(&[
    field(1, "scope", of(&SCOPE), One),
    field(2, "metrics", of(&METRIC), Many),
    field(3, "schema_url", Str, One),
]);
pub(crate) static METRIC: Message = Message::new(&[
    field(1, "name", Str, One),
    field(2, "description", Str, One),
    field(3, "unit", Str, One),
    field(5, "gauge", of(&GAUGE), OneOf),
    field(7, "sum", of(&SUM), OneOf),
    field(9, "histogram", of(&HISTOGRAM), OneOf),
    field(10, "exponential_histogram", of(&EXPONENTIAL), OneOf),
    field(11, "summary", of(&SUMMARY), OneOf),
    field(12, "metadata", of(&KEY_VALUE), Many),
]);
static GAUGE: Message = Message::new(&[field(1, "data_points", of(&NUMBER_POINT), Many)]);
static SUM: Message = Message::new(&[
    field(1, "data_points", of(&NUMBER_POINT), Many),
    field(2, "aggregation_temporality", Enum(&TEMPORALITIES), One),
    field(3, "is_monotonic", Bool, One),
]);
static HISTOGRAM: Message = Message::new(&[
    field(1, "data_points", of(&HISTOGRAM_POINT), Many),
    field(2, "aggregation_temporality", Enum(&TEMPORALITIES), One),
]);
static EXPONENTIAL: Message = Message::new(&[
    field(1, "data_points", of(&EXPONENTIAL_POINT), Many),
    field(2, "aggregation_temporality", Enum(&TEMPORALITIES), One),
]);
static SUMMARY: Message = Message::new(&[field(1, "data_points", of(&SUMMARY_POINT), Many)]);
static NUMBER_POINT: Message = Message::new(&[
    field(7, "attributes", of(&KEY_VALUE), Many),
    field(2, "start_time_unix_nano", Fixed64, One),
    field(3, "time_unix_nano", Fixed64, One),
    field(4, "as_double", Double, OneOf),
    field(6, "as_int", Sfixed64, OneOf),
    field(5, "exemplars", of(&EXEMPLAR), Many),
    field(8, "flags", Uint32, One),
]);
static HISTOGRAM_POINT: Message = Message::new(&[
    field(9, "attributes", of(&KEY_VALUE), Many),
    field(2, "start_time_unix_nano", Fixed64, One),
    field(3, "time_unix_nano", Fixed64, One),
    field(4, "count", Fixed64, One),
    field(5, "sum", Double, Optional),
    field(6, "bucket_counts", Fixed64, Many),
    field(7, "explicit_bounds", Double, Many),
    field(8, "exemplars", of(&EXEMPLAR), Many),
    field(10, "flags", Uint32, One),
    field(11, "min", Double, Optional),
    field(12, "max", Double, Optional),
]);
static EXPONENTIAL_POINT: Message = Message::new(&[
    field(1, "attributes", of(&KEY_VALUE), Many),
    field(2, "start_time_unix_nano", Fixed64, One),
    field(3, "time_unix_nano", Fixed64, One),
    field(4, "count", Fixed64, One),
    field(5, "sum", Double, Optional),
    field(6, "scale", Sint32, One),
    field(7, "zero_count", Fixed64, One),
    field(8, "positive", of(&BUCKETS), One),
    field(9, "negative", of(&BUCKETS), One),
    field(10, "flags", Uint32, One),
    field(11, "exemplars", of(&EXEMPLAR), Many),
    field(12, "min", Double, Optional),
    field(13, "max", Double, Optional),
    field(14, "zero_threshold", Double, One),
]);
static BUCKETS: Message = Message::new(&[
    field(1, "offset", Sint32, One),
    field(2, "bucket_counts", Uint64, Many),
]);
static SUMMARY_POINT: Message = Message::new(&[
    field(7, "attributes", of(&KEY_VALUE), Many),
    field(2, "start_time_unix_nano", Fixed64, One),
    field(3, "time_unix_nano", Fixed64, One),
    field(4, "count", Fixed64, One),
    field(5, "sum", Double, One),
    field(6, "quantile_values", of(&QUANTILE), Many),
    field(8, "flags", Uint32, One),
]);
static QUANTILE: Message = Message::new(&[
    field(1, "quantile", Double, One),
    field(2, "value", Double, One),
]);
pub(crate) static EXEMPLAR: Message = Message::new(&[
    field(7, "filtered_attributes", of(&KEY_VALUE), Many),
    field(2, "time_unix_nano", Fixed64, One),
    field(3, "as_double", Double, OneOf),
    field(6, "as_int", Sfixed64, OneOf),
    field(4, "span_id", SPAN_ID, One),
    field(5, "trace_id", TRACE_ID, One),
]);

pub(crate) static RESOURCE: Message = Message::new(&[
    field(1, "attributes", of(&KEY_VALUE), Many),
    field(2, "dropped_attributes_count", Uint32, One),
    field(3, "entity_refs", of(&ENTITY_REF), Many),
]);
static ENTITY_REF: Message = Message::new(&[
    field(1, "schema_url", Str, One),
    field(2, "type", Str, One),
    field(3, "id_keys", Str, Many),
    field(4, "description_keys", Str, Many),
]);
pub(crate) static SCOPE: Message = Message::new(&[
    field(1, "name", Str, One),
    field(2, "version", Str, One),
    field(3, "attributes", of(&KEY_VALUE), Many),
    field(4, "dropped_attributes_count", Uint32, One),
]);
pub(crate) static KEY_VALUE: Message = Message::new(&[
    field(1, "key", Str, One),
    field(2, "value", of(&ANY_VALUE), One),
    field(3, "key_strindex", Index, One),
])
.pair();
pub(crate) static ANY_VALUE: Message = Message::new(&[
    field(1, "string_value", Str, OneOf),
    field(2, "bool_value", Bool, OneOf),
    field(3, "int_value", Int64, OneOf),
    field(4, "double_value", Double, OneOf),
    field(5, "array_value", of(&ARRAY), OneOf),
    field(6, "kvlist_value", of(&KEY_VALUE_LIST), OneOf),
    field(7, "bytes_value", Bytes, OneOf),
    field(8, "string_value_strindex", Index, OneOf),
]);
static ARRAY: Message = Message::new(&[field(1, "values", of(&ANY_VALUE), Many)]);
static KEY_VALUE_LIST: Message = Message::new(&[field(1, "values", of(&KEY_VALUE), Many)]);
