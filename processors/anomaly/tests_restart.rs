//! What survives: restarts, damaged files, a kill in the middle of a snapshot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use weir_core::clock::ManualClock;
use weir_detect::{ArchiveWriter, ArchivedSeries, SnapshotError, read_archive};
use weir_model::{Histogram, MetricKind, Temporality};

use super::tests::{Rig, at};
use super::*;

const YAML: &str = "{emit: [companion, attributes], bands: true, quantiles: [0.9], \
                    thresholds: [{metrics: {metric_names: [cpu]}, above: 70, samples: 2}]}";

/// A gauge, a counter and a histogram at one minute, always the same.
fn points(rig: &Rig, minute: u64) -> Vec<Point> {
    let cumulative = Temporality::Cumulative;
    let wave = |period: u64| ((minute * 7919 % period) as f64) / period as f64;
    let odd = if minute % 997 < 3 { 40.0 } else { 0.0 };
    let cpu = rig.series("cpu", MetricKind::Gauge, "a");
    let requests = MetricKind::Sum { temporality: cumulative, monotonic: true };
    let requests = rig.series("requests", requests, "a");
    let latency = rig.series("latency", MetricKind::Histogram { temporality: cumulative }, "a");
    let count = minute * 100;
    let histogram = Histogram {
        count,
        sum: Some(minute as f64 * 20.0 + wave(13)),
        bucket_counts: vec![minute * 60, minute * 30 + minute % 5, count - minute * 90 - minute % 5],
        explicit_bounds: vec![0.1, 0.5],
        ..Histogram::default()
    };
    let value = |value| PointValue::Double(value);
    [
        (cpu, value(50.0 + 5.0 * wave(101) + odd)),
        (requests, value(minute as f64 * 600.0 + 30.0 * wave(77))),
        (latency, PointValue::Histogram(Box::new(histogram))),
    ]
    .into_iter()
    .map(|(series, value)| Point::new(series, START_NS, at(minute), value))
    .collect()
}

const START_NS: u64 = 1;

fn told(points: &[Point]) -> Vec<String> {
    let one = |p: &Point| {
        let name = &p.series.metric().name;
        format!("{name} {:?} {:?} {:?} {}", p.series.labels(), p.value, p.tags(), p.flags)
    };
    points.iter().map(one).collect()
}

#[test]
fn a_restart_at_a_snapshot_changes_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(at(0)));
    let whole = Rig::new(YAML);
    let mut rig = Rig::kept(YAML, folder.path(), &clock);
    for minute in 0..4000 {
        if [500, 1994, 2700].contains(&minute) {
            rig.anomaly.stop();
            rig = Rig::kept(YAML, folder.path(), &clock);
            assert!(rig.counted("series_restored") >= 3.0);
        }
        let expected = told(&whole.apply(points(&whole, minute)));
        assert_eq!(told(&rig.apply(points(&rig, minute))), expected, "minute {minute}");
    }
    assert!(rig.counted("alarms_started") > 0.0);
}

#[test]
fn a_damaged_file_is_set_aside_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(at(0)));
    let rig = Rig::kept(YAML, folder.path(), &clock);
    for minute in 0..100 {
        rig.apply(points(&rig, minute));
    }
    rig.anomaly.stop();
    let file = persist::path(folder.path(), "anomaly/test");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let rig = Rig::kept(YAML, folder.path(), &clock);
    assert_eq!(rig.counted("snapshots_damaged"), 1.0);
    assert_eq!(rig.counted("series"), 0.0);
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().any(|name| name.contains("damaged")), "{names:?}");
    rig.apply(points(&rig, 100));
    rig.anomaly.stop();
    assert!(file.exists(), "the next snapshot takes its place");
}

/// What a release before wrote: the version of each state is 2.
#[test]
fn a_file_of_another_version_is_set_aside_and_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(at(0)));
    let rig = Rig::kept("{}", folder.path(), &clock);
    for minute in 0..100 {
        let of = |label: &str| rig.series("cpu", MetricKind::Gauge, label);
        let value = PointValue::Double(minute as f64);
        rig.apply(["a", "b", "c"].map(|l| Point::new(of(l), 0, at(minute), value.clone())).into());
    }
    rig.anomaly.stop();
    let file = persist::path(folder.path(), "anomaly/test");
    let bytes = std::fs::read(&file).unwrap();
    let mut writer = ArchiveWriter::new();
    let mut shown = Vec::new();
    for series in read_archive(&bytes).unwrap() {
        // version, input, count of streams, then role (9), since (8), breaches (1), state
        let mut payload = series.payload.to_vec();
        assert_eq!(payload[21], 3);
        payload[21] = 2;
        writer.series(series.key, series.name, |out| out.extend_from_slice(&payload));
        shown.push(describe(&ArchivedSeries { payload: &payload, ..series }).unwrap_err());
    }
    assert_eq!(shown, [SnapshotError::Version { found: 2 }; 3]);
    let older = writer.finish();
    std::fs::write(&file, &older).unwrap();
    let rig = Rig::kept("{}", folder.path(), &clock);
    assert_eq!(rig.counted("snapshots_damaged"), 1.0);
    assert_eq!((rig.counted("series"), rig.counted("series_restored")), (0.0, 0.0));
    let mut left = std::fs::read_dir(folder.path()).unwrap();
    let aside = left.next().unwrap().unwrap().path();
    assert!(aside.to_string_lossy().contains(".damaged-"), "{aside:?}");
    assert_eq!(std::fs::read(aside).unwrap(), older, "as it was");
    assert!(left.next().is_none());
}

#[test]
fn a_smaller_bound_after_the_restart_is_kept_to() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(at(0)));
    let rig = Rig::kept("{}", folder.path(), &clock);
    let all: Vec<_> = (0..400)
        .map(|i| rig.series("m", MetricKind::Gauge, &i.to_string()))
        .map(|series| Point::new(series, 0, at(0), PointValue::Double(1.0)))
        .collect();
    rig.apply(all);
    rig.anomaly.stop();
    let rig = Rig::kept("max_series: 16", folder.path(), &clock);
    assert!(rig.counted("series") <= 16.0);
}

#[test]
fn what_the_file_holds_can_be_shown() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(at(0)));
    let rig = Rig::kept(YAML, folder.path(), &clock);
    for minute in 0..100 {
        rig.apply(points(&rig, minute));
    }
    rig.anomaly.stop();
    let bytes = std::fs::read(persist::path(folder.path(), "anomaly/test")).unwrap();
    let lines: Vec<String> =
        read_archive(&bytes).unwrap().iter().flat_map(|s| describe(s).unwrap()).collect();
    let cpu = lines.iter().find(|line| line.contains(" cpu{")).unwrap();
    assert!(cpu.contains("value: fast after 100 samples in 1.6 h, every 60 s"), "{cpu}");
    assert!(lines.iter().any(|line| line.contains("quantile 0.9")), "{lines:#?}");
}

/// Series per snapshot of the child: a few MB, so that the kill meets the writing.
const SERIES: u64 = 20_000;

fn generation(number: u64) -> Vec<u8> {
    let mut writer = ArchiveWriter::new();
    for key in 0..SERIES {
        writer.series(key, "", |out| out.extend_from_slice(&[number as u8; 200]));
    }
    writer.series(SERIES, &number.to_string(), |_| {});
    writer.finish()
}

/// Run by the next test as a process of its own: writes snapshots to the path on its standard
/// input, and tells the number of each, until it is killed.
#[test]
#[ignore = "the other half of the test below"]
fn child_that_writes_until_it_is_killed() {
    let mut path = String::new();
    std::io::stdin().read_line(&mut path).unwrap();
    let path = std::path::Path::new(path.trim());
    if path.as_os_str().is_empty() {
        return;
    }
    for number in 1.. {
        persist::write(path, std::iter::once(generation(number))).unwrap();
        println!("\nwritten {number}");
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn a_kill_during_100_snapshots_leaves_the_one_before_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.state");
    let child = "anomaly::tests_restart::child_that_writes_until_it_is_killed";
    for round in 0..100_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", child, "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{}", path.display()).unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = lines
            .map(|line| line.unwrap())
            .filter_map(|line| line.strip_prefix("written ")?.parse::<u64>().ok())
            .nth(round % 2)
            .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let all = read_archive(&bytes).expect("whole");
        let number: u64 = all.last().unwrap().name.parse().unwrap();
        assert!(number >= told && number <= told + 2, "round {round}: {number} after {told}");
    }
}
