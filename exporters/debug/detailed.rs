//! Verbosity `detailed`: everything, one fact per line.

use std::fmt::Display;

use weir_core::Signal;

use super::message::Message;
use super::notation::{
    fixed, hex, severity, span_kind, status_code, temporality, time, typed_text_of,
};

/// The items of an OTLP export request.
pub(super) fn text(signal: Signal, request: Message<'_>) -> String {
    type Item = fn(&mut Text, usize, Message<'_>);
    let (resource, scope, item): (_, _, Item) = match signal {
        Signal::Traces => ("ResourceSpans", "ScopeSpans", span),
        Signal::Metrics => ("ResourceMetrics", "ScopeMetrics", metric),
        // The singular is the reference's.
        Signal::Logs => ("ResourceLog", "ScopeLogs", record),
    };
    let mut out = Text(String::new());
    for (i, block) in request.each(1).enumerate() {
        out.line(format_args!("{resource} #{i}"));
        out.line(format_args!("Resource SchemaURL: {}", block.text(3)));
        if let Some(resource) = block.child(1) {
            out.attributes("Resource attributes", resource, 1);
        }
        for (j, scope_block) in block.each(2).enumerate() {
            out.line(format_args!("{scope} #{j}"));
            out.line(format_args!("{scope} SchemaURL: {}", scope_block.text(3)));
            let scope = scope_block.child(1).unwrap_or(Message(&[]));
            let (name, version) = (scope.text(1), scope.text(2));
            out.line(format_args!("InstrumentationScope {name} {version}"));
            out.attributes("InstrumentationScope attributes", scope, 3);
            for (k, body) in scope_block.each(2).enumerate() {
                item(&mut out, k, body);
            }
        }
    }
    out.0
}

/// The text being written.
struct Text(String);

impl Text {
    fn line(&mut self, text: impl Display) {
        self.0.push_str(&format!("{text}\n"));
    }

    /// A fact of a metric or an event.
    fn arrow(&mut self, name: &str, value: impl Display) {
        self.line(format_args!("     -> {name}: {value}"));
    }

    /// A fact of a span.
    fn label(&mut self, name: &str, value: impl Display) {
        self.line(format_args!("    {name:<15}: {value}"));
    }

    /// The attributes in repeated field `number`, under a header; nothing if there are none.
    fn attributes(&mut self, header: &str, message: Message<'_>, number: u32) {
        self.indented_attributes(header, "     ", message, number);
    }

    fn indented_attributes(
        &mut self,
        header: &str,
        indent: &str,
        message: Message<'_>,
        number: u32,
    ) {
        for (i, entry) in message.each(number).enumerate() {
            if i == 0 {
                self.line(format_args!("{header}:"));
            }
            let value = typed_text_of(entry.child(2));
            self.line(format_args!("{indent}-> {}: {value}", entry.text(1)));
        }
    }
}

fn span(out: &mut Text, at: usize, span: Message<'_>) {
    out.line(format_args!("Span #{at}"));
    out.label("Trace ID", hex(span.bytes(1)));
    out.label("Parent ID", hex(span.bytes(4)));
    out.label("ID", hex(span.bytes(2)));
    out.label("Name", span.text(5));
    out.label("Kind", span_kind(span.or_zero(6)));
    if !span.text(3).is_empty() {
        out.label("TraceState", span.text(3));
    }
    out.label("Start time", time(span.or_zero(7)));
    out.label("End time", time(span.or_zero(8)));
    let status = span.child(15).unwrap_or(Message(&[]));
    out.label("Status code", status_code(status.or_zero(3)));
    out.label("Status message", status.text(2));
    out.label("DroppedAttributesCount", span.or_zero(10));
    out.label("DroppedEventsCount", span.or_zero(12));
    out.label("DroppedLinksCount", span.or_zero(14));
    out.attributes("Attributes", span, 9);
    for (i, event) in span.each(11).enumerate() {
        if i == 0 {
            out.line("Events:");
        }
        out.line(format_args!("SpanEvent #{i}"));
        out.arrow("Name", event.text(2));
        out.arrow("Timestamp", time(event.or_zero(1)));
        out.arrow("DroppedAttributesCount", event.or_zero(4));
        out.indented_attributes("     -> Attributes:", "          ", event, 3);
    }
    for (i, link) in span.each(13).enumerate() {
        if i == 0 {
            out.line("Links:");
        }
        out.line(format_args!("SpanLink #{i}"));
        out.arrow("Trace ID", hex(link.bytes(1)));
        out.arrow("ID", hex(link.bytes(2)));
        out.arrow("TraceState", link.text(3));
        out.arrow("DroppedAttributesCount", link.or_zero(5));
        out.indented_attributes("     -> Attributes:", "          ", link, 4);
    }
}

fn record(out: &mut Text, at: usize, record: Message<'_>) {
    out.line(format_args!("LogRecord #{at}"));
    out.line(format_args!(
        "ObservedTimestamp: {}",
        time(record.or_zero(11))
    ));
    out.line(format_args!("Timestamp: {}", time(record.or_zero(1))));
    out.line(format_args!("SeverityText: {}", record.text(3)));
    let number = record.or_zero(2);
    out.line(format_args!(
        "SeverityNumber: {}({number})",
        severity(number)
    ));
    if !record.text(12).is_empty() {
        out.line(format_args!("EventName: {}", record.text(12)));
    }
    out.line(format_args!("Body: {}", typed_text_of(record.child(5))));
    out.attributes("Attributes", record, 6);
    out.line(format_args!("Trace ID: {}", hex(record.bytes(9))));
    out.line(format_args!("Span ID: {}", hex(record.bytes(10))));
    out.line(format_args!("Flags: {}", record.or_zero(8)));
}

fn metric(out: &mut Text, at: usize, metric: Message<'_>) {
    out.line(format_args!("Metric #{at}"));
    out.line("Descriptor:");
    out.arrow("Name", metric.text(1));
    out.arrow("Description", metric.text(2));
    out.arrow("Unit", metric.text(3));
    // Field of the data, name of the type, of its points, and what each point says.
    type Body = fn(&mut Text, Message<'_>);
    let kinds: [(u32, &str, &str, Body); 5] = [
        (5, "Gauge", "NumberDataPoints", number),
        (7, "Sum", "NumberDataPoints", number),
        (9, "Histogram", "HistogramDataPoints", histogram),
        (
            10,
            "ExponentialHistogram",
            "ExponentialHistogramDataPoints",
            exponential_histogram,
        ),
        (11, "Summary", "SummaryDataPoints", summary),
    ];
    let found = kinds
        .iter()
        .find_map(|kind| Some((kind, metric.child(kind.0)?)));
    let Some(((field, data_type, points, body), data)) = found else {
        out.arrow("DataType", "Empty");
        return out.indented_attributes("     -> Metadata", "          ", metric, 12);
    };
    out.arrow("DataType", data_type);
    out.indented_attributes("     -> Metadata", "          ", metric, 12);
    if *field == 7 {
        out.arrow("IsMonotonic", data.or_zero(3) != 0);
    }
    if matches!(field, 7 | 9 | 10) {
        out.arrow("AggregationTemporality", temporality(data.or_zero(2)));
    }
    for (i, point) in data.each(1).enumerate() {
        out.line(format_args!("{points} #{i}"));
        body(out, point);
    }
}

/// What all points begin with; all have their times in fields 2 and 3.
fn head(out: &mut Text, point: Message<'_>, attributes: u32) {
    out.attributes("Data point attributes", point, attributes);
    out.line(format_args!("StartTimestamp: {}", time(point.or_zero(2))));
    out.line(format_args!("Timestamp: {}", time(point.or_zero(3))));
}

fn number(out: &mut Text, point: Message<'_>) {
    head(out, point, 7);
    if let Some(int) = point.number(6) {
        out.line(format_args!("Value: {}", int.cast_signed()));
    } else if let Some(double) = point.double(4) {
        out.line(format_args!("Value: {}", fixed(double)));
    }
    exemplars(out, point, 5);
}

fn totals(out: &mut Text, point: Message<'_>, min: u32, max: u32) {
    out.line(format_args!("Count: {}", point.or_zero(4)));
    for (name, field) in [("Sum", 5), ("Min", min), ("Max", max)] {
        if let Some(value) = point.double(field) {
            out.line(format_args!("{name}: {}", fixed(value)));
        }
    }
}

fn histogram(out: &mut Text, point: Message<'_>) {
    head(out, point, 9);
    totals(out, point, 11, 12);
    for (i, bound) in point.fixed64s(7).into_iter().enumerate() {
        let bound = fixed(f64::from_bits(bound));
        out.line(format_args!("ExplicitBounds #{i}: {bound}"));
    }
    for (i, count) in point.fixed64s(6).into_iter().enumerate() {
        out.line(format_args!("Buckets #{i}, Count: {count}"));
    }
    exemplars(out, point, 8);
}

fn exponential_histogram(out: &mut Text, point: Message<'_>) {
    head(out, point, 1);
    totals(out, point, 12, 13);
    let bound = super::bounds(point);
    let (offset, counts) = super::buckets(point.child(9));
    for (index, count) in (offset..).zip(counts).collect::<Vec<_>>().into_iter().rev() {
        let (low, high) = (fixed(-bound(index + 1)), fixed(-bound(index)));
        out.line(format_args!("Bucket [{low}, {high}), Count: {count}"));
    }
    let zero = point.or_zero(7);
    if zero != 0 {
        out.line(format_args!("Bucket [0, 0], Count: {zero}"));
    }
    let (offset, counts) = super::buckets(point.child(8));
    for (index, count) in (offset..).zip(counts) {
        let (low, high) = (fixed(bound(index)), fixed(bound(index + 1)));
        out.line(format_args!("Bucket ({low}, {high}], Count: {count}"));
    }
    exemplars(out, point, 11);
}

fn summary(out: &mut Text, point: Message<'_>) {
    head(out, point, 7);
    out.line(format_args!("Count: {}", point.or_zero(4)));
    out.line(format_args!(
        "Sum: {}",
        fixed(point.double(5).unwrap_or(0.0))
    ));
    for (i, quantile) in point.each(6).enumerate() {
        let [at, value] = [1, 2].map(|field| fixed(quantile.double(field).unwrap_or(0.0)));
        out.line(format_args!(
            "QuantileValue #{i}: Quantile {at}, Value {value}"
        ));
    }
}

fn exemplars(out: &mut Text, point: Message<'_>, number: u32) {
    for (i, exemplar) in point.each(number).enumerate() {
        if i == 0 {
            out.line("Exemplars:");
        }
        out.line(format_args!("Exemplar #{i}"));
        out.arrow("Trace ID", hex(exemplar.bytes(5)));
        out.arrow("Span ID", hex(exemplar.bytes(4)));
        out.arrow("Timestamp", time(exemplar.or_zero(2)));
        if let Some(int) = exemplar.number(6) {
            out.arrow("Value", int.cast_signed());
        } else if let Some(double) = exemplar.double(3) {
            out.arrow("Value", fixed(double));
        }
        out.indented_attributes("     -> FilteredAttributes", "          ", exemplar, 7);
    }
}
