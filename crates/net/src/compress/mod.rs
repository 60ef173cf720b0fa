//! Content encodings: names, capped decoding, encoding for clients.
//!
//! Everything that arrives compressed passes through [`decode`] (or its async form
//! [`decode_body`]), which never produces more than the given limit and never reserves memory on
//! the word of the sender alone. No other code may open a decompressor.

mod config;
mod decode;
mod encode;
mod gzip;
#[cfg(test)]
mod tests;

pub use config::{Compression, CompressionParams};
pub use decode::{DecodeError, decode, decode_body};
pub use encode::{EncodeError, Encoder, encode_body};

/// A content encoding of HTTP bodies and gRPC messages (spec otlp-and-helpers 1.1, 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// RFC 1950.
    Zlib,
    /// Named `deflate`, but RFC 1950 (zlib) on the wire, as RFC 9110 8.4.1.2 has it.
    Deflate,
    /// One Snappy block; a framed stream under this name is recognised when decoding.
    Snappy,
    /// The framed Snappy stream format.
    SnappyFramed,
    /// The LZ4 frame format.
    Lz4,
}

impl Encoding {
    /// Every encoding, in the order in which the reference lists them.
    pub const ALL: [Encoding; 7] = [
        Encoding::Gzip,
        Encoding::Zstd,
        Encoding::Zlib,
        Encoding::Snappy,
        Encoding::Deflate,
        Encoding::Lz4,
        Encoding::SnappyFramed,
    ];

    /// The name in `Content-Encoding`, `grpc-encoding` and in configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Encoding::Gzip => "gzip",
            Encoding::Zstd => "zstd",
            Encoding::Zlib => "zlib",
            Encoding::Deflate => "deflate",
            Encoding::Snappy => "snappy",
            Encoding::SnappyFramed => "x-snappy-framed",
            Encoding::Lz4 => "lz4",
        }
    }

    /// The encoding of this exact name; names are lower case, as in the reference.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Encoding> {
        Encoding::ALL.into_iter().find(|e| e.name() == name)
    }
}
