//! States of many series in one file: versioned and checksummed.
//!
//! Little-endian: `WEIRSTAT`, version (u32), reserved (u32), then per series its key (u64), the
//! length of its name and of its payload (u32 each), both as bytes; at the end the count of series
//! (u64) and a checksum over all before (u64). What the payload holds is the writer's business.

use crate::SnapshotError;

const MAGIC: &[u8; 8] = b"WEIRSTAT";
const VERSION: u32 = 1;
const HEADER: usize = 16;
const TRAILER: usize = 16;

/// Checksum of a file, fed in pieces of any length: 8 bytes at a time, multiplied and rotated. Finds
/// damage; it is no protection against an attacker.
#[derive(Clone, Debug)]
struct Checksum {
    state: u64,
    rest: [u8; 8],
    held: usize,
}

impl Checksum {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

    fn new() -> Self {
        Self {
            state: 0x5745_4952,
            rest: [0; 8],
            held: 0,
        }
    }

    fn word(&mut self, word: [u8; 8]) {
        let mixed = (self.state ^ u64::from_le_bytes(word)).wrapping_mul(Self::FACTOR);
        self.state = mixed ^ (mixed >> 29);
    }

    fn add(&mut self, mut bytes: &[u8]) {
        while self.held > 0 {
            let Some((first, others)) = bytes.split_first() else {
                return;
            };
            if let Some(place) = self.rest.get_mut(self.held) {
                *place = *first;
            }
            self.held = (self.held + 1) % 8;
            bytes = others;
            if self.held == 0 {
                self.word(self.rest);
            }
        }
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(*word);
        }
        for (place, byte) in self.rest.iter_mut().zip(rest) {
            *place = *byte;
        }
        self.held = rest.len();
    }

    fn finish(mut self) -> u64 {
        let held = self.held;
        self.rest.iter_mut().skip(held).for_each(|b| *b = 0);
        self.word(self.rest);
        self.word((held as u64).to_le_bytes());
        self.state
    }
}

/// Writes an archive piece by piece, so that no more than one piece is in memory.
#[derive(Debug)]
pub struct ArchiveWriter {
    pending: Vec<u8>,
    checksum: Checksum,
    count: u64,
}

impl Default for ArchiveWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl ArchiveWriter {
    /// An archive without series.
    #[must_use]
    pub fn new() -> Self {
        let mut pending = MAGIC.to_vec();
        pending.extend_from_slice(&VERSION.to_le_bytes());
        pending.extend_from_slice(&[0; 4]);
        Self {
            pending,
            checksum: Checksum::new(),
            count: 0,
        }
    }

    /// Adds a series; `payload` appends what is kept of it.
    pub fn series(&mut self, key: u64, name: &str, payload: impl FnOnce(&mut Vec<u8>)) {
        let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        self.pending.extend_from_slice(&key.to_le_bytes());
        self.pending.extend_from_slice(&length(name.len()));
        let at = self.pending.len();
        self.pending.extend_from_slice(&[0; 4]);
        self.pending.extend_from_slice(name.as_bytes());
        let from = self.pending.len();
        payload(&mut self.pending);
        let written = length(self.pending.len() - from);
        if let Some(place) = self.pending.get_mut(at..at + 4) {
            place.copy_from_slice(&written);
        }
        self.count += 1;
    }

    /// What has been added since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        self.checksum.add(&self.pending);
        std::mem::take(&mut self.pending)
    }

    /// The last piece.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.pending.extend_from_slice(&self.count.to_le_bytes());
        let mut last = self.take();
        last.extend_from_slice(&self.checksum.finish().to_le_bytes());
        last
    }
}

/// One series of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchivedSeries<'a> {
    /// Key of the series.
    pub key: u64,
    /// Its name, for people.
    pub name: &'a str,
    /// What was kept of it.
    pub payload: &'a [u8],
}

/// The series of an archive.
///
/// # Errors
/// When the bytes are no archive, of another version, cut off or changed.
pub fn read_archive(bytes: &[u8]) -> Result<Vec<ArchivedSeries<'_>>, SnapshotError> {
    let short = SnapshotError::Short(bytes.len());
    let header = bytes.get(..HEADER).ok_or(short)?;
    if header.get(..8) != Some(MAGIC.as_slice()) {
        return Err(SnapshotError::Damaged(0));
    }
    let found = u32_at(header, 8).ok_or(short)?;
    if found != VERSION {
        let found = u8::try_from(found).unwrap_or(u8::MAX);
        return Err(SnapshotError::Version { found });
    }
    let end = bytes.len().checked_sub(TRAILER).ok_or(short)?;
    if end < HEADER {
        return Err(short);
    }
    let mut checksum = Checksum::new();
    checksum.add(bytes.get(..end + 8).ok_or(short)?);
    if u64_at(bytes, end + 8) != Some(checksum.finish()) {
        return Err(SnapshotError::Damaged(end + 8));
    }
    let mut all = Vec::new();
    let mut at = HEADER;
    while at < end {
        let one = series_at(bytes.get(..end).ok_or(short)?, &mut at);
        all.push(one.ok_or(SnapshotError::Damaged(at))?);
    }
    if u64_at(bytes, end) == Some(all.len() as u64) {
        Ok(all)
    } else {
        Err(SnapshotError::Damaged(end))
    }
}

fn series_at<'a>(bytes: &'a [u8], at: &mut usize) -> Option<ArchivedSeries<'a>> {
    let key = u64_at(bytes, *at)?;
    let name = u32_at(bytes, *at + 8)? as usize;
    let payload = u32_at(bytes, *at + 12)? as usize;
    let from = *at + 16;
    let text = bytes.get(from..from.checked_add(name)?)?;
    let from = from + name;
    let to = from.checked_add(payload)?;
    let payload = bytes.get(from..to)?;
    *at = to;
    Some(ArchivedSeries {
        key,
        name: std::str::from_utf8(text).ok()?,
        payload,
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let chunk = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn archive(pieces: usize) -> Vec<u8> {
        let mut writer = ArchiveWriter::new();
        let mut bytes = Vec::new();
        for key in 0..7_u64 {
            let name = format!("series {key}");
            writer.series(key, &name, |out| {
                out.extend(vec![key as u8; key as usize * 3]);
            });
            if (key as usize) < pieces {
                bytes.extend(writer.take());
            }
        }
        bytes.extend(writer.finish());
        bytes
    }

    #[test]
    fn what_was_written_is_read_whatever_the_pieces() {
        let whole = archive(0);
        for pieces in 1..8 {
            assert_eq!(archive(pieces), whole);
        }
        let all = read_archive(&whole).unwrap();
        assert_eq!(all.len(), 7);
        assert_eq!((all[3].key, all[3].name), (3, "series 3"));
        assert_eq!(all[3].payload, [3; 9]);
        assert_eq!(read_archive(&ArchiveWriter::new().finish()).unwrap(), []);
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_found() {
        let whole = archive(0);
        for length in 0..whole.len() {
            assert!(read_archive(&whole[..length]).is_err(), "cut at {length}");
        }
        for at in 0..whole.len() {
            // four bytes are reserved and only covered by the checksum, like the rest
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            assert!(read_archive(&changed).is_err(), "changed at {at}");
        }
    }
}
