#![allow(clippy::unwrap_used, clippy::panic)]
use std::collections::BTreeMap;

use proptest::prelude::*;
use weir_model::{Buckets, ExponentialHistogram};

use super::*;
use crate::exposition::InvalidSeries;
use crate::exposition::protobuf::{
    HistogramForms, NativeSample, ProtoError, ProtoSample, ProtoSeries, ProtoVisitor, read_families,
};
use crate::write::native_from_exponential;

const START_NS: u64 = 1_600_000_000_000_000_500;
const TIME_MS: i64 = 1_700_000_000_250;

fn labels() -> Vec<u8> {
    let mut out = Vec::new();
    push_label(&mut out, "code", "200");
    push_label(&mut out, "job", "shop");
    out
}

fn page(name: &str, kind: MetricType, write: impl FnOnce(&mut Families)) -> String {
    let mut families = Families::default();
    families.begin(&Family {
        name,
        help: "A \"b\"\n\\.",
        unit: "",
        kind,
    });
    write(&mut families);
    let bytes = families.finish();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn head(labels: &[u8], timed: bool) -> MetricHead<'_> {
    MetricHead {
        labels,
        timestamp_ms: timed.then_some(TIME_MS.unsigned_abs()),
    }
}

fn traced() -> ProtoExemplar<'static> {
    ProtoExemplar {
        labels: vec![
            ("trace_id", "0102030405060708090a0b0c0d0e0f10"),
            ("span_id", "0102030405060708"),
        ],
        value: 0.5,
        timestamp_ms: Some(TIME_MS),
    }
}

// The bytes are those that client_golang 1.22 writes with expfmt of common 0.62.

#[test]
fn numbers_and_summaries_have_the_bytes_of_the_reference() {
    let labels = labels();
    let (plain, timed) = (head(&labels, false), head(&labels, true));
    assert_eq!(
        page("c_seconds_total", MetricType::Counter, |families| families
            .number(timed, 7.0, Some(&traced()), START_NS)),
        "ba010a0f635f7365636f6e64735f746f74616c120841202262220a5c2e1800229a010a0b0a04636f6465\
         12033230300a0b0a036a6f62120473686f701a77090000000000001c4012610a2c0a0874726163655f69\
         64122030313032303330343035303630373038303930613062306330643065306631300a1b0a07737061\
         6e5f696412103031303230333034303530363037303811000000000000e03f1a0b0880e2cfaa061080e5\
         9a771a090880a0f8fa0510f40330fad195ffbc31"
    );
    assert_eq!(
        page("g", MetricType::Gauge, |families| families
            .number(plain, 0.0, None, START_NS)),
        "360a0167120841202262220a5c2e180122250a0b0a04636f646512033230300a0b0a036a6f6212047368\
         6f701209090000000000000000"
    );
    assert_eq!(
        page("u", MetricType::Unknown, |families| families
            .number(timed, -1.5, None, START_NS)),
        "3d0a0175120841202262220a5c2e1803222c0a0b0a04636f646512033230300a0b0a036a6f6212047368\
         6f702a0909000000000000f8bf30fad195ffbc31"
    );
    let quantiles = [(0.0, 1.0), (0.5, 2.0), (1.0, 3.0)];
    assert_eq!(
        page("s", MetricType::Summary, |families| families
            .summary(timed, 4, 8.5, &quantiles, START_NS)),
        "86010a0173120841202262220a5c2e180222750a0b0a04636f646512033230300a0b0a036a6f62120473\
         686f70225208041100000000000021401a1209000000000000000011000000000000f03f1a1209000000\
         000000e03f1100000000000000401a1209000000000000f03f11000000000000084022090880a0f8fa05\
         10f40330fad195ffbc31"
    );
}

#[test]
fn histograms_have_the_bytes_of_the_reference() {
    let labels = labels();
    let timed = head(&labels, true);
    let large = ProtoExemplar {
        value: 9.0,
        labels: Vec::new(),
        ..traced()
    };
    let classic = |histogram: &mut HistogramFields<'_>| {
        histogram.total(300, 33.5);
        histogram.bucket(0, 0.25, None);
        histogram.bucket(200, 1.0, Some(&traced()));
        histogram.bucket(300, f64::INFINITY, Some(&large));
        histogram.created(START_NS);
    };
    assert_eq!(
        page("h", MetricType::Histogram, |families| families
            .histogram(timed, classic)),
        "f1010a0168120841202262220a5c2e180422df010a0b0a04636f646512033230300a0b0a036a6f621204\
         73686f7030fad195ffbc313abb0108ac02110000000000c040401a0b080011000000000000d03f1a6f08\
         c80111000000000000f03f1a610a2c0a0874726163655f69641220303130323033303430353036303730\
         38303930613062306330643065306631300a1b0a077370616e5f69641210303130323033303430353036\
         3037303811000000000000e03f1a0b0880e2cfaa061080e59a771a2408ac0211000000000000f07f1a16\
         1100000000000022401a0b0880e2cfaa061080e59a777a090880a0f8fa0510f403"
    );
    let native = native_from_exponential(&ExponentialHistogram {
        count: 10,
        sum: Some(-2.25),
        scale: 3,
        zero_count: 1,
        zero_threshold: 0.001,
        positive: side(-1, &[2, 1, 0, 0, 0, 0, 0, 0, 0, 3]),
        negative: side(-5, &[3]),
        ..ExponentialHistogram::default()
    })
    .unwrap();
    assert_eq!(
        page("n", MetricType::Histogram, |families| families.histogram(
            timed,
            |histogram| {
                histogram.native(&native);
                histogram.created(START_NS);
            }
        )),
        "710a016e120841202262220a5c2e180422600a0b0a04636f646512033230300a0b0a036a6f6212047368\
         6f7030fad195ffbc313a3d080a1100000000000002c0280631fca9f1d24d62503f38014a040807100150\
         066204080010026204080e10016804680168047a090880a0f8fa0510f403"
    );
}

fn side(offset: i32, counts: &[u64]) -> Option<Buckets> {
    Some(Buckets {
        offset,
        counts: counts.to_vec(),
    })
}

/// What comes back of a page with one native histogram.
#[derive(Default)]
struct Native {
    sample: Option<NativeSample<'static>>,
    exemplars: Vec<String>,
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

impl ProtoVisitor for Native {
    type Error = Failure;

    fn family(&mut self, family: &Family<'_>) -> Result<(), Failure> {
        assert_eq!((family.name, family.unit), ("n_seconds", "seconds"));
        Ok(())
    }

    fn sample(&mut self, _: &ProtoSeries<'_>, _: ProtoSample<'_>) -> Result<(), Failure> {
        panic!("it is native")
    }

    fn native(&mut self, _: &ProtoSeries<'_>, sample: &NativeSample<'_>) -> Result<(), Failure> {
        self.exemplars = sample.exemplars.iter().map(|e| format!("{e:?}")).collect();
        self.sample = Some(NativeSample {
            exemplars: Vec::new(),
            ..sample.clone()
        });
        Ok(())
    }
}

/// Buckets by upper bound at a resolution of 8 or coarser, one by one.
fn dense(buckets: Option<&Buckets>, scale: i32) -> (i32, Vec<u64>) {
    let mut merged = BTreeMap::new();
    for (at, count) in buckets
        .into_iter()
        .flat_map(|b| b.counts.iter().enumerate())
    {
        let lower = buckets.unwrap().offset + i32::try_from(at).unwrap();
        let width = 1 << (scale - 8).max(0);
        if *count > 0 {
            *merged.entry(lower.div_euclid(width) + 1).or_insert(0) += count;
        }
    }
    let Some((first, last)) = merged.keys().next().zip(merged.keys().next_back()) else {
        return (0, Vec::new());
    };
    let counts = (*first..=*last).map(|index| merged.get(&index).copied().unwrap_or(0));
    (*first, counts.collect())
}

fn any_side() -> impl Strategy<Value = Option<Buckets>> {
    let counts = prop::collection::vec(
        prop_oneof![3 => Just(0), 2 => 0..5_u64, 1 => 0..1_u64 << 40],
        0..40,
    );
    prop::option::of((-300..300, counts).prop_map(|(offset, counts)| Buckets { offset, counts }))
}

proptest! {
    /// Spans and differences say what the buckets of the exponential histogram did.
    #[test]
    fn native_histograms_are_read_back(
        scale in -4..21,
        positive in any_side(),
        negative in any_side(),
        (count, zero_count) in (any::<u64>(), 0..10_u64),
        sum in prop::option::of(-1e9..1e9),
        zero_threshold in prop_oneof![Just(0.0), 0.0..1.0],
        exemplars in prop::collection::vec((any::<f64>(), 1..1i64 << 40), 0..3),
    ) {
        let histogram = ExponentialHistogram {
            count, sum, scale, zero_count, zero_threshold, positive, negative,
            ..ExponentialHistogram::default()
        };
        let native = native_from_exponential(&histogram).unwrap();
        let exemplars: Vec<ProtoExemplar<'_>> = exemplars
            .into_iter()
            .map(|(value, time)| ProtoExemplar {
                labels: vec![("trace_id", "ab")],
                value,
                timestamp_ms: Some(time),
            })
            .collect();
        let mut families = Families::default();
        families.begin(&Family {
            name: "n_seconds",
            help: "",
            unit: "seconds",
            kind: MetricType::Histogram,
        });
        let labels = labels();
        let head = MetricHead { labels: &labels, timestamp_ms: Some(5) };
        families.histogram(head, |fields| {
            fields.native(&native);
            fields.created(START_NS);
            exemplars.iter().for_each(|exemplar| fields.exemplar(exemplar));
        });
        let mut read = Native::default();
        let forms = HistogramForms { native: true, classic_too: true };
        read_families(&families.finish(), forms, &mut read).unwrap();
        let written: Vec<String> = exemplars.iter().map(|e| format!("{e:?}")).collect();
        prop_assert_eq!(read.exemplars, written);
        prop_assert_eq!(read.sample.unwrap(), NativeSample {
            count,
            sum: sum.unwrap_or(0.0),
            schema: scale.min(8),
            zero_threshold: if zero_threshold == 0.0 { 1e-128 } else { zero_threshold },
            zero_count,
            positive: dense(histogram.positive.as_ref(), scale),
            negative: dense(histogram.negative.as_ref(), scale),
            timestamp_ms: Some(5),
            exemplars: Vec::new(),
        });
    }
}
