//! Verdicts as CSV, a file per series, a row per sample.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use weir_detect::Verdict;

use crate::moment::SECOND;
use crate::problem::Problem;

const HEADER: &[u8] =
    b"timestamp,value,score,is_anomaly,lower,upper,onset_score,lower_k2,upper_k2\n";
/// Text held back per series before it goes to the file: an input may hold thousands of series,
/// and no file stays open.
const HELD: usize = 32 << 10;

/// The file of one series.
#[derive(Debug)]
pub(crate) struct VerdictFile {
    path: PathBuf,
    text: Vec<u8>,
    begun: bool,
}

impl VerdictFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            text: HEADER.to_vec(),
            begun: false,
        }
    }

    /// One row; `inner` is the 2-sigma band.
    pub(crate) fn row(
        &mut self,
        time_ns: i64,
        v: &Verdict,
        inner: (f64, f64),
    ) -> Result<(), Problem> {
        let text = &mut self.text;
        put_time(text, time_ns);
        text.push(b',');
        put_number(text, v.value);
        text.push(b',');
        put_score(text, v.score);
        text.extend_from_slice(if v.in_alarm { b",1," } else { b",0," });
        if v.judged {
            put_number(text, v.lower);
            text.push(b',');
            put_number(text, v.upper);
            text.push(b',');
            let onset = v.alarm_started || !v.in_alarm;
            put_score(text, if onset { v.score } else { 0.0 });
            text.push(b',');
            put_number(text, inner.0);
            text.push(b',');
            put_number(text, inner.1);
            text.push(b'\n');
        } else {
            text.extend_from_slice(b",,0,,\n");
        }
        if self.text.len() > HELD {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Writes what is held.
    pub(crate) fn flush(&mut self) -> Result<(), Problem> {
        let result = self.write();
        self.text.clear();
        result.map_err(|e| Problem::file(&self.path, &e))
    }

    fn write(&mut self) -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        if self.begun {
            options.append(true);
        } else {
            if let Some(folder) = self.path.parent() {
                fs::create_dir_all(folder)?;
            }
            options.create(true).write(true).truncate(true);
        }
        self.begun = true;
        options.open(&self.path)?.write_all(&self.text)
    }
}

fn put_integer(text: &mut Vec<u8>, value: i64) {
    text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Unix seconds, with as much of a fraction as there is.
fn put_time(text: &mut Vec<u8>, time_ns: i64) {
    let (whole, part) = (time_ns / SECOND, (time_ns % SECOND).unsigned_abs());
    if whole == 0 && time_ns < 0 {
        text.push(b'-');
    }
    put_integer(text, whole);
    if part > 0 {
        let digits = format!(".{part:09}");
        text.extend_from_slice(digits.trim_end_matches('0').as_bytes());
    }
}

/// A number that reads back as it was; nothing for one that is missing.
fn put_number(text: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        let mut buffer = zmij::Buffer::new();
        let written = buffer.format_finite(value);
        let short = written.strip_suffix(".0").unwrap_or(written);
        text.extend_from_slice(short.as_bytes());
    }
}

/// A score to six digits.
fn put_score(text: &mut Vec<u8>, score: f64) {
    let millionths = (score * 1e6).round() as u32;
    if millionths == 0 {
        text.push(b'0');
    } else if millionths >= 1_000_000 {
        text.push(b'1');
    } else {
        let mut digits = *b"0.000000";
        let mut rest = millionths;
        for place in digits.iter_mut().skip(2).rev() {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        text.extend_from_slice(&digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(put: impl Fn(&mut Vec<u8>)) -> String {
        let mut text = Vec::new();
        put(&mut text);
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn numbers_are_short_and_exact() {
        for (value, expected) in [(1.0, "1"), (-0.5, "-0.5"), (0.1, "0.1"), (f64::NAN, "")] {
            assert_eq!(text(|t| put_number(t, value)), expected);
        }
        for value in [1e300, 1.0 / 3.0, 123_456_789.123, 5e-324] {
            assert_eq!(text(|t| put_number(t, value)).parse(), Ok(value));
        }
        for (score, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.5, "0.500000"),
            (0.1234567, "0.123457"),
        ] {
            assert_eq!(text(|t| put_score(t, score)), expected);
        }
        for (ns, expected) in [
            (1_700_000_000 * SECOND, "1700000000"),
            (1_500_000_000, "1.5"),
            (-500_000_000, "-0.5"),
            (1_000_000_001, "1.000000001"),
            (-1_500_000_000, "-1.5"),
        ] {
            assert_eq!(text(|t| put_time(t, ns)), expected);
        }
    }
}
