//! Encoding of whole bodies, with the compressor state kept per thread.

use std::cell::RefCell;
use std::io::Write;

use bytes::Bytes;
use libdeflater::{CompressionLvl, Compressor};

use super::Encoding;

/// Default deflate level. The reference's default is level 6 of its library; on OTLP payloads this
/// one costs a quarter of zlib's level 6 for an eighth more bytes
/// (docs/decisions/own-transport-and-gzip-level.md).
const DEFLATE_DEFAULT: i32 = 1;
/// Default zstd level, the library's own.
const ZSTD_DEFAULT: i32 = 3;
/// Bodies above this size are compressed on the blocking pool (roughly a millisecond).
const INLINE_INPUT: usize = 256 << 10;

/// An encoding with a level that has been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoder {
    encoding: Encoding,
    level: i32,
}

impl Encoder {
    /// An encoder; `level` 0 stands for the default.
    ///
    /// # Errors
    /// A level that the encoding does not have, with the levels it has.
    pub fn new(encoding: Encoding, level: i32) -> Result<Encoder, String> {
        let (range, default) = match encoding {
            Encoding::Gzip | Encoding::Zlib | Encoding::Deflate => (-2..=9, DEFLATE_DEFAULT),
            Encoding::Zstd => (0..=22, ZSTD_DEFAULT),
            Encoding::Snappy | Encoding::SnappyFramed | Encoding::Lz4 => (0..=0, 0),
        };
        if !range.contains(&level) {
            return Err(format!(
                "unsupported compression type and level {} - {level}, use {} to {}",
                encoding.name(),
                range.start(),
                range.end()
            ));
        }
        // -1 and -2 are the reference's "default" and "Huffman only".
        let level = match level {
            0 | -1 => default,
            -2 => 1,
            level => level,
        };
        Ok(Encoder { encoding, level })
    }

    /// The encoder of an encoding at its default level.
    #[must_use]
    pub fn default_of(encoding: Encoding) -> Encoder {
        let level = match encoding {
            Encoding::Gzip | Encoding::Zlib | Encoding::Deflate => DEFLATE_DEFAULT,
            Encoding::Zstd => ZSTD_DEFAULT,
            Encoding::Snappy | Encoding::SnappyFramed | Encoding::Lz4 => 0,
        };
        Encoder { encoding, level }
    }

    /// What to name in `Content-Encoding`.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Appends the encoded `input` to `out`.
    ///
    /// # Errors
    /// Only what a library reports for lack of memory or for inputs beyond the format's size.
    pub fn encode(&self, input: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self.encoding {
            Encoding::Gzip | Encoding::Zlib | Encoding::Deflate => self.deflate(input, out),
            Encoding::Zstd => self.zstd(input, out),
            Encoding::Snappy => snappy_block(input, out),
            Encoding::SnappyFramed => {
                let mut writer = snap::write::FrameEncoder::new(out);
                writer
                    .write_all(input)
                    .and_then(|()| writer.flush())
                    .map_err(EncodeError::new)?;
                if input.is_empty() {
                    // The library writes the stream identifier with the first data only.
                    writer
                        .get_mut()
                        .extend_from_slice(b"\xff\x06\x00\x00sNaPpY");
                }
                Ok(())
            }
            Encoding::Lz4 => {
                let mut writer = lz4_flex::frame::FrameEncoder::new(out);
                writer.write_all(input).map_err(EncodeError::new)?;
                writer.finish().map(|_| ()).map_err(EncodeError::new)
            }
        }
    }

    fn deflate(&self, input: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let kept = DEFLATE.with(|slot| slot.borrow_mut().take());
        let mut compressor = match kept {
            Some((level, compressor)) if level == self.level => compressor,
            _ => Compressor::new(CompressionLvl::new(self.level).unwrap_or_default()),
        };
        let start = out.len();
        let zlib = self.encoding != Encoding::Gzip;
        let bound = if zlib {
            compressor.zlib_compress_bound(input.len())
        } else {
            compressor.gzip_compress_bound(input.len())
        };
        out.resize(start + bound, 0);
        let target = out.get_mut(start..).unwrap_or_default();
        let written = if zlib {
            compressor.zlib_compress(input, target)
        } else {
            compressor.gzip_compress(input, target)
        };
        DEFLATE.with(|slot| *slot.borrow_mut() = Some((self.level, compressor)));
        out.truncate(start + written.as_ref().map_or(0, |n| *n));
        written.map(|_| ()).map_err(EncodeError::new)
    }

    fn zstd(&self, input: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let kept = ZSTD.with(|slot| slot.borrow_mut().take());
        let mut compressor = match kept {
            Some((level, compressor)) if level == self.level => compressor,
            _ => zstd::bulk::Compressor::new(self.level).map_err(EncodeError::new)?,
        };
        let start = out.len();
        out.resize(start + zstd::zstd_safe::compress_bound(input.len()), 0);
        let written =
            compressor.compress_to_buffer(input, out.get_mut(start..).unwrap_or_default());
        ZSTD.with(|slot| *slot.borrow_mut() = Some((self.level, compressor)));
        out.truncate(start + written.as_ref().map_or(0, |n| *n));
        written.map(|_| ()).map_err(EncodeError::new)
    }
}

fn snappy_block(input: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.resize(start + snap::raw::max_compress_len(input.len()), 0);
    let target = out.get_mut(start..).unwrap_or_default();
    let written = SNAPPY.with(|slot| slot.borrow_mut().compress(input, target));
    out.truncate(start + written.as_ref().map_or(0, |n| *n));
    written.map(|_| ()).map_err(EncodeError::new)
}

thread_local! {
    static DEFLATE: RefCell<Option<(i32, Compressor)>> = const { RefCell::new(None) };
    static ZSTD: RefCell<Option<(i32, zstd::bulk::Compressor<'static>)>> =
        const { RefCell::new(None) };
    static SNAPPY: RefCell<snap::raw::Encoder> = RefCell::new(snap::raw::Encoder::new());
}

/// A library failed to compress.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot compress the body: {0}")]
pub struct EncodeError(String);

impl EncodeError {
    fn new(e: impl std::fmt::Display) -> Self {
        EncodeError(e.to_string())
    }
}

/// [`Encoder::encode`] for request bodies: large ones leave the async threads alone. `reserve`
/// bytes of zeros go before the result, for a prefix to be filled in.
///
/// # Errors
/// As [`Encoder::encode`].
pub async fn encode_body(
    encoder: Encoder,
    body: Bytes,
    reserve: usize,
) -> Result<Vec<u8>, EncodeError> {
    let inline = body.len() <= INLINE_INPUT;
    let work = move || {
        let mut out = vec![0; reserve];
        encoder.encode(&body, &mut out)?;
        out.shrink_to(out.len() + out.len() / 4);
        Ok(out)
    };
    if inline {
        work()
    } else {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(EncodeError::new)?
    }
}
