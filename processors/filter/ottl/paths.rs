//! Paths: what of an item a condition looks at.

use weir_model::{MetricKind, PointValue, Temporality, ValueRef};

use super::eval::Val;
use super::{Context, Needs, Scene, Subject};

/// A key in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Text(String),
    Place(usize),
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    ResourceAttributes,
    ResourceDropped,
    ScopeName,
    ScopeVersion,
    ScopeAttributes,
    /// Attributes of the span, record or point.
    Attributes,
    /// Ids of the span or record; as hexadecimal text if `true`.
    TraceId(bool),
    SpanId(bool),
    ParentSpanId(bool),
    TraceState,
    SpanName,
    SpanKind,
    SpanKindText,
    StatusCode,
    StatusMessage,
    /// Of the span or point; as a number of nanoseconds if `true`.
    Start(bool),
    End(bool),
    /// Of the point or record.
    Time(bool),
    Observed(bool),
    Flags,
    Body(bool),
    SeverityNumber,
    SeverityText,
    EventName,
    MetricName,
    MetricDescription,
    MetricUnit,
    MetricType,
    MetricTemporality,
    MetricMonotonic,
    ValueInt,
    ValueDouble,
    Count,
    Sum,
    Min,
    Max,
    Scale,
    ZeroCount,
}

/// Names that stand for numbers.
const ENUMS: [(&str, &[&str]); 5] = [
    ("SPAN_KIND_", &["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]),
    ("STATUS_CODE_", &["UNSET", "OK", "ERROR"]),
    (
        "METRIC_DATA_TYPE_",
        &["NONE", "GAUGE", "SUM", "HISTOGRAM", "EXPONENTIAL_HISTOGRAM", "SUMMARY"],
    ),
    ("AGGREGATION_TEMPORALITY_", &["UNSPECIFIED", "DELTA", "CUMULATIVE"]),
    ("FLAG_", &["NONE", "NO_RECORDED_VALUE"]),
];

/// The value of an enum's name.
pub(super) fn constant(name: &str) -> Option<i64> {
    for (prefix, names) in ENUMS {
        if let Some(rest) = name.strip_prefix(prefix) {
            return i64::try_from(names.iter().position(|known| *known == rest)?).ok();
        }
    }
    severity(name.strip_prefix("SEVERITY_NUMBER_")?)
}

/// `INFO`, `WARN3`: the number of a severity by its name.
pub(in super::super) fn severity(name: &str) -> Option<i64> {
    if name == "UNSPECIFIED" {
        return Some(0);
    }
    for (name_of, first) in
        [("TRACE", 1), ("DEBUG", 5), ("INFO", 9), ("WARN", 13), ("ERROR", 17), ("FATAL", 21)]
    {
        if let Some(step) = name.strip_prefix(name_of) {
            let steps = ["", "2", "3", "4"];
            return Some(first + i64::try_from(steps.iter().position(|known| *known == step)?).ok()?);
        }
    }
    None
}

const FIRST: [&str; 7] =
    ["resource", "instrumentation_scope", "scope", "span", "metric", "datapoint", "log"];

/// What a path names in a context; else what is wrong, and the cure.
pub(super) fn resolve(
    words: &[&str],
    context: Context,
    prefixed: bool,
) -> Result<Field, (String, String)> {
    let path = words.join(".");
    let (first, rest) = words.split_first().map_or(("", &[][..]), |(first, rest)| (*first, rest));
    let own = match context {
        Context::Resource => "resource",
        Context::Span => "span",
        Context::Metric => "metric",
        Context::DataPoint => "datapoint",
        Context::Log => "log",
    };
    let allowed = |first: &str| match first {
        "resource" => true,
        "instrumentation_scope" | "scope" => context != Context::Resource,
        "metric" => matches!(context, Context::Metric | Context::DataPoint),
        other => other == own,
    };
    let known = FIRST.contains(&first) && !rest.is_empty();
    let found = if known {
        if !allowed(first) {
            return Err((format!("`{path}` is no path of {own} conditions"), "put the condition under the context of its path".to_owned()));
        }
        field(first, &rest.join("."))
    } else if prefixed {
        let cure = format!("begin it with its context, such as `{own}.{path}`");
        return Err((format!("`{path}` has no context"), cure));
    } else {
        field(own, &path)
    };
    found.ok_or_else(|| {
        let names = names(if known { first } else { own });
        (format!("unknown path `{path}`"), format!("known are {names}"))
    })
}

fn names(first: &str) -> &'static str {
    match first {
        "resource" => "attributes[\"key\"], dropped_attributes_count",
        "instrumentation_scope" | "scope" => "name, version, attributes[\"key\"]",
        "span" => "name, kind, kind.string, status.code, status.message, attributes[\"key\"], trace_id.string, span_id.string, parent_span_id.string, trace_state, start_time, end_time, start_time_unix_nano, end_time_unix_nano, flags",
        "metric" => "name, description, unit, type, aggregation_temporality, is_monotonic",
        "datapoint" => "attributes[\"key\"], value_int, value_double, count, sum, min, max, scale, zero_count, start_time, time, start_time_unix_nano, time_unix_nano, flags",
        _ => "body, body.string, severity_number, severity_text, attributes[\"key\"], trace_id.string, span_id.string, time, observed_time, time_unix_nano, observed_time_unix_nano, event_name, flags",
    }
}

fn field(first: &str, rest: &str) -> Option<Field> {
    use Field::*;
    Some(match (first, rest) {
        ("resource", "attributes") => ResourceAttributes,
        ("resource", "dropped_attributes_count") => ResourceDropped,
        ("instrumentation_scope" | "scope", "name") => ScopeName,
        ("instrumentation_scope" | "scope", "version") => ScopeVersion,
        ("instrumentation_scope" | "scope", "attributes") => ScopeAttributes,
        ("span" | "datapoint" | "log", "attributes") => Attributes,
        ("span" | "log", "trace_id") => TraceId(false),
        ("span" | "log", "trace_id.string") => TraceId(true),
        ("span" | "log", "span_id") => SpanId(false),
        ("span" | "log", "span_id.string") => SpanId(true),
        ("span", "parent_span_id") => ParentSpanId(false),
        ("span", "parent_span_id.string") => ParentSpanId(true),
        ("span", "trace_state") => TraceState,
        ("span", "name") => SpanName,
        ("span", "kind") => SpanKind,
        ("span", "kind.string") => SpanKindText,
        ("span", "status" | "status.code") => StatusCode,
        ("span", "status.message") => StatusMessage,
        ("span", "end_time") => End(false),
        ("span", "end_time_unix_nano") => End(true),
        ("span" | "datapoint", "start_time") => Start(false),
        ("span" | "datapoint", "start_time_unix_nano") => Start(true),
        ("datapoint" | "log", "time") => Time(false),
        ("datapoint" | "log", "time_unix_nano") => Time(true),
        ("log", "observed_time") => Observed(false),
        ("log", "observed_time_unix_nano") => Observed(true),
        ("span" | "datapoint" | "log", "flags") => Flags,
        ("log", "body") => Body(false),
        ("log", "body.string") => Body(true),
        ("log", "severity_number") => SeverityNumber,
        ("log", "severity_text") => SeverityText,
        ("log", "event_name") => EventName,
        ("metric", "name") => MetricName,
        ("metric", "description") => MetricDescription,
        ("metric", "unit") => MetricUnit,
        ("metric", "type") => MetricType,
        ("metric", "aggregation_temporality") => MetricTemporality,
        ("metric", "is_monotonic") => MetricMonotonic,
        ("datapoint", "value_int") => ValueInt,
        ("datapoint", "value_double") => ValueDouble,
        ("datapoint", "count") => Count,
        ("datapoint", "sum") => Sum,
        ("datapoint", "min") => Min,
        ("datapoint", "max") => Max,
        ("datapoint", "scale") => Scale,
        ("datapoint", "zero_count") => ZeroCount,
        _ => return None,
    })
}

impl Field {
    /// How much of a scene the path needs, for points: attributes belong to the series.
    pub(super) fn needs(self) -> Needs {
        use Field::*;
        match self {
            ResourceAttributes | ResourceDropped | ScopeName | ScopeVersion | ScopeAttributes => {
                Needs::Resource
            }
            Attributes | MetricName | MetricDescription | MetricUnit | MetricType
            | MetricTemporality | MetricMonotonic => Needs::Series,
            _ => Needs::Item,
        }
    }

    /// The value in a scene; what the item does not have is nil.
    pub(super) fn read<'a>(self, keys: &[Key], scene: &Scene<'a>) -> Val<'a> {
        let whole = match self {
            Field::ResourceAttributes => return attribute(&scene.resource.attributes, keys),
            Field::ResourceDropped => Val::Int(scene.resource.dropped_attributes.into()),
            Field::ScopeName => Val::text(scene.scope.map_or("", |scope| &scope.name)),
            Field::ScopeVersion => Val::text(scene.scope.map_or("", |scope| &scope.version)),
            Field::ScopeAttributes => {
                return scene.scope.map_or(Val::Nil, |scope| attribute(&scope.attributes, keys));
            }
            _ => match scene.subject {
                Subject::Resource => Val::Nil,
                Subject::Span(span) if self == Field::Attributes => {
                    return entry(keys, |key| span.attr(key));
                }
                Subject::Span(span) => self.of_span(span),
                Subject::Log(record) if self == Field::Attributes => {
                    return entry(keys, |key| record.attr(key));
                }
                Subject::Log(record) => self.of_log(record),
                Subject::Metric(metric, _) => self.of_metric(metric),
                Subject::Series(series) if self == Field::Attributes => {
                    return attribute(series.labels(), keys);
                }
                Subject::Series(series) => self.of_metric(series.metric()),
                Subject::Point(point) if self == Field::Attributes => {
                    return attribute(point.series.labels(), keys);
                }
                Subject::Point(point) => self.of_point(point),
            },
        };
        whole.index(keys)
    }

    fn of_span(self, span: weir_model::SpanRef<'_>) -> Val<'_> {
        const KINDS: [&str; 6] = ["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"];
        match self {
            Field::TraceId(text) => id(span.trace_id(), text),
            Field::SpanId(text) => id(span.span_id(), text),
            Field::ParentSpanId(text) => id(span.parent_span_id(), text),
            Field::TraceState => Val::text(span.trace_state()),
            Field::SpanName => Val::text(span.name()),
            Field::SpanKind => Val::Int(span.kind().into()),
            Field::SpanKindText => {
                let kind = usize::try_from(span.kind()).ok().and_then(|kind| KINDS.get(kind));
                Val::text(kind.copied().unwrap_or(""))
            }
            Field::StatusCode => Val::Int(span.status_code().into()),
            Field::StatusMessage => Val::text(span.status_message()),
            Field::Start(number) => time(span.start_ns(), number),
            Field::End(number) => time(span.end_ns(), number),
            Field::Flags => Val::Int(span.flags().into()),
            _ => Val::Nil,
        }
    }

    fn of_log(self, record: weir_model::LogRef<'_>) -> Val<'_> {
        match self {
            Field::TraceId(text) => id(record.trace_id(), text),
            Field::SpanId(text) => id(record.span_id(), text),
            Field::Time(number) => time(record.time_ns(), number),
            Field::Observed(number) => time(record.observed_ns(), number),
            Field::Flags => Val::Int(record.flags().into()),
            Field::Body(false) => Val::from_ref(record.body()),
            Field::Body(true) => Val::Text(record.body().to_text()),
            Field::SeverityNumber => Val::Int(record.severity_number().into()),
            Field::SeverityText => Val::text(record.severity_text()),
            Field::EventName => Val::text(record.event_name()),
            _ => Val::Nil,
        }
    }

    fn of_metric(self, metric: &weir_model::MetricMeta) -> Val<'_> {
        let (kind, temporality, monotonic) = match metric.kind {
            MetricKind::Gauge => (1, None, None),
            MetricKind::Sum { temporality, monotonic } => (2, Some(temporality), Some(monotonic)),
            MetricKind::Histogram { temporality } => (3, Some(temporality), None),
            MetricKind::ExponentialHistogram { temporality } => (4, Some(temporality), None),
            MetricKind::Summary => (5, None, None),
        };
        match self {
            Field::MetricName => Val::text(&metric.name),
            Field::MetricDescription => Val::text(&metric.description),
            Field::MetricUnit => Val::text(&metric.unit),
            Field::MetricType => Val::Int(kind),
            Field::MetricTemporality => temporality.map_or(Val::Nil, |temporality| {
                Val::Int(match temporality {
                    Temporality::Unspecified => 0,
                    Temporality::Delta => 1,
                    Temporality::Cumulative => 2,
                })
            }),
            Field::MetricMonotonic => monotonic.map_or(Val::Nil, Val::Bool),
            _ => Val::Nil,
        }
    }

    fn of_point(self, point: &weir_model::Point) -> Val<'_> {
        let count = |count: u64| Val::Int(i64::try_from(count).unwrap_or(i64::MAX));
        let double = |value: Option<f64>| value.map_or(Val::Nil, Val::Double);
        match (self, &point.value) {
            (Field::Start(number), _) => time(point.start_ns, number),
            (Field::Time(number), _) => time(point.time_ns, number),
            (Field::Flags, _) => Val::Int(point.flags.into()),
            (Field::ValueInt, PointValue::Int(value)) => Val::Int(*value),
            (Field::ValueDouble, PointValue::Double(value)) => Val::Double(*value),
            (Field::Count, PointValue::Histogram(value)) => count(value.count),
            (Field::Count, PointValue::ExponentialHistogram(value)) => count(value.count),
            (Field::Count, PointValue::Summary(value)) => count(value.count),
            (Field::Sum, PointValue::Histogram(value)) => double(value.sum),
            (Field::Sum, PointValue::ExponentialHistogram(value)) => double(value.sum),
            (Field::Sum, PointValue::Summary(value)) => Val::Double(value.sum),
            (Field::Min, PointValue::Histogram(value)) => double(value.min),
            (Field::Min, PointValue::ExponentialHistogram(value)) => double(value.min),
            (Field::Max, PointValue::Histogram(value)) => double(value.max),
            (Field::Max, PointValue::ExponentialHistogram(value)) => double(value.max),
            (Field::Scale, PointValue::ExponentialHistogram(value)) => Val::Int(value.scale.into()),
            (Field::ZeroCount, PointValue::ExponentialHistogram(value)) => count(value.zero_count),
            _ => self.of_metric(point.series.metric()),
        }
    }
}

fn attribute<'a>(attributes: &'a weir_model::Attributes, keys: &[Key]) -> Val<'a> {
    entry(keys, |key| attributes.get(key))
}

/// An attribute; the whole set without a key counts as nil, and conditions cannot ask for it.
fn entry<'a>(keys: &[Key], get: impl FnOnce(&str) -> Option<ValueRef<'a>>) -> Val<'a> {
    let Some((Key::Text(key), rest)) = keys.split_first() else { return Val::Nil };
    get(key).map_or(Val::Nil, Val::from_ref).index(rest)
}

fn time<'a>(ns: u64, number: bool) -> Val<'a> {
    let ns = i64::try_from(ns).unwrap_or(i64::MAX);
    if number { Val::Int(ns) } else { Val::Time(ns) }
}

fn id(bytes: &[u8], text: bool) -> Val<'_> {
    if !text {
        return Val::Bytes(bytes.into());
    }
    Val::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
}
