//! Spans of a segment document: checked first, so that a bad subsegment leaves nothing behind, then
//! written.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use regex::Regex;
use weir_model::{Interner, Scope, SpanMut, TracesBuilder, Value, ValueRef};

use super::document::{Aws, Cause, Document, Exception, Http, Sql};
use super::json::{Scalar, Text, write_members};
use super::resource::resource;
use super::{Outcome, Refused};

/// OTLP span kinds.
const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

/// OTLP status codes.
const UNSET: i32 = 0;
const ERROR: i32 = 2;

/// Names that a span may get from anything but annotations and metadata.
const OWN_NAMES: [&str; 24] = [
    "aws.account_id",
    "aws.operation",
    "aws.queue_url",
    "aws.region",
    "aws.request_id",
    "aws.service",
    "aws.table_name",
    "aws.xray.annotations",
    "aws.xray.inprogress",
    "aws.xray.retries",
    "aws.xray.traced",
    "aws.xray.x_forwarded_for",
    "db.connection_string",
    "db.name",
    "db.statement",
    "db.system",
    "db.user",
    "enduser.id",
    "http.client_ip",
    "http.method",
    "http.response_content_length",
    "http.status_code",
    "http.url",
    "http.user_agent",
];
const ANNOTATIONS: &str = "aws.xray.annotations";
const METADATA_PREFIX: &str = "aws.xray.metadata.";

/// Turns documents into spans. Cheap to make; one serves all documents.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    scope: Arc<Scope>,
}

/// A segment or subsegment that was found to be in order.
struct Checked<'d, 'a> {
    document: &'d Document<'a>,
    name: &'d str,
    start_time: f64,
    trace_id: [u8; 16],
    id: [u8; 8],
    parent_id: Option<[u8; 8]>,
    kind: i32,
    /// Connection string and database name.
    database: Option<(&'d str, &'d str)>,
}

impl Reader {
    pub(super) fn take(
        &self,
        document: &Document<'_>,
        interner: &Interner,
        builder: &mut TracesBuilder,
    ) -> Outcome {
        let mut checked = Vec::new();
        let result = root_trace_id(document)
            .and_then(|trace_id| check(document, trace_id, None, &mut checked));
        if let Err(why) = result {
            return Outcome::Refused {
                segments: document.segments(),
                readable: true,
                why,
            };
        }
        let resource = interner.resource(resource(document));
        for segment in &checked {
            write(segment, &mut builder.push(&resource, &self.scope));
        }
        Outcome::Taken {
            spans: checked.len(),
        }
    }
}

/// What only the outermost segment must have.
fn root_trace_id(document: &Document<'_>) -> Result<[u8; 16], Refused> {
    for (name, there) in [
        ("name", document.name.is_some()),
        ("id", document.id.is_some()),
        ("start_time", document.start_time.is_some()),
    ] {
        if !there {
            return Err(Refused::Missing(name));
        }
    }
    let trace_id = document.trace_id.as_ref();
    trace_id_of(trace_id.ok_or(Refused::Missing("trace_id"))?)
}

/// Checks a segment and all in it; appends them to `checked`, parents first.
fn check<'d, 'a>(
    document: &'d Document<'a>,
    trace_id: [u8; 16],
    inside: Option<[u8; 8]>,
    checked: &mut Vec<Checked<'d, 'a>>,
) -> Result<(), Refused> {
    let own_trace_id = match &document.trace_id {
        Some(own) if inside.is_some() => trace_id_of(own)?,
        _ => trace_id,
    };
    let parent_id = match (inside, &document.parent_id) {
        (Some(parent), _) => Some(parent),
        (None, Some(parent)) => Some(span_id_of(parent, "parent_id")?),
        (None, None) => None,
    };
    let id = document.id.as_ref().ok_or(Refused::Missing("id"))?;
    let id = span_id_of(id, "id")?;
    let name = document.name.as_ref().ok_or(Refused::Missing("name"))?;
    let url = document.sql.as_ref().and_then(|sql| sql.url.as_ref());
    checked.push(Checked {
        document,
        name: name.as_str(),
        start_time: document.start_time.ok_or(Refused::Missing("start_time"))?,
        trace_id: own_trace_id,
        id,
        parent_id: parent_id.filter(|parent| *parent != [0; 8]),
        kind: kind(document, inside.is_some())?,
        database: url.map(|url| database(url.as_str())).transpose()?,
    });
    for inner in document.subsegments.iter().flatten() {
        check(inner, trace_id, Some(id), checked)?;
    }
    Ok(())
}

/// `1-5f84c7a1-e7d1852db8c4fd35d88bf49a`; what stands at the hyphens does not matter.
fn trace_id_of(text: &Text<'_>) -> Result<[u8; 16], Refused> {
    let bytes = text.as_str().as_bytes();
    let mut id = [0; 16];
    let (Some(epoch), Some(unique)) = (bytes.get(2..10), bytes.get(11..)) else {
        return Err(Refused::Id("trace_id"));
    };
    let (left, right) = id.split_at_mut(4);
    if from_hex(epoch, left) && from_hex(unique, right) {
        Ok(id)
    } else {
        Err(Refused::Id("trace_id"))
    }
}

fn span_id_of(text: &Text<'_>, name: &'static str) -> Result<[u8; 8], Refused> {
    let mut id = [0; 8];
    if from_hex(text.as_str().as_bytes(), &mut id) {
        Ok(id)
    } else {
        Err(Refused::Id(name))
    }
}

/// Fills `out` from exactly twice as many hexadecimal digits.
fn from_hex(digits: &[u8], out: &mut [u8]) -> bool {
    let value = |digit: u8| char::from(digit).to_digit(16);
    if digits.len() != out.len() * 2 {
        return false;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return false };
        let (Some(high), Some(low)) = (value(*high), value(*low)) else {
            return false;
        };
        *byte = (high << 4 | low) as u8;
    }
    true
}

/// AWS-38. A subsegment that is sent on its own says so by `type` and `parent_id`.
fn kind(document: &Document<'_>, embedded: bool) -> Result<i32, Refused> {
    let http = document.http.as_ref();
    let request = http.and_then(|http| http.request.as_ref());
    let serves = request.is_some_and(|request| request.client_ip.is_some());
    let kind = match document.namespace.as_ref().map(Text::as_str) {
        None | Some("local") if serves => SERVER,
        None | Some("local") => INTERNAL,
        Some("aws" | "remote") => CLIENT,
        Some(other) => return Err(Refused::Namespace(other.chars().take(100).collect())),
    };
    let says_so = |kind: &Text<'_>| kind.as_str().eq_ignore_ascii_case("subsegment");
    let alone = document.parent_id.is_some() && document.kind.as_ref().is_some_and(says_so);
    Ok(if embedded || alone { kind } else { SERVER })
}

/// Connection string and database name of `protocol://host:port/database?options`, or of
/// `protocol:database`. Where a host comes without a database, the two fall apart as in the
/// reference: at the last colon.
fn database(url: &str) -> Result<(&str, &str), Refused> {
    static FORM: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^([^/]+:(?://[^/]+/)?)([^?]+)\??.*$").ok());
    let captures = FORM.as_ref().and_then(|form| form.captures(url));
    let part = |index| captures.as_ref()?.get(index).map(|part| part.as_str());
    match (part(1), part(2)) {
        (Some(connection), Some(name)) => Ok((connection.trim_end_matches('/'), name)),
        _ => Err(Refused::SqlUrl),
    }
}

/// Nanoseconds of seconds; times before 1970 count as 1970.
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

fn write(segment: &Checked<'_, '_>, span: &mut SpanMut<'_>) {
    let document = segment.document;
    let parent_id = segment.parent_id.as_ref().map_or(&[][..], |id| id);
    span.set_name(segment.name);
    span.set_kind(segment.kind);
    span.set_ids(&segment.trace_id, &segment.id, parent_id);
    let end_ns = document.end_time.map_or(0, nanoseconds);
    span.set_times(nanoseconds(segment.start_time), end_ns);
    if document.namespace.as_ref().map(Text::as_str) == Some("aws") {
        span.push("aws.service", ValueRef::Str(segment.name));
    }
    bool(span, "aws.xray.inprogress", document.in_progress);
    text(span, "enduser.id", &document.user);
    let status = document
        .http
        .as_ref()
        .map_or(UNSET, |http| write_http(http, span));
    if let Some(aws) = &document.aws {
        write_aws(aws, span);
    }
    if let Some(sql) = &document.sql {
        write_sql(sql, segment.database, span);
    }
    bool(span, "aws.xray.traced", document.traced);
    let annotations = document.annotations.as_ref();
    write_annotations(annotations, span);
    for (namespace, members) in document.metadata.iter().flatten() {
        let mut value = String::new();
        match members {
            Some(members) => write_members(members, &mut value),
            None => value.push_str("null"),
        }
        let name = Text(format!("{METADATA_PREFIX}{}", namespace.as_str()).into());
        // An annotation may have taken the name; the metadata comes later and counts.
        if annotations.is_some_and(|annotations| annotations.contains_key(&name)) {
            span.set(name.as_str(), ValueRef::Str(&value));
        } else {
            span.push(name.as_str(), ValueRef::Str(&value));
        }
    }
    write_cause(document.cause.as_ref(), status, span);
}

/// The attributes of `http`; returns the status code.
fn write_http(http: &Http<'_>, span: &mut SpanMut<'_>) -> i32 {
    if let Some(request) = &http.request {
        text(span, "http.method", &request.method);
        text(span, "http.client_ip", &request.client_ip);
        text(span, "http.user_agent", &request.user_agent);
        text(span, "http.url", &request.url);
        bool(span, "aws.xray.x_forwarded_for", request.x_forwarded_for);
    }
    let Some(response) = &http.response else {
        return UNSET;
    };
    int(span, "http.status_code", response.status);
    let name = "http.response_content_length";
    match &response.content_length {
        Some(Scalar::Text(length)) => span.push(name, ValueRef::Str(length.as_str())),
        Some(Scalar::Number(length)) => span.push(name, ValueRef::Int(*length as i64)),
        _ => {}
    }
    match response.status {
        None | Some(100..=398) => UNSET,
        // 399 and what is no status are errors in the reference, too.
        Some(_) => ERROR,
    }
}

fn write_aws(aws: &Aws<'_>, span: &mut SpanMut<'_>) {
    text(span, "aws.account_id", &aws.account_id);
    text(span, "aws.operation", &aws.operation);
    text(span, "aws.region", &aws.region);
    text(span, "aws.request_id", &aws.request_id);
    text(span, "aws.queue_url", &aws.queue_url);
    text(span, "aws.table_name", &aws.table_name);
    int(span, "aws.xray.retries", aws.retries);
}

fn write_sql(sql: &Sql<'_>, database: Option<(&str, &str)>, span: &mut SpanMut<'_>) {
    if let Some((connection, name)) = database {
        span.push("db.connection_string", ValueRef::Str(connection));
        span.push("db.name", ValueRef::Str(name));
    }
    text(span, "db.system", &sql.database_type);
    text(span, "db.statement", &sql.sanitized_query);
    text(span, "db.user", &sql.user);
}

/// One attribute each, and the list of their names, which also has those whose values X-Ray does not
/// know.
fn write_annotations(annotations: Option<&BTreeMap<Text<'_>, Scalar<'_>>>, span: &mut SpanMut<'_>) {
    let Some(annotations) = annotations.filter(|annotations| !annotations.is_empty()) else {
        return;
    };
    let names = annotations.keys().map(|name| Value::from(name.as_str()));
    Value::List(names.collect()).with_ref(|names| span.push(ANNOTATIONS, names));
    for (name, value) in annotations {
        let name = name.as_str();
        let value = match value {
            Scalar::Text(text) => ValueRef::Str(text.as_str()),
            Scalar::Number(number) => ValueRef::Double(*number),
            Scalar::Bool(value) => ValueRef::Bool(*value),
            Scalar::Other => continue,
        };
        if OWN_NAMES.contains(&name) {
            span.set(name, value);
        } else {
            span.push(name, value);
        }
    }
}

/// Status, and an event for each exception. They have no time, as in the reference: the document
/// has none.
fn write_cause(cause: Option<&Cause<'_>>, status: i32, span: &mut SpanMut<'_>) {
    match cause {
        None if status == UNSET => {}
        None | Some(Cause::Exceptions(_)) => span.set_status(ERROR, ""),
        Some(Cause::Id(id)) => span.set_status(ERROR, id.as_str()),
    }
    for exception in cause.map_or(&[][..], Cause::exceptions) {
        let stack = stack_text(exception);
        let mut event = span.add_event(0, "exception");
        let texts = [
            ("aws.xray.exception.id", exception.id.as_ref()),
            ("exception.message", exception.message.as_ref()),
            ("exception.type", exception.kind.as_ref()),
        ];
        for (name, value) in texts.into_iter().filter_map(|(name, v)| Some((name, v?))) {
            event.set(name, ValueRef::Str(value.as_str()));
        }
        if let Some(remote) = exception.remote {
            event.set("aws.xray.exception.remote", ValueRef::Bool(remote));
        }
        if let Some(truncated) = exception.truncated {
            event.set("aws.xray.exception.truncated", ValueRef::Int(truncated));
        }
        if let Some(skipped) = exception.skipped {
            event.set("aws.xray.exception.skipped", ValueRef::Int(skipped));
        }
        if let Some(cause) = &exception.cause {
            event.set("aws.xray.exception.cause", ValueRef::Str(cause.as_str()));
        }
        if let Some(stack) = &stack {
            event.set("exception.stacktrace", ValueRef::Str(stack));
        }
    }
}

/// The stack as Java prints one, but with a space before the line's number.
fn stack_text(exception: &Exception<'_>) -> Option<String> {
    let frames = exception
        .stack
        .as_ref()
        .filter(|frames| !frames.is_empty())?;
    let or_empty = |text: &Option<Text<'_>>| match text {
        Some(text) => text.as_str().to_owned(),
        None => String::new(),
    };
    let mut stack = or_empty(&exception.kind);
    stack.push_str(": ");
    stack.push_str(&or_empty(&exception.message));
    stack.push('\n');
    for frame in frames {
        stack.push_str("\tat ");
        stack.push_str(&or_empty(&frame.label));
        stack.push('(');
        stack.push_str(&or_empty(&frame.path));
        stack.push_str(": ");
        match frame.line {
            Some(line) => stack.push_str(&line.to_string()),
            None => stack.push_str("<unknown>"),
        }
        stack.push_str(")\n");
    }
    Some(stack)
}

fn text(span: &mut SpanMut<'_>, name: &str, value: &Option<Text<'_>>) {
    if let Some(value) = value {
        span.push(name, ValueRef::Str(value.as_str()));
    }
}

fn bool(span: &mut SpanMut<'_>, name: &str, value: Option<bool>) {
    if let Some(value) = value {
        span.push(name, ValueRef::Bool(value));
    }
}

fn int(span: &mut SpanMut<'_>, name: &str, value: Option<i64>) {
    if let Some(value) = value {
        span.push(name, ValueRef::Int(value));
    }
}
