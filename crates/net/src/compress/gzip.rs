//! Inflating readers (gzip with any number of members, zlib) over a decoder state that is reused.

use std::io::{self, Read};

use flate2::{Crc, Decompress, FlushDecompress, Status};

/// The container around the deflate stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Gzip,
    Zlib,
}

/// Reads the decompressed bytes of `input`; checks checksums and lengths.
pub(super) struct InflateReader<'a> {
    input: &'a [u8],
    inflate: &'a mut Decompress,
    container: Container,
    /// Whether a deflate stream is open; false before each gzip member and at the end.
    open: bool,
    members: usize,
    crc: Crc,
}

impl<'a> InflateReader<'a> {
    /// `inflate` must have been made for the same container (raw for gzip, with header for zlib).
    pub(super) fn new(input: &'a [u8], container: Container, inflate: &'a mut Decompress) -> Self {
        inflate.reset(container == Container::Zlib);
        let open = container == Container::Zlib;
        InflateReader {
            input,
            inflate,
            container,
            open,
            members: 0,
            crc: Crc::new(),
        }
    }

    fn next_member(&mut self) -> io::Result<()> {
        self.input = skip_gzip_header(self.input)?;
        self.inflate.reset(false);
        self.crc.reset();
        self.members += 1;
        self.open = true;
        Ok(())
    }

    fn end_of_stream(&mut self) -> io::Result<()> {
        self.open = false;
        if self.container == Container::Zlib {
            self.input = &[];
            return Ok(());
        }
        let Some((trailer, rest)) = self.input.split_first_chunk::<8>() else {
            return Err(truncated());
        };
        let [c0, c1, c2, c3, l0, l1, l2, l3] = *trailer;
        self.input = rest;
        if u32::from_le_bytes([c0, c1, c2, c3]) != self.crc.sum()
            || u32::from_le_bytes([l0, l1, l2, l3]) != self.crc.amount()
        {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "wrong checksum"));
        }
        Ok(())
    }
}

impl Read for InflateReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.open {
                if self.input.is_empty() && (self.members > 0 || self.container == Container::Zlib)
                {
                    return Ok(0);
                }
                self.next_member()?;
            }
            let (in_before, out_before) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(self.input, out, FlushDecompress::None)
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
            let consumed = usize::try_from(self.inflate.total_in() - in_before).unwrap_or(0);
            let produced = usize::try_from(self.inflate.total_out() - out_before).unwrap_or(0);
            self.input = self.input.get(consumed..).unwrap_or_default();
            if self.container == Container::Gzip {
                self.crc.update(out.get(..produced).unwrap_or_default());
            }
            match status {
                Status::StreamEnd => self.end_of_stream()?,
                Status::Ok | Status::BufError if consumed == 0 && produced == 0 => {
                    return Err(truncated());
                }
                Status::Ok | Status::BufError => {}
            }
            if produced > 0 {
                return Ok(produced);
            }
        }
    }
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "unexpected end of data")
}

/// Skips one member header (RFC 1952 2.3).
fn skip_gzip_header(input: &[u8]) -> io::Result<&[u8]> {
    const HEADER_CRC: u8 = 1 << 1;
    const EXTRA: u8 = 1 << 2;
    const NAME: u8 = 1 << 3;
    const COMMENT: u8 = 1 << 4;
    const RESERVED: u8 = 0xe0;

    let (head, mut rest) = input.split_first_chunk::<10>().ok_or_else(truncated)?;
    let [magic0, magic1, method, flags, ..] = *head;
    if (magic0, magic1, method) != (0x1f, 0x8b, 8) || flags & RESERVED != 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "invalid gzip header",
        ));
    }
    if flags & EXTRA != 0 {
        let (len, after) = rest.split_first_chunk::<2>().ok_or_else(truncated)?;
        rest = after
            .get(usize::from(u16::from_le_bytes(*len))..)
            .ok_or_else(truncated)?;
    }
    for flag in [NAME, COMMENT] {
        if flags & flag != 0 {
            let end = rest.iter().position(|&b| b == 0).ok_or_else(truncated)?;
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }
    if flags & HEADER_CRC != 0 {
        rest = rest.get(2..).ok_or_else(truncated)?;
    }
    Ok(rest)
}

/// The length that the last member claims, modulo 2^32: a hint, never to be trusted.
pub(super) fn gzip_length_hint(input: &[u8]) -> usize {
    input
        .last_chunk::<4>()
        .map_or(0, |len| u32::from_le_bytes(*len) as usize)
}
