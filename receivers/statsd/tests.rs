#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use weir_config::{Origin, Source, decode_and_validate, parse_yaml};
use weir_core::{ComponentId, ComponentKind, Data, Deadline, ManualClock, Reject};
use weir_model::{Point, PointValue};
use weir_testkit::points::{difference, flat_points};

use super::line::{Line, LineError, Meaning, Options};
use super::listen::take_lines;
use super::*;

/// T0 of the cases: ten minutes before the run.
const T0_S: u64 = 1_795_000_000;
const START_NS: u64 = (T0_S + 600) * 1_000_000_000;

fn config(yaml: &str) -> Result<Config, Vec<String>> {
    decoded(yaml).map(|(config, _)| config)
}

/// The configuration and its warnings, or its errors.
fn decoded(yaml: &str) -> Result<(Config, Vec<String>), Vec<String>> {
    let source = Source::new("test.yaml", yaml, Origin::Document);
    let node = parse_yaml(&source).unwrap();
    let said = |found: &[weir_config::Diagnostic]| {
        found.iter().map(|e| format!("{}: {}", e.path, e.message)).collect()
    };
    decode_and_validate::<Config>(&node, "s")
        .map(|decoded| (decoded.value, said(&decoded.warnings)))
        .map_err(|errors| said(&errors))
}

/// A receiver without sockets, and its clock.
struct Bench {
    intake: Arc<Intake>,
    clock: Arc<ManualClock>,
    cx: BuildCtx,
}

impl Bench {
    fn new(config: &Config) -> Self {
        let clock = Arc::new(ManualClock::at(START_NS));
        let id = ComponentId::parse("statsd").unwrap();
        let mut cx = BuildCtx::standalone(id, ComponentKind::Receiver, None);
        cx.clock = clock.clone();
        let intake = Arc::new(Intake::new(config, &cx));
        Self { intake, clock, cx }
    }

    fn of(yaml: &str) -> Self {
        Self::new(&config(yaml).unwrap())
    }

    fn send(&self, port: u16, lines: &str) -> &Self {
        self.intake.take(Some(SocketAddr::from(([10, 0, 0, 1], port))), lines.as_bytes());
        self
    }

    /// The points of the interval, as `name{labels} value`, sorted.
    fn flush(&self) -> Vec<String> {
        self.clock.advance(Duration::from_secs(60));
        let flushed = self.intake.flush();
        let points = flushed.iter().flat_map(|flushed| &flushed.points);
        let mut lines: Vec<String> = points.map(plain).collect();
        lines.sort();
        lines
    }

    fn dropped(&self, reason: LineError) -> u64 {
        let labels = [("receiver", "statsd"), ("reason", reason.reason())];
        let name = "otelcol_receiver_statsd_dropped_lines";
        self.cx.telemetry.counter(name, "", &labels).get()
    }

    fn dropped_in_all(&self) -> f64 {
        self.cx.telemetry.total("otelcol_receiver_statsd_dropped_lines")
    }
}

fn plain(point: &Point) -> String {
    let labels = point.series.labels().iter();
    let labels: Vec<String> = labels
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    let value = match &point.value {
        PointValue::Int(value) => value.to_string(),
        PointValue::Double(value) => format!("{value:?}"),
        PointValue::Summary(summary) => format!("{}/{}", summary.sum, summary.count),
        PointValue::Histogram(histogram) => format!("{:?}", histogram.bucket_counts),
        PointValue::ExponentialHistogram(histogram) => format!("exp {}", histogram.count),
        PointValue::Empty => "-".into(),
    };
    format!("{}{{{}}} {value}", point.series.metric().name, labels.join(","))
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("statsd/testdata")
}

/// The section of the receiver in a case's configuration.
fn config_of_case(folder: &Path) -> Config {
    let text = std::fs::read_to_string(folder.join("config.yaml")).unwrap();
    let rest = text.split_once("  statsd:\n").unwrap().1;
    let own = rest.lines().take_while(|line| line.starts_with("    "));
    let yaml: String = own.map(|line| format!("{line}\n")).collect();
    config(&yaml.replace("{{statsd}}", "1")).unwrap()
}

/// Instants in the words of the kit.
fn instant(ns: u64) -> Value {
    let since = ns.saturating_sub(T0_S * 1_000_000_000) / 1_000_000;
    match since {
        0..300_000 => json!(format!("T0+{since}ms")),
        _ => json!("<now>"),
    }
}

/// The reference's output for each case, or ours where `expected-alt.json` says why.
#[test]
fn golden_cases() {
    let mut cases = 0;
    for folder in std::fs::read_dir(testdata()).unwrap() {
        let folder = folder.unwrap().path();
        let read = |name: &str| -> Option<Value> {
            let text = std::fs::read_to_string(folder.join(name)).ok()?;
            Some(serde_json::from_str(&text).unwrap())
        };
        let input = read("input.json").unwrap();
        let bench = Bench::new(&config_of_case(&folder));
        let step = &input["steps"][0];
        let sockets = step["sockets"].as_u64().unwrap_or(1);
        for (at, datagram) in step["datagrams"].as_array().unwrap().iter().enumerate() {
            let mut text = datagram.as_str().unwrap().to_owned();
            for seconds in [0, 5, 9] {
                text = text.replace(&format!("{{{{s:+{seconds}s}}}}"), &(T0_S + seconds).to_string());
            }
            bench.send(1000 + (at as u64 % sockets) as u16, &text);
        }
        bench.clock.advance(Duration::from_secs(2));
        let flushed = bench.intake.flush();
        let batches: Vec<Batch> = flushed
            .into_iter()
            .map(|flushed| Batch::metrics(Metrics::from_points(flushed.points)))
            .collect();
        let sizes: Vec<usize> = batches.iter().map(Batch::len).collect();
        let found = flat_points(&batches, instant);
        let expected = read("expected-alt.json").or_else(|| read("expected.json")).unwrap();
        let otlp = &expected["otlp"];
        let (missing, beyond) = difference(otlp["points"].as_array().unwrap(), &found);
        let name = folder.display();
        assert!(
            missing.is_empty() && beyond.is_empty(),
            "{name}\nmissing: {missing:#?}\nunexpected: {beyond:#?}"
        );
        if let Some(batches) = otlp.get("batches") {
            assert_eq!(json!(sizes), *batches, "{name}");
        }
        cases += 1;
    }
    assert_eq!(cases, 14);
}

#[test]
fn keys_have_the_defaults_of_the_reference() {
    let defaults = config("{}").unwrap();
    assert_eq!(defaults, Config::default());
    assert_eq!((defaults.endpoint(), defaults.protocol()), ("localhost:8125", "udp"));
    assert_eq!(defaults.aggregation_interval.to_std(), Duration::from_secs(60));
    assert_eq!(defaults.socket_permissions, 0o622);
    let unix = config("transport: unixgram\nsocket_permissions: 0600\n").unwrap();
    assert_eq!(unix.endpoint(), "/var/run/statsd-receiver.sock");
    assert_eq!(unix.socket_permissions, 0o600);
}

#[test]
fn wrong_configurations_are_named() {
    let map = |rest: &str| format!("timer_histogram_mapping: [{{{rest}}}]");
    for (yaml, says) in [
        ("aggregation_interval: 0s".to_owned(), "must be a positive duration"),
        ("transport: sctp".to_owned(), "unsupported transport \"sctp\""),
        ("counter_type: stochastic_int".to_owned(), "is not supported"),
        ("max_series: 0".to_owned(), "max_series must be above 0"),
        ("socket_permissions: 99999".to_owned(), "file permissions"),
        (map("observer_type: gauge"), "must specify object id"),
        (map("statsd_type: timing"), "must specify object id"),
        (map("statsd_type: abc, observer_type: gauge"), "not a supported mapping"),
        (map("statsd_type: timer, observer_type: gauge1"), "observer_type is not supported"),
        (
            map("statsd_type: timing, observer_type: gauge, histogram: {max_size: 100}"),
            "histogram configuration requires observer_type: histogram",
        ),
        (
            map("statsd_type: timing, observer_type: gauge, summary: {percentiles: [1]}"),
            "summary configuration requires observer_type: summary",
        ),
        (
            map("statsd_type: timing, observer_type: summary, summary: {percentiles: [101]}"),
            "summary.percentiles[0]: a percentile lies between 0 and 100",
        ),
        (
            map("statsd_type: timing, observer_type: histogram, histogram: {max_size: 1}"),
            "histogram max_size out of range: 1",
        ),
        (
            map("statsd_type: timing, observer_type: histogram, histogram: {explicit_buckets: [{matcher_pattern: '(', buckets: [1]}]}"),
            "not a regular expression",
        ),
        (
            map("statsd_type: timing, observer_type: histogram, histogram: {explicit_buckets: [{matcher_pattern: a}]}"),
            "at least one bound",
        ),
    ] {
        let errors = config(&yaml).unwrap_err();
        assert!(errors.iter().any(|error| error.contains(says)), "{yaml}: {errors:?}");
    }
}

#[test]
fn what_surprises_is_warned_of() {
    let map = |mappings: &str| format!("timer_histogram_mapping: [{mappings}]");
    let timing = "{statsd_type: timing, observer_type: gauge}";
    let histogram = "{statsd_type: histogram, observer_type: gauge}";
    let distribution = "{statsd_type: distribution, observer_type: summary}";
    let warnings = |yaml: &str| decoded(yaml).unwrap().1.join("\n");
    assert_eq!(warnings("{}"), "");
    assert_eq!(warnings(&map(&format!("{timing}, {histogram}"))), "");
    let text = warnings(&map(timing));
    assert!(text.contains("histograms and distributions have no mapping"), "{text}");
    let text = warnings(&map(&format!("{timing}, {histogram}, {distribution}")));
    assert!(text.contains("share one observer"), "{text}");
}

#[test]
fn lines_that_differ_in_order_and_rate_add_up() {
    let bench = Bench::of("{}");
    bench.send(1, "a:1|c|#x:1,y:2\na:1|c|#y:2,x:1|@0.5\na:1|c|@0.5|#x:1,y:2\n");
    bench.send(1, "a:7|c|#x:1\na:7|g");
    assert_eq!(bench.flush(), ["a{x=1,y=2} 5", "a{x=1} 7", "a{} 7.0"]);
    // Nothing came: nothing is said, and what comes then starts from nothing.
    assert_eq!(bench.flush(), Vec::<String>::new());
    bench.send(1, "a:1|c|#x:1,y:2\na:+3|g");
    assert_eq!(bench.flush(), ["a{x=1,y=2} 1", "a{} 3.0"]);
}

#[test]
fn times_are_those_of_the_interval() {
    let bench = Bench::of("timer_histogram_mapping: [{statsd_type: timing, observer_type: summary}, {statsd_type: histogram, observer_type: gauge}]");
    let second = 1_000_000_000;
    bench.flush();
    bench.clock.advance(Duration::from_secs(10));
    bench.send(1, "c:1|c\ng:1|g\nt:1|ms\nh:1|h");
    bench.clock.advance(Duration::from_secs(10));
    bench.send(1, "g:+1|g\nh:2|h");
    bench.clock.advance(Duration::from_secs(10));
    let mut times: Vec<_> = bench
        .intake
        .flush()
        .iter()
        .flat_map(|flushed| &flushed.points)
        .map(|p| (p.series.metric().name.to_string(), p.start_ns, p.time_ns))
        .map(|(name, start, time)| {
            (name, start.saturating_sub(START_NS) / second, (time - START_NS) / second)
        })
        .collect();
    times.sort();
    let of = |name: &str, start, time| (name.to_owned(), start, time);
    let expected = [of("c", 60, 90), of("g", 0, 70), of("h", 0, 70), of("h", 0, 80), of("t", 60, 90)];
    assert_eq!(times, expected);
}

#[test]
fn several_values_of_a_line_all_count() {
    let bench = Bench::of("{}");
    bench.send(1, "d:1:2.5:x:4|d\nc:1:2|c");
    assert_eq!(bench.flush(), ["c{} 3", "d{} 1.0", "d{} 2.5", "d{} 4.0"]);
    assert_eq!(bench.dropped(LineError::Value), 1);
}

#[test]
fn fractions_of_counters_stay_if_asked_for() {
    let lines = "d:2|c|@0.75\nd:2|c|@0.75";
    assert_eq!(Bench::of("{}").send(1, lines).flush(), ["d{} 4"]);
    let kept = Bench::of("counter_type: float").send(1, lines).flush();
    assert_eq!(kept, ["d{} 5.333333333333333"]);
}

#[test]
fn origin_of_newer_clients_is_no_error() {
    let bench = Bench::of("{}");
    bench.send(1, "a:1|c|#k:v|c:abc|e:it-false,cn-app|card:low");
    assert_eq!(bench.flush(), ["a{container.id=abc,k=v} 1"]);
    assert_eq!(bench.dropped_in_all(), 0.0);
}

#[test]
fn every_bad_line_is_counted_with_its_reason() {
    let bench = Bench::of("timer_histogram_mapping: [{statsd_type: timing, observer_type: gauge}]");
    let long = format!("{}:1|c", "x".repeat(300));
    for (line, reason) in [
        ("x", LineError::Format),
        ("_sc|check|0", LineError::Format),
        (":1|c", LineError::Name),
        ("a:|c", LineError::Value),
        ("a:b|c", LineError::Value),
        ("a:0x1p3|c", LineError::Value),
        ("a:nan|g", LineError::NotFinite),
        ("a:1e999|g", LineError::NotFinite),
        ("a:1|s", LineError::Type),
        ("_e{5,4}:title|text", LineError::Type),
        ("e:1|c  ", LineError::Type),
        ("a:1|c|@x", LineError::SampleRate),
        ("a:1|c|@1e-320", LineError::SampleRate),
        ("a:1e300|c|@1e-300", LineError::NotFinite),
        ("a:1|c|#x", LineError::Tag),
        ("a:1|c|#:x", LineError::Tag),
        ("a:1|c|Tx", LineError::Timestamp),
        ("a:1|ms|T1", LineError::Timestamp),
        ("a:1|c|T99999999999999", LineError::Timestamp),
        ("a:1|c|?", LineError::Part),
        ("a:1|h", LineError::Disabled),
    ] {
        // Twice: what is known of a line must not change the verdict.
        for _ in 0..2 {
            let before = (bench.dropped(reason), bench.dropped_in_all());
            bench.send(1, line);
            let after = (bench.dropped(reason), bench.dropped_in_all());
            assert_eq!(after, (before.0 + 1, before.1 + 1.0), "{line}");
        }
    }
    bench.intake.take(None, b"\xff:1|c\na:1|c|#\xff:1");
    assert_eq!(bench.dropped(LineError::Utf8), 2);
    assert_eq!(bench.send(1, &long).flush().len(), 1);
}

/// Weights beyond what counters hold stay at their end.
#[test]
fn tiny_sample_rates_do_not_overflow() {
    for observer in ["summary", "histogram"] {
        let bench = Bench::of(&format!(
            "timer_histogram_mapping: [{{statsd_type: timing, observer_type: {observer}}}, {{statsd_type: histogram, observer_type: histogram, histogram: {{max_size: 2, explicit_buckets: [{{matcher_pattern: x, buckets: [1]}}]}}}}]"
        ));
        for value in ["1e-9", "3", "-7e8", "1e5", "0"] {
            let line = |name, kind| format!("{name}:{value}|{kind}|@1e-200\n");
            bench.send(1, &(line("t", "ms") + &line("h", "h") + &line("x", "h") + &line("c", "c")));
        }
        assert_eq!((bench.flush().len(), bench.dropped_in_all()), (4, 0.0));
    }
}

#[test]
fn series_are_bounded_and_forgotten() {
    let bench = Bench::of("max_series: 2");
    bench.send(1, "a:1|c\nb:1|c\nc:1|c\na:1|c");
    assert_eq!(bench.dropped(LineError::SeriesLimit), 1);
    assert_eq!(bench.flush(), ["a{} 2", "b{} 1"]);
    for _ in 0..3 {
        bench.send(1, "a:1|c");
        bench.flush();
    }
    // `b` was idle for long enough: there is room again.
    bench.send(1, "c:1|c");
    assert_eq!(bench.flush(), ["c{} 1"]);
    for _ in 0..4 {
        bench.flush();
    }
    let table = bench.intake.table();
    assert_eq!((table.series(), table.bytes()), (0, 0));
}

/// A bad value must not keep a line alive whose series has gone: the place may be another's by then.
#[test]
fn a_known_line_with_bad_values_never_hits_another_series() {
    let bench = Bench::of("{}");
    bench.send(1, "old:1|c");
    for _ in 0..4 {
        bench.flush();
        bench.send(1, "old:x|c");
    }
    bench.flush();
    bench.send(1, "new:1|c\nold:5|c");
    assert_eq!(bench.flush(), ["new{} 1", "old{} 5"]);
}

#[test]
fn memory_is_bounded_and_known_counters_go_on() {
    let bench = Bench::of(
        "max_memory: 20KiB\ntimer_histogram_mapping: [{statsd_type: timing, observer_type: summary}, {statsd_type: histogram, observer_type: histogram}]",
    );
    bench.send(1, "c:1|c\nt:1|ms\nh:1|h");
    for n in 0..5000 {
        bench.send(1, &format!("t:{n}|ms\nh:{n}|h\nx{n}:1|c"));
        bench.send(2 + n, "c:1|c");
    }
    let refused = bench.dropped(LineError::MemoryLimit);
    assert!(refused > 10_000, "{refused}");
    assert!(bench.intake.table().bytes() < 40 << 10);
    bench.send(1, "c:1|c");
    assert!(bench.flush().contains(&"c{} 2".to_owned()));
}

#[test]
fn single_points_go_before_they_fill_the_table() {
    let bench = Bench::of("max_memory: 64KiB");
    for _ in 0..10 {
        for _ in 0..100 {
            bench.send(1, "t:1|ms");
        }
        if bench.intake.table().is_filling() {
            let early: usize = bench.intake.take_points().iter().map(|f| f.points.len()).sum();
            assert!(early >= 100);
        }
    }
    assert_eq!(bench.dropped_in_all(), 0.0);
}

#[test]
fn streams_are_cut_at_line_ends() {
    let (mut buffer, mut skipping) = (b"a\nb\nc".to_vec(), false);
    let mut whole = Vec::new();
    let mut refused = 0;
    let mut step = |buffer: &mut Vec<u8>, ended| {
        let take = |lines: &[u8]| whole.push(String::from_utf8_lossy(lines).into_owned());
        take_lines(buffer, &mut skipping, ended, take, |_| refused += 1);
    };
    step(&mut buffer, false);
    assert_eq!(buffer, b"c");
    buffer.extend_from_slice(b"d\n");
    step(&mut buffer, false);
    // A line too long is refused once and skipped to its end.
    buffer.extend_from_slice(&vec![b'x'; 70_000]);
    step(&mut buffer, false);
    buffer.extend_from_slice(&vec![b'x'; 70_000]);
    step(&mut buffer, false);
    buffer.extend_from_slice(b"xx\ne\nf");
    step(&mut buffer, false);
    step(&mut buffer, true);
    assert_eq!(whole.concat(), "a\nb\ncd\ne\nf");
    assert_eq!(refused, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever comes in, nothing panics, and a datagram costs no other sender anything.
    #[test]
    fn any_bytes_do_no_harm(
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..20),
        lines in prop::collection::vec("[a:|@#T,.0-9cgmshd\n\r+-]{0,40}", 0..20),
    ) {
        let bench = Bench::of("enable_simple_tags: true");
        for datagram in &datagrams {
            bench.intake.take(None, datagram);
        }
        for line in &lines {
            bench.intake.take(None, line.as_bytes());
        }
        bench.send(1, "sane:1|c");
        let points = bench.intake.flush();
        let sane = points.iter().flat_map(|f| &f.points).any(|p| plain(p) == "sane{} 1");
        prop_assert!(sane);
    }

    /// The fast way for lines that are known says the same as reading every line afresh.
    #[test]
    fn known_lines_count_like_new_ones(
        lines in prop::collection::vec((0..4u8, -50..50i32, 0..3u8, any::<bool>()), 1..60),
    ) {
        let bench = Bench::of("counter_type: float");
        let mut sums: std::collections::BTreeMap<String, f64> = std::collections::BTreeMap::new();
        for (name, value, tag, sampled) in lines {
            let rate = if sampled { "|@0.5" } else { "" };
            let line = format!("m{name}:{value}|c{rate}|#t:{tag}");
            let split = Line::split(line.as_bytes()).unwrap();
            let meaning = Meaning::of(split.rest, Options::default()).unwrap();
            let sum = sums.entry(format!("m{name}{{t={tag}}}")).or_default();
            *sum += f64::from(value) / meaning.sample_rate;
            bench.send(1, &line);
        }
        let expected: Vec<String> = sums.iter().map(|(k, v)| format!("{k} {v:?}")).collect();
        prop_assert_eq!(bench.flush(), expected);
    }
}

/// Passes batches on to a test.
struct Sink(mpsc::Sender<Batch>);

impl Consumer for Sink {
    fn consume(&self, batch: Batch) -> BoxFut<'_, Result<(), Reject>> {
        Box::pin(async move {
            let _sent = self.0.send(batch).await;
            Ok(())
        })
    }
}

/// Starts a receiver; its address, what ends it, its batches and its work.
fn started(yaml: &str) -> (Option<SocketAddr>, Stop, mpsc::Receiver<Batch>, Running, BuildCtx) {
    let config = config(yaml).unwrap();
    let id = ComponentId::parse("statsd").unwrap();
    let cx = BuildCtx::standalone(id, ComponentKind::Receiver, None);
    let (sink, batches) = mpsc::channel(64);
    let out = Outputs {
        metrics: Some(Arc::new(Sink(sink))),
        ..Outputs::default()
    };
    let stop = Stop::default();
    let listening = Listening::open(&config).unwrap();
    let address = listening.local_addr();
    let receiver = StatsdReceiver {
        config,
        cx: cx.clone(),
    };
    let running = receiver.serve(listening, out, stop.clone());
    (address, stop, batches, running, cx)
}

fn points_of(batch: &Batch) -> Vec<String> {
    let Data::Metrics(metrics) = &batch.data else {
        panic!("metrics")
    };
    metrics.points().map(plain).collect()
}

/// Waits until so many lines have come in, then stops; the lines of all batches.
async fn until_stopped(
    lines: f64,
    stop: Stop,
    mut batches: mpsc::Receiver<Batch>,
    running: Running,
    cx: &BuildCtx,
) -> Vec<String> {
    let telemetry = Arc::clone(&cx.telemetry);
    let stopping = async move {
        while telemetry.total("otelcol_receiver_statsd_received_lines") < lines {
            tokio::task::yield_now().await;
        }
        stop.stop(Deadline::after(Duration::from_secs(5)));
    };
    let (result, ()) = tokio::join!(running, stopping);
    result.unwrap();
    let mut found = Vec::new();
    while let Ok(batch) = batches.try_recv() {
        found.extend(points_of(&batch));
    }
    found.sort();
    found
}

/// What came since the last flush is not lost when the program stops.
#[tokio::test]
async fn udp_lines_are_handed_on_at_the_stop() {
    let yaml = "endpoint: 127.0.0.1:0\naggregation_interval: 1h\n";
    let (address, stop, batches, running, cx) = started(yaml);
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"a:1|c\na:2|c", address.unwrap()).unwrap();
    sender.send_to(b"t:5|ms", address.unwrap()).unwrap();
    let found = until_stopped(3.0, stop, batches, running, &cx).await;
    assert_eq!(found, ["a{} 3", "t{} 5.0"]);
    assert_eq!(cx.telemetry.total("otelcol_receiver_accepted_metric_points"), 2.0);
}

#[tokio::test]
async fn tcp_connections_add_up_and_the_last_line_needs_no_end() {
    let yaml = "endpoint: 127.0.0.1:0\ntransport: tcp\naggregation_interval: 1h\n";
    let (address, stop, batches, running, cx) = started(yaml);
    let send = async {
        for _ in 0..2 {
            let mut stream = tokio::net::TcpStream::connect(address.unwrap()).await.unwrap();
            stream.write_all(b"a:1|c\r\na:").await.unwrap();
            stream.write_all(b"2|c").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    };
    let ((), found) = tokio::join!(send, until_stopped(4.0, stop, batches, running, &cx));
    assert_eq!(found, ["a{} 6"]);
}

#[tokio::test]
async fn unix_datagrams_come_from_one_sender() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("statsd.sock");
    let yaml = format!(
        "endpoint: {}\ntransport: unixgram\naggregation_interval: 1h\nsocket_buffer_size: 100000\n",
        path.display()
    );
    let (_, stop, batches, running, cx) = started(&yaml);
    for _ in 0..2 {
        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        sender.send_to(b"a:1|c", &path).unwrap();
    }
    let found = until_stopped(2.0, stop, batches, running, &cx).await;
    assert_eq!(found, ["a{} 2"]);
    assert!(!path.exists());
}

/// Time stands still but for the ticks: one flush an interval, none when there is nothing.
#[tokio::test(start_paused = true)]
async fn the_interval_decides_when_to_hand_on() {
    let (address, _stop, mut batches, running, cx) = started("endpoint: 127.0.0.1:0\n");
    cx.tasks.spawn("receiver", async move { drop(running.await) });
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let begin = Instant::now();
    for round in 1..=2 {
        sender.send_to(b"a:1|c", address.unwrap()).unwrap();
        let lines = f64::from(round);
        while cx.telemetry.total("otelcol_receiver_statsd_received_lines") < lines {
            tokio::task::yield_now().await;
        }
        let batch = batches.recv().await.unwrap();
        assert_eq!(points_of(&batch), ["a{} 1"]);
        let sender = batch.client.as_ref().unwrap().address.unwrap();
        assert!(sender.ip().is_loopback());
        assert_eq!(begin.elapsed().as_secs(), 60 * round as u64);
    }
}
