//! The log on disk (`wal`): encoded requests are written there before the sender's answer, and
//! deleted when they are delivered (specification section 7).
//!
//! A folder of segments, `<number>.wal`, each a sequence of records: length and checksum (4 bytes
//! each, little endian), then the requests of a batch. `cursor` holds segment and offset of the
//! first record that is not delivered. What a kill leaves half written at the end is cut off;
//! records after the cursor are sent again, in order. Whatever was delivered since the cursor was
//! written is sent twice, which a store takes as any repeated sample.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::Requests;
use super::pack::{Counts, Packed};

/// A segment is closed at this size.
const SEGMENT_BYTES: u64 = if cfg!(test) { 8 << 10 } else { 16 << 20 };
/// Length and checksum before each record.
const HEADER: usize = 8;
/// No record is larger: it would be that of a damaged length.
const MAX_RECORD: usize = 1 << 30;
const CURSOR: &str = "cursor";

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    segment: u64,
    offset: u64,
    length: usize,
}

impl Place {
    /// Bytes of the record.
    pub(crate) fn length(self) -> u64 {
        self.length as u64
    }
}

#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: u64,
}

/// The log of one exporter.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    segments: VecDeque<Segment>,
    writer: Option<File>,
    max_bytes: u64,
    /// Bytes that could not be read at the start.
    pub(crate) damaged: u64,
}

/// A batch that was not delivered when the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) place: Place,
    pub(crate) items: usize,
}

impl Log {
    /// Opens the folder; returns what was left in it, in order.
    pub(crate) fn open(folder: &Path, max_bytes: u64) -> io::Result<(Self, Vec<Left>)> {
        fs::create_dir_all(folder)?;
        let mut numbers: Vec<u64> = fs::read_dir(folder)?
            .filter_map(|entry| {
                let name = entry.ok()?.file_name();
                name.to_str()?.strip_suffix(".wal")?.parse().ok()
            })
            .collect();
        numbers.sort_unstable();
        let mut log = Self {
            folder: folder.to_owned(),
            segments: VecDeque::new(),
            writer: None,
            max_bytes,
            damaged: 0,
        };
        let (first, from) = log.read_cursor();
        let mut left = Vec::new();
        for number in numbers {
            if number < first {
                fs::remove_file(log.path(number))?;
                continue;
            }
            let from = if number == first { from } else { 0 };
            let bytes = log.scan(number, from, &mut left)?;
            log.segments.push_back(Segment { number, bytes });
        }
        Ok((log, left))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:012}.wal"))
    }

    fn read_cursor(&self) -> (u64, u64) {
        let text = fs::read_to_string(self.folder.join(CURSOR)).unwrap_or_default();
        let mut numbers = text.split_whitespace().map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(segment)), Some(Ok(offset))) => (segment, offset),
            _ => (0, 0),
        }
    }

    /// Finds the records of a segment; cuts off what is damaged.
    fn scan(&mut self, number: u64, from: u64, left: &mut Vec<Left>) -> io::Result<u64> {
        let path = self.path(number);
        let content = fs::read(&path)?;
        let mut at = usize::try_from(from).unwrap_or(usize::MAX).min(content.len());
        while let Some(rest) = content.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(record) = whole_record(rest) else {
                self.damaged += rest.len() as u64;
                OpenOptions::new().write(true).open(&path)?.set_len(at as u64)?;
                break;
            };
            let items = decode(record).map_or(0, |requests| requests.items());
            let place = Place {
                segment: number,
                offset: at as u64,
                length: HEADER + record.len(),
            };
            left.push(Left { place, items });
            at += HEADER + record.len();
        }
        Ok(at as u64)
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Writes requests; `None` if there is no room.
    pub(crate) fn append(&mut self, requests: &Requests) -> io::Result<Option<Place>> {
        let body = encode(requests);
        let mut record = Vec::with_capacity(HEADER + body.len());
        record.extend_from_slice(&u32::try_from(body.len()).map_err(too_large)?.to_le_bytes());
        record.extend_from_slice(&checksum(&body).to_le_bytes());
        record.extend_from_slice(&body);
        if self.bytes() + record.len() as u64 > self.max_bytes {
            return Ok(None);
        }
        let full = self.segments.back().is_none_or(|last| last.bytes >= SEGMENT_BYTES);
        if full || self.writer.is_none() {
            // Never that of the cursor, whose offset is not one of a new segment.
            let last = self.segments.back().map(|last| last.number);
            let number = last.unwrap_or_else(|| self.read_cursor().0) + 1;
            let file = OpenOptions::new().create_new(true).append(true).open(self.path(number))?;
            self.writer = Some(file);
            self.segments.push_back(Segment { number, bytes: 0 });
        }
        let (Some(file), Some(segment)) = (&mut self.writer, self.segments.back_mut()) else {
            return Ok(None);
        };
        if let Err(error) = file.write_all(&record) {
            // What was written of it must not stand before the next record.
            drop(file.set_len(segment.bytes));
            return Err(error);
        }
        let place = Place {
            segment: segment.number,
            offset: segment.bytes,
            length: record.len(),
        };
        segment.bytes += record.len() as u64;
        Ok(Some(place))
    }

    /// Reads requests back.
    pub(crate) fn read(&self, place: Place) -> io::Result<Requests> {
        let mut file = File::open(self.path(place.segment))?;
        file.seek(SeekFrom::Start(place.offset))?;
        let mut record = vec![0; place.length];
        file.read_exact(&mut record)?;
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a record is damaged");
        decode(whole_record(&record).ok_or_else(damaged)?).ok_or_else(damaged)
    }

    /// All up to this record is delivered, or lost for good.
    pub(crate) fn done(&mut self, place: Place) -> io::Result<()> {
        let end = place.offset + place.length as u64;
        let path = self.folder.join(CURSOR);
        let new = self.folder.join("cursor.new");
        fs::write(&new, format!("{} {end}\n", place.segment))?;
        fs::rename(&new, path)?;
        while let Some(first) = self.segments.front() {
            let written = self.segments.len() == 1 && self.writer.is_some();
            let over = first.number == place.segment && end >= first.bytes;
            if first.number > place.segment || (first.number == place.segment && !over) {
                break;
            }
            if written {
                // The one that is written to: over when it is long enough not to make one a batch.
                if first.bytes < SEGMENT_BYTES {
                    break;
                }
                self.writer = None;
            }
            fs::remove_file(self.path(first.number))?;
            self.segments.pop_front();
        }
        Ok(())
    }
}

fn too_large(_: std::num::TryFromIntError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a batch of more than 4 GiB")
}

/// The record at the front, if it is whole.
fn whole_record(bytes: &[u8]) -> Option<&[u8]> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (length, sum) = (usize::try_from(number(0)?).ok()?, number(4)?);
    if length > MAX_RECORD {
        return None;
    }
    let record = bytes.get(HEADER..HEADER + length)?;
    (checksum(record) == sum).then_some(record)
}

/// CRC-32 (ISO 3309), bit by bit over a table of nibbles.
fn checksum(bytes: &[u8]) -> u32 {
    const NIBBLES: [u32; 16] = [
        0x0000_0000, 0x1DB7_1064, 0x3B6E_20C8, 0x26D9_30AC, 0x76DC_4190, 0x6B6B_51F4, 0x4DB2_6158,
        0x5005_713C, 0xEDB8_8320, 0xF00F_9344, 0xD6D6_A3E8, 0xCB61_B38C, 0x9B64_C2B0, 0x86D3_D2D4,
        0xA00A_E278, 0xBDBD_F21C,
    ];
    let step = |sum: u32, nibble: u8| {
        let at = usize::from((sum as u8 ^ nibble) & 0x0F);
        NIBBLES.get(at).copied().unwrap_or(0) ^ (sum >> 4)
    };
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| step(step(sum, *byte), *byte >> 4));
    !sum
}

fn encode(requests: &Requests) -> Vec<u8> {
    let mut out = vec![u8::from(requests.v2)];
    for (metadata, list) in [(false, &requests.series), (true, &requests.metadata)] {
        for packed in list {
            out.push(u8::from(metadata));
            let counts = packed.counts;
            for number in [
                counts.items as u64,
                counts.series,
                counts.samples,
                counts.histograms,
                counts.exemplars,
                packed.body.len() as u64,
            ] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            out.extend_from_slice(&packed.body);
        }
    }
    out
}

fn decode(record: &[u8]) -> Option<Requests> {
    let (v2, mut rest) = record.split_first()?;
    let mut requests = Requests {
        v2: *v2 != 0,
        series: Vec::new(),
        metadata: Vec::new(),
    };
    while let Some((metadata, after)) = rest.split_first() {
        let number = |at: usize| {
            let bytes = after.get(at * 8..at * 8 + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let counts = Counts {
            items: usize::try_from(number(0)?).ok()?,
            series: number(1)?,
            samples: number(2)?,
            histograms: number(3)?,
            exemplars: number(4)?,
        };
        let length = usize::try_from(number(5)?).ok()?;
        let body = after.get(48..)?.get(..length)?;
        let packed = Packed {
            body: Bytes::copy_from_slice(body),
            counts,
        };
        if *metadata == 0 {
            requests.series.push(packed);
        } else {
            requests.metadata.push(packed);
        }
        rest = after.get(48 + length..)?;
    }
    Some(requests)
}
