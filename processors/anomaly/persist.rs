//! What survives a restart: all states in one file of the data directory.
//!
//! `anomaly-<id>.state`, in the format of `weir_detect::ArchiveWriter`. It is written beside its
//! place and renamed into it, so that a crash leaves the file before or the new one, never half of
//! either.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use weir_detect::histogram::Distribution;
use weir_detect::{ArchivedSeries, Rate, SnapshotError, State};
use weir_observe::{Buckets, Input, Role};

use super::series::{Stream, Tracked};

/// Version of what is kept per series.
const VERSION: u8 = 1;
/// Larger files are not read.
const LARGEST_FILE: u64 = 8 << 30;

/// Appends a series' input and streams.
pub(super) fn encode(tracked: &Tracked, out: &mut Vec<u8>) {
    out.push(VERSION);
    match &tracked.input {
        Input::Gauge => out.push(0),
        Input::Cumulative(rate) => {
            out.push(1);
            rate.encode(out);
        }
        Input::Delta(rate) => {
            out.push(2);
            rate.encode(out);
        }
        Input::CumulativeDistribution(both) => {
            let (distribution, buckets) = &**both;
            out.push(3);
            distribution.encode(out);
            buckets.encode(out);
        }
        Input::DeltaDistribution(distribution) => {
            out.push(4);
            distribution.encode(out);
        }
        Input::Summary => out.push(5),
    }
    out.push(u8::try_from(tracked.streams.len()).unwrap_or(u8::MAX));
    for stream in tracked.streams.iter().take(usize::from(u8::MAX)) {
        let (code, quantile) = match stream.role() {
            Role::Value => (0, 0.0),
            Role::Rate => (1, 0.0),
            Role::Count => (2, 0.0),
            Role::Mean => (3, 0.0),
            Role::Quantile(quantile) => (4, quantile),
        };
        out.push(code);
        out.extend_from_slice(&f64::to_le_bytes(quantile));
        out.extend_from_slice(&stream.alarm_since_ns().to_le_bytes());
        out.push(stream.breaches);
        stream.state.encode(out);
    }
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(bytes: &[u8], name: &str) -> Result<Tracked, SnapshotError> {
    let short = SnapshotError::Short(bytes.len());
    let (version, rest) = bytes.split_first().ok_or(short)?;
    if *version != VERSION {
        return Err(SnapshotError::Version { found: *version });
    }
    let (kind, rest) = rest.split_first().ok_or(short)?;
    let (input, rest) = match kind {
        0 => (Input::Gauge, rest),
        1 => Rate::decode(rest).map(|(rate, rest)| (Input::Cumulative(rate), rest))?,
        2 => Rate::decode(rest).map(|(rate, rest)| (Input::Delta(rate), rest))?,
        3 => {
            let (distribution, rest) = Distribution::decode(rest)?;
            let (buckets, rest) = Buckets::decode(rest).ok_or(short)?;
            (Input::CumulativeDistribution(Box::new((distribution, buckets))), rest)
        }
        4 => {
            let (distribution, rest) = Distribution::decode(rest)?;
            (Input::DeltaDistribution(Box::new(distribution)), rest)
        }
        5 => (Input::Summary, rest),
        _ => return Err(SnapshotError::Damaged(1)),
    };
    let (count, mut rest) = rest.split_first().ok_or(short)?;
    let mut streams = Vec::with_capacity(usize::from(*count).min(super::MAX_STREAMS));
    for _ in 0..usize::from(*count).min(super::MAX_STREAMS) {
        let (stream, after) = decode_stream(rest)?;
        streams.push(stream);
        rest = after;
    }
    Ok(Tracked { name: name.into(), input, streams: streams.into() })
}

fn decode_stream(bytes: &[u8]) -> Result<(Stream, &[u8]), SnapshotError> {
    let short = SnapshotError::Short(bytes.len());
    let (code, rest) = bytes.split_first().ok_or(short)?;
    let (quantile, rest) = rest.split_first_chunk::<8>().ok_or(short)?;
    let (since, rest) = rest.split_first_chunk::<8>().ok_or(short)?;
    let (breaches, rest) = rest.split_first().ok_or(short)?;
    let role = match code {
        0 => Role::Value,
        1 => Role::Rate,
        2 => Role::Count,
        3 => Role::Mean,
        4 => Role::Quantile(f64::from_le_bytes(*quantile)),
        _ => return Err(SnapshotError::Damaged(0)),
    };
    let (state, rest) = State::decode(rest)?;
    let mut stream = Stream::new(role, state);
    stream.alarm_began(i64::from_le_bytes(*since));
    stream.breaches = *breaches;
    Ok((stream, rest))
}

/// The file of an instance.
pub(super) fn path(folder: &Path, id: &str) -> PathBuf {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let id: String = id.chars().map(safe).collect();
    folder.join(format!("{id}.state"))
}

/// Writes the pieces to a file beside `path`, makes sure that they are on the disk, and renames it.
pub(super) fn write(
    path: &Path,
    pieces: impl Iterator<Item = Vec<u8>>,
) -> io::Result<u64> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension("state.new");
    let mut file = File::create(&beside)?;
    let mut written = 0;
    for piece in pieces {
        file.write_all(&piece)?;
        written += piece.len() as u64;
    }
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)?;
    if let Some(folder) = path.parent() {
        // the rename itself is on the disk once the folder is; not every file system can do that
        if let Ok(folder) = File::open(folder) {
            drop(folder.sync_all());
        }
    }
    Ok(written)
}

/// The bytes of the file; `None` if there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Puts a file that cannot be read out of the way, under a name that says so; the new name.
pub(super) fn set_aside(path: &Path, now_s: u64) -> io::Result<PathBuf> {
    let aside = path.with_extension(format!("state.damaged-{now_s}"));
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// What `weir state inspect` shows of one series: a line per observation.
///
/// # Errors
/// When the payload is not what this component writes.
pub fn describe(series: &ArchivedSeries<'_>) -> Result<Vec<String>, SnapshotError> {
    let tracked = decode(series.payload, series.name)?;
    let line = |stream: &Stream| {
        let l = stream.state.learned();
        format!(
            "{:016x} {} {}: {} after {} samples in {:.1} h, every {:.0} s; level {:.6}, \
             band +-{:.6} (fast) +-{:.6} (season), day {:.6}; alarms lately {:.1}{}; {} bytes",
            series.key,
            if series.name.is_empty() { "?" } else { series.name },
            stream.role().observation(),
            l.ready.as_str(),
            l.samples,
            l.age_s / 3600.0,
            l.interval_s,
            l.level,
            l.fast_half_width,
            l.seasonal_half_width,
            l.season_range,
            l.recent_alarms,
            if l.in_alarm { ", in alarm" } else { "" },
            stream.state.size(),
        )
    };
    Ok(tracked.streams.iter().map(line).collect())
}
