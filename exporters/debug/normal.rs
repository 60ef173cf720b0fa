//! Verbosity `normal`: about one line per item, with one for each resource and scope above.

use std::fmt::Display;

use weir_core::Signal;

use super::message::Message;
use super::notation::{fixed, hex, shortest, text_of};

/// The items of an OTLP export request.
pub(super) fn text(signal: Signal, request: Message<'_>) -> String {
    // Two of the names are singular in the reference.
    let (name, item): (_, fn(Message<'_>, &mut String)) = match signal {
        Signal::Traces => ("Traces", span),
        Signal::Metrics => ("Metrics", metric),
        Signal::Logs => ("Log", record),
    };
    let mut out = String::new();
    for (i, block) in request.each(1).enumerate() {
        let attributes = block.child(1).map(|r| pairs(r, 1)).unwrap_or_default();
        let schema = bracketed(block.text(3));
        line(
            &mut out,
            format_args!("Resource{name} #{i}{schema}{}", spaced(&attributes)),
        );
        for scope_block in block.each(2) {
            let scope = scope_block.child(1).unwrap_or(Message(&[]));
            let schema = bracketed(scope_block.text(3));
            let attributes = spaced(&pairs(scope, 3));
            let scope = scope_name(scope);
            // The number is that of the resource, as in the reference.
            line(
                &mut out,
                format_args!("Scope{name} #{i}{scope}{schema}{attributes}"),
            );
            scope_block.each(2).for_each(|body| item(body, &mut out));
        }
    }
    out
}

fn line(out: &mut String, text: impl Display) {
    out.push_str(&format!("{text}\n"));
}

fn bracketed(schema_url: &str) -> String {
    if schema_url.is_empty() {
        String::new()
    } else {
        format!(" [{schema_url}]")
    }
}

fn scope_name(scope: Message<'_>) -> String {
    let (name, version) = (scope.text(1), scope.text(2));
    let mut out = String::new();
    if !name.is_empty() {
        out = format!(" {name}");
    }
    if !version.is_empty() {
        out = format!("{out}@{version}");
    }
    out
}

/// `key=value` of each attribute in repeated field `number`.
fn pairs(message: Message<'_>, number: u32) -> Vec<String> {
    let pair = |entry: Message<'_>| format!("{}={}", entry.text(1), text_of(entry.child(2)));
    message.each(number).map(pair).collect()
}

/// With a space before each.
fn spaced(pairs: &[String]) -> String {
    pairs.iter().map(|pair| format!(" {pair}")).collect()
}

fn span(span: Message<'_>, out: &mut String) {
    let (trace_id, span_id) = (hex(span.bytes(1)), hex(span.bytes(2)));
    let attributes = spaced(&pairs(span, 9));
    line(
        out,
        format_args!("{} {trace_id} {span_id}{attributes}", span.text(5)),
    );
}

fn record(record: Message<'_>, out: &mut String) {
    let attributes = pairs(record, 6).join(" ");
    line(
        out,
        format_args!("{} {attributes}", text_of(record.child(5))),
    );
}

fn metric(metric: Message<'_>, out: &mut String) {
    let name = metric.text(1);
    // Gauge and sum, histogram, exponential histogram, summary: field of the data, field of the
    // points' attributes, the value.
    type Value = fn(Message<'_>) -> String;
    let kinds: [(u32, u32, Value); 5] = [
        (5, 7, number),
        (7, 7, number),
        (9, 9, histogram),
        (10, 1, exponential_histogram),
        (11, 7, summary),
    ];
    for (data, attributes, value) in kinds {
        let Some(data) = metric.child(data) else {
            continue;
        };
        for point in data.each(1) {
            let labels = pairs(point, attributes).join(",");
            line(out, format_args!("{name}{{{labels}}} {}", value(point)));
        }
    }
}

fn number(point: Message<'_>) -> String {
    match (point.number(6), point.double(4)) {
        (Some(int), _) => int.cast_signed().to_string(),
        (None, Some(double)) => shortest(double),
        (None, None) => String::new(),
    }
}

/// `count=6 sum=10.5 min=0.05 max=9`: count is field 4, sum field 5.
fn totals(point: Message<'_>, min: u32, max: u32) -> String {
    let mut out = format!("count={}", point.or_zero(4));
    for (name, field) in [("sum", 5), ("min", min), ("max", max)] {
        if let Some(value) = point.double(field) {
            out = format!("{out} {name}={}", shortest(value));
        }
    }
    out
}

fn histogram(point: Message<'_>) -> String {
    let mut out = totals(point, 11, 12);
    let mut bounds = point.fixed64s(7).into_iter().map(f64::from_bits);
    for count in point.fixed64s(6) {
        out = match bounds.next() {
            Some(bound) => format!("{out} le{}={count}", shortest(bound)),
            None => format!("{out} {count}"),
        };
    }
    out
}

fn exponential_histogram(point: Message<'_>) -> String {
    let mut out = totals(point, 12, 13);
    let bound = super::bounds(point);
    let mut bucket = |bound: f64, count: u64| {
        out = format!("{out} le{}={count}", shortest(bound));
    };
    let (offset, counts) = super::buckets(point.child(9));
    for (index, count) in (offset..).zip(counts).collect::<Vec<_>>().into_iter().rev() {
        bucket(-bound(index), count);
    }
    let zero = point.or_zero(7);
    if zero > 0 {
        out = format!("{out} zero={zero}");
    }
    let (offset, counts) = super::buckets(point.child(8));
    for (index, count) in (offset..).zip(counts) {
        out = format!("{out} le{}={count}", shortest(bound(index + 1)));
    }
    out
}

fn summary(point: Message<'_>) -> String {
    let sum = fixed(point.double(5).unwrap_or(0.0));
    let mut out = format!("count={} sum={sum}", point.or_zero(4));
    for quantile in point.each(6) {
        let [at, value] = [1, 2].map(|field| shortest(quantile.double(field).unwrap_or(0.0)));
        out = format!("{out} q{at}={value}");
    }
    out
}
