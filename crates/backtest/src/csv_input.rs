//! Rows of a CSV file.

use std::io::{BufRead, Read};
use std::str;

use csv::ByteRecord;

use crate::moment;
use crate::problem::Problem;
use crate::track::Sample;

const TIME_NAMES: [&str; 9] = [
    "timestamp",
    "time",
    "ts",
    "date",
    "datetime",
    "@timestamp",
    "unix",
    "epoch",
    "t",
];
const VALUE_NAMES: [&str; 5] = ["value", "val", "v", "y", "metric_value"];
const LABEL_NAMES: [&str; 8] = [
    "label",
    "labels",
    "is_anomaly",
    "anomaly",
    "anomalies",
    "outlier",
    "is_outlier",
    "ground_truth",
];

/// Columns asked for by name or by number from 1.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) time: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) label: Option<String>,
}

/// Where to find what in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Columns {
    time: usize,
    value: usize,
    label: Option<usize>,
    /// The first row is a header.
    header: bool,
}

/// How a file is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    /// For messages.
    pub(crate) place: &'a str,
    pub(crate) wanted: &'a Wanted,
    pub(crate) skip_bad_rows: bool,
}

/// Calls `see` for each row in order; returns the number of rows left out.
pub(crate) fn read(
    input: impl BufRead,
    reading: &Reading<'_>,
    mut see: impl FnMut(Sample) -> Result<(), Problem>,
) -> Result<u64, Problem> {
    let mut reader = open(input, reading)?;
    let mut record = ByteRecord::new();
    let more = |reader: &mut csv::Reader<_>, record: &mut ByteRecord| {
        let read = reader.read_byte_record(record);
        read.map_err(|e| Problem::new(reading.place, e.to_string(), ""))
    };
    let mut skipped = 0;
    if !more(&mut reader, &mut record)? {
        return Err(Problem::new(reading.place, "the file is empty", ""));
    }
    let columns = Columns::find(&record, reading)?;
    let mut pending = !columns.header;
    loop {
        if !pending && !more(&mut reader, &mut record)? {
            return Ok(skipped);
        }
        pending = false;
        match columns.sample(&record) {
            Ok(sample) => see(sample)?,
            Err(_) if reading.skip_bad_rows => skipped += 1,
            Err((what, cure)) => {
                let line = record.position().map_or(0, csv::Position::line);
                let cure = format!("{cure}; --skip-bad-rows leaves out rows that cannot be read");
                return Err(Problem::new(
                    format!("{}:{line}", reading.place),
                    what,
                    cure,
                ));
            }
        }
    }
}

fn open<R: BufRead>(
    mut input: R,
    reading: &Reading<'_>,
) -> Result<csv::Reader<impl Read + use<R>>, Problem> {
    let ahead = input.fill_buf();
    let ahead = ahead.map_err(|e| Problem::new(reading.place, e.to_string(), ""))?;
    let line = ahead.split(|b| *b == b'\n').next().unwrap_or_default();
    let has = |delimiter: &u8| line.contains(delimiter);
    // a comma inside a line with semicolons is a decimal comma, which the value then reports
    let delimiter = *[b';', b'\t', b','].iter().find(|d| has(d)).unwrap_or(&b',');
    if ahead.starts_with(b"\xef\xbb\xbf") {
        input.consume(3);
    }
    let mut builder = csv::ReaderBuilder::new();
    builder
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .comment(Some(b'#'));
    Ok(builder.from_reader(input))
}

fn text(record: &ByteRecord, at: usize) -> Option<&str> {
    record
        .get(at)
        .and_then(|field| str::from_utf8(field).ok())
        .map(str::trim)
}

/// A number, or nothing for an empty field and the words for it.
fn value(text: &str) -> Option<f64> {
    match text {
        "" | "NaN" | "nan" | "NA" | "null" | "NULL" | "None" => Some(f64::NAN),
        text => text.parse().ok(),
    }
}

fn label(text: &str) -> Option<bool> {
    match text {
        "" | "0" | "0.0" | "false" | "False" | "FALSE" => Some(false),
        "1" | "1.0" | "true" | "True" | "TRUE" => Some(true),
        _ => None,
    }
}

impl Columns {
    /// From the first row of a file.
    fn find(first: &ByteRecord, reading: &Reading<'_>) -> Result<Self, Problem> {
        let fields: Vec<&str> = (0..first.len())
            .map(|i| text(first, i).unwrap_or(""))
            .collect();
        let wanted = reading.wanted;
        let is_time = |i: usize| fields.get(i).is_some_and(|f| moment::parse(f).is_some());
        let header = !(0..fields.len()).any(is_time);
        let at_line = format!("{}:1", reading.place);
        let asked = |name: &Option<String>, option: &str| match name {
            None => Ok(None),
            Some(name) => place(name, &fields, header).map(Some).ok_or_else(|| {
                let what = format!("there is no column `{name}`, only {}", fields.join(", "));
                Problem::new(
                    &at_line,
                    what,
                    format!("give {option} one of these names or a number"),
                )
            }),
        };
        let known = |names: &[&str], taken: &[Option<usize>]| {
            let same = |field: &str| names.iter().any(|n| n.eq_ignore_ascii_case(field));
            let free = |i: &usize| !taken.contains(&Some(*i));
            (0..fields.len())
                .filter(free)
                .find(|i| header && same(fields[*i]))
        };
        let time = asked(&wanted.time, "--time-column")?;
        let time = time.or_else(|| known(&TIME_NAMES, &[]));
        let time = time.or_else(|| (0..fields.len()).find(|i| !header && is_time(*i)));
        let Some(time) = time else {
            let what = format!("no column looks like a timestamp: {}", fields.join(", "));
            return Err(Problem::new(&at_line, what, "name it with --time-column"));
        };
        let value = asked(&wanted.value, "--value-column")?;
        let value = value.or_else(|| known(&VALUE_NAMES, &[Some(time)]));
        let label = asked(&wanted.label, "--label-column")?;
        let mut label = label.or_else(|| known(&LABEL_NAMES, &[Some(time), value]));
        let value = match value {
            Some(value) => value,
            None => {
                let free = |i: &usize| *i != time && Some(*i) != label;
                let rest: Vec<usize> = (0..fields.len()).filter(free).collect();
                match rest.as_slice() {
                    [one] => *one,
                    // without a header: timestamp, value, label
                    [one, other] if !header && label.is_none() => {
                        label = Some(*other);
                        *one
                    }
                    _ => {
                        let what = format!("which column is the value? {}", fields.join(", "));
                        return Err(Problem::new(&at_line, what, "name it with --value-column"));
                    }
                }
            }
        };
        Ok(Self {
            time,
            value,
            label,
            header,
        })
    }

    /// A row; or what is wrong with it and what helps.
    fn sample(&self, record: &ByteRecord) -> Result<Sample, (String, &'static str)> {
        let field = |at: usize| {
            let missing = || {
                let what = format!("the row has {} columns, not {}", record.len(), at + 1);
                (what, "complete the row")
            };
            text(record, at).ok_or_else(missing)
        };
        let time = field(self.time)?;
        let time_ns = moment::parse(time).ok_or_else(|| {
            let cure = "write Unix seconds or milliseconds, or RFC 3339 (2026-01-31T13:05:00Z)";
            (format!("`{time}` is not a timestamp"), cure)
        })?;
        let number = field(self.value)?;
        let value = value(number).ok_or_else(|| {
            let cure = "write it with a decimal point and without separators or a unit";
            (format!("`{number}` is not a number"), cure)
        })?;
        let label = match self.label {
            None => None,
            Some(at) => {
                let word = field(at)?;
                let cure = "write 1 inside an incident and 0 elsewhere";
                Some(label(word).ok_or_else(|| (format!("`{word}` is not a label"), cure))?)
            }
        };
        Ok(Sample {
            time_ns,
            value,
            label,
        })
    }
}

fn place(name: &str, fields: &[&str], header: bool) -> Option<usize> {
    let by_name = fields
        .iter()
        .position(|f| header && f.eq_ignore_ascii_case(name));
    let number = || {
        name.parse::<usize>()
            .ok()
            .filter(|n| (1..=fields.len()).contains(n))
    };
    by_name.or_else(|| number().map(|n| n - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(text: &str, wanted: &Wanted, skip: bool) -> Result<(Vec<Sample>, u64), String> {
        let reading = Reading {
            place: "a.csv",
            wanted,
            skip_bad_rows: skip,
        };
        let mut rows = Vec::new();
        let skipped = read(text.as_bytes(), &reading, |row| {
            rows.push(row);
            Ok(())
        });
        skipped.map(|n| (rows, n)).map_err(|p| p.to_string())
    }

    fn values(text: &str) -> Vec<(i64, f64, Option<bool>)> {
        let (rows, _) = rows(text, &Wanted::default(), false).expect("rows");
        rows.iter()
            .map(|r| (r.time_ns / moment::SECOND, r.value, r.label))
            .collect()
    }

    #[test]
    fn headers_are_understood() {
        let expected = vec![(60, 1.5, Some(false)), (120, 2.0, Some(true))];
        for text in [
            "timestamp,value,label\n60,1.5,0\n120,2,1\n",
            "Label;Time;CPU\r\n0;60;1.5\r\n1;120;2\r\n",
            "\u{feff}ts\tvalue\tis_anomaly\n60\t1.5\tfalse\n120\t2\ttrue\n",
            "60,1.5,0\n120,2,1\n",
            "# a comment\n\"timestamp\",\"value\",\"label\"\n\"60\",\"1.5\",\"\"\n120, 2 ,1\n",
        ] {
            assert_eq!(values(text), expected, "{text}");
        }
        assert_eq!(
            values("date,cpu\n1970-01-01 00:01:00,3\n"),
            [(60, 3.0, None)]
        );
        assert!(values("t,v\n60,\n").first().is_some_and(|r| r.1.is_nan()));
    }

    #[test]
    fn columns_can_be_named_or_numbered() {
        let text = "a,b,c,d\n60,1,2,0\n";
        let choose = |time: &str, value: &str| Wanted {
            time: Some(time.into()),
            value: Some(value.into()),
            label: Some("4".into()),
        };
        let got = rows(text, &choose("A", "c"), false).expect("rows").0;
        assert!(got.first().is_some_and(|r| (r.value - 2.0).abs() < 1e-9));
        let unknown = rows(text, &choose("A", "e"), false).err();
        assert!(unknown.is_some_and(|e| e.starts_with("a.csv:1: there is no column `e`")));
        let several = rows("time,b,c\n60,1,2\n", &Wanted::default(), false).err();
        assert!(several.is_some_and(|e| e.contains("--value-column")));
    }

    #[test]
    fn bad_rows_are_named_or_left_out() {
        for (row, place, what) in [
            ("soon,1", "a.csv:3", "`soon` is not a timestamp"),
            ("120,1 ms", "a.csv:3", "`1 ms` is not a number"),
            ("120", "a.csv:3", "the row has 1 columns, not 2"),
        ] {
            let text = format!("timestamp,value\n60,1\n{row}\n180,2\n");
            let error = rows(&text, &Wanted::default(), false)
                .err()
                .unwrap_or_default();
            assert!(
                error.starts_with(&format!("{place}: {what}\n  help: ")),
                "{error}"
            );
            let (kept, skipped) = rows(&text, &Wanted::default(), true).expect("rows");
            assert_eq!((kept.len(), skipped), (2, 1));
        }
        let empty = rows("", &Wanted::default(), false).err();
        assert_eq!(empty.as_deref(), Some("a.csv: the file is empty"));
    }

    proptest! {
        #[test]
        fn any_text_gives_rows_or_an_error(text in "[0-9a-z,;\"\n.:T-]{0,200}", skip: bool) {
            let wanted = Wanted::default();
            let _either = rows(&text, &wanted, skip);
        }
    }
}
