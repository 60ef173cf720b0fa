//! Text pages against the independent parser of the crate `prometheus-parse`, on the part of the
//! grammar that it reads in full: what it cannot read is left out by [`Grammar`], not excused later.
#![no_main]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use regex::Regex;
use weir_prom::exposition::{
    Block, MetadataEntry, MetricType, Scanner, Step, TextFormat, unescape_help,
};
use weir_prom::labels::LabelSet;

/// One value: name, labels, bits of the value, time in milliseconds if it can be compared.
type Row = (String, BTreeMap<String, String>, u64, Option<i64>);

/// A page in comparable form.
#[derive(Debug, Default, PartialEq, Eq)]
struct Content {
    rows: Vec<Row>,
    helps: BTreeMap<String, String>,
}

/// Lines that both parsers read. The crate knows no escapes, no quoted or empty label sets, no
/// colons in names and no `=`, `,` or `}` in values; it cuts blanks off help texts.
struct Grammar {
    sample: Regex,
    kind: Regex,
    help: Regex,
}

static GRAMMAR: LazyLock<Grammar> = LazyLock::new(|| {
    let name = "[a-zA-Z_][a-zA-Z0-9_]*";
    let label = format!(r#"{name}="[^"\\=,{{}}\n\x00]*""#);
    let number = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?i:inf|infinity)|(?i:nan)";
    let regex = |text: String| Regex::new(&text).expect("a valid expression");
    Grammar {
        sample: regex(format!(
            r"^[ \t]*({name})(\{{({label}(?:,{label})*),?\}})?[ \t]+({number})(?:[ \t]+([0-9]{{1,14}}))?[ \t]*$"
        )),
        kind: regex(format!(
            r"^# TYPE ({name}) (counter|gauge|histogram|summary|untyped)$"
        )),
        help: regex(format!(r"^# HELP ({name}) ([^\\\n\x00]+)$")),
    }
});

impl Grammar {
    fn covers(&self, page: &str) -> bool {
        page.split('\n').all(|line| {
            if line.is_empty() {
                return true;
            }
            if let Some(found) = self.sample.captures(line) {
                let mut names: Vec<&str> = found.get(3).map_or("", |m| m.as_str()).split(',').collect();
                names.iter_mut().for_each(|pair| *pair = pair.split('=').next().unwrap_or_default());
                names.retain(|name| !name.is_empty());
                let count = names.len();
                names.sort_unstable();
                names.dedup();
                // A name twice, and what no double can hold, fail a scrape.
                let value = found[4].to_ascii_lowercase();
                let in_range = value.contains('n') || value.parse::<f64>().is_ok_and(f64::is_finite);
                return names.len() == count && in_range;
            }
            let help = self.help.captures(line);
            self.kind.is_match(line) || help.is_some_and(|found| found[2].trim() == &found[2])
        })
    }
}

/// What our scanner reads.
fn ours(page: &str) -> Result<Content, String> {
    let mut scanner = Scanner::new(TextFormat::Prometheus);
    let mut block = Block::new(page.as_bytes(), true);
    let mut set = LabelSet::new();
    let mut content = Content::default();
    // Types by the name that the crate keeps them under.
    let mut types: BTreeMap<String, MetricType> = BTreeMap::new();
    loop {
        match scanner.step(&mut block, &()).map_err(|error| error.to_string())? {
            Step::Sample(sample) => {
                scanner.labels_into(sample.series, &mut set).map_err(|error| error.to_string())?;
                let mut labels: BTreeMap<String, String> =
                    set.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
                let mut name = labels.remove("__name__").unwrap_or_default();
                let mut time = sample.timestamp_ms;
                let bound = match types.get(&name) {
                    Some(MetricType::Histogram) => Some("le"),
                    Some(MetricType::Summary) => Some("quantile"),
                    _ => None,
                };
                if let Some(bound) = bound.filter(|_| !labels.is_empty()) {
                    // The crate puts these together; it drops those without a bound.
                    let Some(value) = labels.remove(bound).and_then(|value| number(&value)) else { continue };
                    if bound == "le" {
                        name.truncate(name.len() - "_bucket".len());
                    }
                    let _written = write!(name, "/{bound}={value:?}");
                    time = None;
                }
                content.rows.push((name, plain(labels), bits(sample.value), time));
            }
            Step::Metadata(metadata) => match metadata.entry.expect("nothing is expected") {
                MetadataEntry::Type(name, kind) => {
                    let suffix = if kind == MetricType::Histogram { "_bucket" } else { "" };
                    types.insert(format!("{name}{suffix}"), kind);
                }
                MetadataEntry::Help(name, text) => {
                    let text = unescape_help(text, TextFormat::Prometheus).into_owned();
                    content.helps.insert(name.to_owned(), text);
                }
                MetadataEntry::Unit(..) => return Err("the text format has no units".to_owned()),
            },
            Step::End => break,
            Step::NeedMore => return Err("the only block is the last".to_owned()),
        }
    }
    content.rows.sort();
    Ok(content)
}

/// What the crate reads.
fn theirs(page: &str) -> Content {
    use prometheus_parse::Value;
    let lines = page.split('\n').map(|line| Ok(line.to_owned()));
    let never = chrono::DateTime::<chrono::Utc>::MAX_UTC;
    let scrape = prometheus_parse::Scrape::parse_at(lines, never).expect("lines from memory");
    let mut content = Content { helps: scrape.docs.into_iter().collect(), ..Content::default() };
    for sample in scrape.samples {
        let labels: BTreeMap<String, String> =
            plain(sample.labels.iter().map(|(n, v)| (n.clone(), v.clone())).collect());
        let time = (sample.timestamp != never).then(|| sample.timestamp.timestamp_millis());
        let mut parts = |bound: &str, pairs: Vec<(f64, f64)>| {
            for (at, count) in pairs {
                let name = format!("{}/{bound}={at:?}", sample.metric);
                content.rows.push((name, labels.clone(), bits(count), None));
            }
        };
        match sample.value {
            Value::Histogram(counts) => {
                parts("le", counts.iter().map(|c| (c.less_than, c.count)).collect());
            }
            Value::Summary(counts) => {
                parts("quantile", counts.iter().map(|c| (c.quantile, c.count)).collect());
            }
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => {
                content.rows.push((sample.metric, labels, bits(value), time));
            }
        }
    }
    content.rows.sort();
    content
}

/// Bounds in one form: under a type with bounds our scanner writes them as OpenMetrics does.
fn plain(mut labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for bound in ["le", "quantile"] {
        if let Some(value) = labels.get_mut(bound)
            && let Some(number) = number(value)
        {
            *value = format!("{number:?}");
        }
    }
    labels
}

/// Both parsers may choose any NaN.
fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

/// A bound as the crate reads it.
fn number(text: &str) -> Option<f64> {
    text.to_lowercase().parse().ok()
}

/// A page from choices: mutations of raw text rarely stay within the grammar.
fn page_of(choices: &[u8]) -> String {
    const NAMES: [&str; 8] = ["a", "b_bucket", "b", "b_sum", "le", "quantile", "_", "A9"];
    const VALUES: [&str; 12] = ["1", "+Inf", "0.5", "NaN", "", "x y", "\u{e9}", "-1e3", "1e-400", ".5", "5.", "/a:b#"];
    const TIMES: [&str; 6] = ["", "", "", " 0", " 1700000000000", "\t99999999999999"];
    let mut page = String::new();
    let mut choices = choices.iter().map(|choice| usize::from(*choice));
    let mut next = || choices.next();
    while let Some(kind) = next() {
        let name = NAMES[next().unwrap_or(0) % NAMES.len()];
        let _written = match kind % 8 {
            0 => writeln!(page, "# TYPE {name} {}", ["counter", "gauge", "histogram", "summary", "untyped"][next().unwrap_or(0) % 5]),
            1 => writeln!(page, "# HELP {name} {}", VALUES[next().unwrap_or(0) % 4]),
            labels => {
                let labels: Vec<String> = (2..labels.min(5))
                    .map(|at| {
                        let value = VALUES[next().unwrap_or(0) % VALUES.len()];
                        format!("{}=\"{value}\"", NAMES[(at + next().unwrap_or(0)) % NAMES.len()])
                    })
                    .collect();
                let set = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
                let value = ["1", "-0", "1e308", "NaN", "+Inf", "-inf", "4.9e-324", "0.1", "123456789012345678", "1E5", "7."][next().unwrap_or(0) % 11];
                writeln!(page, "{name}{set} {value}{}", TIMES[next().unwrap_or(0) % TIMES.len()])
            }
        };
    }
    page
}

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let page = if first % 2 == 0 {
        page_of(rest)
    } else if let Ok(text) = std::str::from_utf8(rest) {
        text.to_owned()
    } else {
        return;
    };
    if !GRAMMAR.covers(&page) {
        return;
    }
    match ours(&page) {
        Ok(content) => assert_eq!(content, theirs(&page), "{page:?}"),
        Err(error) => panic!("refused: {error}: {page:?}"),
    }
});
