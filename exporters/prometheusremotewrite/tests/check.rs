//! The rules that a sender of remote write 2.0 has to keep, as a check of one request: which of
//! them it breaks. Written from the rules, not from the encoder.

use std::collections::{BTreeMap, BTreeSet};

use weir_model::wire::{self, Reader};

/// A request as it came in.
pub(super) struct Sent<'a> {
    pub(super) method: &'a str,
    pub(super) headers: BTreeMap<&'a str, &'a str>,
    /// As sent: compressed.
    pub(super) body: &'a [u8],
}

/// Decoded fields of one level: number, wire type, number or bytes.
type Fields<'a> = Vec<(u32, u8, u64, &'a [u8])>;

fn fields(message: &[u8]) -> Option<Fields<'_>> {
    let mut reader = Reader::new(message);
    let mut out = Vec::new();
    while let Some(key) = reader.key().ok()? {
        out.push(match key.wire {
            wire::VARINT => (key.field, key.wire, reader.varint().ok()?, &[][..]),
            wire::FIXED64 => (key.field, key.wire, reader.fixed64().ok()?, &[][..]),
            wire::LEN => (key.field, key.wire, 0, reader.bytes().ok()?),
            _ => return None,
        });
    }
    Some(out)
}

fn varints(packed: &[u8]) -> Option<Vec<u64>> {
    let mut reader = Reader::new(packed);
    let mut out = Vec::new();
    while !reader.is_empty() {
        out.push(reader.varint().ok()?);
    }
    Some(out)
}

/// One series, decoded.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) labels: Vec<(String, String)>,
    /// Value, time, start.
    pub(super) samples: Vec<(f64, i64, i64)>,
    /// Time, start, whether there is a count.
    pub(super) histograms: Vec<(i64, i64, bool)>,
    /// Labels, time.
    pub(super) exemplars: Vec<(Vec<(String, String)>, i64)>,
    /// Type, help, unit.
    pub(super) metadata: Option<(u64, String, String)>,
}

impl Series {
    pub(super) fn label(&self, name: &str) -> &str {
        let label = self.labels.iter().find(|(known, _)| known == name);
        label.map_or("", |(_, value)| value)
    }
}

/// Reads a request; notes broken rules of its encoding.
pub(super) fn decode(body: &[u8], broken: &mut BTreeSet<&'static str>) -> Vec<Series> {
    if body.starts_with(b"\xff\x06\x00\x00sNaPpY") {
        broken.insert("snappy_block_format");
        return Vec::new();
    }
    let Ok(body) = snap::raw::Decoder::new().decompress_vec(body) else {
        broken.insert("snappy_block_format");
        return Vec::new();
    };
    let Some(fields) = fields(&body) else {
        broken.insert("protobuf_parseable");
        return Vec::new();
    };
    let mut symbols = Vec::new();
    let mut series = Vec::new();
    for (number, kind, _, bytes) in &fields {
        match (number, *kind) {
            (4, wire::LEN) => match std::str::from_utf8(bytes) {
                Ok(symbol) => symbols.push(symbol.to_owned()),
                Err(_) => {
                    broken.insert("protobuf_parseable");
                }
            },
            (5, wire::LEN) => series.push(*bytes),
            // 1 to 3 are those of the older protocol.
            _ => {
                broken.insert("protobuf_parseable");
            }
        }
    }
    if symbols.first().is_none_or(|first| !first.is_empty()) {
        broken.insert("empty_string_at_index_zero");
    }
    if symbols.iter().collect::<BTreeSet<_>>().len() != symbols.len() {
        broken.insert("string_deduplication");
    }
    series.into_iter().filter_map(|series| read_series(series, &symbols, broken)).collect()
}

/// Pairs of texts by their numbers.
fn labels(
    packed: &[u8],
    symbols: &[String],
    broken: &mut BTreeSet<&'static str>,
    even: &'static str,
    valid: &'static str,
) -> Vec<(String, String)> {
    let refs = varints(packed).unwrap_or_default();
    if !refs.len().is_multiple_of(2) {
        broken.insert(even);
    }
    let mut texts = Vec::new();
    for at in refs {
        match usize::try_from(at).ok().and_then(|at| symbols.get(at)) {
            Some(text) => texts.push(text.clone()),
            None => {
                broken.insert(valid);
            }
        }
    }
    texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

fn read_series(
    message: &[u8],
    symbols: &[String],
    broken: &mut BTreeSet<&'static str>,
) -> Option<Series> {
    let mut series = Series::default();
    for (number, _, _, bytes) in fields(message)? {
        let inner = if number == 1 { Vec::new() } else { fields(bytes)? };
        let at = |field: u32| {
            let found = inner.iter().find(|(number, ..)| *number == field);
            found.map_or(0, |(_, _, value, _)| *value)
        };
        let time = |field| at(field).cast_signed();
        match number {
            1 => {
                let (even, valid) = ("labels_refs_even_length", "labels_refs_valid_indices");
                series.labels = labels(bytes, symbols, broken, even, valid);
            }
            2 => series.samples.push((f64::from_bits(at(1)), time(2), time(3))),
            3 => {
                let counted = inner.iter().any(|(number, ..)| [1, 2].contains(number));
                series.histograms.push((time(15), time(17), counted));
            }
            4 => {
                let refs = inner.iter().find(|(number, ..)| *number == 1);
                let refs = refs.map_or(&[][..], |(_, _, _, bytes)| bytes);
                let (even, valid) = ("exemplar_labels_even_length", "exemplar_labels_valid_refs");
                let labels = labels(refs, symbols, broken, even, valid);
                series.exemplars.push((labels, time(3)));
            }
            5 => {
                let mut text = |field| {
                    let text = usize::try_from(at(field)).ok().and_then(|at| symbols.get(at));
                    if text.is_none() {
                        broken.insert("help_refs_valid");
                    }
                    text.cloned().unwrap_or_default()
                };
                series.metadata = Some((at(1), text(3), text(4)));
            }
            _ => {
                broken.insert("protobuf_parseable");
            }
        }
    }
    Some(series)
}

fn is_name(name: &str, colons: bool) -> bool {
    let fits = |(at, c): (usize, char)| {
        c.is_ascii_alphabetic() || c == '_' || (colons && c == ':') || (at > 0 && c.is_ascii_digit())
    };
    !name.is_empty() && name.char_indices().all(fits)
}

/// Milliseconds of this age of the world, neither seconds nor nanoseconds.
fn is_milliseconds(time: i64) -> bool {
    (1_000_000_000_001..10_000_000_000_000_000).contains(&time)
}

fn check_series(series: &Series, broken: &mut BTreeSet<&'static str>) {
    let names: Vec<&str> = series.labels.iter().map(|(name, _)| name.as_str()).collect();
    if names.windows(2).any(|pair| pair[0] > pair[1]) {
        broken.insert("label_lexicographic_ordering");
    }
    if names.iter().collect::<BTreeSet<_>>().len() != names.len() {
        broken.insert("no_duplicate_label_names");
    }
    let name = series.label("__name__");
    if name.is_empty() {
        broken.insert("metric_name_label_present");
    } else if !is_name(name, true) {
        broken.insert("metric_name_format_valid");
    }
    for label in names {
        if label.is_empty() {
            broken.insert("label_names_not_empty");
        } else if !is_name(label, false) {
            broken.insert("label_name_format_valid");
        }
        if label.starts_with("__") && label != "__name__" {
            broken.insert("reserved_label_prefix");
        }
    }
    let times: Vec<i64> = series.samples.iter().map(|(_, time, _)| *time).collect();
    if !times.is_sorted() {
        broken.insert("timestamp_ordering_within_series");
    }
    let all = times.iter().chain(series.histograms.iter().map(|(time, ..)| time));
    if !all.copied().all(is_milliseconds) {
        broken.insert("timestamp_int64_milliseconds");
    }
    let starts = series.samples.iter().map(|(_, time, start)| (time, start));
    let starts = starts.chain(series.histograms.iter().map(|(time, start, _)| (time, start)));
    for (time, start) in starts {
        if *start != 0 && !is_milliseconds(*start) {
            broken.insert("start_timestamp_zero_handling");
        }
        if start > time {
            broken.insert("start_timestamp_before_sample_timestamp");
        }
    }
    if !series.samples.is_empty() && !series.histograms.is_empty() {
        broken.insert("histogram_no_mixed_with_samples");
    }
    if series.histograms.iter().any(|(_, _, counted)| !counted) {
        broken.insert("histogram_count_present");
    }
    if series.exemplars.iter().any(|(_, time)| !is_milliseconds(*time)) {
        broken.insert("exemplar_timestamp_valid");
    }
}

/// A family's name: that of the series without the suffixes of histograms and summaries.
fn family(name: &str) -> &str {
    let suffixes = ["_bucket", "_sum", "_count"];
    suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

/// The rules that a request of protocol 2.0 breaks, by the names of the conformance suite.
pub(super) fn broken(sent: &Sent<'_>) -> BTreeSet<&'static str> {
    let mut broken = BTreeSet::new();
    let header = |name: &str| sent.headers.get(name).copied().unwrap_or_default();
    if sent.method != "POST" {
        broken.insert("http_method_post");
    }
    let kind = header("content-type");
    if !kind.contains("application/x-protobuf") {
        broken.insert("content_type_protobuf");
    }
    if !kind.contains("proto=io.prometheus.write.v2.Request") {
        broken.insert("content_type_with_proto_param");
    }
    if header("content-encoding") != "snappy" {
        broken.insert("content_encoding_snappy");
    }
    if header("x-prometheus-remote-write-version").is_empty() {
        broken.insert("version_header_present");
    } else if !header("x-prometheus-remote-write-version").starts_with("2.0") {
        broken.insert("version_header_value");
    }
    if header("user-agent").is_empty() {
        broken.insert("user_agent_present");
    }
    let series = decode(sent.body, &mut broken);
    let mut families: BTreeMap<&str, &(u64, String, String)> = BTreeMap::new();
    for series in &series {
        check_series(series, &mut broken);
        let Some(metadata) = &series.metadata else { continue };
        let known = families.entry(family(series.label("__name__"))).or_insert(metadata);
        if *known != metadata {
            broken.insert("consistent_across_series");
        }
    }
    broken
}
