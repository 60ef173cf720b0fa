#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use proptest::prelude::*;

/// Collects a page as text lines.
#[derive(Default)]
struct Collector {
    lines: Vec<String>,
    keys: Vec<Vec<u8>>,
    native: Vec<NativeSample<'static>>,
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
struct Failure(String);

impl From<ProtoError> for Failure {
    fn from(error: ProtoError) -> Self {
        Self(error.to_string())
    }
}

impl From<InvalidSeries> for Failure {
    fn from(error: InvalidSeries) -> Self {
        Self(error.to_string())
    }
}

impl ProtoVisitor for Collector {
    type Error = Failure;

    fn family(&mut self, family: &Family<'_>) -> Result<(), Failure> {
        let Family {
            name,
            help,
            unit,
            kind,
        } = family;
        self.lines
            .push(format!("# {name} {} {unit} {help}", kind.as_str()));
        Ok(())
    }

    fn sample(&mut self, series: &ProtoSeries<'_>, sample: ProtoSample<'_>) -> Result<(), Failure> {
        let mut set = LabelSet::new();
        series.labels_into(&mut set)?;
        let time = sample
            .timestamp_ms
            .map(|time| format!(" {time}"))
            .unwrap_or_default();
        let exemplar = sample
            .exemplar
            .map(|e| format!(" # {:?} {}", e.labels, e.value));
        let exemplar = exemplar.unwrap_or_default();
        self.lines
            .push(format!("{set} {}{time}{exemplar}", sample.value));
        self.keys.push(series.key.to_vec());
        Ok(())
    }

    fn native(
        &mut self,
        series: &ProtoSeries<'_>,
        histogram: &NativeSample<'_>,
    ) -> Result<(), Failure> {
        let mut set = LabelSet::new();
        series.labels_into(&mut set)?;
        self.lines.push(format!("{set} native {}", histogram.count));
        self.keys.push(series.key.to_vec());
        self.native.push(NativeSample {
            exemplars: Vec::new(),
            ..histogram.clone()
        });
        Ok(())
    }
}

fn bytes(field: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_bytes_always(&mut out, field, body);
    out
}

fn double(field: u32, value: f64) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_fixed64_always(&mut out, field, value.to_bits());
    out
}

fn varint(field: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_key(&mut out, field, wire::VARINT);
    wire::put_varint(&mut out, value);
    out
}

fn label(name: &str, value: &str) -> Vec<u8> {
    bytes(
        1,
        &[bytes(1, name.as_bytes()), bytes(2, value.as_bytes())].concat(),
    )
}

fn page(families: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for family in families {
        wire::put_varint(&mut out, family.len() as u64);
        out.extend_from_slice(family);
    }
    out
}

fn family(name: &str, kind: u64, metrics: &[Vec<u8>]) -> Vec<u8> {
    let mut out = [
        bytes(1, name.as_bytes()),
        bytes(2, b"Help."),
        varint(3, kind),
    ]
    .concat();
    metrics
        .iter()
        .for_each(|metric| out.extend(bytes(4, metric)));
    out
}

fn native_histogram() -> Vec<u8> {
    let span = |field, offset: i64, length| {
        bytes(
            field,
            &[varint(1, wire::zigzag(offset)), varint(2, length)].concat(),
        )
    };
    let zigzags = |values: &[i64]| {
        let mut out = Vec::new();
        values
            .iter()
            .for_each(|value| wire::put_varint(&mut out, wire::zigzag(*value)));
        out
    };
    [
        varint(1, 7),
        double(2, 12.5),
        varint(5, wire::zigzag(2)),
        double(6, 0.001),
        varint(7, 1),
        span(12, 0, 2),
        span(12, 3, 1),
        bytes(13, &zigzags(&[2, 0, 0])),
        span(9, 1, 1),
        varint(10, 0),
        bytes(3, &[varint(1, 3), double(2, 1.0)].concat()),
    ]
    .concat()
}

fn read(body: &[u8], forms: HistogramForms) -> Result<Collector, Failure> {
    let mut collector = Collector::default();
    read_families(body, forms, &mut collector)?;
    Ok(collector)
}

#[test]
fn classic_families_become_text_series() {
    let exemplar = bytes(2, &[label("trace_id", "ab"), double(2, 3.0)].concat());
    let counter = bytes(3, &[double(1, 6.0), exemplar].concat());
    let summary = [
        varint(1, 4),
        double(2, 8.0),
        bytes(3, &[double(1, 0.5), double(2, 2.0)].concat()),
    ]
    .concat();
    let bucket = bytes(3, &[varint(1, 2), double(2, 1.0)].concat());
    let histogram = [varint(1, 10), double(2, 33.5), bucket].concat();
    let body = page(&[
        family("c_total", 0, &[[label("k", "v"), counter].concat()]),
        family(
            "g",
            1,
            &[[bytes(2, &double(1, f64::NAN)), varint(6, 1000)].concat()],
        ),
        family("s", 2, &[bytes(4, &summary)]),
        family("u", 3, &[bytes(5, &double(1, 1.0))]),
        family("h", 4, &[bytes(7, &histogram)]),
        family("empty", 4, &[]),
    ]);
    let found = read(
        &body,
        HistogramForms {
            native: true,
            classic_too: false,
        },
    )
    .unwrap();
    assert_eq!(
        found.lines,
        [
            "# c_total counter  Help.",
            "{__name__=\"c_total\", k=\"v\"} 6 # [(\"trace_id\", \"ab\")] 3",
            "# g gauge  Help.",
            "{__name__=\"g\"} NaN 1000",
            "# s summary  Help.",
            "{__name__=\"s_count\"} 4",
            "{__name__=\"s_sum\"} 8",
            "{__name__=\"s\", quantile=\"0.5\"} 2",
            "# u unknown  Help.",
            "{__name__=\"u\"} 1",
            "# h histogram  Help.",
            "{__name__=\"h_count\"} 10",
            "{__name__=\"h_sum\"} 33.5",
            "{__name__=\"h_bucket\", le=\"1.0\"} 2",
            "{__name__=\"h_bucket\", le=\"+Inf\"} 10",
        ]
    );
    let unique: std::collections::HashSet<_> = found.keys.iter().collect();
    assert_eq!(unique.len(), found.keys.len());
}

#[test]
fn native_histograms() {
    let body = page(&[family(
        "nh",
        4,
        &[[label("k", "n"), bytes(7, &native_histogram())].concat()],
    )]);
    let found = read(
        &body,
        HistogramForms {
            native: true,
            classic_too: false,
        },
    )
    .unwrap();
    assert_eq!(found.lines[1..], ["{__name__=\"nh\", k=\"n\"} native 7"]);
    let native = &found.native[0];
    assert_eq!(native.positive, (0, vec![2, 2, 0, 0, 0, 2]));
    assert_eq!(native.negative, (0, vec![]));
    assert_eq!((native.schema, native.zero_count), (2, 1));
    assert_eq!(native.zero_threshold.to_bits(), 0.001f64.to_bits());

    let both = read(
        &body,
        HistogramForms {
            native: true,
            classic_too: true,
        },
    )
    .unwrap();
    assert_eq!(both.lines.len(), 1 + 1 + 4);
    let classic = read(&body, HistogramForms::default()).unwrap();
    assert_eq!(classic.lines.len(), 1 + 4);
    assert!(classic.native.is_empty());
}

#[test]
fn pages_that_are_refused() {
    let spans = bytes(12, &varint(2, 3));
    let wide = [
        bytes(12, &varint(2, 1)),
        bytes(
            12,
            &[varint(1, wire::zigzag(1 << 30)), varint(2, 1)].concat(),
        ),
        bytes(13, &[2, 0]),
    ]
    .concat();
    let back = [
        bytes(12, &varint(2, 1)),
        bytes(12, &[varint(1, wire::zigzag(-5)), varint(2, 1)].concat()),
        bytes(13, &[2, 0]),
    ]
    .concat();
    let schema = |schema: i64| {
        let span = bytes(12, &varint(2, 1));
        [varint(5, wire::zigzag(schema)), span, bytes(13, &[2])].concat()
    };
    let twice = [label("a", "1"), label("a", "2"), bytes(2, &double(1, 1.0))].concat();
    for (body, message) in [
        (page(&[family("", 0, &[])]), "metric family 1 has no name"),
        (
            page(&[family("x", 9, &[])]),
            "metric `x` has the unknown type 9",
        ),
        (
            page(&[family("x", 4, &[bytes(7, &spans)])]),
            "native histogram `x`: spans are for 3 buckets, there are 0",
        ),
        (
            page(&[family("x", 4, &[bytes(7, &wide)])]),
            "native histogram `x`: buckets lie more than 65,536 apart",
        ),
        (
            page(&[family("x", 4, &[bytes(7, &back)])]),
            "native histogram `x`: spans overlap",
        ),
        (
            page(&[family("x", 4, &[bytes(7, &schema(-53))])]),
            "native histogram `x`: the schema -53 is not one of buckets that grow by a factor",
        ),
        (
            page(&[family("x", 4, &[bytes(7, &schema(-5))])]),
            "native histogram `x`: the schema -5 is not one of buckets that grow by a factor",
        ),
        (
            page(&[family("x", 1, &[twice])]),
            "label `a` is given twice",
        ),
        (
            b"\x05abc".to_vec(),
            "metric family 1: malformed protobuf: the payload ends inside a field",
        ),
    ] {
        let forms = HistogramForms {
            native: true,
            classic_too: false,
        };
        assert_eq!(
            read(&body, forms).err(),
            Some(Failure(message.into())),
            "{message}"
        );
    }
}

proptest! {
    #[test]
    fn never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _read = read(&body, HistogramForms { native: true, classic_too: true });
    }

    #[test]
    fn never_panics_on_damage(at in 0..200usize, byte in any::<u8>()) {
        let mut body = page(&[family("nh", 4, &[[label("k", "n"), bytes(7, &native_histogram())].concat()])]);
        let at = at % body.len();
        body[at] = byte;
        let _read = read(&body, HistogramForms { native: true, classic_too: true });
    }
}
