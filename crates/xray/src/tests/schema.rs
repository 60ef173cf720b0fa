//! X-Ray's segment document schema, written anew as checks (developer guide, "X-Ray segment
//! documents"). Shared with the fuzz target.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Map, Value as Json};

/// What is taken as valid besides the schema.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Names and ids of the reference, which passes some attributes on as they are. Without this
    /// (`strict_schema`), all names are cleaned and every segment has an id.
    pub(crate) reference_forms: bool,
    /// Dots in annotation keys (gate `exporter.xray.allowDot`); the service takes them, its guide
    /// does not tell.
    pub(crate) dots: bool,
}

/// Most bytes of a document.
const MAX_BYTES: usize = 64 * 1024;

/// What is wrong with a document, if anything.
pub(crate) fn check(text: &str, rules: Rules) -> Result<(), String> {
    if text.len() > MAX_BYTES {
        return Err(format!("{} bytes", text.len()));
    }
    let document: Json = serde_json::from_str(text).map_err(|e| format!("no JSON: {e}"))?;
    let document = document.as_object().ok_or("no object")?;
    let checked = segment(document, rules);
    checked.map_err(|what| format!("{what} in {text}"))
}

type Checked = Result<(), String>;
/// Name of a member and whether a value is of its type.
type Member<'n> = (&'n str, fn(&Json) -> bool);

fn need(holds: bool, what: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { Err(what.into()) }
}

fn segment(d: &Map<String, Json>, rules: Rules) -> Checked {
    const MEMBERS: [&str; 23] = [
        "name",
        "id",
        "start_time",
        "service",
        "origin",
        "user",
        "links",
        "trace_id",
        "end_time",
        "in_progress",
        "http",
        "fault",
        "error",
        "throttle",
        "cause",
        "aws",
        "annotations",
        "metadata",
        "namespace",
        "parent_id",
        "type",
        "sql",
        "resource_arn",
    ];
    for key in d.keys() {
        need(MEMBERS.contains(&key.as_str()), format!("member {key}"))?;
    }
    name(d.get("name"), rules)?;
    let no_id = rules.reference_forms && d.get("id") == Some(&Json::Null);
    need(no_id || is_id(d.get("id")), "id")?;
    need(is_trace_id(d.get("trace_id")), "trace_id")?;
    need(is_time(d.get("start_time")), "start_time")?;
    let in_progress = d.get("in_progress") == Some(&Json::Bool(true));
    need(in_progress || !d.contains_key("in_progress"), "in_progress")?;
    need(
        in_progress != is_time(d.get("end_time")),
        "end_time or in_progress, one of them",
    )?;
    for flag in ["fault", "error", "throttle"] {
        need(d.get(flag).is_some_and(Json::is_boolean), flag)?;
    }
    for text in ["origin", "user", "resource_arn"] {
        need(d.get(text).is_none_or(Json::is_string), text)?;
    }
    match d.get("type") {
        None => {}
        Some(kind) => {
            need(kind == "subsegment", "type")?;
            need(
                d.contains_key("parent_id"),
                "a subsegment without parent_id",
            )?;
        }
    }
    need(
        d.get("parent_id").is_none_or(|id| is_id(Some(id))),
        "parent_id",
    )?;
    let namespace = d.get("namespace");
    need(
        namespace.is_none_or(|n| n == "aws" || n == "remote"),
        "namespace",
    )?;
    service(d.get("service"))?;
    http(d.get("http"))?;
    d.get("cause").map_or(Ok(()), cause)?;
    aws(d.get("aws"))?;
    sql(d.get("sql"))?;
    links(d.get("links"))?;
    annotations(d.get("annotations"), rules)?;
    metadata(d.get("metadata"))
}

fn name(name: Option<&Json>, rules: Rules) -> Checked {
    let name = name.and_then(Json::as_str).ok_or("name")?;
    if rules.reference_forms {
        return need(!name.is_empty(), "empty name");
    }
    need((1..=200).contains(&name.chars().count()), "length of name")?;
    let fits = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/%&#=+\\-@".contains(c);
    need(name.chars().all(fits), "characters of name")
}

fn is_id(id: Option<&Json>) -> bool {
    id.and_then(Json::as_str).is_some_and(|id| is_hex(id, 16))
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_trace_id(id: Option<&Json>) -> bool {
    let id = id
        .and_then(Json::as_str)
        .and_then(|id| id.strip_prefix("1-"));
    let parts = id.and_then(|id| id.split_once('-'));
    parts.is_some_and(|(time, rest)| is_hex(time, 8) && is_hex(rest, 24))
}

fn is_time(time: Option<&Json>) -> bool {
    time.and_then(Json::as_f64).is_some_and(|t| t >= 0.0)
}

/// An object with these members at most, each of its type if it is there.
fn object(value: &Json, what: &str, members: &[Member<'_>]) -> Checked {
    let object = value
        .as_object()
        .ok_or_else(|| format!("{what} is no object"))?;
    for (key, value) in object {
        let known = members.iter().find(|(name, _)| name == key);
        let (_, fits) = known.ok_or_else(|| format!("{what}.{key}"))?;
        need(fits(value), format!("type of {what}.{key}"))?;
    }
    Ok(())
}

fn is_text_or_null(value: &Json) -> bool {
    value.is_null() || value.is_string()
}

fn service(service: Option<&Json>) -> Checked {
    service.map_or(Ok(()), |s| {
        object(s, "service", &[("version", Json::is_string)])
    })
}

fn http(http: Option<&Json>) -> Checked {
    let Some(http) = http else { return Ok(()) };
    object(
        http,
        "http",
        &[("request", Json::is_object), ("response", Json::is_object)],
    )?;
    object(
        &http["request"],
        "http.request",
        &[
            ("x_forwarded_for", Json::is_boolean),
            ("method", Json::is_string),
            ("url", Json::is_string),
            ("user_agent", Json::is_string),
            ("client_ip", Json::is_string),
        ],
    )?;
    object(
        &http["response"],
        "http.response",
        &[("status", Json::is_i64), ("content_length", Json::is_i64)],
    )
}

/// An id, or an object with exceptions.
fn cause(cause: &Json) -> Checked {
    if cause.is_string() {
        return need(is_id(Some(cause)), "cause");
    }
    object(cause, "cause", &[("exceptions", Json::is_array)])?;
    let exceptions = cause["exceptions"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let mut ids: Vec<&str> = Vec::new();
    for exception in exceptions {
        object(
            exception,
            "exception",
            &[
                ("id", |id| is_id(Some(id))),
                ("message", Json::is_string),
                ("type", Json::is_string),
                ("remote", Json::is_boolean),
                ("truncated", Json::is_u64),
                ("cause", |id| is_id(Some(id))),
                ("stack", Json::is_array),
            ],
        )?;
        ids.push(exception["id"].as_str().ok_or("exception without id")?);
        for frame in exception["stack"].as_array().into_iter().flatten() {
            let members: [Member<'_>; 3] = [
                ("path", Json::is_string),
                ("line", Json::is_i64),
                ("label", Json::is_string),
            ];
            object(frame, "frame", &members)?;
        }
    }
    for exception in exceptions {
        let cause = exception["cause"].as_str();
        need(
            cause.is_none_or(|id| ids.contains(&id)),
            "cause of an exception",
        )?;
    }
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    need(ids.len() == all, "exception ids are not unique")
}

fn aws(aws: Option<&Json>) -> Checked {
    let Some(aws) = aws else { return Ok(()) };
    let texts: fn(&Json) -> bool = |v| {
        v.as_array()
            .is_some_and(|list| list.iter().all(Json::is_string))
    };
    let groups: fn(&Json) -> bool = |v| {
        let group = |g| {
            object(
                g,
                "",
                &[("log_group", Json::is_string), ("arn", Json::is_string)],
            )
            .is_ok()
        };
        v.as_array().is_some_and(|list| list.iter().all(group))
    };
    let texts_and_numbers: fn(&Json) -> bool = |v| {
        let fits = |v: &Json| is_text_or_null(v) || v.is_i64() || v.is_boolean();
        v.as_object().is_some_and(|o| o.values().all(fits))
    };
    object(
        aws,
        "aws",
        &[
            ("elastic_beanstalk", texts_and_numbers),
            ("cloudwatch_logs", groups),
            ("ecs", texts_and_numbers),
            ("ec2", texts_and_numbers),
            ("eks", texts_and_numbers),
            ("xray", texts_and_numbers),
            ("account_id", Json::is_string),
            ("operation", Json::is_string),
            ("region", Json::is_string),
            ("request_id", Json::is_string),
            ("queue_url", Json::is_string),
            ("table_name", Json::is_string),
            ("table_names", texts),
        ],
    )?;
    need(aws["xray"]["auto_instrumentation"].is_boolean(), "aws.xray")
}

fn sql(sql: Option<&Json>) -> Checked {
    let members = [
        "connection_string",
        "url",
        "sanitized_query",
        "database_type",
        "user",
    ];
    let is_string: fn(&Json) -> bool = Json::is_string;
    let members = members.map(|name| (name, is_string));
    sql.map_or(Ok(()), |sql| object(sql, "sql", &members))
}

fn links(links: Option<&Json>) -> Checked {
    let Some(links) = links else { return Ok(()) };
    let links = links.as_array().filter(|links| !links.is_empty());
    for link in links.ok_or("links")? {
        let members: [Member<'_>; 3] = [
            ("trace_id", |id| is_trace_id(Some(id))),
            ("id", |id| is_id(Some(id))),
            ("attributes", Json::is_object),
        ];
        object(link, "link", &members)?;
        need(
            link["id"].is_string() && link["trace_id"].is_string(),
            "ids of a link",
        )?;
    }
    Ok(())
}

fn annotations(annotations: Option<&Json>, rules: Rules) -> Checked {
    let Some(annotations) = annotations else {
        return Ok(());
    };
    for (key, value) in annotations.as_object().ok_or("annotations")? {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || (b == b'.' && rules.dots);
        need(key.bytes().all(fits), format!("annotation key {key}"))?;
        need(
            rules.reference_forms || !key.is_empty(),
            "empty annotation key",
        )?;
        let scalar = value.is_string() || value.is_number() || value.is_boolean();
        need(scalar, format!("value of annotation {key}"))?;
    }
    Ok(())
}

fn metadata(metadata: Option<&Json>) -> Checked {
    let Some(metadata) = metadata else {
        return Ok(());
    };
    let namespaces = metadata.as_object().ok_or("metadata")?;
    need(
        namespaces.values().all(Json::is_object),
        "a namespace of metadata",
    )
}
