//! Why a payload cannot be read.

/// Reasons for refusing a payload at the door: the sender gets 400 or InvalidArgument.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The payload ends inside a field.
    #[error("malformed protobuf: the payload ends inside a field")]
    Truncated,
    /// A field key that protobuf does not allow.
    #[error("malformed protobuf: invalid field key")]
    Key,
    /// A varint longer than ten bytes.
    #[error("malformed protobuf: invalid varint")]
    Varint,
    /// A known field comes with another wire type.
    #[error("malformed protobuf: field {field} has the wrong wire type")]
    WireType {
        /// Field number within its message.
        field: u32,
    },
    /// A string field that is not UTF-8.
    #[error("malformed protobuf: a string field is not UTF-8")]
    Utf8,
    /// Messages nested deeper than 100 levels.
    #[error("malformed protobuf: nested too deeply")]
    Depth,
    /// A payload whose offsets do not fit the flat batch (4 GiB).
    #[error("payload of {0} bytes is larger than a batch can hold")]
    TooLarge(usize),
    /// OTLP/JSON that cannot be read.
    #[error("malformed OTLP/JSON: {0}")]
    Json(String),
}
