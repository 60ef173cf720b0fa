//! Namespace, log group and log stream of a resource (spec 5 and 6, EMF-09..14).

use std::borrow::Cow;

use weir_model::Attributes;

use super::encode::label_text;
use crate::cloudwatch_logs::template;

pub(crate) use crate::cloudwatch_logs::template::{Filled, UNDEFINED};

/// Placeholders, each the name of the attribute that fills it, and the attributes that stand in where
/// there is none of that name. The reference knows the first of these only (EMF-11).
const PLACEHOLDERS: [(&str, &[&str]); 7] = [
    (
        "ClusterName",
        &["aws.ecs.cluster.name", "k8s.cluster.name", "aws.ecs.cluster.arn"],
    ),
    ("TaskId", &["aws.ecs.task.id", "aws.ecs.task.arn"]),
    ("NodeName", &["k8s.node.name"]),
    ("PodName", &["pod", "k8s.pod.name"]),
    ("ServiceName", &["service.name"]),
    ("ContainerInstanceId", &["aws.ecs.container.instance.id"]),
    ("TaskDefinitionFamily", &["aws.ecs.task.family"]),
];

/// Attributes of these families are placeholders by their own name: `{k8s.namespace.name}`.
const FAMILIES: [&str; 2] = ["k8s.", "aws.ecs."];

/// The namespace of a resource when the configuration names none.
pub(crate) fn namespace(resource: &Attributes) -> String {
    let text = |key| resource.get(key).and_then(|value| value.as_str());
    match (text("service.namespace"), text("service.name")) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        (Some(text), None) | (None, Some(text)) if !text.is_empty() => text.to_owned(),
        _ => "default".to_owned(),
    }
}

/// Names in braces that are no placeholders.
pub(crate) fn unknown_placeholders(template: &str) -> Vec<&str> {
    let known = |name: &str| {
        FAMILIES.iter().any(|family| name.starts_with(family))
            || PLACEHOLDERS.iter().any(|(known, _)| *known == name)
    };
    let opened = template.split('{').skip(1);
    let names = opened.filter_map(|text| Some(text.split_once('}')?.0));
    names.filter(|name| !known(name)).collect()
}

/// Fills the placeholders of a template (spec 6.1, EMF-11).
pub(crate) fn fill<'a>(template: &str, value: impl Fn(&str) -> Option<Cow<'a, str>>) -> Filled {
    template::fill_by(template, |name| {
        if FAMILIES.iter().any(|family| name.starts_with(family)) {
            return Some(value(name));
        }
        let (_, others) = PLACEHOLDERS.iter().find(|(known, _)| *known == name)?;
        let other = || {
            let (key, found) = others.iter().find_map(|key| Some((*key, value(key)?)))?;
            Some(if key.ends_with(".arn") { last_part(found) } else { found })
        };
        Some(value(name).or_else(other))
    })
}

/// What stands behind the last slash of a resource name (ARN): the id or the name.
fn last_part(arn: Cow<'_, str>) -> Cow<'_, str> {
    match arn.rsplit_once('/') {
        Some((_, last)) => Cow::Owned(last.to_owned()),
        None => arn,
    }
}

/// Fills a template from resource attributes of any type.
pub(crate) fn fill_from_resource(template: &str, resource: &Attributes) -> Filled {
    fill(template, |key| resource.get(key).map(label_text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_model::Value;

    fn attributes(pairs: &[(&str, Value)]) -> Attributes {
        pairs.iter().cloned().collect()
    }

    #[test]
    fn the_namespace_comes_from_text_attributes() {
        let (ns, name) = ("service.namespace", "service.name");
        for (pairs, expected) in [
            (vec![(ns, "shop".into()), (name, "web".into())], "shop/web"),
            (vec![(name, "web".into())], "web"),
            (vec![(ns, "shop".into())], "shop"),
            (vec![], "default"),
            (vec![(name, "".into())], "default"),
            (vec![(name, "".into()), (ns, "".into())], "/"),
            (vec![(name, Value::Int(77))], "default"),
        ] {
            assert_eq!(namespace(&attributes(&pairs)), expected);
        }
    }

    #[test]
    fn placeholders_take_their_attribute_then_its_alias() {
        let resource = attributes(&[
            ("ClusterName", "c1".into()),
            ("aws.ecs.cluster.name", "c2".into()),
            ("aws.ecs.task.id", Value::Int(7)),
            ("PodName", "".into()),
            ("pod", "p".into()),
        ]);
        let filled = |template| fill_from_resource(template, &resource);
        let complete = |text: &str| Filled {
            text: text.to_owned(),
            complete: true,
        };
        assert_eq!(
            filled("/x/{ClusterName}/{TaskId}{ClusterName}"),
            complete("/x/c1/7c1")
        );
        assert_eq!(filled("{Foo}/{{TaskId}}/{"), complete("{Foo}/{7}/{"));
        assert_eq!(
            filled("{PodName}/{NodeName}"),
            Filled {
                text: "undefined/undefined".to_owned(),
                complete: false
            }
        );
        for (name, others) in PLACEHOLDERS {
            for other in others {
                let resource = attributes(&[(other, "v".into())]);
                assert_eq!(
                    fill_from_resource(&format!("{{{name}}}"), &resource),
                    complete("v")
                );
            }
        }
    }

    #[test]
    fn kubernetes_and_ecs_attributes_fill_placeholders() {
        let resource = attributes(&[
            ("k8s.pod.name", "web-1".into()),
            ("k8s.namespace.name", "shop".into()),
            ("k8s.cluster.name", "prod".into()),
            (
                "aws.ecs.task.arn",
                "arn:aws:ecs:eu-west-1:123456789012:task/blue/0a1b".into(),
            ),
            ("aws.ecs.launchtype", "fargate".into()),
            ("k8s.empty", "".into()),
        ]);
        for (template, text) in [
            ("/{ClusterName}/{PodName}", "/prod/web-1"),
            ("{k8s.namespace.name}/{k8s.pod.name}", "shop/web-1"),
            ("{aws.ecs.launchtype}-{TaskId}", "fargate-0a1b"),
            ("{k8s.none}{k8s.empty}", "undefinedundefined"),
            ("{k8s}{host.name}{{k8s.cluster.name}}", "{k8s}{host.name}{prod}"),
        ] {
            assert_eq!(fill_from_resource(template, &resource).text, text);
        }
        assert_eq!(
            unknown_placeholders("/a/{TaskId}/{Foo}/{k8s.x}{{PodName}}{host.name}{"),
            ["Foo", "host.name"]
        );
        // What the reference looks at comes first.
        let both = attributes(&[
            ("k8s.pod.name", "new".into()),
            ("pod", "old".into()),
        ]);
        assert_eq!(fill_from_resource("{PodName}", &both).text, "old");
    }
}
