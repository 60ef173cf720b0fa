//! Reads requests of either protocol back, in the form of the golden cases.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use weir_model::wire::{Reader, unzigzag};

/// Times are shown relative to this.
pub(super) const T0_MS: i64 = 1_700_000_000_000;

/// What a request held.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// By label set, as text.
    pub(super) series: BTreeMap<String, Map<String, Value>>,
    pub(super) metadata: Vec<Value>,
}

/// Fields of a message: number, and varint or fixed value, or bytes.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn fields(message: &[u8]) -> Vec<(u32, Field<'_>)> {
    let mut reader = Reader::new(message);
    let mut out = Vec::new();
    while let Some(key) = reader.key().unwrap() {
        let field = match key.wire {
            0 => Field::Number(reader.varint().unwrap()),
            1 => Field::Number(reader.fixed64().unwrap()),
            _ => Field::Bytes(reader.bytes().unwrap()),
        };
        out.push((key.field, field));
    }
    out
}

fn varints(packed: &[u8]) -> Vec<u64> {
    let mut reader = Reader::new(packed);
    std::iter::from_fn(|| (!reader.is_empty()).then(|| reader.varint().unwrap())).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn float(bits: u64) -> Value {
    let value = f64::from_bits(bits);
    match bits {
        0x7FF0_0000_0000_0002 => json!("StaleNaN"),
        _ if value.is_nan() => json!("NaN"),
        _ if value.is_infinite() => json!(if value > 0.0 { "+Inf" } else { "-Inf" }),
        _ => json!(value),
    }
}

fn time(ms: u64) -> String {
    format!("T0{:+}ms", ms.cast_signed() - T0_MS)
}

fn label(message: &[u8]) -> (String, String) {
    let (mut name, mut value) = (String::new(), String::new());
    for (number, field) in fields(message) {
        match (number, field) {
            (1, Field::Bytes(bytes)) => name = text(bytes),
            (2, Field::Bytes(bytes)) => value = text(bytes),
            _ => panic!("unknown field of a label"),
        }
    }
    (name, value)
}

/// Value and time, fields 1 and 2 (or 2 and 3 of an exemplar), and the start of a sample.
fn sample(message: &[u8], first: u32) -> Value {
    let (mut value, mut at, mut start) = (0, 0, 0);
    for (number, field) in fields(message) {
        match field {
            Field::Number(bits) if number == first => value = bits,
            Field::Number(ms) if number == first + 1 => at = ms,
            Field::Number(ms) if number == 3 => start = ms,
            _ => {}
        }
    }
    let mut sample = json!({"t": time(at), "v": float(value)});
    if start > 0 {
        sample["start"] = json!(time(start));
    }
    sample
}

fn histogram(message: &[u8]) -> Value {
    let mut out = json!({"count": 0, "negative": {}, "positive": {}, "reset_hint": 0, "schema": 0,
        "sum": 0.0, "t": time(0), "zero_count": 0, "zero_threshold": 0.0});
    let mut spans: [Vec<(i64, u64)>; 2] = Default::default();
    let mut deltas: [Vec<i64>; 2] = Default::default();
    for (number, field) in fields(message) {
        match (number, field) {
            (1, Field::Number(n)) => out["count"] = json!(n),
            (3, Field::Number(n)) => out["sum"] = float(n),
            (4, Field::Number(n)) => out["schema"] = json!(unzigzag(n)),
            (5, Field::Number(n)) => out["zero_threshold"] = float(n),
            (6, Field::Number(n)) => out["zero_count"] = json!(n),
            (15, Field::Number(n)) => out["t"] = json!(time(n)),
            // The start, which the cases do not show.
            (17, Field::Number(_)) => {}
            (8 | 11, Field::Bytes(b)) => {
                let (mut offset, mut length) = (0, 0);
                for (part, field) in fields(b) {
                    match (part, field) {
                        (1, Field::Number(n)) => offset = unzigzag(n),
                        (2, Field::Number(n)) => length = n,
                        _ => panic!("unknown field of a span"),
                    }
                }
                spans[usize::from(number == 11)].push((offset, length));
            }
            (9 | 12, Field::Bytes(b)) => {
                deltas[usize::from(number == 12)].extend(varints(b).into_iter().map(unzigzag));
            }
            (number, _) => panic!("unknown field {number} of a histogram"),
        }
    }
    for (side, (spans, deltas)) in ["negative", "positive"].iter().zip(spans.iter().zip(&deltas)) {
        let (mut index, mut count, mut deltas) = (0, 0, deltas.iter());
        for (offset, length) in spans {
            index += offset;
            for _ in 0..*length {
                count += deltas.next().unwrap();
                if count != 0 {
                    out[side][index.to_string()] = json!(count);
                }
                index += 1;
            }
        }
        assert_eq!(deltas.next(), None);
    }
    out
}

impl Decoded {
    fn add(&mut self, labels: Vec<(String, String)>, parts: Vec<(&str, Value)>) {
        let names: Vec<&String> = labels.iter().map(|(name, _)| name).collect();
        assert!(names.is_sorted() && names.windows(2).all(|w| w[0] != w[1]), "{names:?}");
        assert!(labels.iter().all(|(_, value)| !value.is_empty()), "{labels:?}");
        let labels: Map<String, Value> = labels.into_iter().map(|(k, v)| (k, json!(v))).collect();
        let key = serde_json::to_string(&labels).unwrap();
        let series = self.series.entry(key).or_default();
        series.insert("labels".to_owned(), Value::Object(labels));
        for (name, value) in parts {
            if name == "meta" {
                series.insert(name.to_owned(), value);
            } else {
                let list = series.entry(name).or_insert(json!([]));
                list.as_array_mut().unwrap().push(value);
            }
        }
    }

    /// Adds a request of protocol 1.0.
    pub(super) fn read_v1(&mut self, body: &[u8]) {
        for (number, field) in fields(body) {
            let Field::Bytes(message) = field else {
                panic!("number in a request")
            };
            match number {
                1 => self.series_v1(message),
                3 => self.metadata.push(metadata_v1(message)),
                _ => panic!("unknown field {number} of a request"),
            }
        }
    }

    fn series_v1(&mut self, message: &[u8]) {
        let (mut labels, mut parts) = (Vec::new(), Vec::new());
        for (number, field) in fields(message) {
            let Field::Bytes(bytes) = field else {
                panic!("number in a series")
            };
            match number {
                1 => labels.push(label(bytes)),
                2 => parts.push(("samples", sample(bytes, 1))),
                3 => {
                    let mut exemplar = sample(bytes, 2);
                    let own = fields(bytes).into_iter().filter_map(|(n, f)| match f {
                        Field::Bytes(b) if n == 1 => Some(label(b)),
                        _ => None,
                    });
                    exemplar["labels"] = own.map(|(k, v)| (k, json!(v))).collect();
                    parts.push(("exemplars", exemplar));
                }
                _ => parts.push(("histograms", histogram(bytes))),
            }
        }
        self.add(labels, parts);
    }

    /// Adds a request of protocol 2.0.
    pub(super) fn read_v2(&mut self, body: &[u8]) {
        let fields = fields(body);
        let symbols: Vec<String> = fields
            .iter()
            .filter_map(|(number, field)| match field {
                Field::Bytes(bytes) if *number == 4 => Some(text(bytes)),
                _ => None,
            })
            .collect();
        assert_eq!(symbols[0], "");
        let mut used = vec![false; symbols.len()];
        used[0] = true;
        for (number, field) in fields {
            if let (5, Field::Bytes(message)) = (number, field) {
                self.series_v2(message, &mut |at| {
                    used[usize::try_from(at).unwrap()] = true;
                    symbols[usize::try_from(at).unwrap()].clone()
                });
            }
        }
        assert!(used.iter().all(|used| *used), "only used symbols are sent (PRW-46)");
    }

    fn series_v2(&mut self, message: &[u8], symbol: &mut dyn FnMut(u64) -> String) {
        let pairs = |packed: &[u8], symbol: &mut dyn FnMut(u64) -> String| -> Vec<(String, String)> {
            let numbers = varints(packed);
            numbers.chunks(2).map(|c| (symbol(c[0]), symbol(c[1]))).collect()
        };
        let (mut labels, mut parts) = (Vec::new(), Vec::new());
        for (number, field) in fields(message) {
            let Field::Bytes(bytes) = field else {
                panic!("number in a series")
            };
            match number {
                1 => labels = pairs(bytes, symbol),
                2 => parts.push(("samples", sample(bytes, 1))),
                3 => parts.push(("histograms", histogram(bytes))),
                4 => {
                    let mut exemplar = sample(bytes, 2);
                    let own = fields(bytes).into_iter().find_map(|(n, f)| match f {
                        Field::Bytes(b) if n == 1 => Some(b),
                        _ => None,
                    });
                    let own = pairs(own.unwrap_or_default(), symbol);
                    exemplar["labels"] = own.into_iter().map(|(k, v)| (k, json!(v))).collect();
                    parts.push(("exemplars", exemplar));
                }
                _ => {
                    let mut meta = json!({"type": "unknown", "help": "", "unit": ""});
                    for (n, f) in fields(bytes) {
                        match (n, f) {
                            (1, Field::Number(kind)) => meta["type"] = json!(kind_name(kind)),
                            (3, Field::Number(at)) => meta["help"] = json!(symbol(at)),
                            (4, Field::Number(at)) => meta["unit"] = json!(symbol(at)),
                            _ => panic!("unknown field of metadata"),
                        }
                    }
                    parts.push(("meta", meta));
                }
            }
        }
        self.add(labels, parts);
    }

    /// The series in the order of their labels.
    pub(super) fn series(&self) -> Vec<Value> {
        self.series.values().cloned().map(Value::Object).collect()
    }
}

fn metadata_v1(message: &[u8]) -> Value {
    let mut out = json!({"family": "", "type": "unknown", "help": "", "unit": ""});
    for (number, field) in fields(message) {
        match (number, field) {
            (1, Field::Number(kind)) => out["type"] = json!(kind_name(kind)),
            (2, Field::Bytes(b)) => out["family"] = json!(text(b)),
            (4, Field::Bytes(b)) => out["help"] = json!(text(b)),
            (5, Field::Bytes(b)) => out["unit"] = json!(text(b)),
            _ => panic!("unknown field of metadata"),
        }
    }
    out
}

fn kind_name(number: u64) -> &'static str {
    let names = [
        "unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset",
    ];
    names[usize::try_from(number).unwrap()]
}

/// Equal up to the form of numbers.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            a == b || ((a - b) / b).abs() < 1e-9
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(k, v)| b.get(k).is_some_and(|other| same(v, other)))
        }
        _ => a == b,
    }
}
