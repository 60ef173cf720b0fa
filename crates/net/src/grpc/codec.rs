//! The five-byte frame around each message: a flag for compression and the length.

use http::{HeaderMap, HeaderName};

use super::status::{GrpcCode, GrpcStatus};
use crate::compress::Encoding;

/// Bytes before each message.
pub(crate) const PREFIX: usize = 5;

pub(super) const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
pub(super) const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// What this program can decode.
pub(super) const ACCEPTED: &str = "identity,gzip,snappy,zstd";

/// The declared length and whether the message is compressed; `None` before five bytes are there.
pub(crate) fn frame_length(bytes: &[u8]) -> Option<(bool, usize)> {
    let [flag, length @ ..] = *bytes.first_chunk::<PREFIX>()?;
    Some((flag != 0, u32::from_be_bytes(length) as usize))
}

/// The encoding named in the headers; `None` is identity.
///
/// Under the name `snappy` gRPC libraries write the framed format.
///
/// # Errors
/// `Unimplemented` for an encoding that is not known, as the protocol says.
pub(crate) fn accepted_encoding(headers: &HeaderMap) -> Result<Option<Encoding>, GrpcStatus> {
    let Some(name) = headers.get(ENCODING) else {
        return Ok(None);
    };
    match name.as_bytes() {
        b"identity" => Ok(None),
        b"gzip" => Ok(Some(Encoding::Gzip)),
        b"zstd" => Ok(Some(Encoding::Zstd)),
        b"snappy" => Ok(Some(Encoding::Snappy)),
        other => {
            let name: String = String::from_utf8_lossy(other).chars().take(100).collect();
            Err(GrpcStatus::new(
                GrpcCode::Unimplemented,
                format!("grpc-encoding {name} is not supported, use one of {ACCEPTED}"),
            ))
        }
    }
}
