#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use proptest::prelude::*;
use weir_model::wire::{self, Reader};
use weir_model::{Buckets, ExponentialHistogram};

/// A message as fields: number and either a number or bytes.
#[derive(Debug, Clone, PartialEq)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

fn fields(message: &[u8]) -> Vec<(u32, Field)> {
    let mut reader = Reader::new(message);
    let mut fields = Vec::new();
    while let Some(key) = reader.key().unwrap() {
        let value = match key.wire {
            wire::VARINT => Field::Number(reader.varint().unwrap()),
            wire::FIXED64 => Field::Number(reader.fixed64().unwrap()),
            _ => Field::Bytes(reader.bytes().unwrap().to_vec()),
        };
        fields.push((key.field, value));
    }
    fields
}

fn messages(message: &[u8], number: u32) -> Vec<Vec<u8>> {
    fields(message)
        .into_iter()
        .filter_map(|(field, value)| match value {
            Field::Bytes(bytes) if field == number => Some(bytes),
            _ => None,
        })
        .collect()
}

fn number(message: &[u8], number: u32) -> u64 {
    fields(message)
        .into_iter()
        .find_map(|(field, value)| match value {
            Field::Number(value) if field == number => Some(value),
            _ => None,
        })
        .unwrap_or(0)
}

fn text(message: &[u8], number: u32) -> String {
    String::from_utf8(messages(message, number).pop().unwrap_or_default()).unwrap()
}

fn labels_v1(series: &[u8]) -> Vec<(String, String)> {
    messages(series, 1)
        .iter()
        .map(|label| (text(label, 1), text(label, 2)))
        .collect()
}

fn samples(series: &[u8]) -> Vec<(u64, i64)> {
    let samples = messages(series, 2);
    samples
        .iter()
        .map(|sample| (number(sample, 1), number(sample, 2).cast_signed()))
        .collect()
}

fn label_bytes(labels: &[(String, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    labels
        .iter()
        .for_each(|(name, value)| push_label(&mut out, name, value));
    out
}

fn varints(bytes: &[u8]) -> Vec<u64> {
    let mut reader = Reader::new(bytes);
    let mut values = Vec::new();
    while !reader.is_empty() {
        values.push(reader.varint().unwrap());
    }
    values
}

fn a_series() -> impl Strategy<Value = (Vec<(String, String)>, f64, i64)> {
    (
        prop::collection::btree_map("[a-z]{0,4}", "\\PC{0,140}", 0..5),
        prop_oneof![
            any::<f64>(),
            Just(0.0),
            Just(-0.0),
            Just(f64::from_bits(0x7FF0_0000_0000_0002))
        ],
        prop_oneof![
            any::<i64>(),
            Just(0),
            1_000_000_000_000..2_000_000_000_000i64
        ],
    )
        .prop_map(|(labels, value, time)| (labels.into_iter().collect(), value, time))
}

proptest! {
    #[test]
    fn v1_reads_back(series in prop::collection::vec(a_series(), 0..6)) {
        let mut request = RequestV1::new();
        let mut general = RequestV1::new();
        for (labels, value, timestamp_ms) in &series {
            let labels = label_bytes(labels);
            let sample = Sample { value: *value, timestamp_ms: *timestamp_ms };
            request.push_sample(&labels, sample);
            general.push_series(&labels, |series| series.sample(sample));
        }
        prop_assert_eq!(request.body(), general.body(), "the short way writes the same");
        let read = messages(request.body(), 1);
        prop_assert_eq!(read.len(), series.len());
        for (message, (labels, value, time)) in read.iter().zip(&series) {
            prop_assert_eq!(&labels_v1(message), labels);
            prop_assert_eq!(samples(message), vec![(value.to_bits(), *time)]);
        }
    }

    /// Written in pieces it is the same request, split where the sizes of its messages say.
    #[test]
    fn a_request_compressed_in_pieces_is_the_plain_one(
        series in prop::collection::vec(a_series(), 0..40),
        repeat in 1..60_usize,
        limit in prop_oneof![Just(usize::MAX), 1..2000_usize, 1..400_000_usize],
    ) {
        let mut packed = PackedV1::default();
        let mut plain = RequestV1::new();
        let check = |packed: &mut PackedV1, plain: &RequestV1| {
            let body = snap::raw::Decoder::new().decompress_vec(packed.finish().unwrap()).unwrap();
            prop_assert_eq!(&body, plain.body());
            Ok(())
        };
        packed.begin(limit);
        let mut size = 0;
        for (at, (labels, value, timestamp_ms)) in series.iter().cycle().take(series.len() * repeat).enumerate() {
            let labels = label_bytes(labels);
            let sample = Sample { value: *value, timestamp_ms: *timestamp_ms };
            let mut one = RequestV1::new();
            one.push_sample(&labels, sample);
            let message = messages(one.body(), 1).remove(0).len();
            let push = |packed: &mut PackedV1| if at % 3 == 0 {
                packed.push_series(&labels, |series| series.sample(sample))
            } else {
                packed.push_sample(&labels, sample)
            };
            let fits = size == 0 || size + message < limit;
            prop_assert_eq!(push(&mut packed) == Fit::Added, fits);
            if !fits {
                check(&mut packed, &plain)?;
                packed.begin(limit);
                plain.clear();
                size = 0;
                prop_assert_eq!(push(&mut packed), Fit::Added);
            }
            plain.push_sample(&labels, sample);
            size += message;
        }
        prop_assert_eq!(packed.is_empty(), plain.is_empty());
        check(&mut packed, &plain)?;
    }

    #[test]
    fn v2_reads_back(requests in prop::collection::vec(prop::collection::vec(a_series(), 0..5), 1..4)) {
        let mut symbols = Symbols::new();
        let mut request = RequestV2::default();
        for series in requests {
            request.begin(&mut symbols);
            for (labels, value, timestamp_ms) in &series {
                let refs = symbols.labels(labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
                let metadata = MetadataV2 { kind: MetricType::Counter, help: "help", unit: "" };
                let mark = request.mark();
                let sample = Sample { value: *value, timestamp_ms: *timestamp_ms };
                request.push_series(&mut symbols, &refs, &metadata, |s| s.sample(sample, 7));
                let len = request.len();
                request.rewind(&mut symbols, mark);
                request.push_series(&mut symbols, &refs, &metadata, |s| s.sample(sample, 7));
                prop_assert_eq!(request.len(), len);
            }
            let mut body = Vec::new();
            request.finish(&symbols, &mut body);
            prop_assert_eq!(request.len(), body.len());
            let table: Vec<String> = messages(&body, 4).into_iter().map(|s| String::from_utf8(s).unwrap()).collect();
            prop_assert_eq!(&table[0], "");
            let unique: std::collections::HashSet<_> = table.iter().collect();
            prop_assert_eq!(unique.len(), table.len());
            let read = messages(&body, 5);
            prop_assert_eq!(read.len(), series.len());
            let mut used = std::collections::HashSet::from([0]);
            for (message, (labels, value, time)) in read.iter().zip(&series) {
                let refs = messages(message, 1).pop().map(|refs| varints(&refs)).unwrap_or_default();
                used.extend(refs.iter().copied());
                let texts: Vec<&str> = refs.iter().map(|place| table[usize::try_from(*place).unwrap()].as_str()).collect();
                let found: Vec<(String, String)> = texts.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect();
                prop_assert_eq!(&found, labels);
                prop_assert_eq!(samples(message), vec![(value.to_bits(), *time)]);
                prop_assert_eq!(number(&messages(message, 2)[0], 3), 7);
                let metadata = messages(message, 5).pop().unwrap();
                prop_assert_eq!(number(&metadata, 1), 1);
                prop_assert_eq!(&table[usize::try_from(number(&metadata, 3)).unwrap()], "help");
                used.insert(number(&metadata, 3));
            }
            prop_assert_eq!(used.len(), table.len(), "only symbols that are used are sent");
        }
    }

    #[test]
    fn native_histograms_keep_every_count(
        scale in -4..20i32, offset in -2000..2000i32, counts in prop::collection::vec(prop_oneof![3 => Just(0u64), 2 => 0..1000u64], 0..60)) {
        let histogram = ExponentialHistogram {
            scale,
            positive: Some(Buckets { offset, counts: counts.clone() }),
            ..ExponentialHistogram::default()
        };
        let native = native_from_exponential(&histogram).unwrap();
        prop_assert!(native.schema <= 8);
        let mut expected = std::collections::BTreeMap::new();
        for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let index = i64::from(offset) + i64::try_from(at).unwrap();
            *expected.entry((index >> (scale - native.schema)) + 1).or_insert(0) += *count;
        }
        let mut found = std::collections::BTreeMap::new();
        let (mut index, mut count, mut deltas) = (0i64, 0i64, native.positive_deltas.iter());
        for (at, (offset, length)) in native.positive_spans.iter().enumerate() {
            prop_assert!(at == 0 || *offset > 2, "small gaps do not start a span");
            index += i64::from(*offset);
            for _ in 0..*length {
                count += deltas.next().unwrap();
                if count > 0 { found.insert(index, count.cast_unsigned()); }
                index += 1;
            }
        }
        prop_assert!(deltas.next().is_none());
        prop_assert_eq!(found, expected);
    }
}

/// Histograms that were seen at the reference.
#[test]
fn spans_of_the_reference() {
    let native = |scale, offset, counts: &[u64]| {
        let positive = Some(Buckets {
            offset,
            counts: counts.to_vec(),
        });
        native_from_exponential(&ExponentialHistogram {
            scale,
            positive,
            ..ExponentialHistogram::default()
        })
    };
    let histogram = native(3, 2, &[1, 0, 0, 0, 2, 3]).unwrap();
    assert_eq!(histogram.positive_spans, [(3, 1), (3, 2)]);
    assert_eq!(histogram.positive_deltas, [1, 1, 1]);
    assert_eq!(histogram.zero_threshold.to_bits(), 1e-128f64.to_bits());
    let histogram = native(10, 1, &[1, 2, 3, 3]).unwrap();
    assert_eq!(histogram.schema, 8);
    assert_eq!(histogram.positive_spans, [(1, 2)]);
    assert_eq!(histogram.positive_deltas, [6, -3]);
    assert_eq!(native(-5, 0, &[1]), Err(ScaleTooLow(-5)));
}

#[test]
fn histogram_message() {
    let histogram = NativeHistogram {
        count: 14,
        sum: 12.5,
        schema: -2,
        zero_threshold: 0.001,
        positive_spans: vec![(-1, 2)],
        positive_deltas: vec![4, -1],
        ..NativeHistogram::default()
    };
    let mut request = RequestV1::new();
    request.push_series(b"", |series| series.histogram(&histogram, 1000));
    let series = messages(request.body(), 1).remove(0);
    let message = messages(&series, 4).remove(0);
    assert_eq!(number(&message, 1), 14);
    assert_eq!(
        f64::from_bits(number(&message, 3)).to_bits(),
        12.5f64.to_bits()
    );
    assert_eq!(wire::unzigzag(number(&message, 4)), -2);
    assert!(
        fields(&message).contains(&(6, Field::Number(0))),
        "the zero count is written"
    );
    let span = messages(&message, 11).remove(0);
    assert_eq!(
        (wire::unzigzag(number(&span, 1)), number(&span, 2)),
        (-1, 2)
    );
    let deltas = varints(&messages(&message, 12)[0]);
    assert_eq!(
        deltas.into_iter().map(wire::unzigzag).collect::<Vec<_>>(),
        [4, -1]
    );
    assert_eq!(number(&message, 15), 1000);

    let stale = NativeHistogram::stale();
    assert_eq!(
        (stale.count, stale.sum.to_bits()),
        (0x7FF0_0000_0000_0002, 0x7FF0_0000_0000_0002)
    );
}

#[test]
fn metadata_and_exemplars() {
    let mut request = RequestV1::new();
    request.push_metadata(&MetadataV1 {
        name: "x_total",
        kind: MetricType::Counter,
        help: "Help.",
        unit: "bytes",
    });
    let metadata = messages(request.body(), 3).remove(0);
    assert_eq!(number(&metadata, 1), 1);
    assert_eq!(
        [text(&metadata, 2), text(&metadata, 4), text(&metadata, 5)],
        ["x_total", "Help.", "bytes"]
    );

    request.clear();
    let labels = label_bytes(&[("trace_id".into(), "ab".into())]);
    let sample = Sample {
        value: 2.0,
        timestamp_ms: 5,
    };
    request.push_series(b"", |series| series.exemplar(&labels, sample));
    let series = messages(request.body(), 1).remove(0);
    let exemplar = messages(&series, 3).remove(0);
    assert_eq!(
        labels_v1(&exemplar),
        [("trace_id".to_owned(), "ab".to_owned())]
    );
    assert_eq!(
        (number(&exemplar, 2), number(&exemplar, 3)),
        (2f64.to_bits(), 5)
    );
}

#[test]
fn symbols_forget_on_demand() {
    let mut symbols = Symbols::new();
    let refs = symbols.labels([("a", "b")]);
    assert!(symbols.is_valid(&refs));
    assert!(symbols.bytes() > 0);
    symbols.clear();
    assert!(!symbols.is_valid(&refs));
    assert_eq!(symbols.bytes(), 0);
}

#[test]
fn snappy_is_the_block_format() {
    let body = b"abcabcabcabc".repeat(1000);
    let mut block = SnappyBlock::default();
    let mut out = vec![1, 2, 3];
    block.compress(&body, &mut out).unwrap();
    assert_eq!(
        snap::raw::Decoder::new().decompress_vec(&out).unwrap(),
        body
    );
    block.compress(b"", &mut out).unwrap();
    assert_eq!(snap::raw::Decoder::new().decompress_vec(&out).unwrap(), b"");
}
