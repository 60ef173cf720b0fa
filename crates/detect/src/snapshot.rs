//! State to bytes and back, so that a restart changes nothing.
//!
//! Little-endian, fixed width, no padding; the first byte is the version. A checksum is the
//! caller's business (one per file, not per series); decoding survives any bytes regardless.

use crate::alarm::Alarm;
use crate::channel::{Fast, Slow, Spread};
use crate::histogram::Distribution;
use crate::pace::Pace;
use crate::rate::Stream;
use crate::recurrence::Recurrence;
use crate::season::{Season, Visit};
use crate::table::{Nibbles, Table};
use crate::tails::{Side, Tails};
use crate::verdict::Kind;
use crate::watch::{Flatline, Jumps, Lasting, Restless};
use crate::{Rate, State};

/// Version of the encoding.
const VERSION: u8 = 3;

/// Why bytes are not a snapshot of a [`State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Written by another version.
    #[error(
        "snapshot version {found}, this program reads version {VERSION}: start learning afresh"
    )]
    Version {
        /// The version byte found.
        found: u8,
    },
    /// The bytes end too early.
    #[error("snapshot ends after {0} bytes: the file was cut off")]
    Short(usize),
    /// A field holds a value no state ever has.
    #[error("snapshot is damaged near byte {0}: the file changed after it was written")]
    Damaged(usize),
}

impl State {
    /// Appends the state to `out`, at most 1.5 KiB.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        self.put(out);
    }

    /// Reads a state from the front of `bytes`; also returns what follows it. A state that is
    /// read back answers every further sample exactly like the one that was written.
    ///
    /// # Errors
    /// See [`SnapshotError`]; nothing else can happen, whatever the bytes.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), SnapshotError> {
        let mut reader = Reader { bytes, at: 0 };
        let found = u8::take(&mut reader)?;
        if found != VERSION {
            return Err(SnapshotError::Version { found });
        }
        let state = Self::take(&mut reader)?;
        Ok((state, bytes.get(reader.at..).unwrap_or_default()))
    }
}

macro_rules! inputs {
    ($($t:ty),*) => {$(
        impl $t {
            /// Appends the state to `out`.
            pub fn encode(&self, out: &mut Vec<u8>) {
                self.put(out);
            }

            /// Reads a state from the front of `bytes`; also returns what follows it.
            ///
            /// # Errors
            /// See [`SnapshotError`].
            pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), SnapshotError> {
                let mut reader = Reader { bytes, at: 0 };
                let value = Self::take(&mut reader)?;
                Ok((value, bytes.get(reader.at..).unwrap_or_default()))
            }
        }
    )*};
}

inputs!(Rate, Distribution);

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A part of the state that can be written and read.
trait Field: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(reader: &mut Reader<'_>) -> Result<Self, SnapshotError>;
}

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let found = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.first_chunk::<N>());
        self.at += N;
        found.copied().ok_or(SnapshotError::Short(self.bytes.len()))
    }

    fn check(&self, holds: bool) -> Result<(), SnapshotError> {
        if holds {
            Ok(())
        } else {
            Err(SnapshotError::Damaged(self.at))
        }
    }
}

macro_rules! numbers {
    ($($t:ty: $holds:expr),* $(,)?) => {$(
        impl Field for $t {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn take(reader: &mut Reader<'_>) -> Result<Self, SnapshotError> {
                let value = Self::from_le_bytes(reader.bytes()?);
                let holds: fn(Self) -> bool = $holds;
                reader.check(holds(value))?;
                Ok(value)
            }
        }
    )*};
}

numbers! {
    u8: |_| true, u16: |_| true, u32: |_| true, u64: |_| true, i16: |_| true, i64: |_| true,
    f32: |v| v.is_finite(),
    f64: |v| v.abs() <= 1e301,
}

impl Field for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(u8::take(reader)? != 0)
    }
}

impl<T: Field + Copy + Default, const N: usize> Field for [T; N] {
    fn put(&self, out: &mut Vec<u8>) {
        for item in self {
            item.put(out);
        }
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut items = [T::default(); N];
        for item in &mut items {
            *item = T::take(reader)?;
        }
        Ok(items)
    }
}

impl<T: Field> Field for Option<Box<T>> {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(inner) = self {
            inner.put(out);
        }
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(if bool::take(reader)? {
            Some(Box::new(T::take(reader)?))
        } else {
            None
        })
    }
}

impl Field for Kind {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let byte = u8::take(reader)?;
        [
            Self::Spike,
            Self::Shift,
            Self::Burst,
            Self::Flat,
            Self::Drift,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
        .ok_or(SnapshotError::Damaged(reader.at))
    }
}

/// Writes and reads a struct field by field; the compiler sees to it that none is forgotten.
macro_rules! fields {
    ($t:ty; $($field:ident),* $(,)?; $check:expr) => {
        impl Field for $t {
            fn put(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($field.put(out);)*
            }
            fn take(reader: &mut Reader<'_>) -> Result<Self, SnapshotError> {
                let value = Self { $($field: Field::take(reader)?),* };
                let holds: fn(&Self) -> bool = $check;
                reader.check(holds(&value))?;
                Ok(value)
            }
        }
    };
}

fields!(State; pace, fast, slow, lasting, restless, flat, jumps, alarm, season; |_| true);
fields!(Stream; start_ns, last_ns, late, seen; |_| true);
impl Field for Rate {
    fn put(&self, out: &mut Vec<u8>) {
        let Self { stream, last } = self;
        stream.put(out);
        last.to_bits().put(out);
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(Self {
            stream: Field::take(reader)?,
            last: f64::from_bits(Field::take(reader)?),
        })
    }
}
impl Field for Distribution {
    fn put(&self, out: &mut Vec<u8>) {
        let Self { stream, count, sum } = self;
        stream.put(out);
        count.put(out);
        // a missing sum is kept as NaN, which plain numbers refuse
        sum.to_bits().put(out);
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(Self {
            stream: Field::take(reader)?,
            count: Field::take(reader)?,
            sum: f64::from_bits(Field::take(reader)?),
        })
    }
}
fields!(Pace; last_ns, late_ns, age_s, interval_s, unlearned_s, seen, late;
    |p| p.age_s >= 0.0 && p.interval_s >= 0.0 && p.unlearned_s >= 0.0);
fields!(Fast; trackers, errors, since_anchor, spread; |f| f.errors.iter().all(|e| *e >= 0.0));
fields!(Slow; level, slow_level, season, spread; |_| true);
fields!(Spread; scale, tails, outside_s; |s| s.scale >= 0.0);
fields!(Tails; above, below, window_s, learned; |_| true);
fields!(Side; inner, outer, exceeded, shown, shown_exceeded, excess;
    |s| s.inner >= 1.0 && s.outer > s.inner && s.outer <= 41.0 && s.shown >= s.outer && s.shown <= 130.0);
fields!(Lasting; mean, scale, outside_s; |l| l.scale >= 0.0);
fields!(Restless; mean, spread, outside_s; |r| r.mean >= 0.0 && r.spread >= 0.0);
fields!(Flatline; last, run, longest, changes; |_| true);
fields!(Jumps; size, share; |j| j.size >= 0.0 && (0.0..=1.0).contains(&j.share));
fields!(Alarm; inner_bits, fast_bits, slow_bits, above_bits, budget, peak, calm, on, kind;
    |a| a.budget >= 0.0 && a.peak >= 0.0);
fields!(Season; day, day_seen, week, week_seen, noise, day_visit, week_visit, noise_sum, recurrence;
    |_| true);
fields!(Visit; slot, count, sum; |_| true);
fields!(Recurrence; day, hour, day_sure, hour_sure, slot, hour_peak, day_peak, widening, shown;
    |r| (1.0..=50.0).contains(&r.widening) && (1.0..=50.0).contains(&r.shown));

impl<const N: usize> Field for Table<N> {
    fn put(&self, out: &mut Vec<u8>) {
        self.step.put(out);
        self.cells.put(out);
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let value = Self {
            step: Field::take(reader)?,
            cells: Field::take(reader)?,
        };
        reader.check((0.0..1e297).contains(&value.step))?;
        Ok(value)
    }
}

impl<const B: usize> Field for Nibbles<B> {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(Self(Field::take(reader)?))
    }
}
