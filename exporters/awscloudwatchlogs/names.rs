//! Log group and stream of a record: placeholders, and names that an EMF body brings along
//! (awsemf, sections 6.1 and 14).

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use weir_model::Attributes;

use crate::cloudwatch_logs::json::label_text;
use crate::cloudwatch_logs::template::{self, Placeholder};

/// Placeholders and the attribute that stands in for one of the same name.
const PLACEHOLDERS: [Placeholder; 10] = [
    ("ClusterName", "aws.ecs.cluster.name"),
    ("TaskId", "aws.ecs.task.id"),
    ("NodeName", "k8s.node.name"),
    ("PodName", "pod"),
    ("ServiceName", "service.name"),
    ("ContainerInstanceId", "aws.ecs.container.instance.id"),
    ("TaskDefinitionFamily", "aws.ecs.task.family"),
    ("InstanceId", "service.instance.id"),
    ("FaasName", "faas.name"),
    ("FaasVersion", "faas.version"),
];

/// The first text in braces that is no placeholder.
pub(super) fn unknown_placeholder(template: &str) -> Option<&str> {
    let mut rest = template;
    while let Some((_, tail)) = rest.split_once('{') {
        // Of `{{x}` the inner brace counts.
        let end = tail.find(['{', '}'])?;
        let (inner, after) = tail.split_at(end);
        if after.starts_with('}') && PLACEHOLDERS.iter().all(|(name, _)| *name != inner) {
            return Some(inner);
        }
        rest = after;
    }
    None
}

/// All placeholders, for a hint.
pub(super) fn known_placeholders() -> String {
    let names: Vec<String> = PLACEHOLDERS.iter().map(|(name, _)| format!("{{{name}}}")).collect();
    format!("use {}", names.join(", "))
}

/// Fills a template from the attributes of a resource; what is missing reads `undefined`.
pub(super) fn fill(template: &str, resource: &Attributes) -> String {
    let value = |key: &str| resource.get(key).map(label_text);
    template::fill(template, &PLACEHOLDERS, value).text
}

/// The log group, and the stream if any, that a body in the Embedded Metric Format asks for: under
/// `_aws`, or at the top in its older layout. `None` for any other text. Like the reference, it
/// ignores letter case in names, and everything if a member has the wrong type.
pub(super) fn asked_for(text: &str) -> Option<(String, Option<String>)> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let members: Members = serde_json::from_str(text).ok()?;
    let name = |name: Option<String>| name.filter(|name| !name.is_empty());
    if let Some(aws) = members.aws
        && let Some(group) = name(aws.group)
    {
        return Some((group, name(aws.stream)));
    }
    Some((name(members.group)?, name(members.stream)))
}

/// What counts of a body.
#[derive(Default)]
struct Members {
    aws: Option<Names>,
    group: Option<String>,
    stream: Option<String>,
}

/// What counts of `_aws`.
#[derive(Default)]
struct Names {
    group: Option<String>,
    stream: Option<String>,
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::default();
                while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    if key.eq_ignore_ascii_case("_aws") {
                        members.aws = map.next_value()?;
                    } else if key.eq_ignore_ascii_case("log_group_name") {
                        keep(&mut members.group, &mut map)?;
                    } else if key.eq_ignore_ascii_case("log_stream_name") {
                        keep(&mut members.stream, &mut map)?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Read)
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = Names::default();
                while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    if key.eq_ignore_ascii_case("logGroupName") {
                        keep(&mut names.group, &mut map)?;
                    } else if key.eq_ignore_ascii_case("logStreamName") {
                        keep(&mut names.stream, &mut map)?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(names)
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// Reads a text over what was there before; null changes nothing.
fn keep<'de, A: MapAccess<'de>>(slot: &mut Option<String>, map: &mut A) -> Result<(), A::Error> {
    if let Some(text) = map.next_value::<Option<String>>()? {
        *slot = Some(text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use weir_model::Value;

    #[test]
    fn unknown_placeholders_are_found() {
        for (template, unknown) in [
            ("plain", None),
            ("a-{ClusterName}-{FaasName}", None),
            ("{{TaskId}}", None),
            ("open { and } close", Some(" and ")),
            ("{", None),
            ("}{", None),
            ("a{}b", Some("")),
            ("{ClusterName}-{Random}", Some("Random")),
            ("{clustername}", Some("clustername")),
        ] {
            assert_eq!(unknown_placeholder(template), unknown, "{template}");
        }
        assert!(known_placeholders().contains("{FaasVersion}"));
    }

    #[test]
    fn placeholders_take_their_attribute_then_its_alias_else_read_undefined() {
        let resource: Attributes = [
            ("InstanceId", Value::from("i-1")),
            ("service.instance.id", "i-2".into()),
            ("faas.name", "fn".into()),
            ("FaasVersion", "".into()),
            ("faas.version", "7".into()),
            ("TaskId", Value::Int(7)),
        ]
        .into_iter()
        .collect();
        assert_eq!(
            fill("{InstanceId}/{FaasName}/{FaasVersion}/{TaskId}/{PodName}", &resource),
            "i-1/fn/undefined/7/undefined"
        );
    }

    #[test]
    fn emf_bodies_name_their_group() {
        let both = |group: &str, stream: &str| Some((group.to_owned(), Some(stream.to_owned())));
        let group = |group: &str| Some((group.to_owned(), None));
        for (text, expected) in [
            (r#" {"_aws":{"LogGroupName":"g","LogStreamName":"s"},"v":[{}]}"#, both("g", "s")),
            (r#"{"_AWS":{"loggroupname":"g"}}"#, group("g")),
            (r#"{"_aws":{"LogStreamName":"s"},"v":3}"#, None),
            (r#"{"_aws":{"LogGroupName":""},"log_group_name":"old"}"#, group("old")),
            (r#"{"_aws":null,"log_group_name":"g","log_stream_name":"s"}"#, both("g", "s")),
            (r#"{"log_group_name":"g","log_group_name":null}"#, group("g")),
            (r#"{"log_group_name":"g","log_stream_name":""}"#, group("g")),
            (r#"{"log_stream_name":"s"}"#, None),
            (r#"{"log_group_name":"a\u0062"}"#, group("ab")),
            // A member of a wrong type spoils all of it.
            (r#"{"log_group_name":5}"#, None),
            (r#"{"_aws":"text","log_group_name":"g"}"#, None),
            (r#"{"_aws":[],"log_group_name":"g"}"#, None),
            (r#"{"log_group_name":"g"} trailing"#, None),
            (r#"{"log_group_name":"g""#, None),
            (r#"["log_group_name"]"#, None),
            ("plain text", None),
            ("", None),
        ] {
            assert_eq!(asked_for(text), expected, "{text}");
        }
    }
}
