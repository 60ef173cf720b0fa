//! Functions of conditions.

use std::borrow::Cow;

use regex::Regex;
use weir_model::{Value, ValueRef};
use weir_prom::relabel::re2;

use super::eval::{Comparison, Expr, Literal, Val, compare, value};
use super::{Context, Dialect, Needs, RunError, Scene, Subject};

/// A function, with what of its arguments is worked out at the start.
#[derive(Clone, Debug)]
pub(super) struct Function {
    name: &'static str,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    IsMatch(Regex),
    Duration(i64),
    Plain,
}

/// Names, number of arguments, whether they are conditions.
const OTTL: [(&str, usize, bool); 28] = [
    ("IsMatch", 2, true),
    ("HasPrefix", 2, true),
    ("HasSuffix", 2, true),
    ("ContainsValue", 2, true),
    ("IsString", 1, true),
    ("IsInt", 1, true),
    ("IsDouble", 1, true),
    ("IsBool", 1, true),
    ("IsMap", 1, true),
    ("IsList", 1, true),
    ("IsRootSpan", 0, true),
    ("HasAttrKeyOnDatapoint", 1, true),
    ("HasAttrOnDatapoint", 2, true),
    ("Len", 1, false),
    ("Concat", 2, false),
    ("Split", 2, false),
    ("Substring", 3, false),
    ("ToLowerCase", 1, false),
    ("ToUpperCase", 1, false),
    ("Trim", 1, false),
    ("String", 1, false),
    ("Int", 1, false),
    ("Double", 1, false),
    ("ParseJSON", 1, false),
    ("TraceID", 1, false),
    ("SpanID", 1, false),
    ("Duration", 1, false),
    ("Unix", 1, false),
];

/// Those of the older language.
const OLDER: [(&str, usize, bool); 6] = [
    ("HasLabel", 1, true),
    ("Label", 1, false),
    ("IsMatch", 2, true),
    ("HasPrefix", 2, true),
    ("HasSuffix", 2, true),
    ("Contains", 2, true),
];

type Wrong = (String, String);

impl Function {
    /// Finds a function and checks its arguments; else what is wrong, and the cure.
    pub(super) fn new(
        name: &str,
        arguments: &[Expr],
        context: Context,
        dialect: Dialect,
    ) -> Result<Self, Wrong> {
        let table: &[(&'static str, usize, bool)] =
            if dialect == Dialect::Expr { &OLDER } else { &OTTL };
        let Some((name, count, _)) = table.iter().find(|(known, ..)| *known == name) else {
            let known: Vec<&str> = table.iter().map(|(name, ..)| *name).collect();
            return Err((format!("unknown function `{name}`"), format!("there are {}", known.join(", "))));
        };
        if arguments.len() != *count {
            let text = format!("`{name}` takes {count} arguments, not {}", arguments.len());
            return Err((text, String::new()));
        }
        let home = match *name {
            "IsRootSpan" => Some((Context::Span, "span")),
            "HasAttrKeyOnDatapoint" | "HasAttrOnDatapoint" => Some((Context::Metric, "metric")),
            _ => None,
        };
        if let Some((_, place)) = home.filter(|(home, _)| *home != context) {
            return Err((format!("`{name}` works in {place} conditions only"), format!("put the condition under `{place}`")));
        }
        let text = |at: usize| match arguments.get(at) {
            Some(Expr::Literal(Literal::Text(text))) => Some(text.as_str()),
            _ => None,
        };
        let what = match *name {
            "IsMatch" => {
                let pattern = text(1).ok_or_else(|| {
                    ("the expression of `IsMatch` must be a quoted text".to_owned(), String::new())
                })?;
                let regex = re2(pattern);
                What::IsMatch(regex.map_err(|error| {
                    (format!("`{pattern}` is not a regular expression: {error}"), String::new())
                })?)
            }
            "Duration" => {
                let text = text(0).unwrap_or("");
                let duration = weir_config::Duration::parse(text);
                What::Duration(duration.map_err(|error| {
                    (format!("`Duration` wants a text such as \"5s\": {error}"), String::new())
                })?.nanos())
            }
            _ => What::Plain,
        };
        Ok(Self { name, what })
    }

    pub(super) fn is_condition(&self) -> bool {
        OTTL.iter().chain(&OLDER).any(|(name, _, yes)| *name == self.name && *yes)
    }

    pub(super) fn needs(&self) -> Needs {
        match self.name {
            "HasAttrKeyOnDatapoint" | "HasAttrOnDatapoint" => Needs::Points,
            "IsRootSpan" => Needs::Item,
            "HasLabel" | "Label" => Needs::Series,
            _ => Needs::Resource,
        }
    }

    pub(super) fn call<'a>(
        &self,
        arguments: &'a [Expr],
        scene: &Scene<'a>,
    ) -> Result<Val<'a>, RunError> {
        let argument = |at: usize| arguments.get(at).map_or(Ok(Val::Nil), |one| value(one, scene));
        let text = |at: usize| match argument(at)? {
            Val::Text(text) => Ok(text),
            other => Err(RunError(format!("{} wants text, not {}", self.name, other.kind()))),
        };
        if let What::Duration(nanos) = self.what {
            return Ok(Val::Duration(nanos));
        }
        Ok(match self.name {
            "IsMatch" => {
                let What::IsMatch(regex) = &self.what else { return Ok(Val::Nil) };
                let found = as_text(argument(0)?);
                Val::Bool(found.is_some_and(|text| regex.is_match(&text)))
            }
            "HasPrefix" => Val::Bool(text(0)?.starts_with(&*text(1)?)),
            "HasSuffix" => Val::Bool(text(0)?.ends_with(&*text(1)?)),
            "Contains" => Val::Bool(text(0)?.contains(&*text(1)?)),
            "ToLowerCase" => Val::Text(text(0)?.to_lowercase().into()),
            "ToUpperCase" => Val::Text(text(0)?.to_uppercase().into()),
            "Trim" => Val::Text(text(0)?.trim().to_owned().into()),
            "Split" => {
                let (whole, by) = (text(0)?, text(1)?);
                let parts = whole.split(&*by).map(|part| Value::Str(part.to_owned()));
                Val::Owned(Value::List(parts.collect()))
            }
            "Substring" => substring(&text(0)?, &argument(1)?, &argument(2)?)?,
            "ParseJSON" => {
                let parsed: serde_json::Value = serde_json::from_str(&text(0)?)
                    .map_err(|error| RunError(format!("ParseJSON: {error}")))?;
                Val::from_value(from_json(parsed))
            }
            "IsString" => Val::Bool(matches!(argument(0)?, Val::Text(_))),
            "IsInt" => Val::Bool(matches!(argument(0)?, Val::Int(_))),
            "IsDouble" => Val::Bool(matches!(argument(0)?, Val::Double(_))),
            "IsBool" => Val::Bool(matches!(argument(0)?, Val::Bool(_))),
            "IsMap" => Val::Bool(argument(0)?.kind() == "a map"),
            "IsList" => Val::Bool(argument(0)?.kind() == "a list"),
            "String" => as_text(argument(0)?).map_or(Val::Nil, Val::Text),
            "Int" => int(&argument(0)?),
            "Double" => double(&argument(0)?),
            "Unix" => match argument(0)? {
                Val::Int(seconds) => Val::Time(seconds.saturating_mul(1_000_000_000)),
                other => return Err(RunError(format!("Unix wants seconds, not {}", other.kind()))),
            },
            "TraceID" | "SpanID" => match argument(0)? {
                Val::Bytes(bytes) => Val::Bytes(bytes),
                other => return Err(RunError(format!("{} wants bytes, not {}", self.name, other.kind()))),
            },
            "Len" => length(&argument(0)?)?,
            "Concat" => {
                let items = items(&argument(0)?)?;
                let texts = items.into_iter().filter_map(|item| as_text(Val::from_value(item)));
                let texts: Vec<String> = texts.map(Cow::into_owned).collect();
                Val::Text(texts.join(&*text(1)?).into())
            }
            "ContainsValue" => {
                let wanted = argument(1)?;
                let items = items(&argument(0)?)?;
                let equal = |item| compare(Comparison::Equal, &Val::from_value(item), &wanted);
                Val::Bool(items.into_iter().any(equal))
            }
            _ => of_scene(self.name, scene, &argument(0)?, &argument(1)?),
        })
    }
}

/// Functions that look at the item.
fn of_scene<'a>(name: &str, scene: &Scene<'a>, key: &Val<'_>, wanted: &Val<'_>) -> Val<'a> {
    let Val::Text(key) = key else {
        return match scene.subject {
            Subject::Span(span) => Val::Bool(span.parent_span_id().iter().all(|byte| *byte == 0)),
            _ => Val::Bool(false),
        };
    };
    let labels = match scene.subject {
        Subject::Metric(_, points) => {
            let has = |point: &&weir_model::Point| match point.series.labels().get(key) {
                None => false,
                Some(_) if name == "HasAttrKeyOnDatapoint" => true,
                Some(found) => compare(Comparison::Equal, &Val::from_ref(found), wanted),
            };
            return Val::Bool(points.iter().any(has));
        }
        Subject::Series(series) => series.labels(),
        Subject::Point(_) | Subject::Span(_) | Subject::Log(_) | Subject::Resource => {
            return Val::Bool(false);
        }
    };
    match (name, labels.get(key)) {
        ("HasLabel", found) => Val::Bool(found.is_some()),
        // Of a label that is absent or no text: an empty text.
        (_, found) => Val::Text(found.and_then(|value| value.as_str()).unwrap_or("").to_owned().into()),
    }
}

/// Anything as text; nil is nothing.
fn as_text(value: Val<'_>) -> Option<Cow<'_, str>> {
    Some(match value {
        Val::Nil => return None,
        Val::Text(text) => text,
        Val::Ref(value) => value.to_text(),
        Val::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into(),
        other => other.to_value().with_ref(|value| value.to_text().into_owned()).into(),
    })
}

fn int<'a>(value: &Val<'_>) -> Val<'a> {
    match value {
        Val::Int(number) => Val::Int(*number),
        Val::Double(number) => Val::Int(*number as i64),
        Val::Bool(flag) => Val::Int((*flag).into()),
        Val::Text(text) => text.parse().map_or(Val::Nil, Val::Int),
        _ => Val::Nil,
    }
}

fn double<'a>(value: &Val<'_>) -> Val<'a> {
    match value {
        Val::Int(number) => Val::Double(*number as f64),
        Val::Double(number) => Val::Double(*number),
        Val::Bool(flag) => Val::Double(f64::from(u8::from(*flag))),
        Val::Text(text) => text.parse().map_or(Val::Nil, Val::Double),
        _ => Val::Nil,
    }
}

fn length<'a>(value: &Val<'_>) -> Result<Val<'a>, RunError> {
    let length = match value {
        Val::Text(text) => text.len(),
        Val::Bytes(bytes) => bytes.len(),
        Val::Ref(ValueRef::Map(map)) => map.iter().count(),
        Val::Owned(Value::Map(map)) => map.len(),
        other => items(other).map_err(|_| RunError(format!("Len of {}", other.kind())))?.len(),
    };
    Ok(Val::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn items(value: &Val<'_>) -> Result<Vec<Value>, RunError> {
    match value.to_value() {
        Value::List(items) => Ok(items),
        _ => Err(RunError(format!("a list is wanted, not {}", value.kind()))),
    }
}

fn substring<'a>(text: &str, start: &Val<'_>, length: &Val<'_>) -> Result<Val<'a>, RunError> {
    let number = |value: &Val<'_>| match value {
        Val::Int(number) => usize::try_from(*number).ok(),
        _ => None,
    };
    let part = number(start).zip(number(length)).and_then(|(start, length)| {
        text.get(start..start.checked_add(length)?)
    });
    match part {
        Some(part) => Ok(Val::Text(part.to_owned().into())),
        None => Err(RunError("Substring beyond the end of the text".to_owned())),
    }
}

fn from_json(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Empty,
        serde_json::Value::Bool(flag) => Value::Bool(flag),
        // Numbers of JSON are doubles, as in the reference.
        serde_json::Value::Number(number) => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Value::Str(text),
        serde_json::Value::Array(items) => Value::List(items.into_iter().map(from_json).collect()),
        serde_json::Value::Object(entries) => {
            Value::Map(entries.into_iter().map(|(key, value)| (key, from_json(value))).collect())
        }
    }
}
