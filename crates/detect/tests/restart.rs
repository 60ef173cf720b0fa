//! A restart in the middle of a series: what follows is answered as if there had been none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod common;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use common::{DAY, HOUR, Noise, START, daily};
use weir_detect::{ArchiveWriter, Rate, Settings, State, Verdict, read_archive, utc_seconds};

/// A series under watch as a processor keeps it.
#[derive(Clone)]
struct Watched {
    rate: Option<Rate>,
    state: State,
}

impl Watched {
    fn new(counter: bool) -> Self {
        Self {
            rate: counter.then(Rate::new),
            state: State::new(),
        }
    }

    fn observe(&mut self, time_ns: i64, raw: f64) -> Verdict {
        let value = match &mut self.rate {
            Some(rate) => rate.cumulative(0, time_ns, raw).unwrap_or(f64::NAN),
            None => raw,
        };
        let settings = Settings::default();
        self.state
            .observe(&settings, time_ns, utc_seconds(time_ns), value, true)
    }

    /// Through an archive and back.
    fn restarted(&self) -> Self {
        let mut writer = ArchiveWriter::new();
        writer.series(7, "series", |out| {
            if let Some(rate) = &self.rate {
                rate.encode(out);
            }
            self.state.encode(out);
        });
        let bytes = writer.finish();
        let all = read_archive(&bytes).unwrap();
        let mut payload = all[0].payload;
        let rate = self.rate.as_ref().map(|_| {
            let (rate, rest) = Rate::decode(payload).unwrap();
            payload = rest;
            rate
        });
        let (state, rest) = State::decode(payload).unwrap();
        assert!(rest.is_empty());
        Self { rate, state }
    }
}

/// All that a verdict says, bit by bit: a value that is not a number differs from itself.
fn bits(v: &Verdict) -> impl PartialEq + std::fmt::Debug + use<> {
    let numbers = [v.value, v.score, v.lower, v.upper, v.center].map(f64::to_bits);
    let flags = [v.judged, v.in_alarm, v.alarm_started, v.alarm_ended];
    (numbers, flags, v.ready, v.outside, v.kind)
}

/// Compares an unbroken run with one that restarts in the middle; the alarms of the second half.
fn compare(name: &str, counter: bool, samples: &[(i64, f64)]) -> usize {
    let (mut whole, mut broken) = (Watched::new(counter), Watched::new(counter));
    let mut alarms = 0;
    for (at, (time_ns, raw)) in samples.iter().enumerate() {
        if at == samples.len() / 2 {
            broken = broken.restarted();
            assert_eq!(broken.state, whole.state, "{name}");
        }
        let expected = whole.observe(*time_ns, *raw);
        let found = broken.observe(*time_ns, *raw);
        assert_eq!(bits(&found), bits(&expected), "{name}: row {at}");
        alarms += usize::from(at >= samples.len() / 2 && found.alarm_started);
    }
    alarms
}

#[test]
fn a_restart_in_the_middle_of_synthetic_series_changes_no_output() {
    let mut alarms = 0;
    for (seed, step) in [(1, 60), (2, 60), (3, 300), (4, 3600), (5, 10)] {
        for counter in [false, true] {
            let mut noise = Noise::new(seed);
            let mut total = 1e6;
            let days = if step < 60 { 2 } else { 12 };
            let samples: Vec<(i64, f64)> = (START..START + days * DAY)
                .step_by(step as usize)
                .map(|t| {
                    let normal = 100.0 + 30.0 * daily(t) + 2.0 * noise.normal();
                    let value = match (t / HOUR) % 61 {
                        7 => 3.0 * normal,
                        19 => 100.0,
                        23 => normal + 20.0 * noise.normal(),
                        _ if noise.uniform() < 0.001 => f64::NAN,
                        _ => normal,
                    };
                    total = if noise.uniform() < 0.0005 {
                        0.0
                    } else {
                        total + value.max(0.0) * step as f64
                    };
                    (t * 1_000_000_000, if counter { total } else { value })
                })
                .collect();
            alarms += compare(
                &format!("seed {seed}, counter {counter}"),
                counter,
                &samples,
            );
        }
    }
    assert!(alarms > 20, "the second halves hold incidents: {alarms}");
}

/// The labelled series of the evaluation kit, where it is present beside the repository.
#[test]
fn a_restart_in_the_middle_of_every_series_of_the_kit_changes_no_output() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = ["../../../shared", "../../../../shared"].map(|shared| here.join(shared));
    let data = beside.map(|shared| shared.join("detection/data"));
    let Some(data) = data.iter().find(|data| data.is_dir()) else {
        eprintln!("not compared: the evaluation kit is not here");
        return;
    };
    let manifest = File::open(data.join("manifest.json")).unwrap();
    let manifest: Vec<serde_json::Value> = serde_json::from_reader(manifest).unwrap();
    for entry in &manifest {
        let path = entry["path"].as_str().unwrap();
        let samples = samples(&data.join(path));
        compare(path, entry["type"] == "counter", &samples);
    }
    assert!(manifest.len() >= 71);
}

/// Times in ns and raw values of a packed file.
#[allow(clippy::disallowed_types, reason = "the output is capped here")]
fn samples(path: &Path) -> Vec<(i64, f64)> {
    let file = File::open(path).unwrap();
    let mut csv = String::new();
    let packed = flate2::read::GzDecoder::new(file).take(1 << 30);
    std::io::BufReader::new(packed)
        .read_to_string(&mut csv)
        .unwrap();
    let row = |line: &str| {
        let mut columns = line.split(',');
        let seconds: f64 = columns.next()?.parse().ok()?;
        let value = columns.next()?.parse().unwrap_or(f64::NAN);
        Some(((seconds * 1000.0).round() as i64 * 1_000_000, value))
    };
    csv.lines().skip(1).filter_map(row).collect()
}
