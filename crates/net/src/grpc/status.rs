//! gRPC statuses: codes, messages, and the retry hint among their details.

use std::time::Duration;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{GeneralPurposeConfig, STANDARD_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// Status codes of gRPC; the number is what goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "names of the protocol")]
#[repr(u8)]
pub enum GrpcCode {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl GrpcCode {
    const ALL: [GrpcCode; 17] = [
        GrpcCode::Ok,
        GrpcCode::Cancelled,
        GrpcCode::Unknown,
        GrpcCode::InvalidArgument,
        GrpcCode::DeadlineExceeded,
        GrpcCode::NotFound,
        GrpcCode::AlreadyExists,
        GrpcCode::PermissionDenied,
        GrpcCode::ResourceExhausted,
        GrpcCode::FailedPrecondition,
        GrpcCode::Aborted,
        GrpcCode::OutOfRange,
        GrpcCode::Unimplemented,
        GrpcCode::Internal,
        GrpcCode::Unavailable,
        GrpcCode::DataLoss,
        GrpcCode::Unauthenticated,
    ];

    /// The code of a number; unknown numbers are [`GrpcCode::Unknown`], as the protocol says.
    #[must_use]
    pub fn from_number(number: u32) -> GrpcCode {
        usize::try_from(number)
            .ok()
            .and_then(|n| GrpcCode::ALL.get(n).copied())
            .unwrap_or(GrpcCode::Unknown)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The code a client takes from an answer that is plain HTTP (spec otlp-and-helpers 1.3).
    #[must_use]
    pub fn from_http(status: StatusCode) -> GrpcCode {
        match status.as_u16() {
            400 => GrpcCode::InvalidArgument,
            401 => GrpcCode::Unauthenticated,
            403 => GrpcCode::PermissionDenied,
            404 => GrpcCode::Unimplemented,
            429 => GrpcCode::ResourceExhausted,
            502..=504 => GrpcCode::Unavailable,
            _ => GrpcCode::Unknown,
        }
    }

    /// The HTTP status for an answer with this code (spec otlp-and-helpers 1.3).
    #[must_use]
    pub fn to_http(self) -> StatusCode {
        match self {
            GrpcCode::Ok => StatusCode::OK,
            GrpcCode::Cancelled
            | GrpcCode::DeadlineExceeded
            | GrpcCode::Aborted
            | GrpcCode::OutOfRange
            | GrpcCode::Unavailable
            | GrpcCode::DataLoss => StatusCode::SERVICE_UNAVAILABLE,
            GrpcCode::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            GrpcCode::InvalidArgument => StatusCode::BAD_REQUEST,
            GrpcCode::Unauthenticated => StatusCode::UNAUTHORIZED,
            GrpcCode::PermissionDenied => StatusCode::FORBIDDEN,
            GrpcCode::Unimplemented => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl std::fmt::Display for GrpcCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

/// The outcome of a call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct GrpcStatus {
    /// Code.
    pub code: GrpcCode,
    /// For people.
    pub message: String,
    /// How long the server wants to be left alone (`google.rpc.RetryInfo`).
    pub retry_after: Option<Duration>,
}

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";
/// Readers take the details with and without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Longer messages are cut: they travel in headers.
const MAX_MESSAGE: usize = 4096;

impl GrpcStatus {
    /// A status without a retry hint.
    pub fn new(code: GrpcCode, message: impl Into<String>) -> Self {
        GrpcStatus {
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    /// Adds how long the client should wait.
    #[must_use]
    pub fn with_retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }

    /// Puts the status into trailers.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(STATUS, HeaderValue::from(self.code.number()));
        let end = self.message.floor_char_boundary(MAX_MESSAGE);
        let message = percent_encode(self.message.get(..end).unwrap_or_default());
        if let Ok(message) = HeaderValue::from_str(&message) {
            headers.insert(MESSAGE, message);
        }
        if self.retry_after.is_some() {
            let details = STANDARD_NO_PAD.encode(self.to_proto());
            if let Ok(details) = HeaderValue::from_str(&details) {
                headers.insert(DETAILS, details);
            }
        }
    }

    /// The status in trailers or headers; `None` when there is none.
    pub(crate) fn read(headers: &HeaderMap) -> Option<GrpcStatus> {
        let code = headers
            .get(STATUS)?
            .to_str()
            .ok()
            .and_then(|t| t.parse().ok());
        let message = headers
            .get(MESSAGE)
            .map_or(String::new(), |m| percent_decode(m.as_bytes()));
        let details = headers
            .get(DETAILS)
            .and_then(|d| LENIENT.decode(d.as_bytes()).ok());
        Some(GrpcStatus {
            code: code.map_or(GrpcCode::Unknown, GrpcCode::from_number),
            message,
            retry_after: details
                .and_then(|d| Self::from_proto(&d))
                .and_then(|s| s.retry_after),
        })
    }

    /// The status as a `google.rpc.Status` message.
    #[must_use]
    pub fn to_proto(&self) -> Vec<u8> {
        let mut out = Vec::new();
        field_varint(1, u64::from(self.code.number()), &mut out);
        field_bytes(2, self.message.as_bytes(), &mut out);
        if let Some(after) = self.retry_after {
            let (mut delay, mut info, mut any) = (Vec::new(), Vec::new(), Vec::new());
            field_varint(1, after.as_secs(), &mut delay);
            field_varint(2, u64::from(after.subsec_nanos()), &mut delay);
            // Present even when it is zero: its presence is what allows a retry.
            info.push(0x0a);
            varint(delay.len() as u64, &mut info);
            info.extend(delay);
            field_bytes(1, RETRY_INFO.as_bytes(), &mut any);
            field_bytes(2, &info, &mut any);
            field_bytes(3, &any, &mut out);
        }
        out
    }

    /// Reads a `google.rpc.Status`; `None` for what is none. Unknown details are skipped.
    #[must_use]
    pub fn from_proto(bytes: &[u8]) -> Option<GrpcStatus> {
        let mut status = GrpcStatus::new(GrpcCode::Ok, "");
        for_each_field(bytes, |number, value| match (number, value) {
            (1, Field::Varint(code)) => {
                status.code = u32::try_from(code).map_or(GrpcCode::Unknown, GrpcCode::from_number);
            }
            (2, Field::Bytes(message)) => {
                status.message = String::from_utf8_lossy(message).into_owned();
            }
            (3, Field::Bytes(any)) => status.retry_after = status.retry_after.or(retry_info(any)),
            _ => {}
        })?;
        Some(status)
    }
}

/// The delay in a `google.protobuf.Any` that holds a `RetryInfo`.
fn retry_info(any: &[u8]) -> Option<Duration> {
    let (mut is_retry_info, mut value) = (false, &[][..]);
    for_each_field(any, |number, field| match (number, field) {
        (1, Field::Bytes(url)) => is_retry_info = url.ends_with(b"/google.rpc.RetryInfo"),
        (2, Field::Bytes(bytes)) => value = bytes,
        _ => {}
    })?;
    let mut after = None;
    for_each_field(value, |number, field| {
        if let (1, Field::Bytes(delay)) = (number, field) {
            let (mut seconds, mut nanos) = (0, 0);
            let _complete = for_each_field(delay, |number, field| match (number, field) {
                (1, Field::Varint(n)) => seconds = n,
                (2, Field::Varint(n)) => nanos = n,
                _ => {}
            });
            let nanos = u32::try_from(nanos)
                .ok()
                .filter(|n| *n < 1_000_000_000)
                .unwrap_or(0);
            // Negative delays come as huge numbers: no wait.
            let seconds = if seconds > u64::MAX / 2 { 0 } else { seconds };
            after = Some(Duration::new(seconds, nanos));
        }
    })?;
    after.filter(|_| is_retry_info)
}

enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Other,
}

fn for_each_field<'a>(mut bytes: &'a [u8], mut each: impl FnMut(u64, Field<'a>)) -> Option<()> {
    while !bytes.is_empty() {
        let key = read_varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Field::Varint(read_varint(&mut bytes)?),
            1 => {
                bytes = bytes.get(8..)?;
                Field::Other
            }
            2 => {
                let length = usize::try_from(read_varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Field::Bytes(value)
            }
            5 => {
                bytes = bytes.get(4..)?;
                Field::Other
            }
            _ => return None,
        };
        each(key >> 3, value);
    }
    Some(())
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn field_varint(number: u8, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        out.push(number << 3);
        varint(value, out);
    }
}

fn field_bytes(number: u8, value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        out.push(number << 3 | 2);
        varint(value.len() as u64, out);
        out.extend_from_slice(value);
    }
}

/// `grpc-message` is percent-encoded: everything but printable ASCII without `%`.
fn percent_encode(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => {
                // Writing to a string cannot fail.
                let _written = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

fn percent_decode(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let escaped = match (byte, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(h, l)| h << 4 | l),
            _ => None,
        };
        out.push(escaped.unwrap_or(*byte));
        rest = if escaped.is_some() {
            after.get(2..).unwrap_or_default()
        } else {
            after
        };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codes_and_http_statuses() {
        for code in GrpcCode::ALL {
            assert_eq!(GrpcCode::from_number(code.number()), code);
        }
        assert_eq!(GrpcCode::from_number(17), GrpcCode::Unknown);
        let http = |code: GrpcCode| code.to_http().as_u16();
        assert_eq!(http(GrpcCode::Unavailable), 503);
        assert_eq!(http(GrpcCode::ResourceExhausted), 429);
        assert_eq!(http(GrpcCode::Unimplemented), 404);
        assert_eq!(http(GrpcCode::Internal), 500);
        assert_eq!(
            GrpcCode::from_http(StatusCode::BAD_GATEWAY),
            GrpcCode::Unavailable
        );
        assert_eq!(
            GrpcCode::from_http(StatusCode::IM_A_TEAPOT),
            GrpcCode::Unknown
        );
    }

    /// The bytes that a Go server sends for RESOURCE_EXHAUSTED with a delay of 1.5 s.
    #[test]
    fn retry_info_has_the_standard_encoding() {
        let status = GrpcStatus::new(GrpcCode::ResourceExhausted, "busy")
            .with_retry_after(Some(Duration::from_millis(1500)));
        let mut expected = vec![0x08, 8, 0x12, 4];
        expected.extend(b"busy");
        expected.extend([0x1a, 54, 0x0a, 40]);
        expected.extend(RETRY_INFO.as_bytes());
        expected.extend([
            0x12, 10, 0x0a, 8, 0x08, 1, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01,
        ]);
        assert_eq!(status.to_proto(), expected);
        assert_eq!(GrpcStatus::from_proto(&expected), Some(status));
    }

    #[test]
    fn a_delay_of_zero_is_still_a_hint() {
        let status =
            GrpcStatus::new(GrpcCode::Unavailable, "").with_retry_after(Some(Duration::ZERO));
        assert_eq!(GrpcStatus::from_proto(&status.to_proto()), Some(status));
    }

    #[test]
    fn damaged_details_leave_the_status() {
        let mut headers = HeaderMap::new();
        headers.insert(STATUS, HeaderValue::from_static("14"));
        headers.insert(DETAILS, HeaderValue::from_static("CAgS//=="));
        let status = GrpcStatus::read(&headers).unwrap();
        assert_eq!(
            (status.code, status.retry_after),
            (GrpcCode::Unavailable, None)
        );
        assert_eq!(GrpcStatus::read(&HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn statuses_survive_trailers(
            code in 0_u32..17, message in "\\PC{0,50}", after in proptest::option::of(0_u64..1 << 40),
        ) {
            let status = GrpcStatus::new(GrpcCode::from_number(code), message)
                .with_retry_after(after.map(Duration::from_nanos));
            let mut headers = HeaderMap::new();
            status.write(&mut headers);
            prop_assert_eq!(GrpcStatus::read(&headers), Some(status));
        }

        #[test]
        fn any_bytes_are_a_status_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(status) = GrpcStatus::from_proto(&bytes) {
                prop_assert_eq!(GrpcStatus::from_proto(&status.to_proto()), Some(status));
            }
        }
    }
}
