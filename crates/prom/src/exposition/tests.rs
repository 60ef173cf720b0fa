#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::let_underscore_must_use, clippy::type_complexity)]
use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::cache::{Lookup, ScrapeCache};
use crate::labels::LabelSet;

/// Expects this text.
struct Text(&'static [u8]);

impl Expected for Text {
    fn length_in(&self, text: &[u8]) -> Option<usize> {
        text.starts_with(self.0).then_some(self.0.len())
    }
}

/// A sample with everything decoded, for comparison.
#[derive(Debug, Clone, PartialEq)]
struct Decoded {
    labels: Vec<(String, String)>,
    value: u64,
    timestamp_ms: Option<i64>,
    exemplar: Option<(Vec<(String, String)>, u64, Option<i64>)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Found {
    Sample(Decoded),
    Type(String, MetricType),
    Help(String, String),
    Unit(String, String),
}

/// Reads a body given in blocks that end at the given places, as a receiver does.
fn read(format: TextFormat, body: &[u8], cuts: &[usize]) -> Result<Vec<Found>, String> {
    let mut scanner = Scanner::new(format);
    let mut found = Vec::new();
    let mut set = LabelSet::new();
    let mut start = 0;
    let mut cuts = cuts.iter().copied().filter(|cut| *cut < body.len());
    loop {
        let cut = cuts.next();
        // Blocks end with a line end.
        let end =
            cut.map(|cut| memchr::memchr(b'\n', &body[cut..]).map_or(body.len(), |n| cut + n + 1));
        let end = end.unwrap_or(body.len()).max(start);
        let last = end == body.len();
        let mut block = Block::new(&body[start..end], last);
        loop {
            match scanner
                .step(&mut block, &())
                .map_err(|error| error.to_string())?
            {
                Step::Sample(sample) => {
                    assert!(!sample.known);
                    scanner
                        .labels_into(sample.series, &mut set)
                        .map_err(|error| error.to_string())?;
                    let exemplar = sample.exemplar.map(|exemplar| {
                        let mut labels = Vec::new();
                        scanner
                            .exemplar_labels(&exemplar, |n, v| labels.push((n.into(), v.into())))
                            .unwrap();
                        (labels, exemplar.value.to_bits(), exemplar.timestamp_ms)
                    });
                    found.push(Found::Sample(Decoded {
                        labels: set.iter().map(|(n, v)| (n.into(), v.into())).collect(),
                        value: sample.value.to_bits(),
                        timestamp_ms: sample.timestamp_ms,
                        exemplar,
                    }));
                }
                Step::Metadata(metadata) => found.push(match metadata.entry.unwrap() {
                    MetadataEntry::Type(name, kind) => Found::Type(name.into(), kind),
                    MetadataEntry::Help(name, text) => {
                        Found::Help(name.into(), unescape_help(text, format).into_owned())
                    }
                    MetadataEntry::Unit(name, unit) => Found::Unit(name.into(), unit.into()),
                }),
                Step::End => return Ok(found),
                Step::NeedMore => break,
            }
        }
        assert!(!last, "the last block must end or fail");
        start += block.consumed();
    }
}

fn text(body: &str) -> Result<Vec<Found>, String> {
    read(TextFormat::Prometheus, body.as_bytes(), &[])
}

fn open_metrics(body: &str) -> Result<Vec<Found>, String> {
    read(TextFormat::OpenMetrics, body.as_bytes(), &[])
}

fn sample(labels: &[(&str, &str)], value: f64) -> Decoded {
    Decoded {
        labels: labels
            .iter()
            .map(|(n, v)| ((*n).into(), (*v).into()))
            .collect(),
        value: value.to_bits(),
        timestamp_ms: None,
        exemplar: None,
    }
}

fn samples(found: Vec<Found>) -> Vec<Decoded> {
    found
        .into_iter()
        .filter_map(|found| {
            if let Found::Sample(sample) = found {
                Some(sample)
            } else {
                None
            }
        })
        .collect()
}

/// PROM-72: every page of the OpenMetrics project is accepted or refused as by the reference.
#[test]
fn open_metrics_cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/openmetrics");
    let table = std::fs::read_to_string(folder.join("expect.tsv")).unwrap();
    let mut wrong = String::new();
    let (mut accepted, mut refused) = (0, 0);
    for row in table.lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let body = std::fs::read(folder.join("cases").join(columns[0]).join("metrics")).unwrap();
        let mut result = read(TextFormat::OpenMetrics, &body, &[]);
        // The parser of the reference passes repeated labels on; its scrape loop refuses them.
        if result
            .as_ref()
            .is_err_and(|error| error.contains("is given twice"))
        {
            result = Ok(Vec::new());
        }
        if result.is_ok() {
            accepted += 1;
        } else {
            refused += 1;
        }
        if (columns[2] == "accept") != result.is_ok() {
            let _ = writeln!(
                wrong,
                "{}: expected {}, got {result:?}",
                columns[0], columns[2]
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!((accepted, refused), (124, 87));
}

#[test]
fn text_page() {
    let found = text(
        "# HELP http_requests_total Total \\\\ requests.\\n\"quoted\"\n\
         # TYPE http_requests_total counter\n\
         http_requests_total{code=\"200\",method=\"get\"} 1027 1395066363000\n\
         \n# just a comment\n#comment\n# HELP\n   \t\n\
         \thttp_requests_total { code = \"400\" , path=\"C:\\\\d\\n\\x\" , }  3 \n\
         metric_without_labels 12.47\n\
         odd{a=\"b\"c=\"d\"}+Inf\n\
         empty{}1",
    )
    .unwrap();
    assert_eq!(
        found[..2],
        [
            Found::Help(
                "http_requests_total".into(),
                "Total \\ requests.\n\"quoted\"".into()
            ),
            Found::Type("http_requests_total".into(), MetricType::Counter),
        ]
    );
    let mut first = sample(
        &[
            ("__name__", "http_requests_total"),
            ("code", "200"),
            ("method", "get"),
        ],
        1027.0,
    );
    first.timestamp_ms = Some(1_395_066_363_000);
    assert_eq!(
        samples(found),
        [
            first,
            sample(
                &[
                    ("__name__", "http_requests_total"),
                    ("code", "400"),
                    ("path", "C:\\d\n\\x")
                ],
                3.0
            ),
            sample(&[("__name__", "metric_without_labels")], 12.47),
            sample(
                &[("__name__", "odd"), ("a", "b"), ("c", "d")],
                f64::INFINITY
            ),
            sample(&[("__name__", "empty")], 1.0),
        ]
    );
}

#[test]
fn quoted_names() {
    let found = text(
        "# TYPE \"http.requests\" counter\n{\"http.requests\",\"method.name\"=\"get\"} 5\n\
         {a=\"b\", \"x y\"} 3\n",
    )
    .unwrap();
    assert_eq!(
        found[0],
        Found::Type("http.requests".into(), MetricType::Counter)
    );
    assert_eq!(
        samples(found),
        [
            sample(
                &[("__name__", "http.requests"), ("method.name", "get")],
                5.0
            ),
            sample(&[("__name__", "x y"), ("a", "b")], 3.0),
        ]
    );
    for body in [
        "{} 1\n",
        "{a=\"b\"} 1\n",
        "{\"x\",\"y\"} 1\n",
        "x{\"y\"} 1\n",
        "{x} 1\n",
    ] {
        assert!(text(body).is_err(), "{body}");
        assert!(open_metrics(&format!("{body}# EOF\n")).is_err(), "{body}");
    }
}

#[test]
fn bucket_bounds_are_normalised() {
    let found = text(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+inf\"} 2\n\
         # TYPE s summary\ns{quantile=\"0.50\"} 1\n# TYPE g gauge\ng{le=\"1\"} 1\n",
    )
    .unwrap();
    let values: Vec<String> = samples(found)
        .into_iter()
        .map(|sample| sample.labels[1].1.clone())
        .collect();
    assert_eq!(values, ["1.0", "+Inf", "0.5", "1"]);
}

#[test]
fn open_metrics_page() {
    let found = open_metrics(
        "# TYPE foo_seconds histogram\n# UNIT foo_seconds seconds\n# HELP foo_seconds Say \\\"x\\\"\n\
         foo_seconds_bucket{le=\"1\"} 4 1520879607.789 # {trace_id=\"KOO\",a=\"\"} 0.67 1520879607.7\n\
         foo_seconds_bucket{le=\"+Inf\"} 5 # {} 3\n# EOF",
    )
    .unwrap();
    assert_eq!(
        found[..3],
        [
            Found::Type("foo_seconds".into(), MetricType::Histogram),
            Found::Unit("foo_seconds".into(), "seconds".into()),
            Found::Help("foo_seconds".into(), "Say \"x\"".into()),
        ]
    );
    let mut first = sample(&[("__name__", "foo_seconds_bucket"), ("le", "1.0")], 4.0);
    first.timestamp_ms = Some(1_520_879_607_789);
    first.exemplar = Some((
        vec![
            ("trace_id".into(), "KOO".into()),
            ("a".into(), String::new()),
        ],
        0.67_f64.to_bits(),
        Some(1_520_879_607_700),
    ));
    let mut second = sample(&[("__name__", "foo_seconds_bucket"), ("le", "+Inf")], 5.0);
    second.exemplar = Some((vec![], 3f64.to_bits(), None));
    assert_eq!(samples(found), [first, second]);
}

/// The rows of section 10.1 of the specification that were seen at the reference.
#[test]
fn refused_text() {
    for (body, line, reason) in [
        ("a 1\nb 2\r\n", 2, Reason::CarriageReturn),
        ("# HELP -\n", 1, Reason::MetadataName),
        ("# TYPE a unknown\n", 1, Reason::UnknownType),
        ("# TYPE a counter \n", 1, Reason::UnknownType),
        ("a 1e999\n", 1, Reason::ValueRange),
        ("a 0x1p4\n", 1, Reason::BadValue),
        ("a 1_0\n", 1, Reason::BadValue),
        ("a 1 -5\n", 1, Reason::BadTimestamp),
        ("a 1 9223372036854775808\n", 1, Reason::BadTimestamp),
        ("a 1 5 6\n", 1, Reason::TrailingText),
        ("a\n", 1, Reason::ExpectedValue),
        ("a{b=\"c\n\nd\"} 1\n\n1a 2\n", 5, Reason::ExpectedName),
        ("a{b} 1\n", 1, Reason::ExpectedEqual),
        ("a{b=c} 1\n", 1, Reason::ExpectedLabelValue),
        ("a{1b=\"c\"} 1\n", 1, Reason::ExpectedLabelName),
        ("a{,} 1\n", 1, Reason::ExpectedLabelName),
        ("a{b=\"c\n", 1, Reason::UnterminatedString),
        ("a{b=\"c\\\n\"} 1\n", 1, Reason::BadString),
        ("<html>\n", 1, Reason::ExpectedName),
    ] {
        let mut scanner = Scanner::new(TextFormat::Prometheus);
        let mut block = Block::new(body.as_bytes(), true);
        let error = loop {
            match scanner.step(&mut block, &()) {
                Err(error) => break error,
                Ok(Step::End | Step::NeedMore) => panic!("accepted {body:?}"),
                Ok(_) => {}
            }
        };
        assert_eq!((error.line, error.reason), (line, reason), "{body:?}");
    }
    assert_eq!(
        text("a{b=\"c\",b=\"d\"} 1\n"),
        Err("label `b` is given twice".into()),
        "a repeated label fails the scrape"
    );
    assert!(read(TextFormat::Prometheus, b"a{b=\"\xff\"} 1\n", &[]).is_err());
    assert!(read(TextFormat::Prometheus, b"# HELP a \xff\n", &[]).is_err());
}

#[test]
fn nul_ends_the_page_at_a_line_start() {
    assert_eq!(samples(text("a 1\n\0garbage {").unwrap()).len(), 1);
    assert!(text("a \0 1\n").is_err());
    assert_eq!(
        samples(text("a{b=\"\0\"} 1\n").unwrap())[0].labels[1].1,
        "\0"
    );
}

#[test]
fn open_metrics_needs_its_end() {
    for body in [
        "",
        "a 1\n",
        "a 1\n# EOF\nb 2\n",
        "a 1\n# EOF\n\n",
        "# EOFx",
        "a 1 \n# EOF\n",
    ] {
        assert!(open_metrics(body).is_err(), "{body:?}");
    }
    assert!(open_metrics("# EOF").is_ok());
    assert!(text("").is_ok(), "an empty text page has no samples");
}

/// A known line is read without its labels, and a longer one is not mistaken for it.
#[test]
fn expected_lines() {
    let body = b"# TYPE a gauge\na{b=\"c\"} 1\nab 2\na 3\na {x=\"y\"} 4\n";
    let expected: [&'static [u8]; 5] = [b"# TYPE a gauge", b"a{b=\"c\"}", b"a", b"a", b"a"];
    let mut scanner = Scanner::new(TextFormat::Prometheus);
    let mut block = Block::new(body, true);
    let known: Vec<bool> = expected
        .iter()
        .map(
            |expected| match scanner.step(&mut block, &Text(expected)).unwrap() {
                Step::Sample(sample) => sample.known,
                Step::Metadata(metadata) => metadata.entry.is_none(),
                other => panic!("{other:?}"),
            },
        )
        .collect();
    assert_eq!(known, [true, true, false, true, false]);
    assert_eq!(scanner.metric_type(), MetricType::Gauge);
}

#[test]
fn an_error_reads_the_same_whole_or_in_blocks() {
    // found by fuzzing: the blank before a string over two lines was read with the first block
    let body = b" {\"b\n\0\n\"";
    let told = |cut: usize| {
        let mut scanner = Scanner::new(TextFormat::Prometheus);
        let mut start = 0;
        for end in [cut, body.len()] {
            let mut block = Block::new(&body[start..end], end == body.len());
            loop {
                match scanner.step(&mut block, &()) {
                    Err(error) => return error,
                    Ok(Step::End) => panic!("accepted"),
                    Ok(Step::NeedMore) => break,
                    Ok(_) => {}
                }
            }
            start += block.consumed();
        }
        panic!("neither end nor error");
    };
    let whole = told(0);
    assert_eq!((whole.line, whole.excerpt.as_str()), (1, "{\"b"));
    for cut in [5, 7] {
        assert_eq!(body[cut - 1..cut], *b"\n");
        assert_eq!(told(cut), whole, "cut at {cut}");
    }
}

#[test]
fn errors_show_line_and_text() {
    let mut body = "x 1\n".repeat(10);
    body.push_str("y{ 2\n");
    assert_eq!(
        read(TextFormat::Prometheus, body.as_bytes(), &[3, 17]).unwrap_err(),
        "line 11: expected a label name or `}` in \"y{ 2\""
    );
}

proptest! {
    #[test]
    fn never_panics(body in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(0..200usize, 0..4)) {
        let _ = read(TextFormat::Prometheus, &body, &cuts);
        let _ = read(TextFormat::OpenMetrics, &body, &cuts);
    }

    #[test]
    fn never_panics_on_near_misses(parts in prop::collection::vec(
        prop::sample::select(vec!["a", "{", "}", "\"", "=", ",", " ", "\n", "# TYPE a counter", "# HELP ", "# EOF", "\\", "1", "1e5", "NaN", " # {", "\0", "\t", "\r", "\u{e9}", "_x:"]), 0..40)) {
        let body = parts.concat();
        let whole = text(&body);
        let cut = read(TextFormat::Prometheus, body.as_bytes(), &[1, 5, 9]);
        prop_assert_eq!(&whole, &cut);
        let whole = open_metrics(&body);
        let cut = read(TextFormat::OpenMetrics, body.as_bytes(), &[1, 5, 9]);
        prop_assert_eq!(&whole, &cut);
    }

    /// The independent parser agrees on pages that it reads in full.
    #[test]
    fn agrees_with_prometheus_parse(rows in prop::collection::vec(
        ("[a-z][a-z0-9_]{0,8}", prop::collection::btree_map("[a-z][a-z0-9_]{0,5}", "[a-zA-Z0-9/_.:;+-]{0,8}", 0..4), -1e9..1e9f64, prop::option::of(0..4_000_000_000_000i64)), 0..20)) {
        let mut body = String::new();
        for (name, labels, value, time) in &rows {
            body.push_str(name);
            if !labels.is_empty() {
                let pairs: Vec<String> = labels.iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
                let _ = write!(body, "{{{}}}", pairs.join(","));
            }
            let _ = write!(body, " {value}");
            if let Some(time) = time { let _ = write!(body, " {time}"); }
            body.push('\n');
        }
        let ours = samples(text(&body).unwrap());
        let oracle = prometheus_parse::Scrape::parse(body.lines().map(|line| Ok(line.to_owned()))).unwrap();
        prop_assert_eq!(ours.len(), rows.len());
        prop_assert_eq!(oracle.samples.len(), rows.len());
        for (ours, theirs) in ours.iter().zip(&oracle.samples) {
            prop_assert_eq!(&ours.labels[0].1, &theirs.metric);
            let labels: std::collections::BTreeMap<_, _> = theirs.labels.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
            let own: std::collections::BTreeMap<_, _> = ours.labels.iter().skip(1).cloned().collect();
            prop_assert_eq!(own, labels);
            let prometheus_parse::Value::Untyped(value) = theirs.value else { panic!("untyped") };
            prop_assert_eq!(ours.value, value.to_bits());
            if let Some(time) = ours.timestamp_ms {
                prop_assert_eq!(time, theirs.timestamp.timestamp_millis());
            }
        }
    }
}

/// Reads a body with the series cache: the short way for lines that it knows.
fn read_cached(
    format: TextFormat,
    cache: &mut ScrapeCache<Vec<(String, String)>>,
    body: &[u8],
) -> Result<Vec<Decoded>, ParseError> {
    let mut scanner = Scanner::new(format);
    let mut set = LabelSet::new();
    let mut found = Vec::new();
    let mut block = Block::new(body, true);
    cache.begin();
    loop {
        match scanner.step(&mut block, cache)? {
            Step::Sample(sample) => {
                let place = match (
                    sample.known,
                    cache.look_up_unless(sample.known, sample.series),
                ) {
                    (true, _) => cache.advance().unwrap(),
                    (_, Lookup::Known(place) | Lookup::Repeated(place)) => place,
                    (_, Lookup::New) => {
                        // Labels that are refused fail a scrape; here they stay empty.
                        let _valid = scanner.labels_into(sample.series, &mut set);
                        let labels = set.iter().map(|(n, v)| (n.into(), v.into())).collect();
                        cache.insert(sample.series, labels).unwrap()
                    }
                };
                found.push(Decoded {
                    labels: cache.value(place).unwrap().clone(),
                    value: sample.value.to_bits(),
                    timestamp_ms: sample.timestamp_ms,
                    exemplar: None,
                });
            }
            Step::Metadata(metadata) => match metadata.entry {
                None => drop(cache.advance()),
                Some(_) => {
                    if cache.look_up(metadata.line) == Lookup::New {
                        cache.insert(metadata.line, Vec::new()).unwrap();
                    }
                }
            },
            Step::End => {
                cache.finish(drop);
                return Ok(found);
            }
            Step::NeedMore => panic!("one block"),
        }
    }
}

impl<T> ScrapeCache<T> {
    /// A look-up that is not made for a known line.
    fn look_up_unless(&mut self, known: bool, line: &[u8]) -> Lookup {
        if known {
            Lookup::New
        } else {
            self.look_up(line)
        }
    }
}

proptest! {
    /// A page read with what earlier pages left in the cache gives what it gives without.
    #[test]
    fn known_lines_read_the_same(pages in prop::collection::vec(prop::collection::vec(
        prop::sample::select(vec![
            "a 1\n", "a 2 5\n", "a{} 1\n", "a {b=\"c\"} 1\n", "a{b=\"c\"} 1\n", "a{b=\"c\"}2\n", "ab 3\n",
            "a{b=\"c\\\\\"} 4\n", "a{b=\"c\",} 4\n", "{\"a\"} 5\n", "# HELP a text\n", "# HELP a text more\n",
            "# TYPE a gauge\n", "# free\n", "\n", " a 6\n", "a{b=\"\n\"} 7\n", "a{b=\"c\"}{ 1\n", "a x\n",
        ]), 0..12), 1..5)) {
        let mut cache = ScrapeCache::new(3);
        for page in pages {
            let body = page.concat();
            let plain = read_cached(TextFormat::Prometheus, &mut ScrapeCache::new(4), body.as_bytes());
            let cached = read_cached(TextFormat::Prometheus, &mut cache, body.as_bytes());
            prop_assert_eq!(&plain, &cached);
            let again = read_cached(TextFormat::Prometheus, &mut cache, body.as_bytes());
            prop_assert_eq!(&plain, &again);
            let open = format!("{body}# EOF\n");
            let plain = read_cached(TextFormat::OpenMetrics, &mut ScrapeCache::new(4), open.as_bytes());
            let mut own = ScrapeCache::new(5);
            for _ in 0..2 {
                let cached = read_cached(TextFormat::OpenMetrics, &mut own, open.as_bytes());
                prop_assert_eq!(&plain, &cached);
            }
        }
    }
}
