//! The protobuf form of the page: who gets it, and that it tells what the text does.

use proptest::collection::vec;
use proptest::prelude::*;
use weir_prom::exposition::protobuf::{
    Family, HistogramForms, NativeSample, ProtoError, ProtoExemplar, ProtoSample, ProtoSeries,
    ProtoVisitor, read_families,
};
use weir_prom::exposition::{
    Block, InvalidSeries, MetadataEntry, Scanner, Step, TextFormat, unescape_help,
};
use weir_prom::labels::LabelSet;

use super::super::accept::Format;
use super::*;

const PROTOBUF: &str = "application/vnd.google.protobuf;\
                        proto=io.prometheus.client.MetricFamily;encoding=delimited";

/// What a page says, as lines in an order of their own.
#[derive(Debug, Default, PartialEq)]
struct Said {
    families: Vec<String>,
    series: Vec<String>,
    natives: Vec<NativeSample<'static>>,
}

impl Said {
    fn family(&mut self, name: &str, what: &str) {
        // In OpenMetrics the name of a counter ends before `_total`.
        let name = name.strip_suffix("_total").unwrap_or(name);
        self.families.push(format!("{name} {what}"));
    }

    fn sorted(mut self) -> Self {
        self.families.sort();
        self.series.sort();
        self
    }
}

#[derive(Debug)]
struct Failure;

impl From<ProtoError> for Failure {
    fn from(error: ProtoError) -> Self {
        panic!("{error}")
    }
}

impl From<InvalidSeries> for Failure {
    fn from(error: InvalidSeries) -> Self {
        panic!("{error}")
    }
}

fn exemplar_text(labels: &[(String, String)], value: f64, time: Option<i64>) -> String {
    format!(" # {labels:?} {value:?} {time:?}")
}

impl ProtoVisitor for Said {
    type Error = Failure;

    fn family(&mut self, family: &Family<'_>) -> Result<(), Failure> {
        Said::family(self, family.name, &format!("help {:?}", family.help));
        Said::family(self, family.name, &format!("type {}", family.kind.as_str()));
        if !family.unit.is_empty() {
            Said::family(self, family.name, &format!("unit {}", family.unit));
        }
        Ok(())
    }

    fn sample(&mut self, series: &ProtoSeries<'_>, sample: ProtoSample<'_>) -> Result<(), Failure> {
        let mut set = LabelSet::new();
        series.labels_into(&mut set)?;
        let exemplar = sample.exemplar.map_or_else(String::new, |exemplar| {
            let ProtoExemplar { labels, value, timestamp_ms } = exemplar;
            let owned = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            exemplar_text(&owned.collect::<Vec<_>>(), *value, *timestamp_ms)
        });
        let (value, time) = (sample.value, sample.timestamp_ms);
        self.series.push(format!("{set} {value:?} {time:?}{exemplar}"));
        Ok(())
    }

    fn native(&mut self, series: &ProtoSeries<'_>, sample: &NativeSample<'_>) -> Result<(), Failure> {
        let mut set = LabelSet::new();
        series.labels_into(&mut set)?;
        self.series.push(format!("{set} native, {} exemplars", sample.exemplars.len()));
        self.natives.push(NativeSample { exemplars: Vec::new(), ..sample.clone() });
        Ok(())
    }
}

fn from_protobuf(page: &[u8], native: bool) -> Said {
    let mut said = Said::default();
    read_families(page, HistogramForms { native, classic_too: false }, &mut said).unwrap();
    said
}

fn from_text(page: &[u8], format: TextFormat) -> Said {
    let (mut said, mut set) = (Said::default(), LabelSet::new());
    let (mut scanner, mut block) = (Scanner::new(format), Block::new(page, true));
    loop {
        match scanner.step(&mut block, &()).unwrap() {
            Step::End => return said,
            Step::NeedMore => panic!("the page ends within a line"),
            Step::Metadata(line) => match line.entry.unwrap() {
                MetadataEntry::Help(name, help) => {
                    said.family(name, &format!("help {:?}", unescape_help(help, format)));
                }
                MetadataEntry::Type(name, kind) => {
                    said.family(name, &format!("type {}", kind.as_str()));
                }
                MetadataEntry::Unit(name, unit) => said.family(name, &format!("unit {unit}")),
            },
            Step::Sample(sample) => {
                scanner.labels_into(sample.series, &mut set).unwrap();
                let exemplar = sample.exemplar.map_or_else(String::new, |exemplar| {
                    let mut labels = Vec::new();
                    let visit = |name: &str, value: &str| {
                        labels.push((name.to_owned(), value.to_owned()));
                    };
                    scanner.exemplar_labels(&exemplar, visit).unwrap();
                    exemplar_text(&labels, exemplar.value, exemplar.timestamp_ms)
                });
                let (value, time) = (sample.value, sample.timestamp_ms);
                said.series.push(format!("{set} {value:?} {time:?}{exemplar}"));
            }
        }
    }
}

fn any_number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-1e6..1e6).prop_map(|value| json!({"asDouble": value})),
        any::<i32>().prop_map(|value| json!({"asInt": value.to_string()})),
        Just(json!({"asDouble": "NaN"})),
        Just(json!({"asDouble": "-Infinity"})),
        Just(json!({"asInt": "0"})),
    ]
}

// Times are eighths of seconds: the reader of OpenMetrics, as that of Prometheus, cuts off what a
// double cannot hold.

fn any_exemplars() -> impl Strategy<Value = Value> {
    let one = (prop::option::of(-1.0..5.0), 0..3_u64, any::<bool>()).prop_map(|(value, time, traced)| {
        let mut exemplar = json!({"timeUnixNano": (time * 1_250_000_000).to_string()});
        if let Some(value) = value {
            exemplar["asDouble"] = json!(value);
        }
        if traced {
            exemplar["traceId"] = json!("0102030405060708090a0b0c0d0e0f10");
            exemplar["spanId"] = json!("00000000000000ff");
        }
        exemplar
    });
    vec(one, 0..4).prop_map(Value::from)
}

fn any_point() -> impl Strategy<Value = Value> {
    let attributes = prop::collection::btree_map(
        prop::sample::select(vec!["a", "a.b", "\u{e9}\"\\"]),
        "[a\\\\\"\n,={}\u{e9}]{1,4}",
        0..3,
    );
    let number = any_number();
    (number, attributes, 1..3_u64, any_exemplars(), any::<bool>()).prop_map(
        |(mut point, attributes, second, exemplars, started)| {
            let attributes = attributes.iter().map(|(key, value)| {
                json!({"key": key, "value": {"stringValue": value}})
            });
            point["attributes"] = attributes.collect();
            point["timeUnixNano"] = json!((second * 1_125_000_000).to_string());
            point["startTimeUnixNano"] = json!(if started { "5000000001" } else { "0" });
            point["exemplars"] = exemplars;
            point
        },
    )
}

fn without_value(point: &mut Value) {
    let point = point.as_object_mut().unwrap();
    point.retain(|key, _| !key.starts_with("as"));
}

/// A metric of any type, without its name.
fn any_metric() -> impl Strategy<Value = Value> {
    let counts = vec(prop_oneof![Just(0_u64), 0..300_u64], 1..5);
    let numbers = (counts, -4..12, any::<bool>(), prop::option::of(-10.0..10.0));
    let texts = (prop::sample::select(vec!["", "s", "By", "1"]), "[a\"\\\\\n ]{0,4}");
    (0..7, vec(any_point(), 1..4), numbers, texts).prop_map(
        |(kind, mut points, (counts, scale, gap, sum), (unit, help))| {
            let total: u64 = counts.iter().sum();
            for point in points.iter_mut().filter(|_| kind > 3) {
                without_value(point);
                point["count"] = json!(total.to_string());
                if let Some(sum) = sum {
                    point["sum"] = json!(sum);
                }
            }
            let mut metric = json!({"unit": unit, "description": help});
            match kind {
                0 => metric["gauge"] = json!({"dataPoints": points}),
                1 => metric["sum"] = json!({"aggregationTemporality": 2, "dataPoints": points}),
                2 | 3 => {
                    metric["sum"] = json!({"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": points});
                }
                4 => {
                    let bounds: Vec<f64> = (1..counts.len()).map(|at| at as f64 * 0.75).collect();
                    for point in &mut points {
                        point["bucketCounts"] = counts.iter().map(ToString::to_string).collect();
                        point["explicitBounds"] = json!(bounds);
                    }
                    metric["histogram"] = json!({"aggregationTemporality": 2, "dataPoints": points});
                }
                5 => {
                    let (first, rest) = counts.split_first().unwrap();
                    for point in &mut points {
                        // In the text they are at the bucket that holds everything.
                        point["exemplars"] = json!([]);
                        point["scale"] = json!(scale);
                        point["zeroCount"] = json!(first.to_string());
                        let side = if gap { "negative" } else { "positive" };
                        point[side] = json!({"offset": -3,
                            "bucketCounts": rest.iter().map(ToString::to_string).collect::<Vec<_>>()});
                    }
                    metric["exponentialHistogram"] = json!({"aggregationTemporality": 2, "dataPoints": points});
                }
                _ => {
                    for point in &mut points {
                        point["exemplars"] = json!([]);
                        point["quantileValues"] = json!([{"quantile": 0.5, "value": 1.25}, {"quantile": 1, "value": "NaN"}]);
                    }
                    metric["summary"] = json!({"dataPoints": points});
                }
            }
            metric
        },
    )
}

proptest! {
    /// Families, series, values, times and exemplars of the protobuf page, where histograms are
    /// read as classic ones, are those of the OpenMetrics page.
    #[test]
    fn the_protobuf_page_says_what_the_text_does(
        metrics in vec(any_metric(), 0..6),
        full in any::<bool>(),
        timestamps in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let bench = bench(&json!({"enable_open_metrics": true, "send_timestamps": timestamps,
                "translation_strategy": "NoUTF8EscapingWithSuffixes"}));
            let named = metrics.into_iter().enumerate().map(|(at, mut metric)| {
                metric["name"] = json!(format!("m.{at}"));
                metric
            });
            let attributes = [("service.name", "shop"), ("service.instance.id", "1"), ("host.name", "a\"b")]
                .map(|(key, value)| json!({"key": key, "value": {"stringValue": value}}));
            bench.send_body(&json!({"resourceMetrics": [{"resource": {"attributes": attributes},
                "scopeMetrics": [{"metrics": named.collect::<Vec<_>>()}]}]}));
            let escaping = if full { ";escaping=allow-utf-8" } else { "" };
            let open = format!("application/openmetrics-text;version=1.0.0{escaping}");
            let text = from_text(&bench.bytes(Some(&open)).await, TextFormat::OpenMetrics);
            let accept = format!("{PROTOBUF};q=1,{open};q=0.5");
            let protobuf = from_protobuf(&bench.bytes(Some(&accept)).await, false);
            prop_assert_eq!(protobuf.sorted(), text.sorted());
            // Points of the same series may come too late, but none is missing on one page only.
            let own = bench.cx.telemetry.encode();
            prop_assert!(!own.contains("scale_too_low") && !own.contains("inconsistent_counts"));
            Ok(())
        })?;
    }
}

/// Answers of `expfmt.Negotiate` and `NegotiateIncludingOpenMetrics` (prometheus/common 0.62), but
/// for the escapings that are not offered and what the comments say.
#[test]
fn the_form_is_chosen_as_in_the_reference() {
    let text = "text/plain; version=0.0.4; charset=utf-8; escaping=";
    let open = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=";
    let old = "application/openmetrics-text; version=0.0.1; charset=utf-8; escaping=";
    let protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                    encoding=delimited; escaping=";
    let (plain, full) = ("underscores", "allow-utf-8");
    let negotiated = |accept: &str, open_metrics| {
        let mut headers = HeaderMap::new();
        headers.insert("accept", accept.parse().unwrap());
        Format::negotiate(&headers, open_metrics).content_type()
    };
    // What Prometheus 3 sends by default, and with native histograms; the latter gets names in
    // full from the reference, too, which calls them `underscores`.
    let texts = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 application/openmetrics-text;version=0.0.1;q=0.4,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
                 text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    let proto_first = format!("{PROTOBUF};q=0.6,{texts}");
    let spaced = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                  encoding=delimited; q=0.7, text/plain; q=0.3";
    for (accept, without, with) in [
        (texts, (text, full), (open, full)),
        (&proto_first, (protobuf, full), (protobuf, full)),
        (spaced, (protobuf, plain), (protobuf, plain)),
        (PROTOBUF, (protobuf, plain), (protobuf, plain)),
        (&format!("text/plain,{PROTOBUF}"), (text, plain), (text, plain)),
        (&format!("{PROTOBUF},text/plain"), (protobuf, plain), (protobuf, plain)),
        (&format!("{PROTOBUF};q=0.3,text/plain;q=0.31"), (text, plain), (text, plain)),
        (&format!("{PROTOBUF};q=x,text/plain;q=0.1"), (text, plain), (text, plain)),
        (&format!("*/*,{PROTOBUF};q=0.1"), (protobuf, plain), (protobuf, plain)),
        (&format!("text/plain;version=1.0.0,{PROTOBUF};q=0.1"), (protobuf, plain), (protobuf, plain)),
        ("application/vnd.google.protobuf", (text, plain), (text, plain)),
        (&PROTOBUF.replace("delimited", "wrong"), (text, plain), (text, plain)),
        (&PROTOBUF.replace("MetricFamily", "Metric"), (text, plain), (text, plain)),
        ("application/openmetrics-text", (text, plain), (old, plain)),
        ("application/openmetrics-text;version=0.0.1,text/plain;q=0.9", (text, plain), (old, plain)),
        ("application/openmetrics-text;version=2.0.0,text/plain;q=0.9", (text, plain), (text, plain)),
        ("application/openmetrics-text;version=1.0.0;q=0.2,text/plain", (text, plain), (text, plain)),
        ("text/html, */*", (text, plain), (text, plain)),
        ("", (text, plain), (text, plain)),
        // The reference takes a form of weight 0.
        (&format!("{PROTOBUF};q=0"), (text, plain), (text, plain)),
    ] {
        assert_eq!(negotiated(accept, false), format!("{}{}", without.0, without.1), "{accept}");
        assert_eq!(negotiated(accept, true), format!("{}{}", with.0, with.1), "{accept}");
    }
}

fn exponential(name: &str, scale: i32, count: u64) -> Value {
    json!({"name": name, "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [{
        "timeUnixNano": (T0_MS * 1_000_000).to_string(), "startTimeUnixNano": "9000000000",
        "count": count.to_string(), "sum": 12.5, "scale": scale, "zeroCount": "1",
        "positive": {"offset": -1, "bucketCounts": ["1", "0", "0", "0", "2"]},
        "negative": {"offset": 3, "bucketCounts": ["4"]},
        "exemplars": [{"asDouble": 1.5, "timeUnixNano": "0"},
            {"asDouble": 2.5, "timeUnixNano": "7000000000"}]}]}})
}

/// What Prometheus would refuse the whole page for is left out of this form and stays in others.
#[tokio::test]
async fn exponential_histograms_are_native_ones() {
    let bench = bench(&json!({"send_timestamps": true}));
    bench.send(&json!([
        exponential("coarse", -5, 8),
        exponential("fine", 9, 8),
        exponential("odd", 0, 9),
        exponential("plain", -4, 8),
    ]));
    let said = from_protobuf(&bench.bytes(Some(PROTOBUF)).await, true);
    assert_eq!(said.families, ["fine help \"\"", "fine type histogram", "plain help \"\"", "plain type histogram"]);
    assert_eq!(said.series, [
        "{__name__=\"fine\", job=\"shop\"} native, 1 exemplars",
        "{__name__=\"plain\", job=\"shop\"} native, 1 exemplars",
    ]);
    let plain = NativeSample {
        count: 8,
        sum: 12.5,
        schema: -4,
        zero_threshold: 1e-128,
        zero_count: 1,
        positive: (0, vec![1, 0, 0, 0, 2]),
        negative: (4, vec![4]),
        timestamp_ms: Some(T0_MS.cast_signed()),
        exemplars: Vec::new(),
    };
    let fine = NativeSample {
        schema: 8,
        positive: (0, vec![1, 0, 2]),
        negative: (2, vec![4]),
        ..plain.clone()
    };
    assert_eq!(said.natives, [fine, plain]);
    assert_eq!(bench.dropped(), 2.0);
    let own = bench.cx.telemetry.encode();
    assert!(own.contains("reason=\"scale_too_low\"") && own.contains("reason=\"inconsistent_counts\""));
    // A point is counted once, and the next one again. The text shows it.
    assert!(bench.page(None).await.contains("coarse_count{job=\"shop\"} 8 "));
    bench.bytes(Some(PROTOBUF)).await;
    assert_eq!(bench.dropped(), 2.0);
    bench.send(&json!([exponential("coarse", -5, 8)]));
    bench.bytes(Some(PROTOBUF)).await;
    assert_eq!(bench.dropped(), 3.0);
}

/// Observations that are no number are counted and lie in no bucket.
#[tokio::test]
async fn a_sum_that_is_no_number_allows_for_more_observations_than_buckets_hold() {
    let bench = bench(&json!({}));
    let mut metrics = [exponential("more", 0, 9), exponential("fewer", 0, 7)];
    for metric in &mut metrics {
        metric["exponentialHistogram"]["dataPoints"][0]["sum"] = json!("NaN");
    }
    bench.send(&json!(metrics));
    let said = from_protobuf(&bench.bytes(Some(PROTOBUF)).await, true);
    assert_eq!(said.families, ["more help \"\"", "more type histogram"]);
    assert_eq!(bench.dropped(), 1.0);
}

#[tokio::test]
async fn the_protobuf_page_is_served_and_compressed() {
    let many: Vec<Value> = (0..100).map(|at| gauge(&format!("metric_{at}"), 1.0, 0)).collect();
    let (port, _, stage) = served(&many).await;
    let head = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {PROTOBUF}");
    let answer = ask(port, &head).await;
    let kind = "content-type: application/vnd.google.protobuf; \
                proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=underscores\r\n";
    assert!(answer.contains(kind) && answer.contains("\u{12}\u{0}\u{18}\u{1}"), "{answer}");
    let answer = ask(port, &format!("{head}\r\nAccept-Encoding: gzip")).await;
    assert!(answer.contains(kind) && answer.contains("content-encoding: gzip\r\n"), "{answer}");
    stage.drain(Deadline::after(Duration::from_secs(5))).await;
}
