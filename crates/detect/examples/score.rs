//! Runs the detector over a folder of labelled series and writes its answers for a scorer.
//!
//! usage: score DATA_DIR OUT_DIR
//!
//! DATA_DIR holds `manifest.json` (entries with `path` and `type`: gauge or counter) and the series
//! it names, `<set>/<name>.csv.gz` with the columns timestamp (Unix seconds), value, label.
//! OUT_DIR receives `<set>/<name>.csv` with the columns timestamp, value, score, is_anomaly, lower,
//! upper, onset_score, lower_k2, upper_k2.
#![allow(clippy::print_stderr)]

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::{env, fs, io};

use weir_detect::{Rate, Settings, State, Verdict};

fn main() -> io::Result<()> {
    let mut args = env::args().skip(1);
    let (Some(data), Some(out)) = (args.next(), args.next()) else {
        return Err(io::Error::other("usage: score DATA_DIR OUT_DIR"));
    };
    let (data, out) = (Path::new(&data), Path::new(&out));
    let manifest: Vec<serde_json::Value> =
        serde_json::from_reader(fs::File::open(data.join("manifest.json"))?)?;
    for entry in &manifest {
        let text = |key: &str| entry.get(key).and_then(serde_json::Value::as_str);
        let Some(path) = text("path") else { continue };
        let target = out.join(path.trim_end_matches(".gz"));
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut csv = String::new();
        unpacked(&data.join(path))?.read_to_string(&mut csv)?;
        fs::write(target, score(&csv, text("type") == Some("counter"))?)?;
    }
    Ok(())
}

/// The text of a packed file, up to 1 GiB.
#[allow(clippy::disallowed_types, reason = "the output is capped here")]
fn unpacked(path: &Path) -> io::Result<impl io::Read> {
    Ok(flate2::read::GzDecoder::new(fs::File::open(path)?).take(1 << 30))
}

/// The answers to one series, as CSV.
fn score(csv: &str, counter: bool) -> io::Result<String> {
    let bad = |line: &str| io::Error::other(format!("not timestamp,value,...: {line}"));
    let settings = Settings::default();
    let narrow = Settings {
        stddevs: 2.0,
        ..Settings::default()
    };
    let mut state = State::new();
    let mut rate = Rate::new();
    let mut text = String::from(
        "timestamp,value,score,is_anomaly,lower,upper,onset_score,lower_k2,upper_k2\n",
    );
    for line in csv.lines().skip(1) {
        let mut columns = line.split(',');
        let (Some(time), Some(value)) = (columns.next(), columns.next()) else {
            return Err(bad(line));
        };
        let seconds: f64 = time.parse().map_err(|_| bad(line))?;
        let raw: f64 = value.parse().unwrap_or(f64::NAN);
        let time_ns = (seconds * 1000.0).round() as i64 * 1_000_000;
        let value = if counter {
            rate.cumulative(0, time_ns, raw).unwrap_or(f64::NAN)
        } else {
            raw
        };
        let local_s = weir_detect::utc_seconds(time_ns);
        let band = state
            .clone()
            .observe(&narrow, time_ns, local_s, value, true);
        let verdict = state.observe(&settings, time_ns, local_s, value, true);
        row(&mut text, time, &verdict, &band).map_err(io::Error::other)?;
    }
    Ok(text)
}

fn row(text: &mut String, time: &str, v: &Verdict, band: &Verdict) -> std::fmt::Result {
    write!(
        text,
        "{time},{},{:.6},{}",
        v.value,
        v.score,
        u8::from(v.in_alarm)
    )?;
    if !v.judged {
        return writeln!(text, ",,,0,,");
    }
    let onset = if v.alarm_started || !v.in_alarm {
        v.score
    } else {
        0.0
    };
    writeln!(
        text,
        ",{},{},{onset:.6},{},{}",
        v.lower, v.upper, band.lower, band.upper
    )
}
