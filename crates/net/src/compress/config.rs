//! The configuration of compression in clients: `compression` and `compression_params`.

use serde::{Deserialize, Serialize};

use super::{Encoder, Encoding};

/// How a client compresses its request bodies (spec otlp-and-helpers 2.1).
///
/// `none` and the empty string both mean no compression and no `Content-Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Compression(pub Option<Encoding>);

impl Compression {
    /// No compression.
    pub const NONE: Compression = Compression(None);
    /// The default of most exporters.
    pub const GZIP: Compression = Compression(Some(Encoding::Gzip));
    /// One Snappy block, as remote write wants it.
    pub const SNAPPY: Compression = Compression(Some(Encoding::Snappy));

    /// The encoder for this choice; `None` when bodies go out as they are.
    ///
    /// # Errors
    /// A level that the encoding does not have.
    pub fn encoder(self, params: CompressionParams) -> Result<Option<Encoder>, String> {
        self.0
            .map(|encoding| Encoder::new(encoding, params.level))
            .transpose()
    }
}

impl TryFrom<String> for Compression {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name.is_empty() || name == "none" {
            return Ok(Compression::NONE);
        }
        Encoding::from_name(&name)
            .map(|e| Compression(Some(e)))
            .ok_or_else(|| {
                let known = Encoding::ALL.map(Encoding::name).join(", ");
                format!("unsupported compression type {name:?}, use one of: {known}, none")
            })
    }
}

impl From<Compression> for String {
    fn from(compression: Compression) -> String {
        compression.0.map_or("none", Encoding::name).to_owned()
    }
}

/// `compression_params`: 0 is the default level of the chosen encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompressionParams {
    /// -2 to 9 for gzip, zlib and deflate, 1 to 22 for zstd; other encodings have none.
    pub level: i32,
}
