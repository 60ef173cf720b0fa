//! Capped decoding.
//!
//! Three things keep a small hostile body from filling memory:
//! * the output stops at the limit of the caller, whatever the input says about its length;
//! * memory is reserved in proportion to the input, not to the claimed length;
//! * an output that outgrows its input unusually is first only counted, by one request at a time,
//!   and decoded for good only when it is known to stay within the limit.

use std::cell::RefCell;
use std::io::{self, Read};

use bytes::Bytes;
use flate2::Decompress;
use tokio::sync::Semaphore;
use zstd::zstd_safe::{self, DCtx, InBuffer, OutBuffer};

use super::Encoding;
use super::gzip::{Container, InflateReader, gzip_length_hint};

/// Output up to this many bytes is never suspicious.
const PLAIN_OUTPUT: usize = 1 << 20;
/// Beyond [`PLAIN_OUTPUT`], output of more than this many times the input is counted first.
/// Telemetry rarely passes 40; a bomb of zeros reaches 1,030 with deflate, millions with zstd.
const PLAIN_RATIO: usize = 100;
/// Compressed bodies above this size are decoded on the blocking pool (roughly a millisecond).
const INLINE_INPUT: usize = 128 << 10;
/// Largest zstd window accepted, log2 of bytes: 32 MiB, what the reference's best level writes.
const ZSTD_WINDOW_LOG: u32 = 25;
/// A zstd state that grew beyond this is given back rather than kept for the next body.
const ZSTD_KEEP: usize = 1 << 20;
/// Snappy emits at most 64 bytes for a three-byte element.
const SNAPPY_MAX_RATIO: usize = 22;
/// How the framed Snappy format starts.
const SNAPPY_STREAM_IDENTIFIER: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// Only this many suspicious bodies are counted at a time.
static SUSPICIOUS: Semaphore = Semaphore::const_new(1);

/// Why a compressed body was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The decompressed data is longer than the limit, in bytes.
    #[error("the body is larger than {limit} bytes when decompressed")]
    TooLarge {
        /// The limit that was passed.
        limit: usize,
    },
    /// The data is not valid in its encoding.
    #[error("cannot decompress the body as {encoding}: {why}")]
    Corrupt {
        /// Name of the encoding.
        encoding: &'static str,
        /// What is wrong, in the decoder's words.
        why: String,
    },
}

enum Failure {
    Suspicious,
    TooLarge,
    Corrupt(String),
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Failure::Corrupt(e.to_string())
    }
}

impl Failure {
    fn into_error(self, encoding: Encoding, limit: usize) -> DecodeError {
        match self {
            Failure::TooLarge | Failure::Suspicious => DecodeError::TooLarge { limit },
            Failure::Corrupt(why) => DecodeError::Corrupt {
                encoding: encoding.name(),
                why,
            },
        }
    }
}

/// Decodes `input`; at most `limit` bytes come out.
///
/// # Errors
/// [`DecodeError::TooLarge`] beyond the limit, [`DecodeError::Corrupt`] for damaged, truncated or
/// falsely labelled data.
pub fn decode(encoding: Encoding, input: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    match decode_plain(encoding, input, limit) {
        Err(Failure::Suspicious) => decode_counted(encoding, input, limit),
        other => other,
    }
    .map_err(|f| f.into_error(encoding, limit))
}

/// [`decode`] for request and response bodies: large ones leave the async threads alone, and
/// suspicious ones wait for each other.
///
/// # Errors
/// As [`decode`].
pub async fn decode_body(
    encoding: Encoding,
    body: Bytes,
    limit: usize,
) -> Result<Bytes, DecodeError> {
    let first = if body.len() <= INLINE_INPUT {
        decode_plain(encoding, &body, limit)
    } else {
        let body = body.clone();
        off_thread(move || decode_plain(encoding, &body, limit)).await
    };
    let result = match first {
        Err(Failure::Suspicious) => {
            // The semaphore is never closed, so acquiring cannot fail.
            let _permit = SUSPICIOUS.acquire().await;
            off_thread(move || decode_counted(encoding, &body, limit)).await
        }
        other => other,
    };
    result
        .map(Bytes::from)
        .map_err(|f| f.into_error(encoding, limit))
}

async fn off_thread<F>(work: F) -> Result<Vec<u8>, Failure>
where
    F: FnOnce() -> Result<Vec<u8>, Failure> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(Failure::Corrupt(e.to_string())),
    }
}

fn decode_plain(encoding: Encoding, input: &[u8], limit: usize) -> Result<Vec<u8>, Failure> {
    if encoding == Encoding::Snappy && !input.starts_with(SNAPPY_STREAM_IDENTIFIER) {
        return snappy_block(input, limit);
    }
    let hint = match encoding {
        Encoding::Gzip => gzip_length_hint(input),
        Encoding::Zstd => zstd_length_hint(input),
        _ => 0,
    };
    let suspicious = PLAIN_OUTPUT.max(input.len().saturating_mul(PLAIN_RATIO));
    with_reader(encoding, input, |reader| {
        gather(reader, input.len(), hint, limit, suspicious)
    })
}

/// Counts, and decodes only what is known to fit.
fn decode_counted(encoding: Encoding, input: &[u8], limit: usize) -> Result<Vec<u8>, Failure> {
    let length = with_reader(encoding, input, |reader| count(reader, limit))?;
    with_reader(encoding, input, |reader| {
        let mut out = vec![0; length];
        reader.read_exact(&mut out)?;
        Ok(out)
    })
}

fn count(reader: &mut dyn Read, limit: usize) -> Result<usize, Failure> {
    let mut scratch = vec![0; 64 << 10];
    let mut total = 0_usize;
    loop {
        match reader.read(&mut scratch)? {
            0 => return Ok(total),
            n => total += n,
        }
        if total > limit {
            return Err(Failure::TooLarge);
        }
    }
}

fn gather(
    reader: &mut dyn Read,
    input_len: usize,
    hint: usize,
    limit: usize,
    suspicious: usize,
) -> Result<Vec<u8>, Failure> {
    // The hint is believed as far as an honest ratio goes; one byte more shows the end of data.
    let first = if hint == 0 {
        input_len.saturating_mul(4)
    } else {
        hint.saturating_add(1)
    };
    let cap = limit.saturating_add(1);
    let mut out = vec![0; first.clamp(1024, suspicious).min(cap)];
    let mut filled = 0;
    loop {
        if filled == out.len() {
            if filled > limit {
                return Err(Failure::TooLarge);
            }
            if filled > suspicious {
                return Err(Failure::Suspicious);
            }
            let larger = out
                .len()
                .saturating_mul(2)
                .min(suspicious.saturating_add(1))
                .min(cap);
            out.resize(larger, 0);
        }
        match reader.read(out.get_mut(filled..).unwrap_or_default())? {
            0 => {
                out.truncate(filled);
                return Ok(out);
            }
            n => filled += n,
        }
    }
}

fn snappy_block(input: &[u8], limit: usize) -> Result<Vec<u8>, Failure> {
    let corrupt = |e: snap::Error| Failure::Corrupt(e.to_string());
    let length = snap::raw::decompress_len(input).map_err(corrupt)?;
    if length > limit {
        return Err(Failure::TooLarge);
    }
    if length > input.len().saturating_mul(SNAPPY_MAX_RATIO) {
        let why = format!("declares {length} bytes, more than it can hold");
        return Err(Failure::Corrupt(why));
    }
    let mut out = vec![0; length];
    let n = snap::raw::Decoder::new()
        .decompress(input, &mut out)
        .map_err(corrupt)?;
    out.truncate(n);
    Ok(out)
}

thread_local! {
    /// One inflate state per thread, reused for gzip and zlib.
    static INFLATE: RefCell<Option<Decompress>> = const { RefCell::new(None) };
    static ZSTD: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

fn with_reader<T>(
    encoding: Encoding,
    input: &[u8],
    work: impl FnOnce(&mut dyn Read) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match encoding {
        Encoding::Gzip => with_inflate(input, Container::Gzip, work),
        Encoding::Zlib | Encoding::Deflate => with_inflate(input, Container::Zlib, work),
        Encoding::Zstd => with_zstd(input, work),
        Encoding::Snappy | Encoding::SnappyFramed => {
            work(&mut snap::read::FrameDecoder::new(input))
        }
        Encoding::Lz4 => {
            let input = Watched {
                input,
                starved: false,
            };
            work(&mut Lz4Reader(lz4_flex::frame::FrameDecoder::new(input)))
        }
    }
}

fn with_inflate<T>(
    input: &[u8],
    container: Container,
    work: impl FnOnce(&mut dyn Read) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let kept = INFLATE.with(|slot| slot.borrow_mut().take());
    let mut inflate = kept.unwrap_or_else(|| Decompress::new(false));
    let result = work(&mut InflateReader::new(input, container, &mut inflate));
    INFLATE.with(|slot| *slot.borrow_mut() = Some(inflate));
    result
}

fn with_zstd<T>(
    input: &[u8],
    work: impl FnOnce(&mut dyn Read) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let kept = ZSTD.with(|slot| slot.borrow_mut().take());
    let mut context = match kept {
        Some(context) => context,
        None => {
            let mut context =
                DCtx::try_create().ok_or_else(|| Failure::Corrupt("out of memory".into()))?;
            context
                .set_parameter(zstd_safe::DParameter::WindowLogMax(ZSTD_WINDOW_LOG))
                .map_err(zstd_failure)?;
            context
        }
    };
    let result = work(&mut ZstdReader {
        context: &mut context,
        input,
        open: true,
    });
    let reset = context.reset(zstd_safe::ResetDirective::SessionOnly);
    if reset.is_ok() && context.sizeof() <= ZSTD_KEEP {
        ZSTD.with(|slot| *slot.borrow_mut() = Some(context));
    }
    result
}

fn zstd_failure(code: usize) -> Failure {
    Failure::Corrupt(zstd_safe::get_error_name(code).to_owned())
}

/// The length that the first frame claims, if it does: a hint, never to be trusted.
fn zstd_length_hint(input: &[u8]) -> usize {
    match zstd_safe::get_frame_content_size(input) {
        Ok(Some(n)) => usize::try_from(n).unwrap_or(usize::MAX),
        _ => 0,
    }
}

struct ZstdReader<'a> {
    context: &'a mut DCtx<'static>,
    input: &'a [u8],
    /// A frame is under way, or none has been seen yet.
    open: bool,
}

impl Read for ZstdReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() || (self.input.is_empty() && !self.open) {
            return Ok(0);
        }
        loop {
            let mut source = InBuffer::around(self.input);
            let mut target = OutBuffer::around(&mut *out);
            let missing = self
                .context
                .decompress_stream(&mut target, &mut source)
                .map_err(|code| io::Error::other(zstd_safe::get_error_name(code)))?;
            let (consumed, produced) = (source.pos(), target.pos());
            self.input = self.input.get(consumed..).unwrap_or_default();
            self.open = missing != 0;
            if produced > 0 || (self.input.is_empty() && !self.open) {
                return Ok(produced);
            }
            if consumed == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "unexpected end of data",
                ));
            }
        }
    }
}

/// Frames one after the other. The library takes an input that stops between two blocks for
/// complete, so the input notes when it was asked for more than it has.
struct Lz4Reader<'a>(lz4_flex::frame::FrameDecoder<Watched<'a>>);

struct Watched<'a> {
    input: &'a [u8],
    starved: bool,
}

impl Read for Watched<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.starved |= self.input.is_empty() && !out.is_empty();
        self.input.read(out)
    }
}

impl Read for Lz4Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let produced = self.0.read(out)?;
            let state = self.0.get_ref();
            if produced > 0 || out.is_empty() {
                return Ok(produced);
            }
            if state.starved {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "unexpected end of data",
                ));
            }
            if state.input.is_empty() {
                return Ok(0);
            }
        }
    }
}
