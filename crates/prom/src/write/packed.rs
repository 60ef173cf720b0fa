//! A request of protocol 1.0 that is compressed while it is written: label bytes go straight into the
//! input of snappy, a piece at a time, so that a body of megabytes is never held uncompressed.

use weir_model::wire;

use super::{MetadataV1, Sample, SeriesV1, TooLarge, type_number};

/// Bytes compressed at a time. Snappy looks for repetitions within blocks of this size, so that the
/// result is as small as that of the whole at once.
const PIECE: usize = 64 << 10;

/// Room before the compressed bytes, for the length of the whole.
const HEADER: usize = 10;

/// A snappy block, compressed in pieces.
#[derive(Debug)]
struct Pieces {
    encoder: snap::raw::Encoder,
    piece: Vec<u8>,
    out: Vec<u8>,
    /// Where the compressed bytes end.
    end: usize,
    /// Uncompressed bytes of the pieces before.
    total: usize,
}

impl Default for Pieces {
    fn default() -> Self {
        Self {
            encoder: snap::raw::Encoder::new(),
            piece: Vec::new(),
            out: Vec::new(),
            end: HEADER,
            total: 0,
        }
    }
}

impl Pieces {
    fn clear(&mut self) {
        self.piece.clear();
        self.end = HEADER;
        self.total = 0;
    }

    /// Makes place for an addition of this size.
    #[inline]
    fn reserve(&mut self, more: usize) -> Result<(), TooLarge> {
        if self.piece.len() + more > PIECE {
            self.compress()?;
        }
        Ok(())
    }

    /// Compresses the piece. Its own length, which a block begins with, is not kept: what follows
    /// it is the same in a block of the whole.
    #[inline(never)]
    fn compress(&mut self) -> Result<(), TooLarge> {
        let length = self.piece.len();
        if length == 0 {
            return Ok(());
        }
        let bound = snap::raw::max_compress_len(length);
        if bound == 0 {
            return Err(TooLarge);
        }
        let header = wire::varint_len(length as u64);
        let start = self.end - header;
        if self.out.len() < self.end + bound {
            self.out.resize(self.end + bound, 0);
        }
        let mut before = [0; HEADER];
        let (Some(kept), Some(room)) = (before.get_mut(..header), self.out.get_mut(start..)) else {
            return Err(TooLarge);
        };
        kept.copy_from_slice(room.get(..header).ok_or(TooLarge)?);
        let written = self
            .encoder
            .compress(&self.piece, room)
            .map_err(|_| TooLarge)?;
        room.get_mut(..header)
            .ok_or(TooLarge)?
            .copy_from_slice(kept);
        self.end = start + written;
        self.total += length;
        self.piece.clear();
        Ok(())
    }

    /// The whole block.
    fn finish(&mut self) -> Result<&[u8], TooLarge> {
        self.compress()?;
        let mut header = Vec::with_capacity(HEADER);
        wire::put_varint(&mut header, self.total as u64);
        if u32::try_from(self.total).is_err() {
            return Err(TooLarge);
        }
        if self.out.len() < HEADER {
            self.out.resize(HEADER, 0);
        }
        let start = HEADER - header.len();
        let place = self.out.get_mut(start..HEADER).ok_or(TooLarge)?;
        place.copy_from_slice(&header);
        self.out.get(start..self.end).ok_or(TooLarge)
    }
}

/// A request under construction, up to a size.
#[derive(Debug, Default)]
pub struct PackedV1 {
    pieces: Pieces,
    /// Sizes of the messages so far, without what stands round them: what the limit counts.
    size: usize,
    limit: usize,
    scratch: Vec<u8>,
    /// Something did not fit into a block of snappy, which ends at 4 GiB.
    too_large: bool,
}

/// Whether something was added to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Fit {
    /// It was.
    Added,
    /// It belongs into the next request: this one would reach its limit.
    Full,
}

impl PackedV1 {
    /// Starts a request that is closed before its messages reach `limit` bytes; one message alone
    /// may be larger.
    pub fn begin(&mut self, limit: usize) {
        self.pieces.clear();
        self.size = 0;
        self.limit = limit;
        self.too_large = false;
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.total == 0 && self.pieces.piece.is_empty()
    }

    /// Whether a message of this size may be added; counts it.
    #[inline]
    fn admit(&mut self, message: usize) -> Fit {
        if self.size > 0 && self.size + message >= self.limit {
            return Fit::Full;
        }
        self.size += message;
        let more = 1 + wire::varint_len(message as u64) + message;
        if self.pieces.reserve(more).is_err() {
            self.too_large = true;
        }
        Fit::Added
    }

    /// Adds a series with one sample: what nearly all of them are. `labels` come from
    /// [`push_label`](super::push_label).
    #[inline]
    pub fn push_sample(&mut self, labels: &[u8], sample: Sample) -> Fit {
        let (tail, length) = sample_field(sample);
        let message = labels.len() + length;
        if self.admit(message) == Fit::Full {
            return Fit::Full;
        }
        let out = &mut self.pieces.piece;
        wire::put_key(out, 1, wire::LEN);
        wire::put_varint(out, message as u64);
        out.extend_from_slice(labels);
        out.extend_from_slice(tail.get(..length).unwrap_or_default());
        Fit::Added
    }

    /// Adds a series with what `write` adds to it.
    pub fn push_series(&mut self, labels: &[u8], write: impl FnOnce(&mut SeriesV1<'_>)) -> Fit {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(labels);
        write(&mut SeriesV1 { out: &mut scratch });
        let fit = self.push(1, &scratch);
        self.scratch = scratch;
        fit
    }

    /// Adds a description of a metric.
    pub fn push_metadata(&mut self, metadata: &MetadataV1<'_>) -> Fit {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        wire::put_uint(&mut scratch, 1, type_number(metadata.kind));
        wire::put_bytes(&mut scratch, 2, metadata.name.as_bytes());
        wire::put_bytes(&mut scratch, 4, metadata.help.as_bytes());
        wire::put_bytes(&mut scratch, 5, metadata.unit.as_bytes());
        let fit = self.push(3, &scratch);
        self.scratch = scratch;
        fit
    }

    fn push(&mut self, field: u32, message: &[u8]) -> Fit {
        if self.admit(message.len()) == Fit::Full {
            return Fit::Full;
        }
        wire::put_bytes_always(&mut self.pieces.piece, field, message);
        Fit::Added
    }

    /// The compressed request.
    ///
    /// # Errors
    /// If the body has more than 4 GiB.
    pub fn finish(&mut self) -> Result<&[u8], TooLarge> {
        if self.too_large {
            return Err(TooLarge);
        }
        self.pieces.finish()
    }
}

/// Field 2 of a series: a sample. Value and time are left out if they are zero.
#[inline]
fn sample_field(sample: Sample) -> ([u8; 24], usize) {
    let mut field = [0_u8; 24];
    let mut at = 2;
    let bits = sample.value.to_bits();
    if bits != 0 {
        field[at] = 0x09;
        field[at + 1..at + 9].copy_from_slice(&bits.to_le_bytes());
        at += 9;
    }
    let mut time = sample.timestamp_ms.cast_unsigned();
    if time != 0 {
        field[at] = 0x10;
        at += 1;
        while time >= 0x80 {
            field[at] = (time & 0x7F) as u8 | 0x80;
            time >>= 7;
            at += 1;
        }
        field[at] = time as u8;
        at += 1;
    }
    field[0] = 0x12;
    field[1] = (at - 2) as u8;
    (field, at)
}
