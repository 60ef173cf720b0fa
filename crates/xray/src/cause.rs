//! Error flags and the `cause` block.

use weir_model::ValueRef;
use weir_model::traces::{EventRef, SpanRef};

use crate::ids::Ids;
use crate::json::{DocumentWriter, member};
use crate::keys::{Key, Scan};
use crate::segment::Kind;
use crate::stack::{self, Exception, Language};

/// OTLP status code of a failed span.
const STATUS_ERROR: i32 = 2;
/// Event of an exception.
const EXCEPTION: &str = "exception";
/// Event of one failed try of an AWS SDK call.
const SDK_FAILURE: &str = "HTTP request failure";

/// What a span says about its failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause<'a> {
    /// Nothing.
    None,
    /// It has events that tell, whatever its status (XR-22).
    Events,
    /// Only its status tells: the message, or `http.status_text` in its place (XR-23). Empty text
    /// gives no block.
    Status(&'a str),
}

impl<'a> Cause<'a> {
    pub(crate) fn of(span: SpanRef<'a>, scan: &Scan<'a>) -> Self {
        let sdk = is_sdk_call(scan);
        let tells =
            |event: EventRef<'_>| event.name() == EXCEPTION || (sdk && event.name() == SDK_FAILURE);
        if span.events().any(tells) {
            Self::Events
        } else if span.status_code() != STATUS_ERROR {
            Self::None
        } else if span.status_message().is_empty() {
            Self::Status(scan.text(Key::HttpStatusText).unwrap_or(""))
        } else {
            Self::Status(span.status_message())
        }
    }
}

fn is_sdk_call(scan: &Scan<'_>) -> bool {
    scan.text(Key::RpcSystem) == Some("aws-api")
}

/// All three members in one piece.
macro_rules! flags {
    ($fault:literal, $error:literal, $throttle:literal) => {
        concat!(
            member!("fault"),
            $fault,
            ",",
            member!("error"),
            $error,
            ",",
            member!("throttle"),
            $throttle,
            ","
        )
    };
}

/// Writes `fault`, `error` and `throttle` (XR-21).
pub(crate) fn write_flags(w: &mut DocumentWriter<'_>, span: SpanRef<'_>, scan: &Scan<'_>) {
    let status = scan
        .get(Key::HttpStatusCode)
        .or_else(|| scan.get(Key::HttpResponseStatusCode));
    const NONE: &str = flags!("false", "false", "false");
    const FAULT: &str = flags!("true", "false", "false");
    const ERROR: &str = flags!("false", "true", "false");
    const THROTTLE: &str = flags!("false", "true", "true");
    w.raw(match status.map_or(0, |s| s.as_int().unwrap_or(0)) {
        429 => THROTTLE,
        400..=499 => ERROR,
        500..=599 => FAULT,
        _ if span.status_code() == STATUS_ERROR => FAULT,
        _ => NONE,
    });
}

/// Writes the block, if there is a cause.
pub(crate) fn write(
    w: &mut DocumentWriter<'_>,
    span: SpanRef<'_>,
    scan: &Scan<'_>,
    cause: Cause<'_>,
    (kind, language): (Kind, Language),
    ids: &mut Ids,
) {
    match cause {
        Cause::None | Cause::Status("") => {}
        Cause::Status(message) => {
            w.raw(concat!(
                member!("cause"),
                "{",
                member!("exceptions"),
                "[{",
                member!("id")
            ));
            w.id(ids.next_id());
            w.raw(member!("message"));
            w.long_text(message);
            w.raw(concat!(member!("type"), "\\\"\\\"}]},"));
        }
        Cause::Events => {
            w.raw(concat!(member!("cause"), "{"));
            let before = w.mark();
            w.raw(concat!(member!("exceptions"), "["));
            let first = w.mark();
            let remote = matches!(kind, Kind::Client | Kind::Producer);
            let sdk = is_sdk_call(scan);
            let mut left = w.detail.max_exceptions;
            for event in span.events() {
                if left == 0 {
                    break;
                }
                if event.name() == EXCEPTION {
                    left -= write_event(w, event, (language, remote), left, ids);
                } else if sdk && event.name() == SDK_FAILURE {
                    left -= write_sdk_failure(w, event, ids);
                }
            }
            if w.wrote_since(first) {
                w.close_array();
            } else {
                w.rewind(before);
            }
            w.close_object();
        }
    }
}

/// Writes the exceptions of one event, at most `left`; their number.
fn write_event(
    w: &mut DocumentWriter<'_>,
    event: EventRef<'_>,
    (language, remote): (Language, bool),
    left: usize,
    ids: &mut Ids,
) -> usize {
    let (mut kind, mut message, mut stacktrace) = (None, None, None);
    for (name, value) in event.attributes().iter() {
        let slot = match name {
            "exception.type" => &mut kind,
            "exception.message" => &mut message,
            "exception.stacktrace" => &mut stacktrace,
            _ => continue,
        };
        // Of equal names the first one counts.
        slot.get_or_insert(value.as_str().unwrap_or(""));
    }
    let [kind, message, stacktrace] = [kind, message, stacktrace].map(Option::unwrap_or_default);
    let mut exceptions = stack::read(language, kind, message, stacktrace, ids);
    exceptions.truncate(left);
    if let Some(innermost) = exceptions.last_mut() {
        innermost.cause = None;
    }
    for exception in &exceptions {
        write_exception(w, exception, remote);
    }
    exceptions.len()
}

fn write_exception(w: &mut DocumentWriter<'_>, exception: &Exception<'_>, remote: bool) {
    w.open_object();
    w.raw(member!("id"));
    w.id(exception.id);
    w.raw(member!("message"));
    w.long_text(&exception.message);
    w.raw(member!("type"));
    w.long_text(&exception.kind);
    w.raw(member!("remote"));
    w.bool(remote);
    if let Some(cause) = exception.cause {
        w.raw(member!("cause"));
        w.id(cause);
    }
    if !exception.stack.is_empty() {
        w.raw(member!("stack"));
        w.open_array();
        for frame in exception.stack.iter().take(w.detail.max_frames) {
            w.open_object();
            w.raw(member!("path"));
            w.long_text(frame.path);
            w.raw(member!("line"));
            w.int(frame.line);
            w.raw(member!("label"));
            w.long_text(frame.label);
            w.close_object();
        }
        w.close_array();
        // X-Ray's own member for frames that are left out.
        let left_out = exception.stack.len().saturating_sub(w.detail.max_frames);
        if let (1.., Ok(left_out)) = (left_out, i64::try_from(left_out)) {
            w.raw(member!("truncated"));
            w.int(left_out);
        }
    }
    w.close_object();
}

/// Writes a failed try of an SDK call as an exception: `<code>@<seconds>@<text>` (XR-24). The number
/// of exceptions: none if the event lacks code or text.
fn write_sdk_failure(w: &mut DocumentWriter<'_>, event: EventRef<'_>, ids: &mut Ids) -> usize {
    let (mut code, mut text): (Option<ValueRef<'_>>, Option<&str>) = (None, None);
    for (name, value) in event.attributes().iter() {
        match name {
            "http.response.status_code" => {
                code.get_or_insert(value);
            }
            "aws.http.error_message" => {
                text.get_or_insert(value.as_str().unwrap_or(""));
            }
            _ => {}
        }
    }
    let (Some(code), Some(text)) = (code, text) else {
        return 0;
    };
    let micros = event.time_ns() / 1000;
    let seconds = format!("{:.6}", micros as f64 / 1e6);
    w.open_object();
    w.raw(member!("id"));
    w.id(ids.next_id());
    w.raw(member!("message"));
    w.text_parts(&[&code.to_text(), "@", &seconds, "@", text]);
    w.raw(concat!(member!("type"), "\\\"aws.http.error.event\\\","));
    w.raw(concat!(member!("remote"), "true,"));
    w.close_object();
    1
}
